//! v0 drivers of Mesos 0.2x, by the byte: they say with messages of their own what later ones say with a `Call`. Played
//! to our master and to the real one, which takes them still.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use mesos::proto::{self, FrameworkId, Message, TaskState, internal};
use serde_json::Value;

use crate::peer::beside_ours;
use crate::support::libprocess::{Incoming, bytes, join};
use crate::support::scheduler::user;
use crate::support::{Cluster, wait_for};

/// A driver of sockets.
struct Driver {
    pid: String,
    listener: TcpListener,
    out: TcpStream,
    /// The connection that the master sends by at the moment.
    link: Option<Incoming>,
    id: FrameworkId,
    master: String,
    /// Offers that came while something else was waited for, each with its agent's pid.
    offers: VecDeque<(proto::Offer, String)>,
}

fn info(name: &str) -> proto::FrameworkInfo {
    proto::FrameworkInfo {
        user: user(),
        name: name.into(),
        failover_timeout: Some(1000.0),
        ..Default::default()
    }
}

impl Driver {
    fn new(cluster: &Cluster) -> Driver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Driver {
            pid: format!("scheduler(1)@{}", listener.local_addr().unwrap()),
            listener,
            out: TcpStream::connect(("127.0.0.1", cluster.port)).unwrap(),
            link: None,
            id: FrameworkId::default(),
            master: format!("master@{}", cluster.address()),
            offers: VecDeque::new(),
        }
    }

    fn registered(cluster: &Cluster, name: &str) -> Driver {
        let mut driver = Driver::new(cluster);
        driver.say(internal::RegisterFrameworkMessage { framework: info(name) });
        let Message::FrameworkRegistered(registered) = driver.hear() else { panic!("not registered") };
        driver.id = registered.framework_id;
        driver
    }

    fn say(&mut self, message: impl Into<Message>) {
        self.say_as(&self.pid.clone(), message);
    }

    /// With another's name on it.
    fn say_as(&mut self, pid: &str, message: impl Into<Message>) {
        self.out.write_all(&bytes("master", pid, &message.into())).unwrap();
    }

    /// The next message of the master but for offers, which may come at any time and are kept.
    fn hear(&mut self) -> Message {
        loop {
            match self.hear_any() {
                Message::ResourceOffers(message) => self.keep(*message),
                Message::RescindResourceOffer(rescinded) => {
                    self.offers.retain(|(offer, _)| offer.id != rescinded.offer_id);
                }
                message => return message,
            }
        }
    }

    fn keep(&mut self, message: internal::ResourceOffersMessage) {
        assert_eq!(message.offers.len(), message.pids.len());
        self.offers.extend(message.offers.into_iter().zip(message.pids));
    }

    fn hear_any(&mut self) -> Message {
        loop {
            let link = self.link.get_or_insert_with(|| Incoming::accept(&self.listener));
            if let Some(arrived) = link.next() {
                assert!(arrived.path.starts_with("/scheduler(1)/"), "{}", arrived.path);
                assert_eq!(arrived.from, self.master);
                let name = arrived.path.rsplit('/').next().unwrap();
                return Message::decode(name, &arrived.body).expect("a message");
            }
            self.link = None;
        }
    }

    /// An offer, and the pid of its agent.
    fn offer(&mut self) -> (proto::Offer, String) {
        loop {
            if let Some(offer) = self.offers.pop_front() {
                return offer;
            }
            if let Message::ResourceOffers(message) = self.hear_any() {
                self.keep(*message);
            }
        }
    }

    fn launch(&mut self, tasks: Vec<proto::TaskInfo>, offer: &proto::Offer, refuse_seconds: f64) {
        self.say(internal::LaunchTasksMessage {
            framework_id: self.id.clone(),
            tasks,
            filters: proto::Filters { refuse_seconds: Some(refuse_seconds) },
            offer_ids: vec![offer.id.clone()],
        });
    }

    /// The next update, which must be this one and is acknowledged if it wants to be.
    fn status(&mut self, task: &str, state: TaskState) -> proto::TaskStatus {
        let Message::StatusUpdate(message) = self.hear() else { panic!("no update") };
        let internal::StatusUpdate { status, uuid, agent_id, framework_id, .. } = message.update;
        assert_eq!((status.task_id.value.as_str(), status.state()), (task, state), "{status:?}");
        assert_eq!(framework_id, self.id);
        // The real master also names nobody as `@0.0.0.0:0`.
        let pid = message.pid.filter(|pid| !pid.is_empty() && !pid.ends_with(":0"));
        assert_eq!(pid.is_some(), uuid.is_some(), "{pid:?} {status:?}");
        if let Some(uuid) = uuid {
            self.say(internal::StatusUpdateAcknowledgementMessage {
                agent_id: agent_id.expect("an agent waits for it"),
                framework_id,
                task_id: status.task_id.clone(),
                uuid,
            });
        }
        status
    }

    fn kill(&mut self, task: &str) {
        let framework_id = self.id.clone();
        self.say(internal::KillTaskMessage { framework_id, task_id: task.into(), kill_policy: None });
    }

    fn reconcile(&mut self, tasks: &[&str]) {
        let about = |id: &&str| proto::TaskStatus { task_id: (*id).into(), ..Default::default() };
        let statuses = tasks.iter().map(about).collect();
        self.say(internal::ReconcileTasksMessage {
            framework_id: self.id.clone(),
            statuses,
            ..Default::default()
        });
    }

    fn reregister(&mut self, name: &str, failover: bool) {
        let framework = proto::FrameworkInfo { id: Some(self.id.clone()), ..info(name) };
        self.say(internal::ReregisterFrameworkMessage { framework, failover });
    }

    fn unregister(&mut self, cluster: &Cluster) {
        self.say(internal::UnregisterFrameworkMessage { framework_id: self.id.clone() });
        wait_for("the end", || self.shown(cluster, "completed_frameworks"));
    }

    fn error(&mut self) -> String {
        match self.hear() {
            Message::FrameworkError(error) => error.message,
            other => panic!("{other:?} instead of an error"),
        }
    }

    fn shown(&self, cluster: &Cluster, list: &str) -> Option<Value> {
        let state = cluster.json("/state")?;
        state[list].as_array()?.iter().find(|framework| framework["id"] == self.id.value.as_str()).cloned()
    }

    fn wait_until_active(&self, cluster: &Cluster, active: bool) {
        let shown = || self.shown(cluster, "frameworks").filter(|framework| framework["active"] == active);
        wait_for("a change of activity", shown);
    }
}

