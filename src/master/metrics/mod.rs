//! The master's numbers in `/metrics/snapshot`, under Mesos' names.
//!
//! They follow from a snapshot of the cluster and from the allocator's books; nothing is counted here. What is
//! left out, and why, is in docs/metrics.md. Source: master/metrics.cpp 1.11.

mod each_framework;

use std::sync::Arc;

use super::allocator::Calls;
use super::flags::Flags;
use super::run::{Core, Kind};
use super::seat::Seat;
use crate::alloc;
use crate::base::time::Time;
use crate::files::handlers::blocking;
use crate::master::core::state::Cluster;
use crate::metrics::{Metrics, Snapshot};
use crate::process::clock::Clock;
use crate::proto::{MasterInfo, TaskState};
use crate::resources::{Resources, scalar};

/// Scalars that have a total, a used and a percent.
const RESOURCES: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Whom the numbers are asked of.
pub struct Asked {
    pub core: Core,
    pub calls: Calls,
    pub clock: Clock,
    pub started: Time,
    pub flags: Arc<Flags>,
    pub seat: Seat,
    pub info: Arc<MasterInfo>,
}

/// What is not in the cluster itself.
#[derive(Debug, Default)]
struct Around {
    /// Seconds.
    uptime: f64,
    leads: bool,
    /// Messages that came before it led.
    dropped: u64,
    messages: i64,
    http_requests: i64,
    dispatches: i64,
    /// Calls that wait for the allocator.
    calls: i64,
    allocator: alloc::Numbers,
    each_framework: bool,
}

/// Has every snapshot of the metrics ask for these. They are worked out away from the threads that serve.
pub fn provide(metrics: &Metrics, asked: Asked) {
    let asked = Arc::new(asked);
    metrics.ask(move || {
        let asked = asked.clone();
        async move {
            let leads = asked.seat.is_ours();
            let cluster = if leads {
                // The process is about to end.
                let Ok(snapshot) = asked.core.snapshot().await else { return Snapshot::new() };
                snapshot.cluster
            } else {
                // A standby has the same numbers, of nothing.
                Arc::new(Cluster::empty(asked.info.clone(), asked.started))
            };
            let queued = |kind| asked.core.queued(kind);
            let around = Around {
                leads,
                dropped: asked.seat.dropped(),
                uptime: asked.clock.now().since(asked.started).as_secs_f64(),
                messages: queued(Kind::Message),
                http_requests: queued(Kind::HttpRequest),
                dispatches: queued(Kind::Dispatch),
                calls: asked.calls.waiting(),
                allocator: asked.calls.numbers().await.unwrap_or_default(),
                each_framework: asked.flags.publish_per_framework_metrics,
            };
            blocking(move || Ok(values(&cluster, &around))).await.unwrap_or_default()
        }
    });
}

/// Everything at once.
fn values(cluster: &Cluster, around: &Around) -> Snapshot {
    let mut values = Snapshot::new();
    let mut set = |name: &str, value: f64| {
        values.insert(format!("master/{name}"), value);
    };
    set("uptime_secs", around.uptime);
    set("elected", f64::from(u8::from(around.leads)));
    set("event_queue_messages", around.messages as f64);
    set("event_queue_dispatches", around.dispatches as f64);
    set("event_queue_http_requests", around.http_requests as f64);
    set("outstanding_offers", cluster.offers.len() as f64);
    for (name, count) in cluster.counters.iter() {
        let dropped = if name == "dropped_messages" { around.dropped } else { 0 };
        set(name, (count + dropped) as f64);
    }
    for ((state, source, reason), count) in &cluster.counters.task_ends {
        let name = [state.as_str_name(), source.as_str_name(), reason.as_str_name()].join("/").to_lowercase();
        // The enums say agent since 1.0; the metrics never did.
        set(&name.replace("agent", "slave"), *count as f64);
    }
    agents(cluster, &mut set);
    frameworks(cluster, &mut set);
    resources(cluster, &mut set);
    allocator(cluster, around, &mut values);
    if around.each_framework {
        each_framework::values(cluster, &mut values);
    }
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

fn allocator(cluster: &Cluster, around: &Around, values: &mut Snapshot) {
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
    // Mesos has the first name still, from before 1.0.
    for name in ["allocator/event_queue_dispatches", "allocator/mesos/event_queue_dispatches"] {
        values.insert(name.to_owned(), around.calls as f64);
    }
    for (role, count) in &around.allocator.refusals {
        values.insert(format!("allocator/mesos/offer_filters/roles/{role}/active"), *count as f64);
    }
    for (role, share) in &around.allocator.dominant_shares {
        values.insert(format!("allocator/mesos/roles/{role}/shares/dominant"), *share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::view::tests::cluster;

    #[test]
    fn numbers_of_a_small_cluster() {
        let around = Around {
            uptime: 1.5,
            leads: true,
            dropped: 2,
            messages: 3,
            each_framework: true,
            ..Around::default()
        };
        let values = values(&cluster(), &around);
        for (name, value) in [
            ("master/uptime_secs", 1.5),
            ("master/elected", 1.0),
            ("master/dropped_messages", 2.0),
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
