//! Masters that are restarted one after the other, or killed, while a framework launches tasks all the while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Masters, free_port, master};
use crate::support::ensembles::Ensemble;
use crate::support::raw::{self, try_exchange};
use crate::support::scheduler::{Ended, Scheduler, command_task, framework, is_terminal, with};
use crate::support::{DEADLINE, get, wait_for};

/// Tasks that run from the beginning to the end of a test.
const LASTING: usize = 4;

/// Short ones that are under way at once.
const AT_ONCE: usize = 6;

/// How often a scheduler asks after tasks of which it has not heard.
const ASKS: Duration = Duration::from_secs(1);

/// A scheduler that finds the leader by itself, and launches as long as it is let.
struct Load {
    ports: Vec<u16>,
    info: Value,
    scheduler: Option<Scheduler>,
    tasks: BTreeMap<String, Task>,
    asked: Instant,
    subscriptions: usize,
}

struct Task {
    agent: Value,
    states: Vec<String>,
}

impl Task {
    fn is_over(&self) -> bool {
        self.states.last().is_some_and(|state| is_terminal(state))
    }

    fn has(&self, state: &str) -> bool {
        self.states.iter().any(|known| known == state)
    }
}

impl Load {
    fn new(ports: Vec<u16>) -> Load {
        let info = with(framework("load"), json!({"failover_timeout": 600.0, "checkpoint": true}));
        let (tasks, asked) = (BTreeMap::new(), Instant::now());
        Load { ports, info, scheduler: None, tasks, asked, subscriptions: 0 }
    }

    fn live(&self) -> usize {
        self.tasks.values().filter(|task| !task.is_over()).count()
    }

    fn step(&mut self, launching: bool) {
        let Some(scheduler) = &mut self.scheduler else {
            self.scheduler =
                self.ports.iter().find_map(|port| Scheduler::try_subscribe(*port, self.info.clone()).ok());
            if let Some(scheduler) = &self.scheduler {
                self.info = with(self.info.clone(), json!({"id": {"value": scheduler.framework_id}}));
                self.subscriptions += 1;
                self.ask();
            }
            return;
        };
        match scheduler.next_within(Duration::from_millis(50)) {
            Err(Ended) => self.scheduler = None,
            Ok(Some(event)) if event["type"] == "OFFERS" => {
                for offer in event["offers"]["offers"].as_array().expect("offers") {
                    self.take(offer, launching);
                }
            }
            Ok(Some(event)) if event["type"] == "UPDATE" => self.updated(&event["update"]["status"]),
            Ok(_) if self.asked.elapsed() > ASKS => self.ask(),
            Ok(_) => {}
        }
    }

    /// A call to a master that may have gone meanwhile.
    fn say(&self, call: Value) {
        if let Some(scheduler) = &self.scheduler {
            let status = scheduler.try_call(call.clone());
            assert!(matches!(status, 0 | 202 | 307 | 503), "{status} to {call}");
        }
    }

    fn take(&mut self, offer: &Value, launching: bool) {
        let filters = json!({"refuse_seconds": 0.1});
        if !launching || self.live() >= LASTING + AT_ONCE {
            let decline = json!({"offer_ids": [offer["id"]], "filters": filters});
            return self.say(json!({"type": "DECLINE", "decline": decline}));
        }
        let number = self.tasks.len();
        let (id, command) = match number < LASTING {
            true => (format!("lasting-{number}"), "exec sleep 1000"),
            false => (format!("short-{number}"), "sleep 0.3"),
        };
        let task = command_task(&id, offer, command);
        self.tasks.insert(id, Task { agent: offer["agent_id"].clone(), states: Vec::new() });
        let operations = json!([{"type": "LAUNCH", "launch": {"task_infos": [task]}}]);
        let accept = json!({"offer_ids": [offer["id"]], "operations": operations, "filters": filters});
        self.say(json!({"type": "ACCEPT", "accept": accept}));
    }

    fn updated(&mut self, status: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(task) = self.tasks.get_mut(&text(&status["task_id"]["value"])) {
            let state = text(&status["state"]);
            if task.states.last() != Some(&state) {
                task.states.push(state);
            }
        }
        if status.get("uuid").is_some() {
            self.say(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": status["agent_id"],
                "task_id": status["task_id"], "uuid": status["uuid"]}}));
        }
    }

    /// Asks after what has not ended: an ACCEPT may have gone with the master that it was sent to.
    fn ask(&mut self) {
        self.asked = Instant::now();
        let tasks: Vec<Value> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.is_over())
            .map(|(id, task)| json!({"task_id": {"value": id}, "agent_id": task.agent}))
            .collect();
        self.say(json!({"type": "RECONCILE", "reconcile": {"tasks": tasks}}));
    }
}

