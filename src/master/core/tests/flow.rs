//! From registration to the acknowledged end of a task.

use super::super::testing::{Bench, framework_info, launch, pid, some, task};
use super::super::*;
use crate::alloc::Call;
use crate::proto::TaskState;
use crate::proto::message::Message;
use crate::proto::scheduler::event;

#[test]
#[expect(deprecated, reason = "the old format is what is asked for")]
fn a_task_from_offer_to_its_end() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    assert_eq!(agent.value, "M-S0");
    let framework = bench.subscribe("s", framework_info(&[])).expect("subscribed");
    assert_eq!(framework.value, "M-0000");
    bench.take();

    let offer = bench.offer(&framework, &agent, some(4.0, 1024.0));
    assert_eq!((offer.id.value.as_str(), offer.hostname.as_str()), ("M-O0", "host"));
    assert!(offer.allocation_info.is_none() && offer.resources[0].allocation_info.is_none());
    assert_eq!(offer.resources[0].role.as_deref(), Some("*"));

    assert_eq!(bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)])]), Answer::Accepted);
    let sent = bench.sent_to(&from);
    let [Message::RunTask(run)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(run.task.task_id.value, "t");
    assert_eq!(run.framework.id.as_ref(), Some(&framework));
    assert_eq!(run.task.resources[0].allocation_info.as_ref().and_then(|own| own.role.as_deref()), Some("*"));
    assert_eq!(bench.recovered().to_string(), "cpus:3; mem:992");
    let refuse = bench.told_allocator().into_iter().find_map(|call| match call {
        Call::Recover { refuse, .. } => *refuse,
        _ => None,
    });
    assert_eq!(refuse, Some(std::time::Duration::from_secs(5)));
    bench.take();

    for (state, byte) in [(TaskState::TaskRunning, 1), (TaskState::TaskFinished, 2)] {
        bench.update(&from, &agent, &framework, "t", state, byte);
        let updates = bench.updates("s");
        assert_eq!((updates.len(), updates[0].state()), (1, state));
        assert_eq!(updates[0].uuid, Some(crate::base::uuid::numbered(byte)));
        if state == TaskState::TaskFinished {
            assert_eq!(bench.recovered().to_string(), "cpus:1; mem:32");
            assert!(bench.state.cluster().agent(&agent).unwrap().used.is_empty());
        }
        bench.take();
        assert_eq!(bench.acknowledge("s", &agent, "t", byte), Answer::Accepted);
        assert!(matches!(bench.sent_to(&from)[..], [Message::StatusUpdateAcknowledgement(_)]));
        bench.take();
    }
    let framework = bench.state.cluster().framework(&framework).unwrap();
    assert!(framework.tasks.is_empty() && framework.completed_tasks.len() == 1);
    assert_eq!(bench.state.cluster().counters.get("tasks_finished"), 1);
}

#[test]
fn an_update_without_a_right_to_it_changes_nothing() {
    let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
    let stranger = pid("slave(1)", 9999);
    bench.update(&stranger, &agent, &framework, "t", TaskState::TaskFailed, 1);
    // The agent's own pid, claimed from another machine.
    let update = crate::proto::internal::StatusUpdateMessage::default();
    bench.message_from(&from, ([10, 0, 0, 9], 1).into(), "master", update);
    assert!(bench.out.is_empty());
    assert_eq!(bench.task(&framework, "t").unwrap().state, TaskState::TaskStaging);
    assert_eq!(bench.state.cluster().counters.get("dropped_messages"), 2);
    // No uuid, no agent id: nothing to acknowledge.
    let update = crate::proto::internal::StatusUpdateMessage::default();
    bench.message(&from, update);
    assert!(bench.out.is_empty());
}

#[test]
fn the_latest_state_counts_and_the_sent_one_is_acknowledged() {
    let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
    let mut update = crate::proto::internal::StatusUpdate {
        framework_id: framework.clone(),
        agent_id: Some(agent.clone()),
        uuid: Some(crate::base::uuid::numbered(1)),
        latest_state: Some(TaskState::TaskFinished as i32),
        ..Default::default()
    };
    update.status.task_id = "t".into();
    update.status.set_state(TaskState::TaskRunning);
    bench.message(&from, crate::proto::internal::StatusUpdateMessage { update, pid: None });
    assert_eq!(bench.updates("s")[0].state(), TaskState::TaskRunning);
    assert_eq!(bench.task(&framework, "t").unwrap().state, TaskState::TaskFinished);
    assert_eq!(bench.recovered().to_string(), "cpus:1; mem:32");
    // The end is not yet told, so it is not acknowledged by this.
    bench.acknowledge("s", &agent, "t", 1);
    assert!(bench.task(&framework, "t").is_some());
    bench.take();
    bench.update(&from, &agent, &framework, "t", TaskState::TaskFinished, 2);
    assert!(bench.recovered().is_empty(), "recovered once");
    bench.acknowledge("s", &agent, "t", 2);
    assert!(bench.task(&framework, "t").is_none());
}

