//! Whole walks through the core: what comes in, what goes out, and that the invariants hold throughout.

mod recovery;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::invariants::check;
use super::state::{Config, ExecutorPhase, Phase, ReconfigurationPolicy, Recover};
use super::{Answer, Effect, Effects, Event, Leader, ReplyId, State, Timer};
use crate::agent::containerizer::{Exit, Launch, Report};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    self, KillTaskMessage, PingSlaveMessage, RunTaskMessage, ShutdownFrameworkMessage,
    SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdate, StatusUpdateAcknowledgementMessage,
};
use crate::proto::message::Message;
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    AgentInfo, CommandInfo, ContainerId, ExecutorInfo, FrameworkInfo, TaskGroupInfo, TaskInfo, TaskState,
    TaskStatus, executor, framework_info,
};

/// A core, its clock, and what it last did.
struct World {
    state: State,
    now: Time,
    out: Effects,
    replies: u64,
}

const MASTER: &str = "master@10.0.0.1:5050";

fn pid(text: &str) -> Upid {
    text.parse().unwrap()
}

fn config() -> Config {
    Config {
        pid: pid("slave(1)@10.0.0.2:5051"),
        work_dir: "/work".into(),
        binary: "/bin/mesos".into(),
        launcher_dir: "/libexec".to_owned(),
        default_executor_flags: vec![],
        switch_user: true,
        bounds_cpus: false,
        bounds_mem: false,
        registration_backoff: Duration::from_secs(1),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_reregistration_retry_interval: None,
        recovery_timeout: Duration::from_secs(900),
        checkpoint: true,
        recover: Recover::Reconnect,
        reconfiguration_policy: ReconfigurationPolicy::Equal,
        executor_environment: BTreeMap::new(),
        max_completed_executors_per_framework: 150,
    }
}

fn framework() -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: "f".to_owned(),
        id: Some("F".into()),
        ..FrameworkInfo::default()
    }
}

