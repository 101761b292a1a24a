//! What is durable before what, and what the next agent makes of it.

use super::*;
use crate::agent::checkpoint::Image;
use crate::agent::containerizer::Survivor;
use crate::agent::core::{Recovered, Refused, Then};
use crate::proto::internal::{ReregisterExecutorMessage, UpdateFrameworkMessage};

fn checkpointed() -> FrameworkInfo {
    FrameworkInfo { checkpoint: Some(true), ..framework() }
}

/// A world with a disk, which takes what is to be kept when it is told to.
struct Kept {
    world: World,
    image: Image,
    waiting: Vec<Effect>,
}

impl std::ops::Deref for Kept {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Kept {
    fn registered() -> Kept {
        let mut kept = Kept { world: World::new(), image: Image::default(), waiting: Vec::new() };
        kept.register();
        kept.flush();
        kept
    }

    fn register(&mut self) {
        let leader = Leader { pid: pid(MASTER), hostname: "m".to_owned() };
        self.event(Event::LeaderSeen(Some(leader)));
        self.world.fire(|timer| matches!(timer, Timer::Register { .. }));
        let message = match self.world.sent()[..] {
            [Message::RegisterAgent(_)] => {
                Message::from(SlaveRegisteredMessage { agent_id: "A".into(), connection: None })
            }
            _ => SlaveReregisteredMessage { agent_id: "A".into(), ..Default::default() }.into(),
        };
        self.with(|world| world.master(message));
        assert_eq!(self.state.node.phase, Phase::Running);
    }

    /// Does something; what is to be kept because of it waits.
    fn with(&mut self, act: impl FnOnce(&mut World)) {
        act(&mut self.world);
        let (waiting, out) = std::mem::take(&mut self.world.out)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Checkpoint { .. }));
        self.world.out = out;
        self.waiting.extend::<Vec<_>>(waiting);
    }

    fn event(&mut self, event: Event) {
        self.with(|world| world.event(event));
    }

    fn run(&mut self, task: TaskInfo) {
        self.with(|world| world.run(checkpointed(), task));
    }

    /// Keeps all that waits; the effects of what followed are together in `out`.
    fn flush(&mut self) {
        let mut all = std::mem::take(&mut self.world.out);
        while !self.waiting.is_empty() {
            for effect in std::mem::take(&mut self.waiting) {
                let Effect::Checkpoint { facts, then } = effect else { continue };
                for fact in facts {
                    let text = format!("{fact:?}");
                    assert!(self.image.apply(fact), "{text}");
                }
                if let Some(then) = then {
                    self.event(Event::Saved(then));
                    all.append(&mut self.world.out);
                }
            }
        }
        self.world.out = all;
    }

    /// A task that runs in an executor which is subscribed, all acknowledged.
    fn running(task: TaskInfo, executor: &str) -> Kept {
        let mut kept = Kept::registered();
        let id = task.task_id.value.clone();
        kept.run(task);
        kept.flush();
        let container = kept.launch().container.clone();
        kept.event(Event::Report(Report::Launched { container, pid: 42 }));
        kept.with(|world| world.subscribe(executor, "s", Default::default()));
        kept.flush();
        kept.with(|world| world.update(executor, &id, TaskState::TaskRunning, 1));
        kept.flush();
        kept.with(|world| world.acknowledge(&id, bytes(1)));
        kept.flush();
        kept
    }

    fn restarted(self) -> Kept {
        self.restarted_with(config(), false)
    }

    /// Killed, with what waited lost, and started again.
    fn restarted_with(self, config: Config, rebooted: bool) -> Kept {
        let recovered = Recovered { image: self.image.clone(), rebooted, errors: 0 };
        let mut out = Vec::new();
        let info = AgentInfo { hostname: "h".to_owned(), ..AgentInfo::default() };
        let now = self.now;
        let state = State::recover(config, info, recovered, now, 8, &mut out).unwrap();
        check(&state).unwrap();
        let mut kept = Kept { world: World { state, now, out: Vec::new(), replies: 100 }, ..self };
        kept.waiting.clear();
        kept.with(|world| world.out = out);
        kept
    }

    fn survivors(&self) -> Vec<Survivor> {
        let found = self.out.iter().find_map(|effect| match effect {
            Effect::Recover(survivors) => Some(survivors.clone()),
            _ => None,
        });
        found.expect("containers are looked for")
    }

    fn detects(&self) -> bool {
        self.out.iter().any(|effect| matches!(effect, Effect::Detect))
    }

    fn executor(&self, id: &str) -> &crate::agent::core::state::Executor {
        self.state.node.executor(&"F".into(), &id.into()).expect("it is here")
    }

    /// All states that the master hears, acknowledging each.
    fn hears(&mut self, task: &str) -> Vec<TaskState> {
        let mut states = Vec::new();
        while let Some(update) =
            self.updates().into_iter().find(|update| update.status.task_id == task.into())
        {
            states.push(update.status.state());
            let uuid = update.uuid.clone().unwrap();
            self.with(|world| world.acknowledge(task, uuid));
            self.flush();
        }
        states
    }
}

