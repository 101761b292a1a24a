//! `--resources`: text like `cpus:4;mem:1024;ports:[1-5];cpus(web):2;disks:{a,b}`, or JSON.
//!
//! Source: `Resources::fromString`, common/resources.cpp, and `values::parse`, common/values.cpp 1.11.

use super::{Entry, Invalid, Ranges, Resources, Set, convert, roles, scalar, validate};
use crate::proto::json::{JsonError, from_json_array};
use crate::proto::value::Type;
use crate::proto::{self, Resource, Spelling};

/// What an agent may be told to have. What names no role is reserved for `default_role`, unless that is `*`.
pub fn parse(text: &str, default_role: &str) -> Result<Resources, Invalid> {
    let resources = parse_list(text, default_role)?;
    Resources::from_protos(&resources)
}

/// Each resource as it was given, those of amount 0 too: `gpus:0` says that there are none, whereas saying
/// nothing of `cpus` leaves them to be detected.
pub fn parse_list(text: &str, default_role: &str) -> Result<Vec<Resource>, Invalid> {
    roles::validate(default_role)?;
    let resources = match text.trim_start().starts_with('[') {
        true => from_text_of_json(text, default_role)?,
        false => simple(text, default_role)?,
    };
    check(&resources)?;
    Ok(resources)
}

fn from_text_of_json(text: &str, default_role: &str) -> Result<Vec<Resource>, Invalid> {
    let mut resources: Vec<Resource> =
        from_json_array(text.as_bytes(), Spelling::V0).map_err(|error| match error {
            JsonError::Syntax(reason) => Invalid(format!("Failed to parse resources as JSON: {reason}")),
            JsonError::Convert(reason) => {
                Invalid(format!("Some JSON resources were not formatted properly: {reason}"))
            }
        })?;
    for resource in &mut resources {
        if resource.role.is_none() && resource.reservations.is_empty() {
            resource.role = Some(default_role.to_owned());
        }
    }
    Ok(resources)
}

fn simple(text: &str, default_role: &str) -> Result<Vec<Resource>, Invalid> {
    let tokens = text.split(';').filter(|token| !token.trim().is_empty());
    tokens.map(|token| one(token, default_role)).collect()
}

fn one(token: &str, default_role: &str) -> Result<Resource, Invalid> {
    let pair: Vec<_> = token.split(':').filter(|part| !part.is_empty()).collect();
    let [key, text] = pair[..] else {
        return Invalid::new(format!("Bad value for resources, missing or extra ':' in {token}"));
    };
    let (name, role) = match key.split_once('(') {
        None => (key.trim(), default_role),
        Some((name, rest)) => match rest.split_once(')') {
            Some((role, _)) => (name.trim(), role.trim()),
            None => {
                return Invalid::new(format!("Bad value for resources, mismatched parentheses in {token}"));
            }
        },
    };
    let value = value(text).map_err(|error| {
        Invalid(format!("Failed to parse resource {name} value {} error {error}", text.trim()))
    })?;
    if value.r#type() == Type::Text {
        return Invalid::new(format!("Bad type for resource {name} value {} type TEXT", text.trim()));
    }
    Ok(Resource {
        name: name.to_owned(),
        r#type: value.r#type,
        scalar: value.scalar,
        ranges: value.ranges,
        set: value.set,
        role: Some(role.to_owned()),
        ..Resource::default()
    })
}

/// Validates, brings to the form used inside, and refuses what only operations can make.
fn check(resources: &[Resource]) -> Result<(), Invalid> {
    let mut types = std::collections::BTreeMap::new();
    for resource in resources {
        let entry = Entry::from_proto(resource).map_err(|error| validate::naming(resource, &error))?;
        if entry.is_persistent_volume() {
            return Invalid::new("Persistent volumes cannot be specified at the command line");
        }
        if entry.is_revocable() {
            return Invalid::new(
                "Revocable resources cannot be specified at the command line; do not include a 'revocable' key in \
                 the resources JSON",
            );
        }
        if entry.is_dynamically_reserved() {
            return Invalid::new(
                "Dynamic reservations cannot be specified at the command line; do not include a reservation with \
                 DYNAMIC type in the resources JSON",
            );
        }
        let known = *types.entry(resource.name.as_str()).or_insert(resource.r#type);
        if known != resource.r#type {
            return Invalid::new(format!(
                "Resources with the same name ('{}') but different types are not allowed",
                resource.name
            ));
        }
    }
    Ok(())
}

/// A value in the text form: a number, `[1-5,7-7]`, `{a,b}`, or any other text. Spaces do not count.
pub fn value(text: &str) -> Result<proto::Value, Invalid> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    if text.is_empty() {
        return Invalid::new("Expecting non-empty string");
    }
    if ["{}", "[]", "()"].iter().any(|pair| !is_balanced(&text, pair.as_bytes())) {
        return Invalid::new("Mismatched brackets");
    }
    let mut value = proto::Value::default();
    if text.starts_with('[') {
        value.set_type(Type::Ranges);
        value.ranges = Some(ranges(&text)?.to_proto());
    } else if text.contains('[') {
        return Invalid::new("Unexpected '[' found");
    } else if text.starts_with('{') {
        value.set_type(Type::Set);
        value.set = Some(Set::new(tokens(&text, "{},\n").map(str::to_owned)).to_proto());
    } else if text.contains('{') {
        return Invalid::new("Unexpected '{' found");
    } else if let Ok(number) = text.parse::<f64>() {
        scalar::thousandths(number)
            .map_err(|error| Invalid(format!("Invalid scalar value '{text}': {error}")))?;
        value.set_type(Type::Scalar);
        value.scalar = Some(proto::value::Scalar { value: number });
    } else {
        value.set_type(Type::Text);
        value.text = Some(proto::value::Text { value: text });
    }
    Ok(value)
}

