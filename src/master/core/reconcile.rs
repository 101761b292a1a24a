//! RECONCILE: what the master knows of a framework's tasks, told again.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Time;
use crate::proto::scheduler::call;
use crate::proto::task_status::Reason;
use crate::proto::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};

use super::Effects;
use super::books::State;
use super::state::{Framework, Task, is_terminal};
use super::tell::{state_for, status, status_of, time_info, update_event};

impl State {
    /// No tasks named: all that are known (implicit). Tasks named: an answer for each, but for those whose agent
    /// may yet come back to this leader. Source: `Master::reconcile`, 1.11, which does not look at the tasks that
    /// ended: it calls them gone, unreachable or unknown.
    pub(super) fn reconcile(
        &mut self,
        id: &FrameworkId,
        reconcile: &call::Reconcile,
        now: Time,
        out: &mut Effects,
    ) {
        self.count("messages_reconcile_tasks");
        let Some(framework) = self.cluster.frameworks.get(id).cloned() else { return };
        tracing::info!(framework = %id, tasks = reconcile.tasks.len(), "reconciling tasks");
        if reconcile.tasks.is_empty() {
            for task in framework.tasks.values() {
                self.tell(id, update_event(latest(task, now)), out);
            }
        }
        let named: BTreeSet<&TaskId> = reconcile.tasks.iter().map(|task| &task.task_id).collect();
        let completed = framework.completed_tasks.iter().filter(|task| named.contains(&task.id));
        let ended: BTreeMap<&TaskId, &Task> = completed.map(|task| (&task.id, &**task)).collect();
        for call::reconcile::Task { task_id, agent_id } in &reconcile.tasks {
            let ended = ended.get(task_id).copied();
            if let Some(status) = self.reconciled(&framework, ended, task_id, agent_id.as_ref(), now) {
                self.tell(id, update_event(status), out);
            }
        }
    }

    fn reconciled(
        &self,
        framework: &Framework,
        ended: Option<&Task>,
        task: &TaskId,
        agent: Option<&AgentId>,
        now: Time,
    ) -> Option<TaskStatus> {
        if let Some(task) = framework.tasks.get(task) {
            return Some(latest(task, now));
        }
        let cluster = &self.cluster;
        let waits = match agent {
            Some(agent) => cluster.recovered.contains_key(agent),
            None => !cluster.recovered.is_empty(),
        };
        if waits {
            tracing::info!(framework = %framework.id, %task, "not reconciling task, its agent may come back");
            return None;
        }
        let unreachable = agent.and_then(|agent| cluster.unreachable.get(agent));
        let (state, message) = if agent.is_some_and(|agent| cluster.agents.contains_key(agent)) {
            (TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
        } else if unreachable.is_some() {
            (TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
        } else if agent.is_some_and(|agent| cluster.gone.contains_key(agent)) {
            (TaskState::TaskGoneByOperator, "Reconciliation: Task is gone")
        } else {
            (TaskState::TaskUnknown, "Reconciliation: Task is unknown")
        };
        if let Some(ended) = ended.filter(|ended| agent.is_none_or(|agent| ended.agent == *agent)) {
            let message = "Reconciliation: Latest task state";
            return Some(status_of(ended, ended.state, Reason::Reconciliation, message, now));
        }
        let state = state_for(framework, state);
        let mut status = status(task, agent, state, Reason::Reconciliation, message, now);
        status.unreachable_time = unreachable.map(|at| time_info(*at));
        Some(status)
    }
}

/// The state that the scheduler was last sent, as updates still under way must not be overtaken: not even by the end
/// of a task whose agent came back with it and has forwarded nothing of it yet. Mesos tells that end.
fn latest(task: &Task, now: Time) -> TaskStatus {
    let state = match &task.update {
        Some((state, _)) => *state,
        None if is_terminal(task.state) => TaskState::TaskStaging,
        None => task.state,
    };
    status_of(task, state, Reason::Reconciliation, "Reconciliation: Latest task state", now)
}
