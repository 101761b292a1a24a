//! Our agent, registered under the real Apache Mesos 1.11.0 master.

use std::time::Duration;

use mesos::agent::paths;
use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, wait_for};
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

/// Under a running task the agent is killed with -9 and started again: as itself, and the task runs on.
fn killed_agent_returns(cluster: &mut Cluster, capabilities: &Value) {
    let info = with(
        framework("witness"),
        json!({"capabilities": capabilities, "checkpoint": true, "failover_timeout": 1000.0}),
    );
    let mut scheduler = Scheduler::subscribe(cluster.port, info);
    // A task that ends with the test, though nobody is left to kill it.
    let offer = scheduler.run("steady", "while [ -e stdout ] && [ ! -e end ]; do sleep 0.05; done");
    scheduler.until("steady", "TASK_RUNNING");
    let id = offer["agent_id"]["value"].as_str().expect("an id").to_owned();
    let sandboxes = cluster.work_dir(0).join("slaves").join(&id).join("frameworks");
    let sandbox = sandboxes.join(&scheduler.framework_id).join("executors/steady/runs/latest");

    for _ in 0..2 {
        cluster.restart_agent(0, &[]);
        let registered = wait_for("the agent's return", || {
            let log = cluster.agents[0].log();
            log.iter().any(|line| line.contains("reregistered")).then_some(())?;
            let slaves = cluster.json("/slaves")?["slaves"].as_array()?.clone();
            (slaves.len() == 1 && slaves[0]["active"] == true).then(|| slaves[0]["id"].clone())
        });
        assert_eq!(registered, id.as_str());
    }
    cluster.agents[0].kill();
    std::fs::write(sandbox.join("end"), "").expect("its sandbox");
    cluster.restart_agent(0, &[]);
    let statuses = scheduler.until("steady", "TASK_FINISHED");
    // The agent may have been killed before the first update's acknowledgement was durable; then it says it again.
    let news = statuses.iter().filter(|status| status["state"] != "TASK_RUNNING").count();
    assert_eq!(news, 1, "nothing else was said of it: {statuses:?}");
    // Offers of the agent before it was back are taken away.
    let offer = wait_for("an offer that holds", || scheduler.offer_within(Duration::from_millis(500)));
    assert_eq!(offer["agent_id"]["value"], id.as_str());
    scheduler.launch(&offer, &[command_task("again", &offer, "true")]);
    scheduler.until("again", "TASK_FINISHED");
}

#[test]
fn an_agent_killed_and_back_keeps_its_tasks() {
    if peer::available("an agent killed and back") {
        let mut cluster = peer::cluster(1, &[], &[]);
        killed_agent_returns(&mut cluster, &json!([{"type": "MULTI_ROLE"}]));
        killed_agent_returns(&mut cluster, &json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]));
    }
}

/// What ran under the id of an agent that does not come back under it is lost, and the agent is a new one.
#[test]
fn an_agent_that_forgot_its_id_loses_its_tasks() {
    if !peer::available("an agent killed and back") {
        return;
    }
    let quick = [
        ("MESOS_AGENT_PING_TIMEOUT", "1secs"),
        ("MESOS_MAX_AGENT_PING_TIMEOUTS", "2"),
        ("MESOS_AGENT_REREGISTER_TIMEOUT", "10mins"),
    ];
    let mut cluster = peer::cluster(1, &quick, &[]);
    let plain = json!([{"type": "MULTI_ROLE"}]);
    let aware = json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]);
    let mut schedulers = [("plain", plain), ("aware", aware)].map(|(name, capabilities)| {
        let info = with(framework(name), json!({"capabilities": capabilities, "checkpoint": true}));
        let mut scheduler = Scheduler::subscribe(cluster.port, info);
        scheduler.run(name, "while [ -e stdout ]; do sleep 0.2; done");
        scheduler.until(name, "TASK_RUNNING");
        // What it was offered behind that is for the next one.
        scheduler.suppress();
        scheduler
    });
    cluster.agents[0].kill();
    std::fs::remove_file(paths::latest_agent(&cluster.work_dir(0))).expect("it is there");
    cluster.restart_agent(0, &[]);
    for (scheduler, name) in schedulers.iter_mut().zip(["plain", "aware"]) {
        let status = std::iter::repeat_with(|| scheduler.status(name)).find(|s| s["state"] != "TASK_RUNNING");
        let status = status.expect("endless");
        assert_eq!(status["state"], "TASK_LOST", "{status}");
        assert_eq!(status["source"], "SOURCE_MASTER", "{status}");
        assert_eq!(status["reason"], "REASON_AGENT_REMOVED", "{status}");
    }
}
