//! The numbers of the first page.

use std::collections::BTreeMap;

use super::rows::number;
use crate::master::core::state::Cluster;
use crate::proto::TaskState;
use crate::proto::json::text::{Array, Object};
use crate::resources::{Resources, scalar};

/// States whose tasks are counted as they are now, and counters of those that ended since this master started.
const NOW: [(&str, TaskState); 5] = [
    ("staging", TaskState::TaskStaging),
    ("starting", TaskState::TaskStarting),
    ("running", TaskState::TaskRunning),
    ("killing", TaskState::TaskKilling),
    ("unreachable", TaskState::TaskUnreachable),
];
const SINCE: [(&str, &str); 8] = [
    ("finished", "tasks_finished"),
    ("killed", "tasks_killed"),
    ("failed", "tasks_failed"),
    ("lost", "tasks_lost"),
    ("error", "tasks_error"),
    ("dropped", "tasks_dropped"),
    ("gone", "tasks_gone"),
    ("gone_by_operator", "tasks_gone_by_operator"),
];

#[derive(Debug, PartialEq)]
pub(super) struct Totals {
    agents: [usize; 4],
    tasks: BTreeMap<&'static str, u64>,
    /// Of all agents: total, used and offered, each of cpus, gpus, mem and disk in thousandths.
    resources: [[i64; 4]; 3],
    offers: usize,
}

pub(super) fn of(cluster: &Cluster) -> Totals {
    let active = cluster.agents.values().filter(|agent| agent.active).count();
    let agents = [active, cluster.agents.len() - active, cluster.unreachable.len(), cluster.recovered.len()];
    let mut counts = [0_u64; NOW.len()];
    for framework in cluster.frameworks.values() {
        for task in framework.tasks.values().chain(framework.unreachable_tasks.values()) {
            if let Some(index) = NOW.iter().position(|(_, state)| *state == task.state) {
                counts[index] += 1;
            }
        }
    }
    let now = NOW.iter().zip(counts).map(|((name, _), count)| (*name, count));
    let since = SINCE.iter().map(|(name, counter)| (*name, cluster.counters.get(counter)));
    let mut resources = [[0_i64; 4]; 3];
    for agent in cluster.agents.values() {
        for (sums, part) in resources.iter_mut().zip([&agent.total, &agent.used, &agent.offered]) {
            let amounts = amounts(part);
            sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum = sum.saturating_add(amount));
        }
    }
    Totals { agents, tasks: now.chain(since).collect(), resources, offers: cluster.offers.len() }
}

fn amounts(resources: &Resources) -> [i64; 4] {
    [resources.cpus(), resources.gpus(), resources.mem(), resources.disk()]
}

pub(super) fn write(object: &mut Object<'_>, totals: &Totals) {
    object.object("totals", |object| {
        object.object("agents", |object| {
            for (name, count) in ["active", "inactive", "unreachable", "recovered"].iter().zip(totals.agents)
            {
                object.unsigned(name, count as u64);
            }
        });
        object.object("tasks", |object| {
            totals.tasks.iter().for_each(|(name, count)| object.unsigned(name, *count));
        });
        for (name, amounts) in ["total", "used", "offered"].iter().zip(totals.resources) {
            object.array(name, |row: &mut Array<'_>| {
                amounts.iter().for_each(|amount| number(row, scalar::to_f64(*amount)));
            });
        }
        object.unsigned("offers", totals.offers as u64);
    });
}
