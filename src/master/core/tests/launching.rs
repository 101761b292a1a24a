//! What an ACCEPT may and may not.

use super::super::testing::{Bench, aware, executor, framework_info, launch, scalar, some, task};
use super::super::*;
use crate::proto::message::Message;
use crate::proto::offer::{Operation, operation};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    CommandInfo, ExecutorInfo, OperationState, Resource, TaskGroupInfo, TaskInfo, TaskState, executor_info,
    value,
};

/// A bench with an agent, a framework on "s", and an offer of all that the agent has.
fn offered(info: crate::proto::FrameworkInfo) -> (Bench, Upid, AgentId, FrameworkId, crate::proto::Offer) {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    let framework = bench.subscribe("s", info).expect("subscribed");
    let offer = bench.offer(&framework, &agent, some(4.0, 1024.0));
    bench.take();
    (bench, from, agent, framework, offer)
}

/// The one refusal of a task by the master.
fn refusal(bench: &Bench) -> (TaskState, Reason, String) {
    let updates = bench.updates("s");
    let [update] = updates.as_slice() else { panic!("{updates:?}") };
    assert_eq!(update.source(), Source::Master);
    assert!(update.uuid.is_none());
    (update.state(), update.reason(), update.message().to_owned())
}

#[test]
fn offers_that_are_not_there_lose_their_tasks() {
    for (info, state) in [(framework_info(&[]), TaskState::TaskLost), (aware(), TaskState::TaskDropped)] {
        let (mut bench, from, agent, _, offer) = offered(info);
        bench.accept("s", &[&offer], vec![]);
        bench.take();
        assert_eq!(bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)])]), Answer::Accepted);
        let why = "Task launched with invalid offers: Offer M-O0 is no longer valid".to_owned();
        assert_eq!(refusal(&bench), (state, Reason::InvalidOffers, why));
        assert!(bench.sent_to(&from).is_empty());
    }
}

/// A launch that comes again after its task went with its agent, which may return with it.
#[test]
fn a_repeated_launch_says_nothing_new_of_a_task_that_was_lost() {
    let (mut bench, from, agent, framework) = Bench::running(aware());
    bench.event(Event::Exited(from.address));
    bench.message(&from, Bench::agent_message(some(4.0, 1024.0)));
    let lost = bench.updates("s")[0].state();
    assert!(bench.task(&framework, "t").is_none());
    let gone = crate::proto::Offer { id: "M-O9".into(), ..Default::default() };
    bench.take();
    bench.accept("s", &[&gone], vec![launch(vec![task("t", &agent)])]);
    assert_eq!((refusal(&bench).0, refusal(&bench).1), (lost, Reason::InvalidOffers));
}

#[test]
fn offers_must_go_together() {
    let (mut bench, _, agent, framework, offer) = offered(framework_info(&[]));
    bench.accept("s", &[&offer, &offer], vec![launch(vec![task("t", &agent)])]);
    assert_eq!(refusal(&bench).2, "Task launched with invalid offers: Duplicate offer M-O0 in offer list");
    assert!(bench.state.cluster().offers.is_empty(), "it was taken back");
    let (_, second) = bench.agent(5052);
    let here = bench.offer(&framework, &agent, some(1.0, 32.0));
    let there = bench.offer(&framework, &second, some(1.0, 32.0));
    bench.take();
    bench.accept("s", &[&here, &there], vec![launch(vec![task("t", &agent)])]);
    assert!(refusal(&bench).2.contains("Aggregated offers must belong to one single agent."));
    bench.subscribe("other", framework_info(&[])).expect("subscribed");
    let here = bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.accept("other", &[&here], vec![]);
    assert!(bench.state.cluster().offers.contains_key(&here.id), "not the other's to take back");
    let none = bench.accept("s", &[], vec![]);
    assert_eq!(none, Answer::Accepted);
}

#[test]
fn several_offers_make_one_task() {
    let mut bench = Bench::new();
    let (from, agent) = bench.agent(5051);
    let framework = bench.subscribe("s", framework_info(&[])).expect("subscribed");
    let offers = [1, 2].map(|_| bench.offer(&framework, &agent, some(1.0, 32.0)));
    let large = TaskInfo { resources: some(2.0, 48.0), ..task("t", &agent) };
    bench.take();
    bench.accept("s", &[&offers[0], &offers[1]], vec![launch(vec![large])]);
    assert_eq!(bench.sent_to(&from).len(), 1);
    assert_eq!(bench.recovered().to_string(), "mem:16");
}

type Change = Box<dyn Fn(TaskInfo) -> TaskInfo>;

