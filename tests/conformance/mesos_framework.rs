//! npm's mesos-framework 0.5.3 (v1 over HTTP) plays `mesos-framework/scheduler.js` against a cluster of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::peer;
use crate::support::{Cluster, cache_dir, finished};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/mesos-framework")
}

/// The folder that npm filled; made on first use.
fn modules() -> &'static Path {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    MODULES.get_or_init(|| {
        let output = Command::new(here().join("setup"))
            .arg(cache_dir("mesos-framework"))
            .output()
            .expect("setup runs");
        assert!(output.status.success(), "npm setup: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// What the scenario prints.
fn play(cluster: &Cluster, scenario: &str, more: &[&str]) -> String {
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules().join("node_modules")).env("LOGS", modules().join("logs"));
    // The library writes "logs/…" where it starts.
    command.current_dir(modules()).arg(here().join("scheduler.js"));
    command.args([&cluster.address(), scenario]).args(more);
    let output = finished(command);
    assert_eq!(output.status, Some(0), "scenario {scenario}:\n{}\n{}", output.out, output.err);
    output.out
}

#[test]
fn a_task_lives_and_dies_under_node() {
    let cluster = Cluster::start(1);
    for scenario in ["finish", "fail", "kill", "reconcile"] {
        play(&cluster, scenario, &[]);
    }
}

#[test]
fn a_node_executor_talks_both_ways() {
    play(&Cluster::start(1), "executor", &[]);
}

#[test]
fn a_node_scheduler_takes_over_its_tasks() {
    take_over(&Cluster::start(1));
}

fn take_over(cluster: &Cluster) {
    let framework = play(cluster, "predecessor", &[]);
    play(cluster, "successor", &[framework.trim()]);
}

#[test]
fn under_the_real_master_all_is_the_same() {
    if !peer::available("mesos-framework") {
        return;
    }
    let cluster = peer::cluster(1, &[], &[]);
    for scenario in ["finish", "fail", "kill", "reconcile", "executor"] {
        play(&cluster, scenario, &[]);
    }
    take_over(&cluster);
}
