//! `/metrics`: the same numbers for Prometheus, in OpenMetrics text, with labels where Mesos' names hold ids.
//!
//! A name that holds only words becomes one family (`master/tasks_running`: `mesos_master_tasks_running`). What
//! Mesos puts into names besides (frameworks, roles, states, percentiles) becomes labels; sums that labels give
//! anyway, and shares that follow from two other numbers, are left out. Sources of their own add what has no name
//! in `/metrics/snapshot`, as the agent's containers.

use std::collections::BTreeMap;
use std::fmt;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Metrics, Snapshot};
use crate::http::error::HttpError;
use crate::http::route::Endpoint;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/",
    methods: &["GET"],
    tldr: "Shows every metric for Prometheus.",
    description: &[
        "Answers in OpenMetrics text. Frameworks, roles and states are labels; an agent also shows what each",
        "of its containers uses.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; shown with `_total` behind its name.
    Counter,
    Gauge,
}

/// One number, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of letters, digits and `_`; `mesos_` comes before it.
    pub family: String,
    pub kind: Kind,
    /// For people, one line.
    pub help: String,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

pub(super) async fn show(State(metrics): State<Metrics>) -> Result<Response, HttpError> {
    let snapshot = metrics.full_snapshot(None).await;
    let more = metrics.samples().await;
    let text = crate::files::handlers::blocking(move || {
        write(&snapshot, more)
            .map_err(|error| HttpError::internal(format!("Failed to write metrics: {error}")))
    });
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text.await?).into_response())
}

fn write(snapshot: &Snapshot, more: Vec<Sample>) -> Result<String, fmt::Error> {
    let mut families = Families::default();
    for (name, value) in snapshot {
        sample(name, *value).into_iter().for_each(|sample| families.add(sample));
    }
    more.into_iter().for_each(|sample| families.add(sample));
    let mut registry = Registry::with_prefix("mesos");
    registry.register_collector(Box::new(families));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// What of one name in `/metrics/snapshot` is shown.
fn sample(name: &str, value: f64) -> Option<Sample> {
    let of = |family: &str, kind: Kind, labels: Vec<(&'static str, String)>| {
        let family: String =
            family.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let help = format!("As {name} of /metrics/snapshot");
        Some(Sample { family, kind, help, labels, value })
    };
    let labelled = |family: &str, label: &'static str, text: &str| {
        of(family, Kind::Gauge, vec![(label, text.to_owned())])
    };
    if let Some(rest) = name.strip_prefix("master/frameworks/") {
        return of_framework(rest, value);
    }
    if let Some(role) = between(name, "allocator/mesos/offer_filters/roles/", "/active") {
        return labelled("allocator_offer_filters_active", "role", role);
    }
    if let Some(role) = between(name, "allocator/mesos/roles/", "/shares/dominant") {
        return labelled("allocator_dominant_share", "role", role);
    }
    if let Some(resource) = between(name, "allocator/mesos/resources/", "/total") {
        return labelled("allocator_resource_capacity", "resource", resource);
    }
    if let Some(resource) = between(name, "allocator/mesos/resources/", "/offered_or_allocated") {
        return labelled("allocator_resource_offered_or_allocated", "resource", resource);
    }
    if let Some(reason) = between(name, "master/slave_removals/reason_", "") {
        let labels = vec![("reason", reason.to_owned())];
        return of("master_slave_removals_by_reason", Kind::Counter, labels);
    }
    if let Some(sample) = of_resource(name, value).or_else(|| of_task_end(name, value)) {
        return Some(sample);
    }
    if let Some((timer, what)) = name.rsplit_once('/').filter(|(timer, _)| timer.ends_with("_ms")) {
        return match what.strip_prefix('p') {
            Some(digits) => labelled(&format!("{timer}_percentile"), "quantile", &format!("0.{digits}")),
            None => of(&format!("{timer}_{what}"), Kind::Gauge, Vec::new()),
        };
    }
    match name {
        // The same as allocator/mesos/event_queue_dispatches.
        "allocator/event_queue_dispatches" => None,
        // `_total` is for counters.
        "system/cpus_total" => of("system/cpus", Kind::Gauge, Vec::new()),
        _ => of(name, kind(name), Vec::new()),
    }
}

fn between<'a>(name: &'a str, before: &str, after: &str) -> Option<&'a str> {
    name.strip_prefix(before)?.strip_suffix(after).filter(|text| !text.is_empty())
}

/// `NAME/ID/what…`.
fn of_framework(rest: &str, value: f64) -> Option<Sample> {
    let (name, rest) = rest.split_once('/')?;
    let (id, what) = rest.split_once('/')?;
    let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
    let mut labels = vec![("framework", name), ("framework_id", id.to_owned())];
    let (family, kind, label) = if let Some(role) = between(what, "roles/", "/suppressed") {
        ("suppressed", Kind::Gauge, Some(("role", role)))
    } else if let Some((family, kind)) = what.split_once('/') {
        match (family, kind.split_once('/')) {
            ("tasks", Some(("active", state))) => ("tasks", Kind::Gauge, Some(("state", state))),
            ("tasks", Some((_, state))) => ("tasks_ended", Kind::Counter, Some(("state", state))),
            ("offers", _) => ("offers", Kind::Counter, Some(("event", kind))),
            _ => (family, Kind::Counter, Some(("type", kind))),
        }
    } else if what == "subscribed" {
        ("subscribed", Kind::Gauge, None)
    } else {
        // The sum of those by type.
        return None;
    };
    labels.extend(label.map(|(label, text)| (label, text.to_owned())));
    let help = format!("As master/frameworks/NAME/ID/{what} of /metrics/snapshot");
    Some(Sample { family: format!("master_framework_{family}"), kind, help, labels, value })
}

