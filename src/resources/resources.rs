//! The bag of resources.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, SubAssign};

use super::{Entry, Invalid, Name, Quantities, Ranges, Role, Set, Value, convert};
use crate::proto;
use crate::proto::resource::ReservationInfo;

/// Resources, each kind once: amounts of the same kind are added up.
///
/// Held in the order of their kinds, so that bags add, subtract and compare in one pass over both, however large
/// (a task may come with 100,000 resources). Nothing is ever empty or negative in it. Volumes and whole disks are
/// taken as they are or not at all. A bag of unreserved scalars copies no text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    entries: Vec<Entry>,
}

/// Up to so many entries are put into a bag one by one, in place.
const FEW: usize = 8;

impl Resources {
    pub const fn new() -> Resources {
        Resources { entries: Vec::new() }
    }

    /// Reads resources of any format; empty ones are left out. The error names the resource that is wrong.
    pub fn from_protos(messages: &[proto::Resource]) -> Result<Resources, Invalid> {
        let mut entries = Vec::with_capacity(messages.len());
        for message in messages {
            let entry =
                Entry::from_proto(message).map_err(|error| super::validate::naming(message, &error))?;
            entries.push(entry);
        }
        Ok(Resources::collect(entries))
    }

    fn collect(mut entries: Vec<Entry>) -> Resources {
        entries.retain(|entry| !entry.value.is_empty());
        entries.sort_by(Entry::compare_kind);
        let mut merged: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut rest = entries.into_iter().peekable();
        while let Some(mut entry) = rest.next() {
            let mut ranges = Vec::new();
            while let Some(next) = rest.next_if(|next| is_same(&entry, next)) {
                match next.value {
                    // Joined all at once: one by one would be quadratic.
                    Value::Ranges(more) => ranges.extend(more.iter()),
                    _ => merge(&mut entry, &next),
                }
            }
            if !ranges.is_empty()
                && let Value::Ranges(own) = &mut entry.value
                && let Ok(more) = Ranges::new(ranges)
            {
                own.add(&more);
            }
            merged.push(entry);
        }
        Resources { entries: merged }
    }

    /// Messages with reservations as a stack (`RESERVATION_REFINEMENT`). Shared ones come as often as they count.
    pub fn to_protos(&self) -> Vec<proto::Resource> {
        let copies = |entry: &Entry| if entry.is_shared() { entry.copies as usize } else { 1 };
        self.entries.iter().flat_map(|entry| std::iter::repeat_n(entry.to_proto(), copies(entry))).collect()
    }

