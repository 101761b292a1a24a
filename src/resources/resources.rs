//! The bag of resources.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;

use super::{Entry, Invalid, Name, Quantities, Ranges, Role, Set, Value, convert};
use crate::proto;
use crate::proto::resource::ReservationInfo;

/// Resources, each kind once: amounts of the same kind are added up.
///
/// Held in the order of their kinds, so that bags add, subtract and compare in one pass over both, however large
/// (a task may come with 100,000 resources). Nothing is ever empty or negative in it. Volumes and whole disks are
/// taken as they are or not at all. A bag of unreserved scalars copies no text.
///
/// A clone shares its entries until one of both is changed: what an agent has, what of it is free, offered and held
/// is the same bag most of the time.
#[derive(Clone, Default)]
pub struct Resources {
    /// None if there are none.
    entries: Option<Arc<Vec<Entry>>>,
}

/// Up to so many entries are put into a bag one by one, in place.
const FEW: usize = 8;

impl Resources {
    pub const fn new() -> Resources {
        Resources { entries: None }
    }

    /// Of entries that are in order, each kind once.
    fn of(entries: Vec<Entry>) -> Resources {
        Resources { entries: (!entries.is_empty()).then(|| Arc::new(entries)) }
    }

    fn entries(&self) -> &[Entry] {
        self.entries.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Changes the entries in place, in a copy of them if others share them.
    fn change(&mut self, change: impl FnOnce(&mut Vec<Entry>)) {
        let entries = Arc::make_mut(self.entries.get_or_insert_default());
        change(entries);
        if entries.is_empty() {
            self.entries = None;
        }
    }

    /// The entries, out of a copy if others share them.
    fn into_entries(self) -> Vec<Entry> {
        self.entries.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    /// Whether both are clones of the same bag.
    fn shares_with(&self, other: &Resources) -> bool {
        match (&self.entries, &other.entries) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
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
        Resources::of(merged)
    }

    /// Messages with reservations as a stack (`RESERVATION_REFINEMENT`). Shared ones come as often as they count.
    pub fn to_protos(&self) -> Vec<proto::Resource> {
        let copies = |entry: &Entry| if entry.is_shared() { entry.copies as usize } else { 1 };
        self.iter().flat_map(|entry| std::iter::repeat_n(entry.to_proto(), copies(entry))).collect()
    }

    /// Messages for a peer or framework that knows no stack of reservations; refused if one is refined.
    pub fn to_old_protos(&self) -> Result<Vec<proto::Resource>, Invalid> {
        let mut messages = self.to_protos();
        messages.iter_mut().try_for_each(convert::downgrade_resource)?;
        Ok(messages)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_none()
    }

    /// How many kinds there are.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries().iter()
    }

    pub fn add(&mut self, other: &Resources) {
        if self.is_empty() {
            self.clone_from(other);
        } else if other.len() <= FEW {
            self.change(|entries| other.iter().for_each(|entry| add_entry(entries, entry)));
        } else {
            let mut all = std::mem::take(self).into_entries();
            all.extend_from_slice(other.entries());
            *self = Resources::collect(all);
        }
    }

    /// Takes away what is there of `other`. Of what is not, nothing: see `take` for the books' way.
    pub fn subtract(&mut self, other: &Resources) {
        if self.shares_with(other) {
            *self = Resources::new();
        } else if !self.is_empty() && !other.is_empty() {
            self.change(|entries| subtract_from(entries, other));
        }
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
        if self.shares_with(other) {
            return true;
        }
        let entries = self.entries();
        if other.len() <= FEW && other.iter().all(|entry| !entry.is_atomic()) {
            return other.iter().all(|entry| {
                let found = entries.binary_search_by(|own| own.compare_kind(entry));
                found.is_ok_and(|index| holds(&entries[index], entry))
            });
        }
        // Equal volumes stand side by side; each one of ours answers for one of theirs.
        let mut own = entries.iter().peekable();
        other.iter().all(|entry| {
            while own.next_if(|own| own.compare_kind(entry) == Ordering::Less).is_some() {}
            own.next_if(|own| own.compare_kind(entry) == Ordering::Equal).is_some_and(|own| holds(own, entry))
        })
    }

    pub fn filter(&self, keep: impl Fn(&Entry) -> bool) -> Resources {
        if self.iter().all(&keep) {
            return self.clone();
        }
        Resources::of(self.iter().filter(|entry| keep(entry)).cloned().collect())
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
        self.split(Entry::reservation_role)
    }

    /// By the role they are allocated to; what is allocated to none is left out.
    pub fn allocations(&self) -> BTreeMap<&Role, Resources> {
        self.split(Entry::allocation)
    }

    fn split<'a, K: Ord>(&'a self, key: impl Fn(&'a Entry) -> Option<K>) -> BTreeMap<K, Resources> {
        let mut split: BTreeMap<K, Vec<Entry>> = BTreeMap::new();
        for entry in self {
            if let Some(key) = key(entry) {
                split.entry(key).or_default().push(entry.clone());
            }
        }
        split.into_iter().map(|(key, entries)| (key, Resources::of(entries))).collect()
    }

    /// Marks all as held by `role`.
    pub fn allocate(&mut self, role: &Role) {
        self.set_allocation(Some(role));
    }

    pub fn unallocate(&mut self) {
        self.set_allocation(None);
    }

    fn set_allocation(&mut self, role: Option<&Role>) {
        if self.iter().all(|entry| entry.allocation.as_ref() == role) {
            return;
        }
        let mut entries = std::mem::take(self).into_entries();
        entries.iter_mut().for_each(|entry| entry.allocation = role.cloned());
        // What was of two roles may now be of one kind.
        let distinct = entries.windows(2).all(|pair| pair[0].compare_kind(&pair[1]) == Ordering::Less);
        *self = if distinct { Resources::of(entries) } else { Resources::collect(entries) };
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
        if self.iter().all(|entry| !entry.is_reserved()) {
            return self.clone();
        }
        self.map_reservations(Vec::clear)
    }

    fn map_reservations(&self, change: impl Fn(&mut Vec<ReservationInfo>)) -> Resources {
        let changed = self.iter().map(|entry| {
            let mut stack = entry.details().map(|details| details.reservations.clone()).unwrap_or_default();
            change(&mut stack);
            entry.with_reservations(stack)
        });
        Resources::collect(changed.collect())
    }

    /// How much there is of each scalar.
    pub fn quantities(&self) -> Quantities {
        let mut quantities = Quantities::new();
        for entry in self {
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
        let from = self.entries().partition_point(|entry| *entry.name < *name);
        self.entries()[from..].iter().take_while(move |entry| *entry.name == *name)
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
        self.iter().map(Entry::name).filter(move |name| last.replace(name) != Some(name))
    }
}

fn add_entry(entries: &mut Vec<Entry>, entry: &Entry) {
    match entries.binary_search_by(|own| own.compare_kind(entry)) {
        Ok(index) if is_same(&entries[index], entry) => merge(&mut entries[index], entry),
        Ok(index) | Err(index) => entries.insert(index, entry.clone()),
    }
}

fn subtract_from(entries: &mut Vec<Entry>, other: &Resources) {
    if other.len() <= FEW {
        for entry in other {
            let found = entries.binary_search_by(|own| own.compare_kind(entry));
            if let Ok(index) = found
                && !reduce(&mut entries[index], entry)
            {
                entries.remove(index);
            }
        }
        return;
    }
    let mut others = other.iter().peekable();
    entries.retain_mut(|own| {
        while others.next_if(|next| next.compare_kind(own) == Ordering::Less).is_some() {}
        match others.next_if(|next| next.compare_kind(own) == Ordering::Equal) {
            Some(entry) => reduce(own, entry),
            None => true,
        }
    });
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

impl PartialEq for Resources {
    fn eq(&self, other: &Resources) -> bool {
        self.shares_with(other) || self.entries() == other.entries()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("entries", &self.entries()).finish()
    }
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
        self.entries().iter()
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
        for (index, entry) in self.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
