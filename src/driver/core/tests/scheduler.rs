//! The scheduler driver.

use std::net::SocketAddr;
use std::time::Duration;

use super::{address, agent};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::base::uuid::numbered;
use crate::driver::core::scheduler::{Callback, Config, Patience, State};
use crate::driver::core::{Core, Effect, Event, Status, Timer};
use crate::proto::internal::{
    AuthenticationCompletedMessage, AuthenticationErrorMessage, AuthenticationFailedMessage,
    AuthenticationMechanismsMessage, AuthenticationStepMessage, ExecutorToFrameworkMessage,
    ExitedExecutorMessage, FrameworkErrorMessage, FrameworkRegisteredMessage, FrameworkReregisteredMessage,
    LostSlaveMessage, ResourceOffersMessage, StatusUpdate, StatusUpdateMessage,
};
use crate::proto::scheduler::{Call, OfferConstraints, call};
use crate::proto::task_status::Reason;
use crate::proto::{
    AgentId, Credential, Filters, FrameworkInfo, Message, Offer, OfferId, TaskInfo, TaskState, TaskStatus,
    offer,
};

fn master(port: u16) -> Upid {
    Upid::new("master", address(port))
}

/// A driver with what left it.
struct Bench {
    state: State,
    now: Time,
    sent: Vec<(Upid, Message)>,
    told: Vec<Callback>,
    linked: Vec<SocketAddr>,
    timers: Vec<(Time, Timer)>,
}

fn config() -> Config {
    Config {
        framework: FrameworkInfo { user: "u".into(), name: "n".into(), ..FrameworkInfo::default() },
        suppressed: Default::default(),
        acknowledges: true,
        credential: None,
        patience: Patience::default(),
        pid: Upid::new("scheduler-1", address(9)),
        seed: 7,
    }
}

impl Bench {
    fn started(config: Config) -> Bench {
        let mut state = State::new(config);
        assert!(state.start() && !state.start());
        let now = Time::ZERO + Duration::from_secs(1000);
        Bench { state, now, sent: vec![], told: vec![], linked: vec![], timers: vec![] }
    }

    fn registered(config: Config) -> Bench {
        let mut bench = Bench::started(config);
        bench.event(Event::LeaderSeen(Some(master(1))));
        bench.hear(registered());
        bench.sent.clear();
        bench.told.clear();
        bench
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut State, Time, &mut Vec<Effect<Callback>>) -> R) -> R {
        let mut out = vec![];
        let result = call(&mut self.state, self.now, &mut out);
        let mut effects = std::collections::VecDeque::from(out);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send { from, to, message } => {
                    assert_eq!(from.address, address(9));
                    self.sent.push((to, message));
                }
                Effect::Link(to) => self.linked.push(to),
                Effect::Wake { at, timer } => self.timers.push((at, timer)),
                Effect::Tell(callback) if self.state.tells(&callback) => {
                    let mut more = vec![];
                    self.state.told(&callback, &mut more);
                    self.told.push(callback);
                    effects.extend(more);
                }
                Effect::Tell(_) => {}
                other => panic!("{other:?}"),
            }
        }
        result
    }

    fn event(&mut self, event: Event) {
        self.call(|state, now, out| state.handle(now, event, out));
    }

    fn hear_from(&mut self, from: Upid, message: impl Into<Message>) {
        self.event(Event::Received { from: Some(from), message: Box::new(message.into()) });
    }

    fn hear(&mut self, message: impl Into<Message>) {
        self.hear_from(master(1), message);
    }

    /// Time goes on to the last timer set.
    fn wake(&mut self) {
        let (at, timer) = self.timers.pop().expect("a timer");
        self.now = at;
        self.event(Event::Timer(timer));
    }

    fn calls(&mut self) -> Vec<Call> {
        let call = |(to, message)| match message {
            Message::SchedulerCall(call) => {
                assert_eq!(to, master(1));
                call.call
            }
            other => panic!("{other:?}"),
        };
        self.sent.drain(..).map(call).collect()
    }

    fn kinds(&mut self) -> Vec<call::Type> {
        self.calls().iter().map(Call::r#type).collect()
    }
}

