//! Executors on libprocess: those written on libmesos and its kin.
//!
//! Absent until agents recover: re-registration after a restart of the agent.
//!
//! Source: `Slave::registerExecutor`, `statusUpdate`, `executorMessage`, slave.cpp 1.11.

use tracing::{info, warn};

use super::state::{Connection, ExecutorPhase, Phase, State};
use super::statuses::Origin;
use super::{Effect, Effects};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::FrameworkId;
use crate::proto::internal::{
    ExecutorRegisteredMessage, ExecutorToFrameworkMessage, RegisterExecutorMessage, ShutdownExecutorMessage,
    StatusUpdateMessage,
};

impl State {
    /// An executor is there. One that is not expected is told to end.
    pub(super) fn register_executor(
        &mut self,
        now: Time,
        from: &Upid,
        message: RegisterExecutorMessage,
        out: &mut Effects,
    ) {
        let RegisterExecutorMessage { framework_id, executor_id: id } = message;
        let framework = self.node.framework(&framework_id).filter(|framework| !framework.terminating);
        let phase =
            framework.and_then(|framework| framework.executors.get(&id)).map(|executor| executor.phase);
        if phase != Some(ExecutorPhase::Registering) || self.node.phase == Phase::Terminating {
            warn!(executor = %id, %from, ?phase, "an executor registers that is not expected; it shall end");
            let message = Box::new(ShutdownExecutorMessage::default().into());
            out.push(Effect::Send { to: from.clone(), message });
            return;
        }
        info!(executor = %id, %from, "an executor registers");
        self.connect(&framework_id, &id, Connection::Pid(from.clone()), out);
        out.push(Effect::Link(from.address));
        self.welcome(now, &framework_id, &id, out);
    }

    /// What a registered executor is greeted with.
    pub(super) fn greeting_v0(
        &self,
        framework_id: &FrameworkId,
        id: &crate::proto::ExecutorId,
    ) -> Option<ExecutorRegisteredMessage> {
        let framework = self.node.framework(framework_id)?;
        let executor = framework.executors.get(id)?;
        Some(ExecutorRegisteredMessage {
            executor_info: (*executor.info).clone(),
            framework_id: framework_id.clone(),
            framework_info: (*framework.info).clone(),
            agent_id: self.node.id(),
            agent_info: (*self.node.info).clone(),
        })
    }

    pub(super) fn status_update_v0(
        &mut self,
        now: Time,
        from: &Upid,
        message: StatusUpdateMessage,
        out: &mut Effects,
    ) {
        if !self.is_executor(from, &message.update.framework_id) {
            warn!(%from, "ignored a status update: not from an executor of its framework");
            self.node.counters.invalid_status_updates += 1;
            return;
        }
        let mut update = message.update;
        update.status.agent_id = update.status.agent_id.or_else(|| update.agent_id.clone());
        self.status_update(now, update, Origin::Pid(from.clone()), out);
    }

    pub(super) fn executor_message_v0(
        &mut self,
        from: &Upid,
        message: ExecutorToFrameworkMessage,
        out: &mut Effects,
    ) {
        if !self.is_executor(from, &message.framework_id) {
            warn!(%from, "ignored a message to a scheduler: not from one of its executors");
            self.node.counters.invalid_framework_messages += 1;
            return;
        }
        self.executor_message(&message.framework_id, &message.executor_id, message.data, out);
    }

    fn is_executor(&self, from: &Upid, framework: &FrameworkId) -> bool {
        self.node.framework(framework).is_some_and(|framework| {
            framework
                .executors
                .values()
                .any(|executor| matches!(&executor.connection, Connection::Pid(pid) if pid == from))
        })
    }
}
