//! Running tasks and executors: updates up, acknowledgements, kills and messages down.

use bytes::Bytes;

use crate::base::upid::Upid;
use crate::base::uuid::is_uuid;
use crate::proto::internal::{
    ExecutorToFrameworkMessage, ExitedExecutorMessage, FrameworkToExecutorMessage, KillTaskMessage,
    ShutdownExecutorMessage, ShutdownFrameworkMessage, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use crate::proto::scheduler::{self, call, event};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{AgentId, ExecutorId, FrameworkId, KillPolicy, TaskId, TaskState, TaskStatus};
use crate::resources::Resources;

use super::books::State;
use super::state::{Task, is_terminal};
use super::tell::{failure_event, update_event};
use super::{Answer, Effect, Effects, ReplyId};
use crate::base::time::Time;

/// A task passes a handful of states; one whose executor takes it back and forth is not remembered for ever.
const MOST_STATUSES: usize = 100;

/// How many executors that have exited are remembered for each agent.
pub(super) const MOST_EXITED: usize = 1000;

impl State {
    /// An agent's update goes on to its scheduler, which acknowledges it; the task is then in its latest state.
    ///
    /// An update of a task that the master does not know goes on too: only the scheduler's acknowledgement makes
    /// the agent stop. Source: `Master::statusUpdate`, 1.11.
    pub(super) fn status_update(&mut self, from: &Upid, message: StatusUpdateMessage, out: &mut Effects) {
        self.count("messages_status_update");
        let update = message.update;
        let agent = update.agent_id.clone().unwrap_or_default();
        let uuid = update.uuid.clone().unwrap_or_default();
        if !self.is_from_agent(from, &agent) {
            self.count("invalid_status_updates");
            return self.drop_message(from, "status update", "it is not from the registered agent");
        }
        if !is_uuid(&uuid) {
            self.count("invalid_status_updates");
            return self.drop_message(from, "status update", "it has no valid uuid");
        }
        let framework = update.framework_id;
        let status = TaskStatus {
            agent_id: Some(agent.clone()),
            executor_id: update.executor_id.clone().or(update.status.executor_id.clone()),
            timestamp: Some(update.timestamp),
            uuid: Some(uuid.clone()),
            ..update.status
        };
        let state = status.state();
        tracing::info!(%framework, task = %status.task_id, state = state.as_str_name(), %agent, "status update");
        if !self.cluster.frameworks.contains_key(&framework) && self.cluster.is_completed(&framework) {
            // Nobody will acknowledge it; the agent forgets it with the framework.
            self.send_agent(&agent, ShutdownFrameworkMessage { framework_id: framework }, out);
            return self.count("invalid_status_updates");
        }
        if self.is_overtaken(&agent, &framework, &status) {
            let task_id = status.task_id;
            tracing::info!(%framework, task = %task_id, %agent, "status update overtaken by a later one");
            let message = StatusUpdateAcknowledgementMessage {
                agent_id: agent.clone(),
                framework_id: framework,
                task_id,
                uuid,
            };
            self.send_agent(&agent, message, out);
            return self.count("invalid_status_updates");
        }
        let mut valid = self.cluster.framework(&framework).is_some_and(|framework| framework.connected);
        if valid {
            if let Some(task) = self.own_task(&agent, &framework, &status.task_id) {
                task.update = Some((state, uuid));
            }
            self.tell(&framework, update_event(status.clone()), out);
        }
        if self.cluster.task_on(&agent, &framework, &status.task_id).is_none() {
            tracing::warn!(%framework, task = %status.task_id, %agent, "status update of an unknown task");
            valid = false;
        } else {
            let latest = update.latest_state.and_then(|state| TaskState::try_from(state).ok());
            let latest = latest.filter(|_| !is_terminal(state)).unwrap_or(state);
            let released = self.update_task(&framework, &status.task_id, &status, latest);
            if let Some((agent, resources)) = released {
                self.recover(&framework, &agent, resources, None, out);
            }
            self.settle_doubt(&agent, &framework, &status, out);
        }
        self.count(if valid { "valid_status_updates" } else { "invalid_status_updates" });
    }

    /// Whether the scheduler was told something later of this task already: its end, or the update after this one.
    ///
    /// Then the update is an old copy, or of a task whose end the master told when the agent was lost. The agent
    /// hears that it is settled, and the scheduler does not see the task go back. Mesos forwards it.
    fn is_overtaken(&self, agent: &AgentId, framework: &FrameworkId, status: &TaskStatus) -> bool {
        let Some(owner) = self.cluster.framework(framework) else { return false };
        let ends = is_terminal(status.state());
        if let Some(task) = self.cluster.task_on(agent, framework, &status.task_id) {
            let Some((told, uuid)) = &task.update else { return false };
            let place = |uuid| task.statuses.iter().position(|known| known.uuid.as_ref() == uuid);
            let before = place(status.uuid.as_ref()).zip(place(Some(uuid)));
            return !ends && (is_terminal(*told) || before.is_some_and(|(this, told)| this < told));
        }
        let told = |task: &Task| task.update.as_ref().is_some_and(|(told, _)| is_terminal(*told));
        !ends && owner.completed(&status.task_id).is_some_and(|task| task.agent == *agent && told(task))
    }

    fn own_task(&mut self, agent: &AgentId, framework: &FrameworkId, task: &TaskId) -> Option<&mut Task> {
        self.cluster.task_on(agent, framework, task)?;
        self.task_mut(framework, task)
    }

    /// Brings a task to its latest state; gives what it held if it has just ended, for the allocator.
    ///
    /// A task that has ended stays so. Source: `Master::updateTask`, 1.11.
    pub(super) fn update_task(
        &mut self,
        framework: &FrameworkId,
        id: &TaskId,
        status: &TaskStatus,
        latest: TaskState,
    ) -> Option<(AgentId, Resources)> {
        let task = self.task_mut(framework, id)?;
        let held = task.holds();
        let is_news = task.note(status, latest);
        let (agent, state, holds) = (task.agent.clone(), task.state, task.holds());
        self.note_status(framework, &agent, status, state, is_news);
        if !held || holds {
            return None;
        }
        let resources = self.cluster.task_on(&agent, framework, id)?.resources.clone();
        self.release(framework, &agent, &resources);
        self.count_end(framework, state, status);
        Some((agent, resources))
    }

    /// Counts a task that has ended, by its state and by who ended it why.
    pub(super) fn count_end(&mut self, framework: &FrameworkId, state: TaskState, status: &TaskStatus) {
        self.count(match state {
            TaskState::TaskFinished => "tasks_finished",
            TaskState::TaskFailed => "tasks_failed",
            TaskState::TaskKilled => "tasks_killed",
            TaskState::TaskLost => "tasks_lost",
            TaskState::TaskError => "tasks_error",
            TaskState::TaskDropped => "tasks_dropped",
            TaskState::TaskGone => "tasks_gone",
            TaskState::TaskGoneByOperator => "tasks_gone_by_operator",
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => return,
        });
        self.count_ended(framework, state);
        let source = status.source.and_then(|source| Source::try_from(source).ok());
        let reason = status.reason.and_then(|reason| Reason::try_from(reason).ok());
        if let (Some(source), Some(reason)) = (source, reason) {
            *self.cluster.counters.task_ends.entry((state, source, reason)).or_insert(0) += 1;
        }
    }

    /// An executor that its agent came back without lives if its tasks do; if the last of them was never
    /// started, neither was it, and its resources are free.
    fn settle_doubt(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        status: &TaskStatus,
        out: &mut Effects,
    ) {
        let Some(task) = self.cluster.task_on(agent, framework, &status.task_id) else { return };
        let Some(executor) = task.executor.clone() else { return };
        let ended = is_terminal(task.state);
        let doubt = (framework.clone(), executor);
        let Some(watch) = self.watches.get_mut(agent).filter(|watch| watch.doubted.contains(&doubt)) else {
            return;
        };
        if !ended || status.source == Some(Source::Executor as i32) {
            watch.doubted.remove(&doubt);
        } else if !self.runs_tasks(agent, framework, &doubt.1) {
            self.remove_executor(framework, agent, &doubt.1, out);
        }
    }

    /// Whether an executor has tasks that have not ended.
    pub(super) fn runs_tasks(&self, on: &AgentId, framework: &FrameworkId, executor: &ExecutorId) -> bool {
        let Some(agent) = self.cluster.agent(on) else { return false };
        agent.tasks_of(framework).any(|task| {
            let task = self.cluster.task_on(on, framework, task);
            task.is_some_and(|task| task.holds() && task.executor.as_ref() == Some(executor))
        })
    }

    /// ACKNOWLEDGE: the task is forgotten once its last update is acknowledged, and the agent hears of each.
    /// Source: `Master::acknowledge`, 1.11.
    pub(super) fn acknowledge(
        &mut self,
        framework: &FrameworkId,
        acknowledge: call::Acknowledge,
        out: &mut Effects,
    ) {
        self.count("messages_status_update_acknowledgement");
        let call::Acknowledge { agent_id: agent, task_id: task, uuid } = acknowledge;
        if !self.cluster.agent(&agent).is_some_and(|agent| agent.connected) {
            tracing::warn!(%framework, %task, %agent, "acknowledgement dropped, the agent is not connected");
            return self.count("invalid_status_update_acknowledgements");
        }
        if let Some(known) = self.cluster.task_on(&agent, framework, &task) {
            match &known.update {
                None => {
                    tracing::warn!(%framework, %task, "acknowledgement of an update that this master did not send");
                    return self.count("invalid_status_update_acknowledgements");
                }
                Some((state, sent)) if is_terminal(*state) && *sent == uuid => {
                    self.complete(framework, &task)
                }
                Some(_) => {}
            }
        }
        let message = StatusUpdateAcknowledgementMessage {
            agent_id: agent.clone(),
            framework_id: framework.clone(),
            task_id: task,
            uuid,
        };
        self.send_agent(&agent, message, out);
        self.count("valid_status_update_acknowledgements");
    }

    /// KILL. A task that the master does not know is reconciled instead; one whose agent is away is killed when
    /// the agent is back. Source: `Master::kill`, 1.11.
    pub(super) fn kill(&mut self, framework: &FrameworkId, kill: call::Kill, now: Time, out: &mut Effects) {
        self.count("messages_kill_task");
        let call::Kill { task_id: id, agent_id, kill_policy } = kill;
        let Some(owner) = self.cluster.framework(framework) else { return };
        let Some(task) = owner.tasks.get(&id) else {
            tracing::warn!(%framework, task = %id, "cannot kill unknown task, reconciling it");
            let tasks = vec![call::reconcile::Task { task_id: id, agent_id }];
            return self.reconcile(framework, &call::Reconcile { tasks }, now, out);
        };
        let agent = task.agent.clone();
        if let Some(other) = agent_id.filter(|other| *other != agent) {
            tracing::warn!(%framework, task = %id, agent = %other, "cannot kill task, it is on another agent");
            return;
        }
        self.kill_on(agent, framework, id, kill_policy, out);
    }

    /// An operator's kill: the same for the agent and, by the task's updates, for the framework. An addition of ours.
    pub(super) fn operator_kill(
        &mut self,
        reply: ReplyId,
        framework: &FrameworkId,
        id: TaskId,
        out: &mut Effects,
    ) {
        let task = self.cluster.framework(framework).map(|owner| owner.tasks.get(&id));
        let refusal = match task {
            None => "No framework found with specified ID".to_owned(),
            Some(None) => format!("Framework {framework} has no task '{id}'"),
            Some(Some(task)) if is_terminal(task.state) => format!("Task '{id}' has ended"),
            Some(Some(task)) => {
                let agent = task.agent.clone();
                self.kill_on(agent, framework, id, None, out);
                return out.push(Effect::Reply { reply, answer: Answer::Ok });
            }
        };
        out.push(Effect::Reply { reply, answer: Answer::BadRequest(refusal) });
    }

    /// The agent is told to kill a task of its, now or when it is back.
    fn kill_on(
        &mut self,
        agent: AgentId,
        framework: &FrameworkId,
        id: TaskId,
        kill_policy: Option<KillPolicy>,
        out: &mut Effects,
    ) {
        if let Some(watch) = self.watches.get_mut(&agent) {
            watch.killed.insert((framework.clone(), id.clone()));
        }
        if self.cluster.agent(&agent).is_some_and(|agent| agent.connected) {
            tracing::info!(%framework, task = %id, %agent, "telling agent to kill task");
            let message = KillTaskMessage { framework_id: framework.clone(), task_id: id, kill_policy };
            self.send_agent(&agent, message, out);
        } else {
            tracing::warn!(%framework, task = %id, %agent, "agent is disconnected, it is told to kill when back");
        }
    }

    /// SHUTDOWN of an executor. Source: `Master::shutdown`, 1.11.
    pub(super) fn shutdown_executor(
        &self,
        framework: &FrameworkId,
        shutdown: call::Shutdown,
        out: &mut Effects,
    ) {
        let call::Shutdown { executor_id, agent_id } = shutdown;
        if !self.cluster.agents.contains_key(&agent_id) {
            tracing::warn!(%framework, executor = %executor_id, "cannot shut down executor of an unknown agent");
            return;
        }
        let message =
            ShutdownExecutorMessage { executor_id: Some(executor_id), framework_id: Some(framework.clone()) };
        self.send_agent(&agent_id, message, out);
    }

    /// MESSAGE to an executor, unreliable as ever.
    pub(super) fn message_to_executor(
        &mut self,
        framework: &FrameworkId,
        message: call::Message,
        out: &mut Effects,
    ) {
        self.count("messages_framework_to_executor");
        let call::Message { agent_id, executor_id, data } = message;
        if !self.cluster.agent(&agent_id).is_some_and(|agent| agent.connected) {
            tracing::warn!(%framework, agent = %agent_id, "cannot send message, the agent is not connected");
            return self.count("invalid_framework_to_executor_messages");
        }
        let message = FrameworkToExecutorMessage {
            agent_id: agent_id.clone(),
            framework_id: framework.clone(),
            executor_id,
            data,
        };
        self.send_agent(&agent_id, message, out);
        self.count("valid_framework_to_executor_messages");
    }

    pub(super) fn message_from_executor(
        &mut self,
        from: &Upid,
        message: ExecutorToFrameworkMessage,
        out: &mut Effects,
    ) {
        self.count("messages_executor_to_framework");
        let ExecutorToFrameworkMessage { agent_id, framework_id, executor_id, data } = message;
        let listens = self.cluster.framework(&framework_id).is_some_and(|framework| framework.connected);
        if !listens || !self.is_from_agent(from, &agent_id) {
            self.count("invalid_executor_to_framework_messages");
            return self.drop_message(from, "executor's message", "no such agent or scheduler is connected");
        }
        let message = scheduler::Event {
            r#type: Some(event::Type::Message as i32),
            message: Some(event::Message { agent_id, executor_id, data }),
            ..Default::default()
        };
        self.tell(&framework_id, message, out);
        self.count("valid_executor_to_framework_messages");
    }

    /// An executor is no more; what becomes of its tasks the agent tells by updates.
    /// Source: `Master::exitedExecutor`, 1.11.
    pub(super) fn exited_executor(
        &mut self,
        from: &Upid,
        message: &ExitedExecutorMessage,
        out: &mut Effects,
    ) {
        self.count("messages_exited_executor");
        let ExitedExecutorMessage { agent_id: agent, framework_id: framework, executor_id, status } = message;
        let known = self
            .cluster
            .agent(agent)
            .is_some_and(|agent| agent.executors.contains_key(&(framework.clone(), executor_id.clone())));
        if !known || !self.is_from_agent(from, agent) {
            tracing::warn!(%framework, executor = %executor_id, %agent, "ignoring exit of an unknown executor");
            return self.exited_meanwhile(from, message);
        }
        tracing::info!(%framework, executor = %executor_id, %agent, status, "executor exited");
        self.remove_executor(framework, agent, executor_id, out);
        if let Some(watch) = self.watches.get_mut(agent) {
            if watch.exited.len() >= MOST_EXITED {
                watch.exited.clear();
            }
            watch.exited.insert((framework.clone(), executor_id.clone()));
        }
        let failure = event::Failure {
            agent_id: Some(agent.clone()),
            executor_id: Some(executor_id.clone()),
            status: Some(*status),
        };
        self.tell(framework, failure_event(failure), out);
    }
}

impl Task {
    /// Takes in a status: the latest state, unless the task has ended, and the status itself, without its data,
    /// in place of the last one of the same state. Whether either state is another one now.
    pub(super) fn note(&mut self, status: &TaskStatus, latest: TaskState) -> bool {
        let before = self.state;
        if !is_terminal(self.state) {
            self.state = latest;
        }
        let is_old = self.statuses.pop_if(|last| last.state == status.state).is_some();
        if self.statuses.len() >= MOST_STATUSES {
            self.statuses.remove(0);
        }
        // The data may be large, and nobody asks the master for it.
        self.statuses.push(TaskStatus { data: None::<Bytes>, ..status.clone() }.into());
        !is_old || self.state != before
    }
}
