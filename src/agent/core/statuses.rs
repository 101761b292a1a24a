//! What is said of tasks: by executors, by the agent itself, and that the framework has heard it.
//!
//! Source: `Slave::statusUpdate` to `___statusUpdate`, `forward`, `statusUpdateAcknowledgement`,
//! `Executor::updateTaskState`, slave.cpp 1.11.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::state::{Executor, ExecutorPhase, MAX_COMPLETED_TASKS_PER_EXECUTOR, Phase, State};
use super::{Effect, Effects, Then, Timer, allowed, tasks};
use crate::agent::checkpoint::Fact;
use crate::agent::updates::{Forward, Taken, is_terminal};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::base::uuid::is_uuid;
use crate::proto::internal::{
    CheckpointedAcknowledgement, ReconcileTasksMessage, StatusUpdate, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    ContainerStatus, ExecutorId, FrameworkId, NetworkInfo, TaskId, TaskState, TaskStatus, executor,
    network_info,
};

/// Who says it, and so who is told that it was taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    Agent,
    /// An executor with an event stream.
    Http(ExecutorId),
    /// An executor on libprocess.
    Pid(Upid),
}

impl State {
    /// A status of the agent's own making.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a status; a struct would only repeat TaskStatus"
    )]
    pub(super) fn own_status(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        state: TaskState,
        reason: Reason,
        message: &str,
        executor: Option<&ExecutorId>,
    ) -> StatusUpdate {
        let uuid = self.uuid_bytes();
        let agent = Some(self.node.id());
        StatusUpdate {
            framework_id: framework.clone(),
            executor_id: executor.cloned(),
            agent_id: agent.clone(),
            status: TaskStatus {
                task_id: task.clone(),
                state: state as i32,
                message: Some(message.to_owned()),
                source: Some(Source::Agent as i32),
                reason: Some(reason as i32),
                agent_id: agent,
                timestamp: Some(now.as_secs_f64()),
                uuid: Some(uuid.clone()),
                ..TaskStatus::default()
            },
            timestamp: now.as_secs_f64(),
            uuid: Some(uuid),
            latest_state: None,
        }
    }

    pub(super) fn own_update(&mut self, now: Time, update: StatusUpdate, out: &mut Effects) {
        self.status_update(now, update, Origin::Agent, out);
    }

    /// A status an executor sends over its stream's other side.
    pub(super) fn executor_status(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        executor: &ExecutorId,
        mut status: TaskStatus,
        out: &mut Effects,
    ) {
        let agent = self.node.id();
        status.agent_id.get_or_insert_with(|| agent.clone());
        status.timestamp.get_or_insert_with(|| now.as_secs_f64());
        let update = StatusUpdate {
            framework_id: framework.clone(),
            executor_id: Some(executor.clone()),
            agent_id: Some(agent),
            timestamp: status.timestamp(),
            uuid: status.uuid.clone(),
            status,
            latest_state: None,
        };
        self.status_update(now, update, Origin::Http(executor.clone()), out);
    }

    pub(super) fn status_update(
        &mut self,
        now: Time,
        mut update: StatusUpdate,
        origin: Origin,
        out: &mut Effects,
    ) {
        if let Err(why) = self.check_update(&update) {
            warn!(task = %update.status.task_id, framework = %update.framework_id, why, "ignored a status update");
            self.node.counters.invalid_status_updates += 1;
            return;
        }
        self.node.counters.valid_status_updates += 1;
        let status = &mut update.status;
        status.uuid.clone_from(&update.uuid);
        let source = if origin == Origin::Agent { Source::Agent } else { Source::Executor };
        status.source = Some(source as i32);
        if update.executor_id.is_some() {
            status.executor_id.clone_from(&update.executor_id);
        }
        let Some(executor) = self.node.executor_of(&update.framework_id, &update.status.task_id) else {
            self.unknown_task(now, update, origin, out);
            return;
        };
        let (framework, executor_id) = (update.framework_id.clone(), executor.id.clone());
        if origin != Origin::Agent && update.status.state == TaskState::TaskStaging as i32 {
            warn!(executor = %executor_id, "TASK_STAGING is not for executors to say; shutting it down");
            self.shut_down_executor(now, &framework, &executor_id, out);
            return;
        }
        self.fill_container_status(&mut update, &executor_id);
        let updated = self
            .node
            .executor_mut(&framework, &executor_id)
            .map_or(Err("Executor is unknown"), |executor| update_task(executor, &update.status));
        match updated {
            Ok(()) => {
                self.count(&update.status);
                if is_terminal(update.status.state)
                    && let Some(executor) = self.node.executor(&framework, &executor_id)
                    && !executor.generated
                {
                    let (container, allowed) = (executor.container.clone(), allowed::now(executor));
                    out.push(Effect::Update { container, allowed });
                }
                self.keep_update(now, update, origin, out);
            }
            Err(why) => {
                warn!(task = %update.status.task_id, why, "dropped a status update");
                let StatusUpdate { framework_id, status, uuid, .. } = update;
                let uuid = uuid.unwrap_or_default();
                // The executor hears that it was taken all the same, lest it repeat itself; but not before that is
                // true, should it repeat itself right now.
                if !self.updates.is_being_kept(&framework_id, &status.task_id, &uuid) {
                    self.taken(&framework_id, &status.task_id, uuid, &origin, out);
                }
            }
        }
    }

    /// An update that is worth to be sent on: kept first, if it is new.
    pub(super) fn keep_update(&mut self, now: Time, update: StatusUpdate, origin: Origin, out: &mut Effects) {
        let (framework, task) = (update.framework_id.clone(), update.status.task_id.clone());
        let uuid = update.uuid.clone().unwrap_or_default();
        match self.updates.take(update.clone()) {
            Taken::New => {
                let then = Then::Updated { framework: framework.clone(), task, uuid, origin };
                self.keep(now, &framework, || vec![Fact::Update(Box::new(update))], then, out);
            }
            Taken::Again { kept: true } => self.taken(&framework, &task, uuid, &origin, out),
            // Its first copy is on its way to the disk.
            Taken::Again { kept: false } => {}
        }
    }

    /// `keep_update` goes on here: a restarted agent would know of it.
    pub(super) fn updated(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: &Bytes,
        origin: &Origin,
        out: &mut Effects,
    ) {
        let forward = self.updates.kept(now, framework, task, uuid);
        self.forward(forward, out);
        self.taken(framework, task, uuid.clone(), origin, out);
    }

    fn check_update(&self, update: &StatusUpdate) -> Result<(), &'static str> {
        if !update.uuid.as_deref().is_some_and(is_uuid) {
            return Err("it has no uuid");
        }
        let ours = self.node.info.id.as_ref();
        if ours.is_none() || update.agent_id.as_ref() != ours || update.status.agent_id.as_ref() != ours {
            return Err("it names another agent");
        }
        match self.node.framework(&update.framework_id) {
            None => Err("its framework is unknown"),
            // Nobody would acknowledge it.
            Some(framework) if framework.terminating => Err("its framework is terminating"),
            Some(_) => Ok(()),
        }
    }

    /// No executor has this task: it was never launched, or all was said of it.
    fn unknown_task(&mut self, now: Time, update: StatusUpdate, origin: Origin, out: &mut Effects) {
        let completed = |executor: &Executor| {
            let of_task = executor.completed_tasks.iter().find(|task| task.task_id == update.status.task_id);
            of_task.is_some_and(|task| task.statuses.iter().any(|status| status.uuid == update.uuid))
        };
        let executor = update.executor_id.as_ref();
        if executor.and_then(|id| self.node.executor(&update.framework_id, id)).is_some_and(completed) {
            debug!(task = %update.status.task_id, "a status update that was acknowledged long ago");
            let uuid = update.uuid.clone().unwrap_or_default();
            self.taken(&update.framework_id, &update.status.task_id, uuid, &origin, out);
        } else {
            self.keep_update(now, update, origin, out);
        }
    }

    /// Which container the task is in and how it is reached. Not for tasks that never reached one.
    fn fill_container_status(&self, update: &mut StatusUpdate, executor: &ExecutorId) {
        let Some(executor) = self.node.executor(&update.framework_id, executor) else { return };
        let status = &mut update.status;
        let by_agent = status.source == Some(Source::Agent as i32);
        let lost = [TaskState::TaskDropped as i32, TaskState::TaskLost as i32].contains(&status.state);
        if executor.is_queued(&status.task_id) || by_agent && lost {
            return;
        }
        let container = status.container_status.get_or_insert_with(ContainerStatus::default);
        container.container_id.get_or_insert_with(|| executor.container.clone());
        container.executor_pid = container.executor_pid.or(executor.pid);
        if container.network_infos.is_empty() {
            let ip = self.node.config.pid.address.ip();
            let address = network_info::IpAddress {
                ip_address: Some(ip.to_string()),
                ..network_info::IpAddress::default()
            };
            container
                .network_infos
                .push(NetworkInfo { ip_addresses: vec![address], ..NetworkInfo::default() });
        }
    }

    fn count(&mut self, status: &TaskStatus) {
        if is_terminal(status.state)
            && let Ok(state) = TaskState::try_from(status.state)
        {
            *self.node.counters.tasks_by_end.entry(state).or_default() += 1;
        }
    }

    /// Tells the executor that it need not keep the update any longer.
    fn taken(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: Bytes,
        origin: &Origin,
        out: &mut Effects,
    ) {
        let task_id = task.clone();
        match origin {
            Origin::Agent => {}
            Origin::Http(executor) => {
                let event = executor::Event {
                    r#type: Some(executor::event::Type::Acknowledged as i32),
                    acknowledged: Some(executor::event::Acknowledged { task_id, uuid }),
                    ..executor::Event::default()
                };
                self.tell_executor(framework, executor, event, out);
            }
            Origin::Pid(pid) => {
                let message = StatusUpdateAcknowledgementMessage {
                    agent_id: self.node.id(),
                    framework_id: framework.clone(),
                    task_id,
                    uuid,
                };
                out.push(Effect::Send { to: pid.clone(), message: Box::new(message.into()) });
            }
        }
    }

    /// An update went unacknowledged for long.
    pub(super) fn retry(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        number: u64,
        out: &mut Effects,
    ) {
        let forward = self.updates.retry(now, framework, task, number);
        self.forward(forward, out);
    }

    /// Sends an update on its way, with the latest state of its task, so that the master can let go of
    /// resources before the framework has heard of everything in between.
    pub(super) fn forward(&mut self, forward: Option<Forward>, out: &mut Effects) {
        let Some(Forward { mut update, retry, number }) = forward else { return };
        let (framework, task) = (update.framework_id.clone(), update.status.task_id.clone());
        let timer = Timer::Retry { framework: framework.clone(), task: task.clone(), number };
        out.push(Effect::Wake { at: retry, timer });
        if self.node.phase != Phase::Running {
            return;
        }
        let executor = self.node.executor_of(&framework, &task).map(|executor| executor.id.clone());
        if let Some(executor) = executor.and_then(|id| self.node.executor_mut(&framework, &id)) {
            let launched = executor.launched_tasks.get_mut(&task);
            if let Some(task) = launched.or_else(|| executor.terminated_tasks.get_mut(&task)) {
                let task = Arc::make_mut(task);
                task.status_update_state = Some(update.status.state);
                task.status_update_uuid.clone_from(&update.uuid);
                update.latest_state = Some(task.state);
            }
        }
        info!(%task, %framework, state = state_name(update.status.state), "forwarding a status update");
        let pid = Some(self.node.config.pid.to_string());
        self.tell_master(StatusUpdateMessage { update, pid }, out);
    }

    /// The framework has heard it.
    pub(super) fn acknowledged(
        &mut self,
        now: Time,
        message: StatusUpdateAcknowledgementMessage,
        out: &mut Effects,
    ) {
        let StatusUpdateAcknowledgementMessage { framework_id, task_id, uuid, .. } = message;
        if !matches!(self.node.phase, Phase::Running | Phase::Terminating) {
            // It may be meant for what the agent was before it lost its master.
            warn!(task = %task_id, "ignored an acknowledgement: not registered");
            return;
        }
        if let Err(why) = self.updates.acknowledging(&framework_id, &task_id, &uuid) {
            warn!(task = %task_id, framework = %framework_id, %why, "ignored an acknowledgement");
            return;
        }
        let framework = framework_id.clone();
        let then = Then::Heard { framework: framework.clone(), task: task_id.clone(), uuid: uuid.clone() };
        let fact = CheckpointedAcknowledgement { framework_id, task_id, uuid };
        self.keep(now, &framework, || vec![Fact::Acknowledged(fact)], then, out);
    }

    /// `acknowledged` goes on here: a restarted agent would not send it again.
    pub(super) fn heard(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: &Bytes,
        out: &mut Effects,
    ) {
        // Its framework may have been shut down since.
        let Ok(acknowledged) = self.updates.acknowledge(now, framework, task, uuid) else { return };
        self.forward(acknowledged.next, out);
        if acknowledged.terminated {
            self.complete_task(framework, task, out);
        }
    }

    /// All is said of this task, and heard.
    fn complete_task(&mut self, framework: &FrameworkId, task: &TaskId, out: &mut Effects) {
        let of_task = self.node.framework(framework).and_then(|framework| framework.tasks.get(task)).cloned();
        if let Some(executor_id) = of_task
            && let Some(executor) = self.node.executor_mut(framework, &executor_id)
            && let Some(completed) = executor.terminated_tasks.remove(task)
        {
            executor.completed_tasks.push_back(completed);
            if executor.completed_tasks.len() > MAX_COMPLETED_TASKS_PER_EXECUTOR {
                executor.completed_tasks.pop_front();
            }
            let over = executor.phase == ExecutorPhase::Terminated && !executor.has_incomplete_tasks();
            if let Some(framework) = self.node.framework_mut(framework) {
                framework.tasks.remove(task);
            }
            if over {
                self.remove_executor(framework, &executor_id, out);
            }
        }
        self.remove_framework_if_idle(framework, out);
    }

    /// The master believes in tasks of this agent; of those that are not here it is told so.
    ///
    /// They may yet be under way, and then must not run after all: so what the master decided up to now is outdated.
    pub(super) fn reconcile(&mut self, now: Time, message: ReconcileTasksMessage, out: &mut Effects) {
        let id = message.framework_id;
        if self.node.framework(&id).is_some_and(|framework| framework.terminating) {
            // Nobody would acknowledge it.
            return;
        }
        let state = message
            .framework
            .as_ref()
            .map_or(TaskState::TaskLost, |framework| tasks::lost_or(TaskState::TaskDropped, framework));
        let mut missing = false;
        for status in message.statuses {
            let task = status.task_id;
            let known = self.node.framework(&id).is_some_and(|framework| framework.tasks.contains_key(&task));
            // What was said of it last may still wait for its acknowledgement.
            if known || self.updates.awaits_task(&id, &task) {
                continue;
            }
            warn!(%task, framework = %id, "the master knows a task that is not here");
            missing = true;
            // Named when the agent comes to a new master, the framework is known there, or over: else what is said
            // here would await its acknowledgement for ever.
            if let Some(info) = &message.framework {
                self.add_framework(info, None, out);
            }
            let (reason, text) = (Reason::Reconciliation, "Reconciliation: task unknown to the agent");
            // Past `status_update`, which knows no tasks of frameworks that are not here.
            let update = self.own_status(now, &id, &task, state, reason, text, None);
            self.keep_update(now, update, Origin::Agent, out);
        }
        if missing {
            self.outdate(out);
        }
    }
}