fn aware() -> FrameworkInfo {
    let kind = Some(framework_info::capability::Type::PartitionAware as i32);
    FrameworkInfo { capabilities: vec![framework_info::Capability { r#type: kind }], ..framework() }
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: "A".into(),
        command: Some(CommandInfo { value: Some("sleep 9".to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn with_executor(id: &str, executor: &str) -> TaskInfo {
    let command = Some(CommandInfo { value: Some("./run".to_owned()), ..CommandInfo::default() });
    let executor = ExecutorInfo { executor_id: executor.into(), command, ..ExecutorInfo::default() };
    TaskInfo { command: None, executor: Some(executor), ..task(id) }
}

impl World {
    fn new() -> World {
        let info = AgentInfo { hostname: "h".to_owned(), ..AgentInfo::default() };
        let state = State::new(config(), info, Time(0), 7);
        World { state, now: Time(1_000_000_000), out: Vec::new(), replies: 0 }
    }

    /// Registered as agent A.
    fn registered() -> World {
        let mut world = World::new();
        world.event(Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: "m".to_owned() })));
        world.fire(|timer| matches!(timer, Timer::Register { .. }));
        world.master(SlaveRegisteredMessage { agent_id: "A".into(), connection: None });
        assert_eq!(world.state.node.phase, Phase::Running);
        world
    }

    fn event(&mut self, event: Event) {
        self.out.clear();
        self.state.handle(self.now, event, &mut self.out);
        check(&self.state).unwrap();
    }

    fn master(&mut self, message: impl Into<Message>) {
        self.message(MASTER, "10.0.0.1:40000", message);
    }

    fn message(&mut self, from: &str, peer: &str, message: impl Into<Message>) {
        let message = Box::new(message.into());
        self.event(Event::Message { from: pid(from), peer: peer.parse().unwrap(), message });
    }

    /// Fires a timer that the last event asked for.
    fn fire(&mut self, wanted: impl Fn(&Timer) -> bool) {
        let found = self.out.iter().find_map(|effect| match effect {
            Effect::Wake { at, timer } if wanted(timer) => Some((*at, timer.clone())),
            _ => None,
        });
        let (at, timer) = found.unwrap_or_else(|| panic!("no such timer in {:?}", self.out));
        self.now = self.now.max(at);
        self.event(Event::Timer(timer));
    }

    fn sent(&self) -> Vec<&Message> {
        fn sent(effect: &Effect) -> Option<&Message> {
            match effect {
                Effect::Send { message, .. } => Some(message),
                _ => None,
            }
        }
        self.out.iter().filter_map(sent).collect()
    }

    fn launch(&self) -> &Launch {
        fn launch(effect: &Effect) -> Option<&Launch> {
            match effect {
                Effect::Launch(launch) => Some(launch),
                _ => None,
            }
        }
        self.out.iter().find_map(launch).unwrap_or_else(|| panic!("no launch in {:?}", self.out))
    }

    fn updates(&self) -> Vec<&StatusUpdate> {
        fn update(message: &Message) -> Option<&StatusUpdate> {
            match message {
                Message::StatusUpdate(message) => Some(&message.update),
                _ => None,
            }
        }
        self.sent().into_iter().filter_map(update).collect()
    }

    /// What executors are told, by type.
    fn events(&self) -> Vec<executor::event::Type> {
        let told = |effect: &Effect| match effect {
            Effect::Stream { event, .. } => Some(event.r#type()),
            _ => None,
        };
        self.out.iter().filter_map(told).collect()
    }

    fn answer(&self) -> &Answer {
        fn answer(effect: &Effect) -> Option<&Answer> {
            match effect {
                Effect::Reply { answer, .. } => Some(answer),
                _ => None,
            }
        }
        self.out.iter().find_map(answer).expect("an answer")
    }

    fn run(&mut self, framework: FrameworkInfo, task: TaskInfo) {
        self.master(RunTaskMessage { framework, task, ..RunTaskMessage::default() });
    }

    /// Runs a task and says its container is up.
    fn run_launched(&mut self, framework: FrameworkInfo, task: TaskInfo) -> ContainerId {
        self.run(framework, task);
        let container = self.launch().container.clone();
        self.event(Event::Report(Report::Launched { container: container.clone(), pid: 42 }));
        container
    }

    fn subscribe(&mut self, executor: &str, stream: &str, subscribe: executor::call::Subscribe) {
        self.replies += 1;
        let call = executor::Call {
            executor_id: executor.into(),
            framework_id: "F".into(),
            r#type: Some(executor::call::Type::Subscribe as i32),
            subscribe: Some(subscribe),
            ..executor::Call::default()
        };
        let (reply, stream) = (ReplyId(self.replies), stream.into());
        self.event(Event::Subscribe { reply, stream, call: Box::new(call) });
    }

    fn update(&mut self, executor: &str, task: &str, state: TaskState, uuid: u8) {
        self.replies += 1;
        let call = executor::Call {
            executor_id: executor.into(),
            framework_id: "F".into(),
            r#type: Some(executor::call::Type::Update as i32),
            update: Some(executor::call::Update { status: status(task, state, uuid) }),
            ..executor::Call::default()
        };
        self.event(Event::Call { reply: ReplyId(self.replies), call: Box::new(call) });
    }

    fn acknowledge(&mut self, task: &str, uuid: Bytes) {
        self.master(StatusUpdateAcknowledgementMessage {
            agent_id: "A".into(),
            framework_id: "F".into(),
            task_id: task.into(),
            uuid,
        });
    }
}

fn status(task: &str, state: TaskState, uuid: u8) -> TaskStatus {
    TaskStatus {
        task_id: task.into(),
        state: state as i32,
        source: Some(Source::Executor as i32),
        uuid: Some(bytes(uuid)),
        ..TaskStatus::default()
    }
}

fn bytes(byte: u8) -> Bytes {
    crate::base::uuid::numbered(byte)
}

use executor::event::Type::{Acknowledged, Kill, Launch as LaunchEvent, LaunchGroup, Shutdown, Subscribed};

#[test]
fn registers_with_growing_waits_and_pongs() {
    let mut world = World::new();
    world.event(Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: String::new() })));
    assert!(world.sent().is_empty());
    for _ in 0..10 {
        let before = world.now;
        world.fire(|timer| matches!(timer, Timer::Register { .. }));
        assert!(world.now.since(before) <= Duration::from_secs(60));
        assert!(matches!(world.out[0], Effect::Link(_)));
        assert!(matches!(world.sent()[..], [Message::RegisterAgent(_)]));
    }
    // Only the leader is believed, and only from its address.
    let registered = SlaveRegisteredMessage { agent_id: "A".into(), connection: None };
    world.message("master@10.0.0.9:5050", "10.0.0.9:1", registered.clone());
    world.message(MASTER, "10.0.0.9:1", registered.clone());
    world.message(MASTER, "127.0.0.1:1", registered.clone());
    assert_eq!(world.state.node.phase, Phase::Disconnected);
    world.master(registered);
    assert_eq!(world.state.node.phase, Phase::Running);
    assert!(matches!(world.sent()[..], [Message::UpdateAgent(_)]));

    world.message("slave-observer(3)@10.0.0.1:5050", "10.0.0.1:9", PingSlaveMessage { connected: true });
    assert!(matches!(&world.out[0], Effect::Send { to, message }
        if to.id.as_ref() == "slave-observer(3)" && matches!(**message, Message::PongAgent(_))));
    world.fire(|timer| matches!(timer, Timer::Ping { .. }));
    assert!(matches!(world.out[..], [Effect::Detect]));
    assert_eq!(world.state.node.phase, Phase::Disconnected);
}

#[test]
fn another_agents_id_ends_nothing() {
    let mut world = World::registered();
    world.master(SlaveRegisteredMessage { agent_id: "B".into(), connection: None });
    assert_eq!(world.state.node.id(), "A".into());
    world.fire(|timer| matches!(timer, Timer::Register { .. }));
    assert!(matches!(world.sent()[..], [Message::ReregisterAgent(_)]));
    let reregistered = SlaveReregisteredMessage { agent_id: "B".into(), ..Default::default() };
    world.master(reregistered.clone());
    assert_eq!(world.state.node.phase, Phase::Disconnected);
    world.master(SlaveReregisteredMessage { agent_id: "A".into(), ..reregistered });
    assert_eq!(world.state.node.phase, Phase::Running);
}

#[test]
fn a_command_task_from_launch_to_end() {
    let mut world = World::registered();
    let container = world.run_launched(framework(), task("t"));
    assert!(world.sent().is_empty());
    let executor = world.state.node.executor(&"F".into(), &"t".into()).unwrap();
    assert_eq!(executor.phase, ExecutorPhase::Registering);
    assert!(executor.generated);

    world.subscribe("t", "s1", executor::call::Subscribe::default());
    assert_eq!(*world.answer(), Answer::Subscribed);
    assert_eq!(world.events(), [Subscribed, LaunchEvent]);
    world.update("t", "t", TaskState::TaskRunning, 1);
    assert_eq!(*world.answer(), Answer::Accepted);
    assert_eq!(world.events(), [Acknowledged]);
    let update = world.updates()[0].clone();
    assert_eq!(update.latest_state, Some(TaskState::TaskRunning as i32));
    let container_status = update.status.container_status.unwrap();
    assert_eq!(container_status.executor_pid, Some(42));
    assert_eq!(container_status.container_id.as_ref(), Some(&container));
    assert_eq!(container_status.network_infos[0].ip_addresses[0].ip_address.as_deref(), Some("10.0.0.2"));

    // The second waits for the first to be acknowledged, and the first says already what is latest.
    world.update("t", "t", TaskState::TaskFinished, 2);
    assert!(world.updates().is_empty());
    world.acknowledge("t", bytes(1));
    assert_eq!(world.updates()[0].uuid, Some(bytes(2)));
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Code(0) }));
    assert!(world.sent().is_empty());
    world.acknowledge("t", bytes(2));
    assert!(world.state.node.frameworks.is_empty());
    let past = &world.state.node.completed_frameworks[0].completed_executors[0];
    assert_eq!(past.completed_tasks[0].state, TaskState::TaskFinished as i32);
}

