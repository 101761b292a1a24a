//! Ranges of whole numbers, as ports: sorted, coalesced, both ends included.

use std::fmt;

use super::Invalid;
use crate::proto::value;

/// A set of numbers, held as ranges that neither overlap nor touch. All operations are one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Any ranges, in any order; those that overlap are joined. A reversed one is refused.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Ranges, Invalid> {
        let ranges: Vec<_> = ranges.into_iter().collect();
        if ranges.iter().any(|(begin, end)| begin > end) {
            return Invalid::new("Invalid ranges resource: begin > end");
        }
        Ok(Ranges(coalesce(ranges)))
    }

    /// The message's ranges; here overlapping ones are refused, as they would be counted twice.
    pub fn from_proto(message: &value::Ranges) -> Result<Ranges, Invalid> {
        let mut ranges: Vec<_> = message.range.iter().map(|range| (range.begin, range.end)).collect();
        if ranges.iter().any(|(begin, end)| begin > end) {
            return Invalid::new("Invalid ranges resource: begin > end");
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
            return Invalid::new("Invalid ranges resource: overlapping ranges");
        }
        Ok(Ranges(coalesce(ranges)))
    }

    pub fn to_proto(&self) -> value::Ranges {
        let range = self.0.iter().map(|&(begin, end)| value::Range { begin, end }).collect();
        value::Ranges { range }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First and last number of each range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many numbers there are, at most `u64::MAX`.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |count: u64, (begin, end)| count.saturating_add((end - begin).saturating_add(1)))
    }

    pub fn add(&mut self, other: &Ranges) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
        } else if !other.0.is_empty() {
            self.0.extend_from_slice(&other.0);
            self.0 = coalesce(std::mem::take(&mut self.0));
        }
    }

    /// Takes away what is there of `other`.
    pub fn subtract(&mut self, other: &Ranges) {
        if other.0.is_empty() {
            return;
        }
        let mut left = Vec::with_capacity(self.0.len() + other.0.len());
        let mut others = other.0.iter().peekable();
        for &(begin, end) in &self.0 {
            let mut from = begin;
            let mut rest = true;
            while let Some(&&(cut, until)) = others.peek() {
                if until < from {
                    others.next();
                    continue;
                }
                if cut > end {
                    break;
                }
                if cut > from {
                    left.push((from, cut - 1));
                }
                if until >= end {
                    rest = false;
                    break;
                }
                from = until + 1;
                others.next();
            }
            if rest {
                left.push((from, end));
            }
        }
        self.0 = left;
    }

    pub fn contains(&self, other: &Ranges) -> bool {
        let mut own = self.0.iter().peekable();
        other.0.iter().all(|(begin, end)| {
            while own.next_if(|(_, until)| until < begin).is_some() {}
            own.peek().is_some_and(|(from, until)| from <= begin && end <= until)
        })
    }
}

/// Sorts and joins what overlaps or touches.
fn coalesce(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joins = next.0 <= kept.1.saturating_add(1);
        if joins {
            kept.1 = kept.1.max(next.1);
        }
        joins
    });
    ranges
}

/// `[1-5, 7-7]`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (begin, end)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{begin}-{end}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn ranges(ranges: &[(u64, u64)]) -> Ranges {
        Ranges::new(ranges.iter().copied()).unwrap()
    }

    #[test]
    fn they_are_joined_where_they_touch() {
        assert_eq!(ranges(&[(5, 7), (1, 4), (9, 9), (6, 6)]).to_string(), "[1-7, 9-9]");
        assert_eq!(ranges(&[(0, u64::MAX), (u64::MAX, u64::MAX)]).count(), u64::MAX);
        assert_eq!(ranges(&[]).to_string(), "[]");
        assert!(Ranges::new([(2, 1)]).is_err());
        let message = |ranges: &[(u64, u64)]| value::Ranges {
            range: ranges.iter().map(|&(begin, end)| value::Range { begin, end }).collect(),
        };
        assert_eq!(Ranges::from_proto(&message(&[(3, 4), (1, 2)])), Ok(ranges(&[(1, 4)])));
        for bad in [&[(1, 3), (3, 4)][..], &[(5, 10), (1, 7)], &[(2, 1)]] {
            assert!(Ranges::from_proto(&message(bad)).is_err());
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_safe() {
        let mut all = ranges(&[(0, u64::MAX)]);
        all.subtract(&ranges(&[(0, 0), (u64::MAX, u64::MAX)]));
        assert_eq!(all, ranges(&[(1, u64::MAX - 1)]));
        all.add(&ranges(&[(0, 0), (u64::MAX, u64::MAX)]));
        assert_eq!(all, ranges(&[(0, u64::MAX)]));
        all.subtract(&all.clone());
        assert!(all.is_empty());
    }

    #[test]
    fn they_behave_like_a_set_of_numbers() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut random = || {
            let pick = |rng: &mut ChaCha8Rng| {
                let begin = rng.random_range(0..60_u64);
                (begin, begin + rng.random_range(0..6))
            };
            let picks: Vec<_> = (0..rng.random_range(0..8)).map(|_| pick(&mut rng)).collect();
            let numbers: BTreeSet<u64> = picks.iter().flat_map(|&(begin, end)| begin..=end).collect();
            (Ranges::new(picks).unwrap(), numbers)
        };
        let numbers = |ranges: &Ranges| ranges.iter().flat_map(|(b, e)| b..=e).collect::<Vec<_>>();
        for _ in 0..3_000 {
            let ((left, left_set), (right, right_set)) = (random(), random());
            let mut sum = left.clone();
            sum.add(&right);
            assert_eq!(numbers(&sum), left_set.union(&right_set).copied().collect::<Vec<_>>());
            let mut difference = left.clone();
            difference.subtract(&right);
            assert_eq!(numbers(&difference), left_set.difference(&right_set).copied().collect::<Vec<_>>());
            assert_eq!(left.contains(&right), right_set.is_subset(&left_set));
            assert!(sum.contains(&left) && sum.contains(&right) && left.contains(&difference));
            assert_eq!(sum.count(), left_set.union(&right_set).count() as u64);
            // Held coalesced: no two of them touch.
            let held: Vec<_> = sum.iter().chain(std::iter::empty()).collect();
            assert!(held.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn a_hundred_thousand_are_no_trouble() {
        let odd = Ranges::new((0..100_000_u64).rev().map(|n| (2 * n + 1, 2 * n + 1))).unwrap();
        let mut all = odd.clone();
        all.add(&Ranges::new((0..100_000_u64).map(|n| (2 * n, 2 * n))).unwrap());
        assert_eq!(all.to_string(), "[0-199999]");
        assert!(all.contains(&odd));
        all.subtract(&odd);
        assert_eq!(all.iter().count(), 100_000);
        assert!(!all.contains(&odd));
    }
}
