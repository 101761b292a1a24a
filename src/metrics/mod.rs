//! Numbers about a role, under names, read by `/metrics/snapshot` and, for Prometheus, `/metrics`.
//!
//! A counter or gauge is an atomic that its owner keeps; a role with many numbers that follow from its state
//! gives them all at once by a function ([`Metrics::provide`]). Names are Mesos' (`master/tasks_running`).
//!
//! Timers ([`timer::Timer`]) also have percentiles of what lies not long back. Absent on purpose: longer histories.
//!
//! Source: 3rdparty/libprocess/src/metrics/metrics.cpp 1.11.

pub mod open_metrics;
pub mod timer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use futures::future::BoxFuture;
use http::Uri;

use crate::base::duration;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};
use crate::proto::Metric;

use open_metrics::Sample;
use timer::Timer;

/// A snapshot: every name with its value.
pub type Snapshot = BTreeMap<String, f64>;

type Provider = Box<dyn Fn(&mut Snapshot) + Send + Sync>;

/// Gives values that must be asked for, as a master's core is.
type Source = Arc<dyn Fn() -> BoxFuture<'static, Snapshot> + Send + Sync>;

/// Gives samples for `/metrics` that have no name in a snapshot.
type Samples = Arc<dyn Fn() -> BoxFuture<'static, Vec<Sample>> + Send + Sync>;

/// All metrics of a process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    shared: Arc<RwLock<Registered>>,
}

#[derive(Default)]
struct Registered {
    counters: BTreeMap<String, Counter>,
    gauges: BTreeMap<String, Gauge>,
    timers: BTreeMap<String, Timer>,
    providers: Vec<Provider>,
    sources: Vec<Source>,
    samples: Vec<Samples>,
}

/// Counts up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Metrics {
    /// The counter of that name, made if it is not there.
    pub fn counter(&self, name: &str) -> Counter {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.counters.entry(name.to_owned()).or_default().clone()
    }

    /// The gauge of that name, made if it is not there.
    pub fn gauge(&self, name: &str) -> Gauge {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.gauges.entry(name.to_owned()).or_default().clone()
    }

    /// The timer of that name, which ends in `_ms`, made if it is not there.
    pub fn timer(&self, name: &str) -> Timer {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.timers.entry(name.to_owned()).or_default().clone()
    }

    /// Adds a function that puts further values into every snapshot. It must not wait.
    pub fn provide(&self, provider: impl Fn(&mut Snapshot) + Send + Sync + 'static) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.providers.push(Box::new(provider));
    }

    /// As `provide`, for values that are waited for.
    pub fn ask<F>(&self, source: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Snapshot> + Send + 'static,
    {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.sources.push(Arc::new(move || Box::pin(source())));
    }

    /// Adds a source of samples for `/metrics` alone.
    pub fn ask_samples<F>(&self, source: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Vec<Sample>> + Send + 'static,
    {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.samples.push(Arc::new(move || Box::pin(source())));
    }

    async fn samples(&self) -> Vec<Sample> {
        let sources = self.shared.read().unwrap_or_else(PoisonError::into_inner).samples.clone();
        let asked = sources.iter().map(|source| source());
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Forgets a counter or gauge, as of a framework that is gone.
    pub fn remove(&self, name: &str) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.counters.remove(name);
        shared.gauges.remove(name);
    }

    pub fn snapshot(&self) -> Snapshot {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let counters = shared.counters.iter().map(|(name, counter)| (name.clone(), counter.value() as f64));
        let gauges = shared.gauges.iter().map(|(name, gauge)| (name.clone(), gauge.value()));
        let mut snapshot: Snapshot = counters.chain(gauges).collect();
        for (name, timer) in &shared.timers {
            timer.show(name, &mut snapshot);
        }
        for provider in &shared.providers {
            provider(&mut snapshot);
        }
        // JSON has no other numbers.
        snapshot.retain(|_, value| value.is_finite());
        snapshot
    }

    /// As `snapshot`, with what has to be waited for; what takes longer than `most` is left out.
    pub async fn full_snapshot(&self, most: Option<Duration>) -> Snapshot {
        let sources = self.shared.read().unwrap_or_else(PoisonError::into_inner).sources.clone();
        let mut snapshot = self.snapshot();
        let asked = sources.iter().map(|source| async move {
            match most {
                None => Some(source().await),
                Some(most) => tokio::time::timeout(most, source()).await.ok(),
            }
        });
        for values in futures::future::join_all(asked).await.into_iter().flatten() {
            snapshot.extend(values.into_iter().filter(|(_, value)| value.is_finite()));
        }
        snapshot
    }

    /// As `full_snapshot`, for the v1 API.
    pub async fn messages(&self, most: Option<Duration>) -> Vec<Metric> {
        let snapshot = self.full_snapshot(most).await;
        snapshot.into_iter().map(|(name, value)| Metric { name, value: Some(value) }).collect()
    }

    /// Binds `/metrics` and `/metrics/snapshot`.
    pub fn bind(&self, routes: &mut Routes) {
        routes.add("metrics", &open_metrics::ENDPOINT, any(open_metrics::show).with_state(self.clone()));
        routes.add("metrics", &SNAPSHOT, any(snapshot).with_state(self.clone()));
    }
}

const SNAPSHOT: Endpoint = Endpoint {
    path: "/snapshot",
    json: true,
    tldr: "Shows every metric as it is now.",
    description: &[
        "Answers with one object of names and numbers.",
        "",
        "Query parameters:",
        "",
        ">        timeout=VALUE       Leaves out what is not to be had within this time (e.g., 5secs).",
        ">        jsonp=VALUE         Function to wrap the answer in.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

async fn snapshot(State(metrics): State<Metrics>, uri: Uri) -> Result<Response, HttpError> {
    let query = Query::of(&uri);
    let parse = |timeout| {
        let bad = |error| HttpError::bad_request(format!("Invalid timeout '{timeout}': {error}.\n"));
        duration::parse(timeout).map_err(bad)
    };
    let most = query.get("timeout").map(parse).transpose()?;
    json::answer(&metrics.full_snapshot(most).await, query.get("jsonp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_by_name() {
        let metrics = Metrics::default();
        metrics.counter("master/tasks_lost").add(2);
        metrics.counter("master/tasks_lost").increment();
        metrics.gauge("master/cpus_total").set(0.5);
        metrics.gauge("master/nonsense").set(f64::NAN);
        metrics.provide(|snapshot| {
            snapshot.insert("a/first".to_owned(), 7.0);
        });
        let text = serde_json::to_string(&metrics.snapshot()).unwrap();
        assert_eq!(text, r#"{"a/first":7.0,"master/cpus_total":0.5,"master/tasks_lost":3.0}"#);
    }
}