#[test]
fn the_environment_is_that_of_mesos() {
    let mut world = World::registered();
    world.run(framework(), task("t"));
    let launch = world.launch();
    assert_eq!(launch.environment["MESOS_CHECKPOINT"], "0");
    assert_eq!(launch.command.arguments[0], "mesos-executor");
    assert_eq!(launch.user.as_deref(), Some("root"));
    let directory = launch.directory.to_string_lossy();
    let names: Vec<_> = launch.environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "LIBPROCESS_PORT",
            "MESOS_AGENT_ENDPOINT",
            "MESOS_CHECKPOINT",
            "MESOS_DIRECTORY",
            "MESOS_EXECUTOR_ID",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
            "MESOS_FRAMEWORK_ID",
            "MESOS_HTTP_COMMAND_EXECUTOR",
            "MESOS_SANDBOX",
            "MESOS_SLAVE_ID",
            "MESOS_SLAVE_PID",
            "PATH"
        ]
    );
    assert_eq!(launch.environment["MESOS_SANDBOX"], directory);
    assert_eq!(launch.environment["MESOS_SLAVE_PID"], "slave(1)@10.0.0.2:5051");
    assert_eq!(launch.environment["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"], "5secs");
}

#[test]
fn a_message_that_comes_twice_runs_nothing_twice() {
    let mut world = World::registered();
    let run = |offer: &str| RunTaskMessage {
        framework: framework(),
        task: with_executor("t", "e"),
        offer_id: Some(offer.into()),
        ..RunTaskMessage::default()
    };
    world.master(run("O1"));
    let container = world.launch().container.clone();
    world.event(Event::Report(Report::Launched { container, pid: 1 }));
    world.subscribe("e", "s1", executor::call::Subscribe::default());
    world.update("e", "t", TaskState::TaskFinished, 1);
    world.acknowledge("t", bytes(1));
    world.master(run("O1"));
    assert!(world.out.is_empty());
    let kill =
        KillTaskMessage { framework_id: "F".into(), task_id: "t".into(), ..KillTaskMessage::default() };
    world.master(kill);
    assert!(world.out.is_empty(), "its scheduler knows that it has ended");
    // The same id on another offer is another launch.
    world.master(run("O2"));
    assert_eq!(world.events(), [LaunchEvent]);
}

