//! Agents come back, masters change, tasks are reconciled.

use super::super::testing::{Bench, aware, executor, framework_info, launch, pid, some, task, task_on};
use super::super::*;
use crate::alloc::Call;
use crate::proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage, archive};
use crate::proto::message::Message;
use crate::proto::scheduler::call;
use crate::proto::task_status::Reason;
use crate::proto::{FrameworkInfo, TaskInfo, TaskState, TaskStatus, Uuid};
use crate::registry::Registry;

/// The agent's re-registration with these tasks of the framework.
pub(super) fn with_tasks(
    bench: &Bench,
    agent: &AgentId,
    framework: &FrameworkId,
    tasks: &[&str],
) -> ReregisterSlaveMessage {
    let info = bench.state.cluster().framework(framework).map(|known| (*known.info).clone());
    ReregisterSlaveMessage {
        frameworks: info.into_iter().collect(),
        tasks: tasks.iter().map(|id| task_on(agent, framework, id, None)).collect(),
        ..bench.coming_back(agent)
    }
}

pub(super) fn fall_silent(bench: &mut Bench, agent: &AgentId) {
    lose(bench, agent);
    bench.take();
}

fn lose(bench: &mut Bench, agent: &AgentId) {
    let number = bench.number(agent);
    for _ in 0..5 {
        bench.event(Event::Timer(Timer::Ping { agent: agent.clone(), number }));
    }
    assert!(bench.state.cluster().unreachable.contains_key(agent));
}

/// A master that was held up hears of both processes at once, and its link is to the second.
#[test]
fn another_process_at_the_address_of_a_connected_agent_is_asked_what_it_has() {
    let (mut bench, from, agent, framework) = Bench::running(framework_info(&[]));
    let of = |byte: u8| Some(Uuid { value: vec![byte; 16].into() });
    let first = with_tasks(&bench, &agent, &framework, &["t"]);
    bench.message(
        &from,
        ReregisterSlaveMessage { resource_version_uuid: of(1), attempt: Some(7 << 40 | 9), ..first },
    );
    let connected = |bench: &Bench| bench.state.cluster().agent(&agent).map(|agent| agent.connected);
    assert_eq!(connected(&bench), Some(true));
    let message = Bench::agent_message(some(4.0, 1024.0));
    let other = RegisterSlaveMessage { resource_version_uuid: of(2), ..message };
    for repeated in [false, true] {
        bench.take();
        bench.message(&from, other.clone());
        let sent = bench.sent_to(&from);
        assert!(sent.iter().any(|m| matches!(m, Message::AgentRegistered(own) if own.agent_id == agent)));
        let asked = sent.iter().any(|m| matches!(m, Message::PingAgent(ping) if !ping.connected));
        assert_eq!((asked, connected(&bench)), (!repeated, Some(false)), "{sent:?}");
    }
    bench.take();
    let attempt = Some(1);
    let back = ReregisterSlaveMessage { resource_version_uuid: of(2), attempt, ..bench.coming_back(&agent) };
    bench.message(&from, back);
    assert_eq!(connected(&bench), Some(true));
    let asked = bench.sent_to(&from).into_iter().find_map(|message| match message {
        Message::AgentReregistered(message) => Some(message.reconciliations.clone()),
        _ => None,
    });
    assert_eq!(asked.expect("an answer")[0].framework_id, framework, "the task it did not name");
}

#[test]
fn tasks_of_an_unreachable_agent_go_on_when_it_is_back() {
    for info in [aware(), framework_info(&[])] {
        let (mut bench, from, agent, framework) = Bench::running(info);
        let message = with_tasks(&bench, &agent, &framework, &["t"]);
        fall_silent(&mut bench, &agent);
        bench.message(&from, message);
        let updates = bench.updates("s");
        let [update] = updates.as_slice() else { panic!("{updates:?}") };
        assert_eq!((update.state(), update.reason()), (TaskState::TaskRunning, Reason::AgentReregistered));
        assert_eq!(update.message(), "Unreachable agent re-reregistered");
        let known = bench.state.cluster().framework(&framework).unwrap();
        assert!(known.unreachable_tasks.is_empty() && known.tasks.len() == 1);
        assert!(bench.state.cluster().unreachable.is_empty() && bench.registry.admitted.contains_key(&agent));
        let held = bench.told_allocator().into_iter().find_map(|told| match told {
            Call::AddAgent { held, .. } => Some(held.clone()),
            _ => None,
        });
        assert_eq!(held.unwrap()[0].0, framework);
        assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::AgentReregistered(_))));
    }
}

