//! The operator API of master and agent, on a cluster that runs a task: each call in JSON and in protobuf.

use mesos::proto::Spelling;
use mesos::proto::json::{from_json, to_json};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::raw::{self, Answer};
use crate::support::scheduler::{Scheduler, command_task, framework};
use crate::support::{Cluster, wait_for};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const AGENT: &str = "/slave(1)/api/v1";

fn with_a_task(flags: &[&str]) -> (Cluster, Scheduler) {
    let cluster = Cluster::start_with(1, flags, &[]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("operators"));
    let offer = scheduler.offer();
    scheduler.launch(&offer, &[command_task("task", &offer, "echo output; sleep 1000")]);
    scheduler.until("task", "TASK_RUNNING");
    (cluster, scheduler)
}

fn get(port: u16, path: &str) -> Answer {
    raw::exchange(port, &raw::request("GET", path, &[], b"")).answer()
}

fn post(port: u16, path: &str, call: &Value) -> Answer {
    let headers = [("Content-Type", JSON), ("Accept", JSON)];
    raw::exchange(port, &raw::request("POST", path, &headers, call.to_string().as_bytes())).answer()
}

fn ask(port: u16, path: &str, call: &Value) -> Value {
    let answer = post(port, path, call);
    assert_eq!(answer.status, 200, "{call}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some(JSON));
    answer.json()
}

/// The same with both bodies in protobuf.
fn ask_in_protobuf(port: u16, path: &str, call: &Value) -> Value {
    let text = call.to_string();
    let (body, is_agent) = match path {
        AGENT => {
            let call: mesos::proto::agent::Call = from_json(text.as_bytes(), Spelling::V1).expect("a call");
            (call.encode_to_vec(), true)
        }
        _ => {
            let call: mesos::proto::master::Call = from_json(text.as_bytes(), Spelling::V1).expect("a call");
            (call.encode_to_vec(), false)
        }
    };
    let headers = [("Content-Type", PROTOBUF), ("Accept", PROTOBUF)];
    let answer = raw::exchange(port, &raw::request("POST", path, &headers, &body)).answer();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(PROTOBUF)), "{call}");
    let json = if is_agent {
        to_json(&mesos::proto::agent::Response::decode(&answer.body[..]).expect("an answer"), Spelling::V1)
    } else {
        to_json(&mesos::proto::master::Response::decode(&answer.body[..]).expect("an answer"), Spelling::V1)
    };
    serde_json::from_slice(&json).expect("JSON")
}

fn of(kind: &str) -> Value {
    json!({"type": kind})
}

/// Lists that JSON shows empty are not there in protobuf.
fn without_empty_lists(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept =
                fields.into_iter().filter(|(_, field)| field.as_array().is_none_or(|list| !list.is_empty()));
            Value::Object(kept.map(|(name, field)| (name, without_empty_lists(field))).collect())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(without_empty_lists).collect()),
        value => value,
    }
}

#[test]
fn an_agent_tells_what_it_runs() {
    let (cluster, scheduler) = with_a_task(&[]);
    let port = cluster.agent_ports[0];
    let state = ask(port, AGENT, &of("GET_STATE"));
    let state = &state["get_state"];
    let task = &state["get_tasks"]["launched_tasks"][0];
    assert_eq!((&task["task_id"]["value"], &task["state"]), (&json!("task"), &json!("TASK_RUNNING")));
    assert_eq!(task["framework_id"]["value"], scheduler.framework_id.as_str());
    let executor = &state["get_executors"]["executors"][0]["executor_info"];
    assert_eq!(executor["executor_id"]["value"], "task");
    assert_eq!(state["get_frameworks"]["frameworks"][0]["framework_info"]["name"], "operators");
    assert_eq!(state["get_frameworks"]["completed_frameworks"], json!([]));
    let agent = ask(port, AGENT, &of("GET_AGENT"));
    assert_eq!(agent["get_agent"]["agent_info"]["id"], task["agent_id"]);
    let containers = ask(port, AGENT, &of("GET_CONTAINERS"));
    let container = &containers["get_containers"]["containers"][0];
    assert_eq!(container["executor_id"]["value"], "task");
    assert!(container["container_status"]["executor_pid"].as_u64().is_some(), "{container}");
    assert!(container["resource_statistics"]["mem_limit_bytes"].as_u64() > Some(32 << 20), "{container}");
    for kind in [
        "GET_STATE",
        "GET_TASKS",
        "GET_EXECUTORS",
        "GET_FRAMEWORKS",
        "GET_OPERATIONS",
        "GET_AGENT",
        "GET_FLAGS",
    ] {
        let [json, protobuf] = [ask(port, AGENT, &of(kind)), ask_in_protobuf(port, AGENT, &of(kind))];
        assert_eq!(without_empty_lists(json), without_empty_lists(protobuf), "{kind}");
    }
}

