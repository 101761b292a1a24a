//! What agents say while their return is being stored.

use super::super::testing::{Bench, aware, executor, framework_info, pid, some, task_on};
use super::super::*;
use super::returning::{fall_silent, with_tasks};
use crate::base::upid::Upid;
use crate::proto::ExecutorInfo;
use crate::proto::internal::{ExitedExecutorMessage, ReregisterSlaveMessage};
use crate::proto::message::Message;

/// Hears the message; what it has to store because of it waits.
fn hear(bench: &mut Bench, from: &Upid, message: impl Into<Message>) {
    let message = Box::new(message.into());
    let event = Event::Message { from: from.clone(), peer: from.address, to: "master".into(), message };
    handle(&mut bench.state, event, bench.now, &mut bench.out);
}

/// Takes what waits, for `store`.
fn waiting(bench: &mut Bench) -> Effect {
    let waits = bench.take().into_iter().find(|effect| matches!(effect, Effect::Store { .. }));
    waits.expect("a change of the registry")
}

fn store(bench: &mut Bench, waiting: Effect) {
    let Effect::Store { operation, then } = waiting else { panic!("{waiting:?}") };
    let done = bench.registry.apply(&operation);
    bench.event(Event::Stored { then, done });
}

/// What the agent runs is what it says last, not when its return began to be stored.
#[test]
fn the_last_that_an_agent_says_counts() {
    for described_anew in [false, true] {
        let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
        bench.event(Event::Exited(from.address));
        let mut first = bench.coming_back(&agent);
        first.agent.resources = some(5.0, 1024.0);
        first.frameworks = vec![(*bench.state.cluster().framework(&framework).unwrap().info).clone()];
        let mut last = first.clone();
        first.tasks = vec![task_on(&agent, &framework, "t", None)];
        if described_anew {
            last.agent.resources = some(6.0, 1024.0);
        }
        bench.take();
        hear(&mut bench, &from, first);
        let waiting = waiting(&mut bench);
        hear(&mut bench, &from, last);
        assert!(bench.out.is_empty(), "one change at a time: {:?}", bench.out);
        store(&mut bench, waiting);
        let sent = bench.sent_to(&from);
        let asked = sent.iter().rev().find_map(|message| match message {
            Message::AgentReregistered(answer) => Some(answer.reconciliations.len()),
            _ => None,
        });
        assert_eq!(asked, Some(1), "it did not name the task any more, and is asked about it");
        let cpus = if described_anew { 6000 } else { 5000 };
        assert_eq!(bench.state.cluster().agents[&agent].total.cpus(), cpus);
        assert!(bench.state.returning.is_empty());
    }
}

/// There may be another process at its address by then, which would be given its place.
#[test]
fn an_agent_whose_connection_ends_has_to_ask_again() {
    let (mut bench, from, agent, _) = Bench::running(framework_info(&[]));
    bench.event(Event::Exited(from.address));
    let mut message = bench.coming_back(&agent);
    message.agent.resources = some(5.0, 1024.0);
    bench.take();
    hear(&mut bench, &from, message.clone());
    let waiting = waiting(&mut bench);
    handle(&mut bench.state, Event::Exited(from.address), bench.now, &mut bench.out);
    store(&mut bench, waiting);
    assert!(!bench.state.cluster().agents[&agent].connected && bench.sent_to(&from).is_empty());
    bench.message(&from, message);
    assert!(bench.state.cluster().agents[&agent].connected);
}

#[test]
fn an_executor_that_exits_is_not_taken_in() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let infos = ["e", "f"].map(|id| ExecutorInfo { framework_id: Some(framework.clone()), ..executor(id) });
    let message = with_tasks(&bench, &agent, &framework, &[]);
    let message = ReregisterSlaveMessage { executor_infos: infos.to_vec(), ..message };
    fall_silent(&mut bench, &agent);
    hear(&mut bench, &from, message);
    let waiting = waiting(&mut bench);
    for (by, id) in [(from.clone(), "e"), (pid("slave(1)", 6000), "f")] {
        let (agent_id, framework_id, executor_id) = (agent.clone(), framework.clone(), id.into());
        hear(&mut bench, &by, ExitedExecutorMessage { agent_id, framework_id, executor_id, status: 9 });
    }
    store(&mut bench, waiting);
    let known = &bench.state.cluster().agent(&agent).expect("it is back").executors;
    assert!(known.keys().eq([&(framework, "f".into())]), "only the agent itself is believed");
    assert!(bench.state.returning.is_empty());
}
