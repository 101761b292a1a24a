//! What one agent does: how fast command tasks run on it, and what their executors take.
//!
//! `TASKS=500` are launched at once, and then `SINGLE=200` one after the other, of which each is timed from the ACCEPT to
//! the status TASK_RUNNING. A real master (of ours), a real agent and real executors, on loopback. There is no Apache
//! Mesos beside it: its agent needs programs that the package which the conformance tests run does not hold.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads clocks and starts processes"
)]

#[allow(dead_code, reason = "other benches use the rest")]
#[path = "cluster/setting.rs"]
mod setting;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use setting::number;
use support::scheduler::{Scheduler, command_task, framework, scalar, with};
use support::{Cluster, wait_for};

const RESOURCES: &str = "--resources=cpus:10000;mem:1000000;disk:1000000;ports:[31000-32000]";

fn main() {
    let (tasks, single) = (number("TASKS", 500), number("SINGLE", 200));
    for (name, checkpoint, flags) in [
        ("command tasks", false, &["--launcher=posix"] as &[&str]),
        ("command tasks, checkpointed", true, &["--launcher=posix"]),
        ("command tasks, checkpointed, in control groups", true, &["--isolation=cgroups/cpu,cgroups/mem"]),
    ] {
        if flags[0].contains("cgroups") && !nix::unistd::Uid::effective().is_root() {
            println!("{name}: SKIPPED, only root can make control groups");
            continue;
        }
        let flags: Vec<&str> = flags.iter().copied().chain([RESOURCES]).collect();
        let cluster = Cluster::start_with(1, &[], &flags);
        let info = with(framework("bench"), json!({"checkpoint": checkpoint, "failover_timeout": 60.0}));
        let mut scheduler = Scheduler::subscribe(cluster.port, info);
        let (rate, memory) = at_once(&cluster, &mut scheduler, tasks);
        let latencies = one_by_one(&mut scheduler, single);
        let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] * 1e3;
        println!(
            "{name}: {tasks} at once {rate:.0} tasks/s; accept to RUNNING of {single}, one by one: p50 {:.1} ms, p99 {:.1} ms; \
             memory of an executor {:.1} MiB (its own share of what it has mapped, with the process above it)",
            at(0.5),
            at(0.99),
            memory / f64::from(1 << 20)
        );
        println!(
            "{}",
            json!({"bench": "agent", "case": name, "tasks": tasks, "per_second": rate, "p50_ms": at(0.5), "p99_ms": at(0.99),
                "executor_bytes": memory})
        );
        scheduler.teardown();
        // Those that outlive their agent would end during what is measured next.
        let work_dir = cluster.work_dir(0).display().to_string();
        wait_for("the end of all executors", || executors(&work_dir).is_empty().then_some(()));
    }
    println!(
        "Apache Mesos's agent: SKIPPED, the package that is run here lacks the programs that its tasks run in"
    );
}

fn sleeper(id: &str, offer: &Value) -> Value {
    with(
        command_task(id, offer, "exec sleep 1000"),
        json!({"resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]}),
    )
}

/// Tasks per second until the last of them runs, and bytes of each executor then.
fn at_once(cluster: &Cluster, scheduler: &mut Scheduler, tasks: usize) -> (f64, f64) {
    let offer = scheduler.offer();
    let all: Vec<Value> = (0..tasks).map(|number| sleeper(&format!("t{number}"), &offer)).collect();
    let begun = Instant::now();
    scheduler.launch(&offer, &all);
    let mut running = 0;
    while running < tasks {
        scheduler.statuses(Duration::from_millis(5), |status| match status["state"].as_str() {
            Some("TASK_RUNNING") => running += 1,
            Some("TASK_STARTING") => {}
            _ => panic!("{status}"),
        });
    }
    let rate = tasks as f64 / begun.elapsed().as_secs_f64();
    let work_dir = cluster.work_dir(0).display().to_string();
    let memory: u64 = executors(&work_dir).into_iter().map(own_bytes).sum();
    (rate, memory as f64 / tasks as f64)
}

/// Supervisors and executors of this agent.
fn executors(work_dir: &str) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.insert(pid, parent.unwrap_or_default());
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_ours = String::from_utf8_lossy(&environment).contains(work_dir);
        if is_ours && line.starts_with(b"mesos-executor") {
            found.push(pid);
        }
    }
    let above: Vec<u32> = found.iter().filter_map(|pid| parents.get(pid).copied()).collect();
    found.into_iter().chain(above).collect()
}

fn own_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// Seconds of each, the least first.
fn one_by_one(scheduler: &mut Scheduler, count: usize) -> Vec<f64> {
    let mut seconds: Vec<f64> = (0..count)
        .map(|number| {
            let offer = wait_for("an offer that holds", || scheduler.offer_within(Duration::from_millis(50)));
            let id = format!("s{number}");
            let begun = Instant::now();
            scheduler.launch(&offer, &[sleeper(&id, &offer)]);
            scheduler.until(&id, "TASK_RUNNING");
            begun.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}
