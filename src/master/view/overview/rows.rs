//! One row each, and what its places are called.

use crate::base::time::Time;
use crate::master::core::state::{Agent, Framework, Offer, Task};
use crate::master::view::model;
use crate::proto::framework_info::capability::Type;
use crate::proto::json::text::{self, Array};
use crate::proto::{AgentInfo, TaskState};
use crate::resources::{Resources, scalar};

/// Amounts are `[cpus, gpus, mem, disk]`, the last two in megabytes; times are seconds since 1970, or null.
pub(super) const COLUMNS: [(&str, &[&str]); 5] = [
    (
        "agent",
        &[
            "id",
            "hostname",
            "pid",
            "version",
            "active",
            "registered",
            "reregistered",
            "total",
            "used",
            "attributes",
            "reserved",
            "region",
            "zone",
        ],
    ),
    ("recovered", &["id", "hostname"]),
    ("unreachable", &["id", "since"]),
    (
        "framework",
        &[
            "id",
            "name",
            "user",
            "hostname",
            "principal",
            "webui_url",
            "roles",
            "active",
            "connected",
            "recovered",
            "registered",
            "reregistered",
            "unregistered",
            "failover_timeout",
            "checkpoint",
            "capabilities",
            "used",
            "offered",
        ],
    ),
    (
        "task",
        &[
            "id", "name", "agent", "executor", "role", "state", "healthy", "started", "updated", "cpus",
            "gpus", "mem", "disk",
        ],
    ),
];

pub(super) const OFFER: &[&str] = &["id", "framework", "agent", "role", "made", "resources"];

pub(super) fn agent(row: &mut Array<'_>, agent: &Agent) {
    row.string(&agent.id.value);
    row.string(&agent.info.hostname);
    row.string(&agent.pid.to_string());
    row.string(&agent.version);
    text::boolean(row.value(), agent.active);
    time(row, Some(agent.registered));
    time(row, agent.reregistered);
    amounts(row, &agent.total);
    amounts(row, &agent.used);
    row.object(|object| model::attributes(object, &agent.info.attributes));
    row.object(|object| {
        for (role, resources) in agent.total.reservations() {
            object.array(role, |row| four(row, &resources));
        }
    });
    let fault = agent.info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    row.string(fault.map_or("", |fault| &fault.region.name));
    row.string(fault.map_or("", |fault| &fault.zone.name));
}

pub(super) fn recovered(row: &mut Array<'_>, id: &str, info: &AgentInfo) {
    row.string(id);
    row.string(&info.hostname);
}

pub(super) fn away(row: &mut Array<'_>, id: &str, since: Time) {
    row.string(id);
    time(row, Some(since));
}

pub(super) fn framework(row: &mut Array<'_>, framework: &Framework) {
    let info = &framework.info;
    row.string(&framework.id.value);
    row.string(&info.name);
    row.string(&info.user);
    row.string(info.hostname());
    row.string(info.principal());
    row.string(info.webui_url());
    row.array(|array| framework.roles.iter().for_each(|role| array.string(role)));
    text::boolean(row.value(), framework.active);
    text::boolean(row.value(), framework.connected);
    text::boolean(row.value(), framework.recovered);
    time(row, Some(framework.registered));
    time(row, framework.reregistered.filter(|time| *time != framework.registered));
    time(row, framework.unregistered);
    text::double(row.value(), info.failover_timeout());
    text::boolean(row.value(), info.checkpoint());
    row.array(|array| {
        let kinds = info.capabilities.iter().map(|capability| capability.r#type());
        kinds.filter(|kind| *kind != Type::Unknown).for_each(|kind| array.string(kind.as_str_name()));
    });
    amounts(row, &framework.used);
    amounts(row, &framework.offered);
}

pub(super) fn task(row: &mut Array<'_>, task: &Task) {
    row.string(&task.id.value);
    row.string(&task.name);
    row.string(&task.agent.value);
    row.string(task.executor.as_ref().map_or("", |id| &id.value));
    row.string(model::role(&task.resources));
    row.string(task.state.as_str_name().trim_start_matches("TASK_"));
    let last = task.statuses.last();
    match last.and_then(|status| status.healthy) {
        Some(healthy) => text::boolean(row.value(), healthy),
        None => null(row),
    }
    let running = task.statuses.iter().find(|status| status.state == TaskState::TaskRunning as i32);
    seconds(row, running.and_then(|status| status.timestamp));
    seconds(row, last.and_then(|status| status.timestamp));
    four(row, &task.resources);
}

pub(super) fn offer(row: &mut Array<'_>, offer: &Offer) {
    row.string(&offer.id.value);
    row.string(&offer.framework.value);
    row.string(&offer.agent.value);
    row.string(&offer.role);
    time(row, Some(offer.made));
    amounts(row, &offer.resources);
}

/// `[cpus, gpus, mem, disk]`.
pub(super) fn amounts(row: &mut Array<'_>, resources: &Resources) {
    row.array(|row| four(row, resources));
}

fn four(row: &mut Array<'_>, resources: &Resources) {
    for amount in [resources.cpus(), resources.gpus(), resources.mem(), resources.disk()] {
        number(row, scalar::to_f64(amount));
    }
}

/// Shorter than what other endpoints write: `4`, not `4.0`.
pub(super) fn number(row: &mut Array<'_>, value: f64) {
    if value == value.trunc() && value.abs() < 9e15 {
        text::signed(row.value(), value as i64);
    } else {
        text::double(row.value(), value);
    }
}

fn time(row: &mut Array<'_>, time: Option<Time>) {
    seconds(row, time.map(|time| time.as_secs_f64()));
}

/// To the millisecond.
fn seconds(row: &mut Array<'_>, seconds: Option<f64>) {
    match seconds {
        Some(seconds) => number(row, (seconds * 1000.0).round() / 1000.0),
        None => null(row),
    }
}

fn null(row: &mut Array<'_>) {
    row.value().extend_from_slice(b"null");
}
