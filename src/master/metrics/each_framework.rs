//! `master/frameworks/NAME/ID/…`: what each framework says and is told, and its tasks.
//!
//! Left out with `--publish_per_framework_metrics=false`: each framework has about ninety of them.
//! Source: `FrameworkMetrics`, master/metrics.cpp 1.11.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::master::core::state::{Cluster, Framework, is_terminal};
use crate::master::core::traffic::{Counts, Traffic};
use crate::metrics::Snapshot;
use crate::proto::TaskState;
use crate::proto::offer::operation::Type as OperationType;
use crate::proto::scheduler::call::Type as CallType;
use crate::proto::scheduler::event::Type as EventType;

/// What stays as it is in a name. Source: `http::encode`, libprocess 1.11.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Above the numbers of all enums that names are made of.
const KINDS: i32 = 64;

pub(super) fn values(cluster: &Cluster, values: &mut Snapshot) {
    let none = Traffic::default();
    for framework in cluster.frameworks.values().chain(&cluster.completed_frameworks) {
        let traffic = cluster.traffic.get(&framework.id).map_or(&none, |traffic| &**traffic);
        let name = utf8_percent_encode(&framework.info.name, KEPT);
        let prefix = format!("master/frameworks/{name}/{}/", framework.id);
        of(framework, traffic, &mut |name, value| {
            values.insert(format!("{prefix}{name}"), value);
        });
    }
}

fn of(framework: &Framework, traffic: &Traffic, set: &mut impl FnMut(&str, f64)) {
    set("subscribed", if framework.connected { 1.0 } else { 0.0 });
    set("offers/sent", traffic.offers_sent as f64);
    set("offers/accepted", traffic.offers_accepted as f64);
    set("offers/declined", traffic.offers_declined as f64);
    set("offers/rescinded", traffic.offers_rescinded as f64);
    let call = |number| CallType::try_from(number).ok().filter(|kind| *kind != CallType::Unknown);
    kinds("calls", &traffic.calls, set, |number| Some(call(number)?.as_str_name()));
    let event = |number| EventType::try_from(number).ok().filter(|kind| *kind != EventType::Unknown);
    kinds("events", &traffic.events, set, |number| Some(event(number)?.as_str_name()));
    let operation =
        |number| OperationType::try_from(number).ok().filter(|kind| *kind != OperationType::Unknown);
    kinds("operations", &traffic.operations, set, |number| Some(operation(number)?.as_str_name()));
    for role in &framework.roles {
        let suppressed = framework.suppressed.contains(role);
        set(&format!("roles/{role}/suppressed"), if suppressed { 1.0 } else { 0.0 });
    }
    let mut active = Counts::new();
    for task in framework.tasks.values() {
        *active.entry(task.state as i32).or_insert(0) += 1;
    }
    active.insert(TaskState::TaskUnreachable as i32, framework.unreachable_tasks.len() as u64);
    for state in (0..KINDS).filter_map(|number| TaskState::try_from(number).ok()) {
        let (kind, counts) =
            if is_terminal(state) { ("terminal", &traffic.ended) } else { ("active", &active) };
        let count = counts.get(&(state as i32)).copied().unwrap_or(0);
        set(&format!("tasks/{kind}/{}", state.as_str_name().to_lowercase()), count as f64);
    }
}

/// Their sum, and the count of each kind that has a name.
fn kinds(
    what: &str,
    counts: &Counts,
    set: &mut impl FnMut(&str, f64),
    name: impl Fn(i32) -> Option<&'static str>,
) {
    let mut sum = 0;
    for number in 0..KINDS {
        let Some(name) = name(number) else { continue };
        let count = counts.get(&number).copied().unwrap_or(0);
        sum += count;
        set(&format!("{what}/{}", name.to_lowercase()), count as f64);
    }
    set(what, sum as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::view::tests::cluster;
    use crate::proto::FrameworkId;
    use std::sync::Arc;

    #[test]
    fn a_framework_with_an_odd_name() {
        let mut cluster = cluster();
        let id = FrameworkId::from("F0");
        if let Some(framework) = cluster.frameworks.get_mut(&id) {
            Arc::make_mut(&mut Arc::make_mut(framework).info).name = "a b/c".to_owned();
        }
        let calls = Counts::from([(CallType::Accept as i32, 2), (CallType::Kill as i32, 1)]);
        cluster.traffic.insert(id, Arc::new(Traffic { calls, offers_sent: 5, ..Traffic::default() }));
        let mut shown = Snapshot::new();
        values(&cluster, &mut shown);
        for (name, value) in [
            ("calls", 3.0),
            ("calls/accept", 2.0),
            ("calls/decline", 0.0),
            ("events/heartbeat", 0.0),
            ("offers/sent", 5.0),
            ("operations/launch_group", 0.0),
            ("subscribed", 1.0),
            ("tasks/active/task_running", 1.0),
            ("tasks/terminal/task_finished", 0.0),
        ] {
            assert_eq!(shown.get(&format!("master/frameworks/a%20b%2Fc/F0/{name}")), Some(&value), "{name}");
        }
        assert!(!shown.keys().any(|name| name.ends_with("unknown") && !name.contains("task_unknown")));
    }
}
