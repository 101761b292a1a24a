//! Tasks that cannot be: ids that are paths, resources that are no numbers, more ranges than anybody has ports.

use std::time::{Duration, Instant};

use mesos::proto;
use mesos::proto::scheduler::Call;
use prost::Message as _;
use serde_json::{Value, json};

use super::bodies::accept;
use super::{Target, settled};
use crate::support::scheduler::{Scheduler, command_task, framework, scalar, with};

/// A refusal of the master, as Mesos gives it.
fn is_refusal(status: &Value) -> Result<(), String> {
    let fine = status["state"] == "TASK_ERROR"
        && status["source"] == "SOURCE_MASTER"
        && status["reason"] == "REASON_TASK_INVALID"
        && status["message"].as_str().is_some_and(|text| text.len() > 10);
    if fine { Ok(()) } else { Err(status.to_string().chars().take(300).collect()) }
}

struct Play {
    target: Target,
    scheduler: Scheduler,
}

impl Play {
    fn start() -> Play {
        let target = Target::start();
        let info = with(framework("tasks"), json!({"checkpoint": true}));
        let scheduler = Scheduler::subscribe(target.cluster.port, info);
        Play { target, scheduler }
    }

    /// Launches what `task` makes of a fresh offer. Refused by 400 or by TASK_ERROR, and nothing runs.
    fn refuses(&mut self, name: &str, task: impl FnOnce(&Value) -> Value) {
        let offer = self.scheduler.offer();
        let task = task(&offer);
        let id = task["task_id"]["value"].as_str().unwrap_or_default().to_owned();
        let operations = json!([{"type": "LAUNCH", "launch": {"task_infos": [task]}}]);
        let answer = self.scheduler.call(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
            "operations": operations, "filters": {"refuse_seconds": 0.0}}}));
        let verdict = match answer.status {
            202 => is_refusal(&self.scheduler.status(&id)),
            400 if answer.body.len() > 10 => {
                self.scheduler.decline(&offer, 0.0);
                Ok(())
            }
            other => Err(format!("{other} {}", answer.text())),
        };
        self.target.note(name, verdict);
        self.nothing_runs(name);
    }

    /// As `refuses`, for what JSON cannot say.
    fn refuses_bytes(&mut self, name: &str, change: impl FnOnce(&mut proto::TaskInfo)) {
        let offer = self.scheduler.offer();
        let text = |value: &Value| value["value"].as_str().expect("an id").to_owned();
        let mut call = accept(&self.scheduler.framework_id, &text(&offer["id"]), &text(&offer["agent_id"]));
        let task = task_of(&mut call);
        change(task);
        let id = task.task_id.value.clone();
        let filters = proto::Filters { refuse_seconds: Some(0.0) };
        call.accept.as_mut().expect("an ACCEPT").filters = Some(filters);
        let answer = self.scheduler.call_bytes("application/x-protobuf", &call.encode_to_vec());
        let verdict = match answer.status {
            202 => is_refusal(&self.scheduler.status(&id)),
            400 if answer.body.len() > 10 => {
                self.scheduler.decline(&offer, 0.0);
                Ok(())
            }
            other => Err(format!("{other} {}", answer.text())),
        };
        self.target.note(name, verdict);
        self.nothing_runs(name);
    }

    fn nothing_runs(&mut self, name: &str) {
        let [master, agent] = self.target.states();
        let framework = &master["frameworks"][0];
        for key in ["tasks", "completed_tasks", "unreachable_tasks"] {
            if framework[key] != json!([]) {
                self.target.failures.push(format!("{name}: {key} {}", framework[key]));
            }
        }
        if agent["frameworks"] != json!([]) || agent["completed_frameworks"] != json!([]) {
            self.target.failures.push(format!("{name}: the agent knows {}", agent["frameworks"]));
        }
    }

    /// The cluster still does its work.
    fn finish(mut self) {
        self.scheduler.run("good", "true");
        self.scheduler.until("good", "TASK_FINISHED");
        self.target.finish();
    }
}

fn task_of(call: &mut Call) -> &mut proto::TaskInfo {
    let operation = call.accept.as_mut().and_then(|accept| accept.operations.first_mut());
    &mut operation.and_then(|operation| operation.launch.as_mut()).expect("a LAUNCH").task_infos[0]
}

