//! The clock of a role: anchored once to the wall clock, then advanced by the monotonic one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::time::Time;

/// Gives the `Time` that cores are handed; copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The wall clock's time at `start`.
    anchor: Time,
    start: Instant,
}

impl Clock {
    pub fn new() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { anchor: Time::ZERO + wall, start: Instant::now() }
    }

    pub fn now(&self) -> Time {
        self.anchor + self.start.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
