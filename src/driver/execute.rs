//! The framework that runs one task, or one group of tasks, and follows it to its end.
//!
//! Source: `CommandScheduler`, cli/execute.cpp 1.11, also for what is printed.

use std::collections::BTreeMap;

use crate::proto::json::to_json;
use crate::proto::offer::{Operation, operation};
use crate::proto::scheduler::call::{Accept, Acknowledge, Decline, Kill, Subscribe, Type};
use crate::proto::scheduler::{Call, Event, event};
use crate::proto::{
    AgentId, ExecutorInfo, FrameworkInfo, Offer, Resource, Spelling, TaskGroupInfo, TaskId, TaskInfo,
    TaskState, TaskStatus, executor_info, task_status,
};
use crate::resources::{Entry, Invalid, Resources, Set, Value, convert, roles, scalar};

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    Task(Box<TaskInfo>),
    Group(TaskGroupInfo),
}

impl Work {
    fn tasks(&self) -> &[TaskInfo] {
        match self {
            Work::Task(task) => std::slice::from_ref(task),
            Work::Group(group) => &group.tasks,
        }
    }
}

/// What to do next, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Call(Box<Call>),
    /// A line for whoever started this.
    Print(String),
    /// The task runs: if it may do so only for some time, that begins now.
    Running {
        task: TaskId,
        agent: AgentId,
    },
    /// The end, and whether all tasks finished.
    Done {
        finished: bool,
    },
    /// The master refuses this framework.
    Refused(String),
}

/// The framework.
#[derive(Clone, Debug)]
pub struct Execute {
    framework: FrameworkInfo,
    work: Work,
    wanted: Resources,
    launched: bool,
    ended: BTreeMap<TaskId, bool>,
}

impl Execute {
    /// Refuses work whose resources are none.
    pub fn new(framework: FrameworkInfo, work: Work) -> Result<Execute, Invalid> {
        let mut wanted = Resources::new();
        for task in work.tasks() {
            wanted += &Resources::from_protos(&task.resources)?.to_unreserved();
        }
        if matches!(work, Work::Group(_)) {
            wanted += &executor_resources()?;
        }
        Ok(Execute { framework, work, wanted, launched: false, ended: BTreeMap::new() })
    }

    /// SUBSCRIBE, with the id that it got if this is not the first.
    pub fn subscribe(&self) -> Call {
        let framework_info = self.framework.clone();
        Call {
            framework_id: framework_info.id.clone(),
            r#type: Some(Type::Subscribe as i32),
            subscribe: Some(Subscribe { framework_info, ..Subscribe::default() }),
            ..Call::default()
        }
    }

    /// KILL, as asked for by `--kill_after`.
    pub fn kill(&self, task: TaskId, agent: AgentId) -> Vec<Step> {
        let line = format!("Asked to kill task '{task}' on agent '{agent}'");
        let kill = Kill { task_id: task, agent_id: Some(agent), kill_policy: None };
        vec![Step::Print(line), self.call(Type::Kill, Call { kill: Some(kill), ..Call::default() })]
    }

