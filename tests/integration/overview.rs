//! What the web pages live from: `/overview` and what changes of it, agents through the master, who leads.

use serde_json::{Value, json};

use crate::support::follower::Listener;
use crate::support::raw;
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, wait_for};

const CHANGES: &str = "/overview/changes";

fn overview(cluster: &Cluster) -> Value {
    cluster.json("/master/overview").expect("an overview")
}

/// Reads changes until one has what is looked for.
fn until(changes: &mut Listener, what: &str, found: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Vec::new();
    for _ in 0..100 {
        let sent = changes.next();
        let data = sent.data.expect("an event has data");
        if found(&data) {
            return data;
        }
        seen.push(data);
    }
    panic!("{what} was not told: {seen:?}");
}

/// Whether a task is told to be in this state, by the row of its list.
fn is_told(change: &Value, list: &str, id: &str, state: &str) -> bool {
    let lists = change["tasks"].as_object().into_iter().flatten();
    lists.filter_map(|(_, lists)| lists[list].as_object()).any(|part| {
        let rows = part.get("set").or(part.get("added")).and_then(Value::as_array);
        rows.into_iter().flatten().any(|row| row[0] == id && row[5] == state)
    })
}

#[test]
fn pages_are_told_what_changes() {
    let cluster = Cluster::start(1);
    let whole = overview(&cluster);
    assert_eq!(whole["columns"]["task"][5], "state");
    assert_eq!(whole["agents"]["set"].as_array().map(Vec::len), Some(1));
    assert_eq!(whole["totals"]["agents"]["active"], 1);
    let at = whole["at"].as_str().expect("where it stands").to_owned();

    let mut changes = Listener::at(cluster.port, CHANGES, Some(&at));
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("watched"));
    scheduler.run("t", "sleep 1000");
    until(&mut changes, "the running task", |change| is_told(change, "active", "t", "RUNNING"));
    let told = changes.last_id.clone().expect("each change has an id");
    scheduler.until("t", "TASK_RUNNING");
    scheduler.kill("t");
    // Acknowledged, as only then it is one of those that are over.
    scheduler.until("t", "TASK_KILLED");
    until(&mut changes, "the killed task", |change| is_told(change, "completed", "t", "KILLED"));

    // Who comes back is told what it missed, and who was away too long to begin anew.
    let mut back = Listener::at(cluster.port, CHANGES, Some(&told));
    until(&mut back, "the killed task, again", |change| is_told(change, "completed", "t", "KILLED"));
    for unknown in ["", "nobody:1", "garbage"] {
        let mut lost = Listener::at(cluster.port, CHANGES, Some(unknown));
        assert_eq!(lost.next().event.as_deref(), Some("reset"), "{unknown}");
    }

    let query = format!("/master/overview/task?framework_id={}&task_id=t", scheduler.framework_id);
    let task = cluster.json(&query).expect("a task");
    let statuses = &task["get_tasks"]["completed_tasks"][0]["statuses"];
    assert_eq!(
        statuses.as_array().and_then(|all| all.last()).map(|last| &last["state"]),
        Some(&json!("TASK_KILLED"))
    );
    scheduler.teardown();
    until(&mut back, "the completed framework", |change| change["completed_frameworks"]["added"].is_array());
}

#[test]
fn offers_are_rows() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("offered"));
    scheduler.offer();
    let offers = cluster.json("/master/overview/offers").expect("offers");
    assert_eq!(offers["offers"][0].as_array().map(Vec::len), offers["columns"].as_array().map(Vec::len));
    assert_eq!(offers["offers"][0][1], scheduler.framework_id);
}

#[test]
fn agents_are_read_through_the_master() {
    let cluster = Cluster::start(1);
    let state = cluster.json("/state").expect("a state");
    let id = state["slaves"][0]["id"].as_str().expect("an id").to_owned();
    let get = |path: &str| raw::exchange(cluster.port, &raw::get(path)).answer();
    let through = get(&format!("/master/agent/{id}/state"));
    assert_eq!((through.status, &through.json()["id"]), (200, &json!(id)));
    assert_eq!(through.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(through.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(get(&format!("/agent/{id}/monitor/statistics")).status, 200);
    assert_eq!(get(&format!("/agent/{id}/metrics/snapshot")).status, 200);
    // Only what is listed, and only of agents that are there.
    for path in ["", "/", "/api/v1", "/logging/toggle", "/stat", "/state/x", "/files"] {
        assert_eq!(get(&format!("/agent/{id}{path}")).status, 400, "{path}");
    }
    assert_eq!(get("/agent/none/state").status, 404);
    assert_eq!(
        raw::exchange(cluster.port, &raw::post(&format!("/agent/{id}/state"), "text/plain", b"")).status(),
        405
    );
    assert_eq!(get(&format!("/agent/{id}/files/download?path=/nothing")).status, 404);
}

#[test]
fn other_sites_change_nothing() {
    let cluster = Cluster::start(0);
    let post = |headers: &[(&str, &str)]| {
        raw::exchange(cluster.port, &raw::request("POST", "/kill", headers, b"frameworkId=f&taskId=t"))
            .status()
    };
    assert_eq!(post(&[("Origin", "http://elsewhere.example")]), 403);
    assert_eq!(post(&[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_ne!(post(&[("Origin", "http://localhost")]), 403, "the request is for `Host: localhost`");
    assert_ne!(post(&[]), 403);
}

#[test]
fn masters_and_agents_say_who_leads() {
    let cluster = Cluster::start(1);
    let known = wait_for("the leader", || cluster.json("/master/leader"));
    assert_eq!((&known["leads"], &known["leader"]["port"]), (&json!(true), &json!(cluster.port)));
    assert_eq!(known["id"], known["leader"]["id"]);
    assert_eq!(known["masters"], json!([known["leader"]]));

    // Pages of other sites may not read it; the stream of changes names all masters before anything else.
    let request = raw::request("GET", "/leader", &[("Origin", "http://elsewhere.example")], b"");
    let answer = raw::exchange(cluster.port, &request).answer();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    let at = overview(&cluster)["at"].as_str().expect("where it stands").to_owned();
    let mut changes = Listener::at(cluster.port, CHANGES, Some(&at));
    let first = changes.next();
    assert_eq!(first.event.as_deref(), Some("masters"));
    assert_eq!(first.data, Some(json!([known["leader"]["authority"]])));

    let agent = raw::exchange(cluster.agent_ports[0], &raw::request("GET", "/leader", &[], b"")).answer();
    let agent = agent.json();
    assert_eq!((&agent["agent"]["process"], &agent["leads"]), (&json!("slave(1)"), &json!(false)));
    assert_eq!(agent["leader"]["port"], json!(cluster.port));
}

/// At the agent and through the master; what is in it is up to the kernel.
#[test]
fn pressure_is_told_as_far_as_the_kernel_tells_it() {
    let cluster = Cluster::start(1);
    let told = std::path::Path::new("/proc/pressure/memory").exists();
    let get = |port, path: &str| raw::exchange(port, &raw::request("GET", path, &[], b"")).answer();
    let id = wait_for("the agent", || Some(cluster.json("/state")?["slaves"][0]["id"].as_str()?.to_owned()));
    for (port, path) in [
        (cluster.agent_ports[0], "/monitor/pressure".to_owned()),
        (cluster.port, format!("/master/agent/{id}/monitor/pressure")),
    ] {
        let pressure = get(port, &path).json();
        let share = &pressure["machine"]["memory"]["some"]["avg10"];
        assert_eq!(share.is_number(), told, "{pressure}");
        assert_eq!(pressure["executors"], json!([]));
    }
}
