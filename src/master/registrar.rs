//! What is measured of the registry: how many operations wait, how long reading and each write take.
//!
//! Source: registrar.cpp 1.11, whose names these are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::metrics::Metrics;
use crate::metrics::timer::Timer;

/// Cheap to clone; clones share what they measured.
#[derive(Clone)]
pub struct Measures {
    queued: Arc<AtomicUsize>,
    fetched: Timer,
    stored: Timer,
}

impl Measures {
    pub fn of(metrics: &Metrics) -> Measures {
        let queued: Arc<AtomicUsize> = Arc::default();
        let shown = queued.clone();
        metrics.provide(move |snapshot| {
            let queued = shown.load(Ordering::Relaxed) as f64;
            snapshot.insert("registrar/queued_operations".to_owned(), queued);
        });
        let timer = |name: &str| metrics.timer(&format!("registrar/{name}"));
        Measures { queued, fetched: timer("state_fetch_ms"), stored: timer("state_store_ms") }
    }

    /// The registry was read.
    pub fn fetched(&self, took: Duration) {
        self.fetched.record(took);
    }

    /// A write is durable.
    pub fn stored(&self, took: Duration) {
        self.stored.record(took);
    }

    /// So many operations wait for their write to begin.
    pub fn queued(&self, count: usize) {
        self.queued.store(count, Ordering::Relaxed);
    }
}