/// Launches until told to end, and then waits for what is short.
fn launch_all_the_while(mut load: Load, end: &AtomicBool) -> Load {
    while !end.load(Ordering::SeqCst) {
        load.step(true);
    }
    let late = Instant::now() + DEADLINE;
    while load.live() > LASTING {
        assert!(Instant::now() < late, "tasks that never end: {:?}", said(&load));
        load.step(false);
    }
    load
}

fn said(load: &Load) -> Vec<String> {
    load.tasks.iter().map(|(id, task)| format!("{id}: {}", task.states.join(" "))).collect()
}

/// Every task that ran is accounted for: the lasting ones run on, the short ones finished. One whose ACCEPT went with a
/// master may never have begun; then it does not run anywhere.
fn nothing_is_lost(load: &Load, agents: &[u16]) {
    for (id, task) in &load.tasks {
        let fine = match id.starts_with("lasting") {
            true => task.states.last().is_some_and(|state| state == "TASK_RUNNING"),
            false => {
                task.states.last().is_some_and(|state| state == "TASK_FINISHED") || !task.has("TASK_RUNNING")
            }
        };
        let lost = task.has("TASK_LOST") && (task.has("TASK_RUNNING") || task.has("TASK_FINISHED"));
        assert!(fine && !lost, "{id}: {:?}", task.states);
    }
    let running = |port: &u16| -> Vec<String> {
        let state: Value = serde_json::from_str(&get(*port, "/state").expect("an agent")).expect("json");
        let executors = state["frameworks"].as_array().into_iter().flatten();
        let executors =
            executors.flat_map(|framework| framework["executors"].as_array().into_iter().flatten());
        executors
            .flat_map(|executor| executor["tasks"].as_array().into_iter().flatten())
            .filter(|task| task["state"] == "TASK_RUNNING")
            .map(|task| task["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let mut all: Vec<String> = agents.iter().flat_map(running).collect();
    all.sort();
    let expected: Vec<String> = (0..LASTING).map(|number| format!("lasting-{number}")).collect();
    assert_eq!(all, expected, "what the agents run");
}

fn restarts_lose_nothing(ensemble: &Ensemble) {
    let flags = ["--registry=replicated_log", "--quorum=1"];
    let mut masters = Masters::start(ensemble, 3, &flags);
    masters.leader();
    let agents: Vec<_> = (0..2).map(|_| masters.agent_on(free_port())).collect();
    let agent_ports: Vec<u16> = agents.iter().map(|(port, _)| *port).collect();
    let ports: Vec<u16> = masters.masters.iter().map(|master| master.port).collect();
    let (end, url) = (AtomicBool::new(false), masters.url.clone());
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| launch_all_the_while(Load::new(ports.clone()), &end));
        let finished = |masters: &Masters| {
            let leader = masters.leading(&[])?;
            let state: Value = serde_json::from_str(&get(masters.port(leader), "/state").ok()?).ok()?;
            let framework = state["frameworks"].as_array()?.first()?;
            let ended = framework["completed_tasks"].as_array()?;
            let ended = ended.iter().filter(|task| task["state"] == "TASK_FINISHED").count();
            (ended >= 2 && framework["tasks"].as_array()?.len() >= LASTING).then_some(leader)
        };
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the first tasks", || finished(&masters));
            // All of them well, and then each leader with a bang.
            for round in 0..5 {
                let index = match round {
                    0..3 => round,
                    _ => masters.leader(),
                };
                match round {
                    0..3 => assert_eq!(masters.process(index).terminate(), Some(0)),
                    _ => masters.process(index).kill(),
                }
                let port = masters.port(index);
                masters.masters[index].process = master(port, &url, &flags);
                wait_for("a restarted master that knows the leader", || {
                    let asked = try_exchange(port, &raw::get("/master/redirect"));
                    matches!(asked.status(), 200 | 307).then_some(())
                });
                wait_for("tasks under the next leader", || finished(&masters));
            }
        }));
        end.store(true, Ordering::SeqCst);
        let load = load.join().expect("the load");
        if let Err(cause) = checked {
            eprintln!("{:?}", said(&load));
            std::panic::resume_unwind(cause);
        }
        load
    });
    assert!(load.subscriptions > 2, "{} subscriptions", load.subscriptions);
    nothing_is_lost(&load, &agent_ports);
}

#[test]
fn a_rolling_restart_under_load_loses_no_task_with_zookeeper() {
    if let Some(ensemble) = Ensemble::zookeeper("rolling restart", 1) {
        restarts_lose_nothing(&ensemble);
    }
}

#[test]
fn a_rolling_restart_under_load_loses_no_task_with_etcd() {
    if let Some(ensemble) = Ensemble::etcd("rolling restart", 1) {
        restarts_lose_nothing(&ensemble);
    }
}