#[test]
fn messages_go_both_ways() {
    for (pid, to) in [("@0.0.0.0:0", MASTER), ("scheduler-1@10.0.0.3:7", "scheduler-1@10.0.0.3:7")] {
        let mut world = World::registered();
        let task = with_executor("t", "e");
        let run =
            RunTaskMessage { framework: framework(), task, pid: Some(pid.to_owned()), ..Default::default() };
        world.master(run);
        world.subscribe("e", "s1", executor::call::Subscribe::default());
        let message = internal::FrameworkToExecutorMessage {
            agent_id: "A".into(),
            framework_id: "F".into(),
            executor_id: "e".into(),
            data: Bytes::from_static(b"hi"),
        };
        world.message("scheduler-1@10.0.0.9:7", "10.0.0.9:1", message.clone());
        assert!(world.out.is_empty(), "a stranger");
        world.master(message);
        assert_eq!(world.events(), [executor::event::Type::Message]);
        let call = executor::Call {
            executor_id: "e".into(),
            framework_id: "F".into(),
            r#type: Some(executor::call::Type::Message as i32),
            message: Some(executor::call::Message { data: Bytes::from_static(b"ho") }),
            ..executor::Call::default()
        };
        world.event(Event::Call { reply: ReplyId(9), call: Box::new(call) });
        assert!(
            matches!(&world.out[0], Effect::Send { to: went, .. } if went.to_string() == to),
            "{:?}",
            world.out
        );
    }
}

#[test]
fn an_executor_that_dies_takes_its_tasks_along() {
    let mut world = World::registered();
    let container = world.run_launched(framework(), with_executor("t1", "e"));
    world.subscribe("e", "s1", executor::call::Subscribe::default());
    world.run(framework(), with_executor("t2", "e"));
    assert_eq!(world.events(), [LaunchEvent]);
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Signal(11) }));
    let told: Vec<_> = world.updates().iter().map(|update| update.status.clone()).collect();
    assert_eq!(told.len(), 2);
    for status in told {
        assert_eq!(status.state(), TaskState::TaskFailed);
        assert_eq!(status.reason(), Reason::ExecutorTerminated);
        assert_eq!(status.message.as_deref(), Some("Executor terminated"));
        world.acknowledge(&status.task_id.value, status.uuid.unwrap());
    }
    assert!(world.state.node.frameworks.is_empty());
}