fn registered() -> FrameworkRegisteredMessage {
    FrameworkRegisteredMessage { framework_id: "f".into(), ..Default::default() }
}

fn reregistered() -> FrameworkReregisteredMessage {
    FrameworkReregisteredMessage { framework_id: "f".into(), ..Default::default() }
}

fn offers(id: &str) -> ResourceOffersMessage {
    let offer = Offer { id: id.into(), agent_id: "s".into(), ..Offer::default() };
    ResourceOffersMessage { offers: vec![offer], pids: vec![agent().to_string()] }
}

fn task() -> TaskInfo {
    TaskInfo { task_id: "t".into(), agent_id: "s".into(), ..TaskInfo::default() }
}

fn update(uuid: bool) -> StatusUpdateMessage {
    let update = StatusUpdate {
        framework_id: "f".into(),
        agent_id: Some("s".into()),
        status: TaskStatus { task_id: "t".into(), ..TaskStatus::default() },
        uuid: uuid.then(|| numbered(1)),
        ..StatusUpdate::default()
    };
    StatusUpdateMessage { update, pid: None }
}

#[test]
fn subscribes_until_it_is_answered() {
    let mut bench = Bench::started(config());
    bench.event(Event::LeaderSeen(None));
    assert!(bench.linked.is_empty() && bench.timers.is_empty());
    bench.event(Event::LeaderSeen(Some(master(1))));
    let mut most = Duration::from_secs(2);
    for _ in 0..8 {
        assert_eq!(bench.linked.pop(), Some(address(1)));
        let calls = bench.calls();
        let subscribe = calls[0].subscribe.as_ref().expect("SUBSCRIBE");
        assert_eq!((subscribe.framework_info.name.as_str(), calls.len()), ("n", 1));
        let pause = bench.timers[0].0.since(bench.now);
        assert!(pause <= most, "{pause:?} > {most:?}");
        most = (most * 2).min(Duration::from_secs(60));
        bench.wake();
    }
    bench.sent.clear();
    bench.hear(registered());
    assert_eq!(bench.told, [Callback::Registered("f".into(), Box::default())]);
    bench.wake();
    bench.hear(registered());
    assert!(bench.sent.is_empty() && bench.told.len() == 1, "registered once");
}

#[test]
fn a_short_failover_timeout_makes_pauses_short() {
    let framework = FrameworkInfo { failover_timeout: Some(1.0), id: Some("f".into()), ..config().framework };
    let mut bench = Bench::started(Config { framework, ..config() });
    bench.event(Event::LeaderSeen(Some(master(1))));
    assert!(bench.timers[0].0.since(bench.now) <= Duration::from_millis(100));
    let Some((_, Message::SchedulerCall(call))) = bench.sent.pop() else { panic!() };
    assert!(call.force && call.call.framework_id == Some("f".into()), "it takes an earlier driver's place");
}

#[test]
fn follows_the_leader() {
    let mut bench = Bench::registered(config());
    bench.hear(offers("o"));
    bench.event(Event::LeaderSeen(None));
    bench.event(Event::LeaderSeen(Some(master(2))));
    assert_eq!(bench.told[1..], [Callback::Disconnected]);
    let (to, Message::SchedulerCall(call)) = bench.sent.pop().expect("SUBSCRIBE") else { panic!() };
    assert_eq!((to, call.force, call.call.framework_id), (master(2), false, Some("f".into())));
    bench.hear(reregistered());
    bench.hear_from(master(2), offers("early"));
    assert_eq!(bench.told.len(), 2, "the old leader is nobody, and the new one has not answered");
    bench.hear_from(master(2), reregistered());
    assert_eq!(bench.told[2..], [Callback::Reregistered(Box::default())]);
}

/// A master that was restarted at its address is a stranger to the framework until that says so.
#[test]
fn a_broken_link_means_to_register_again() {
    let mut bench = Bench::registered(config());
    bench.event(Event::Exited(address(5051)));
    bench.event(Event::Exited(address(1)));
    bench.event(Event::Exited(address(1)));
    assert_eq!((bench.told.as_slice(), bench.sent.len()), (&[Callback::Disconnected][..], 0));
    bench.wake();
    assert_eq!(bench.kinds(), [call::Type::Subscribe]);
    bench.hear(registered());
    assert!(matches!(bench.told[..], [_, Callback::Registered(..)]));
}

