//! Every endpoint of the first release, in both spellings and below and beside its process, on a cluster that
//! runs a task: status, content type, and the fields that clients read.

use serde_json::{Value, json};

use crate::support::raw::{self, Answer, request};
use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, wait_for};

fn ask(port: u16, path: &str) -> Answer {
    raw::exchange(port, &raw::get(path)).answer()
}

fn ok(port: u16, path: &str) -> Answer {
    let answer = ask(port, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

fn json_of(port: u16, path: &str) -> Value {
    let answer = ok(port, path);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    answer.json()
}

/// A cluster of one agent on which `task` runs, having written `output` into its stdout.
fn with_a_task() -> (Cluster, Scheduler) {
    let cluster = Cluster::start_with(1, &["--cluster=endpoints"], &["--attributes=rack:a;level:10"]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("endpoints"));
    let offer = scheduler.offer();
    let labels = json!({"labels": {"labels": [{"key": "k", "value": "v"}]}});
    scheduler.launch(&offer, &[with(command_task("task", &offer, "echo output; sleep 1000"), labels)]);
    scheduler.until("task", "TASK_RUNNING");
    (cluster, scheduler)
}

/// Field, and a letter for its type: s text, n number, b boolean, o object, a array.
fn has(what: &str, value: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').expect("name:type");
        let value = &value[name];
        let fits = match kind {
            "s" => value.is_string(),
            "n" => value.is_number(),
            "b" => value.is_boolean(),
            "o" => value.is_object(),
            _ => value.is_array(),
        };
        assert!(fits, "{what}: {field} is {value}");
    }
}

const TASK: &str =
    "id:s name:s framework_id:s executor_id:s slave_id:s state:s resources:o role:s statuses:a labels:a";
const AGENT: &str = "id:s hostname:s port:n attributes:o pid:s registered_time:n resources:o used_resources:o \
    offered_resources:o reserved_resources:o unreserved_resources:o active:b deactivated:b version:s capabilities:a";
const FRAMEWORK: &str = "id:s name:s used_resources:o offered_resources:o capabilities:a hostname:s webui_url:s \
    active:b connected:b recovered:b user:s failover_timeout:n checkpoint:b registered_time:n unregistered_time:n \
    resources:o roles:a tasks:a unreachable_tasks:a completed_tasks:a offers:a executors:a";

#[test]
fn the_masters_state() {
    let (cluster, scheduler) = with_a_task();
    for path in ["/state", "/state.json", "/master/state", "/master/state.json", "/master/state/"] {
        let state = json_of(cluster.port, path);
        // The tutorial's example.
        has(
            path,
            &state,
            "activated_slaves:n build_date:s build_time:n build_user:s completed_frameworks:a \
            deactivated_slaves:n frameworks:a id:s leader:s pid:s slaves:a start_time:n version:s",
        );
        // 0.15's counters, which the example shows as well.
        has(
            path,
            &state,
            "failed_tasks:n finished_tasks:n killed_tasks:n lost_tasks:n staged_tasks:n started_tasks:n",
        );
        // 1.11's.
        has(
            path,
            &state,
            "elected_time:n hostname:s capabilities:a unreachable_slaves:n leader_info:o cluster:s \
            flags:o recovered_slaves:a orphan_tasks:a unregistered_frameworks:a",
        );
        assert_eq!(state["activated_slaves"], 1.0);
        assert_eq!(state["cluster"], "endpoints");
        assert_eq!(state["pid"], format!("master@{}", cluster.address()));
        assert_eq!(state["leader"], state["pid"]);
        assert_eq!(state["flags"]["allocation_interval"], "200ms");
        let agent = &state["slaves"][0];
        has(path, agent, AGENT);
        assert_eq!(agent["attributes"], json!({"rack": "a", "level": 10.0}));
        assert_eq!(
            agent["resources"],
            json!({"cpus": 4.0, "mem": 2048.0, "disk": 4096.0, "gpus": 0.0, "ports": "[31000-32000]"})
        );
        assert_eq!(agent["used_resources"]["cpus"], 0.1);
        assert_eq!(agent["id"], format!("{}-S0", state["id"].as_str().unwrap()));
        assert_eq!(agent["pid"], format!("slave(1)@127.0.0.1:{}", cluster.agent_ports[0]));
        let framework = &state["frameworks"][0];
        has(path, framework, FRAMEWORK);
        assert_eq!(framework["id"], scheduler.framework_id);
        let task = &framework["tasks"][0];
        has(path, task, TASK);
        assert_eq!(
            (&task["id"], &task["state"], &task["executor_id"]),
            (&json!("task"), &json!("TASK_RUNNING"), &json!(""))
        );
        assert_eq!(task["resources"], json!({"cpus": 0.1, "mem": 32.0, "disk": 0.0, "gpus": 0.0}));
        assert_eq!(task["labels"], json!([{"key": "k", "value": "v"}]));
        let states: Vec<&Value> = task["statuses"].as_array().unwrap().iter().map(|s| &s["state"]).collect();
        assert_eq!(states, ["TASK_STARTING", "TASK_RUNNING"]);
    }
}

#[test]
fn what_the_master_tells_in_parts() {
    let (cluster, mut scheduler) = with_a_task();
    let port = cluster.port;
    for prefix in ["", "/master"] {
        for twin in ["", ".json"] {
            let of = |name: &str| json_of(port, &format!("{prefix}/{name}{twin}"));
            let summary = of("state-summary");
            has("summary", &summary, "hostname:s cluster:s slaves:a frameworks:a");
            assert_eq!(
                (&summary["slaves"][0]["TASK_RUNNING"], &summary["frameworks"][0]["TASK_RUNNING"]),
                (&json!(1), &json!(1))
            );
            assert_eq!(summary["slaves"][0]["framework_ids"], json!([scheduler.framework_id]));
            let slaves = of("slaves");
            has("slaves", &slaves, "slaves:a recovered_slaves:a");
            has("slaves", &slaves["slaves"][0], AGENT);
            has(
                "slaves",
                &slaves["slaves"][0],
                "reserved_resources_full:o unreserved_resources_full:a used_resources_full:a offered_resources_full:a",
            );
            let frameworks = of("frameworks");
            has("frameworks", &frameworks, "frameworks:a completed_frameworks:a unregistered_frameworks:a");
            has("frameworks", &frameworks["frameworks"][0], FRAMEWORK);
            let tasks = of("tasks");
            has("tasks", &tasks["tasks"][0], TASK);
            let roles = of("roles");
            has(
                "roles",
                &roles["roles"][0],
                "name:s weight:n resources:o frameworks:a quota:o allocated:o offered:o reserved:o",
            );
            assert_eq!(roles["roles"][0]["allocated"]["cpus"], 0.1);
        }
    }
    let agent_id = json_of(port, "/slaves")["slaves"][0]["id"].as_str().unwrap().to_owned();
    let one = json_of(port, &format!("/slaves?slave_id={agent_id}"));
    assert_eq!(one["slaves"].as_array().map(Vec::len), Some(1));
    assert_eq!(json_of(port, "/slaves?slave_id=nothing")["slaves"], json!([]));
    let one = json_of(port, &format!("/frameworks?framework_id={}", scheduler.framework_id));
    assert_eq!(one["frameworks"].as_array().map(Vec::len), Some(1));
    assert_eq!(json_of(port, "/frameworks?framework_id=nothing")["frameworks"], json!([]));
    scheduler.kill("task");
    scheduler.until("task", "TASK_KILLED");
    scheduler.teardown();
    wait_for("a completed framework", || {
        let all = json_of(port, "/frameworks");
        (all["completed_frameworks"][0]["completed_tasks"][0]["state"] == "TASK_KILLED").then_some(())
    });
}

#[test]
fn tasks_are_paged_and_filtered() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("paging"));
    let offer = scheduler.offer();
    let tasks: Vec<Value> = (0..5).map(|i| command_task(&format!("t{i}"), &offer, "sleep 1000")).collect();
    scheduler.launch(&offer, &tasks);
    for index in 0..5 {
        scheduler.until(&format!("t{index}"), "TASK_RUNNING");
    }
    let ids = |query: &str| -> Vec<String> {
        let tasks = json_of(cluster.port, &format!("/tasks{query}"));
        tasks["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ids("");
    assert_eq!(all.len(), 5);
    assert_eq!(ids("?limit=2"), all[..2]);
    assert_eq!(ids("?limit=2&offset=2"), all[2..4]);
    assert_eq!(ids("?offset=4"), all[4..]);
    assert!(ids("?offset=99").is_empty() && ids("?limit=0").is_empty());
    // By start; the newest first unless asked for otherwise.
    let reversed: Vec<String> = ids("?order=asc").into_iter().rev().collect();
    assert_eq!(ids("?order=desc"), reversed);
    assert_eq!(ids("?task_id=t3"), ["t3"]);
    assert_eq!(ids(&format!("?framework_id={}", scheduler.framework_id)).len(), 5);
    assert!(ids("?framework_id=nothing").is_empty());
    assert!(ids(&format!("?framework_id={}&task_id=nothing", scheduler.framework_id)).is_empty());
}

#[test]
fn what_every_process_tells() {
    let cluster = Cluster::start(1);
    let agent = cluster.agent_ports[0];
    for port in [cluster.port, agent] {
        for path in ["/health", if port == agent { "/slave(1)/health" } else { "/master/health" }] {
            assert!(ok(port, path).body.is_empty());
        }
        let version = json_of(port, "/version");
        has("version", &version, "build_date:s build_time:n build_user:s version:s");
        assert_eq!(version["version"], "1.11.0");
        let prefix = if port == agent { "/slave(1)" } else { "/master" };
        for path in ["/flags".to_owned(), format!("{prefix}/flags"), format!("{prefix}/flags.json")] {
            assert_eq!(json_of(port, &path)["flags"]["port"], port.to_string(), "{path}");
        }
        let metrics = json_of(port, "/metrics/snapshot");
        assert!(metrics.as_object().is_some_and(|all| all.len() > 10 && all.values().all(Value::is_number)));
        json_of(port, "/files/debug");
        json_of(port, "/files/debug.json");
        has(
            "system",
            &json_of(port, "/system/stats.json"),
            "cpus_total:n mem_total_bytes:n mem_free_bytes:n avg_load_1min:n",
        );
        let help = ok(port, "/help");
        assert!(help.text().starts_with("## HELP") && help.header("content-type") == Some("text/x-markdown"));
        let processes = json_of(port, "/help?format=json");
        let names: Vec<&str> =
            processes["processes"].as_array().unwrap().iter().filter_map(|p| p["id"].as_str()).collect();
        assert!(
            names.contains(&&prefix[1..]) && names.contains(&"files") && names.contains(&"metrics"),
            "{names:?}"
        );
        for path in [
            "/nothing",
            "/master/nothing",
            "/slave(1)/nothing",
            "/slave(2)/state",
            "/files/nothing",
            "/help/nothing/x",
        ] {
            let answer = ask(port, path);
            assert!(
                matches!(answer.status, 404 | 400) && !answer.body.is_empty(),
                "{path}: {}",
                answer.status
            );
        }
        assert!(ok(port, "/state").header("date").is_some());
    }
    let metrics = json_of(cluster.port, "/metrics/snapshot");
    for (name, value) in
        [("master/slaves_active", 1.0), ("master/elected", 1.0), ("master/frameworks_active", 0.0)]
    {
        assert_eq!(metrics[name], value, "{name}");
    }
    assert_eq!(json_of(agent, "/metrics/snapshot")["slave/registered"], 1.0);
}

#[test]
fn the_agents_state() {
    let (cluster, _scheduler) = with_a_task();
    let port = cluster.agent_ports[0];
    for path in ["/state", "/state.json", "/slave(1)/state", "/slave(1)/state.json", "/slave%281%29/state"] {
        let state = json_of(port, path);
        has(
            path,
            &state,
            "version:s build_date:s build_time:n build_user:s start_time:n id:s pid:s hostname:s capabilities:a \
            resources:o reserved_resources:o unreserved_resources:o attributes:o flags:o frameworks:a completed_frameworks:a \
            master_hostname:s failed_tasks:n finished_tasks:n killed_tasks:n lost_tasks:n staged_tasks:n started_tasks:n",
        );
        let executor = &state["frameworks"][0]["executors"][0];
        has(
            path,
            executor,
            "id:s name:s source:s container:s directory:s resources:o tasks:a queued_tasks:a completed_tasks:a",
        );
        assert_eq!(executor["id"], "task");
        assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
        let directory = executor["directory"].as_str().unwrap();
        let parts = ["/slaves/", "/frameworks/", "/executors/task/runs/"];
        assert!(parts.iter().all(|part| directory.contains(part)), "{directory}");
    }
    for path in ["/monitor/statistics", "/monitor/statistics.json", "/slave(1)/monitor/statistics"] {
        let executors = json_of(port, path);
        has(path, &executors[0], "executor_id:s executor_name:s framework_id:s source:s statistics:o");
        has(
            path,
            &executors[0]["statistics"],
            "timestamp:n cpus_user_time_secs:n cpus_system_time_secs:n mem_rss_bytes:n cpus_limit:n mem_limit_bytes:n",
        );
    }
    let containers = json_of(port, "/containers");
    has("containers", &containers[0], "container_id:s executor_id:s framework_id:s");
}

#[test]
fn a_sandbox_is_read() {
    let (cluster, scheduler) = with_a_task();
    let port = cluster.agent_ports[0];
    let state = json_of(port, "/state");
    let directory = state["frameworks"][0]["executors"][0]["directory"].as_str().unwrap().to_owned();
    let latest = directory.rsplit_once('/').map(|(runs, _)| format!("{runs}/latest")).unwrap();
    let short = format!("/frameworks/{}/executors/task/runs/latest", scheduler.framework_id);
    for path in [&directory, &latest, &short] {
        for twin in ["", ".json"] {
            let entries = json_of(port, &format!("/files/browse{twin}?path={path}"));
            let entries = entries.as_array().unwrap();
            let names: Vec<String> =
                entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect();
            assert!(
                names.contains(&format!("{path}/stdout")) && names.contains(&format!("{path}/stderr")),
                "{names:?}"
            );
            has("browse", &entries[0], "path:s nlink:n size:n mtime:n mode:s uid:s gid:s");
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(names, sorted);
            let read = |rest: &str| json_of(port, &format!("/files/read{twin}?path={path}/stdout{rest}"));
            let whole = read("&offset=0&length=100000");
            let text = whole["data"].as_str().unwrap().to_owned();
            assert!(text.contains("output\n"), "{whole}");
            assert_eq!(read("&offset=-1"), json!({"data": "", "offset": text.len()}));
            assert_eq!(read("&offset=2&length=3"), json!({"data": &text[2..5], "offset": 2}));
            assert_eq!(read("&offset=0&length=-1")["data"], text);
            let beyond = read(&format!("&offset={}", text.len() + 50));
            assert_eq!(beyond["data"], "");
            let download = ok(port, &format!("/files/download{twin}?path={path}/stdout"));
            assert_eq!(download.text(), text);
            assert_eq!(download.header("content-type"), Some("application/octet-stream"));
            assert!(
                download.header("content-disposition").is_some_and(|value| value.contains("filename=stdout"))
            );
        }
    }
    let debug = json_of(port, "/files/debug");
    assert!(
        debug.as_object().is_some_and(|all| all.keys().any(|path| path.contains("/executors/task/"))),
        "{debug}"
    );
    for (path, status) in
        [("/files/browse?path=/nothing", 404), ("/files/browse", 400), ("/files/read?path=/nothing", 404)]
    {
        assert_eq!(ask(port, path).status, status, "{path}");
    }
    // A page of another origin, as the web interface of another master's agent.
    let wrapped = ok(port, &format!("/files/read?path={directory}/stdout&offset=-1&jsonp=cb"));
    assert!(wrapped.text().starts_with("cb({") && wrapped.header("content-type") == Some("text/javascript"));
}

#[test]
fn pages_of_other_origins_and_zipped_answers() {
    let cluster = Cluster::start(1);
    for path in
        ["/state", "/slaves", "/metrics/snapshot", "/flags", "/version", "/tasks", "/roles", "/frameworks"]
    {
        let wrapped = ok(cluster.port, &format!("{path}?jsonp=jQuery1.cb_0"));
        assert_eq!(wrapped.header("content-type"), Some("text/javascript"), "{path}");
        let text = wrapped.text();
        let inner =
            text.strip_prefix("jQuery1.cb_0(").map(|rest| rest.trim_end_matches(';').trim_end_matches(')'));
        assert!(
            inner.is_some_and(|inner| serde_json::from_str::<Value>(inner).is_ok()),
            "{path}: {text:.100}"
        );
    }
    let asked = request("GET", "/state", &[("Accept-Encoding", "gzip, deflate")], b"");
    let zipped = raw::exchange(cluster.port, &asked).answer();
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped.body[..]), &mut text)
        .expect("gzip");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["activated_slaves"], 1.0);
    // Not asked for, and not worth it.
    assert_eq!(ok(cluster.port, "/state").header("content-encoding"), None);
    let small = request("GET", "/version", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(raw::exchange(cluster.port, &small).answer().header("content-encoding"), None);
    let head = raw::exchange(cluster.port, &request("HEAD", "/state", &[], b"")).answer();
    assert_eq!(head.status, 200);
}