    /// Messages for a peer or framework that knows no stack of reservations; refused if one is refined.
    pub fn to_old_protos(&self) -> Result<Vec<proto::Resource>, Invalid> {
        let mut messages = self.to_protos();
        messages.iter_mut().try_for_each(convert::downgrade_resource)?;
        Ok(messages)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many kinds there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    pub fn add(&mut self, other: &Resources) {
        if self.entries.is_empty() {
            self.entries.clone_from(&other.entries);
        } else if other.entries.len() <= FEW {
            for entry in &other.entries {
                self.add_entry(entry);
            }
        } else {
            let mut all = std::mem::take(&mut self.entries);
            all.extend_from_slice(&other.entries);
            *self = Resources::collect(all);
        }
    }

    fn add_entry(&mut self, entry: &Entry) {
        match self.entries.binary_search_by(|own| own.compare_kind(entry)) {
            Ok(index) if is_same(&self.entries[index], entry) => merge(&mut self.entries[index], entry),
            Ok(index) | Err(index) => self.entries.insert(index, entry.clone()),
        }
    }

    /// Takes away what is there of `other`. Of what is not, nothing: see `take` for the books' way.
    pub fn subtract(&mut self, other: &Resources) {
        if other.entries.len() <= FEW {
            for entry in &other.entries {
                let found = self.entries.binary_search_by(|own| own.compare_kind(entry));
                if let Ok(index) = found
                    && !reduce(&mut self.entries[index], entry)
                {
                    self.entries.remove(index);
                }
            }
            return;
        }
        let mut others = other.entries.iter().peekable();
        self.entries.retain_mut(|own| {
            while others.next_if(|next| next.compare_kind(own) == Ordering::Less).is_some() {}
            match others.next_if(|next| next.compare_kind(own) == Ordering::Equal) {
                Some(entry) => reduce(own, entry),
                None => true,
            }
        });
    }

    /// Takes `other` away if all of it is there; false, and nothing done, if not.
    #[must_use]
    pub fn take(&mut self, other: &Resources) -> bool {
        let contains = self.contains(other);
        if contains {
            self.subtract(other);
        }
        contains
    }

    /// Is all of `other` here, of the very kinds (reservation, allocation, volume)?
    pub fn contains(&self, other: &Resources) -> bool {
        if other.entries.len() <= FEW && other.entries.iter().all(|entry| !entry.is_atomic()) {
            return other.entries.iter().all(|entry| {
                let found = self.entries.binary_search_by(|own| own.compare_kind(entry));
                found.is_ok_and(|index| holds(&self.entries[index], entry))
            });
        }
        // Equal volumes stand side by side; each one of ours answers for one of theirs.
        let mut own = self.entries.iter().peekable();
        other.entries.iter().all(|entry| {
            while own.next_if(|own| own.compare_kind(entry) == Ordering::Less).is_some() {}
            own.next_if(|own| own.compare_kind(entry) == Ordering::Equal).is_some_and(|own| holds(own, entry))
        })
    }

    pub fn filter(&self, keep: impl Fn(&Entry) -> bool) -> Resources {
        Resources { entries: self.entries.iter().filter(|entry| keep(entry)).cloned().collect() }
    }

    pub fn unreserved(&self) -> Resources {
        self.filter(|entry| !entry.is_reserved())
    }

    pub fn reserved(&self) -> Resources {
        self.filter(Entry::is_reserved)
    }

    /// What is reserved for `role` itself.
    pub fn reserved_for(&self, role: &str) -> Resources {
        self.filter(|entry| entry.reservation_role() == Some(role))
    }

    /// What `role` may be offered: its own, its ancestors', and the unreserved.
    pub fn allocatable_to(&self, role: &str) -> Resources {
        self.filter(|entry| entry.is_allocatable_to(role))
    }

    pub fn revocable(&self) -> Resources {
        self.filter(Entry::is_revocable)
    }

    pub fn non_revocable(&self) -> Resources {
        self.filter(|entry| !entry.is_revocable())
    }

    /// By the role of their reservation.
    pub fn reservations(&self) -> BTreeMap<&str, Resources> {
        let mut split: BTreeMap<&str, Resources> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(role) = entry.reservation_role() {
                split.entry(role).or_default().entries.push(entry.clone());
            }
        }
        split
    }

