//! What goes out: messages to agents, events to schedulers of either kind.

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::message::Message;
use crate::proto::scheduler::{self, event};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus, TimeInfo, internal};

use super::books::State;
use super::state::{Connection, Framework, Task};
use super::{Effect, Effects, StreamId};

/// Seconds between HEARTBEATs of a v1 stream. Source: `DEFAULT_HEARTBEAT_INTERVAL`, 1.11.
pub(super) const HEARTBEAT_SECS: u64 = 15;

impl State {
    pub(super) fn send(&self, to: &Upid, message: impl Into<Message>, out: &mut Effects) {
        out.push(Effect::Send {
            from: self.receiver.clone(),
            to: to.clone(),
            message: Box::new(message.into()),
        });
    }

    pub(super) fn send_agent(&self, agent: &AgentId, message: impl Into<Message>, out: &mut Effects) {
        if let Some(agent) = self.cluster.agent(agent) {
            self.send(&agent.pid, message, out);
        }
    }

    /// Tells a connected scheduler; a disconnected one hears nothing and reconciles when it is back.
    pub(super) fn tell(&mut self, framework: &FrameworkId, event: scheduler::Event, out: &mut Effects) {
        let Some(framework) = self.cluster.framework(framework) else { return };
        if !framework.connected {
            tracing::debug!(framework = %framework.id, "event dropped, the scheduler is disconnected");
            return;
        }
        let (id, kind) = (framework.id.clone(), event.r#type());
        match &framework.connection {
            Connection::Http(stream) => stream_event(stream, event, out),
            Connection::Pid(pid) => {
                if let Some(message) = self.for_driver(framework, event) {
                    self.send(pid, message, out);
                }
            }
            Connection::None => {}
        }
        self.count_event(&id, kind);
    }

    /// A scheduler event as a v0 driver knows it; `None` for those that it has no message for.
    fn for_driver(&self, framework: &Framework, event: scheduler::Event) -> Option<Message> {
        let framework_id = framework.id.clone();
        let pid_of = |agent: &AgentId| self.cluster.agent(agent).map(|agent| agent.pid.to_string());
        if let Some(subscribed) = event.subscribed {
            let master_info = subscribed.master_info.unwrap_or_default();
            return Some(internal::FrameworkRegisteredMessage { framework_id, master_info }.into());
        }
        if let Some(event::Offers { offers }) = event.offers {
            let pids = offers.iter().map(|offer| pid_of(&offer.agent_id).unwrap_or_default()).collect();
            return Some(internal::ResourceOffersMessage { offers, pids }.into());
        }
        if let Some(event::Rescind { offer_id }) = event.rescind {
            return Some(internal::RescindResourceOfferMessage { offer_id }.into());
        }
        if let Some(event::Update { status }) = event.update {
            let uuid = status.uuid.clone();
            // The pid says that somebody waits for an acknowledgement.
            let pid = uuid.as_ref().and_then(|_| pid_of(status.agent_id.as_ref()?));
            let update = internal::StatusUpdate {
                framework_id,
                executor_id: status.executor_id.clone(),
                agent_id: status.agent_id.clone(),
                timestamp: status.timestamp(),
                uuid,
                latest_state: None,
                status,
            };
            return Some(internal::StatusUpdateMessage { update, pid }.into());
        }
        if let Some(event::Message { agent_id, executor_id, data }) = event.message {
            let message = internal::ExecutorToFrameworkMessage { agent_id, framework_id, executor_id, data };
            return Some(message.into());
        }
        if let Some(failure) = event.failure {
            let agent_id = failure.agent_id?;
            return Some(match failure.executor_id {
                Some(executor_id) => {
                    let status = failure.status.unwrap_or(0);
                    internal::ExitedExecutorMessage { agent_id, framework_id, executor_id, status }.into()
                }
                None => internal::LostSlaveMessage { agent_id }.into(),
            });
        }
        event.error.map(|event::Error { message }| internal::FrameworkErrorMessage { message }.into())
    }

    /// An update of the master's own making: nobody acknowledges it.
    pub(super) fn tell_status(&mut self, framework: &FrameworkId, status: TaskStatus, out: &mut Effects) {
        tracing::info!(
            framework = %framework,
            task = %status.task_id,
            state = status.state().as_str_name(),
            message = status.message(),
            "sending status update"
        );
        self.tell(framework, update_event(status), out);
    }
}

pub(super) fn stream_event(stream: &StreamId, event: scheduler::Event, out: &mut Effects) {
    out.push(Effect::Stream { stream: stream.clone(), event: Box::new(event) });
}

pub(super) fn update_event(status: TaskStatus) -> scheduler::Event {
    scheduler::Event {
        r#type: Some(event::Type::Update as i32),
        update: Some(event::Update { status }),
        ..Default::default()
    }
}

pub(super) fn error_event(message: &str) -> scheduler::Event {
    scheduler::Event {
        r#type: Some(event::Type::Error as i32),
        error: Some(event::Error { message: message.to_owned() }),
        ..Default::default()
    }
}

pub(super) fn heartbeat_event() -> scheduler::Event {
    scheduler::Event { r#type: Some(event::Type::Heartbeat as i32), ..Default::default() }
}

pub(super) fn failure_event(failure: event::Failure) -> scheduler::Event {
    scheduler::Event {
        r#type: Some(event::Type::Failure as i32),
        failure: Some(failure),
        ..Default::default()
    }
}

/// A status that the master gives a task. Source: `protobuf::createStatusUpdate`, 1.11.
pub(super) fn status(
    task: &TaskId,
    agent: Option<&AgentId>,
    state: TaskState,
    reason: Reason,
    message: impl Into<String>,
    now: Time,
) -> TaskStatus {
    TaskStatus {
        task_id: task.clone(),
        agent_id: agent.cloned(),
        state: state as i32,
        source: Some(Source::Master as i32),
        reason: Some(reason as i32),
        message: Some(message.into()),
        timestamp: Some(now.as_secs_f64()),
        ..Default::default()
    }
}

/// `status` of a task that the master knows, with what its last status said of its health.
pub(super) fn status_of(
    task: &Task,
    state: TaskState,
    reason: Reason,
    message: impl Into<String>,
    now: Time,
) -> TaskStatus {
    let last = task.statuses.last();
    TaskStatus {
        executor_id: task.executor.clone(),
        healthy: last.and_then(|last| last.healthy),
        check_status: last.and_then(|last| last.check_status),
        container_status: last.and_then(|last| last.container_status.clone()),
        ..status(&task.id, Some(&task.agent), state, reason, message, now)
    }
}

pub(super) fn time_info(at: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX) }
}

/// The state that a framework is told: those of partition-aware ones are all TASK_LOST to the others.
pub(super) fn state_for(framework: &Framework, state: TaskState) -> TaskState {
    if framework.is_partition_aware() { state } else { TaskState::TaskLost }
}
