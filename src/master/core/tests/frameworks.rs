//! Schedulers of both kinds subscribe, fail over, fall away.

use std::time::Duration;

use super::super::testing::{Bench, aware, framework_info, launch, pid, some, task};
use super::super::*;
use crate::alloc::Call;
use crate::proto::framework_info::capability::Type::MultiRole;
use crate::proto::internal::{self, DeactivateFrameworkMessage, RegisterFrameworkMessage};
use crate::proto::message::{DriverCall, Message};
use crate::proto::scheduler::{call, event};
use crate::proto::{FrameworkInfo, TaskState};

fn kinds(bench: &Bench, stream: &str) -> Vec<event::Type> {
    bench.events(stream).into_iter().map(|event| event.r#type()).collect()
}

fn subscribing(info: FrameworkInfo, force: bool) -> DriverCall {
    let call = scheduler::Call {
        framework_id: info.id.clone(),
        r#type: Some(call::Type::Subscribe as i32),
        subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
        ..Default::default()
    };
    DriverCall { call, force }
}

fn of_kind(kind: call::Type) -> scheduler::Call {
    scheduler::Call { r#type: Some(kind as i32), ..Default::default() }
}

#[test]
fn a_heartbeat_follows_subscribed_at_once_and_then_every_15_seconds() {
    let mut bench = Bench::new();
    bench.subscribe("s", framework_info(&[])).expect("subscribed");
    assert_eq!(kinds(&bench, "s"), [event::Type::Subscribed, event::Type::Heartbeat]);
    assert_eq!(bench.events("s")[0].subscribed.as_ref().unwrap().heartbeat_interval_seconds, Some(15.0));
    assert!(
        bench.out.iter().any(|effect| matches!(effect, Effect::Reply { answer: Answer::Subscribed, .. }))
    );
    bench.pass(Duration::from_secs(46));
    assert_eq!(kinds(&bench, "s").len(), 5);
    bench.event(Event::StreamClosed("s".into()));
    bench.pass(Duration::from_secs(60));
    assert_eq!(kinds(&bench, "s").len(), 5, "nobody listens");
}

#[test]
fn refused_frameworks_hear_why_and_their_stream_ends() {
    let mut bench = Bench::with(&["--roles=web", "--no-root_submissions"], Default::default());
    let multi = |roles: &[&str]| FrameworkInfo {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..framework_info(&[MultiRole])
    };
    let cases = [
        (
            FrameworkInfo { user: "root".into(), ..framework_info(&[]) },
            "User 'root' is not allowed to run frameworks without --root_submissions set",
        ),
        (multi(&["web", "ads"]), "Roles { ads } are not present in the master's --roles"),
        (multi(&["a", "a"]), "'FrameworkInfo.roles' contains duplicate items: { a }"),
        (
            FrameworkInfo { failover_timeout: Some(f64::NAN), ..framework_info(&[]) },
            "The framework failover_timeout (NaN) is invalid",
        ),
        (
            FrameworkInfo { id: Some("a/b".into()), ..framework_info(&[]) },
            "'a/b' contains invalid characters",
        ),
    ];
    for (index, (info, why)) in cases.into_iter().enumerate() {
        let stream = format!("s{index}");
        assert_eq!(bench.subscribe(&stream, info), None);
        assert_eq!(bench.errors(&stream), [why]);
        assert!(bench.closed(&stream));
    }
    assert!(bench.state.cluster().frameworks.is_empty());
    // A call that is none is a 400 and no stream.
    let call = Box::new(of_kind(call::Type::Subscribe));
    bench.event(Event::Subscribe { reply: ReplyId(9), stream: "x".into(), call });
    let refused = bench.out.iter().any(|effect| {
        matches!(effect, Effect::Reply { reply: ReplyId(9), answer: Answer::BadRequest(why) }
            if why == "Failed to validate scheduler::Call: Expecting 'subscribe' to be present")
    });
    assert!(refused && bench.events("x").is_empty());
}

#[test]
fn taking_over_ends_the_old_stream_and_keeps_the_tasks() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.take();
    let info = FrameworkInfo { id: Some(framework.clone()), user: "other".into(), ..aware() };
    assert_eq!(bench.subscribe("new", info), Some(framework.clone()));
    assert_eq!(bench.errors("s"), ["Framework failed over"]);
    assert!(bench.closed("s"));
    assert_eq!(kinds(&bench, "new"), [event::Type::Subscribed, event::Type::Heartbeat]);
    assert!(bench.state.cluster().offers.is_empty() && bench.task(&framework, "t").is_some());
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().info.user, "nobody", "users stay");
    assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::UpdateFramework(_))));
    bench.take();
    bench.event(Event::StreamClosed("s".into()));
    assert!(bench.out.is_empty(), "the old stream means nothing any more");
    assert!(bench.state.cluster().framework(&framework).unwrap().connected);
}

