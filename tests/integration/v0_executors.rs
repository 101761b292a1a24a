//! A v0 executor at our agent, by the byte: what those written on libmesos say and hear.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use mesos::proto::{self, Message, TaskState, internal};
use serde_json::{Value, json};

use crate::support::libprocess::{Arrivals, Arrived, Incoming, bytes};
use crate::support::scheduler::{Scheduler, command_task, framework, scalar, with};
use crate::support::{Cluster, get, wait_for};

/// An executor of sockets, in whose name a process sleeps in the sandbox.
struct Executor {
    pid: String,
    out: TcpStream,
    listener: TcpListener,
    framework_id: proto::FrameworkId,
    agent_id: proto::AgentId,
    /// Counts updates, which makes their ids.
    updates: u8,
}

const NAME: &str = "raw";

fn task(id: &str, offer: &Value) -> Value {
    let mut task = command_task(id, offer, "");
    let fields = task.as_object_mut().unwrap();
    fields.remove("command");
    let executor = json!({"executor_id": {"value": NAME}, "type": "CUSTOM", "command": {"value": "while [ -e stdout ]; do sleep 0.2; done"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]});
    fields.insert("executor".into(), executor);
    task
}

impl Executor {
    fn new(cluster: &Cluster, framework: &str, offer: &Value) -> Executor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Executor {
            pid: format!("executor(1)@{}", listener.local_addr().unwrap()),
            out: TcpStream::connect(("127.0.0.1", cluster.agent_ports[0])).unwrap(),
            listener,
            framework_id: framework.into(),
            agent_id: offer["agent_id"]["value"].as_str().unwrap().into(),
            updates: 0,
        }
    }

    fn say(&mut self, message: impl Into<Message>) {
        self.out.write_all(&bytes("slave(1)", &self.pid, &message.into())).unwrap();
    }

    /// Registers as the executor called so; gives the agent's link.
    fn register(&mut self, name: &str) -> Incoming {
        let framework_id = self.framework_id.clone();
        self.say(internal::RegisterExecutorMessage { framework_id, executor_id: name.into() });
        Incoming::accept(&self.listener)
    }

    fn update(&mut self, task: &str, state: TaskState) -> internal::StatusUpdateMessage {
        self.updates += 1;
        let uuid = Some([[0x40; 15].as_slice(), &[self.updates]].concat().into());
        let status = proto::TaskStatus {
            task_id: task.into(),
            state: state as i32,
            agent_id: Some(self.agent_id.clone()),
            ..Default::default()
        };
        let update = internal::StatusUpdate {
            framework_id: self.framework_id.clone(),
            executor_id: Some(NAME.into()),
            agent_id: Some(self.agent_id.clone()),
            status,
            timestamp: 1.0,
            uuid,
            latest_state: None,
        };
        internal::StatusUpdateMessage { update, pid: Some(self.pid.clone()) }
    }

    fn message(&self, data: &[u8]) -> internal::ExecutorToFrameworkMessage {
        internal::ExecutorToFrameworkMessage {
            agent_id: self.agent_id.clone(),
            framework_id: self.framework_id.clone(),
            executor_id: NAME.into(),
            data: data.to_vec().into(),
        }
    }
}

/// The next message on the link, whatever it is.
fn heard(link: &mut Incoming) -> Message {
    read(&link.next().expect("a link that stays"))
}

fn read(arrived: &Arrived) -> Message {
    assert!(arrived.path.starts_with("/executor(1)/"), "{}", arrived.path);
    Message::decode(arrived.path.rsplit('/').next().unwrap(), &arrived.body).expect("a message")
}

fn acknowledged(heard: Message, update: &internal::StatusUpdateMessage) {
    let Message::StatusUpdateAcknowledgement(heard) = heard else { panic!("no acknowledgement") };
    assert_eq!(Some(&heard.uuid), update.update.uuid.as_ref());
    assert_eq!(heard.task_id, update.update.status.task_id);
}

fn base64(data: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(data)
}

/// A task of the executor is launched, and the agent waits for the executor.
fn launched(cluster: &Cluster, scheduler: &mut Scheduler) -> Executor {
    let offer = scheduler.offer();
    scheduler.launch(&offer, &[task("one", &offer)]);
    wait_for("the executor", || {
        let state: Value = serde_json::from_str(&get(cluster.agent_ports[0], "/state").ok()?).ok()?;
        (state["frameworks"][0]["executors"][0]["id"] == NAME).then_some(())
    });
    Executor::new(cluster, &scheduler.framework_id, &offer)
}