#[test]
fn nothing_is_done_before_it_is_durable() {
    let mut kept = Kept::registered();
    kept.run(task("t"));
    assert!(kept.out.is_empty(), "{:?}", kept.out);
    kept.flush();
    let launch = kept.launch().clone();
    assert_eq!(launch.environment["MESOS_CHECKPOINT"], "1");
    assert_eq!(launch.environment["MESOS_RECOVERY_TIMEOUT"], "15mins");
    assert_eq!(launch.environment["MESOS_SUBSCRIPTION_BACKOFF_MAX"], "2secs");
    assert!(launch.meta.starts_with("/work/meta/slaves/A/frameworks/F/executors/t/runs"));
    kept.with(|world| world.subscribe("t", "s", Default::default()));
    assert!(kept.events().is_empty());
    kept.flush();
    assert_eq!(kept.events(), [Subscribed, LaunchEvent]);
    kept.with(|world| world.update("t", "t", TaskState::TaskRunning, 1));
    assert!(kept.events().is_empty() && kept.sent().is_empty());
    // It comes a second time while the first is being written.
    kept.with(|world| world.update("t", "t", TaskState::TaskRunning, 1));
    assert!(kept.events().is_empty() && kept.sent().is_empty());
    kept.with(|world| world.update("t", "t", TaskState::TaskFinished, 2));
    kept.flush();
    assert_eq!(kept.events(), [Acknowledged, Acknowledged]);
    assert_eq!(kept.updates().len(), 1);
    kept.with(|world| world.acknowledge("t", bytes(1)));
    assert!(kept.sent().is_empty(), "the next one waits");
    kept.flush();
    assert_eq!(kept.updates()[0].uuid, Some(bytes(2)));
}

#[test]
fn a_container_that_is_told_to_end_before_it_is_durable_is_not_launched() {
    let mut kept = Kept::registered();
    kept.run(task("t"));
    kept.with(|world| world.master(ShutdownFrameworkMessage { framework_id: "F".into() }));
    kept.flush();
    assert!(kept.out.iter().all(|effect| !matches!(effect, Effect::Launch(_))), "{:?}", kept.out);
    assert!(kept.state.node.frameworks.is_empty());
    assert!(kept.image.frameworks.is_empty());
}

#[test]
fn a_task_runs_on_under_the_next_agent() {
    let mut kept = Kept::running(task("t"), "t").restarted();
    assert_eq!(kept.state.node.id(), "A".into());
    let survivors = kept.survivors();
    assert_eq!(survivors.len(), 1);
    assert!(!kept.detects(), "its executor is waited for");
    assert_eq!(kept.state.node.phase, Phase::Recovering);
    let container = survivors[0].container.clone();
    kept.event(Event::Report(Report::Launched { container: container.clone(), pid: 42 }));
    kept.with(|world| world.subscribe("t", "s2", Default::default()));
    assert_eq!(kept.events(), [Subscribed]);
    assert!(kept.detects());
    kept.register();
    kept.with(|world| world.update("t", "t", TaskState::TaskFinished, 2));
    kept.flush();
    assert_eq!(kept.hears("t"), [TaskState::TaskFinished]);
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Code(0) }));
    kept.flush();
    assert!(kept.image.frameworks.is_empty());
    assert_eq!(kept.image.past_frameworks.len(), 1);
}

