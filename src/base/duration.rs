//! Durations as Mesos spells them: a number and a unit, `500ms`, `10secs`, `1.5hrs`, `2weeks`.

use std::time::Duration;

/// Unit names from the largest to the smallest, with their nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("weeks", 604_800_000_000_000),
    ("days", 86_400_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("mins", 60_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    #[error(
        "Failed to find the unit of '{0}': expected a number and one of ns, us, ms, secs, mins, hrs, days, weeks"
    )]
    NoUnit(String),
    #[error("Unknown duration unit '{0}'")]
    UnknownUnit(String),
    #[error("'{0}' is not a number of at least zero")]
    NotANumber(String),
    #[error("'{0}' is too long: the most is 292 years")]
    TooLong(String),
}

/// Reads a duration of at least zero. Units are whole words: `1sec` is as wrong here as in Mesos.
///
/// Source: `Duration::parse`, stout 1.11.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let split =
        text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(|| DurationError::NoUnit(text.to_owned()))?;
    let (number, unit) = text.split_at(split);
    let (_, nanos) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
    let bad = || DurationError::NotANumber(number.to_owned());
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    let value: f64 = number.parse().map_err(|_| bad())?;
    let total = value * *nanos as f64;
    if total > i64::MAX as f64 {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// Writes a duration in the largest unit that leaves it whole, as `/flags` and `--help` show it.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0ns".to_owned();
    }
    for (name, unit) in UNITS {
        if nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    format!("{nanos}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10secs"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1.5hrs"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("2weeks"), Ok(Duration::from_secs(1_209_600)));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "5", "secs", "-1secs", "1e3secs", "nanms", "1sec", "1.2.3ms", "99999999weeks"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_the_largest_whole_unit() {
        assert_eq!(format(Duration::from_secs(60)), "1mins");
        assert_eq!(format(Duration::from_secs(90)), "90secs");
        assert_eq!(format(Duration::from_secs(604_800)), "1weeks");
        assert_eq!(format(Duration::ZERO), "0ns");
    }
}