#[test]
fn a_task_that_did_not_survive_its_unreachable_agent_is_unknown() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let message = with_tasks(&bench, &agent, &framework, &[]);
    fall_silent(&mut bench, &agent);
    bench.message(&from, message);
    assert!(bench.updates("s").is_empty());
    assert!(bench.state.cluster().framework(&framework).unwrap().unreachable_tasks.is_empty());
}

#[test]
fn a_new_master_learns_frameworks_from_agents_and_waits_for_the_others() {
    let (mut old, from, agent, framework) = Bench::running(aware());
    let message = with_tasks(&old, &agent, &framework, &["t"]);
    let _ = old.agent(5052);
    let mut bench =
        Bench::with(&[], Registry { admitted: old.registry.admitted.clone(), ..Registry::default() });
    let id = FrameworkInfo { id: Some(framework.clone()), ..aware() };
    assert_eq!(bench.state.cluster().recovered.len(), 2);
    bench.message(&from, message);
    let known = bench.state.cluster().framework(&framework).unwrap();
    assert!(known.recovered && !known.connected && known.tasks.len() == 1);
    assert_eq!(bench.subscribe("s", id), Some(framework.clone()));
    assert!(!bench.state.cluster().framework(&framework).unwrap().recovered);
    // The other agent may have it: no answer yet.
    bench.take();
    reconcile(&mut bench, &[("u", None), ("u", Some("M-S1"))]);
    assert!(bench.updates("s").is_empty());
    bench.pass(std::time::Duration::from_secs(600));
    bench.event(Event::Timer(Timer::Recovered));
    assert!(bench.state.cluster().recovered.is_empty());
    assert!(bench.state.cluster().unreachable.contains_key(&AgentId::from("M-S1")));
    assert_eq!(bench.state.cluster().counters.get("recovery_slave_removals"), 1);
}

#[test]
fn a_known_agent_is_asked_for_the_tasks_it_does_not_name() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.event(Event::Exited(from.address));
    bench.take();
    bench.message(&from, with_tasks(&bench, &agent, &framework, &[]));
    let sent = bench.sent_to(&from);
    let [Message::AgentReregistered(answer), Message::UpdateFramework(_)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(answer.reconciliations[0].statuses[0].task_id.value, "t");
    assert_eq!(answer.reconciliations[0].framework.as_ref().unwrap().name, "test");
    let known = bench.state.cluster().agent(&agent).unwrap();
    assert!(known.connected && known.active && known.tasks.len() == 1);
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::ActivateAgent { .. })));
    // The agent says that it has it not.
    bench.update(&from, &agent, &framework, "t", TaskState::TaskDropped, 1);
    assert!(bench.state.cluster().agent(&agent).unwrap().used.is_empty());
}

#[test]
fn a_known_agent_comes_back_at_another_port_but_not_from_elsewhere() {
    let (mut bench, _, agent, framework) = Bench::running(aware());
    let message = with_tasks(&bench, &agent, &framework, &["t"]);
    let elsewhere = Upid::new("slave(1)", ([127, 0, 0, 2], 5051).into());
    bench.message(&elsewhere, message.clone());
    let sent = bench.sent_to(&elsewhere);
    let [Message::Shutdown(why)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(why.message(), "Agent attempted to reregister with different IP / hostname");
    bench.take();
    let moved = pid("slave(1)", 6051);
    bench.message(&moved, message);
    assert_eq!(bench.state.cluster().agent(&agent).unwrap().pid, moved);
    assert!(bench.sent_to(&moved).iter().any(|message| matches!(message, Message::AgentReregistered(_))));
}

#[test]
fn a_returning_agent_must_make_sense() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let good = with_tasks(&bench, &agent, &framework, &["t"]);
    let twice = [task_on(&agent, &framework, "t", None), task_on(&agent, &framework, "t", None)];
    let mut no_id = good.clone();
    no_id.agent.id = None;
    let mut no_framework_id = good.clone();
    no_framework_id.frameworks[0].id = None;
    for bad in [
        no_id,
        no_framework_id,
        ReregisterSlaveMessage { tasks: twice.to_vec(), ..good.clone() },
        ReregisterSlaveMessage { tasks: vec![task_on(&"x".into(), &framework, "t", None)], ..good.clone() },
        ReregisterSlaveMessage { tasks: vec![task_on(&agent, &"x".into(), "t", None)], ..good.clone() },
        ReregisterSlaveMessage { tasks: vec![task_on(&agent, &framework, "t", Some("e"))], ..good.clone() },
        ReregisterSlaveMessage { executor_infos: vec![executor("e")], ..good.clone() },
        ReregisterSlaveMessage { version: None, ..good },
    ] {
        bench.message(&from, bad);
        assert!(bench.out.is_empty(), "{:?}", bench.out);
    }
}

