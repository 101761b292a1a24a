//! Agents join, fall silent, leave.

use std::time::Duration;

use super::super::testing::{Bench, aware, framework_info, pid, scalar, some, task_on};
use super::super::*;
use crate::alloc::Call;
use crate::proto::internal::{
    PongSlaveMessage, RegisterSlaveMessage, UnregisterSlaveMessage, UpdateSlaveMessage,
};
use crate::proto::message::Message;
use crate::proto::task_status::Reason;
use crate::proto::{AgentInfo, TaskState, resource};

/// What the agent hears of its pings: pongs to the number it was pinged by.
fn pong(bench: &mut Bench, from: &Upid, agent: &AgentId) {
    let to = format!("slave-observer({})", bench.number(agent));
    bench.message_from(from, from.address, &to, PongSlaveMessage {});
}

#[test]
fn joining_links_pings_and_tells_the_allocator() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    assert!(bench.out.iter().any(|effect| matches!(effect, Effect::Link(at) if *at == from.address)));
    let sent = bench.sent_to(&from);
    let [Message::PingAgent(ping), Message::AgentRegistered(registered)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert!(ping.connected);
    assert_eq!(registered.connection.as_ref().unwrap().total_ping_timeout_seconds, Some(75.0));
    let told = bench.told_allocator();
    assert!(matches!(&told[..], [Call::AddAgent { id, total, .. }] if *id == agent && total.cpus() == 4000));
    assert!(bench.registry.admitted.contains_key(&agent));
}

#[test]
fn an_agent_that_repeats_itself_joins_once() {
    let mut bench = Bench::new();
    let from = pid("slave(1)", 5051);
    let event = || Event::Message {
        from: from.clone(),
        peer: from.address,
        to: "master".into(),
        message: Box::new(Bench::agent_message(some(1.0, 32.0)).into()),
    };
    let mut out = vec![];
    handle(&mut bench.state, event(), bench.now, &mut out);
    handle(&mut bench.state, event(), bench.now, &mut out);
    assert_eq!(out.len(), 1, "{out:?}");
    let (from, agent) = bench.agent(5052);
    bench.take();
    bench.message(&from, Bench::agent_message(some(1.0, 32.0)));
    let sent = bench.sent_to(&from);
    assert!(matches!(&sent[..], [Message::AgentRegistered(own)] if own.agent_id == agent), "{sent:?}");
}

#[test]
fn what_is_no_registration_is_dropped() {
    let mut bench = Bench::with(&["--slaves=host,other:5051"], Default::default());
    bench.take();
    let from = pid("slave(1)", 5051);
    let good = Bench::agent_message(some(1.0, 32.0));
    let of = |agent: AgentInfo| RegisterSlaveMessage { agent, ..good.clone() };
    for bad in [
        of(AgentInfo { hostname: "<script>".into(), ..good.agent.clone() }),
        of(AgentInfo { hostname: "elsewhere".into(), ..good.agent.clone() }),
        of(AgentInfo { port: Some(-5), ..good.agent.clone() }),
        of(AgentInfo { resources: some(-1.0, 32.0), ..good.agent.clone() }),
        of(AgentInfo { resources: some(f64::NAN, 32.0), ..good.agent.clone() }),
        of(AgentInfo { domain: Some(Default::default()), ..good.agent.clone() }),
        RegisterSlaveMessage { version: None, ..good.clone() },
        RegisterSlaveMessage { version: Some("0.28.0".into()), ..good.clone() },
        RegisterSlaveMessage { checkpointed_resources: some(1.0, 1.0), ..good.clone() },
    ] {
        bench.message(&from, bad);
        assert!(bench.out.is_empty(), "{:?}", bench.out);
    }
    bench.message_from(&from, ([10, 0, 0, 9], 1).into(), "master", good.clone());
    assert!(bench.out.is_empty(), "a pid of another machine");
    assert_eq!(bench.state.cluster().counters.get("dropped_messages"), 10);
    bench.message(&from, good);
    assert_eq!(bench.state.cluster().agents.len(), 1);
}