#[test]
fn a_framework_that_does_not_come_back_is_removed_with_its_tasks() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.take();
    bench.event(Event::StreamClosed("s".into()));
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::DeactivateFramework { .. })));
    assert_eq!(bench.recovered().cpus(), 1000);
    bench.pass(Duration::from_secs(59));
    assert!(bench.state.cluster().frameworks.contains_key(&framework));
    bench.pass(Duration::from_secs(1));
    assert!(bench.state.cluster().frameworks.is_empty());
    assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::ShutdownFramework(_))));
    let ended = &bench.state.cluster().completed_frameworks[0];
    assert_eq!(ended.completed_tasks[0].state, TaskState::TaskKilled);
    assert!(ended.unregistered.is_some() && bench.state.cluster().agent(&agent).unwrap().used.is_empty());
    bench.take();
    let info = FrameworkInfo { id: Some(framework), ..aware() };
    assert_eq!(bench.subscribe("late", info), None);
    assert_eq!(bench.errors("late"), ["Framework has been removed"]);
}

#[test]
fn a_framework_that_came_back_keeps_living() {
    let (mut bench, _, _, framework) = Bench::running(aware());
    bench.event(Event::StreamClosed("s".into()));
    let info = FrameworkInfo { id: Some(framework.clone()), ..aware() };
    bench.subscribe("t", info).expect("subscribed");
    assert!(bench.errors("s").is_empty(), "nobody is there to hear it");
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::ActivateFramework { .. })));
    bench.pass(Duration::from_secs(120));
    assert!(bench.state.cluster().frameworks.contains_key(&framework));
}

#[test]
fn an_id_that_nobody_knows_is_that_of_a_framework_of_an_earlier_master() {
    let mut bench = Bench::new();
    let info = FrameworkInfo { id: Some("older-0007".into()), ..aware() };
    assert_eq!(bench.subscribe("s", info), Some("older-0007".into()));
    let framework = bench.state.cluster().framework(&"older-0007".into()).unwrap();
    assert!(framework.active && framework.connected && !framework.recovered);
}

#[test]
fn calls_are_taken_from_the_subscribed_stream_only() {
    let mut bench = Bench::new();
    let framework = bench.subscribe("s", aware()).expect("subscribed");
    let revive = || scheduler::Call { framework_id: Some(framework.clone()), ..of_kind(call::Type::Revive) };
    assert_eq!(bench.call("s", revive()), Answer::Accepted);
    let Answer::BadRequest(why) = bench.call("other", revive()) else { panic!() };
    assert!(why.starts_with("The stream ID 'other' included in this request didn't match the stream ID"));
    let Answer::BadRequest(why) = bench.call("", revive()) else { panic!() };
    assert_eq!(why, "All non-subscribe calls should include the 'Mesos-Stream-Id' header");
    let unknown = scheduler::Call { framework_id: Some("x".into()), ..of_kind(call::Type::Revive) };
    assert_eq!(bench.call("s", unknown), Answer::BadRequest("Framework cannot be found".into()));
    let Answer::BadRequest(why) = bench.call("s", of_kind(call::Type::Kill)) else { panic!() };
    assert_eq!(why, "Failed to validate scheduler::Call: Expecting 'kill' to be present");
    assert!(matches!(bench.call("s", of_kind(call::Type::Unknown)), Answer::NotImplemented(_)));
    bench.event(Event::StreamClosed("s".into()));
    assert_eq!(bench.call("s", revive()), Answer::Forbidden("Framework is not subscribed".into()));
}

