//! The machine: `/system/stats.json`, and the same as metrics (`system/load_1min`).
//!
//! Source: system.hpp, libprocess 1.11.

use axum::response::Response;
use axum::routing::any;
use http::Uri;
use procfs::{Current as _, LoadAverage, Meminfo};
use serde::Serialize;

use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};
use crate::metrics::{Metrics, Snapshot};

const STATS: Endpoint = Endpoint {
    path: "/stats.json",
    tldr: "Shows how busy this machine is.",
    description: &["Load averages, processors and memory, in bytes. What cannot be found out is left out."],
    authentication: true,
    ..Endpoint::DEFAULT
};

/// What the kernel tells; an unreadable `/proc` leaves fields out.
#[derive(Debug, Serialize)]
struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_load_15min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_load_1min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_load_5min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_total_bytes: Option<u64>,
}

impl Stats {
    fn read() -> Stats {
        let load = LoadAverage::current().ok();
        let memory = Meminfo::current().ok();
        let average = |of: fn(&LoadAverage) -> f32| load.as_ref().map(|load| f64::from(of(load)));
        Stats {
            avg_load_15min: average(|load| load.fifteen),
            avg_load_1min: average(|load| load.one),
            avg_load_5min: average(|load| load.five),
            cpus_total: std::thread::available_parallelism().ok().map(|count| count.get() as u64),
            mem_free_bytes: memory.as_ref().map(|memory| memory.mem_free),
            mem_total_bytes: memory.as_ref().map(|memory| memory.mem_total),
        }
    }
}

/// Binds the endpoint of the process `system` and adds its metrics.
pub fn bind(routes: &mut Routes, metrics: &Metrics) {
    routes.add("system", &STATS, any(stats));
    metrics.provide(provide);
}

async fn stats(uri: Uri) -> Result<Response, HttpError> {
    json::answer(&Stats::read(), Query::of(&uri).get("jsonp"))
}

fn provide(snapshot: &mut Snapshot) {
    let stats = Stats::read();
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    let all = [
        ("system/cpus_total", bytes(stats.cpus_total)),
        ("system/load_15min", stats.avg_load_15min),
        ("system/load_1min", stats.avg_load_1min),
        ("system/load_5min", stats.avg_load_5min),
        ("system/mem_free_bytes", bytes(stats.mem_free_bytes)),
        ("system/mem_total_bytes", bytes(stats.mem_total_bytes)),
    ];
    snapshot.extend(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_mesos_has_them() {
        let mut snapshot = Snapshot::new();
        provide(&mut snapshot);
        assert!(snapshot["system/cpus_total"] >= 1.0);
        let json = serde_json::to_value(Stats::read()).unwrap();
        assert!(json["mem_total_bytes"].as_u64() >= json["mem_free_bytes"].as_u64());
    }
}
