//! Resources and attributes as endpoints like `/state` show them: one member per name.

use std::collections::BTreeMap;

use super::{Quantities, Ranges, Resources, Set, Value, scalar};
use crate::proto::json::Object;

/// `{"disk":0.0,"mem":1024.0,"gpus":0.0,"cpus":4.0,"ports":"[31000-32000]"}`.
///
/// The four are always there; what is revocable is on its own, as `cpus_revocable`.
/// Source: `json(ObjectWriter*, const Resources&)`, common/http.cpp 1.11.
pub fn write(object: &mut Object<'_>, resources: &Resources) {
    let mut scalars: BTreeMap<&str, i64> = BTreeMap::new();
    let mut ranges: BTreeMap<String, Ranges> = BTreeMap::new();
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    let mut revocable: BTreeMap<String, i64> = BTreeMap::new();
    for entry in resources {
        let name = || format!("{}{}", entry.name(), if entry.is_revocable() { "_revocable" } else { "" });
        match entry.value() {
            Value::Scalar(amount) if entry.is_revocable() => *revocable.entry(name()).or_default() += amount,
            Value::Scalar(amount) => *scalars.entry(entry.name()).or_default() += amount,
            Value::Ranges(own) => ranges.entry(name()).or_default().add(own),
            Value::Set(own) => sets.entry(name()).or_default().add(own),
        }
    }
    for name in FIRST {
        object.number(name, scalar::to_f64(scalars.remove(name).unwrap_or(0)));
    }
    for (name, amount) in scalars {
        object.number(name, scalar::to_f64(amount));
    }
    for (name, amount) in revocable {
        object.number(&name, scalar::to_f64(amount));
    }
    for (name, ranges) in ranges {
        object.string(&name, &ranges.to_string());
    }
    for (name, set) in sets {
        object.string(&name, &set.to_string());
    }
}

/// Shown even where there is none of them.
const FIRST: [&str; 4] = ["disk", "mem", "gpus", "cpus"];

/// `{"cpus":4.0}`: only what there is.
pub fn write_quantities(object: &mut Object<'_>, quantities: &Quantities) {
    for (name, amount) in quantities.iter() {
        object.number(name, scalar::to_f64(amount));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::json::text;

    fn json(resources: &str) -> String {
        let resources = super::super::parse::parse(resources, "*").unwrap();
        let mut out = Vec::new();
        text::object(&mut out, |object| write(object, &resources));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members() {
        assert_eq!(json(""), r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.0}"#);
        assert_eq!(
            json("cpus:0.5;cpus(web):0.6;mem:64;bogo:7;ports:[3-4,1-1];zones:{b,a}"),
            r#"{"disk":0.0,"mem":64.0,"gpus":0.0,"cpus":1.1,"bogo":7.0,"ports":"[1-1, 3-4]","zones":"{a, b}"}"#
        );
        let mut out = Vec::new();
        text::object(&mut out, |object| {
            write_quantities(object, &Quantities::parse("mem:5;cpus:0.1").unwrap());
        });
        assert_eq!(out, br#"{"cpus":0.1,"mem":5.0}"#);
    }
}