#[test]
fn only_the_leader_is_heard_and_agents_messages() {
    let mut bench = Bench::registered(config());
    let stranger = Upid::new("master", address(3));
    bench.hear_from(stranger.clone(), offers("o"));
    bench.hear_from(stranger.clone(), update(true));
    bench.hear_from(stranger.clone(), FrameworkErrorMessage { message: "go away".into() });
    bench.event(Event::Received { from: None, message: Box::new(offers("o").into()) });
    bench.hear(ResourceOffersMessage::default());
    assert!(bench.told.is_empty() && bench.sent.is_empty());
    let message = ExecutorToFrameworkMessage {
        agent_id: "s".into(),
        framework_id: "f".into(),
        executor_id: "e".into(),
        data: "hi".into(),
    };
    bench.hear_from(stranger, message);
    assert_eq!(
        bench.told,
        [Callback::Message { executor: "e".into(), agent: "s".into(), data: "hi".into() }]
    );
}

#[test]
fn updates_are_acknowledged_by_themselves_or_by_the_framework() {
    let mut bench = Bench::registered(config());
    bench.hear(update(true));
    let calls = bench.calls();
    let acknowledge = calls[0].acknowledge.as_ref().expect("an acknowledgement");
    assert_eq!((acknowledge.agent_id.value.as_str(), &acknowledge.uuid), ("s", &numbered(1)));
    bench.hear(update(false));
    assert_eq!(bench.kinds(), [], "nobody waits for it");
    let Callback::Update(status) = &bench.told[1] else { panic!() };
    assert_eq!((status.uuid.as_ref(), status.agent_id.as_ref()), (None, Some(&"s".into())));

    let mut bench = Bench::registered(Config { acknowledges: false, ..config() });
    bench.hear(update(true));
    assert_eq!(bench.kinds(), []);
    let Some(Callback::Update(status)) = bench.told.pop() else { panic!() };
    assert_eq!(bench.call(|it, _, out| it.acknowledge_status_update(&status, out)), Status::Running);
    assert_eq!(bench.kinds(), [call::Type::Acknowledge]);
}

#[test]
fn acknowledging_twice_is_a_mistake_that_is_told() {
    let mut bench = Bench::registered(config());
    let status = TaskStatus::default();
    assert_eq!(bench.call(|it, _, out| it.acknowledge_status_update(&status, out)), Status::Aborted);
    assert!(
        matches!(&bench.told[..], [Callback::Error(why)] if why.contains("Implicit")),
        "{:?}",
        bench.told
    );
}

/// A callback that stopped the driver is not acknowledged.
#[test]
fn a_stopped_driver_acknowledges_nothing() {
    let mut bench = Bench::registered(config());
    let mut out = vec![];
    let event = Event::Received { from: Some(master(1)), message: Box::new(update(true).into()) };
    bench.state.handle(bench.now, event, &mut out);
    let [Effect::Tell(callback)] = &out[..] else { panic!("{out:?}") };
    let mut after = vec![];
    assert_eq!(bench.state.stop(true, &mut after), Status::Stopped);
    bench.state.told(callback, &mut after);
    assert_eq!(after, []);
    assert!(!bench.state.tells(callback));
}

#[test]
fn messages_to_executors_go_straight_where_that_is_known() {
    let mut bench = Bench::registered(config());
    let send = |bench: &mut Bench| {
        bench.call(|it, _, out| it.send_framework_message("e".into(), "s".into(), "hi".into(), out))
    };
    send(&mut bench);
    assert_eq!(bench.kinds(), [call::Type::Message]);
    bench.hear(offers("o"));
    bench.call(|it, now, out| it.launch_tasks(now, vec!["o".into()], vec![task()], Filters::default(), out));
    assert_eq!(bench.kinds(), [call::Type::Accept]);
    send(&mut bench);
    let (to, message) = bench.sent.pop().expect("a message");
    assert!(matches!(message, Message::FrameworkToExecutor(_)) && to == agent(), "{message:?}");
    bench.hear(LostSlaveMessage { agent_id: "s".into() });
    send(&mut bench);
    assert_eq!(bench.kinds(), [call::Type::Message]);
}