#[test]
fn other_resources_rescind_and_are_stored() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.take();
    let mut message = with_tasks(&bench, &agent, &framework, &["t"]);
    message.agent.resources = some(2.0, 64.0);
    bench.message(&from, message);
    assert!(bench.events("s").iter().any(|event| event.rescind.is_some()));
    assert!(bench.told_allocator().iter().any(|told| matches!(told, Call::UpdateAgent { .. })));
    assert_eq!(bench.registry.admitted[&agent].resources, some(2.0, 64.0));
    assert_eq!(bench.state.cluster().agent(&agent).unwrap().free().to_string(), "cpus:1; mem:32");
}

#[test]
fn what_was_killed_while_the_agent_was_away_is_killed_when_it_is_back() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.event(Event::Exited(from.address));
    bench.take();
    kill(&mut bench, "t", None);
    assert!(bench.sent_to(&from).is_empty());
    bench.message(&from, with_tasks(&bench, &agent, &framework, &["t"]));
    assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::KillTask(_))));
}

#[test]
fn frameworks_that_ended_meanwhile_are_shut_down() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let message = with_tasks(&bench, &agent, &framework, &["t"]);
    fall_silent(&mut bench, &agent);
    bench.event(Event::Operate { reply: ReplyId(1), operation: Operate::Teardown(framework.clone()) });
    bench.take();
    bench.message(&from, message);
    let shut = bench
        .sent_to(&from)
        .iter()
        .any(|message| matches!(message, Message::ShutdownFramework(own) if own.framework_id == framework));
    assert!(shut && bench.state.cluster().frameworks.is_empty());
    assert!(bench.state.cluster().agent(&agent).unwrap().tasks.is_empty());
}

#[test]
fn a_task_that_runs_twice_is_killed_where_it_came_late() {
    let (mut bench, _, agent, framework) = Bench::running(aware());
    let (second, other) = bench.agent(5052);
    bench.take();
    bench.message(&second, with_tasks(&bench, &other, &framework, &["t"]));
    let killed = bench
        .sent_to(&second)
        .iter()
        .any(|message| matches!(message, Message::KillTask(own) if own.task_id.value == "t"));
    assert!(!killed, "known to be elsewhere, it is not even adopted");
    assert_eq!(bench.task(&framework, "t").unwrap().agent, agent);
    // The same from an agent that was unreachable.
    fall_silent(&mut bench, &other);
    bench.message(&second, with_tasks_of(&bench, &other, &framework));
    assert!(bench.sent_to(&second).iter().any(|message| matches!(message, Message::KillTask(_))));
    assert_eq!(bench.task(&framework, "t").unwrap().agent, agent);
}

fn with_tasks_of(bench: &Bench, agent: &AgentId, framework: &FrameworkId) -> ReregisterSlaveMessage {
    with_tasks(bench, agent, framework, &["t"])
}

#[test]
fn an_old_message_does_not_raise_the_dead() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let message = with_tasks(&bench, &agent, &framework, &["t"]);
    bench.update(&from, &agent, &framework, "t", TaskState::TaskFinished, 1);
    bench.acknowledge("s", &agent, "t", 1);
    bench.take();
    bench.message(&from, message);
    assert!(bench.state.cluster().framework(&framework).unwrap().tasks.is_empty());
    assert!(bench.updates("s").is_empty());
}

#[test]
fn an_old_message_does_not_raise_the_dead_of_an_unreachable_agent() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let message = with_tasks(&bench, &agent, &framework, &["t"]);
    bench.update(&from, &agent, &framework, "t", TaskState::TaskFinished, 1);
    bench.acknowledge("s", &agent, "t", 1);
    fall_silent(&mut bench, &agent);
    bench.message(&from, message.clone());
    assert!(bench.updates("s").is_empty() && bench.task(&framework, "t").is_none());
    // The same id again, which is then missed with the agent.
    let offer = bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)])]);
    fall_silent(&mut bench, &agent);
    bench.message(&from, message);
    assert_eq!(bench.task(&framework, "t").map(|task| task.state), Some(TaskState::TaskRunning));
}