#[test]
fn invalid_tasks_are_errors_and_leave_the_others_be() {
    let port_ranges = Resource {
        name: "ports".to_owned(),
        r#type: value::Type::Ranges as i32,
        ranges: Some(value::Ranges {
            range: (0..20_000).map(|index| value::Range { begin: 2 * index, end: 2 * index }).collect(),
        }),
        ..Default::default()
    };
    let command = Some(CommandInfo::default());
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|task| TaskInfo { task_id: "a/b".into(), ..task }), "'a/b' contains invalid characters"),
        (Box::new(|task| TaskInfo { task_id: "..".into(), ..task }), "'..' is disallowed"),
        (
            Box::new(|task| TaskInfo { agent_id: "x".into(), ..task }),
            "Task uses invalid agent x while agent M-S0 is expected",
        ),
        (Box::new(|task| TaskInfo { resources: vec![], ..task }), "Task uses no resources"),
        (
            Box::new(|task| TaskInfo { command: None, ..task }),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            Box::new(move |task| TaskInfo {
                command: command.clone(),
                executor: Some(executor("e")),
                ..task
            }),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            Box::new(|task| TaskInfo { resources: some(5.0, 32.0), ..task }),
            "Total resources cpus(allocated: *):5; mem(allocated: *):32 required by task and its executor is more \
             than available",
        ),
        (
            Box::new(move |task| TaskInfo { resources: vec![port_ranges.clone()], ..task }),
            "Total resources ports(allocated: *):[",
        ),
        (
            Box::new(|task| TaskInfo { resources: vec![scalar("cpus", 0.001); 100_000], ..task }),
            "Total resources cpus(allocated: *):100 required by task and its executor is more than available",
        ),
        (
            Box::new(|task| TaskInfo { resources: vec![scalar("gpus", 0.5)], ..task }),
            "Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
        ),
    ];
    for (change, why) in cases {
        let (mut bench, from, agent, _, offer) = offered(framework_info(&[]));
        let tasks = vec![change(task("t", &agent)), task("good", &agent)];
        bench.accept("s", &[&offer], vec![launch(tasks)]);
        let (state, reason, message) = refusal(&bench);
        assert_eq!((state, reason), (TaskState::TaskError, Reason::TaskInvalid));
        assert!(message.starts_with(why), "{message}");
        assert_eq!(bench.sent_to(&from).len(), 1, "the other one runs");
    }
}

#[test]
fn impossible_resources_spoil_the_whole_launch() {
    for amount in [-1.0, f64::NAN, f64::INFINITY] {
        let (mut bench, from, agent, _, offer) = offered(framework_info(&[]));
        let bad = TaskInfo { resources: some(amount, 32.0), ..task("t", &agent) };
        bench.accept("s", &[&offer], vec![launch(vec![task("good", &agent), bad])]);
        assert_eq!(bench.updates("s").len(), 2);
        assert!(
            bench.updates("s")[0].message().contains("is invalid"),
            "{}",
            bench.updates("s")[0].message()
        );
        assert!(bench.sent_to(&from).is_empty());
        assert_eq!(bench.recovered().to_string(), "cpus:4; mem:1024");
    }
}

#[test]
fn an_id_runs_once() {
    let (mut bench, _, agent, framework) = Bench::running(framework_info(&[]));
    let offer = bench.offer(&framework, &agent, some(2.0, 64.0));
    bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)])]);
    assert_eq!(refusal(&bench).2, "Task has duplicate ID: t");
}

