//! `metrics` and `flags`: names and values.

use serde_json::{Map, Value};

use super::cluster::shown;
use crate::ctl::Ctl;
use crate::ctl::args::Target;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::units::plain;

pub fn metrics(ctl: &Ctl, pattern: Option<&str>, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let snapshot = server.json(&Request::get("/metrics/snapshot"))?;
    write(ctl, &snapshot, pattern, |value| value.as_f64().map_or_else(|| shown(value), plain))
}

pub fn flags(ctl: &Ctl, pattern: Option<&str>, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let mut answer = server.own_json("flags")?;
    write(ctl, &answer.get_mut("flags").map(Value::take).unwrap_or_default(), pattern, shown)
}

fn write(ctl: &Ctl, all: &Value, pattern: Option<&str>, show: fn(&Value) -> String) -> Result<(), Error> {
    let fields = all.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| pattern.is_none_or(|pattern| name.contains(pattern)));
    let kept: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let pairs: Vec<(String, String)> = kept.iter().map(|(name, value)| (name.clone(), show(value))).collect();
    match (pairs.is_empty(), pattern) {
        (true, Some(pattern)) => Err(Error::NotFound(format!("No name contains '{pattern}'."))),
        _ => ctl.output.pairs(&pairs, &Value::Object(kept)),
    }
}