/// Moves the task to the state it is said to be in.
pub(super) fn update_task(executor: &mut Executor, status: &TaskStatus) -> Result<(), &'static str> {
    let terminal = is_terminal(status.state);
    let id = &status.task_id;
    let mut task = if executor.is_queued(id) {
        if !terminal {
            return Err("Cannot send non-terminal update for queued task");
        }
        let state = TaskState::try_from(status.state).unwrap_or(TaskState::TaskLost);
        let framework = executor.framework.clone();
        let Some(queued) = executor.dequeue(id) else { return Err("Task is unknown") };
        Arc::new(tasks::describe(&queued, state, &framework))
    } else if let Some(task) = executor.launched_tasks.get(id) {
        task.clone()
    } else if executor.terminated_tasks.contains_key(id) {
        return Err("Task is already terminated");
    } else {
        return Err("Task is unknown");
    };
    let changed = Arc::make_mut(&mut task);
    // Of consecutive statuses with one state only the last is kept.
    if changed.statuses.last().is_some_and(|last| last.state == status.state) {
        changed.statuses.pop();
    }
    changed.statuses.push(status.clone());
    changed.state = status.state;
    if terminal {
        executor.launched_tasks.remove(id);
        executor.pending_kills.remove(id);
        executor.terminated_tasks.insert(id.clone(), task);
    } else {
        executor.launched_tasks.insert(id.clone(), task);
    }
    Ok(())
}

fn state_name(state: i32) -> &'static str {
    TaskState::try_from(state).map_or("unknown", |state| state.as_str_name())
}
