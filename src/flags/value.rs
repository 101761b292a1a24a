//! Values of flags: reading them from text and showing them again.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Kind;
use crate::base::{bytes, duration};

/// A value of one of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Text(String),
    Count(u64),
    Port(u16),
    Float(f64),
    Duration(Duration),
    Bytes(u64),
    Ip(Ipv4Addr),
    Path(String),
    Json(serde_json::Value),
}

impl Value {
    /// Reads a value; the error says what is expected.
    pub fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        let expected = |what: &str| format!("expected {what}, got '{text}'");
        match kind {
            Kind::Bool => match text {
                "true" | "1" | "" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(expected("true or false")),
            },
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Path => Ok(Value::Path(text.to_owned())),
            Kind::Count => {
                text.parse().map(Value::Count).map_err(|_| expected("a whole number of at least 0"))
            }
            Kind::Port => text.parse().map(Value::Port).map_err(|_| expected("a port from 0 to 65535")),
            Kind::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Float(number)),
                _ => Err(expected("a number")),
            },
            Kind::Duration => duration::parse(text).map(Value::Duration).map_err(|e| e.to_string()),
            Kind::Bytes => bytes::parse(text).map(Value::Bytes).map_err(|e| e.to_string()),
            Kind::Ip => text.parse().map(Value::Ip).map_err(|_| expected("an IPv4 address")),
            Kind::Json => match serde_json::from_str(text) {
                Ok(value @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) => {
                    Ok(Value::Json(value))
                }
                Ok(_) => Err("expected a JSON object or array".to_owned()),
                Err(e) => Err(format!("expected JSON: {e}")),
            },
        }
    }
}

/// As `/flags` and `--help` show it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Text(value) | Value::Path(value) => f.write_str(value),
            Value::Count(value) => write!(f, "{value}"),
            Value::Port(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Duration(value) => f.write_str(&duration::format(*value)),
            Value::Bytes(value) => f.write_str(&bytes::format(*value)),
            Value::Ip(value) => write!(f, "{value}"),
            Value::Json(value) => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_say_what_is_expected() {
        for (kind, text, expected) in [
            (Kind::Bool, "yes", "expected true or false, got 'yes'"),
            (Kind::Count, "-1", "expected a whole number of at least 0, got '-1'"),
            (Kind::Port, "65536", "expected a port from 0 to 65535, got '65536'"),
            (Kind::Float, "nan", "expected a number, got 'nan'"),
            (Kind::Ip, "::1", "expected an IPv4 address, got '::1'"),
            (Kind::Json, "5", "expected a JSON object or array"),
        ] {
            assert_eq!(Value::parse(kind, text), Err(expected.to_owned()));
        }
        assert!(Value::parse(Kind::Duration, "1sec").is_err());
        assert!(Value::parse(Kind::Bytes, "2gigs").is_err());
    }

    #[test]
    fn shows_what_mesos_shows() {
        assert_eq!(Value::parse(Kind::Duration, "60secs").expect("a duration").to_string(), "1mins");
        assert_eq!(Value::parse(Kind::Bytes, "4096B").expect("a size").to_string(), "4KB");
        assert_eq!(Value::parse(Kind::Bool, "1").expect("a boolean").to_string(), "true");
    }
}