#[test]
fn ids_that_are_paths() {
    let mut play = Play::start();
    for id in [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "a\u{0}b",
        "\u{0}",
        "a\nb",
        "a\tb",
        "\u{1b}[2J",
        "a\u{7f}b",
    ] {
        play.refuses(&format!("task {id:?}"), |offer| {
            with(command_task("x", offer, "true"), json!({"task_id": {"value": id}}))
        });
        play.refuses(&format!("executor {id:?}"), |offer| {
            let executor =
                json!({"type": "CUSTOM", "executor_id": {"value": id}, "command": {"value": "true"}});
            let mut task = with(command_task("executor", offer, "true"), json!({"executor": executor}));
            task.as_object_mut().expect("a task").remove("command");
            task
        });
    }
    for length in [256, 10 << 20] {
        play.refuses(&format!("an id of {length} bytes"), |offer| {
            command_task(&"x".repeat(length), offer, "true")
        });
    }
    play.refuses("an agent's id that is a path", |offer| {
        with(command_task("agent", offer, "true"), json!({"agent_id": {"value": "../.."}}))
    });
    play.finish();
}

/// Resources that are no amounts, or not among those offered.
#[test]
fn resources_that_cannot_be() {
    let mut play = Play::start();
    let port_range = |begin: u64, end: u64| json!({"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": begin, "end": end}]}});
    let lists = [
        ("none", json!([])),
        ("negative", json!([scalar("cpus", -1.0)])),
        ("tiny", json!([scalar("cpus", 0.000_1)])),
        ("negative beside positive", json!([scalar("cpus", 1.0), scalar("mem", -32.0)])),
        ("opposite amounts", json!([scalar("cpus", 1.0), scalar("cpus", -0.5)])),
        ("1e308", json!([scalar("cpus", 1e308)])),
        ("1e16", json!([scalar("mem", 1e16)])),
        ("-1e308", json!([scalar("cpus", -1e308)])),
        ("too much", json!([scalar("cpus", 1000.0)])),
        ("a sum that is too much", json!(vec![scalar("cpus", 1.0); 100])),
        ("no name", json!([scalar("", 1.0)])),
        ("unknown name", json!([scalar("unicorns", 1.0)])),
        ("a name of 1 MB", json!([scalar(&"c".repeat(1 << 20), 1.0)])),
        ("no value", json!([{"name": "cpus", "type": "SCALAR"}])),
        ("a value of another type", json!([{"name": "cpus", "type": "SCALAR", "ranges": {"range": []}}])),
        (
            "two values",
            json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "ranges": {"range": []}}]),
        ),
        (
            "another type",
            json!([{"name": "cpus", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}}]),
        ),
        ("text", json!([{"name": "cpus", "type": "TEXT"}])),
        ("a range backwards", json!([port_range(31_500, 31_000)])),
        ("ports of others", json!([port_range(1, 65_535)])),
        ("all numbers", json!([port_range(0, u64::MAX)])),
        (
            "overlapping ranges",
            json!([{"name": "ports", "type": "RANGES", "ranges": {"range":
            [{"begin": 31_000, "end": 31_010}, {"begin": 31_005, "end": 31_015}]}}]),
        ),
        ("a set with doubles", json!([{"name": "x", "type": "SET", "set": {"item": ["a", "a"]}}])),
        ("a role that is none", json!([with(scalar("cpus", 1.0), json!({"role": "../x"}))])),
        ("a role of others", json!([with(scalar("cpus", 1.0), json!({"role": "others"}))])),
        (
            "reserved by itself",
            json!([with(scalar("cpus", 1.0), json!({"reservations": [{"type": "DYNAMIC", "role": "x"}]}))]),
        ),
        ("revocable", json!([with(scalar("cpus", 1.0), json!({"revocable": {}}))])),
        ("shared", json!([with(scalar("cpus", 1.0), json!({"shared": {}}))])),
        (
            "a disk outside",
            json!([with(
                scalar("disk", 1.0),
                json!({"disk": {"persistence": {"id": "../x"},
            "volume": {"container_path": "/etc", "mode": "RW"}}})
            )]),
        ),
        ("empty disk info", json!([with(scalar("disk", 1.0), json!({"disk": {}}))])),
        (
            "allocated to others",
            json!([with(scalar("cpus", 1.0), json!({"allocation_info": {"role": "others"}}))]),
        ),
        ("fractions of gpus", json!([scalar("gpus", 0.5), scalar("cpus", 1.0)])),
        ("a provider", json!([with(scalar("cpus", 1.0), json!({"provider_id": {"value": "../x"}}))])),
    ];
    for (name, resources) in lists {
        play.refuses(name, |offer| {
            with(command_task("resources", offer, "true"), json!({"resources": resources}))
        });
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
        play.refuses_bytes(&format!("{value:e} cpus"), |task| {
            task.resources[0].scalar = Some(proto::value::Scalar { value });
        });
    }
    for number in [-1, 99, i32::MAX, i32::MIN] {
        play.refuses_bytes(&format!("resource of type {number}"), |task| task.resources[0].r#type = number);
    }
    play.finish();
}

