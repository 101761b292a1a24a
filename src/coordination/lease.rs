//! Until when this process may act as the leader, by a clock that runs while a process or a machine sleeps.
//!
//! Source: none; Apache Mesos' leader acts until it hears of the end of its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::time::{ClockId, clock_gettime};

use crate::base::time::Time;

/// The time since the machine started, suspended or not. Meant for comparison with itself alone.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux since 2.6.39 has this clock");
    let secs = u64::try_from(time.tv_sec()).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or_default();
    Time(secs * 1_000_000_000 + nanos)
}

/// The leader's right to act. Cheap to clone and to ask; copies agree.
#[derive(Clone, Debug)]
pub struct Lease {
    /// None: for ever.
    until: Option<Arc<AtomicU64>>,
}

impl Lease {
    /// Of a master that stands alone.
    pub fn forever() -> Lease {
        Lease { until: None }
    }

    /// One that nobody has yet.
    pub fn lapsed() -> Lease {
        Lease { until: Some(Arc::default()) }
    }

    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        self.holds_at(now())
    }

    /// Whether it holds at this time of the clock that it is kept by.
    pub fn holds_at(&self, time: Time) -> bool {
        self.until.as_ref().is_none_or(|until| time < Time(until.load(Ordering::Acquire)))
    }

    /// For who holds the session.
    pub fn hold_until(&self, time: Time) {
        if let Some(until) = &self.until {
            until.store(time.0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_holds_until_its_time() {
        assert!(Lease::forever().holds());
        let lease = Lease::lapsed();
        assert!(!lease.holds());
        lease.clone().hold_until(now() + Duration::from_secs(60));
        assert!(lease.holds());
        lease.hold_until(now());
        assert!(!lease.holds());
    }
}