#[test]
fn revive_and_suppress_name_roles_of_the_framework() {
    let mut bench = Bench::new();
    let info = FrameworkInfo { roles: vec!["a".into(), "b".into()], ..framework_info(&[MultiRole]) };
    let framework = bench.subscribe("s", info).expect("subscribed");
    bench.take();
    let suppress = |role: &str| scheduler::Call {
        suppress: Some(call::Suppress { roles: vec![role.to_owned()] }),
        ..of_kind(call::Type::Suppress)
    };
    assert_eq!(bench.call("s", suppress("c")), Answer::Accepted);
    assert!(bench.told_allocator().is_empty());
    bench.call("s", suppress("a"));
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().suppressed.len(), 1);
    bench.call("s", of_kind(call::Type::Revive));
    assert!(bench.state.cluster().framework(&framework).unwrap().suppressed.is_empty());
    assert_eq!(bench.told_allocator().len(), 2);
}

#[test]
fn roles_and_failover_timeout_change_while_subscribed() {
    let mut bench = Bench::new();
    let info = |roles: &[&str]| FrameworkInfo {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..framework_info(&[MultiRole])
    };
    let framework = bench.subscribe("s", info(&["a"])).expect("subscribed");
    let update = |framework_info| scheduler::Call {
        framework_id: Some(framework.clone()),
        update_framework: Some(call::UpdateFramework { framework_info, ..Default::default() }),
        ..of_kind(call::Type::UpdateFramework)
    };
    let with_id = |info| FrameworkInfo { id: Some(framework.clone()), ..info };
    assert_eq!(bench.call("s", update(with_id(info(&["b"])))), Answer::Ok);
    assert_eq!(
        bench.state.cluster().framework(&framework).unwrap().roles.first().map(|own| &**own),
        Some("b")
    );
    let other_user = FrameworkInfo { user: "x".into(), ..with_id(info(&["b"])) };
    let Answer::BadRequest(why) = bench.call("s", update(other_user)) else { panic!() };
    assert!(
        why.starts_with("FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported")
    );
}

#[test]
fn a_driver_speaks_in_messages() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    let driver = pid("scheduler-1", 7000);
    bench.message(&driver, subscribing(framework_info(&[]), false));
    let sent = bench.sent_to(&driver);
    let [Message::FrameworkRegistered(registered)] = sent.as_slice() else { panic!("{sent:?}") };
    let framework = registered.framework_id.clone();
    assert!(bench.out.iter().any(|effect| matches!(effect, Effect::Link(at) if *at == driver.address)));
    bench.message(&driver, subscribing(framework_info(&[]), false));
    assert_eq!(bench.state.cluster().frameworks.len(), 1, "it repeats itself");
    let offer = bench.offer(&framework, &agent, some(4.0, 1024.0));
    bench.take();
    let accept = call::Accept {
        offer_ids: vec![offer.id],
        operations: vec![launch(vec![task("t", &agent)])],
        filters: None,
    };
    let call = scheduler::Call {
        framework_id: Some(framework.clone()),
        accept: Some(accept),
        ..of_kind(call::Type::Accept)
    };
    let stranger = pid("scheduler-2", 7001);
    bench.message(&stranger, call.clone());
    // Not its framework: all that happens is that it hears so.
    let [Effect::Send { to, message, .. }] = bench.out.as_slice() else { panic!("{:?}", bench.out) };
    assert!(*to == stranger && matches!(&**message, Message::FrameworkError(_)));
    bench.message(&driver, call);
    let [Message::RunTask(run)] = &bench.sent_to(&from)[..] else { panic!() };
    assert_eq!(run.pid.as_deref(), Some("scheduler-1@127.0.0.1:7000"));
    bench.update(&from, &agent, &framework, "t", TaskState::TaskRunning, 1);
    let [Message::StatusUpdate(update)] = &bench.sent_to(&driver)[..] else { panic!() };
    assert_eq!(update.pid.as_deref(), Some("slave(1)@127.0.0.1:5051"));
    assert_eq!(update.update.uuid, Some(crate::base::uuid::numbered(1)));
    assert_eq!(update.update.status.state(), TaskState::TaskRunning);
}

