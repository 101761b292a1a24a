//! What becomes of an agent's tasks, executors and offers when the agent leaves the books.

use std::sync::Arc;

use bytes::Bytes;

use crate::alloc;
use crate::base::time::Time;
use crate::proto::scheduler::event;
use crate::proto::task_status::Reason;
use crate::proto::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};
use crate::registry::Operation;

use super::books::{Changing, State};
use super::state::is_terminal;
use super::tell::{failure_event, status_of, time_info};
use super::{Effect, Effects, Then};

/// How an agent left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It unregistered, or a new one took its place.
    Removed,
    /// It fell silent, and may be back.
    Unreachable(Time),
    /// An operator said that it will never be back.
    Gone,
}

impl State {
    /// Source: `Master::removeSlave`, 1.11: stored first, so that a new leader would not wait for it.
    pub(super) fn begin_removal(&mut self, id: &AgentId, why: &str, out: &mut Effects) {
        tracing::info!(agent = %id, why, "removing agent");
        self.changing.insert(id.clone(), Changing::Removing);
        out.push(Effect::Store {
            operation: Operation::Remove(id.clone()),
            then: Then::Removed { agent: id.clone(), why: why.to_owned() },
        });
    }

    /// `begin_removal` goes on here: the registry has forgotten the agent.
    pub(super) fn removed(&mut self, id: &AgentId, why: &str, now: Time, out: &mut Effects) {
        self.changing.remove(id);
        self.count("slave_removals");
        self.lose_agent(id, End::Removed, why, now, out);
    }

    /// Takes an agent off the books: its tasks are what `end` makes of them, its offers are rescinded.
    ///
    /// The allocator forgets the agent first, and with it whatever is held there, so nothing is recovered.
    /// Source: `Master::_removeSlave` and `__removeSlave`, 1.11.
    pub(super) fn lose_agent(&mut self, id: &AgentId, end: End, why: &str, now: Time, out: &mut Effects) {
        let Some(agent) = self.cluster.agents.get(id).cloned() else { return };
        out.push(Effect::Alloc(alloc::Call::RemoveAgent { id: id.clone() }));
        for offer in &agent.offers {
            if let Some(offer) = self.take_offer(offer) {
                self.tell_rescinded(&offer, out);
            }
        }
        for (framework, task) in &agent.tasks {
            self.lose_task(framework, task, end, why, now, out);
        }
        for (framework, executor) in agent.executors.keys() {
            self.take_executor(framework, id, executor);
        }
        self.remove_agent(id);
        self.tell_lost(id, out);
    }

    fn lose_task(
        &mut self,
        owner: &FrameworkId,
        id: &TaskId,
        end: End,
        why: &str,
        now: Time,
        out: &mut Effects,
    ) {
        let Some(framework) = self.cluster.framework(owner) else { return };
        let Some(task) = framework.tasks.get(id) else { return };
        if is_terminal(task.state) {
            return self.tell_end_again(owner, id, now, out);
        }
        let aware = framework.is_partition_aware();
        let (state, reason) = match end {
            End::Unreachable(_) if aware => (TaskState::TaskUnreachable, Reason::AgentRemoved),
            End::Gone if aware => (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator),
            End::Removed | End::Unreachable(_) | End::Gone => (TaskState::TaskLost, Reason::AgentRemoved),
        };
        let message = match end {
            End::Removed => {
                let hostname = self.cluster.agent(&task.agent).map_or("", |agent| &agent.info.hostname);
                format!("Agent {hostname} removed: {why}")
            }
            End::Unreachable(_) | End::Gone => why.to_owned(),
        };
        let unreachable_time = match end {
            End::Unreachable(at) => Some(time_info(at)),
            End::Removed | End::Gone => None,
        };
        let status = TaskStatus {
            healthy: None,
            check_status: None,
            container_status: None,
            unreachable_time,
            ..status_of(task, state, reason, message, now)
        };
        self.update_task(owner, id, &status, state);
        let Some(task) = self.take_task(owner, id) else { return };
        match end {
            // Also one that is told TASK_LOST: it may be back.
            End::Unreachable(_) => self.add_unreachable_task(task),
            End::Removed | End::Gone => self.complete_task(task),
        }
        self.tell_status(owner, status, out);
    }

    /// The task of a lost agent has ended, and its scheduler may not have heard of it: told once more, for its agent
    /// may never be back to do so. Nobody acknowledges this.
    ///
    /// Mesos calls such a task unreachable or lost instead.
    fn tell_end_again(&mut self, owner: &FrameworkId, id: &TaskId, now: Time, out: &mut Effects) {
        let Some(task) = self.take_task(owner, id) else { return };
        let mut task = Arc::unwrap_or_clone(task);
        let said = task.statuses.iter().rev().find(|status| status.state() == task.state);
        let status = match said {
            Some(said) => TaskStatus { uuid: None, ..(**said).clone() },
            None => status_of(
                &task,
                task.state,
                Reason::AgentRemoved,
                "The task had ended before its agent was lost",
                now,
            ),
        };
        if !task.update.as_ref().is_some_and(|(told, _)| is_terminal(*told)) {
            task.update = Some((task.state, Bytes::new()));
        }
        self.complete_task(task.into());
        self.tell_status(owner, status, out);
    }

    /// Tells every scheduler that an agent is lost. Source: `Master::sendSlaveLost`, 1.11.
    pub(super) fn tell_lost(&mut self, id: &AgentId, out: &mut Effects) {
        let frameworks = self.cluster.frameworks.clone();
        for (framework, known) in &frameworks {
            if known.connected {
                let failure = event::Failure { agent_id: Some(id.clone()), ..Default::default() };
                self.tell(framework, failure_event(failure), out);
            }
        }
    }

    /// Takes an executor that is no more off the books; its resources are free.
    pub(super) fn remove_executor(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        executor: &crate::proto::ExecutorId,
        out: &mut Effects,
    ) {
        if let Some(resources) = self.take_executor(framework, agent, executor) {
            self.recover(framework, agent, resources, None, out);
        }
        if let Some(watch) = self.watches.get_mut(agent) {
            watch.doubted.remove(&(framework.clone(), executor.clone()));
        }
    }

    pub(super) fn complete(&mut self, framework: &FrameworkId, task: &TaskId) {
        if let Some(task) = self.take_task(framework, task) {
            self.complete_task(task);
        }
    }
}