#[test]
fn exits_of_custom_executors_are_told() {
    let mut world = World::registered();
    let container = world.run_launched(framework(), with_executor("t", "e"));
    world.subscribe("e", "s1", executor::call::Subscribe::default());
    world.update("e", "t", TaskState::TaskFinished, 1);
    world.acknowledge("t", bytes(1));
    // An executor without tasks lives on.
    assert_eq!(world.state.node.executor(&"F".into(), &"e".into()).unwrap().phase, ExecutorPhase::Running);
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Code(3) }));
    assert!(matches!(world.sent()[..], [Message::ExitedExecutor(exited)] if exited.status == 3 << 8));
    assert!(world.state.node.frameworks.is_empty());
}

#[test]
fn a_failed_fetch_fails_the_task() {
    let mut world = World::registered();
    world.run(aware(), task("t"));
    let container = world.launch().container.clone();
    let (reason, message) = (Reason::ContainerLaunchFailed, "no such file".to_owned());
    world.event(Event::Report(Report::Failed { container, reason, message }));
    let status = &world.updates()[0].status;
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert_eq!(status.reason(), Reason::ContainerLaunchFailed);
    assert_eq!(status.message.as_deref(), Some("Failed to launch container: no such file"));
}

#[test]
fn an_executor_that_never_registers_is_destroyed() {
    let mut world = World::registered();
    world.run(framework(), task("t"));
    let container = world.launch().container.clone();
    world.fire(|timer| matches!(timer, Timer::ExecutorRegistration { .. }));
    assert!(matches!(&world.out[..], [Effect::Destroy(id)] if *id == container));
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Destroyed }));
    let status = &world.updates()[0].status;
    assert_eq!(status.reason(), Reason::ExecutorRegistrationTimeout);
    assert_eq!(status.message.as_deref(), Some("Executor did not register within 1mins"));
}

#[test]
fn kills() {
    let kill = |task: &str| KillTaskMessage {
        framework_id: "F".into(),
        task_id: task.into(),
        ..KillTaskMessage::default()
    };
    let mut world = World::registered();
    world.master(kill("t"));
    assert!(world.sent().is_empty(), "an unknown framework's scheduler is the master's to tell");
    let container = world.run_launched(aware(), task("t"));
    world.master(kill("u"));
    assert_eq!(world.updates()[0].status.state(), TaskState::TaskDropped);
    let uuid = world.updates()[0].uuid.clone().unwrap();
    world.acknowledge("u", uuid);

    // Queued: the executor never hears of it, and ends when it comes.
    world.master(kill("t"));
    let status = world.updates()[0].status.clone();
    assert_eq!(status.state(), TaskState::TaskKilled);
    assert_eq!(status.reason(), Reason::TaskKilledDuringLaunch);
    assert_eq!(status.message.as_deref(), Some("Killed before delivery to the executor"));
    world.acknowledge("t", status.uuid.unwrap());
    world.subscribe("t", "s1", executor::call::Subscribe::default());
    assert_eq!(world.events(), [Shutdown]);
    world.fire(|timer| matches!(timer, Timer::ExecutorShutdown { .. }));
    assert!(matches!(&world.out[..], [Effect::Destroy(id)] if *id == container));

    // Launched: the executor's to do, at once or when it is back.
    world.run_launched(aware(), with_executor("v", "e"));
    world.subscribe("e", "s2", executor::call::Subscribe::default());
    world.master(kill("v"));
    assert_eq!(world.events(), [Kill]);
    world.update("e", "v", TaskState::TaskRunning, 1);
    world.event(Event::StreamClosed("s2".into()));
    world.master(kill("v"));
    assert!(world.out.is_empty());
    world.subscribe("e", "s3", executor::call::Subscribe::default());
    assert_eq!(world.events(), [Subscribed, Kill]);
}

