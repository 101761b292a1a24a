//! Names of metrics: what a real Apache Mesos 1.11.0 master and agent show is shown here too, or docs/metrics.md
//! says why not.

use std::collections::BTreeSet;

use crate::peer;
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, get, wait_for};

const LIST: &str = include_str!("../../docs/metrics.md");

/// Names of a process, with the framework's id blanked.
fn names(port: u16, framework: &str) -> BTreeSet<String> {
    let text = get(port, "/metrics/snapshot").expect("metrics");
    let metrics: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("an object");
    metrics.keys().map(|name| name.replace(framework, "{ID}")).collect()
}

/// A scheduler that has offers, so that there are numbers of it and of its role, and the second round that a
/// timer's percentiles need.
fn subscribed(cluster: &Cluster) -> Scheduler {
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("a name/with more"));
    scheduler.offer();
    wait_for("percentiles", || {
        names(cluster.port, &scheduler.framework_id)
            .contains("allocator/mesos/allocation_run_ms/p99")
            .then_some(())
    });
    scheduler
}

/// First cells of the table below "Left out".
fn left_out() -> Vec<&'static str> {
    let (_, section) = LIST.split_once("\n## Left out\n").expect("docs/metrics.md has a section Left out");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
    assert!(rows.len() > 5, "docs/metrics.md has lost its table");
    rows
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            assert!(!after.contains('*'), "one * is enough for {pattern}");
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    }
}

#[test]
fn every_name_is_there_or_listed_as_left_out() {
    if !peer::available("metrics") {
        return;
    }
    let theirs = peer::with_own_agent("cpus:4;mem:2048;disk:4096;ports:[31000-32000]");
    let ours = Cluster::start(1);
    let (their_scheduler, our_scheduler) = (subscribed(&theirs), subscribed(&ours));
    // Their agent is in the process of their master.
    let their_names = names(theirs.port, &their_scheduler.framework_id);
    let mut our_names = names(ours.port, &our_scheduler.framework_id);
    our_names.extend(names(ours.agent_ports[0], &our_scheduler.framework_id));
    assert!(their_names.contains("master/frameworks/a%20name%2Fwith%20more/{ID}/calls/subscribe"));
    let list = left_out();
    let listed = |name: &str| list.iter().any(|pattern| fits(pattern, name));
    // Percentiles come with the second time: how often a registry in memory was written is theirs to know.
    let missing: Vec<&String> = their_names
        .difference(&our_names)
        .filter(|name| !listed(name) && !name.starts_with("registrar/state_store_ms/"))
        .collect();
    assert!(missing.is_empty(), "neither served nor listed in docs/metrics.md: {missing:#?}");
    let both: Vec<&String> = our_names.iter().filter(|name| listed(name)).collect();
    assert!(both.is_empty(), "served, and listed in docs/metrics.md as left out: {both:#?}");
    let pattern = list.iter().find(|pattern| their_names.iter().any(|name| fits(pattern, name)));
    assert!(pattern.is_some(), "nothing of the list is theirs");
}