#[test]
fn a_re_registration_names_what_was_recovered() {
    let mut kept = Kept::running(with_executor("t", "e"), "e").restarted();
    kept.with(|world| world.subscribe("e", "s2", Default::default()));
    kept.event(Event::LeaderSeen(Some(Leader { pid: pid(MASTER), hostname: "m".to_owned() })));
    kept.with(|world| world.fire(|timer| matches!(timer, Timer::Register { .. })));
    let [Message::ReregisterAgent(message)] = kept.sent()[..] else { panic!("{:?}", kept.out) };
    assert_eq!(message.agent.id, Some("A".into()));
    assert_eq!(message.frameworks[0].id, Some("F".into()));
    assert_eq!(message.executor_infos[0].executor_id, "e".into());
    assert_eq!(message.tasks[0].state, TaskState::TaskRunning as i32);
    assert_eq!(message.tasks[0].status_update_uuid, Some(bytes(1)));
}

#[test]
fn pending_updates_are_sent_again() {
    let mut kept = Kept::running(task("t"), "t");
    kept.with(|world| world.update("t", "t", TaskState::TaskFinished, 2));
    kept.flush();
    assert_eq!(kept.updates().len(), 1);
    let mut kept = kept.restarted();
    let container = kept.survivors()[0].container.clone();
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Unknown }));
    assert!(kept.detects(), "nobody is waited for");
    kept.register();
    assert_eq!(kept.hears("t"), [TaskState::TaskFinished]);
    kept.flush();
    assert!(kept.state.node.frameworks.is_empty() && kept.image.frameworks.is_empty());
}

#[test]
fn what_was_not_durable_comes_from_the_executor_once_more() {
    let mut kept = Kept::running(task("t"), "t");
    kept.with(|world| world.update("t", "t", TaskState::TaskFinished, 2));
    let mut kept = kept.restarted();
    let unacknowledged_updates =
        vec![executor::call::Update { status: status("t", TaskState::TaskFinished, 2) }];
    let subscribe = executor::call::Subscribe { unacknowledged_updates, ..Default::default() };
    kept.with(|world| world.subscribe("t", "s2", subscribe));
    kept.flush();
    assert_eq!(kept.events(), [Subscribed, Acknowledged]);
    kept.register();
    assert_eq!(kept.hears("t"), [TaskState::TaskFinished]);
}

#[test]
fn an_executor_that_was_never_there_gets_its_tasks_from_the_next_agent() {
    let mut kept = Kept::registered();
    kept.run(task("t"));
    kept.flush();
    let mut kept = kept.restarted();
    assert_eq!(kept.executor("t").queued_tasks.len(), 1);
    kept.with(|world| world.subscribe("t", "s", Default::default()));
    assert!(kept.events().is_empty());
    kept.flush();
    assert_eq!(kept.events(), [Subscribed, LaunchEvent]);

    let mut kept = Kept::registered();
    let group = TaskGroupInfo { tasks: vec![task("one"), task("two")] };
    let executor = ExecutorInfo { executor_id: "e".into(), ..ExecutorInfo::default() };
    let message = internal::RunTaskGroupMessage {
        framework: checkpointed(),
        executor,
        task_group: group,
        ..Default::default()
    };
    kept.with(|world| world.master(message));
    kept.flush();
    let mut kept = kept.restarted();
    kept.with(|world| world.subscribe("e", "s", Default::default()));
    kept.flush();
    assert_eq!(kept.events(), [Subscribed, LaunchGroup]);
}

#[test]
fn a_task_that_was_lost_on_its_way_is_told_of() {
    for (framework, state) in [(checkpointed(), TaskState::TaskLost), (aware(), TaskState::TaskDropped)] {
        let framework = FrameworkInfo { checkpoint: Some(true), ..framework };
        let mut kept = Kept::running(with_executor("t", "e"), "e");
        kept.with(|world| world.run(framework.clone(), with_executor("u", "e")));
        kept.flush();
        let changed =
            UpdateFrameworkMessage { framework_id: "F".into(), framework_info: Some(framework), pid: None };
        kept.with(|world| world.master(changed));
        kept.flush();
        let mut kept = kept.restarted();
        kept.with(|world| world.subscribe("e", "s2", Default::default()));
        kept.flush();
        kept.register();
        let [update] = kept.updates()[..] else { panic!("{:?}", kept.out) };
        assert_eq!(update.status.task_id, "u".into());
        assert_eq!(update.status.state(), state);
        assert_eq!(update.status.reason(), Reason::AgentRestarted);
    }
}

