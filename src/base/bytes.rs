//! Sizes as Mesos spells them: a whole number and a unit, `512MB`, `2GB`, `64KB`, `10B`.

/// Why a text is no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BytesError {
    #[error("Failed to parse size '{0}': expected a whole number and one of B, KB, MB, GB, TB")]
    NotASize(String),
    #[error("'{0}' is more bytes than can be counted")]
    TooLarge(String),
}

const UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

/// Reads a size, in bytes. Source: `Bytes::parse`, stout 1.11.
pub fn parse(text: &str) -> Result<u64, BytesError> {
    let text = text.trim();
    let bad = || BytesError::NotASize(text.to_owned());
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    if number.is_empty() {
        return Err(bad());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*scale))
        .ok_or_else(|| BytesError::TooLarge(text.to_owned()))
}

/// Writes a size in the largest unit that leaves it whole.
pub fn format(bytes: u64) -> String {
    match UNITS.iter().find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale)) {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        assert_eq!(parse("2GB"), Ok(2 << 30));
        assert_eq!(parse("10B"), Ok(10));
        assert_eq!(format(2 << 30), "2GB");
        assert_eq!(format(1500), "1500B");
        for text in ["", "GB", "1.5GB", "-1MB", "1gb", "99999999999999TB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
