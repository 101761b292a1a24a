//! Between an election and the return of the last agent: what a leader knows of those that have not come back, what it
//! says of their tasks, and what becomes of them when they never do.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{Masters, beside_ours, signal};
use crate::support::ensembles::unpacked;
use crate::support::raw::{exchange, post};
use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, Process, binary, free_port, get, wait_for};

fn state(port: u16) -> Option<Value> {
    serde_json::from_str(&get(port, "/state").ok()?).ok()
}

fn v1(port: u16, call: &str) -> Value {
    let call = json!({"type": call}).to_string();
    exchange(port, &post("/api/v1", "application/json", call.as_bytes())).answer().json()
}

fn reconcile(scheduler: &Scheduler, tasks: &[(&str, &Value)]) {
    let tasks: Vec<Value> =
        tasks.iter().map(|(id, agent)| json!({"task_id": {"value": id}, "agent_id": agent})).collect();
    let answer = scheduler.call(json!({"type": "RECONCILE", "reconcile": {"tasks": tasks}}));
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Whether a scheduler was told anything of a task.
fn told(scheduler: &Scheduler, task: &str) -> bool {
    scheduler.heard().iter().any(|event| event["update"]["status"]["task_id"]["value"] == task)
}

fn with_id(info: &Value, scheduler: &Scheduler) -> Value {
    with(info.clone(), json!({"id": {"value": scheduler.framework_id}}))
}

#[test]
fn a_new_leader_shows_what_it_recovered_and_says_nothing_of_tasks_it_does_not_know_yet() {
    beside_ours("recovered", 1, |ensemble| {
        let mut masters = Masters::start(&ensemble, 2, &["--registry=replicated_log", "--quorum=1"]);
        let first = masters.leader();
        let (port_here, here) = masters.agent_on(free_port());
        masters.wait_for_agent(first);
        let info = with(framework("waits"), json!({"failover_timeout": 600.0, "checkpoint": true}));
        let mut scheduler = Scheduler::subscribe(masters.port(first), info.clone());
        let agent_here = scheduler.run("here", "exec sleep 1000")["agent_id"].clone();
        scheduler.until("here", "TASK_RUNNING");
        let (_, there) = masters.agent_on(free_port());
        let agent_there = loop {
            let offer = scheduler.offer();
            if offer["agent_id"] != agent_here {
                scheduler.launch(&offer, &[command_task("there", &offer, "exec sleep 1000")]);
                break offer["agent_id"].clone();
            }
            scheduler.decline(&offer, 0.1);
        };
        scheduler.until("there", "TASK_RUNNING");

        signal(&there, libc::SIGSTOP);
        masters.process(first).kill();
        let second = masters.port(masters.leader_but(&[first]));
        let shown = wait_for("the agent that is back", || {
            state(second).filter(|state| state["slaves"].as_array().is_some_and(|all| all.len() == 1))
        });
        assert_eq!(shown["slaves"][0]["id"], agent_here["value"]);
        assert_eq!(shown["recovered_slaves"].as_array().map(Vec::len), Some(1));
        assert_eq!(shown["recovered_slaves"][0]["id"], agent_there["value"]);
        // Its agent told of the framework, which has not come back itself.
        let known = &shown["frameworks"][0];
        assert_eq!(
            (&known["recovered"], &known["connected"], &known["active"]),
            (&json!(true), &json!(false), &json!(false)),
            "{known}"
        );
        assert_eq!(known["tasks"][0]["id"], "here");
        let agents = v1(second, "GET_AGENTS");
        assert_eq!(agents["get_agents"]["recovered_agents"][0]["id"], agent_there);
        let frameworks = v1(second, "GET_FRAMEWORKS");
        assert_eq!(frameworks["get_frameworks"]["frameworks"][0]["recovered"], true, "{frameworks}");

        let mut scheduler = Scheduler::subscribe(second, with_id(&info, &scheduler));
        reconcile(&scheduler, &[("there", &agent_there), ("here", &agent_here)]);
        assert_eq!(scheduler.status("here")["state"], "TASK_RUNNING");
        assert!(!told(&scheduler, "there"), "its agent may come back");
        let known = &state(second).expect("its state")["frameworks"][0];
        assert_eq!((&known["recovered"], &known["connected"]), (&json!(false), &json!(true)), "{known}");

        signal(&there, libc::SIGCONT);
        wait_for("the other agent", || {
            let state = state(second)?;
            let all_back = state["slaves"].as_array()?.len() == 2 && state["recovered_slaves"] == json!([]);
            all_back.then_some(())
        });
        reconcile(&scheduler, &[("there", &agent_there)]);
        assert_eq!(scheduler.status("there")["state"], "TASK_RUNNING");
        for task in ["here", "there"] {
            scheduler.kill(task);
            scheduler.until(task, "TASK_KILLED");
        }
        drop((port_here, here));
    });
}

/// What makes a process's clock run faster; none, and a word about it, where it is not to be had.
fn faketime() -> Option<PathBuf> {
    let root = unpacked("faketime", &["libfaketime"])?;
    let found = Command::new("find").arg(root).args(["-name", "libfaketime.so.1"]).output().ok()?;
    let path = String::from_utf8_lossy(&found.stdout).lines().next().map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED, libfaketime is not to be had on this machine");
    }
    path
}