#[test]
fn an_executor_is_paid_for_once() {
    let (mut bench, from, agent, framework, offer) = offered(framework_info(&[]));
    let with =
        |id: &str, info: ExecutorInfo| TaskInfo { command: None, executor: Some(info), ..task(id, &agent) };
    let tasks = vec![with("a", executor("e")), with("b", executor("e"))];
    bench.accept("s", &[&offer], vec![launch(tasks)]);
    let sent = bench.sent_to(&from);
    let [Message::RunTask(first), Message::RunTask(second)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((first.launch_executor, second.launch_executor), (Some(true), Some(false)));
    assert_eq!(first.task.executor.as_ref().unwrap().framework_id.as_ref(), Some(&framework));
    assert_eq!(bench.state.cluster().agent(&agent).unwrap().used.to_string(), "cpus:2.5; mem:96");
    assert_eq!(bench.recovered().to_string(), "cpus:1.5; mem:928");
    let offer = bench.offer(&framework, &agent, some(1.0, 32.0));
    bench.take();
    let other = ExecutorInfo { name: Some("other".into()), ..executor("e") };
    bench.accept("s", &[&offer], vec![launch(vec![with("c", other)])]);
    assert!(refusal(&bench).2.starts_with("ExecutorInfo is not compatible with existing ExecutorInfo"));
    bench.take();
    let exited = crate::proto::internal::ExitedExecutorMessage {
        agent_id: agent.clone(),
        framework_id: framework.clone(),
        executor_id: "e".into(),
        status: 9,
    };
    bench.message(&from, exited.clone());
    assert_eq!(bench.recovered().to_string(), "cpus:0.5; mem:32");
    let failure = bench.events("s")[0].failure.clone().unwrap();
    assert_eq!((failure.status, failure.executor_id), (Some(9), Some("e".into())));
    bench.take();
    bench.message(&from, exited);
    assert!(bench.out.is_empty(), "known once");
}

fn group(agent: &AgentId, ids: &[&str], info: ExecutorInfo) -> Operation {
    let tasks = ids.iter().map(|id| task(id, agent)).collect();
    Operation {
        r#type: Some(operation::Type::LaunchGroup as i32),
        launch_group: Some(operation::LaunchGroup { executor: info, task_group: TaskGroupInfo { tasks } }),
        ..Default::default()
    }
}

fn default_executor(framework: &FrameworkId) -> ExecutorInfo {
    let mut resources = some(0.1, 32.0);
    resources.push(scalar("disk", 16.0));
    ExecutorInfo {
        r#type: Some(executor_info::Type::Default as i32),
        executor_id: "d".into(),
        framework_id: Some(framework.clone()),
        resources,
        ..Default::default()
    }
}

#[test]
fn a_group_runs_whole_or_not_at_all() {
    let mut bench = Bench::new();
    let from = super::super::testing::pid("slave(1)", 5051);
    let mut resources = some(4.0, 1024.0);
    resources.push(scalar("disk", 100.0));
    bench.message(&from, Bench::agent_message(resources.clone()));
    let agent: AgentId = "M-S0".into();
    let framework = bench.subscribe("s", framework_info(&[])).expect("subscribed");
    let offer = bench.offer(&framework, &agent, resources.clone());
    bench.take();
    bench.accept("s", &[&offer], vec![group(&agent, &["a", "b"], default_executor(&framework))]);
    let sent = bench.sent_to(&from);
    let [Message::RunTaskGroup(run)] = sent.as_slice() else { panic!("{sent:?} {:?}", bench.updates("s")) };
    assert_eq!((run.task_group.tasks.len(), run.launch_executor), (2, Some(true)));
    assert_eq!(bench.recovered().to_string(), "cpus:1.9; disk:84; mem:928");
    assert_eq!(bench.task(&framework, "a").unwrap().executor, Some("d".into()));

    for (ids, change) in
        [(vec!["c", "c"], None), (vec!["c", "a"], None), (vec!["c", "d"], Some(9.0)), (vec![], None)]
    {
        let offer = bench.offer(&framework, &agent, vec![scalar("cpus", 1.5), scalar("mem", 512.0)]);
        bench.take();
        let mut operation = group(&agent, &ids, default_executor(&framework));
        if let (Some(cpus), Some(launch)) = (change, &mut operation.launch_group) {
            launch.task_group.tasks[1].resources = some(cpus, 32.0);
        }
        bench.accept("s", &[&offer], vec![operation]);
        assert_eq!(bench.updates("s").len(), ids.len(), "{ids:?}");
        assert!(bench.updates("s").iter().all(|update| update.reason() == Reason::TaskGroupInvalid));
        assert!(bench.sent_to(&from).is_empty());
        assert_eq!(bench.recovered().cpus(), 1500);
    }
}

#[test]
fn operations_to_come_are_refused_in_words() {
    let (mut bench, from, agent, _, offer) = offered(framework_info(&[]));
    let reserve = Operation {
        r#type: Some(operation::Type::Reserve as i32),
        reserve: Some(operation::Reserve::default()),
        ..Default::default()
    };
    let answer = bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)]), reserve.clone()]);
    let Answer::NotImplemented(why) = answer else { panic!("{answer:?}") };
    assert!(why.starts_with("RESERVE is not supported yet"));
    assert!(bench.state.cluster().offers.contains_key(&offer.id) && bench.sent_to(&from).is_empty());
    let with_id = Operation { id: Some("o".into()), ..reserve };
    let answer = bench.accept("s", &[&offer], vec![with_id, launch(vec![task("t", &agent)])]);
    assert_eq!(answer, Answer::Accepted);
    let status = bench.events("s")[0].update_operation_status.clone().unwrap().status;
    assert_eq!((status.state(), status.operation_id), (OperationState::OperationError, Some("o".into())));
    assert_eq!(bench.sent_to(&from).len(), 1, "the task runs");
}