#[test]
fn offers_are_declined_rescinded_and_time_out() {
    let mut bench = Bench::with(&["--offer_timeout=30secs"], Default::default());
    let (_, agent) = bench.agent(5051);
    let framework = bench.subscribe("s", framework_info(&[])).expect("subscribed");
    bench.take();
    let offer = bench.offer(&framework, &agent, some(1.0, 32.0));
    let decline = scheduler::call::Decline {
        offer_ids: vec![offer.id.clone()],
        filters: Some(crate::proto::Filters { refuse_seconds: Some(0.0) }),
    };
    let call = |decline: &scheduler::call::Decline| scheduler::Call {
        r#type: Some(scheduler::call::Type::Decline as i32),
        decline: Some(decline.clone()),
        ..Default::default()
    };
    assert_eq!(bench.call("s", call(&decline)), Answer::Accepted);
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::Recover { refuse: None, .. })));
    assert_eq!(bench.call("s", call(&decline)), Answer::Accepted, "not valid any more, and so what");
    bench.take();
    let offer = bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.pass(std::time::Duration::from_secs(30));
    let rescinded = bench.events("s").into_iter().filter_map(|event| event.rescind.clone()).next();
    assert_eq!(rescinded, Some(event::Rescind { offer_id: offer.id }));
    assert!(bench.state.cluster().offers.is_empty());
}

#[test]
fn a_grant_that_came_too_late_goes_back() {
    let (mut bench, _, agent, framework) = Bench::running(framework_info(&[]));
    let resources = crate::resources::Resources::from_protos(&some(4.0, 32.0)).unwrap();
    let grant = crate::alloc::Grant {
        framework: framework.clone(),
        role: "*".into(),
        agent: agent.clone(),
        number: bench.number(&agent),
        resources,
    };
    bench.event(Event::Granted(vec![grant.clone()]));
    assert_eq!(bench.recovered().to_string(), "cpus:4; mem:32");
    assert!(bench.state.cluster().offers.is_empty());
    bench.take();
    // Of a registration that is over: the allocator has forgotten it.
    bench.event(Event::Granted(vec![crate::alloc::Grant { number: 99, ..grant }]));
    assert!(bench.out.is_empty());
}

#[test]
fn filters_that_make_no_sense_are_the_default() {
    use super::super::offers::refused_for;
    use std::time::Duration;
    let of = |secs| refused_for(Some(&crate::proto::Filters { refuse_seconds: Some(secs) }));
    assert_eq!(refused_for(None), Some(Duration::from_secs(5)));
    assert_eq!(of(0.0), None);
    assert_eq!(of(1.5), Some(Duration::from_millis(1500)));
    for secs in [-1.0, f64::NAN, f64::NEG_INFINITY] {
        assert_eq!(of(secs), Some(Duration::from_secs(5)), "{secs}");
    }
    for secs in [1e30, f64::INFINITY] {
        assert_eq!(of(secs), Some(Duration::from_secs(365 * 24 * 3600)), "{secs}");
    }
}

#[test]
fn an_operator_kills_a_task_as_its_framework_would() {
    let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
    bench.take();
    let kill = |framework: &str, task: &str| Event::Operate {
        reply: ReplyId(9),
        operation: Operate::Kill { framework: framework.into(), task: task.into() },
    };
    let answer = |bench: &Bench| {
        bench.out.iter().find_map(|effect| match effect {
            Effect::Reply { reply: ReplyId(9), answer } => Some(answer.clone()),
            _ => None,
        })
    };
    bench.event(kill(&framework.value, "t"));
    assert_eq!(answer(&bench), Some(Answer::Ok));
    let sent = bench.sent_to(&from);
    let [Message::KillTask(message)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((message.task_id.value.as_str(), &message.framework_id), ("t", &framework));
    bench.take();

    bench.update(&from, &agent, &framework, "t", TaskState::TaskKilled, 2);
    assert_eq!(
        bench.updates("s").iter().map(|update| update.state()).collect::<Vec<_>>(),
        [TaskState::TaskKilled]
    );
    bench.take();
    for (owner, task) in [(framework.value.as_str(), "t"), (&framework.value, "none"), ("none", "t")] {
        bench.event(kill(owner, task));
        assert!(matches!(answer(&bench), Some(Answer::BadRequest(_))), "{owner} {task}");
        assert!(bench.sent_to(&from).is_empty());
        bench.take();
    }
}
