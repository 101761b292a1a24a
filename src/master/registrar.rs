//! What is measured of the registry's store, from an operation's handing over until it is durable.
//!
//! Source: registrar.cpp 1.11, whose names these are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::base::time::Time;
use crate::metrics::Metrics;
use crate::metrics::timer::Timer;

/// Cheap to clone; clones share what they measured.
#[derive(Clone)]
pub struct Registrar {
    queued: Arc<AtomicI64>,
    fetched: Timer,
    stored: Timer,
}

/// An operation under way.
pub struct Submitted {
    registrar: Registrar,
    at: Time,
}

impl Registrar {
    pub fn of(metrics: &Metrics) -> Registrar {
        let queued: Arc<AtomicI64> = Arc::default();
        let shown = queued.clone();
        metrics.provide(move |snapshot| {
            let queued = shown.load(Ordering::Relaxed).max(0) as f64;
            snapshot.insert("registrar/queued_operations".to_owned(), queued);
        });
        let timer = |name: &str| metrics.timer(&format!("registrar/{name}"));
        Registrar { queued, fetched: timer("state_fetch_ms"), stored: timer("state_store_ms") }
    }

    /// The registry was read.
    pub fn fetched(&self, took: Duration) {
        self.fetched.record(took);
    }

    pub fn submitted(&self, now: Time) -> Submitted {
        self.queued.fetch_add(1, Ordering::Relaxed);
        Submitted { registrar: self.clone(), at: now }
    }
}

impl Submitted {
    /// It is durable, or was refused.
    pub fn done(self, now: Time) {
        self.registrar.queued.fetch_sub(1, Ordering::Relaxed);
        self.registrar.stored.record(now.since(self.at));
    }
}
