//! libmesos 1.11.0's own v0 scheduler driver, as every framework in C++, Java or Python of its time is built on, and the
//! one of our libmesos.so, against our master; and the same scenarios against the real one, so that it is known that
//! they can be passed.

mod driver;
mod elections;
pub mod ours;
mod schedulers;
mod tasks;

use std::path::Path;

use mesos::proto::task_status::Reason;
use mesos::proto::{self, TaskState};
use serde_json::Value;

use crate::peer;
use crate::support::scheduler::user;
use crate::support::{Cluster, wait_for};
use driver::{Driver, RUNNING, STOPPED, Whose, hex, hex_list, use_driver};

/// Plays with either driver to our master and to the real one, each with one agent of ours and these flags.
fn play(test: &str, flags: &[(&str, &str)], scenario: impl Fn(&mut Cluster)) {
    for whose in [Whose::Ours, Whose::Apaches] {
        if whose == Whose::Ours || peer::available(test) {
            use_driver(whose);
            peer::beside_ours(test, 1, flags, &scenario);
        }
    }
}

// ---- what frameworks say ----

fn framework(name: &str) -> proto::FrameworkInfo {
    proto::FrameworkInfo {
        user: user(),
        name: name.into(),
        failover_timeout: Some(1000.0),
        ..Default::default()
    }
}

/// The same framework, under the id that it was given.
fn again(name: &str, id: &proto::FrameworkId) -> proto::FrameworkInfo {
    proto::FrameworkInfo { id: Some(id.clone()), ..framework(name) }
}

fn registered(cluster: &Cluster, name: &str) -> (Driver, proto::FrameworkId) {
    let mut driver = Driver::start(cluster.port, &framework(name), "implicit");
    let id = driver.registered();
    (driver, id)
}

fn resources(cpus: f64, mem: f64) -> Vec<proto::Resource> {
    [("cpus", cpus), ("mem", mem)]
        .map(|(name, value)| proto::Resource {
            name: name.into(),
            r#type: proto::value::Type::Scalar as i32,
            scalar: Some(proto::value::Scalar { value }),
            ..Default::default()
        })
        .to_vec()
}

fn command(line: &str) -> Option<proto::CommandInfo> {
    Some(proto::CommandInfo { value: Some(line.into()), ..Default::default() })
}

fn task(id: &str, offer: &proto::Offer, line: &str) -> proto::TaskInfo {
    proto::TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: resources(0.1, 32.0),
        command: command(line),
        ..Default::default()
    }
}

/// A task of mesos-go's v0 executor, which says TASK_RUNNING and sends messages back.
fn task_of_executor(id: &str, offer: &proto::Offer, program: &Path) -> proto::TaskInfo {
    let executor = proto::ExecutorInfo {
        executor_id: "go".into(),
        resources: resources(0.1, 32.0),
        command: command(&format!("exec {} executor", program.display())),
        ..Default::default()
    };
    proto::TaskInfo { command: None, executor: Some(executor), ..task(id, offer, "") }
}

fn refused_for(seconds: f64) -> String {
    hex(&proto::Filters { refuse_seconds: Some(seconds) })
}

impl Driver {
    fn launch(&mut self, make: impl FnOnce(&proto::Offer) -> proto::TaskInfo) -> proto::Offer {
        let offer = self.offer();
        let arguments = [hex(&offer.id), hex(&make(&offer)), refused_for(0.0)];
        assert_eq!(self.say("launchTasks", &arguments), RUNNING);
        offer
    }

    /// Launches a command and sees it run.
    fn run(&mut self, id: &str, line: &str) -> proto::Offer {
        let offer = self.launch(|offer| task(id, offer, line));
        self.status(id, TaskState::TaskStarting);
        self.status(id, TaskState::TaskRunning);
        offer
    }

    fn kill(&mut self, id: &str) {
        self.say("killTask", &[hex(&proto::TaskId::from(id))]);
    }

    /// `reconcileTasks`, of these tasks or of all.
    fn reconcile(&mut self, tasks: &[&str]) {
        let about = |id: &&str| proto::TaskStatus {
            task_id: (*id).into(),
            state: TaskState::TaskStaging as i32,
            ..Default::default()
        };
        let statuses: Vec<_> = tasks.iter().map(about).collect();
        self.say("reconcileTasks", &[hex_list(&statuses)]);
    }

    /// The answer to a reconciliation.
    fn reconciled(&mut self, task: &str, state: TaskState) {
        let status = self.status(task, state);
        assert_eq!(status.reason(), Reason::Reconciliation, "{status:?}");
        assert_eq!(status.uuid, None);
    }

    /// `stop`, and what `join` says thereafter.
    fn stop(&mut self) {
        assert_eq!(self.say("stop", &["finally".into()]), STOPPED);
        assert_eq!(self.say("join", &[]), STOPPED);
    }
}

// ---- what the master shows ----

fn find(cluster: &Cluster, list: &str, id: &proto::FrameworkId) -> Option<Value> {
    let state = cluster.json("/state")?;
    state[list].as_array()?.iter().find(|framework| framework["id"] == id.value.as_str()).cloned()
}

fn wait_until_removed(cluster: &Cluster, id: &proto::FrameworkId) -> Value {
    wait_for("the framework's end", || find(cluster, "completed_frameworks", id))
}

/// A framework shown like this.
fn wait_until(cluster: &Cluster, id: &proto::FrameworkId, holds: impl Fn(&Value) -> bool) {
    wait_for("a state of the framework", || find(cluster, "frameworks", id).filter(&holds));
}

/// The master has passed on so many acknowledgements: what its schedulers were told is not told again.
fn wait_until_acknowledged(cluster: &Cluster, updates: u32) {
    wait_for("acknowledgements", || {
        (metric(cluster, "valid_status_update_acknowledgements") == f64::from(updates)).then_some(())
    });
}

fn metric(cluster: &Cluster, name: &str) -> f64 {
    let metrics = cluster.json("/metrics/snapshot").expect("metrics");
    metrics[format!("master/{name}")].as_f64().unwrap_or_else(|| panic!("no {name}"))
}
