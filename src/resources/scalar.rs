//! Scalars: thousandths in an `i64`, and floats only at the edge.
//!
//! Source: `convertToFixed`, `convertToFloating`, common/values.cpp 1.11.

use super::Invalid;

/// The most a scalar may be: beyond it floats skip thousandths. A thousand of them still add up in an `i64`.
pub const MAX: i64 = 1 << 53;

/// The nearest number of thousandths. Refuses what is no amount: NaN, infinite, negative, or beyond `MAX`.
pub fn thousandths(value: f64) -> Result<i64, Invalid> {
    let scaled = (value * 1000.0).round();
    match value {
        _ if value.is_nan() => Invalid::new("NaN not supported"),
        _ if value.is_infinite() => Invalid::new("Infinite values not supported"),
        _ if value < 0.0 => Invalid::new("Negative values not supported"),
        _ if scaled > MAX as f64 => Invalid::new(format!("Values beyond {} not supported", to_f64(MAX))),
        _ => Ok(scaled as i64),
    }
}

/// The float nearest to `thousandths`.
pub fn to_f64(thousandths: i64) -> f64 {
    (thousandths / 1000) as f64 + (thousandths % 1000) as f64 / 1000.0
}

/// As people write it: `4`, `0.1`.
pub fn text(thousandths: i64) -> String {
    to_f64(thousandths).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_round_to_thousandths() {
        for (value, expected) in
            [(0.0, 0), (1.0, 1000), (0.1, 100), (0.0004, 0), (0.0005, 1), (1.0005, 1001), (0.1 + 0.2, 300)]
        {
            assert_eq!(thousandths(value), Ok(expected), "{value}");
        }
        assert_eq!(to_f64(100), 0.1);
        assert_eq!(to_f64(1_234_567), 1234.567);
        assert_eq!((text(4000), text(100)), ("4".into(), "0.1".into()));
        for count in (0..10_000_000).step_by(997) {
            assert_eq!(thousandths(to_f64(count)), Ok(count));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.001, -1e300, 1e300, 9.1e12] {
            assert!(thousandths(value).is_err(), "{value}");
        }
        assert_eq!(thousandths(-0.0), Ok(0));
    }
}