#[test]
fn an_executor_under_way_is_not_taken_for_one_that_is_gone() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    let framework = bench.subscribe("s", aware()).expect("subscribed");
    let offer = bench.offer(&framework, &agent, some(4.0, 1024.0));
    let with = TaskInfo { command: None, executor: Some(executor("e")), ..task("t", &agent) };
    bench.accept("s", &[&offer], vec![launch(vec![with])]);
    bench.take();
    bench.message(&from, with_tasks(&bench, &agent, &framework, &[]));
    assert!(bench.recovered().is_empty(), "RunTaskMessage may be under way");
    // It was not: the task is dropped, and its executor never was.
    let mut update = crate::proto::internal::StatusUpdate {
        framework_id: framework.clone(),
        agent_id: Some(agent.clone()),
        uuid: Some(crate::base::uuid::numbered(1)),
        status: TaskStatus { task_id: "t".into(), ..Default::default() },
        ..Default::default()
    };
    update.status.set_state(TaskState::TaskDropped);
    bench.message(&from, crate::proto::internal::StatusUpdateMessage { update, pid: None });
    assert_eq!(bench.recovered().to_string(), "cpus:1.5; mem:64");
    bench.message(&from, with_tasks(&bench, &agent, &framework, &[]));
    assert!(bench.state.cluster().agent(&agent).unwrap().executors.is_empty());
}

#[test]
fn completed_tasks_are_learned_once() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let info = (*bench.state.cluster().framework(&framework).unwrap().info).clone();
    let mut ended = task_on(&agent, &framework, "old", None);
    ended.set_state(TaskState::TaskFinished);
    for _ in 0..2 {
        let mut message = with_tasks(&bench, &agent, &framework, &["t"]);
        message.completed_frameworks = vec![archive::Framework {
            framework_info: info.clone(),
            tasks: vec![ended.clone()],
            ..Default::default()
        }];
        fall_silent(&mut bench, &agent);
        bench.message(&from, message);
    }
    assert_eq!(bench.state.cluster().framework(&framework).unwrap().completed_tasks.len(), 1);
}

fn reconcile(bench: &mut Bench, tasks: &[(&str, Option<&str>)]) {
    let tasks = tasks.iter().map(|(id, agent)| call::reconcile::Task {
        task_id: (*id).into(),
        agent_id: agent.map(AgentId::from),
    });
    let call = scheduler::Call {
        r#type: Some(call::Type::Reconcile as i32),
        reconcile: Some(call::Reconcile { tasks: tasks.collect() }),
        ..Default::default()
    };
    assert_eq!(bench.call("s", call), Answer::Accepted);
}

fn kill(bench: &mut Bench, task: &str, agent: Option<&str>) {
    let kill = call::Kill { task_id: task.into(), agent_id: agent.map(AgentId::from), kill_policy: None };
    let call =
        scheduler::Call { r#type: Some(call::Type::Kill as i32), kill: Some(kill), ..Default::default() };
    assert_eq!(bench.call("s", call), Answer::Accepted);
}

#[test]
fn reconciliation_knows_six_cases() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let (_, silent) = bench.agent(5052);
    fall_silent(&mut bench, &silent);
    let (_, gone) = bench.agent(5053);
    bench.event(Event::Operate { reply: ReplyId(1), operation: Operate::MarkAgentGone(gone.clone()) });
    bench.update(&from, &agent, &framework, "t", TaskState::TaskRunning, 1);
    bench.take();
    reconcile(
        &mut bench,
        &[
            ("t", None),
            ("x", Some(&agent.value)),
            ("x", Some(&silent.value)),
            ("x", Some(&gone.value)),
            ("x", Some("nobody")),
            ("x", None),
        ],
    );
    let updates = bench.updates("s");
    let states: Vec<TaskState> = updates.iter().map(|update| update.state()).collect();
    use TaskState::*;
    assert_eq!(
        states,
        [TaskRunning, TaskGone, TaskUnreachable, TaskGoneByOperator, TaskUnknown, TaskUnknown]
    );
    assert!(updates.iter().all(|update| update.reason() == Reason::Reconciliation && update.uuid.is_none()));
    assert_eq!(updates[0].message(), "Reconciliation: Latest task state");
    assert!(updates[2].unreachable_time.is_some());
    bench.take();
    reconcile(&mut bench, &[]);
    assert_eq!(bench.updates("s").len(), 1, "implicit: all that are known");
}

