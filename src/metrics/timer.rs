//! How long something took: the last time, and percentiles of the times before it.
//!
//! Source: `Timer`, timer.hpp, and `Statistics`, statistics.hpp, libprocess 1.11: same names, the same
//! interpolation, and as many times kept; Mesos thins them out beyond that, here the oldest give way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Snapshot;

/// Times kept. Source: `TIME_SERIES_CAPACITY`, timeseries.hpp 1.11.
const CAPACITY: usize = 1000;

/// Names of percentiles, and which part of the times lies below.
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)];

/// Times in milliseconds. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Timer(Arc<Mutex<VecDeque<f64>>>);

impl Timer {
    pub fn record(&self, took: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == CAPACITY {
            times.pop_front();
        }
        times.push_back(took.as_secs_f64() * 1000.0);
    }

    /// Puts all that is known under `name` and names below it; nothing before the first time, and no statistics
    /// of a single one. Source: `Statistics::from`, statistics.hpp 1.11.
    pub fn show(&self, name: &str, snapshot: &mut Snapshot) {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(last) = times.back().copied() else { return };
        snapshot.insert(name.to_owned(), last);
        let mut times = Vec::from(times);
        if times.len() < 2 {
            return;
        }
        times.sort_unstable_by(f64::total_cmp);
        let mut set = |what: &str, value: f64| snapshot.insert(format!("{name}/{what}"), value);
        set("count", times.len() as f64);
        set("min", times[0]);
        set("max", times[times.len() - 1]);
        for (what, part) in PERCENTILES {
            set(what, percentile(&times, part));
        }
    }
}

/// Of sorted times, at least one: the value that `part` of them lie below, between two neighbours in proportion.
fn percentile(times: &[f64], part: f64) -> f64 {
    let place = part * (times.len() - 1) as f64;
    let below = (place.floor() as usize).min(times.len() - 1);
    let above = (below + 1).min(times.len() - 1);
    times[below] + (place - below as f64) * (times[above] - times[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(timer: &Timer) -> Snapshot {
        let mut snapshot = Snapshot::new();
        timer.show("run_ms", &mut snapshot);
        snapshot
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let timer = Timer::default();
        assert!(shown(&timer).is_empty());
        timer.record(Duration::from_millis(100));
        assert_eq!(shown(&timer), Snapshot::from([("run_ms".to_owned(), 100.0)]));
        for ms in (0..100).rev() {
            timer.record(Duration::from_millis(ms));
        }
        let shown = shown(&timer);
        let of = |what: &str| shown[&format!("run_ms/{what}")];
        assert_eq!((shown["run_ms"], of("count"), of("min"), of("max")), (0.0, 101.0, 0.0, 100.0));
        assert_eq!((of("p50"), of("p90"), of("p99")), (50.0, 90.0, 99.0));
        assert!((of("p9999") - 99.99).abs() < 1e-9);
        assert_eq!(shown.len(), 10);
    }

    #[test]
    fn the_oldest_times_give_way() {
        let timer = Timer::default();
        for ms in 0..2500 {
            timer.record(Duration::from_millis(ms));
        }
        let shown = shown(&timer);
        assert_eq!(
            (shown["run_ms/count"], shown["run_ms/min"], shown["run_ms/max"]),
            (1000.0, 1500.0, 2499.0)
        );
    }
}
