//! The agent's numbers in `/metrics/snapshot`, under Mesos' names.
//!
//! They follow from a snapshot of the agent; nothing is counted here. What is left out, and why, is in
//! docs/metrics.md. Source: slave/metrics.cpp 1.11.

use super::containerizer::mesos::Containerizer;
use super::core::state::{ExecutorPhase, Node, Phase};
use super::gc::Collector;
use super::run::Core;
use super::view::{self, Usage};
use crate::metrics::open_metrics::{Kind, Sample};
use crate::metrics::{Metrics, Snapshot};
use crate::process::clock::Clock;
use crate::proto::TaskState;
use crate::resources::{Resources, scalar};

/// Scalars that have a total, a used and a percent.
const RESOURCES: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Has every snapshot of the metrics ask the agent.
pub fn provide(metrics: &Metrics, core: &Core, clock: Clock, containerizer: &Containerizer) {
    let (core, started, containerizer) = (core.clone(), clock.now(), containerizer.clone());
    metrics.ask(move || {
        let core = core.clone();
        async move {
            match core.snapshot().await.map(|snapshot| snapshot.node) {
                Ok(node) => values(&node, clock.now().since(started).as_secs_f64(), core.queued()),
                // The process is about to end.
                Err(_) => Snapshot::new(),
            }
        }
    });
    metrics.provide(move |snapshot| {
        let fetches = containerizer.fetches();
        let (total, used) = containerizer.cached();
        for (name, bytes) in [("total", total), ("used", used)] {
            snapshot.insert(format!("containerizer/fetcher/cache_size_{name}_bytes"), bytes as f64);
        }
        for (name, counter) in [("succeeded", &fetches.succeeded), ("failed", &fetches.failed)] {
            let name = format!("containerizer/fetcher/task_fetches_{name}");
            snapshot.insert(name, counter.value() as f64);
        }
    });
}

/// Has every snapshot show what was removed of what has ended.
pub fn provide_collection(metrics: &Metrics, collector: &Collector) {
    let collector = collector.clone();
    metrics.provide(move |snapshot| {
        let numbers = collector.numbers();
        for (name, value) in [
            ("gc/path_removals_succeeded", numbers.succeeded),
            ("gc/path_removals_failed", numbers.failed),
            ("gc/path_removals_pending", numbers.pending),
            ("slave/executor_directory_max_allowed_age_secs", numbers.max_allowed_age_secs),
        ] {
            snapshot.insert(name.to_owned(), value);
        }
    });
}

/// Has `/metrics` also show what each container uses, and what it may use.
pub fn provide_containers(metrics: &Metrics, core: &Core, containerizer: &Containerizer) {
    let (core, containerizer) = (core.clone(), containerizer.clone());
    metrics.ask_samples(move || {
        let (core, containerizer) = (core.clone(), containerizer.clone());
        async move {
            // The process is about to end.
            let Ok(now) = core.snapshot().await else { return Vec::new() };
            let node = now.node;
            let usage = containerizer.usage(view::running(&node)).await.into_iter().collect();
            containers(&node, &usage)
        }
    });
}

fn containers(node: &Node, usage: &Usage) -> Vec<Sample> {
    let mut samples = Vec::new();
    for executor in node.frameworks.values().flat_map(|framework| framework.executors.values()) {
        let Some(used) = usage.get(&executor.container) else { continue };
        let held = view::allocated(executor);
        let labels = vec![
            ("framework_id", executor.framework.value.clone()),
            ("executor_id", executor.id.value.clone()),
            ("container_id", executor.container.value.clone()),
        ];
        let mut add = |what: &str, kind: Kind, help: &str, value: Option<f64>| {
            let Some(value) = value else { return };
            let (family, help) = (format!("slave_container_{what}"), help.to_owned());
            samples.push(Sample { family, kind, help, labels: labels.clone(), value });
        };
        let (cpu, mem) = (scalar::to_f64(held.cpus()), scalar::to_f64(held.mem()) * f64::from(1 << 20));
        let rss = used.mem_rss_bytes.map(|bytes| bytes as f64);
        add("cpus_limit", Kind::Gauge, "Processors it may use", Some(cpu));
        add("cpus_user_seconds", Kind::Counter, "Processor time in user mode", used.cpus_user_time_secs);
        add("cpus_system_seconds", Kind::Counter, "Processor time in the kernel", used.cpus_system_time_secs);
        add("mem_limit_bytes", Kind::Gauge, "Memory it may use", Some(mem));
        add("mem_rss_bytes", Kind::Gauge, "Memory it has", rss);
        add("processes", Kind::Gauge, "Processes in it", used.processes.map(f64::from));
        add("threads", Kind::Gauge, "Threads in it", used.threads.map(f64::from));
    }
    samples
}

