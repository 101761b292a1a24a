//! Dominant shares, compared exactly.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::super::amounts::Amounts;

/// Weights are millionths.
pub(crate) const ONE: u64 = 1_000_000;

/// A weight as text or flag gave it; None unless it is a positive number. At least a millionth.
pub(crate) fn weight_from(weight: f64) -> Option<u64> {
    (weight.is_finite() && weight > 0.0).then(|| (weight * ONE as f64).round().clamp(1.0, 1e18) as u64)
}

/// A weighted share of the cluster, as a fraction. Two that are equal on paper are equal here, which no
/// quotient of floats promises; then the other criteria decide, not rounding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    part: u128,
    /// Never zero.
    whole: u128,
}

impl Share {
    pub(crate) const ZERO: Share = Share { part: 0, whole: 1 };

    /// The largest share of any kind in `total` that counts, divided by the weight.
    pub(super) fn dominant(
        amounts: &Amounts,
        total: &Amounts,
        excluded: &BTreeSet<usize>,
        weight: u64,
    ) -> Share {
        let mut share = Share::ZERO;
        for (kind, whole) in total.iter() {
            if whole <= 0 || excluded.contains(&kind) {
                continue;
            }
            // Both factors are below 2^64, so neither product overflows.
            let part = amounts.get(kind).max(0) as u128 * u128::from(ONE);
            share = share.max(Share { part, whole: whole as u128 * u128::from(weight.max(1)) });
        }
        share
    }
}

impl Share {
    /// For people; comparing is done with the fraction.
    pub(super) fn to_f64(self) -> f64 {
        self.part as f64 / self.whole as f64
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Share) -> Ordering {
        if self.whole == other.whole {
            return self.part.cmp(&other.part);
        }
        // What fits in 64 bits, as nearly all do, is multiplied without a look at overflow.
        if let (Ok(part), Ok(whole), Ok(other_part), Ok(other_whole)) = (
            u64::try_from(self.part),
            u64::try_from(self.whole),
            u64::try_from(other.part),
            u64::try_from(other.whole),
        ) {
            let left = u128::from(part) * u128::from(other_whole);
            return left.cmp(&(u128::from(other_part) * u128::from(whole)));
        }
        if let (Some(left), Some(right)) =
            (self.part.checked_mul(other.whole), other.part.checked_mul(self.whole))
        {
            return left.cmp(&right);
        }
        compare_slowly(*self, *other)
    }
}

/// For products beyond 128 bits: whole parts first, then the remainders' reciprocals, as Euclid does.
fn compare_slowly(mut a: Share, mut b: Share) -> Ordering {
    let mut reversed = false;
    loop {
        let order = (a.part / a.whole).cmp(&(b.part / b.whole));
        let (rest_a, rest_b) = (a.part % a.whole, b.part % b.whole);
        let order = match order {
            Ordering::Equal if rest_a == 0 || rest_b == 0 => rest_a.cmp(&rest_b),
            Ordering::Equal => {
                a = Share { part: a.whole, whole: rest_a };
                b = Share { part: b.whole, whole: rest_b };
                reversed = !reversed;
                continue;
            }
            decided => decided,
        };
        return if reversed { order.reverse() } else { order };
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Share) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Share) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_compare_exactly() {
        let share = |part, whole| Share { part, whole };
        assert_eq!(share(1, 3), share(2, 6));
        assert!(share(1, 3) < share(34, 100));
        let big = u128::MAX / 7;
        assert!(share(big - 1, big) < share(big, big + 1));
        assert!(share(big, big - 1) > share(big + 1, big));
        assert_eq!(share(big / 5 * 3, big / 5 * 4).cmp(&share(3, 4)), Ordering::Equal);
        assert!(share(0, big) < share(1, u128::MAX));
    }

    #[test]
    fn weights_are_positive_numbers() {
        assert_eq!(weight_from(2.5), Some(2_500_000));
        assert_eq!(weight_from(1e-9), Some(1));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(weight_from(bad), None);
        }
    }
}