#[test]
fn who_does_not_come_back_is_killed() {
    let mut kept = Kept::running(with_executor("t", "e"), "e").restarted();
    let container = kept.survivors()[0].container.clone();
    kept.event(Event::Report(Report::Launched { container: container.clone(), pid: 1 }));
    kept.world.now = kept.now + Duration::from_secs(2);
    kept.event(Event::Timer(Timer::ExecutorReregistration));
    assert!(matches!(&kept.out[0], Effect::Destroy(killed) if *killed == container));
    assert!(kept.detects());
    assert_eq!(kept.state.node.counters.recovery_time, Some(Duration::from_secs(2)));
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Destroyed }));
    kept.flush();
    kept.register();
    let update = kept.updates()[0].clone();
    assert_eq!(update.status.state(), TaskState::TaskLost);
    assert_eq!(update.status.reason(), Reason::ExecutorReregistrationTimeout);
    assert_eq!(update.status.message(), "Executor did not reregister within 2secs");
    assert_eq!(kept.hears("t"), [TaskState::TaskLost]);
}

#[test]
fn who_comes_back_too_late_is_heard_nevertheless() {
    let mut kept = Kept::running(with_executor("t", "e"), "e").restarted();
    let container = kept.survivors()[0].container.clone();
    kept.event(Event::Report(Report::Launched { container: container.clone(), pid: 1 }));
    kept.event(Event::Timer(Timer::ExecutorReregistration));
    let update = executor::call::Update { status: status("t", TaskState::TaskFinished, 9) };
    let subscribe = executor::call::Subscribe { unacknowledged_updates: vec![update], ..Default::default() };
    kept.with(|world| world.subscribe("e", "s2", subscribe));
    assert_eq!(kept.events(), [Shutdown]);
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Destroyed }));
    kept.flush();
    kept.register();
    assert_eq!(kept.hears("t"), [TaskState::TaskFinished]);
}

/// What an earlier process has said may come to the master after what this one says.
#[test]
fn each_process_counts_its_registrations_from_where_no_earlier_one_came() {
    let mut kept = Kept::running(task("t"), "t");
    let mut last = 0;
    for _ in 0..3 {
        kept = kept.restarted();
        kept.with(|world| world.subscribe("t", "s2", Default::default()));
        let leader = Leader { pid: pid(MASTER), hostname: "m".to_owned() };
        kept.event(Event::LeaderSeen(Some(leader)));
        kept.world.fire(|timer| matches!(timer, Timer::Register { .. }));
        let Some(Message::ReregisterAgent(message)) = kept.sent().first().copied() else { panic!() };
        let attempt = message.attempt.unwrap();
        assert!(attempt >> 40 > last >> 40);
        last = attempt;
        kept.flush();
    }
}

#[test]
fn a_reboot_keeps_the_id_and_ends_the_tasks() {
    let mut kept = Kept::running(task("t"), "t").restarted_with(config(), true);
    let container = kept.survivors()[0].container.clone();
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Unknown }));
    kept.flush();
    kept.register();
    assert_eq!(kept.state.node.id(), "A".into());
    let message = kept.updates()[0].status.message().to_owned();
    assert_eq!(message, "Abnormal executor termination: unknown container");
    assert_eq!(kept.hears("t"), [TaskState::TaskFailed]);
}

#[test]
fn another_configuration_needs_another_id() {
    let kept = Kept::running(task("t"), "t");
    let info = AgentInfo { hostname: "other".to_owned(), ..AgentInfo::default() };
    let start = |rebooted| {
        let recovered = Recovered { image: kept.image.clone(), rebooted, errors: 0 };
        let mut out = Vec::new();
        State::recover(config(), info.clone(), recovered, Time(0), 1, &mut out).map(|state| (state, out))
    };
    assert!(matches!(start(false), Err(Refused(why)) if why.contains("Hostname changed from h to other")));
    let (state, out) = start(true).unwrap();
    assert!(state.node.info.id.is_none() && state.node.frameworks.is_empty());
    assert!(
        matches!(&out[..], [Effect::Checkpoint { .. }, Effect::Recover(known), Effect::Detect] if known.is_empty())
    );
}