#[test]
fn a_group_is_sent_and_killed_whole() {
    let group = |ids: [&str; 2]| internal::RunTaskGroupMessage {
        framework: framework(),
        executor: with_executor("", "e").executor.unwrap(),
        task_group: TaskGroupInfo { tasks: ids.iter().map(|id| with_executor(id, "e")).collect() },
        ..Default::default()
    };
    let mut world = World::registered();
    world.master(group(["a", "b"]));
    let container = world.launch().container.clone();
    world.event(Event::Report(Report::Launched { container, pid: 1 }));
    world.master(group(["c", "d"]));
    world.master(KillTaskMessage { framework_id: "F".into(), task_id: "c".into(), ..Default::default() });
    assert_eq!(world.updates().len(), 2);
    world.subscribe("e", "s1", executor::call::Subscribe::default());
    assert_eq!(world.events(), [Subscribed, LaunchGroup]);
}

#[test]
fn the_masters_idea_of_executors_is_kept() {
    let mut world = World::registered();
    let run = |launch_executor| RunTaskMessage {
        framework: aware(),
        task: with_executor("t", "e"),
        launch_executor: Some(launch_executor),
        ..RunTaskMessage::default()
    };
    world.master(run(false));
    assert_eq!(world.updates()[0].status.state(), TaskState::TaskDropped);
    let uuid = world.updates()[0].uuid.clone().unwrap();
    world.acknowledge("t", uuid);
    world.master(run(true));
    world.launch();
    let mut second = run(true);
    second.task.task_id = "t2".into();
    world.master(second);
    let message = world.updates()[0].status.message.clone();
    assert_eq!(message.as_deref(), Some("Master wants to launch executor, but one already exists"));
}

#[test]
fn what_cannot_run_here_is_refused() {
    let mut world = World::registered();
    world.run(framework(), TaskInfo { task_id: "../t".into(), ..task("t") });
    assert_eq!(world.updates()[0].status.state(), TaskState::TaskLost);
    world.run(framework(), TaskInfo { agent_id: "B".into(), ..task("t") });
    assert!(world.out.is_empty());
    world.run(framework(), TaskInfo { executor: with_executor("t", "e").executor, ..task("t2") });
    assert_eq!(world.updates()[0].status.reason(), Reason::TaskInvalid);
    world.run(FrameworkInfo { id: Some("/".into()), ..framework() }, task("t"));
    assert!(world.out.is_empty());
    // A task that is here already is not run again.
    world.run(framework(), task("t"));
    world.launch();
    world.run(framework(), task("t"));
    assert!(world.out.is_empty());
}

#[test]
fn a_lost_stream_loses_no_task() {
    let mut world = World::registered();
    world.run_launched(framework(), with_executor("a", "e"));
    world.subscribe("e", "s1", executor::call::Subscribe::default());
    world.event(Event::StreamClosed("s1".into()));
    world.run(framework(), with_executor("b", "e"));
    assert!(world.events().is_empty());
    // `a` was sent and never arrived; the update of `c` cannot be told from one that did.
    let again = executor::call::Subscribe {
        unacknowledged_updates: vec![executor::call::Update {
            status: status("c", TaskState::TaskRunning, 9),
        }],
        ..Default::default()
    };
    world.subscribe("e", "s2", again);
    assert_eq!(world.events(), [Acknowledged, Subscribed, LaunchEvent]);
    let lost = world.updates().into_iter().find(|update| update.status.task_id == "a".into()).unwrap();
    assert_eq!(lost.status.state(), TaskState::TaskLost);
    assert_eq!(lost.status.reason(), Reason::AgentRestarted);
    // A second stream takes the place of the first.
    world.subscribe("e", "s3", executor::call::Subscribe::default());
    assert!(world.out.iter().any(|effect| matches!(effect, Effect::CloseStream(id) if id.as_ref() == "s2")));
}

