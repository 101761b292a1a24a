//! What a loop is to be woken for, and when.

use std::collections::BTreeMap;

use super::time::Time;

/// Timers, the earliest first; of equal times the one set first. None is ever cancelled: whoever is woken for
/// nothing recognises it.
#[derive(Debug)]
pub struct Timers<T> {
    armed: u64,
    waiting: BTreeMap<(Time, u64), T>,
}

impl<T> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers { armed: 0, waiting: BTreeMap::new() }
    }
}

impl<T> Timers<T> {
    pub fn arm(&mut self, at: Time, timer: T) {
        self.armed += 1;
        self.waiting.insert((at, self.armed), timer);
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes those that are due by now, and not what their handling arms: events have their turn in between.
    pub fn due(&mut self, now: Time) -> Vec<T> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            due.extend(self.waiting.pop_first().map(|(_, timer)| timer));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_first_and_of_equals_the_first_set() {
        let mut timers = Timers::default();
        for (at, name) in [(7, "late"), (5, "one"), (5, "two"), (3, "early")] {
            timers.arm(Time(at), name);
        }
        assert_eq!(timers.next(), Some(Time(3)));
        assert_eq!(timers.due(Time(2)), [""; 0]);
        assert_eq!(timers.due(Time(5)), ["early", "one", "two"]);
        assert_eq!((timers.next(), timers.due(Time(7))), (Some(Time(7)), vec!["late"]));
        assert_eq!(timers.next(), None);
    }
}