    pub fn handle(&mut self, event: Event) -> Vec<Step> {
        let kind = event.r#type();
        match kind {
            event::Type::Subscribed => {
                let Some(subscribed) = event.subscribed else { return Vec::new() };
                let line = format!("Subscribed with ID {}", subscribed.framework_id);
                self.framework.id = Some(subscribed.framework_id);
                vec![Step::Print(line)]
            }
            event::Type::Offers => {
                let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                offers.into_iter().flat_map(|offer| self.offered(&offer)).collect()
            }
            event::Type::Update => event.update.map(|update| self.update(update.status)).unwrap_or_default(),
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                vec![Step::Refused(format!("Received an ERROR event: {message}"))]
            }
            _ => Vec::new(),
        }
    }

    fn call(&self, kind: Type, call: Call) -> Step {
        let framework_id = self.framework.id.clone();
        Step::Call(Box::new(Call { framework_id, r#type: Some(kind as i32), ..call }))
    }

    fn offered(&mut self, offer: &Offer) -> Vec<Step> {
        let chosen = if self.launched { None } else { self.fit(offer) };
        match chosen {
            Some(operation) => {
                self.launched = true;
                let accept =
                    Accept { offer_ids: vec![offer.id.clone()], operations: vec![operation], filters: None };
                let line = match &self.work {
                    Work::Task(task) => {
                        format!("Submitted task '{}' to agent '{}'", task.name, offer.agent_id)
                    }
                    Work::Group(group) => {
                        let ids: Vec<_> =
                            group.tasks.iter().map(|task| task.task_id.value.as_str()).collect();
                        let ids = ids.join(", ");
                        format!("Submitted task group with tasks [ {ids} ] to agent '{}'", offer.agent_id)
                    }
                };
                let call = Call { accept: Some(accept), ..Call::default() };
                vec![self.call(Type::Accept, call), Step::Print(line)]
            }
            None => {
                let decline = Decline { offer_ids: vec![offer.id.clone()], filters: None };
                let decline = self.call(Type::Decline, Call { decline: Some(decline), ..Call::default() });
                // What is launched needs no more offers; what is not waits for the next.
                let suppress = self.launched.then(|| self.call(Type::Suppress, Call::default()));
                std::iter::once(decline).chain(suppress).collect()
            }
        }
    }

    /// The launch on this offer, if it has enough.
    fn fit(&self, offer: &Offer) -> Option<Operation> {
        let mut offered = Resources::from_protos(&offer.resources).ok()?;
        offered.unallocate();
        if !offered.to_unreserved().contains(&self.wanted) {
            return None;
        }
        let role = self.framework.role();
        let mut place = |task: &TaskInfo| {
            let wanted = Resources::from_protos(&task.resources).ok()?;
            let resources = find(&mut offered, &wanted, role)?;
            Some(TaskInfo { agent_id: offer.agent_id.clone(), resources, ..task.clone() })
        };
        match &self.work {
            Work::Task(task) => {
                let launch = operation::Launch { task_infos: vec![place(task)?] };
                Some(Operation {
                    r#type: Some(operation::Type::Launch as i32),
                    launch: Some(launch),
                    ..Operation::default()
                })
            }
            Work::Group(group) => {
                let tasks = group.tasks.iter().map(&mut place).collect::<Option<Vec<_>>>()?;
                let executor = ExecutorInfo {
                    r#type: Some(executor_info::Type::Default as i32),
                    executor_id: "default-executor".into(),
                    framework_id: self.framework.id.clone(),
                    resources: find(&mut offered, &executor_resources().ok()?, role)?,
                    ..ExecutorInfo::default()
                };
                let launch = operation::LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
                Some(Operation {
                    r#type: Some(operation::Type::LaunchGroup as i32),
                    launch_group: Some(launch),
                    ..Operation::default()
                })
            }
        }
    }

    fn update(&mut self, status: TaskStatus) -> Vec<Step> {
        let state = TaskState::try_from(status.state).unwrap_or(TaskState::TaskUnknown);
        let task = status.task_id.clone();
        let mut steps: Vec<Step> = report(&status, state).into_iter().map(Step::Print).collect();
        if let Some((uuid, agent)) = status.uuid.clone().zip(status.agent_id.clone()) {
            let acknowledge = Acknowledge { agent_id: agent, task_id: task.clone(), uuid };
            let call = Call { acknowledge: Some(acknowledge), ..Call::default() };
            steps.push(self.call(Type::Acknowledge, call));
        }
        if state == TaskState::TaskRunning
            && let Some(agent) = status.agent_id
        {
            steps.push(Step::Running { task: task.clone(), agent });
        }
        if is_end(state) && self.work.tasks().iter().any(|known| known.task_id == task) {
            self.ended.insert(task, state == TaskState::TaskFinished);
            if self.ended.len() == self.work.tasks().len() {
                steps.push(Step::Done { finished: self.ended.values().all(|finished| *finished) });
            }
        }
        steps
    }
}

/// What is held by the executor of a group.
fn executor_resources() -> Result<Resources, Invalid> {
    crate::resources::parse::parse("cpus:0.1;mem:32;disk:32", roles::STAR)
}

/// Source: `isTerminalState`, common/protobuf_utils.cpp 1.11.
fn is_end(state: TaskState) -> bool {
    !matches!(
        state,
        TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown
    )
}

/// The lines about an update.
fn report(status: &TaskStatus, state: TaskState) -> Vec<String> {
    let mut lines =
        vec![format!("Received status update {} for task '{}'", state.as_str_name(), status.task_id)];
    if let Some(message) = &status.message {
        lines.push(format!("  message: '{message}'"));
    }
    if let Some(source) = status.source.and_then(|source| task_status::Source::try_from(source).ok()) {
        lines.push(format!("  source: {}", source.as_str_name()));
    }
    if let Some(reason) = status.reason.and_then(|reason| task_status::Reason::try_from(reason).ok()) {
        lines.push(format!("  reason: {}", reason.as_str_name()));
    }
    if let Some(healthy) = status.healthy {
        lines.push(format!("  healthy?: {}", u8::from(healthy)));
    }
    if let Some(check) = &status.check_status {
        lines.push(format!("  check status: {}", String::from_utf8_lossy(&to_json(check, Spelling::V1))));
    }
    let limitation =
        status.limitation.as_ref().and_then(|limit| Resources::from_protos(&limit.resources).ok());
    if let Some(resources) = limitation.filter(|resources| !resources.is_empty()) {
        lines.push(format!("  resource limit violation: {resources}"));
    }
    lines
}

/// Takes `wanted` out of `offered`, what is reserved for `role` first, and gives it as messages.
fn find(offered: &mut Resources, wanted: &Resources, role: &str) -> Option<Vec<Resource>> {
    let mut found: Vec<Resource> = Vec::new();
    for want in wanted {
        let mut rest = want.value().clone();
        for reserved in [true, false] {
            let fits = |entry: &&Entry| {
                entry.name() == want.name() && (entry.reservation_role() == Some(role)) == reserved
            };
            let candidates: Vec<Entry> =
                offered.iter().filter(fits).filter(|e| reserved || !e.is_reserved()).cloned().collect();
            for candidate in candidates {
                let part = common(&rest, candidate.value());
                if part.is_empty() {
                    continue;
                }
                let message = with_value(candidate.to_proto(), &part);
                offered.subtract(&Resources::from_protos(std::slice::from_ref(&message)).ok()?);
                found.push(message);
                rest = without(rest, &part);
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(found)
}

/// What both amounts have.
fn common(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(*a.min(b)),
        (Value::Ranges(a), Value::Ranges(b)) => {
            let mut rest = a.clone();
            rest.subtract(b);
            let mut both = a.clone();
            both.subtract(&rest);
            Value::Ranges(both)
        }
        (Value::Set(a), Value::Set(b)) => {
            let b: std::collections::BTreeSet<&str> = b.iter().collect();
            Value::Set(Set::new(a.iter().filter(|item| b.contains(item)).map(str::to_owned)))
        }
        _ => Value::Scalar(0),
    }
}

fn without(from: Value, part: &Value) -> Value {
    match (from, part) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a - b),
        (Value::Ranges(mut a), Value::Ranges(b)) => {
            a.subtract(b);
            Value::Ranges(a)
        }
        (Value::Set(mut a), Value::Set(b)) => {
            a.subtract(b);
            Value::Set(a)
        }
        (from, _) => from,
    }
}

fn with_value(mut message: Resource, value: &Value) -> Resource {
    match value {
        Value::Scalar(amount) => {
            message.scalar = Some(crate::proto::value::Scalar { value: scalar::to_f64(*amount) });
        }
        Value::Ranges(ranges) => message.ranges = Some(ranges.to_proto()),
        Value::Set(set) => message.set = Some(set.to_proto()),
    }
    convert::upgrade_resource(&mut message);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::scheduler::event::{Offers, Subscribed, Update};
    use crate::resources::parse::parse;

    #[expect(deprecated, reason = "as `mesos execute` sets it")]
    fn execute(role: &str) -> Execute {
        let framework =
            FrameworkInfo { role: Some(role.to_owned()), user: "u".to_owned(), ..FrameworkInfo::default() };
        let task = TaskInfo {
            name: "n".to_owned(),
            task_id: "n".into(),
            resources: parse("cpus:1;mem:128;ports:[31001-31002]", "*").unwrap().to_protos(),
            ..TaskInfo::default()
        };
        Execute::new(framework, Work::Task(Box::new(task))).unwrap()
    }

    fn offers(resources: &str) -> Event {
        let offer = Offer {
            id: "o".into(),
            agent_id: "a".into(),
            resources: parse(resources, "*").unwrap().to_protos(),
            ..Offer::default()
        };
        Event {
            r#type: Some(event::Type::Offers as i32),
            offers: Some(Offers { offers: vec![offer] }),
            ..Event::default()
        }
    }

    fn update(state: TaskState) -> Event {
        let status = TaskStatus {
            task_id: "n".into(),
            state: state as i32,
            message: Some("m".to_owned()),
            source: Some(task_status::Source::Executor as i32),
            agent_id: Some("a".into()),
            uuid: Some(vec![1; 16].into()),
            ..TaskStatus::default()
        };
        Event {
            r#type: Some(event::Type::Update as i32),
            update: Some(Update { status }),
            ..Event::default()
        }
    }

    fn calls(steps: &[Step]) -> Vec<Type> {
        let call = |step: &Step| match step {
            Step::Call(call) => Some(call.r#type()),
            _ => None,
        };
        steps.iter().filter_map(call).collect()
    }

    #[test]
    fn a_task_from_offer_to_end() {
        let mut execute = execute("web");
        let subscribed = Subscribed { framework_id: "F".into(), ..Subscribed::default() };
        let subscribed = Event {
            r#type: Some(event::Type::Subscribed as i32),
            subscribed: Some(subscribed),
            ..Event::default()
        };
        assert_eq!(execute.handle(subscribed), [Step::Print("Subscribed with ID F".to_owned())]);
        assert_eq!(execute.subscribe().framework_id, Some("F".into()));
        assert_eq!(calls(&execute.handle(offers("cpus:8;mem:64"))), [Type::Decline]);

        let steps = execute.handle(offers("cpus:8;cpus(web):0.25;mem(db):500;mem:500;ports:[31000-31005]"));
        let Step::Call(accept) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(steps[1], Step::Print("Submitted task 'n' to agent 'a'".to_owned()));
        let operation = &accept.accept.as_ref().unwrap().operations[0];
        let task = &operation.launch.as_ref().unwrap().task_infos[0];
        let resources = Resources::from_protos(&task.resources).unwrap();
        assert_eq!(resources.reserved_for("web").cpus(), 250);
        assert_eq!((resources.cpus(), resources.mem()), (1000, 128_000));
        assert_eq!(resources.ports().to_string(), "[31001-31002]");
        assert!(resources.reserved_for("db").is_empty());
        assert_eq!(calls(&execute.handle(offers("cpus:8;mem:500"))), [Type::Decline, Type::Suppress]);

        let steps = execute.handle(update(TaskState::TaskRunning));
        assert_eq!(calls(&steps), [Type::Acknowledge]);
        assert_eq!(steps[0], Step::Print("Received status update TASK_RUNNING for task 'n'".to_owned()));
        assert_eq!(steps[1], Step::Print("  message: 'm'".to_owned()));
        assert_eq!(steps[2], Step::Print("  source: SOURCE_EXECUTOR".to_owned()));
        assert!(matches!(steps.last(), Some(Step::Running { .. })));
        let steps = execute.handle(update(TaskState::TaskFinished));
        assert_eq!(steps.last(), Some(&Step::Done { finished: true }));
    }

    #[test]
    fn any_other_end_is_no_success() {
        for state in [TaskState::TaskFailed, TaskState::TaskKilled, TaskState::TaskLost, TaskState::TaskError]
        {
            let steps = execute("*").handle(update(state));
            assert_eq!(steps.last(), Some(&Step::Done { finished: false }), "{state:?}");
        }
        let steps = execute("*").handle(update(TaskState::TaskUnreachable));
        assert_eq!(calls(&steps), [Type::Acknowledge]);
        assert!(!steps.iter().any(|step| matches!(step, Step::Done { .. })));
    }
}