#[test]
fn frameworks_of_old_hear_lost() {
    let (mut bench, _, agent, _) = Bench::running(framework_info(&[]));
    reconcile(&mut bench, &[("x", None), ("x", Some(&agent.value))]);
    let updates = bench.updates("s");
    assert!(updates.len() == 2 && updates.iter().all(|update| update.state() == TaskState::TaskLost));
}

#[test]
fn killing_goes_to_the_agent_or_is_answered() {
    let (mut bench, from, agent, _) = Bench::running(aware());
    kill(&mut bench, "t", Some("other"));
    assert!(bench.sent_to(&from).is_empty());
    kill(&mut bench, "t", Some(&agent.value));
    assert!(matches!(bench.sent_to(&from)[..], [Message::KillTask(_)]));
    kill(&mut bench, "x", None);
    assert_eq!(bench.updates("s")[0].state(), TaskState::TaskUnknown);
}

#[test]
fn messages_pass_both_ways() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let message =
        call::Message { agent_id: agent.clone(), executor_id: "e".into(), data: b"down"[..].into() };
    let call = scheduler::Call {
        r#type: Some(call::Type::Message as i32),
        message: Some(message),
        ..Default::default()
    };
    bench.call("s", call);
    assert!(matches!(&bench.sent_to(&from)[..], [Message::FrameworkToExecutor(own)] if own.data == "down"));
    let message = crate::proto::internal::ExecutorToFrameworkMessage {
        agent_id: agent.clone(),
        framework_id: framework,
        executor_id: "e".into(),
        data: b"up"[..].into(),
    };
    bench.message(&pid("slave(1)", 1), message.clone());
    assert!(bench.events("s").is_empty());
    bench.message(&from, message);
    assert_eq!(bench.events("s")[0].message.as_ref().unwrap().data, "up");
    let shutdown = scheduler::Call {
        r#type: Some(call::Type::Shutdown as i32),
        shutdown: Some(call::Shutdown { executor_id: "e".into(), agent_id: agent }),
        ..Default::default()
    };
    bench.take();
    bench.call("s", shutdown);
    assert!(matches!(bench.sent_to(&from)[..], [Message::ShutdownExecutor(_)]));
}

#[test]
fn an_end_that_is_known_is_never_called_a_loss() {
    for info in [aware(), framework_info(&[])] {
        let (mut bench, from, agent, framework) = Bench::running(info);
        let mut message = with_tasks(&bench, &agent, &framework, &["t"]);
        message.tasks[0].set_state(TaskState::TaskFinished);
        bench.update(&from, &agent, &framework, "t", TaskState::TaskFinished, 2);
        lose(&mut bench, &agent);
        let updates = bench.updates("s");
        let states: Vec<_> = updates.iter().map(|update| (update.state(), update.uuid.is_some())).collect();
        assert_eq!(states, [(TaskState::TaskFinished, true), (TaskState::TaskFinished, false)]);
        bench.take();
        reconcile(&mut bench, &[("t", Some(&agent.value))]);
        assert_eq!(bench.updates("s")[0].state(), TaskState::TaskFinished);
        bench.take();
        // It is back with an update that its task has left behind: the scheduler does not see it.
        bench.message(&from, message);
        bench.take();
        bench.update(&from, &agent, &framework, "t", TaskState::TaskRunning, 1);
        assert!(bench.updates("s").is_empty());
        assert!(matches!(bench.sent_to(&from)[..], [Message::StatusUpdateAcknowledgement(_)]));
        bench.update(&from, &agent, &framework, "t", TaskState::TaskFinished, 2);
        assert_eq!(bench.updates("s")[0].uuid, Some(crate::base::uuid::numbered(2)));
        bench.acknowledge("s", &agent, "t", 2);
        let known = bench.state.cluster().framework(&framework).unwrap();
        assert!(known.tasks.is_empty() && known.completed_tasks.len() == 1);
        // An old copy changes nothing either.
        bench.take();
        bench.update(&from, &agent, &framework, "t", TaskState::TaskRunning, 1);
        assert!(bench.updates("s").is_empty());
    }
}

#[test]
fn updates_of_a_task_do_not_go_back() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    for (state, byte) in
        [(TaskState::TaskStarting, 1), (TaskState::TaskRunning, 2), (TaskState::TaskStarting, 1)]
    {
        bench.update(&from, &agent, &framework, "t", state, byte);
    }
    assert_eq!(bench.updates("s").len(), 2);
    assert_eq!(bench.task(&framework, "t").unwrap().state, TaskState::TaskRunning);
    for (state, byte) in [(TaskState::TaskFailed, 3), (TaskState::TaskRunning, 2)] {
        bench.update(&from, &agent, &framework, "t", state, byte);
    }
    assert_eq!(bench.updates("s").len(), 3);
    bench.acknowledge("s", &agent, "t", 3);
    assert!(bench.state.cluster().framework(&framework).unwrap().tasks.is_empty(), "forgotten all the same");
}