/// What made Apache Mesos think for minutes.
#[test]
fn resources_without_end() {
    let mut play = Play::start();
    let ranges = |count: u64, apart: u64| {
        let range: Vec<Value> =
            (0..count).map(|i| json!({"begin": 1 + i * apart, "end": 1 + i * apart})).collect();
        json!([{"name": "ports", "type": "RANGES", "ranges": {"range": range}}])
    };
    let resources = [
        ("20,000 port ranges", ranges(20_000, 3)),
        ("100,000 port ranges", ranges(100_000, 3)),
        ("100,000 touching ports", ranges(100_000, 1)),
        ("100,000 resources", json!((0..100_000).map(|i| scalar(&format!("r{i}"), 1.0)).collect::<Vec<_>>())),
        ("100,000 times cpus", json!(vec![scalar("cpus", 1.0); 100_000])),
        (
            "100,000 resources of ports",
            json!(
                (0..100_000)
                    .map(|i| json!({"name": "ports", "type": "RANGES",
            "ranges": {"range": [{"begin": i * 3, "end": i * 3}]}}))
                    .collect::<Vec<_>>()
            ),
        ),
        (
            "a set of 100,000",
            json!([{"name": "s", "type": "SET",
            "set": {"item": (0..100_000).map(|i| i.to_string()).collect::<Vec<_>>()}}]),
        ),
    ];
    for (name, resources) in resources {
        let start = Instant::now();
        play.refuses(name, |offer| {
            with(command_task("endless", offer, "true"), json!({"resources": resources}))
        });
        let taken = start.elapsed();
        let verdict = if taken < Duration::from_secs(30) { Ok(()) } else { Err(format!("took {taken:?}")) };
        play.target.note(name, verdict);
    }
    play.finish();
}

/// Tasks that say too little, too much or what contradicts itself.
#[test]
fn tasks_that_contradict_themselves() {
    let mut play = Play::start();
    let executor = json!({"type": "CUSTOM", "executor_id": {"value": "e"}, "command": {"value": "true"}});
    let check = |fields: Value| json!({"health_check": with(json!({"type": "COMMAND", "command": {"value": "true"}}), fields)});
    let cases = [
        ("command and executor", json!({"executor": executor})),
        ("neither", json!({"command": null})),
        (
            "executor of nobody",
            json!({"command": null, "executor": {"executor_id": {"value": "e"}, "type": "CUSTOM"}}),
        ),
        (
            "executor of another framework",
            json!({"command": null, "executor": with(executor.clone(), json!({"framework_id": {"value": "x"}}))}),
        ),
        (
            "executor with negative resources",
            json!({"command": null, "executor": with(executor.clone(), json!({"resources": [scalar("cpus", -1.0)]}))}),
        ),
        ("negative grace", json!({"kill_policy": {"grace_period": {"nanoseconds": -1}}})),
        ("negative completion time", json!({"max_completion_time": {"nanoseconds": -1}})),
        ("check of no kind", check(json!({"type": "UNKNOWN"}))),
        ("check without command", check(json!({"command": null}))),
        ("negative interval", check(json!({"interval_seconds": -1.0}))),
        ("negative delay", check(json!({"delay_seconds": -1.0}))),
    ];
    for (name, fields) in cases {
        play.refuses(name, |offer| {
            let mut task = with(command_task("contradiction", offer, "true"), fields);
            task.as_object_mut().expect("a task").retain(|_, value| !value.is_null());
            task
        });
    }
    play.finish();
}

/// The same task twice in a call, and once more while it runs.
#[test]
fn a_task_is_launched_once() {
    let mut play = Play::start();
    let offer = play.scheduler.offer();
    let task = command_task("twice", &offer, "sleep 1000");
    play.scheduler.launch(&offer, &[task.clone(), task]);
    let statuses = play.scheduler.all_within("UPDATE", Duration::from_secs(2));
    let errors = statuses.iter().filter(|event| event["update"]["status"]["state"] == "TASK_ERROR").count();
    assert_eq!(errors, 1, "{statuses:?}");
    let offer = play.scheduler.offer();
    play.scheduler.launch(&offer, &[command_task("twice", &offer, "true")]);
    let verdict = is_refusal(
        &play.scheduler.find("a refusal", |event| event["update"]["status"]["state"] == "TASK_ERROR")["update"]
            ["status"],
    );
    play.target.note("a running task's id", verdict);
    // The offer is used up, whoever asks.
    let again = play.scheduler.call(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [command_task("late", &offer, "true")]}}]}}));
    assert_eq!(again.status, 202, "{}", again.text());
    let late = play.scheduler.status("late");
    assert_eq!((&late["state"], &late["reason"]), (&json!("TASK_LOST"), &json!("REASON_INVALID_OFFERS")));
    play.scheduler.teardown();
    settled(&play.target);
    play.target.finish();
}
