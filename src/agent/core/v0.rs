//! Executors on libprocess: those written on libmesos and its kin.
//!
//! Source: `Slave::registerExecutor`, `reregisterExecutor`, `statusUpdate`, `executorMessage`, slave.cpp 1.11.

use tracing::{info, warn};

use super::state::{Connection, ExecutorPhase, Met, Phase, State};
use super::statuses::Origin;
use super::{Effect, Effects};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::FrameworkId;
use crate::proto::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ExecutorToFrameworkMessage,
    RegisterExecutorMessage, ReregisterExecutorMessage, ShutdownExecutorMessage, StatusUpdateMessage,
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
        self.meet(now, &framework_id, &id, out);
    }

    /// An executor of an earlier agent is back, with what that did not acknowledge.
    pub(super) fn reregister_executor(
        &mut self,
        now: Time,
        from: &Upid,
        message: ReregisterExecutorMessage,
        out: &mut Effects,
    ) {
        let ReregisterExecutorMessage { framework_id, executor_id: id, tasks, updates } = message;
        let framework = self.node.framework(&framework_id).filter(|framework| !framework.terminating);
        let phase =
            framework.and_then(|framework| framework.executors.get(&id)).map(|executor| executor.phase);
        let repeats = self.node.config.executor_reregistration_retry_interval.is_some();
        if phase == Some(ExecutorPhase::Running) && repeats {
            warn!(executor = %id, %from, "an executor is back a second time; ignored");
            return;
        }
        if phase != Some(ExecutorPhase::Registering) || self.node.phase == Phase::Terminating {
            warn!(executor = %id, %from, ?phase, "an executor is back that is not expected; it shall end");
            let message = Box::new(ShutdownExecutorMessage::default().into());
            out.push(Effect::Send { to: from.clone(), message });
            return;
        }
        info!(executor = %id, %from, "an executor is back");
        self.connect(&framework_id, &id, Connection::Pid(from.clone()), out);
        out.push(Effect::Link(from.address));
        let message =
            ExecutorReregisteredMessage { agent_id: self.node.id(), agent_info: (*self.node.info).clone() };
        out.push(Effect::Send { to: from.clone(), message: Box::new(message.into()) });
        for mut update in updates {
            update.status.agent_id = update.status.agent_id.or_else(|| update.agent_id.clone());
            self.status_update(now, update, Origin::Pid(from.clone()), out);
        }
        let known = tasks.into_iter().map(|task| task.task_id).collect();
        self.drop_lost_launches(now, &framework_id, &id, &known, out);
        if let Some(executor) = self.node.executor_mut(&framework_id, &id) {
            // It could not be back had it never been there.
            executor.met = Met::Known;
        }
        self.catch_up(now, &framework_id, &id, out);
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
