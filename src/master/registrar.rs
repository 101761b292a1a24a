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
    size: Arc<AtomicUsize>,
    fetched: Timer,
    stored: Timer,
}

impl Measures {
    pub fn of(metrics: &Metrics) -> Measures {
        let (queued, size): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let shown = [("queued_operations", queued.clone()), ("registry_size_bytes", size.clone())];
        metrics.provide(move |snapshot| {
            for (name, value) in &shown {
                snapshot.insert(format!("registrar/{name}"), value.load(Ordering::Relaxed) as f64);
            }
        });
        let timer = |name: &str| metrics.timer(&format!("registrar/{name}"));
        Measures { queued, size, fetched: timer("state_fetch_ms"), stored: timer("state_store_ms") }
    }

    /// The registry was read.
    pub fn fetched(&self, took: Duration) {
        self.fetched.record(took);
    }

    /// A write is durable.
    pub fn stored(&self, took: Duration) {
        self.stored.record(took);
    }

    /// So many operations wait for their write to begin, and the records take so many bytes.
    pub fn now(&self, queued: usize, size: usize) {
        self.queued.store(queued, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
    }
}
