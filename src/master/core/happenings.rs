//! What happens in the cluster, for those who follow it (SUBSCRIBE of the operator API, `/events`).
//!
//! A handler notes what it changed; `handle` gives it out behind the other effects. As long as nobody follows,
//! nothing is noted. What is given out shares the books' own values: the shell encodes it elsewhere.

use std::sync::Arc;

use super::books::State;
use super::state::{Agent, Cluster, Framework, Task};
use super::{Answer, Effect, Effects, ReplyId};
use crate::proto::task_status::Reason;
use crate::proto::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};
use crate::resources::Resources;

/// One change. Source: `mesos::master::Event`, v1/master/master.proto 1.11.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Somebody follows, and nobody did: what happened since the last happening was not told.
    Opened,
    TaskAdded(Arc<Task>),
    /// A status of another state than the last, or that brought the task to another state, or a check's result.
    TaskUpdated(Box<TaskUpdate>),
    /// With what tasks and offers hold on it, and the roles they are allocated to.
    AgentAdded {
        agent: Arc<Agent>,
        used: Resources,
        offered: Resources,
    },
    /// It was removed, is gone, or is unreachable.
    AgentRemoved(AgentId),
    FrameworkAdded(Arc<Framework>),
    /// It subscribed again or is described anew.
    FrameworkUpdated(Arc<Framework>),
    FrameworkRemoved(Arc<Framework>),
}

#[derive(Clone, Debug)]
pub struct TaskUpdate {
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub status: TaskStatus,
    /// The task's latest, which may be ahead of the status.
    pub state: TaskState,
}

/// Those who follow, and what they have not been given yet.
#[derive(Debug, Default)]
pub(super) struct Followers {
    count: u64,
    noted: Vec<Noted>,
}

/// An agent is shown as it is when its event is over, with the tasks that it brought.
#[derive(Debug)]
enum Noted {
    Happening(Happening),
    AgentAdded(AgentId),
}

impl State {
    /// One more follows: from its answer on, whatever happens is given out.
    pub(super) fn follow(&mut self, reply: ReplyId, out: &mut Effects) {
        self.followers.count += 1;
        if self.followers.count == 1 {
            self.note(|_| Happening::Opened);
        }
        out.push(Effect::Reply { reply, answer: Answer::Ok });
    }

    pub(super) fn unfollow(&mut self) {
        self.followers.count = self.followers.count.saturating_sub(1);
    }

    pub(super) fn note(&mut self, happening: impl FnOnce(&Cluster) -> Happening) {
        if self.followers.count > 0 {
            let happening = happening(&self.cluster);
            self.followers.noted.push(Noted::Happening(happening));
        }
    }

    pub(super) fn note_agent(&mut self, id: &AgentId) {
        if self.followers.count > 0 {
            self.followers.noted.push(Noted::AgentAdded(id.clone()));
        }
    }

    /// A task took in a status; `is_news` is what [`Task::note`] said of it.
    pub(super) fn note_status(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        status: &TaskStatus,
        state: TaskState,
        is_news: bool,
    ) {
        let is_check = [Reason::TaskCheckStatusUpdated, Reason::TaskHealthCheckStatusUpdated]
            .into_iter()
            .any(|reason| status.reason == Some(reason as i32));
        if is_news || is_check {
            self.note(|_| {
                let (framework, agent) = (framework.clone(), agent.clone());
                Happening::TaskUpdated(TaskUpdate { framework, agent, status: status.clone(), state }.into())
            });
        }
    }

    /// Gives out what was noted.
    pub(super) fn publish(&mut self, out: &mut Effects) {
        let cluster = &self.cluster;
        for noted in self.followers.noted.drain(..) {
            let happening = match noted {
                Noted::Happening(happening) => happening,
                Noted::AgentAdded(id) => {
                    // Gone again in the same event.
                    let Some(agent) = cluster.agents.get(&id) else { continue };
                    let (used, offered) = cluster.held_on(agent);
                    Happening::AgentAdded { agent: agent.clone(), used, offered }
                }
            };
            out.push(Effect::Publish(happening.into()));
        }
    }
}

impl Happening {
    pub fn agent(&self) -> Option<&AgentId> {
        match self {
            Happening::TaskAdded(task) => Some(&task.agent),
            Happening::TaskUpdated(update) => Some(&update.agent),
            Happening::AgentAdded { agent, .. } => Some(&agent.id),
            Happening::AgentRemoved(id) => Some(id),
            Happening::Opened
            | Happening::FrameworkAdded(_)
            | Happening::FrameworkUpdated(_)
            | Happening::FrameworkRemoved(_) => None,
        }
    }

    pub fn framework(&self) -> Option<&FrameworkId> {
        match self {
            Happening::TaskAdded(task) => Some(&task.framework),
            Happening::TaskUpdated(update) => Some(&update.framework),
            Happening::FrameworkAdded(framework)
            | Happening::FrameworkUpdated(framework)
            | Happening::FrameworkRemoved(framework) => Some(&framework.id),
            Happening::Opened | Happening::AgentAdded { .. } | Happening::AgentRemoved(_) => None,
        }
    }

    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Happening::TaskAdded(task) => Some(&task.id),
            Happening::TaskUpdated(update) => Some(&update.status.task_id),
            _ => None,
        }
    }
}