/// A master on the cluster's port and folder, whose ten minutes (the least that agents may be given to return) last
/// five seconds.
fn hurried(cluster: &Cluster, faketime: &PathBuf, work_dir: &str) -> Process {
    let mut command = binary();
    command
        .args(["master", "--ip=127.0.0.1", "--hostname=localhost", "--allocation_interval=10secs"])
        .arg(format!("--port={}", cluster.port))
        .arg(format!("--work_dir={work_dir}"))
        .args([
            "--agent_ping_timeout=300secs",
            "--registry_store_timeout=2hrs",
            "--registry_fetch_timeout=2hrs",
        ])
        .env("LD_PRELOAD", faketime)
        .env("FAKETIME", "+0 x120")
        .env("FAKETIME_DONT_RESET", "1");
    Process::of(command, "hurried master".to_owned())
}

/// As Apache Mesos 1.11: the agent is unreachable then, which frameworks are told of its tasks when they ask, and it
/// may come back with them.
#[test]
fn an_agent_that_stays_away_after_a_failover_becomes_unreachable_and_may_return() {
    let Some(faketime) = faketime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let work_dir = folder.path().join("master").display().to_string();
    let flag = format!("--work_dir={work_dir}");
    let mut cluster = Cluster::start_with(1, &[&flag], &[]);
    let lasting = json!({"failover_timeout": 1e6, "checkpoint": true});
    let aware = json!({"capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]});
    let infos = [with(framework("plain"), lasting.clone()), with(with(framework("aware"), lasting), aware)];
    let tasks = ["lost", "unreachable"];
    let mut agent = Value::Null;
    let frameworks: Vec<Value> = infos
        .iter()
        .zip(tasks)
        .map(|(info, task)| {
            let mut scheduler = Scheduler::subscribe(cluster.port, info.clone());
            agent = scheduler.run(task, "exec sleep 1000")["agent_id"].clone();
            scheduler.until(task, "TASK_RUNNING");
            with_id(info, &scheduler)
        })
        .collect();
    signal(&cluster.agents[0], libc::SIGSTOP);
    cluster.master.kill();
    cluster.master = hurried(&cluster, &faketime, &work_dir);
    wait_for("the next master", || cluster.get("/health").ok());
    let mut schedulers: Vec<Scheduler> =
        frameworks.iter().map(|info| Scheduler::subscribe(cluster.port, info.clone())).collect();
    for (scheduler, task) in schedulers.iter().zip(tasks) {
        reconcile(scheduler, &[(task, &agent)]);
    }
    let gone = wait_for("the end of patience", || {
        cluster.json("/state").filter(|state| state["unreachable_slaves"] == 1.0)
    });
    assert_eq!(gone["recovered_slaves"], json!([]));
    for (scheduler, task) in schedulers.iter_mut().zip(tasks) {
        assert!(!told(scheduler, task), "while its agent might have come back");
        assert_eq!(scheduler.next("FAILURE")["failure"]["agent_id"], agent);
        reconcile(scheduler, &[(task, &agent)]);
    }
    assert_eq!(schedulers[0].status("lost")["state"], "TASK_LOST");
    let status = schedulers[1].status("unreachable");
    assert_eq!(status["state"], "TASK_UNREACHABLE");
    assert!(status["unreachable_time"]["nanoseconds"].is_number(), "{status}");

    signal(&cluster.agents[0], libc::SIGCONT);
    wait_for("its return", || {
        let state = cluster.json("/state")?;
        (state["unreachable_slaves"] == 0.0 && state["slaves"][0]["id"] == agent["value"]).then_some(())
    });
    for (scheduler, task) in schedulers.iter_mut().zip(tasks) {
        scheduler.until(task, "TASK_RUNNING");
        scheduler.kill(task);
        scheduler.until(task, "TASK_KILLED");
    }
    assert!(cluster.master.running());
}