#[test]
fn updates_wait_while_there_is_no_master() {
    let mut world = World::registered();
    world.run_launched(framework(), task("t"));
    world.subscribe("t", "s1", executor::call::Subscribe::default());
    world.event(Event::Exited("10.0.0.1:5050".parse::<SocketAddr>().unwrap()));
    assert_eq!(world.state.node.phase, Phase::Disconnected);
    world.update("t", "t", TaskState::TaskRunning, 1);
    assert!(world.updates().is_empty());
    assert_eq!(world.events(), [Acknowledged]);

    world.event(Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: String::new() })));
    world.fire(|timer| matches!(timer, Timer::Register { .. }));
    let [Message::ReregisterAgent(message)] = world.sent()[..] else { panic!("{:?}", world.out) };
    assert_eq!(message.tasks[0].state, TaskState::TaskRunning as i32);
    assert_eq!(message.frameworks[0].id, Some("F".into()));
    assert!(message.executor_infos.is_empty(), "made here, so not the master's to keep");

    let unknown = internal::ReconcileTasksMessage {
        framework_id: "G".into(),
        statuses: vec![TaskStatus { task_id: "x".into(), ..TaskStatus::default() }],
        framework: Some(aware()),
    };
    let reconciliations = vec![unknown];
    world.master(SlaveReregisteredMessage { agent_id: "A".into(), reconciliations, ..Default::default() });
    let states: Vec<_> = world.updates().iter().map(|update| update.status.state()).collect();
    assert_eq!(states, [TaskState::TaskRunning, TaskState::TaskDropped]);
}

#[test]
fn a_framework_that_ends_is_not_asked_for_acknowledgements() {
    let mut world = World::registered();
    let container = world.run_launched(framework(), task("t"));
    world.subscribe("t", "s1", executor::call::Subscribe::default());
    world.update("t", "t", TaskState::TaskRunning, 1);
    world.master(ShutdownFrameworkMessage { framework_id: "F".into() });
    assert_eq!(world.events(), [Shutdown]);
    world.update("t", "t", TaskState::TaskKilled, 2);
    assert!(world.updates().is_empty());
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Code(0) }));
    assert!(world.updates().is_empty());
    assert!(world.state.node.frameworks.is_empty());
}

/// A master answers a re-registration with the end of what is over, and one may overtake the other.
#[test]
fn a_framework_ends_while_the_agent_registers_again() {
    let mut world = World::registered();
    world.run_launched(framework(), task("t"));
    world.subscribe("t", "s1", executor::call::Subscribe::default());
    world.event(Event::Exited("10.0.0.1:5050".parse::<SocketAddr>().unwrap()));
    assert_eq!(world.state.node.phase, Phase::Disconnected);
    world.master(ShutdownFrameworkMessage { framework_id: "F".into() });
    assert_eq!(world.events(), [Shutdown]);
}

#[test]
fn a_shutdown_waits_for_the_executors() {
    let mut world = World::registered();
    let container = world.run_launched(framework(), task("t"));
    world.message("master@10.9.9.9:1", "10.9.9.9:1", internal::ShutdownMessage::default());
    assert_eq!(world.state.node.phase, Phase::Running);
    world.master(internal::ShutdownMessage { message: Some("gone".to_owned()) });
    assert!(!world.out.iter().any(|effect| matches!(effect, Effect::Exit(_))));
    world.event(Event::Report(Report::Terminated { container, exit: Exit::Code(0) }));
    // Not before the next agent would not find this one.
    let Some(Effect::Checkpoint { then: Some(then), .. }) = world.out.pop() else {
        panic!("{:?}", world.out)
    };
    world.event(Event::Saved(then));
    assert!(matches!(&world.out[..], [Effect::Exit(_)]));
}