#[test]
fn five_unanswered_pings_make_an_agent_unreachable() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.out.clear();
    let number = bench.number(&agent);
    let ping = |bench: &mut Bench| {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    };
    for _ in 0..4 {
        ping(&mut bench);
    }
    pong(&mut bench, &from, &agent);
    for _ in 0..5 {
        ping(&mut bench);
    }
    assert!(bench.state.cluster().agents.contains_key(&agent), "the pong counted");
    bench.take();
    ping(&mut bench);
    assert!(bench.state.cluster().unreachable.contains_key(&agent));
    let updates = bench.updates("s");
    let [update] = updates.as_slice() else { panic!("{updates:?}") };
    assert_eq!((update.state(), update.reason()), (TaskState::TaskUnreachable, Reason::AgentRemoved));
    assert!(update.unreachable_time.is_some() && update.uuid.is_none());
    assert_eq!(update.message(), "health check timed out");
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::RemoveAgent { .. })));
    assert!(bench.recovered().is_empty(), "the allocator forgot them with the agent");
    assert!(bench.events("s").iter().any(|event| event.failure.is_some()));
    let framework = bench.state.cluster().framework(&framework).unwrap();
    assert!(
        framework.tasks.is_empty() && framework.unreachable_tasks.len() == 1 && framework.used.is_empty()
    );
    let counters = &bench.state.cluster().counters;
    assert_eq!(counters.get("slave_removals/reason_unhealthy"), 1);
}

#[test]
fn a_framework_that_knows_no_partitions_is_told_lost() {
    let (mut bench, _, agent, framework) = Bench::running(framework_info(&[]));
    let number = bench.number(&agent);
    for _ in 0..5 {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    }
    assert_eq!(bench.updates("s")[0].state(), TaskState::TaskLost);
    // It may be back, so its id is taken.
    let framework = bench.state.cluster().framework(&framework).unwrap();
    assert_eq!(framework.unreachable_tasks.len(), 1);
}

#[test]
fn a_stranger_cannot_answer_pings() {
    let (mut bench, from, agent, _) = Bench::running(framework_info(&[]));
    let number = bench.number(&agent);
    bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    let to = format!("slave-observer({number})");
    bench.message_from(&pid("slave(1)", 1), from.address, &to, PongSlaveMessage {});
    bench.message_from(&from, ([10, 0, 0, 9], 1).into(), &to, PongSlaveMessage {});
    bench.message_from(&from, from.address, "slave-observer(77)", PongSlaveMessage {});
    bench.message_from(&from, from.address, "slave-observer(x", PongSlaveMessage {});
    assert!(bench.state.watches[&agent].pinged);
}

#[test]
fn a_broken_link_takes_offers_but_no_tasks() {
    let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
    bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.take();
    bench.event(Event::Exited(from.address));
    let known = bench.state.cluster().agent(&agent).unwrap();
    assert!(!known.connected && !known.active && known.offers.is_empty());
    assert!(bench.events("s").iter().any(|event| event.rescind.is_some()));
    assert!(bench.updates("s").is_empty() && bench.task(&framework, "t").is_some());
    bench.take();
    bench.event(Event::Exited(from.address));
    assert!(bench.out.is_empty(), "told twice");
    let number = bench.number(&agent);
    bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    let Message::PingAgent(ping) = bench.sent_to(&from)[0] else { panic!() };
    assert!(!ping.connected, "so that the agent comes back");
    bench.event(Event::Timer(Timer::Reregister { agent: agent.clone(), number: 0 }));
    assert!(bench.state.cluster().agents.contains_key(&agent), "an old timer");
    bench.event(Event::Timer(Timer::Reregister { agent: agent.clone(), number: 1 }));
    assert!(bench.state.cluster().unreachable.contains_key(&agent));
}

#[test]
fn a_new_agent_at_an_old_address_ends_the_old_one() {
    let (mut bench, from, old, framework) = Bench::running(framework_info(&[]));
    bench.event(Event::Exited(from.address));
    bench.take();
    let (_, new) = bench.agent(5051);
    assert_ne!(old, new);
    assert!(!bench.state.cluster().agents.contains_key(&old));
    let updates = bench.updates("s");
    assert_eq!(updates[0].state(), TaskState::TaskLost);
    assert_eq!(updates[0].message(), "Agent host removed: a new agent registered at the same address");
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().completed_tasks.len(), 1);
}

#[test]
fn only_the_agent_itself_unregisters() {
    let (mut bench, from, agent, _) = Bench::running(framework_info(&[]));
    let message = || UnregisterSlaveMessage { agent_id: agent.clone() };
    bench.message(&pid("slave(2)", 5051), message());
    bench.message_from(&from, ([10, 0, 0, 9], 1).into(), "master", message());
    assert!(bench.out.is_empty());
    bench.message(&from, message());
    assert!(bench.state.cluster().agents.is_empty() && bench.registry.admitted.is_empty());
    assert_eq!(bench.updates("s")[0].message(), "Agent host removed: the agent unregistered");
}