#[test]
fn every_call_is_a_message_with_the_frameworks_id() {
    let mut bench = Bench::registered(config());
    let none = || Vec::<TaskStatus>::new();
    bench.call(|it, _, out| it.kill_task("t".into(), out));
    bench.call(|it, _, out| it.request_resources(vec![], out));
    bench.call(|it, _, out| it.decline_offer("o".into(), Filters::default(), out));
    bench.call(|it, _, out| it.suppress_offers(vec!["a".into()], out));
    bench.call(|it, _, out| it.revive_offers(vec![], out));
    bench.call(|it, _, out| it.reconcile_tasks(none(), out));
    let info = FrameworkInfo { id: Some("f".into()), ..config().framework };
    bench.call(|it, _, out| it.update_framework(info, Default::default(), OfferConstraints::default(), out));
    let calls = bench.calls();
    assert!(calls.iter().all(|call| call.framework_id == Some("f".into())));
    let kinds: Vec<_> = calls.iter().map(Call::r#type).collect();
    use call::Type::*;
    assert_eq!(kinds, [Kill, Request, Decline, Suppress, Revive, Reconcile, UpdateFramework]);
    assert_eq!(calls[3].suppress.as_ref().expect("roles").roles, ["a"]);
    assert!(calls[4].revive.is_none(), "all roles");
}

#[test]
fn what_is_said_without_a_master_is_dropped_or_told_later() {
    let mut bench = Bench::registered(config());
    bench.event(Event::LeaderSeen(None));
    bench.told.clear();
    bench.call(|it, _, out| it.kill_task("t".into(), out));
    bench.call(|it, _, out| it.suppress_offers(vec!["a".into()], out));
    bench.call(|it, now, out| it.launch_tasks(now, vec!["o".into()], vec![task()], Filters::default(), out));
    assert!(bench.sent.is_empty());
    let Some(Callback::Update(status)) = bench.told.pop() else { panic!() };
    assert_eq!((status.state(), status.reason()), (TaskState::TaskLost, Reason::MasterDisconnected));
    assert_eq!((status.agent_id, status.uuid), (Some(AgentId::from("s")), None));
    bench.event(Event::LeaderSeen(Some(master(1))));
    bench.hear(reregistered());
    let calls = bench.calls();
    assert_eq!(calls[0].subscribe.as_ref().expect("SUBSCRIBE").suppressed_roles, ["a"]);
    assert_eq!(calls[1].update_framework.as_ref().expect("UPDATE_FRAMEWORK").suppressed_roles, ["a"]);
}

#[test]
fn misuse_aborts_and_says_why() {
    let why = |misuse: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::registered(config());
        misuse(&mut bench);
        assert_eq!(bench.state.status(), Status::Aborted);
        assert!(matches!(bench.sent[..], [(_, Message::DeactivateFramework(_))]), "{:?}", bench.sent);
        match bench.told.pop() {
            Some(Callback::Error(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let operation = offer::Operation { id: Some("x".into()), ..Default::default() };
    let with_id = why(&|bench| {
        let (offers, operations) = (vec![OfferId::from("o")], vec![operation.clone()]);
        bench.call(|it, now, out| it.accept_offers(now, offers, operations, Filters::default(), out));
    });
    assert!(with_id.starts_with("An offer operation's 'id' field was set"), "{with_id}");
    let other_id = why(&|bench| {
        let info = FrameworkInfo { id: Some("g".into()), ..config().framework };
        bench.call(|it, _, out| it.update_framework(info, Default::default(), Default::default(), out));
    });
    assert!(other_id.contains("(g) must be equal to the value known to the MesosSchedulerDriver (f)"));
    let told = why(&|bench| bench.hear(FrameworkErrorMessage { message: "Framework failed over".into() }));
    assert_eq!(told, "Framework failed over");
}

#[test]
fn the_life_of_a_driver() {
    let mut fresh = State::new(config());
    assert_eq!(
        (fresh.stop(false, &mut vec![]), fresh.abort(&mut vec![])),
        (Status::NotStarted, Status::NotStarted)
    );

    let mut bench = Bench::registered(config());
    assert_eq!(bench.call(|it, _, out| it.stop(false, out)), Status::Stopped);
    assert_eq!(bench.kinds(), [call::Type::Teardown]);
    assert_eq!(bench.call(|it, _, out| it.stop(false, out)), Status::Stopped);
    assert_eq!(bench.call(|it, _, out| it.kill_task("t".into(), out)), Status::Stopped);
    bench.hear(offers("late"));
    assert!(bench.sent.is_empty() && bench.told.is_empty());

    let mut bench = Bench::registered(config());
    assert_eq!(bench.call(|it, _, out| it.abort(out)), Status::Aborted);
    assert_eq!(bench.call(|it, _, out| it.stop(true, out)), Status::Aborted, "once more");
    assert_eq!(bench.state.status(), Status::Stopped);
    assert_eq!(bench.sent.len(), 1, "deactivated, and not torn down");
    bench.event(Event::NoDetection("gone".into()));
    assert!(bench.told.is_empty());
}

#[test]
fn nobody_will_ever_lead() {
    let mut bench = Bench::started(config());
    bench.event(Event::NoDetection("no such path".into()));
    assert_eq!(bench.told, [Callback::Error("Failed to detect a master: no such path".into())]);
}

#[test]
fn executors_are_lost() {
    let mut bench = Bench::registered(config());
    bench.hear(ExitedExecutorMessage {
        agent_id: "s".into(),
        framework_id: "f".into(),
        executor_id: "e".into(),
        status: 9,
    });
    let lost = Callback::ExecutorLost { executor: "e".into(), agent: "s".into(), status: 9 };
    assert_eq!(bench.told, [lost]);
}

fn with_credential() -> Bench {
    let credential = Some(Credential { principal: "p".into(), secret: Some("s".into()) });
    let mut bench = Bench::started(Config { credential, ..config() });
    bench.event(Event::LeaderSeen(Some(master(1))));
    bench
}

fn session() -> Upid {
    Upid::new("crammd5-authenticator-session(1)", address(1))
}

fn mechanisms() -> AuthenticationMechanismsMessage {
    AuthenticationMechanismsMessage { mechanisms: vec!["CRAM-MD5".into()] }
}

#[test]
fn authenticates_before_it_subscribes() {
    let mut bench = with_credential();
    assert!(matches!(&bench.sent[..], [(to, Message::Authenticate(it))]
        if *to == master(1) && it.pid == "scheduler-1@127.0.0.1:9"));
    bench
        .hear_from(Upid::new("crammd5-authenticator-session(1)", address(3)), AuthenticationFailedMessage {});
    bench.hear_from(session(), mechanisms());
    bench.hear_from(session(), AuthenticationStepMessage { data: "<1.2@h>".into() });
    let names: Vec<_> = bench.sent.iter().map(|(to, message)| (to.clone(), message.name())).collect();
    assert_eq!(names[1..].iter().filter(|(to, _)| *to == session()).count(), 2);
    bench.sent.clear();
    bench.hear_from(session(), AuthenticationCompletedMessage {});
    assert_eq!(bench.kinds(), [call::Type::Subscribe]);
}

#[test]
fn an_authentication_is_repeated_or_refused() {
    let mut bench = with_credential();
    bench.hear_from(session(), AuthenticationErrorMessage { error: Some("busy".into()) });
    assert_eq!(bench.sent.len(), 1, "its time is not over");
    let pause = bench.timers[0].0.since(bench.now);
    assert!((Duration::from_secs(5)..=Duration::from_secs(7)).contains(&pause), "{pause:?}");
    bench.wake();
    assert!(matches!(bench.sent[1..], [(_, Message::Authenticate(_))]));
    bench.hear_from(session(), AuthenticationFailedMessage {});
    assert_eq!(bench.told, [Callback::Error("Master refused authentication".into())]);
    assert_eq!(bench.state.status(), Status::Aborted);
}
