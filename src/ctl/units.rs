//! Numbers as people read them, and fields of answers that may be absent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A text field; empty when it is not there.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number; 0 when it is not there.
pub fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or_default()
}

pub fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of an array; none when it is not there.
pub fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The array of that name taken out.
pub fn take(mut value: Value, name: &str) -> Vec<Value> {
    match value.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Of a resource by its name, in `resources` or `used_resources`.
pub fn resource(value: &Value, of: &str, name: &str) -> f64 {
    value.get(of).map_or(0.0, |resources| number(resources, name))
}

/// At most three decimals, as Mesos counts.
pub fn plain(number: f64) -> String {
    let rounded = (number * 1000.0).round() / 1000.0;
    // Never "-0".
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Megabytes with the unit that leaves a short number.
pub fn megabytes(number: f64) -> String {
    match number {
        n if n >= 1024.0 * 1024.0 => format!("{} TB", tenths(n / 1024.0 / 1024.0)),
        n if n >= 1024.0 => format!("{} GB", tenths(n / 1024.0)),
        n => format!("{} MB", tenths(n)),
    }
}

fn tenths(number: f64) -> String {
    plain((number * 10.0).round() / 10.0)
}

/// Two units at most: `3d4h`, `5m12s`, `8s`.
pub fn lasting(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// Time since a moment in Unix seconds; nothing for one that is not known.
pub fn since(moment: f64) -> String {
    if moment <= 0.0 {
        return String::new();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    lasting(now.as_secs_f64() - moment)
}

/// What is said to a terminal must not steer it.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers() {
        assert_eq!((plain(0.1 + 0.2), plain(4.0), plain(-0.000_01)), ("0.3".into(), "4".into(), "0".into()));
        assert_eq!((megabytes(128.0), megabytes(23081.0)), ("128 MB".into(), "22.5 GB".into()));
        assert_eq!(
            (lasting(8.9), lasting(312.0), lasting(90061.0)),
            ("8s".into(), "5m12s".into(), "1d1h".into())
        );
        assert_eq!(harmless("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }
}
