//! Drives a core in its tests: an agent, a clock and processes by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::{Finding, Probe};
use super::{Config, Core, Effect, Effects, Event, Recovery, Signal, Start, Timer};
use crate::base::time::Time;
use crate::proto::executor::{self, call, event};
use crate::proto::framework_info::{Capability, capability};
use crate::proto::{CommandInfo, KillPolicy, TaskGroupInfo, TaskInfo, TaskStatus};

pub fn config() -> Config {
    Config {
        framework: "f".into(),
        executor: "e".into(),
        recovery: None,
        shutdown_grace_period: Duration::from_secs(5),
        environment: BTreeMap::from([("BASE".to_owned(), "1".to_owned())]),
        seed: 7,
    }
}

pub fn checkpointed() -> Config {
    let recovery = Recovery { timeout: Duration::from_secs(15 * 60), backoff_max: Duration::from_secs(2) };
    Config { recovery: Some(recovery), ..config() }
}

pub fn task(id: &str) -> TaskInfo {
    let command = CommandInfo { value: Some("true".to_owned()), ..Default::default() };
    TaskInfo { task_id: id.into(), name: id.to_owned(), command: Some(command), ..Default::default() }
}

pub fn event(kind: event::Type) -> executor::Event {
    executor::Event { r#type: Some(kind as i32), ..Default::default() }
}

pub fn subscribed(knows_killing: bool) -> executor::Event {
    let mut subscribed = event::Subscribed::default();
    if knows_killing {
        let kind = capability::Type::TaskKillingState as i32;
        subscribed.framework_info.capabilities.push(Capability { r#type: Some(kind) });
    }
    executor::Event { subscribed: Some(subscribed), ..event(event::Type::Subscribed) }
}

pub fn launch(task: TaskInfo) -> executor::Event {
    executor::Event { launch: Some(event::Launch { task }), ..event(event::Type::Launch) }
}

pub fn launch_group(ids: &[&str]) -> executor::Event {
    let task_group = TaskGroupInfo { tasks: ids.iter().map(|id| task(id)).collect() };
    executor::Event {
        launch_group: Some(event::LaunchGroup { task_group }),
        ..event(event::Type::LaunchGroup)
    }
}

pub fn kill(id: &str, kill_policy: Option<KillPolicy>) -> executor::Event {
    let kill = event::Kill { task_id: id.into(), kill_policy };
    executor::Event { kill: Some(kill), ..event(event::Type::Kill) }
}

/// A core, and all that it did.
pub struct Driver<C> {
    pub core: C,
    now: Time,
    timers: Vec<(Time, Timer)>,
    pub connects: usize,
    pub updates: Vec<TaskStatus>,
    pub subscribes: Vec<call::Subscribe>,
    pub starts: Vec<Start>,
    pub signals: Vec<String>,
    pub probes: Vec<Probe>,
    pub log: Vec<String>,
    pub exit: Option<u8>,
}

impl<C: Core> Driver<C> {
    pub fn new(core: C) -> Driver<C> {
        let mut driver = Driver {
            core,
            now: Time(1_000_000_000),
            timers: Vec::new(),
            connects: 0,
            updates: Vec::new(),
            subscribes: Vec::new(),
            starts: Vec::new(),
            signals: Vec::new(),
            probes: Vec::new(),
            log: Vec::new(),
            exit: None,
        };
        let mut out = Effects::new();
        driver.core.start(driver.now, &mut out);
        driver.perform(out);
        driver
    }

    pub fn subscribed(core: C) -> Driver<C> {
        let mut driver = Driver::new(core);
        driver.happen(Event::Connected);
        driver.agent(subscribed(false));
        driver
    }

    pub fn happen(&mut self, event: Event) {
        if self.exit.is_some() {
            return;
        }
        let mut out = Effects::new();
        self.core.handle(self.now, event, &mut out);
        self.perform(out);
    }

    pub fn agent(&mut self, event: executor::Event) {
        self.happen(Event::Received(Box::new(event)));
    }

    /// Acknowledges the update of that number.
    pub fn acknowledge(&mut self, number: usize) {
        let status = &self.updates[number];
        let acknowledged =
            event::Acknowledged { task_id: status.task_id.clone(), uuid: status.uuid.clone().unwrap() };
        let event = executor::Event { acknowledged: Some(acknowledged), ..event(event::Type::Acknowledged) };
        self.agent(event);
    }

    /// What the only look that is under way finds.
    pub fn find(&mut self, finding: Result<Finding, String>) {
        let probe = self.probes.pop().expect("something is looked at");
        assert!(self.probes.is_empty());
        self.happen(Event::Probed { attempt: probe.attempt, finding });
    }

    /// Lets so many seconds pass, and timers with them.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let due = self.timers.iter().enumerate().filter(|(_, (at, _))| *at <= end);
            let Some((index, _)) = due.min_by_key(|(_, (at, _))| *at) else { break };
            let (at, timer) = self.timers.remove(index);
            self.now = self.now.max(at);
            self.happen(Event::Timer(timer));
        }
        self.now = end;
    }

    pub fn states(&self) -> Vec<&'static str> {
        self.updates.iter().map(|status| status.state().as_str_name()).collect()
    }

    pub fn started(&self, id: &str) -> &Start {
        self.starts.iter().find(|start| start.task.value == id).expect("it was started")
    }

    fn perform(&mut self, out: Effects) {
        for effect in out {
            match effect {
                Effect::Connect => self.connects += 1,
                Effect::Call(call) => {
                    self.updates.extend(call.update.map(|update| update.status));
                    self.subscribes.extend(call.subscribe);
                }
                Effect::Start(start) => self.starts.push(*start),
                Effect::Signal { task, signal } => {
                    let signal = if signal == Signal::Kill { "KILL" } else { "TERM" };
                    self.signals.push(format!("{task} {signal}"));
                }
                Effect::Probe(probe) => self.probes.push(*probe),
                Effect::StopProbes(task) => self.probes.retain(|probe| probe.attempt.task != task),
                Effect::Wake { at, timer } => self.timers.push((at, timer)),
                Effect::Log(_, text) => self.log.push(text),
                Effect::Exit(status) => {
                    self.exit = Some(status);
                    return;
                }
            }
        }
    }
}