#[test]
fn files_are_listed_and_read() {
    let (cluster, _scheduler) = with_a_task(&[]);
    let port = cluster.agent_ports[0];
    let directory = cluster_directory(&cluster);
    let list = json!({"type": "LIST_FILES", "list_files": {"path": directory}});
    let listed = ask(port, AGENT, &list);
    let files = listed["list_files"]["file_infos"].as_array().expect("files").clone();
    let stdout = files.iter().find(|file| file["path"] == format!("{directory}/stdout")).expect("stdout");
    assert!(
        stdout["mode"].as_u64() > Some(0o100_000) && stdout["mtime"]["nanoseconds"].as_u64().is_some(),
        "{stdout}"
    );
    let read = |offset: u64, length: u64| {
        json!({"type": "READ_FILE",
            "read_file": {"path": format!("{directory}/stdout"), "offset": offset, "length": length}})
    };
    let whole = wait_for("output", || {
        let answer = ask(port, AGENT, &read(0, 4096));
        Some(answer)
            .filter(|answer| answer["read_file"]["data"].as_str().is_some_and(|data| !data.is_empty()))
    });
    let size = whole["read_file"]["size"].as_u64().expect("a size");
    assert!(size >= "output\n".len() as u64);
    let part = ask(port, AGENT, &read(size - 4, 3));
    // "put" of "output", in base64.
    assert_eq!(part["read_file"]["data"], "cHV0");
    assert_eq!(ask_in_protobuf(port, AGENT, &read(size - 4, 3)), part);
    assert_eq!(post(port, AGENT, &json!({"type": "LIST_FILES", "list_files": {"path": "/etc"}})).status, 404);
}

fn cluster_directory(cluster: &Cluster) -> String {
    let state: Value =
        serde_json::from_str(&crate::support::get(cluster.agent_ports[0], "/state").expect("state"))
            .expect("JSON");
    state["frameworks"][0]["executors"][0]["directory"].as_str().expect("a directory").to_owned()
}

#[test]
fn levels_of_logging_return_by_themselves() {
    let cluster = Cluster::start(1);
    for (port, path) in [(cluster.port, "/api/v1"), (cluster.agent_ports[0], AGENT)] {
        let level = || ask(port, path, &of("GET_LOGGING_LEVEL"))["get_logging_level"]["level"].clone();
        let set = |level: u32, ms: u64| {
            let duration = json!({"nanoseconds": ms * 1_000_000});
            let call = json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": {"level": level, "duration": duration}});
            let answer = post(port, path, &call);
            assert_eq!((answer.status, answer.text().as_str()), (200, ""));
        };
        assert_eq!(level(), 0);
        set(2, 60_000);
        assert_eq!(level(), 2);
        set(1, 1);
        wait_for("the usual level", || (level() == 0).then_some(()));
    }
}

#[test]
fn calls_that_change_the_cluster() {
    let (cluster, mut scheduler) = with_a_task(&[]);
    let agents = ask(cluster.port, "/api/v1", &of("GET_AGENTS"));
    let agent = agents["get_agents"]["agents"][0]["agent_info"]["id"].clone();
    let gone = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": agent}});
    assert_eq!(post(cluster.port, "/api/v1", &gone).status, 200);
    wait_for("the agent to be gone", || {
        let agents = ask(cluster.port, "/api/v1", &of("GET_AGENTS"));
        agents["get_agents"]["agents"].as_array()?.is_empty().then_some(())
    });
    let teardown =
        json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": scheduler.framework_id}}});
    assert_eq!(post(cluster.port, "/api/v1", &teardown).status, 200);
    scheduler.ends();
    let answer = post(cluster.port, "/api/v1", &teardown);
    assert_eq!((answer.status, answer.text().as_str()), (400, "No framework found with specified ID"));
}

#[test]
fn calls_about_what_is_not_there_say_so() {
    let cluster = Cluster::start(1);
    let stop = json!({"type": "STOP_MAINTENANCE", "stop_maintenance": {"machines": []}});
    let quota = json!({"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": []}});
    for (port, path, call, subject) in [
        (cluster.port, "/api/v1", quota, "quota is"),
        (cluster.port, "/api/v1", stop, "maintenance is"),
        (cluster.agent_ports[0], AGENT, of("GET_RESOURCE_PROVIDERS"), "resource providers are"),
        (cluster.agent_ports[0], AGENT, of("PRUNE_IMAGES"), "container images are"),
    ] {
        let answer = post(port, path, &call);
        let kind = call["type"].as_str().expect("a type");
        let sentence = format!("{kind} is not there yet: {subject} still to come");
        assert_eq!((answer.status, answer.text()), (501, sentence));
    }
}

/// What the registry holds of it is read: here nothing, in the words of Apache Mesos 1.11.
#[test]
fn what_operators_settled_is_read() {
    let cluster = Cluster::start(0);
    for path in ["/maintenance/schedule", "/master/maintenance/status", "/quota"] {
        assert_eq!(get(cluster.port, path).text(), "{}", "{path}");
    }
    for (kind, name, inner) in [
        ("GET_MAINTENANCE_SCHEDULE", "get_maintenance_schedule", "schedule"),
        ("GET_MAINTENANCE_STATUS", "get_maintenance_status", "status"),
        ("GET_QUOTA", "get_quota", "status"),
    ] {
        let answer = post(cluster.port, "/api/v1", &of(kind)).json();
        assert_eq!(answer, json!({"type": kind, name: {inner: {}}}));
    }
}