fn ranges(text: &str) -> Result<Ranges, Invalid> {
    let numbers: Vec<_> = tokens(text, "[]-,\n").collect();
    if !numbers.len().is_multiple_of(2) {
        return Invalid::new("Expecting one or more \"ranges\"");
    }
    let pairs = numbers.chunks_exact(2).map(|pair| match (pair[0].parse(), pair[1].parse()) {
        (Ok(begin), Ok(end)) => Ok((begin, end)),
        _ => Invalid::new(format!("Expecting non-negative integers in '{}'", pair[0])),
    });
    Ranges::new(pairs.collect::<Result<Vec<(u64, u64)>, _>>()?)
}

fn tokens<'a>(text: &'a str, separators: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|c| separators.contains(c)).filter(|token| !token.is_empty())
}

fn is_balanced(text: &str, pair: &[u8]) -> bool {
    let mut open = 0_usize;
    for byte in text.bytes() {
        if byte == pair[0] {
            open += 1;
        } else if byte == pair[1] {
            let Some(less) = open.checked_sub(1) else { return false };
            open = less;
        }
    }
    open == 0
}

/// The same resources with reservations as a stack.
pub fn upgraded(mut resources: Vec<Resource>) -> Vec<Resource> {
    resources.iter_mut().for_each(convert::upgrade_resource);
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(resources: &str, role: &str) -> String {
        match parse(resources, role) {
            Ok(resources) => resources.to_string(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn the_text_form() {
        assert_eq!(
            text("cpus:4;mem : 1024 ;ports:[1-5, 7-9,6-6];zones:{b,a};cpus:0.5;gpus:0;", "*"),
            "cpus:4.5; mem:1024; ports:[1-9]; zones:{a, b}"
        );
        assert_eq!(text("cpus(web):2;cpus(*):1", "eng"), "cpus:1; cpus(reservations: [(STATIC,web)]):2");
        assert_eq!(text("mem:1", "eng"), "mem(reservations: [(STATIC,eng)]):1");
        assert_eq!(text("", "*"), "{}");
        assert_eq!(parse_list("gpus:0", "*").unwrap().len(), 1);
    }

    #[test]
    fn the_json_form() {
        let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4}},
            {"name":"mem","type":"SCALAR","scalar":{"value":64},"role":"web"},
            {"name":"disk","type":"SCALAR","scalar":{"value":9},"disk":{"source":{"type":"MOUNT","mount":{"root":"/m"}}}}]"#;
        assert_eq!(text(json, "*"), "cpus:4; disk[MOUNT]:9; mem(reservations: [(STATIC,web)]):64");
        assert!(text("[{]", "*").starts_with("Failed to parse resources as JSON"));
        assert!(text("[{\"name\":1}]", "*").starts_with("Some JSON resources were not formatted properly"));
        let with =
            |rest: &str| format!(r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":4}},{rest}}}]"#);
        assert!(text(&with(r#""revocable":{}"#), "*").starts_with("Revocable resources"));
        assert!(text(&with(r#""role":"a","reservation":{}"#), "*").starts_with("Dynamic reservations"));
        let volume = r#""disk":{"persistence":{"id":"x"},"volume":{"container_path":"p","mode":"RW"}}"#;
        assert!(text(&with(volume), "a").starts_with("Persistent volumes"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (resources, part) in [
            ("cpus", "missing or extra ':' in cpus"),
            ("cpus:1:2", "missing or extra ':' in cpus:1:2"),
            ("cpus(web:1", "mismatched parentheses in cpus(web:1"),
            ("cpus:-1", "Failed to parse resource cpus value -1 error Invalid scalar value '-1': Negative"),
            ("cpus:nan", "NaN"),
            ("cpus:inf", "Infinite"),
            ("cpus:1e300", "beyond"),
            ("cpus:many", "Bad type for resource cpus value many type TEXT"),
            ("ports:[1-", "Mismatched brackets"),
            ("ports:[1-2-3]", "Expecting one or more \"ranges\""),
            ("ports:[5-1]", "begin > end"),
            ("ports:[a-b]", "Expecting non-negative integers in 'a'"),
            ("ports:1[2-3]", "Unexpected '['"),
            ("x:a{b}", "Unexpected '{'"),
            ("cpus(-a):1", "starts with a dash"),
            (":1", "missing or extra"),
            (" :1", "Empty resource name"),
            ("x:1;x:[1-2]", "same name ('x') but different types"),
            ("cpus:0.0001", "value <= 0"),
        ] {
            assert!(text(resources, "*").contains(part), "{resources}: {}", text(resources, "*"));
        }
        assert!(parse("cpus:1", "a//b").is_err());
    }
}