#[test]
fn a_driver_whose_link_broke_is_told_and_may_come_back() {
    let mut bench = Bench::new();
    let driver = pid("scheduler-1", 7000);
    bench.message(&driver, RegisterFrameworkMessage { framework: aware() });
    let framework = bench.state.cluster().frameworks.keys().next().unwrap().clone();
    bench.take();
    bench.event(Event::Exited(driver.address));
    let sent = bench.sent_to(&driver);
    let [Message::FrameworkError(error)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(error.message, "Framework disconnected");
    bench.take();
    let revive = scheduler::Call { framework_id: Some(framework.clone()), ..of_kind(call::Type::Revive) };
    bench.message(&driver, revive);
    assert!(matches!(bench.sent_to(&driver)[..], [Message::FrameworkError(_)]), "it does not know");
    bench.take();
    let info = FrameworkInfo { id: Some(framework.clone()), ..aware() };
    bench.message(&driver, subscribing(info, false));
    assert!(matches!(bench.sent_to(&driver)[0], Message::FrameworkReregistered(_)));
    assert!(bench.state.cluster().framework(&framework).unwrap().active);
}

#[test]
fn another_driver_takes_over_by_force_only() {
    let mut bench = Bench::new();
    let (old, new) = (pid("scheduler-1", 7000), pid("scheduler-2", 7001));
    bench.message(&old, subscribing(aware(), false));
    let framework = bench.state.cluster().frameworks.keys().next().unwrap().clone();
    let info = || FrameworkInfo { id: Some(framework.clone()), ..aware() };
    bench.take();
    bench.message(&new, subscribing(info(), false));
    let refused = internal::FrameworkErrorMessage { message: "Framework failed over".to_owned() };
    assert_eq!(bench.sent_to(&new), [&Message::from(refused.clone())]);
    assert!(bench.sent_to(&old).is_empty());
    bench.take();
    bench.message(&new, subscribing(info(), true));
    assert_eq!(bench.sent_to(&old), [&Message::from(refused)]);
    assert!(matches!(bench.sent_to(&new)[0], Message::FrameworkRegistered(_)));
    // And a v1 scheduler from it.
    bench.take();
    assert_eq!(bench.subscribe("s", info()), Some(framework));
    assert!(matches!(bench.sent_to(&new)[0], Message::FrameworkError(_)));
}

#[test]
fn old_registrations_say_which_they_are() {
    let mut bench = Bench::new();
    let driver = pid("scheduler-1", 7000);
    let known = FrameworkInfo { id: Some("made-up".into()), ..aware() };
    bench.message(&driver, RegisterFrameworkMessage { framework: known });
    bench.message(&driver, internal::ReregisterFrameworkMessage { framework: aware(), failover: true });
    let error = |message: &str| internal::FrameworkErrorMessage { message: message.to_owned() }.into();
    let refusals = [error("Registering with 'id' already set"), error("Re-registering without an 'id'")];
    assert_eq!(bench.sent_to(&driver), refusals.iter().collect::<Vec<&Message>>());
    assert!(bench.state.cluster().frameworks.is_empty());
}

#[test]
fn an_aborted_driver_gets_no_offers() {
    let mut bench = Bench::new();
    let driver = pid("scheduler-1", 7000);
    bench.message(&driver, subscribing(aware(), false));
    let framework = bench.state.cluster().frameworks.keys().next().unwrap().clone();
    let message = || DeactivateFrameworkMessage { framework_id: framework.clone() };
    bench.message(&pid("scheduler-2", 7000), message());
    assert!(bench.state.cluster().framework(&framework).unwrap().active);
    bench.message(&driver, message());
    let known = bench.state.cluster().framework(&framework).unwrap();
    assert!(!known.active && known.connected);
}

#[test]
fn operators_tear_down_and_only_so_many_are_remembered() {
    let mut bench = Bench::with(&["--max_completed_frameworks=2"], Default::default());
    let operate =
        |id: &FrameworkId| Event::Operate { reply: ReplyId(5), operation: Operate::Teardown(id.clone()) };
    bench.event(operate(&"x".into()));
    let refused = Answer::BadRequest("No framework found with specified ID".to_owned());
    assert!(
        bench.out.iter().any(|effect| matches!(effect, Effect::Reply { answer, .. } if *answer == refused))
    );
    for index in 0..3 {
        let stream = format!("s{index}");
        let framework = bench.subscribe(&stream, aware()).expect("subscribed");
        bench.event(operate(&framework));
        assert!(bench.closed(&stream));
    }
    assert_eq!(bench.state.cluster().completed_frameworks.len(), 2);
    assert!(bench.state.cluster().frameworks.is_empty());
}