fn task(id: &str, offer: &proto::Offer, line: &str) -> proto::TaskInfo {
    let scalar = |name: &str, value: f64| proto::Resource {
        name: name.into(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value }),
        ..Default::default()
    };
    proto::TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(proto::CommandInfo { value: Some(line.into()), ..Default::default() }),
        ..Default::default()
    }
}

fn metric(cluster: &Cluster, name: &str) -> f64 {
    let metrics = cluster.json("/metrics/snapshot").expect("metrics");
    metrics[format!("master/{name}")].as_f64().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_task_lives_and_dies() {
    beside_ours("a_task_lives_and_dies", 1, &[], |cluster| {
        let mut driver = Driver::registered(cluster, "old life");
        let (offer, pid) = driver.offer();
        assert_eq!(pid, format!("slave(1)@127.0.0.1:{}", cluster.agent_ports[0]));
        driver.launch(vec![task("one", &offer, "exit 3"), task("two", &offer, "sleep 1000")], &offer, 0.0);
        // In whatever order the two take turns.
        let mut seen: Vec<(String, TaskState)> = vec![];
        while seen.len() < 5 {
            let Message::StatusUpdate(message) = driver.hear() else { panic!() };
            let update = message.update;
            seen.push((update.status.task_id.value.clone(), update.status.state()));
            driver.say(internal::StatusUpdateAcknowledgementMessage {
                agent_id: update.agent_id.expect("an agent"),
                framework_id: update.framework_id,
                task_id: update.status.task_id,
                uuid: update.uuid.expect("a uuid"),
            });
        }
        let of = |task: &str| -> Vec<TaskState> {
            seen.iter().filter(|(id, _)| id == task).map(|(_, state)| *state).collect()
        };
        assert_eq!(of("one"), [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFailed]);
        assert_eq!(of("two"), [TaskState::TaskStarting, TaskState::TaskRunning]);

        driver.reconcile(&[]);
        assert_eq!(driver.status("two", TaskState::TaskRunning).uuid, None);
        driver.reconcile(&["two", "nobody"]);
        driver.status("two", TaskState::TaskRunning);
        driver.status("nobody", TaskState::TaskLost);
        driver.kill("two");
        driver.status("two", TaskState::TaskKilled);
        wait_for("both acknowledged", || {
            let tasks = driver.shown(cluster, "frameworks")?["completed_tasks"].as_array()?.len();
            (tasks == 2).then_some(())
        });
        driver.unregister(cluster);
    });
}

/// A launch of nothing declines; there was no message for that.
#[test]
fn offers_are_declined_and_revived() {
    beside_ours("offers_are_declined_and_revived", 1, &[], |cluster| {
        let mut driver = Driver::registered(cluster, "old and picky");
        let (offer, _) = driver.offer();
        driver.launch(vec![], &offer, 1000.0);
        driver.say(internal::ResourceRequestMessage { framework_id: driver.id.clone(), requests: vec![] });
        wait_for("the request", || (metric(cluster, "messages_resource_request") == 1.0).then_some(()));
        let link = &driver.link.as_ref().expect("a link").stream;
        link.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let early = link.peek(&mut [0; 1]);
        assert!(early.is_err(), "offered what was declined");
        link.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        driver.say(internal::ReviveOffersMessage { framework_id: driver.id.clone(), roles: vec![] });
        let (again, _) = driver.offer();
        assert_ne!(again.id, offer.id);
        assert_eq!(again.agent_id, offer.agent_id);

        driver.say(internal::DeactivateFrameworkMessage { framework_id: driver.id.clone() });
        driver.wait_until_active(cluster, false);
        driver.reregister("old and picky", false);
        let Message::FrameworkReregistered(again) = driver.hear() else { panic!() };
        assert_eq!(again.framework_id, driver.id);
        driver.wait_until_active(cluster, true);
        driver.offer();
        driver.unregister(cluster);
    });
}

#[test]
fn a_second_driver_needs_to_say_that_it_takes_over() {
    beside_ours("a_second_driver_needs_to_say_that_it_takes_over", 1, &[], |cluster| {
        let mut first = Driver::registered(cluster, "old pair");
        let (offer, _) = first.offer();
        first.launch(vec![task("kept", &offer, "sleep 1000")], &offer, 0.0);
        first.status("kept", TaskState::TaskStarting);
        first.status("kept", TaskState::TaskRunning);
        let acknowledged = || (metric(cluster, "valid_status_update_acknowledgements") == 2.0).then_some(());
        wait_for("acknowledgements", acknowledged);

        let mut second = Driver { id: first.id.clone(), ..Driver::new(cluster) };
        second.reregister("old pair", false);
        assert_eq!(second.error(), "Framework failed over");
        second.reregister("old pair", true);
        let Message::FrameworkRegistered(registered) = second.hear() else { panic!() };
        assert_eq!(registered.framework_id, first.id);
        assert_eq!(first.error(), "Framework failed over");
        second.reconcile(&[]);
        second.status("kept", TaskState::TaskRunning);
        second.unregister(cluster);

        second.reregister("old pair", true);
        assert_eq!(second.error(), "Framework has been removed");
    });
}

#[test]
fn registrations_that_contradict_themselves() {
    beside_ours("registrations_that_contradict_themselves", 0, &[], |cluster| {
        let mut driver = Driver::new(cluster);
        let framework = proto::FrameworkInfo { id: Some("made-up".into()), ..info("old and wrong") };
        driver.say(internal::RegisterFrameworkMessage { framework });
        assert_eq!(driver.error(), "Registering with 'id' already set");
        driver.say(internal::ReregisterFrameworkMessage { framework: info("old and wrong"), failover: true });
        assert_eq!(driver.error(), "Re-registering without an 'id'");
    });
}

/// What passes between a scheduler and an executor by way of the master, seen from both ends.
#[test]
fn messages_by_way_of_the_master() {
    beside_ours("messages_by_way_of_the_master", 0, &[], |cluster| {
        let mut driver = Driver::registered(cluster, "old and talkative");
        let mut agent = join(cluster);
        agent.pong();
        let (offer, pid) = driver.offer();
        assert_eq!(
            (offer.agent_id.value.as_str(), pid.as_str()),
            (agent.agent_id.as_str(), agent.pid.as_str())
        );
        let executor = proto::ExecutorInfo {
            executor_id: "executor".into(),
            framework_id: Some(driver.id.clone()),
            command: Some(proto::CommandInfo { value: Some("true".into()), ..Default::default() }),
            ..Default::default()
        };
        let held = proto::TaskInfo { command: None, executor: Some(executor), ..task("held", &offer, "") };
        driver.launch(vec![held], &offer, 1000.0);
        let run = agent.link.next_named("RunTaskMessage");
        let Ok(Message::RunTask(run)) = Message::decode("mesos.internal.RunTaskMessage", &run.body) else {
            panic!()
        };
        assert_eq!(run.pid.as_deref(), Some(driver.pid.as_str()));

        let data = b"down".to_vec();
        driver.say(internal::FrameworkToExecutorMessage {
            agent_id: offer.agent_id.clone(),
            framework_id: driver.id.clone(),
            executor_id: "executor".into(),
            data: data.clone().into(),
        });
        let name = "mesos.internal.FrameworkToExecutorMessage";
        let down = agent.link.next_named(name);
        let Ok(Message::FrameworkToExecutor(down)) = Message::decode(name, &down.body) else { panic!() };
        assert_eq!((down.executor_id.value.as_str(), &down.data[..]), ("executor", &data[..]));

        let up = internal::ExecutorToFrameworkMessage {
            agent_id: offer.agent_id.clone(),
            framework_id: driver.id.clone(),
            executor_id: "executor".into(),
            data: b"up".to_vec().into(),
        };
        agent.send("master", &up.into());
        let Message::ExecutorToFramework(up) = driver.hear() else { panic!() };
        assert_eq!((&up.data[..], up.agent_id), (&b"up"[..], offer.agent_id.clone()));

        let exited = internal::ExitedExecutorMessage {
            agent_id: offer.agent_id.clone(),
            framework_id: driver.id.clone(),
            executor_id: "executor".into(),
            status: 9,
        };
        agent.send("master", &exited.into());
        let Message::ExitedExecutor(exited) = driver.hear() else { panic!() };
        assert_eq!((exited.executor_id.value.as_str(), exited.status), ("executor", 9));

        agent.send("master", &internal::UnregisterSlaveMessage { agent_id: offer.agent_id.clone() }.into());
        driver.status("held", TaskState::TaskLost);
        let Message::LostAgent(lost) = driver.hear() else { panic!() };
        assert_eq!(lost.agent_id, offer.agent_id);
        driver.unregister(cluster);
    });
}

/// The master's link to a driver breaks: the driver, which would never know, is told on a connection of its own and may
/// come back.
#[test]
fn a_broken_link_is_told() {
    beside_ours("a_broken_link_is_told", 0, &[], |cluster| {
        let mut driver = Driver::registered(cluster, "old and cut off");
        driver.link.take().expect("a link").stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(driver.error(), "Framework disconnected");
        driver.wait_until_active(cluster, false);
        // Whatever call it makes meanwhile is answered so.
        driver.say(proto::scheduler::Call {
            framework_id: Some(driver.id.clone()),
            r#type: Some(proto::scheduler::call::Type::Revive as i32),
            ..Default::default()
        });
        assert_eq!(driver.error(), "Framework disconnected");
        driver.reregister("old and cut off", false);
        let Message::FrameworkReregistered(again) = driver.hear() else { panic!() };
        assert_eq!(again.framework_id, driver.id);
        driver.wait_until_active(cluster, true);
        driver.unregister(cluster);
    });
}

/// Messages about a framework that come from another pid than its own change nothing.
#[test]
fn nobody_speaks_for_another() {
    beside_ours("nobody_speaks_for_another", 1, &[], |cluster| {
        let mut driver = Driver::registered(cluster, "old and envied");
        let (offer, _) = driver.offer();
        driver.launch(vec![task("mine", &offer, "sleep 1000")], &offer, 0.0);
        driver.status("mine", TaskState::TaskStarting);
        driver.status("mine", TaskState::TaskRunning);
        let (offer, _) = driver.offer();

        let mut other = Driver { id: driver.id.clone(), ..Driver::new(cluster) };
        let id = || driver.id.clone();
        other.kill("mine");
        other.launch(vec![task("theirs", &offer, "sleep 1000")], &offer, 0.0);
        other.say(internal::ReviveOffersMessage { framework_id: id(), roles: vec![] });
        other.say(internal::ResourceRequestMessage { framework_id: id(), requests: vec![] });
        other.say(internal::DeactivateFrameworkMessage { framework_id: id() });
        other.say(internal::UnregisterFrameworkMessage { framework_id: id() });
        // All of them have been read once this is answered.
        other.say(internal::RegisterFrameworkMessage { framework: info("another") });
        while !matches!(other.hear(), Message::FrameworkRegistered(_)) {}

        let shown = driver.shown(cluster, "frameworks").expect("it is there");
        assert_eq!((&shown["active"], &shown["tasks"][0]["state"]), (&true.into(), &"TASK_RUNNING".into()));
        assert_eq!(shown["tasks"].as_array().map(Vec::len), Some(1), "{shown}");
        driver.kill("mine");
        driver.status("mine", TaskState::TaskKilled);
        driver.unregister(cluster);
    });
}