#[test]
fn cleanup_ends_all_and_then_the_agent() {
    let cleanup = Config { recover: Recover::Cleanup, ..config() };
    let mut kept = Kept::running(task("t"), "t").restarted_with(cleanup.clone(), false);
    let container = kept.survivors()[0].container.clone();
    assert!(!kept.detects());
    kept.with(|world| world.subscribe("t", "s2", Default::default()));
    assert_eq!(kept.events(), [Shutdown]);
    kept.event(Event::Report(Report::Terminated { container, exit: Exit::Code(0) }));
    assert!(!kept.out.iter().any(|effect| matches!(effect, Effect::Exit(_))));
    kept.flush();
    assert!(kept.out.iter().any(|effect| matches!(effect, Effect::Exit(_))));
    assert_eq!(kept.image, Image::default());
    let kept = kept.restarted_with(cleanup, false);
    assert!(kept.out.iter().any(|effect| matches!(effect, Effect::Exit(_))), "there is nothing");
}

#[test]
fn what_ended_stays_so() {
    let mut kept = Kept::running(with_executor("t", "e"), "e");
    kept.with(|world| world.update("e", "t", TaskState::TaskFinished, 2));
    kept.flush();
    assert_eq!(kept.hears("t"), [TaskState::TaskFinished]);
    let mut kept = kept.restarted();
    kept.with(|world| world.subscribe("e", "s2", Default::default()));
    assert_eq!(kept.events(), [Subscribed], "it had a task, and may get others");
    kept.register();
    let kill = KillTaskMessage { framework_id: "F".into(), task_id: "t".into(), ..Default::default() };
    kept.with(|world| world.master(kill));
    assert!(kept.out.is_empty(), "its scheduler knows that it has ended");
    assert_eq!(kept.executor("e").completed_tasks[0].state, TaskState::TaskFinished as i32);
}

#[test]
fn a_v0_executor_is_called_and_comes_back() {
    const EXECUTOR: &str = "executor(1)@10.0.0.2:7000";
    let from = |kept: &mut Kept, message: Message| {
        kept.with(|world| world.message(EXECUTOR, "10.0.0.2:9", message));
        kept.flush();
    };
    let mut kept = Kept::registered();
    kept.run(with_executor("t", "e"));
    kept.flush();
    let register = internal::RegisterExecutorMessage { framework_id: "F".into(), executor_id: "e".into() };
    kept.with(|world| world.message(EXECUTOR, "10.0.0.2:9", register.clone()));
    assert!(kept.sent().is_empty(), "not before its pid is durable");
    kept.flush();
    assert!(matches!(kept.sent()[..], [Message::ExecutorRegistered(_), Message::RunTask(_)]));

    let retrying =
        Config { executor_reregistration_retry_interval: Some(Duration::from_millis(500)), ..config() };
    let mut kept = kept.restarted_with(retrying, false);
    assert!(matches!(kept.sent()[..], [Message::ReconnectExecutor(_)]));
    kept.with(|world| world.fire(|timer| matches!(timer, Timer::Reconnect { .. })));
    assert!(matches!(kept.sent()[..], [Message::ReconnectExecutor(_)]));
    let update = StatusUpdate {
        framework_id: "F".into(),
        executor_id: Some("e".into()),
        agent_id: Some("A".into()),
        status: TaskStatus { agent_id: Some("A".into()), ..status("t", TaskState::TaskRunning, 1) },
        uuid: Some(bytes(1)),
        ..StatusUpdate::default()
    };
    let back = ReregisterExecutorMessage {
        framework_id: "F".into(),
        executor_id: "e".into(),
        tasks: vec![with_executor("t", "e")],
        updates: vec![update],
    };
    from(&mut kept, back.clone().into());
    assert!(matches!(
        kept.sent()[..],
        [Message::ExecutorReregistered(_), Message::StatusUpdateAcknowledgement(_)]
    ));
    assert!(kept.detects());
    from(&mut kept, back.clone().into());
    assert!(kept.sent().is_empty(), "once more is once too often, and no harm");
    kept.register();
    assert_eq!(kept.hears("t"), [TaskState::TaskRunning]);
    let stranger = ReregisterExecutorMessage { executor_id: "x".into(), ..back };
    from(&mut kept, stranger.into());
    assert!(matches!(kept.sent()[..], [Message::ShutdownExecutor(_)]));
}

#[test]
fn an_agent_that_leaves_is_forgotten() {
    let mut kept = Kept::registered();
    assert!(kept.image.agent.is_some());
    kept.event(Event::Shutdown("it is time".to_owned()));
    assert!(matches!(&kept.waiting[..], [Effect::Checkpoint { then: Some(Then::Exit(_)), .. }]));
    kept.flush();
    assert!(matches!(kept.out.last(), Some(Effect::Exit(_))));
    assert_eq!(kept.image, Image::default());
}