/// Everything at once. `uptime` is in seconds, `queued` are the events that wait for the core.
fn values(node: &Node, uptime: f64, queued: i64) -> Snapshot {
    let mut values = Snapshot::new();
    let mut set = |name: &str, value: f64| {
        values.insert(format!("slave/{name}"), value);
    };
    let counters = &node.counters;
    set("uptime_secs", uptime);
    set("registered", if node.phase == Phase::Running { 1.0 } else { 0.0 });
    set("recovery_errors", counters.recovery_errors as f64);
    if let Some(time) = counters.recovery_time {
        set("recovery_time_secs", time.as_secs_f64());
    }
    set("event_queue_messages", queued as f64);
    set("frameworks_active", node.frameworks.len() as f64);
    let ended = |state| counters.tasks_by_end.get(&state).copied().unwrap_or(0) as f64;
    set("tasks_finished", ended(TaskState::TaskFinished));
    set("tasks_failed", ended(TaskState::TaskFailed));
    set("tasks_killed", ended(TaskState::TaskKilled));
    set("tasks_lost", ended(TaskState::TaskLost));
    set("tasks_gone", ended(TaskState::TaskGone));
    set("executors_terminated", counters.executors_terminated as f64);
    set("executors_preempted", 0.0);
    set("valid_status_updates", counters.valid_status_updates as f64);
    set("invalid_status_updates", counters.invalid_status_updates as f64);
    set("valid_framework_messages", counters.valid_framework_messages as f64);
    set("invalid_framework_messages", counters.invalid_framework_messages as f64);
    set("container_launch_errors", counters.container_launch_errors as f64);
    present(node, &mut set);
    resources(node, &mut set);
    values
}

/// Tasks and executors that are here.
fn present(node: &Node, set: &mut impl FnMut(&str, f64)) {
    let executors = || node.frameworks.values().flat_map(|framework| framework.executors.values());
    let launched = || executors().flat_map(|executor| executor.launched_tasks.values());
    let in_state = |state: TaskState| launched().filter(|task| task.state == state as i32).count() as f64;
    let queued: usize = executors().map(|executor| executor.queued_tasks.len()).sum();
    set("tasks_staging", queued as f64 + in_state(TaskState::TaskStaging));
    set("tasks_starting", in_state(TaskState::TaskStarting));
    set("tasks_running", in_state(TaskState::TaskRunning));
    set("tasks_killing", in_state(TaskState::TaskKilling));
    let in_phase = |phase| executors().filter(|executor| executor.phase == phase).count() as f64;
    set("executors_registering", in_phase(ExecutorPhase::Registering));
    set("executors_running", in_phase(ExecutorPhase::Running));
    set("executors_terminating", in_phase(ExecutorPhase::Terminating));
}

fn resources(node: &Node, set: &mut impl FnMut(&str, f64)) {
    // Checked when the agent started.
    let total = Resources::from_protos(&node.info.resources).unwrap_or_default();
    let mut used = Resources::default();
    for framework in node.frameworks.values() {
        for executor in framework.executors.values() {
            used.add(&view::allocated(executor));
        }
    }
    for (infix, total, used) in [
        ("", total.non_revocable(), used.non_revocable()),
        ("_revocable", total.revocable(), used.revocable()),
    ] {
        for name in RESOURCES {
            let (total, used) = (total.scalar(name).unwrap_or(0), used.scalar(name).unwrap_or(0));
            let percent = if total > 0 { used as f64 / total as f64 } else { 0.0 };
            set(&format!("{name}{infix}_total"), scalar::to_f64(total));
            set(&format!("{name}{infix}_used"), scalar::to_f64(used));
            set(&format!("{name}{infix}_percent"), percent);
        }
    }
}
