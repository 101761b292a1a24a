//! Our agent, registered under the real Apache Mesos 1.11.0 master.

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::wait_for;
use crate::{peer, pymesos};

fn play(scenario: &str) {
    if peer::available(scenario) {
        pymesos::play_on(&peer::cluster(1, &[], &[]), scenario);
    }
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

/// An agent is killed with -9 under a running task, and started again. Without recovery it comes back under
/// a new id, and the old one's task is in `state` once its pings went unanswered.
fn killed_agent_returns(capabilities: &Value, state: &str) {
    let quick = [
        ("MESOS_AGENT_PING_TIMEOUT", "1secs"),
        ("MESOS_MAX_AGENT_PING_TIMEOUTS", "2"),
        ("MESOS_AGENT_REREGISTER_TIMEOUT", "10mins"),
    ];
    let mut cluster = peer::cluster(1, &quick, &[]);
    let info = with(framework("witness"), json!({"capabilities": capabilities, "checkpoint": true}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info);
    // A task that ends with the test, though nobody is left to kill it.
    let offer = scheduler.run("steady", "while [ -e stdout ]; do sleep 0.2; done");
    scheduler.until("steady", "TASK_RUNNING");
    let old = offer["agent_id"]["value"].as_str().expect("an id").to_owned();

    cluster.agents[0].kill();
    cluster.add_agent(0, &[]);
    let status = scheduler.status("steady");
    assert_eq!(status["state"], state, "{status}");
    assert_eq!(status["source"], "SOURCE_MASTER", "{status}");
    assert_eq!(status["reason"], "REASON_AGENT_REMOVED", "{status}");

    let new = wait_for("the agent's return", || {
        let slaves = cluster.json("/slaves")?["slaves"].as_array()?.clone();
        let active: Vec<_> = slaves.iter().filter(|slave| slave["active"] == true).collect();
        let id = active.first()?["id"].as_str()?;
        (active.len() == 1 && id != old).then(|| id.to_owned())
    });
    let offer = wait_for("an offer of the new agent", || {
        Some(scheduler.offer()).filter(|offer| offer["agent_id"]["value"] == new.as_str())
    });
    scheduler.launch(&offer, &[command_task("again", &offer, "true")]);
    scheduler.until("again", "TASK_FINISHED");
}

#[test]
fn an_agent_killed_and_back_loses_its_tasks() {
    if peer::available("an agent killed and back") {
        killed_agent_returns(&json!([{"type": "MULTI_ROLE"}]), "TASK_LOST");
    }
}

#[test]
fn an_agent_killed_and_back_leaves_its_tasks_unreachable() {
    if peer::available("an agent killed and back") {
        let capabilities = json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]);
        killed_agent_returns(&capabilities, "TASK_UNREACHABLE");
    }
}