    /// By the role they are allocated to; what is allocated to none is left out.
    pub fn allocations(&self) -> BTreeMap<&Role, Resources> {
        let mut split: BTreeMap<&Role, Resources> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(role) = entry.allocation() {
                split.entry(role).or_default().entries.push(entry.clone());
            }
        }
        split
    }

    /// Marks all as held by `role`.
    pub fn allocate(&mut self, role: &Role) {
        self.set_allocation(Some(role));
    }

    pub fn unallocate(&mut self) {
        self.set_allocation(None);
    }

    fn set_allocation(&mut self, role: Option<&Role>) {
        let mut differed = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.allocation.as_ref() != role) {
            entry.allocation = role.cloned();
            differed = true;
        }
        // What was of two roles may now be of one kind.
        if differed && self.entries.windows(2).any(|pair| pair[0].compare_kind(&pair[1]) != Ordering::Less) {
            *self = Resources::collect(std::mem::take(&mut self.entries));
        }
    }

    /// Puts a reservation on top of those of every resource. Whether it may be there is the caller's to check.
    #[must_use]
    pub fn push_reservation(&self, reservation: &ReservationInfo) -> Resources {
        self.map_reservations(|stack| stack.push(reservation.clone()))
    }

    /// Takes the topmost reservation off every resource that has one.
    #[must_use]
    pub fn pop_reservation(&self) -> Resources {
        self.map_reservations(|stack| {
            stack.pop();
        })
    }

    #[must_use]
    pub fn to_unreserved(&self) -> Resources {
        if self.entries.iter().all(|entry| !entry.is_reserved()) {
            return self.clone();
        }
        self.map_reservations(Vec::clear)
    }

    fn map_reservations(&self, change: impl Fn(&mut Vec<ReservationInfo>)) -> Resources {
        let changed = self.entries.iter().map(|entry| {
            let mut stack = entry.details().map(|details| details.reservations.clone()).unwrap_or_default();
            change(&mut stack);
            entry.with_reservations(stack)
        });
        Resources::collect(changed.collect())
    }

    /// How much there is of each scalar.
    pub fn quantities(&self) -> Quantities {
        let mut quantities = Quantities::new();
        for entry in &self.entries {
            if let Value::Scalar(amount) = entry.value {
                quantities.add_one(&entry.name, amount);
            }
        }
        quantities
    }

    /// Thousandths of a scalar in all its kinds; `None` if there is none.
    pub fn scalar(&self, name: &str) -> Option<i64> {
        self.named(name).filter_map(Entry::scalar).reduce(i64::saturating_add)
    }

    /// All ranges of this name together.
    pub fn ranges(&self, name: &str) -> Ranges {
        let ranges = self.named(name).filter_map(|entry| match &entry.value {
            Value::Ranges(ranges) => Some(ranges),
            _ => None,
        });
        ranges.fold(Ranges::default(), |mut all, ranges| {
            all.add(ranges);
            all
        })
    }

    /// All sets of this name together.
    pub fn set(&self, name: &str) -> Set {
        let sets = self.named(name).filter_map(|entry| match &entry.value {
            Value::Set(set) => Some(set),
            _ => None,
        });
        sets.fold(Set::default(), |mut all, set| {
            all.add(set);
            all
        })
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|entry| *entry.name < *name);
        self.entries[from..].iter().take_while(move |entry| *entry.name == *name)
    }

    /// Thousandths of a cpu.
    pub fn cpus(&self) -> i64 {
        self.scalar("cpus").unwrap_or(0)
    }

    /// Thousandths of a megabyte.
    pub fn mem(&self) -> i64 {
        self.scalar("mem").unwrap_or(0)
    }

    /// Thousandths of a megabyte.
    pub fn disk(&self) -> i64 {
        self.scalar("disk").unwrap_or(0)
    }

    /// Thousandths of a GPU.
    pub fn gpus(&self) -> i64 {
        self.scalar("gpus").unwrap_or(0)
    }

    pub fn ports(&self) -> Ranges {
        self.ranges("ports")
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        let mut last: Option<&Name> = None;
        self.entries.iter().map(Entry::name).filter(move |name| last.replace(name) != Some(name))
    }
}

/// Are these held as one entry? Divisible ones of a kind are; shared ones are counted.
fn is_same(own: &Entry, other: &Entry) -> bool {
    own.compare_kind(other) == Ordering::Equal && (!own.is_atomic() || own.is_shared())
}

/// Adds to an entry one of the same kind.
fn merge(own: &mut Entry, other: &Entry) {
    if own.is_shared() {
        own.copies = own.copies.saturating_add(other.copies);
    } else {
        own.value.add(&other.value);
    }
}

/// Takes from an entry one of the same kind; false if nothing remains.
fn reduce(own: &mut Entry, other: &Entry) -> bool {
    if own.is_shared() {
        own.copies = own.copies.saturating_sub(other.copies);
        own.copies > 0
    } else if own.is_atomic() {
        false
    } else {
        own.value.subtract(&other.value);
        !own.value.is_empty()
    }
}

/// Is there as much as `other` has, which is of the same kind?
fn holds(own: &Entry, other: &Entry) -> bool {
    if own.is_shared() { own.copies >= other.copies } else { own.value.contains(&other.value) }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        self.add(other);
    }
}

impl SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Resources) {
        self.subtract(other);
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl FromIterator<Entry> for Resources {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Resources {
        Resources::collect(entries.into_iter().collect())
    }
}

/// `cpus:4; mem:1024; ports:[1-5]`.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