#[test]
fn calls_that_mean_nothing_are_answered_as_mesos_answers() {
    let mut world = World::registered();
    world.update("e", "t", TaskState::TaskRunning, 1);
    assert_eq!(*world.answer(), Answer::BadRequest("Framework cannot be found".to_owned()));
    world.run(framework(), task("t"));
    world.update("e", "t", TaskState::TaskRunning, 1);
    assert_eq!(*world.answer(), Answer::BadRequest("Executor cannot be found".to_owned()));
    world.update("t", "t", TaskState::TaskRunning, 1);
    assert_eq!(*world.answer(), Answer::Forbidden("Executor is not subscribed".to_owned()));
    let mut call = executor::Call { executor_id: "t".into(), framework_id: "F".into(), ..Default::default() };
    let mut refused = |call: &executor::Call| {
        world.event(Event::Call { reply: ReplyId(1), call: Box::new(call.clone()) });
        match world.answer() {
            Answer::BadRequest(why) => {
                why.strip_prefix("Failed to validate Executor::Call: ").unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&call), "Expecting 'type' to be present");
    call.r#type = Some(executor::call::Type::Update as i32);
    assert_eq!(refused(&call), "Expecting 'update' to be present");
    let mut status = status("t", TaskState::TaskStaging, 1);
    status.uuid = None;
    call.update = Some(executor::call::Update { status: status.clone() });
    assert_eq!(refused(&call), "Expecting 'uuid' to be present");
    status.uuid = Some(Bytes::from_static(b"short"));
    call.update = Some(executor::call::Update { status: status.clone() });
    assert_eq!(refused(&call), "Not a valid UUID");
    status.uuid = Some(bytes(1));
    call.update = Some(executor::call::Update { status });
    assert!(refused(&call).starts_with("Received TASK_STAGING from executor t of framework F"));
}

#[test]
fn executors_on_libprocess_run_tasks_too() {
    let mut world = World::registered();
    let executor = "executor(1)@10.0.0.2:7000";
    world.run_launched(framework(), with_executor("t", "e"));
    let register = internal::RegisterExecutorMessage { framework_id: "F".into(), executor_id: "e".into() };
    world.message(executor, "10.0.0.2:1", register.clone());
    assert!(matches!(world.sent()[..], [Message::ExecutorRegistered(_), Message::RunTask(_)]));
    let mut status = status("t", TaskState::TaskRunning, 1);
    status.agent_id = Some("A".into());
    let mut update = StatusUpdate {
        framework_id: "F".into(),
        agent_id: Some("A".into()),
        uuid: status.uuid.clone(),
        status,
        ..StatusUpdate::default()
    };
    let send = |update: &StatusUpdate| internal::StatusUpdateMessage { update: update.clone(), pid: None };
    world.message("executor(1)@10.0.0.2:7001", "10.0.0.2:1", send(&update));
    assert!(world.out.is_empty(), "a stranger");
    world.message(executor, "10.0.0.2:1", send(&update));
    assert!(matches!(world.sent()[..], [Message::StatusUpdate(_), Message::StatusUpdateAcknowledgement(_)]));
    update.uuid = Some(Bytes::from_static(b"no uuid"));
    world.message(executor, "10.0.0.2:1", send(&update));
    assert!(world.out.is_empty());
    world.message(executor, "10.0.0.2:1", register);
    assert!(matches!(world.sent()[..], [Message::ShutdownExecutor(_)]));
}

/// And so is one that comes while this agent, and nobody else, sees no leader.
#[test]
fn a_task_that_overtakes_the_registration_is_asked_for() {
    for cut_off in [false, true] {
        let mut world = World::new();
        let leader = Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: "m".to_owned() }));
        world.event(leader);
        world.fire(|timer| matches!(timer, Timer::Register { .. }));
        if cut_off {
            world.event(Event::LeaderSeen(None));
        }
        world.master(RunTaskMessage { framework: framework(), task: task("t"), ..RunTaskMessage::default() });
        assert!(world.out.is_empty());
        if cut_off {
            world.event(Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: "m".to_owned() })));
            world.fire(|timer| matches!(timer, Timer::Register { .. }));
        }
        is_asked_for(world);
    }
}

fn is_asked_for(mut world: World) {
    for _ in 0..2 {
        // However often the master says so: it believes in a task that is not here.
        world.master(SlaveRegisteredMessage { agent_id: "A".into(), connection: None });
        assert_eq!(world.state.node.phase, Phase::Disconnected);
    }
    world.fire(|timer| matches!(timer, Timer::Register { .. }));
    assert!(matches!(world.sent()[..], [Message::ReregisterAgent(_)]));
    world.master(SlaveReregisteredMessage { agent_id: "A".into(), ..SlaveReregisteredMessage::default() });
    assert_eq!(world.state.node.phase, Phase::Running);
}
