//! Reads: rendered from a snapshot, aside from the core and the async threads.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use super::{Site, ended};
use crate::agent::core::state::{Node, Phase};
use crate::agent::pressure;
use crate::agent::run::Snapshot;
use crate::agent::view::{self, Usage};
use crate::flags::json::flags as flags_json;
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::http::{etag, json};
use crate::proto::ContainerId;

type Answer = Result<Response, HttpError>;

pub async fn state(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let Snapshot { version, node } = site.inner.core.snapshot().await.map_err(ended)?;
    let tag = etag::tag(&site.inner.life, version);
    if let Some(known) = etag::not_modified(&headers, &tag) {
        return Ok(known);
    }
    let flags = site.inner.flags.clone();
    let bytes = site.aside(move || Ok(view::state(&node, &flags))).await?;
    let response = json::text_answer(bytes.into(), Query::of(&uri).get("jsonp"))?;
    Ok(etag::tagged(response, &tag))
}

pub async fn flags(State(site): State<Site>, uri: Uri) -> Answer {
    json::answer(&flags_json(&site.inner.flags.values), Query::of(&uri).get("jsonp"))
}

/// The numbers as Mesos 0.15 had them, out of those of today. Source: `Slave::Http::stats`, slave/http.cpp 0.15, where
/// `registered` is text and `staged_tasks` counts all that there were.
pub async fn stats(State(site): State<Site>, uri: Uri) -> Answer {
    let numbers = site.inner.tools.metrics.full_snapshot(None).await;
    let node = site.node().await?;
    let mut stats = serde_json::Map::new();
    let mut set = |name: &str, value: serde_json::Value| stats.insert(name.to_owned(), value);
    for (old, name) in [
        ("uptime", "uptime_secs"),
        ("total_frameworks", "frameworks_active"),
        ("finished_tasks", "tasks_finished"),
        ("killed_tasks", "tasks_killed"),
        ("failed_tasks", "tasks_failed"),
        ("lost_tasks", "tasks_lost"),
        ("valid_status_updates", "valid_status_updates"),
        ("invalid_status_updates", "invalid_status_updates"),
        ("recovery_errors", "recovery_errors"),
    ] {
        set(old, numbers.get(&format!("slave/{name}")).copied().into());
    }
    set("staged_tasks", node.counters.staged_tasks.into());
    set("started_tasks", node.counters.started_tasks.into());
    set("registered", if node.phase == Phase::Running { "1" } else { "0" }.into());
    json::answer(&stats, Query::of(&uri).get("jsonp"))
}

/// 200 as long as the process serves at all.
pub async fn health() -> StatusCode {
    StatusCode::OK
}

pub async fn containers(State(site): State<Site>, uri: Uri) -> Answer {
    site.measured(&uri, view::containers).await
}

pub async fn statistics(State(site): State<Site>, uri: Uri) -> Answer {
    site.measured(&uri, view::statistics).await
}

/// `/monitor/pressure`: how much of the time somebody waits, as far as the kernel tells.
pub async fn pressure(State(site): State<Site>, uri: Uri) -> Answer {
    let node = site.node().await?;
    let found = site.inner.containerizer.pressure(view::running(&node)).await;
    let machine = site.aside(|| Ok(pressure::of_machine())).await?;
    json::answer(&view::pressure(&node, machine, found), Query::of(&uri).get("jsonp"))
}

/// `/leader`: whose agent this is, and who leads as far as it knows. Web pages find out by it where they are.
pub async fn leader(State(site): State<Site>, uri: Uri) -> Answer {
    json::answer(&view::leader(&site.node().await?), Query::of(&uri).get("jsonp"))
}

impl Site {
    pub(super) async fn node(&self) -> Result<Node, HttpError> {
        Ok(self.inner.core.snapshot().await.map_err(ended)?.node)
    }

    /// What these containers use now, as far as it could be measured.
    pub(super) async fn usage(&self, containers: Vec<ContainerId>) -> Usage {
        let _turn = self.inner.workers.acquire().await;
        self.inner.containerizer.usage(containers).await.into_iter().collect()
    }

    async fn measured(&self, uri: &Uri, render: fn(&Node, &Usage) -> Vec<u8>) -> Answer {
        let node = self.node().await?;
        let usage = self.usage(view::running(&node)).await;
        let bytes = render(&node, &usage);
        json::text_answer(bytes.into(), Query::of(uri).get("jsonp"))
    }
}