#[test]
fn the_leader_is_told() {
    let cluster = Cluster::start(0);
    for path in ["/redirect", "/master/redirect"] {
        let answer = ask(cluster.port, path);
        assert_eq!(answer.status, 307);
        assert_eq!(answer.header("location"), Some(format!("//localhost:{}", cluster.port).as_str()));
    }
}

#[test]
fn an_operator_kills_a_task() {
    let (cluster, mut scheduler) = with_a_task();
    let id = scheduler.framework_id.clone();
    let kill = |method: &str, body: String| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        raw::exchange(cluster.port, &request(method, "/master/kill", &headers, body.as_bytes())).answer()
    };
    assert_eq!(kill("GET", String::new()).status, 405);
    for (body, sentence) in [
        (String::new(), "Missing 'frameworkId' in the form of the request body"),
        (format!("frameworkId={id}"), "Missing 'taskId' in the form of the request body"),
        (format!("frameworkId={id}&taskId="), "Missing 'taskId' in the form of the request body"),
        ("frameworkId=none&taskId=t".into(), "No framework found with specified ID"),
        (format!("frameworkId={id}&taskId=%00none"), &format!("Framework {id} has no task '\0none'")),
    ] {
        let refused = kill("POST", body);
        assert_eq!((refused.status, refused.text().as_str()), (400, sentence));
    }
    let task = json_of(cluster.port, "/tasks")["tasks"][0]["id"].as_str().expect("a task").to_owned();
    let done = kill("POST", format!("frameworkId={id}&taskId={task}"));
    assert_eq!(done.status, 200, "{}", done.text());
    scheduler.until(&task, "TASK_KILLED");
}

