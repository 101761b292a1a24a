//! Executors, as far as an agent sees them: they subscribe, report what becomes of their tasks, and end.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesos::agent::containerizer::Launch;
use mesos::agent::core::StreamId;
use mesos::proto::executor::{Call, Event, call, event};
use mesos::proto::{TaskId, TaskInfo, TaskState, TaskStatus, task_status};

/// One container and what runs in it: the truth that master and agent have to agree with.
pub struct Container {
    pub launch: Launch,
    pub alive: bool,
    pub stream: Option<StreamId>,
    /// Not ended yet.
    pub tasks: BTreeMap<TaskId, TaskInfo>,
    /// Sent and not acknowledged, in order.
    pub unacknowledged: Vec<TaskStatus>,
    /// Exits once its last terminal update is acknowledged, as the command executor does.
    pub one_shot: bool,
    pub served: bool,
}

/// What a container wants done after an event.
pub enum Wish {
    Say(Call),
    /// Let this task end by itself some time later.
    EndLater(TaskId),
    /// The process ends.
    Exit(i32),
}

impl Container {
    pub fn new(launch: Launch) -> Container {
        // An executor the agent made up for a command task is named after the task.
        let one_shot = launch.command.value().contains("executor") || launch.command.arguments.len() > 1;
        Container {
            launch,
            alive: true,
            stream: None,
            tasks: BTreeMap::new(),
            unacknowledged: vec![],
            one_shot,
            served: false,
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: self.launch.executor.clone(),
            framework_id: self.launch.framework.clone(),
            r#type: Some(kind as i32),
            ..Call::default()
        }
    }

    pub fn subscribe(&self) -> Call {
        let updates = self.unacknowledged.iter().map(|s| call::Update { status: s.clone() }).collect();
        let subscribe = call::Subscribe {
            unacknowledged_tasks: self.tasks.values().cloned().collect(),
            unacknowledged_updates: updates,
        };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    /// Reports a state of a task; a terminal one takes the task off the container.
    pub fn report(&mut self, task: &TaskId, state: TaskState, uuid: [u8; 16]) -> Call {
        if super::checks::is_terminal(state) {
            self.tasks.remove(task);
        }
        let status = TaskStatus {
            task_id: task.clone(),
            state: state as i32,
            source: Some(task_status::Source::Executor as i32),
            uuid: Some(Bytes::copy_from_slice(&uuid)),
            timestamp: Some(1.0),
            ..TaskStatus::default()
        };
        self.unacknowledged.push(status.clone());
        Call { update: Some(call::Update { status }), ..self.call(call::Type::Update) }
    }

    /// Takes an event of the agent's stream.
    pub fn hear(&mut self, event: &Event, mut uuid: impl FnMut() -> [u8; 16]) -> Vec<Wish> {
        match event.r#type() {
            event::Type::Launch => {
                let task = event.launch.as_ref().expect("LAUNCH carries a task").task.clone();
                self.start(vec![task], uuid)
            }
            event::Type::LaunchGroup => {
                let group = event.launch_group.as_ref().expect("LAUNCH_GROUP carries a group");
                self.start(group.task_group.tasks.clone(), uuid)
            }
            event::Type::Kill => {
                let task = event.kill.as_ref().expect("KILL carries a task").task_id.clone();
                match self.tasks.contains_key(&task) {
                    true => vec![Wish::Say(self.report(&task, TaskState::TaskKilled, uuid()))],
                    false => vec![],
                }
            }
            event::Type::Acknowledged => {
                let acknowledged = event.acknowledged.as_ref().expect("ACKNOWLEDGED carries a uuid");
                self.unacknowledged.retain(|status| status.uuid.as_ref() != Some(&acknowledged.uuid));
                let over =
                    self.one_shot && self.served && self.tasks.is_empty() && self.unacknowledged.is_empty();
                if over { vec![Wish::Exit(0)] } else { vec![] }
            }
            event::Type::Shutdown => vec![Wish::Exit(0)],
            _ => vec![],
        }
    }

    fn start(&mut self, tasks: Vec<TaskInfo>, mut uuid: impl FnMut() -> [u8; 16]) -> Vec<Wish> {
        let mut wishes = vec![];
        for task in tasks {
            let id = task.task_id.clone();
            assert!(
                self.tasks.insert(id.clone(), task).is_none(),
                "task {id} was started twice in container {}",
                self.launch.container.value
            );
            self.served = true;
            wishes.push(Wish::Say(self.report(&id, TaskState::TaskStarting, uuid())));
            wishes.push(Wish::Say(self.report(&id, TaskState::TaskRunning, uuid())));
            wishes.push(Wish::EndLater(id));
        }
        wishes
    }
}