/// `master/cpus_total`, `slave/mem_revocable_used`; the percentages follow from them.
fn of_resource(name: &str, value: f64) -> Option<Sample> {
    let (role, rest) = name.split_once('/').filter(|(role, _)| matches!(*role, "master" | "slave"))?;
    let (resource, what) = rest.split_once('_')?;
    if !matches!(resource, "cpus" | "mem" | "disk" | "gpus") {
        return None;
    }
    let (revocable, what) = match what.strip_prefix("revocable_") {
        Some(what) => ("true", what),
        None => ("false", what),
    };
    let what = match what {
        "total" => "capacity",
        "used" => "used",
        _ => "ratio",
    };
    Some(Sample {
        family: format!("{role}_resource_{what}"),
        kind: Kind::Gauge,
        help: format!("As {name} of /metrics/snapshot; memory and disk are in megabytes"),
        labels: vec![("resource", resource.to_owned()), ("revocable", revocable.to_owned())],
        value,
    })
}

/// `master/task_lost/source_master/reason_slave_removed`.
fn of_task_end(name: &str, value: f64) -> Option<Sample> {
    let mut parts = name.strip_prefix("master/task_")?.split('/');
    let (state, source, reason) = (parts.next()?, parts.next()?, parts.next()?);
    let text = |text: &str, before: &str| text.strip_prefix(before).unwrap_or(text).to_owned();
    Some(Sample {
        family: "master_task_ends".to_owned(),
        kind: Kind::Counter,
        help: format!("As {name} of /metrics/snapshot"),
        labels: vec![
            ("state", state.to_owned()),
            ("source", text(source, "source_")),
            ("reason", text(reason, "reason_")),
        ],
        value,
    })
}

/// Beginnings, below the role, of names that count.
const COUNTED: &[&str] = &[
    "container_launch_errors",
    "dropped_messages",
    "executors_preempted",
    "executors_terminated",
    "fetcher/task_fetches_",
    "http_cache_hits",
    "invalid_",
    "mesos/allocation_runs",
    "messages_",
    "recovery_errors",
    "recovery_slave_removals",
    "slave_registrations",
    "slave_removals",
    "slave_reregistrations",
    "slave_unreachable_",
    "tasks_dropped",
    "tasks_error",
    "tasks_failed",
    "tasks_finished",
    "tasks_gone",
    "tasks_killed",
    "tasks_lost",
    "valid_",
];

fn kind(name: &str) -> Kind {
    let below = name.split_once('/').map_or(name, |(_, below)| below);
    if COUNTED.iter().any(|beginning| below.starts_with(beginning)) { Kind::Counter } else { Kind::Gauge }
}

/// Each family with all that belongs to it, as the format wants it together.
#[derive(Debug, Default)]
struct Families(BTreeMap<String, Family>);

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    values: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Families {
    fn add(&mut self, sample: Sample) {
        let Sample { family, kind, help, labels, value } = sample;
        let family = self.0.entry(family).or_insert_with(|| Family { kind, help, values: Vec::new() });
        family.values.push((labels, value));
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, family) in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut encoder = encoder.encode_descriptor(name, &family.help, None, kind)?;
            for (labels, value) in &family.values {
                // Without labels there are no braces either.
                match labels.is_empty() {
                    true => encode(&mut encoder, family.kind, *value)?,
                    false => encode(&mut encoder.encode_family(labels)?, family.kind, *value)?,
                }
            }
        }
        Ok(())
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: Kind, value: f64) -> fmt::Result {
    match kind {
        Kind::Counter => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        Kind::Gauge => encoder.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        let snapshot = Snapshot::from([(name.to_owned(), 2.0)]);
        let text = write(&snapshot, Vec::new()).unwrap();
        text.lines().find(|line| !line.starts_with('#')).unwrap_or_default().to_owned()
    }

    #[test]
    fn names_become_families_and_labels() {
        for (name, expected) in [
            ("master/tasks_running", "mesos_master_tasks_running 2.0"),
            ("master/tasks_lost", "mesos_master_tasks_lost_total 2.0"),
            ("master/cpus_total", r#"mesos_master_resource_capacity{resource="cpus",revocable="false"} 2.0"#),
            ("slave/mem_revocable_used", r#"mesos_slave_resource_used{resource="mem",revocable="true"} 2.0"#),
            (
                "master/task_lost/source_master/reason_slave_removed",
                r#"mesos_master_task_ends_total{state="lost",source="master",reason="slave_removed"} 2.0"#,
            ),
            (
                "allocator/mesos/allocation_run_ms/p999",
                r#"mesos_allocator_mesos_allocation_run_ms_percentile{quantile="0.999"} 2.0"#,
            ),
            ("allocator/mesos/allocation_run_ms/count", "mesos_allocator_mesos_allocation_run_ms_count 2.0"),
            (
                "allocator/mesos/offer_filters/roles/eng/a b/active",
                r#"mesos_allocator_offer_filters_active{role="eng/a b"} 2.0"#,
            ),
            (
                "master/frameworks/a%20%22b/F-1/calls/accept",
                r#"mesos_master_framework_calls_total{framework="a \"b",framework_id="F-1",type="accept"} 2.0"#,
            ),
            (
                "master/frameworks/n/F/roles/eng/x/suppressed",
                r#"mesos_master_framework_suppressed{framework="n",framework_id="F",role="eng/x"} 2.0"#,
            ),
            (
                "master/frameworks/n/F/tasks/terminal/task_killed",
                r#"mesos_master_framework_tasks_ended_total{framework="n",framework_id="F",state="task_killed"} 2.0"#,
            ),
            ("master/frameworks/n/F/calls", ""),
        ] {
            assert_eq!(line(name), expected, "{name}");
        }
    }
}
