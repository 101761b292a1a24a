//! The executor driver.

use std::time::Duration;

use super::{address, agent};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::base::uuid::numbered;
use crate::driver::core::{Core, Effect, Event, Status, executor};
use crate::proto::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, FrameworkToExecutorMessage, KillTaskMessage,
    ReconnectExecutorMessage, RunTaskMessage, ShutdownExecutorMessage, StatusUpdateAcknowledgementMessage,
};
use crate::proto::{Message, TaskInfo, TaskStatus};

struct Executor {
    state: executor::State,
    now: Time,
}

type Done = Vec<Effect<executor::Callback>>;

impl Executor {
    fn started(recovery: Option<Duration>) -> Executor {
        let mut state = executor::State::new(executor::Config {
            agent: agent(),
            agent_id: "s".into(),
            framework_id: "f".into(),
            executor_id: "e".into(),
            recovery,
            grace: Some(Duration::from_secs(5)),
            pid: Upid::new("executor-1", address(9)),
            seed: 7,
        });
        let mut out = vec![];
        assert_eq!(state.start(&mut out), Status::Running);
        assert!(matches!(
            &out[..],
            [Effect::Link(_), Effect::Send { message: Message::RegisterExecutor(_), .. }]
        ));
        Executor { state, now: Time::ZERO }
    }

    fn registered(recovery: Option<Duration>) -> Executor {
        let mut executor = Executor::started(recovery);
        let told = executor.hear(ExecutorRegisteredMessage { agent_id: "s".into(), ..Default::default() });
        assert!(matches!(&told[..], [Effect::Tell(executor::Callback::Registered(_))]), "{told:?}");
        executor
    }

    fn event(&mut self, event: Event) -> Done {
        let mut out = vec![];
        self.state.handle(self.now, event, &mut out);
        out
    }

    fn hear(&mut self, message: impl Into<Message>) -> Done {
        self.event(Event::Received { from: Some(agent()), message: Box::new(message.into()) })
    }

    /// Sends an update; gives its uuid.
    fn update(&mut self, task: &str) -> bytes::Bytes {
        let mut out = vec![];
        let status = TaskStatus { task_id: task.into(), ..TaskStatus::default() };
        assert_eq!(self.state.send_status_update(self.now, status, &mut out), Status::Running);
        let [Effect::Send { to, message: Message::StatusUpdate(sent), .. }] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!((to, sent.pid.as_deref()), (&agent(), Some("executor-1@127.0.0.1:9")));
        let uuid = sent.update.uuid.clone().expect("a uuid");
        assert!(crate::base::uuid::is_uuid(&uuid) && sent.update.status.uuid.as_ref() == Some(&uuid));
        assert_eq!(sent.update.status.agent_id, Some("s".into()));
        uuid
    }

    fn acknowledge(&mut self, task: &str, uuid: bytes::Bytes) {
        let (agent_id, framework_id, task_id) = ("s".into(), "f".into(), task.into());
        let done = self.hear(StatusUpdateAcknowledgementMessage { agent_id, framework_id, task_id, uuid });
        assert_eq!(done, []);
    }

    /// What it tells an agent that asks: its tasks, and how many updates.
    fn reconnect(&mut self) -> (Vec<String>, usize) {
        let done = self.hear(ReconnectExecutorMessage { agent_id: "s".into() });
        let [Effect::Relink(_), Effect::Send { message: Message::ReregisterExecutor(it), .. }] = &done[..]
        else {
            panic!("{done:?}")
        };
        (it.tasks.iter().map(|task| task.task_id.value.clone()).collect(), it.updates.len())
    }
}

fn run(task: &str) -> RunTaskMessage {
    let task = TaskInfo { task_id: task.into(), ..TaskInfo::default() };
    RunTaskMessage { task, ..Default::default() }
}

#[test]
fn tasks_and_messages_are_handed_over() {
    use executor::Callback as Told;
    let mut executor = Executor::started(None);
    assert_eq!(executor.hear(run("early")), []);
    let mut executor = Executor::registered(None);
    assert!(matches!(&executor.hear(run("t"))[..], [Effect::Tell(Told::Launch(_))]));
    assert_eq!(executor.hear(run("t")), [], "once");
    let message = FrameworkToExecutorMessage {
        agent_id: "s".into(),
        framework_id: "f".into(),
        executor_id: "e".into(),
        data: "hi".into(),
    };
    assert_eq!(executor.hear(message), [Effect::Tell(Told::Message("hi".into()))]);
    let kill = KillTaskMessage { framework_id: "f".into(), task_id: "t".into(), kill_policy: None };
    assert_eq!(executor.hear(kill), [Effect::Tell(Told::Kill("t".into()))]);
}

#[test]
fn what_is_not_acknowledged_is_told_again() {
    let mut executor = Executor::registered(Some(Duration::from_secs(60)));
    executor.hear(run("one"));
    executor.hear(run("two"));
    let (first, second) = (executor.update("one"), executor.update("two"));
    assert_ne!(first, second);
    assert_eq!(executor.reconnect(), (vec!["one".into(), "two".into()], 2));
    executor.acknowledge("one", first);
    executor.acknowledge("one", numbered(3));
    assert_eq!(executor.reconnect(), (vec!["two".into()], 1));
}

#[test]
fn an_agent_that_went_away_is_waited_for_with_checkpoints() {
    let timeout = Duration::from_secs(60);
    let mut executor = Executor::registered(Some(timeout));
    let away = executor.event(Event::Exited(agent().address));
    let [Effect::Wake { at, timer }, Effect::Tell(executor::Callback::Disconnected)] = &away[..] else {
        panic!("{away:?}")
    };
    assert_eq!(*at, executor.now + timeout);
    executor.reconnect();
    executor.hear(ExecutorReregisteredMessage { agent_id: "s".into(), ..Default::default() });
    assert_eq!(executor.event(Event::Timer(timer.clone())), [], "it is back");

    let away = executor.event(Event::Exited(agent().address));
    let [Effect::Wake { timer, .. }, _] = &away[..] else { panic!("{away:?}") };
    is_shut_down(&executor.event(Event::Timer(timer.clone())));
}

fn is_shut_down(done: &Done) {
    let after = Duration::from_secs(5);
    assert_eq!(*done, [Effect::KillGroup { after }, Effect::Tell(executor::Callback::Shutdown)]);
}

#[test]
fn without_checkpoints_the_agents_end_is_the_executors() {
    let mut executor = Executor::registered(None);
    assert_eq!(executor.event(Event::Exited(address(1))), []);
    is_shut_down(&executor.event(Event::Exited(agent().address)));
}

#[test]
fn after_shutdown_nothing_is_heard_but_updates_leave() {
    let mut executor = Executor::registered(None);
    is_shut_down(&executor.hear(ShutdownExecutorMessage::default()));
    assert_eq!(executor.hear(run("late")), []);
    executor.update("t");
    assert_eq!((executor.state.stop(), executor.state.stop()), (Status::Stopped, Status::Stopped));
}
