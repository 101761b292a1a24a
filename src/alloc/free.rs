//! What is free on an agent, and the small sums the books need.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::Role;
use super::amounts::{Amounts, Kinds};
use super::hierarchical::Abilities;
use crate::resources::{Entry, Quantities, Resources};

#[derive(Clone, Debug, Default)]
pub(super) struct Free {
    pub(super) all: Resources,
    /// Of all scalars.
    pub(super) amounts: Amounts,
    /// Nothing is reserved or special, so anybody may have all of it.
    plain: bool,
}

impl Free {
    pub(super) fn new(all: Resources, kinds: &mut Kinds) -> Free {
        let amounts = amounts(&all, kinds);
        let plain = all.iter().all(|entry| entry.details().is_none());
        Free { all, amounts, plain }
    }

    /// What is left when `gift` is gone.
    pub(super) fn without(&self, gift: &Resources, kinds: &mut Kinds) -> Free {
        Free::new(less(&self.all, gift), kinds)
    }

    /// What a framework of these abilities may be offered in `role`: the unreserved, and what is reserved for
    /// the role or for one above it.
    ///
    /// Source: `allocatableTo`, `stripIncapableResources`, 1.11.
    pub(super) fn open_to(&self, role: &str, abilities: Abilities) -> Cow<'_, Resources> {
        if self.plain {
            return Cow::Borrowed(&self.all);
        }
        Cow::Owned(self.all.filter(|entry| entry.is_allocatable_to(role) && abilities.understand(entry)))
    }
}

impl Abilities {
    fn understand(self, entry: &Entry) -> bool {
        let refined = entry.details().is_some_and(|details| details.reservations.len() > 1);
        (self.shared || !entry.is_shared())
            && (self.revocable || !entry.is_revocable())
            && (self.refined || !refined)
    }
}

/// Scalars by kind.
pub(super) fn amounts(resources: &Resources, kinds: &mut Kinds) -> Amounts {
    let mut amounts = Amounts::default();
    for entry in resources {
        if let Some(amount) = entry.scalar() {
            amounts.bump(kinds.number(entry.name()), amount);
        }
    }
    amounts
}

pub(super) fn least(quantities: &Quantities, kinds: &mut Kinds) -> Amounts {
    let mut amounts = Amounts::default();
    for (name, amount) in quantities.iter() {
        amounts.bump(kinds.number(name), amount);
    }
    amounts
}

/// `from` without what it has of `taken`.
pub(super) fn less(from: &Resources, taken: &Resources) -> Resources {
    let mut left = from.clone();
    left.subtract(taken);
    left
}

/// What both have.
pub(super) fn common(one: &Resources, other: &Resources) -> Resources {
    // Most are: then what remains of either is found out without a look at it.
    if one == other {
        return one.clone();
    }
    if one.contains(other) {
        return other.clone();
    }
    less(one, &less(one, other))
}

/// Splits by the role of allocation and takes the mark off; what has none goes to `unmarked`.
pub(super) fn by_allocation_role(resources: &Resources, unmarked: Role) -> SmallVec<[(Role, Resources); 1]> {
    let first = resources.iter().next().and_then(Entry::allocation);
    if resources.iter().all(|entry| entry.allocation() == first) {
        let role = first.cloned().unwrap_or(unmarked);
        let mut plain = resources.clone();
        plain.unallocate();
        return if plain.is_empty() { SmallVec::new() } else { smallvec![(role, plain)] };
    }
    let mut split: SmallVec<[(Role, Resources); 1]> =
        resources.allocations().into_iter().map(|(role, part)| (role.clone(), part)).collect();
    let rest = resources.filter(|entry| entry.allocation().is_none());
    if !rest.is_empty() {
        split.push((unmarked, rest));
    }
    for (_, part) in &mut split {
        part.unallocate();
    }
    split
}