#[test]
fn a_parameter_that_nobody_knows_is_refused() {
    let cluster = Cluster::start(1);
    let (master, agent) = (cluster.port, cluster.agent_ports[0]);
    for (port, path, expected) in [
        (master, "/tasks?limt=5", "one of framework_id, limit, offset, order, task_id"),
        (master, "/master/state?x", "none"),
        (master, "/files/read?path=/master/log&from=7", "one of path, offset, length, jsonp"),
        (agent, "/slave(1)/state?verbose=1", "none"),
    ] {
        let answer = raw::exchange(port, &request("GET", path, &[], b"")).answer();
        let (_, query) = path.split_once('?').expect("a query");
        let name = query.rsplit('&').next().and_then(|pair| pair.split('=').next()).unwrap_or_default();
        assert_eq!(
            (answer.status, answer.text()),
            (400, format!("Unknown parameter '{name}', expecting {expected}"))
        );
    }
    for path in ["/tasks?limit=5&_=1637", "/state?jsonp=f", "/?v=2", "/health", "/help?format=json"] {
        let answer = raw::exchange(master, &request("GET", path, &[], b"")).answer();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

#[test]
fn an_operator_ends_a_framework() {
    let (cluster, mut scheduler) = with_a_task();
    let teardown = |prefix: &str, body: String| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        raw::exchange(
            cluster.port,
            &request("POST", &format!("{prefix}/teardown"), &headers, body.as_bytes()),
        )
        .answer()
    };
    let refused = teardown("", String::new());
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (400, "Missing 'frameworkId' query parameter in the request body")
    );
    let refused = teardown("/master", "frameworkId=nothing".into());
    assert_eq!((refused.status, refused.text().as_str()), (400, "No framework found with specified ID"));
    let done = teardown("/master", format!("frameworkId={}", scheduler.framework_id));
    assert_eq!(done.status, 200, "{}", done.text());
    scheduler.ends();
    wait_for("the framework's end", || {
        let all = json_of(cluster.port, "/frameworks");
        let over =
            all["frameworks"] == json!([]) && all["completed_frameworks"][0]["id"] == scheduler.framework_id;
        let agent = json_of(cluster.agent_ports[0], "/state");
        (over && agent["frameworks"] == json!([])).then_some(())
    });
}
