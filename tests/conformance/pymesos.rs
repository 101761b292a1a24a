//! pymesos 0.3.15 off the package index plays `pymesos/scheduler.py` against a cluster of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Cluster, Process, cache_dir};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/pymesos")
}

/// The Python that has pymesos; made on first use.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let output =
            Command::new(here().join("setup")).arg(cache_dir("pymesos")).output().expect("setup runs");
        assert!(output.status.success(), "pymesos setup: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// The command line of the executor.
pub fn executor() -> String {
    format!("{} {}", python().display(), here().join("executor.py").display())
}

/// One scenario, whose drivers look for this master at a place of their own. Has not ended yet.
pub fn start(master: &str, scenario: &str, place: &str) -> Process {
    let mut command = Command::new(python());
    command.arg(here().join("scheduler.py")).args([master, scenario, place]);
    Process::of(command, format!("pymesos {scenario}"))
}

fn play(scenario: &str) {
    play_on(&Cluster::start(1), scenario);
}

/// One scenario on a cluster of one agent.
pub fn play_on(cluster: &Cluster, scenario: &str) {
    let python = python();
    let output = Command::new(python)
        .arg(here().join("scheduler.py"))
        .args([&cluster.address(), scenario])
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "scenario {scenario}:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_task_finishes_and_its_output_is_readable() {
    play("finish");
}

#[test]
fn a_failing_command_says_why() {
    play("fail");
}

#[test]
fn a_killed_task_is_gone_with_its_children() {
    play("kill");
}

#[test]
fn reconciliation_answers() {
    play("reconcile");
}

#[test]
fn a_python_executor_talks_both_ways() {
    play("executor");
}

#[test]
fn a_restarted_scheduler_keeps_its_tasks() {
    play("failover");
}

#[test]
fn a_second_scheduler_takes_over() {
    play("takeover");
}

#[test]
fn teardown_ends_everything() {
    play("teardown");
}

#[test]
fn invalid_tasks_are_refused() {
    play("refusals");
}
