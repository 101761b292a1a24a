//! Things found by id once and by a small dense number from then on.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;

/// Slots of `T`, named `K` from outside. A number is used again after its thing is gone.
#[derive(Clone, Debug)]
pub(super) struct Arena<K, T> {
    numbers: HashMap<K, u32, RandomState>,
    slots: Vec<Option<(K, T)>>,
    vacant: Vec<u32>,
}

impl<K, T> Default for Arena<K, T> {
    fn default() -> Self {
        Arena { numbers: HashMap::default(), slots: Vec::new(), vacant: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, T> Arena<K, T> {
    /// Adds, or replaces what has this key.
    pub(super) fn insert(&mut self, key: K, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&key) {
            self.slots[number as usize] = Some((key, value));
            return number;
        }
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[number as usize] = Some((key.clone(), value));
        self.numbers.insert(key, number);
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<(K, T)> {
        let (key, value) = self.slots.get_mut(number as usize)?.take()?;
        self.numbers.remove(&key);
        self.vacant.push(number);
        Some((key, value))
    }

    pub(super) fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.numbers.get(key).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut().map(|(_, value)| value)
    }

    pub(super) fn key(&self, number: u32) -> Option<&K> {
        self.slots.get(number as usize)?.as_ref().map(|(key, _)| key)
    }

    /// In order of number, so that a run repeats exactly.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(n, slot)| Some((n as u32, &slot.as_ref()?.1)))
    }
}