#[test]
fn a_v0_executor_from_its_registration_to_its_shutdown() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("raw executor"));
    let mut executor = launched(&cluster, &mut scheduler);
    let mut link = executor.register(NAME);
    let Message::ExecutorRegistered(registered) = heard(&mut link) else { panic!("not registered") };
    assert_eq!(registered.framework_id, executor.framework_id);
    assert_eq!(registered.agent_id, executor.agent_id);
    assert_eq!(registered.executor_info.executor_id.value, NAME);
    assert_eq!(registered.framework_info.name, "raw executor");
    let Message::RunTask(run) = heard(&mut link) else { panic!("no task") };
    assert_eq!(run.task.task_id.value, "one");

    // An update is acknowledged once the agent has it, and again when it is told again, which the scheduler is not.
    let running = executor.update("one", TaskState::TaskRunning);
    for _ in 0..2 {
        executor.say(running.clone());
        acknowledged(heard(&mut link), &running);
    }
    let status = scheduler.status("one");
    assert_eq!((&status["state"], &status["source"]), (&json!("TASK_RUNNING"), &json!("SOURCE_EXECUTOR")));
    assert_eq!(status["executor_id"]["value"], NAME);

    // Messages, down and up.
    let message = json!({"type": "MESSAGE", "message": {"agent_id": {"value": executor.agent_id.value},
        "executor_id": {"value": NAME}, "data": base64(b"down")}});
    assert_eq!(scheduler.call(message).status, 202);
    let Message::FrameworkToExecutor(down) = heard(&mut link) else { panic!("no message") };
    assert_eq!(&down.data[..], b"down");
    executor.say(executor.message(b"up"));
    assert_eq!(scheduler.next("MESSAGE")["message"]["data"], base64(b"up"));

    // A second task for it, and the end of the first.
    let offer = scheduler.offer();
    scheduler.launch(&offer, &[task("two", &offer)]);
    let Message::RunTask(run) = heard(&mut link) else { panic!("no task") };
    assert_eq!(run.task.task_id.value, "two");
    scheduler.kill("one");
    let Message::KillTask(kill) = heard(&mut link) else { panic!("no kill") };
    assert_eq!(kill.task_id.value, "one");
    let killed = executor.update("one", TaskState::TaskKilled);
    executor.say(killed.clone());
    acknowledged(heard(&mut link), &killed);
    assert_eq!(scheduler.status("one")["state"], "TASK_KILLED");
    let finished = executor.update("two", TaskState::TaskFinished);
    executor.say(finished.clone());
    acknowledged(heard(&mut link), &finished);
    assert_eq!(scheduler.status("two")["state"], "TASK_FINISHED");

    scheduler.teardown();
    assert!(matches!(heard(&mut link), Message::ShutdownExecutor(_)));
}

/// An agent that comes back calls the executor, which tells what was not acknowledged; so does what it hears then.
#[test]
fn a_v0_executor_outlives_its_agent() {
    let patient = ["--executor_reregistration_timeout=15secs"];
    let mut cluster = Cluster::start_with(1, &[], &patient);
    let info = json!({"checkpoint": true, "failover_timeout": 1000.0});
    let mut scheduler = Scheduler::subscribe(cluster.port, with(framework("raw survivor"), info));
    let mut executor = launched(&cluster, &mut scheduler);
    let mut link = executor.register(NAME);
    assert!(matches!(heard(&mut link), Message::ExecutorRegistered(_)));
    let Message::RunTask(run) = heard(&mut link) else { panic!("no task") };
    let running = executor.update("one", TaskState::TaskRunning);
    executor.say(running.clone());
    acknowledged(heard(&mut link), &running);
    assert_eq!(scheduler.status("one")["state"], "TASK_RUNNING");

    // What was not started yet ends with the agent that was to start it.
    wait_for("the container", || {
        get(cluster.agent_ports[0], "/containers").ok().filter(|text| text.contains("\"executor_pid\""))
    });
    cluster.restart_agent(0, &patient);
    let listener = executor.listener.try_clone().unwrap();
    // It calls over a connection for that one message, and links when it is answered.
    let mut arrivals = Arrivals::of(&listener);
    let Message::ReconnectExecutor(reconnect) = read(&arrivals.next()) else { panic!("not called") };
    assert_eq!(reconnect.agent_id, executor.agent_id);
    executor.out = TcpStream::connect(("127.0.0.1", cluster.agent_ports[0])).unwrap();
    let finished = executor.update("one", TaskState::TaskFinished);
    executor.say(internal::ReregisterExecutorMessage {
        executor_id: NAME.into(),
        framework_id: executor.framework_id.clone(),
        tasks: vec![run.task],
        updates: vec![finished.update.clone()],
    });
    let Message::ExecutorReregistered(back) = read(&arrivals.next()) else { panic!("not taken back") };
    assert_eq!(back.agent_id, executor.agent_id);
    acknowledged(read(&arrivals.next()), &finished);
    // The agent may have been killed before the first update's acknowledgement reached it; then it says it again.
    let status = std::iter::repeat_with(|| scheduler.status("one")).find(|s| s["state"] != "TASK_RUNNING");
    let status = status.expect("endless");
    assert_eq!((&status["state"], &status["source"]), (&json!("TASK_FINISHED"), &json!("SOURCE_EXECUTOR")));
    scheduler.teardown();
    assert!(matches!(read(&arrivals.next()), Message::ShutdownExecutor(_)));
}

/// Who is not the executor is not heard, and who is not expected is sent away.
#[test]
fn others_do_not_speak_for_a_v0_executor() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("raw impostors"));
    let mut executor = launched(&cluster, &mut scheduler);
    let mut other = Executor {
        pid: String::new(),
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        out: executor.out.try_clone().unwrap(),
        framework_id: executor.framework_id.clone(),
        agent_id: executor.agent_id.clone(),
        updates: 100,
    };
    other.pid = format!("executor(1)@{}", other.listener.local_addr().unwrap());
    let mut away = other.register("nobody");
    assert!(matches!(heard(&mut away), Message::ShutdownExecutor(_)));

    let mut link = executor.register(NAME);
    assert!(matches!(heard(&mut link), Message::ExecutorRegistered(_)));
    assert!(matches!(heard(&mut link), Message::RunTask(_)));
    let mut away = other.register(NAME);
    assert!(matches!(heard(&mut away), Message::ShutdownExecutor(_)), "there is one already");
    let lie = other.update("one", TaskState::TaskFailed);
    other.say(lie);
    other.say(other.message(b"lie"));

    // On the same connection, so that the agent has read all of it by then.
    executor.say(executor.message(b"truth"));
    assert_eq!(scheduler.next("MESSAGE")["message"]["data"], base64(b"truth"));
    let running = executor.update("one", TaskState::TaskRunning);
    executor.say(running.clone());
    acknowledged(heard(&mut link), &running);
    assert_eq!(scheduler.status("one")["state"], "TASK_RUNNING");
}
