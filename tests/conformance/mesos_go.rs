//! Debian's mesos-go 0.0.6: a scheduler and an executor on libprocess messages (v0), in `mesos-go/`, against a
//! cluster of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::peer;
use crate::support::{Cluster, cache_dir, finished};

/// The exit status of a `setup` whose package cannot be had on this machine.
const NOT_TO_BE_HAD: i32 = 77;

/// The program; built on first use. None, said out loud, where there is no such package.
pub fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/mesos-go/setup");
        let output = Command::new(setup).arg(cache_dir("mesos-go")).output().expect("setup runs");
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(NOT_TO_BE_HAD) {
            eprintln!("SKIPPED, mesos-go is not to be had: {said}");
            return None;
        }
        assert!(output.status.success(), "mesos-go setup: {said}");
        Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    });
    built.as_deref()
}

fn scheduler(program: &Path, cluster: &Cluster, scenario: &str, framework: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["scheduler", &cluster.address(), scenario, framework]);
    command
}

/// What the scenario prints.
fn play(program: &Path, cluster: &Cluster, scenario: &str, framework: &str) -> String {
    let output = finished(scheduler(program, cluster, scenario, framework));
    assert_eq!(output.status, Some(0), "scenario {scenario}:\n{}\n{}", output.out, output.err);
    output.out.trim().to_owned()
}

fn restart(program: &Path, cluster: &Cluster) {
    let framework = play(program, cluster, "predecessor", "");
    play(program, cluster, "successor", &framework);
    play(program, cluster, "removed", &framework);
}

fn play_alone(scenarios: &[&str]) {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(1);
    for scenario in scenarios {
        play(program, &cluster, scenario, "");
    }
}

#[test]
fn tasks_of_a_v0_driver_live_and_die() {
    play_alone(&["life", "kill", "refusals"]);
}

#[test]
fn a_v0_driver_declines_revives_and_reconciles() {
    play_alone(&["offers", "reconcile"]);
}

#[test]
fn a_v0_executor_runs_tasks_and_talks_both_ways() {
    play_alone(&["executor"]);
}

#[test]
fn a_v0_driver_hears_of_an_executor_that_died() {
    play_alone(&["lost"]);
}

#[test]
fn a_v0_driver_with_a_credential_stays_outside() {
    let Some(program) = program() else { return };
    let output = finished(scheduler(program, &Cluster::start(0), "authenticate", ""));
    assert_eq!(output.status, Some(0), "{}", output.err);
    // Its driver tells nobody but its log.
    assert!(output.err.contains("refused authentication"), "{}", output.err);
}

#[test]
fn a_restarted_v0_driver_keeps_its_tasks_until_its_end() {
    let Some(program) = program() else { return };
    restart(program, &Cluster::start(1));
}

#[test]
fn a_second_v0_driver_ousts_the_first() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(1);
    let mut first = scheduler(program, &cluster, "ousted", "");
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it ran before");
    let mut framework = String::new();
    BufReader::new(first.stdout.take().expect("piped")).read_line(&mut framework).expect("a pipe");
    play(program, &cluster, "heir", framework.trim());
    assert!(first.wait().expect("waiting").success(), "the first was not told");
}

/// Our agent's v0 executors with everything else from elsewhere.
#[test]
fn under_the_real_master_all_is_the_same() {
    if !peer::available("mesos-go") {
        return;
    }
    let Some(program) = program() else { return };
    let cluster = peer::cluster(1, &[], &[]);
    for scenario in ["life", "kill", "refusals", "offers", "reconcile", "executor", "lost", "authenticate"] {
        play(program, &cluster, scenario, "");
    }
    restart(program, &cluster);
}
