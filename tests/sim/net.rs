//! The world's clock and wires: what is on its way, and when it arrives.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use mesos::base::time::Time;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Who acts in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    Master(usize),
    Agent(usize),
    Scheduler(usize),
    /// That masters are elected through.
    Ensemble,
}

/// How bad the wires are, in thousandths per message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub loss: u32,
    pub duplicate: u32,
    pub reorder: u32,
    pub slow: u32,
}

impl Weather {
    pub const CALM: Weather = Weather { loss: 0, duplicate: 0, reorder: 0, slow: 0 };
}

/// Events by time; equal times in the order they were put in.
pub struct Agenda<T> {
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    items: BTreeMap<u64, T>,
    next: u64,
}

impl<T> Agenda<T> {
    pub fn new() -> Agenda<T> {
        Agenda { heap: BinaryHeap::new(), items: BTreeMap::new(), next: 0 }
    }

    pub fn put(&mut self, at: Time, item: T) {
        self.heap.push(Reverse((at, self.next)));
        self.items.insert(self.next, item);
        self.next += 1;
    }

    pub fn take(&mut self) -> Option<(Time, T)> {
        loop {
            let Reverse((at, key)) = self.heap.pop()?;
            if let Some(item) = self.items.remove(&key) {
                return Some((at, item));
            }
        }
    }

    /// Takes out what will not happen after all.
    pub fn remove_if(&mut self, unwanted: impl Fn(&T) -> bool) {
        self.items.retain(|_, item| !unwanted(item));
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

pub struct Net {
    pub rng: ChaCha8Rng,
    pub weather: Weather,
    /// The last arrival on each wire, so that one connection keeps its order.
    last: BTreeMap<(Node, Node), Time>,
    /// Nothing passes between these, in either direction.
    cut: BTreeSet<(Node, Node)>,
}

impl Net {
    pub fn new(seed: u64) -> Net {
        Net {
            rng: ChaCha8Rng::seed_from_u64(seed),
            weather: Weather::CALM,
            last: BTreeMap::new(),
            cut: BTreeSet::new(),
        }
    }

    pub fn chance(&mut self, thousandths: u32) -> bool {
        self.rng.random_range(0..1000) < thousandths
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(from * 1000..=to * 1000))
    }

    pub fn cut(&mut self, a: Node, b: Node) {
        self.cut.insert((a, b));
        self.cut.insert((b, a));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        self.weather = Weather::CALM;
    }

    pub fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cut.contains(&(from, to))
    }

    /// When a message sent now arrives: nowhere, once, or twice.
    pub fn arrivals(&mut self, from: Node, to: Node, now: Time) -> Vec<Time> {
        if self.is_cut(from, to) || self.chance(self.weather.loss) {
            return vec![];
        }
        let mut delay = self.millis(0, 20);
        if self.chance(self.weather.slow) {
            delay += self.millis(100, 5000);
        }
        let mut at = now + delay;
        // Calls of a scheduler are on one connection: they may be late or come again, not in another order.
        let ordered = matches!(from, Node::Scheduler(_)) || !self.chance(self.weather.reorder);
        if ordered {
            let last = self.last.entry((from, to)).or_default();
            at = at.max(*last);
            *last = at;
        }
        if self.chance(self.weather.duplicate) {
            let again = at + self.millis(0, 3000);
            return vec![at, again];
        }
        vec![at]
    }
}
