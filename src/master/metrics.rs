//! The master's numbers in `/metrics/snapshot`, under Mesos' names.
//!
//! They follow from a snapshot of the cluster; nothing is counted here. Source: master/metrics.cpp 1.11.

use crate::master::core::state::Cluster;
use crate::metrics::Snapshot;
use crate::proto::TaskState;
use crate::resources::{Resources, scalar};

/// Scalars that have a total, a used and a percent.
const RESOURCES: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Everything at once. `uptime` is in seconds, `queued` are the events that wait for the core.
pub fn values(cluster: &Cluster, uptime: f64, queued: i64) -> Snapshot {
    let mut values = Snapshot::new();
    let mut set = |name: &str, value: f64| {
        values.insert(format!("master/{name}"), value);
    };
    set("uptime_secs", uptime);
    set("elected", 1.0);
    set("event_queue_messages", queued as f64);
    set("event_queue_dispatches", 0.0);
    set("event_queue_http_requests", 0.0);
    set("outstanding_offers", cluster.offers.len() as f64);
    for (name, count) in cluster.counters.iter() {
        set(name, count as f64);
    }
    for ((state, source, reason), count) in &cluster.counters.task_ends {
        let name = [state.as_str_name(), source.as_str_name(), reason.as_str_name()].join("/").to_lowercase();
        // The enums say agent since 1.0; the metrics never did.
        set(&name.replace("agent", "slave"), *count as f64);
    }
    agents(cluster, &mut set);
    frameworks(cluster, &mut set);
    resources(cluster, &mut set);
    allocator(cluster, &mut values);
    values
}

fn agents(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    let count = |is: &dyn Fn(&crate::master::core::state::Agent) -> bool| {
        cluster.agents.values().filter(|agent| is(agent)).count() as f64
    };
    set("slaves_active", count(&|agent| agent.active));
    set("slaves_inactive", count(&|agent| !agent.active));
    set("slaves_connected", count(&|agent| agent.connected));
    set("slaves_disconnected", count(&|agent| !agent.connected));
    set("slaves_unreachable", cluster.unreachable.len() as f64);
}

fn frameworks(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    let count = |is: &dyn Fn(&crate::master::core::state::Framework) -> bool| {
        cluster.frameworks.values().filter(|framework| is(framework)).count() as f64
    };
    set("frameworks_active", count(&|framework| framework.active));
    set("frameworks_inactive", count(&|framework| !framework.active));
    set("frameworks_connected", count(&|framework| framework.connected));
    set("frameworks_disconnected", count(&|framework| !framework.connected));
    let states = [
        ("tasks_staging", TaskState::TaskStaging),
        ("tasks_starting", TaskState::TaskStarting),
        ("tasks_running", TaskState::TaskRunning),
        ("tasks_killing", TaskState::TaskKilling),
    ];
    let mut counts = [0_u64; 4];
    let mut unreachable = 0;
    for framework in cluster.frameworks.values() {
        unreachable += framework.unreachable_tasks.len();
        for task in framework.tasks.values() {
            if let Some(index) = states.iter().position(|(_, state)| *state == task.state) {
                counts[index] += 1;
            }
        }
    }
    for ((name, _), count) in states.iter().zip(counts) {
        set(name, count as f64);
    }
    set("tasks_unreachable", unreachable as f64);
}

/// Thousandths of each of `RESOURCES`, those that are not revocable and those that are.
fn sums<'a>(parts: impl Iterator<Item = &'a Resources>) -> [[i64; 2]; RESOURCES.len()] {
    let mut sums = [[0; 2]; RESOURCES.len()];
    for entry in parts.flatten() {
        let index = RESOURCES.iter().position(|name| **name == **entry.name());
        if let (Some(index), Some(amount)) = (index, entry.scalar()) {
            let sum = &mut sums[index][usize::from(entry.is_revocable())];
            *sum = i64::saturating_add(*sum, amount);
        }
    }
    sums
}

fn resources(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    let active = || cluster.agents.values().filter(|agent| agent.active);
    let totals = sums(active().map(|agent| &agent.total));
    let used = sums(active().map(|agent| &agent.used));
    for (index, name) in RESOURCES.iter().enumerate() {
        for (kind, infix) in ["", "_revocable"].iter().enumerate() {
            let (total, used) = (totals[index][kind], used[index][kind]);
            let percent = if total > 0 { used as f64 / total as f64 } else { 0.0 };
            set(&format!("{name}{infix}_total"), scalar::to_f64(total));
            set(&format!("{name}{infix}_used"), scalar::to_f64(used));
            set(&format!("{name}{infix}_percent"), percent);
        }
    }
}

fn allocator(cluster: &Cluster, values: &mut Snapshot) {
    let totals = sums(cluster.agents.values().map(|agent| &agent.total));
    let held = sums(cluster.agents.values().flat_map(|agent| [&agent.used, &agent.offered]));
    for (index, name) in RESOURCES.iter().enumerate().filter(|(_, name)| **name != "gpus") {
        let mut set = |what: &str, amount: [i64; 2]| {
            let name = format!("allocator/mesos/resources/{name}/{what}");
            values.insert(name, scalar::to_f64(amount[0].saturating_add(amount[1])));
        };
        set("total", totals[index]);
        set("offered_or_allocated", held[index]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::view::tests::cluster;

    #[test]
    fn numbers_of_a_small_cluster() {
        let values = values(&cluster(), 1.5, 3);
        for (name, value) in [
            ("master/uptime_secs", 1.5),
            ("master/event_queue_messages", 3.0),
            ("master/slaves_active", 1.0),
            ("master/slaves_inactive", 0.0),
            ("master/frameworks_connected", 1.0),
            ("master/tasks_running", 1.0),
            ("master/tasks_staging", 0.0),
            ("master/outstanding_offers", 1.0),
            ("master/cpus_total", 6.0),
            ("master/cpus_used", 0.6),
            ("master/cpus_revocable_total", 0.0),
            ("master/slave_registrations", 0.0),
            ("allocator/mesos/resources/cpus/offered_or_allocated", 1.6),
        ] {
            assert_eq!(values.get(name), Some(&value), "{name}");
        }
    }
}