#[test]
fn a_framework_known_from_agents_alone_does_not_stay_for_ever() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    let mut message = bench.coming_back(&agent);
    let info = FrameworkInfo { id: Some("F".into()), failover_timeout: Some(30.0), ..aware() };
    message.tasks = vec![task_on(&agent, &"F".into(), "t", None)];
    message.frameworks = vec![info];
    bench.message(&from, message);
    let known = |bench: &Bench| bench.state.cluster().framework(&"F".into()).is_some();
    // However short its own time is, its scheduler gets as long as the agents do.
    bench.event(Event::Timer(Timer::Failover { framework: "F".into(), number: 7 }));
    assert!(known(&bench));
    let wake = bench.out.iter().find_map(|effect| match effect {
        Effect::Wake { at, timer: timer @ Timer::Failover { .. } } => Some((*at, timer.clone())),
        _ => None,
    });
    let (at, timer) = wake.expect("a timer");
    assert_eq!(at, bench.now + bench.state.flags.agent_reregister_timeout);
    bench.event(Event::Timer(timer));
    assert!(!known(&bench));
    assert!(bench.sent_to(&from).iter().any(|message| matches!(message, Message::ShutdownFramework(_))));
}

#[test]
fn an_old_reregistration_does_not_bring_back_an_executor() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let mut info = executor("e");
    info.framework_id = Some(framework.clone());
    let message = ReregisterSlaveMessage {
        executor_infos: vec![info],
        ..with_tasks(&bench, &agent, &framework, &["t"])
    };
    let known = |bench: &Bench| bench.state.cluster().agent(&agent).unwrap().executors.len();
    bench.message(&from, message.clone());
    assert_eq!(known(&bench), 1);
    let exited = crate::proto::internal::ExitedExecutorMessage {
        agent_id: agent.clone(),
        framework_id: framework.clone(),
        executor_id: "e".into(),
        status: 0,
    };
    bench.message(&from, exited);
    bench.message(&from, message);
    assert_eq!(known(&bench), 0);
}

#[test]
fn an_update_of_a_framework_that_is_over_ends_it_on_the_agent() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.event(Event::Operate { reply: ReplyId(1), operation: Operate::Teardown(framework.clone()) });
    bench.take();
    bench.update(&from, &agent, &framework, "t", TaskState::TaskKilled, 1);
    assert!(matches!(bench.sent_to(&from)[..], [Message::ShutdownFramework(_)]));
}

#[test]
fn a_re_registration_that_was_overtaken_by_a_later_one_says_nothing() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    let said = |bench: &Bench, process: u64, attempt: u64, tasks: &[&str]| ReregisterSlaveMessage {
        attempt: Some(process << 24 | attempt),
        ..with_tasks(bench, &agent, &framework, tasks)
    };
    let mut answers = |process, attempt, tasks: &[&str]| {
        bench.take();
        let message = said(&bench, process, attempt, tasks);
        bench.message(&from, message);
        let known = bench.state.cluster().framework(&framework).unwrap().tasks.len();
        (bench.sent_to(&from).iter().any(|sent| matches!(sent, Message::AgentReregistered(_))), known)
    };
    assert_eq!(answers(7, 2, &["t"]), (true, 1));
    // Late, and again: an executor that it names has exited since, a task has ended.
    assert_eq!(answers(7, 1, &["t", "old"]), (false, 1));
    assert_eq!(answers(7, 2, &["t"]), (false, 1));
    assert_eq!(answers(7, 3, &["t"]), (true, 1));
    // Another process, the one after it, and what came late of the earlier ones.
    assert_eq!(answers(6, 1, &["t"]), (true, 1));
    let later = 1 << 16;
    assert_eq!(answers(later | 3, 1, &["t"]), (true, 1));
    assert_eq!(answers(7, 4, &["t", "old"]), (false, 1));
    assert_eq!(answers(later | 2, 1, &["t"]), (true, 1));
    // An agent of Apache Mesos.
    bench.take();
    let plain = with_tasks(&bench, &agent, &framework, &["t"]);
    bench.message(&from, plain);
    assert!(bench.sent_to(&from).iter().any(|sent| matches!(sent, Message::AgentReregistered(_))));
}