#[test]
fn oversubscribed_resources_change_the_total() {
    let (mut bench, from, agent, _) = Bench::running(framework_info(&[]));
    let revocable =
        crate::proto::Resource { revocable: Some(resource::RevocableInfo::default()), ..scalar("cpus", 2.0) };
    let message = |oversubscribed| UpdateSlaveMessage {
        agent_id: agent.clone(),
        update_oversubscribed_resources: Some(true),
        oversubscribed_resources: oversubscribed,
        ..Default::default()
    };
    bench.message(&from, message(vec![revocable]));
    assert!(matches!(&bench.told_allocator()[..], [Call::UpdateAgent { total, .. }] if total.cpus() == 6000));
    bench.take();
    bench.message(&from, message(some(1.0, 1.0)));
    assert!(bench.told_allocator().is_empty(), "not revocable");
    bench.message(&from, message(vec![]));
    assert_eq!(bench.state.cluster().agent(&agent).unwrap().total.cpus(), 4000);
}

#[test]
fn an_agent_that_is_gone_does_not_come_back() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let operate =
        |id: &AgentId| Event::Operate { reply: ReplyId(7), operation: Operate::MarkAgentGone(id.clone()) };
    bench.event(operate(&"nobody".into()));
    let refused = Answer::NotFound("Agent 'nobody' not found".to_owned());
    assert!(
        bench.out.iter().any(|effect| matches!(effect, Effect::Reply { answer, .. } if *answer == refused))
    );
    let returning = bench.coming_back(&agent);
    bench.event(operate(&agent));
    assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::Shutdown(_))));
    assert_eq!(bench.updates("s")[0].state(), TaskState::TaskGoneByOperator);
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().completed_tasks.len(), 1);
    bench.take();
    bench.message(&from, returning);
    let sent = bench.sent_to(&from);
    let [Message::Shutdown(shutdown)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(shutdown.message(), "Agent has been marked gone");
}

#[test]
fn tasks_of_an_unreachable_agent_are_gone_with_it() {
    let (mut bench, _, agent, framework) = Bench::running(aware());
    let number = bench.number(&agent);
    for _ in 0..5 {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    }
    bench.take();
    bench.event(Event::Operate { reply: ReplyId(1), operation: Operate::MarkAgentGone(agent.clone()) });
    assert_eq!(bench.updates("s")[0].state(), TaskState::TaskGoneByOperator);
    let framework = bench.state.cluster().framework(&framework).unwrap();
    assert!(framework.unreachable_tasks.is_empty() && framework.completed_tasks.len() == 1);
    assert!(bench.state.cluster().gone.contains_key(&agent) && bench.state.cluster().unreachable.is_empty());
}

#[test]
fn old_unreachable_agents_are_forgotten() {
    let (mut bench, _, agent, framework) = Bench::running(aware());
    let number = bench.number(&agent);
    for _ in 0..5 {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    }
    bench.event(Event::Timer(Timer::Prune));
    assert!(!bench.state.cluster().unreachable.is_empty(), "not old yet");
    bench.now = bench.now + Duration::from_secs(15 * 24 * 3600);
    bench.event(Event::Timer(Timer::Prune));
    assert!(bench.state.cluster().unreachable.is_empty() && bench.registry.unreachable.is_empty());
    assert!(bench.state.cluster().framework(&framework).unwrap().unreachable_tasks.is_empty());
}

#[test]
fn unreachable_tasks_are_remembered_within_their_limit() {
    let mut bench = Bench::with(&["--max_unreachable_tasks_per_framework=2"], Default::default());
    let framework = bench.subscribe("s", aware()).expect("subscribed");
    let (from, agent) = bench.agent(5051);
    let mut message = bench.coming_back(&agent);
    message.frameworks = vec![(*bench.state.cluster().framework(&framework).unwrap().info).clone()];
    message.tasks = (0..4).map(|index| task_on(&agent, &framework, &format!("t{index}"), None)).collect();
    bench.message(&from, message);
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().tasks.len(), 4);
    let number = bench.number(&agent);
    for _ in 0..5 {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    }
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().unreachable_tasks.len(), 2);
}
