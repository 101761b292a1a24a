//! `/master/stats.json`: the numbers as Mesos 0.15 had them, out of those of today.
//!
//! Source: `Master::Http::stats`, master/http.cpp 0.15.

use axum::extract::State;
use axum::response::Response;
use http::Uri;

use super::Site;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::Endpoint;
use crate::metrics::Snapshot;

pub const STATS: Endpoint = Endpoint {
    path: "/stats.json",
    methods: &["GET"],
    tldr: "Numbers of the master, as Mesos 0.15 had them.",
    description: &["/metrics/snapshot took its place and shows far more."],
    authentication: true,
    ..Endpoint::DEFAULT
};

/// The old name, and that below `master/` in `/metrics/snapshot`.
const NAMES: [(&str, &str); 14] = [
    ("uptime", "uptime_secs"),
    ("elected", "elected"),
    ("active_schedulers", "frameworks_active"),
    ("activated_slaves", "slaves_active"),
    ("deactivated_slaves", "slaves_inactive"),
    ("staged_tasks", "tasks_staging"),
    ("started_tasks", "tasks_starting"),
    ("finished_tasks", "tasks_finished"),
    ("killed_tasks", "tasks_killed"),
    ("failed_tasks", "tasks_failed"),
    ("lost_tasks", "tasks_lost"),
    ("valid_status_updates", "valid_status_updates"),
    ("invalid_status_updates", "invalid_status_updates"),
    ("outstanding_offers", "outstanding_offers"),
];

pub async fn stats(State(site): State<Site>, uri: Uri) -> Result<Response, HttpError> {
    let numbers = site.inner.tools.metrics.full_snapshot(None).await;
    json::answer(&as_before(&numbers), Query::of(&uri).get("jsonp"))
}

fn as_before(numbers: &Snapshot) -> Snapshot {
    let of = |name: &str| numbers.get(&format!("master/{name}")).copied();
    let mut stats: Snapshot =
        NAMES.iter().filter_map(|(old, name)| Some(((*old).to_owned(), of(name)?))).collect();
    if let (Some(connected), Some(disconnected)) = (of("frameworks_connected"), of("frameworks_disconnected"))
    {
        stats.insert("total_schedulers".to_owned(), connected + disconnected);
    }
    for resource in ["cpus", "mem", "disk"] {
        for what in ["total", "used", "percent"] {
            let name = format!("{resource}_{what}");
            stats.extend(of(&name).map(|value| (name, value)));
        }
    }
    stats
}
