//! Scalar quantities as short arrays.
//!
//! Sorters and minimum checks only ask "how much cpus, how much mem". Every resource name gets a small
//! number once (`Kinds`), and an `Amounts` holds thousandths by that number.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

/// The number of a resource name; the same for the life of an allocator.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    names: HashMap<Arc<str>, usize, RandomState>,
}

impl Kinds {
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let number = self.names.len();
        self.names.insert(name.into(), number);
        number
    }
}

/// Thousandths by kind. What lies beyond the end is zero. Never negative.
#[derive(Clone, Debug, Default)]
pub(super) struct Amounts(SmallVec<[i64; 6]>);

impl Amounts {
    pub(super) fn get(&self, kind: usize) -> i64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Adds `by` (may be negative; the sum stays at or above zero) to one kind.
    pub(super) fn bump(&mut self, kind: usize, by: i64) {
        if self.0.len() <= kind {
            self.0.resize(kind + 1, 0);
        }
        self.0[kind] = self.0[kind].saturating_add(by).max(0);
    }

    pub(super) fn add(&mut self, other: &Amounts) {
        for (kind, &by) in other.0.iter().enumerate() {
            self.bump(kind, by);
        }
    }

    pub(super) fn subtract(&mut self, other: &Amounts) {
        for (kind, &by) in other.0.iter().enumerate() {
            self.bump(kind, -by);
        }
    }

    /// At least `other` of every kind.
    pub(super) fn covers(&self, other: &Amounts) -> bool {
        other.0.iter().enumerate().all(|(kind, &least)| self.get(kind) >= least)
    }

    /// Kinds with their thousandths, zero ones included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.0.iter().copied().enumerate()
    }
}

impl PartialEq for Amounts {
    fn eq(&self, other: &Amounts) -> bool {
        self.covers(other) && other.covers(self)
    }
}

impl Eq for Amounts {}
