//! Executors of others that outlive our agent: pymesos over v1, mesos-go over v0.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, scalar, with};
use crate::support::{Cluster, get, wait_for};
use crate::{mesos_go, pymesos};

fn task(id: &str, offer: &Value, executor: &str) -> Value {
    let mut task = command_task(id, offer, "");
    let fields = task.as_object_mut().expect("an object");
    fields.remove("command");
    let executor = json!({"executor_id": {"value": "theirs"}, "type": "CUSTOM", "command": {"value": executor},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]});
    fields.insert("executor".into(), executor);
    task
}

/// Its task runs on under an agent that is killed and comes back, twice, and it does as it is told afterwards.
fn outlives_its_agent(executor: &str) {
    // Theirs come back at their own pace.
    let patient = ["--executor_reregistration_timeout=15secs"];
    let mut cluster = Cluster::start_with(1, &[], &patient);
    let info = with(framework("outlives"), json!({"checkpoint": true, "failover_timeout": 1000.0}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info);
    let offer = scheduler.offer();
    scheduler.launch(&offer, &[task("steady", &offer, executor)]);
    scheduler.until("steady", "TASK_RUNNING");
    for _ in 0..2 {
        cluster.restart_agent(0, &patient);
        wait_for("the agent's return", || {
            let metrics = get(cluster.agent_ports[0], "/metrics/snapshot").ok()?.replace('\\', "");
            metrics.contains("\"slave/registered\":1.0").then_some(())
        });
    }
    let offer = wait_for("an offer that holds", || scheduler.offer_within(Duration::from_millis(100)));
    scheduler.launch(&offer, &[task("another", &offer, executor)]);
    scheduler.until("another", "TASK_RUNNING");
    for task in ["steady", "another"] {
        scheduler.kill(task);
        let statuses = scheduler.until(task, "TASK_KILLED");
        // The agent may have been killed before an acknowledgement was durable; then it says the update again.
        let news: Vec<&Value> = statuses.iter().filter(|status| status["state"] != "TASK_RUNNING").collect();
        assert_eq!(news.len(), 1, "nothing else was said of it: {statuses:?}");
        assert_eq!(news[0]["source"], "SOURCE_EXECUTOR");
    }
    scheduler.teardown();
}

#[test]
fn a_v1_executor_in_python_outlives_its_agent() {
    outlives_its_agent(&pymesos::executor());
}

#[test]
fn a_v0_executor_in_go_outlives_its_agent() {
    if let Some(program) = mesos_go::program() {
        outlives_its_agent(&format!("exec {} executor", program.display()));
    }
}
