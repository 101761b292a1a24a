//! Who may say what. A message is believed only from the one it must come from, and only if its connection
//! comes from that one's address: `Libprocess-From` alone proves nothing.

use std::net::SocketAddr;

use tracing::warn;

use super::Effects;
use super::state::State;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::FrameworkId;
use crate::proto::message::Message;

impl State {
    pub(super) fn message(
        &mut self,
        now: Time,
        from: &Upid,
        peer: SocketAddr,
        message: Message,
        out: &mut Effects,
    ) {
        if !self.comes_from(from, peer) {
            warn!(message = message.name(), %from, %peer, "ignored: its connection comes from elsewhere");
            return;
        }
        match message {
            Message::PingAgent(ping) => self.ping(now, from.clone(), ping.connected, out),
            Message::FrameworkToExecutor(message) => {
                if self.is_leader(from) || self.is_scheduler(from, &message.framework_id) {
                    self.framework_message(*message, out);
                } else {
                    warn!(%from, "ignored a message to an executor: not from its scheduler or the master");
                }
            }
            Message::StatusUpdateAcknowledgement(message) => {
                if self.is_leader(from) || self.is_scheduler(from, &message.framework_id) {
                    self.acknowledged(now, *message, out);
                } else {
                    warn!(%from, "ignored an acknowledgement: not from the scheduler or the master");
                }
            }
            Message::RegisterExecutor(message) => self.register_executor(now, from, *message, out),
            Message::ReregisterExecutor(message) => self.reregister_executor(now, from, *message, out),
            Message::StatusUpdate(message) => self.status_update_v0(now, from, *message, out),
            Message::ExecutorToFramework(message) => self.executor_message_v0(from, *message, out),
            message if self.is_leader(from) => self.master_message(now, message, out),
            message => {
                // One leads whom this agent does not see, and which counts on tasks here.
                let is_launch = matches!(message, Message::RunTask(_) | Message::RunTaskGroup(_));
                self.missed_launch(is_launch && self.node.leader.is_none());
                warn!(message = message.name(), %from, "ignored: not from the leading master");
            }
        }
    }

    fn master_message(&mut self, now: Time, message: Message, out: &mut Effects) {
        match message {
            Message::AgentRegistered(message) => self.registered(now, *message, out),
            Message::AgentReregistered(message) => self.reregistered(now, *message, out),
            Message::RunTask(message) => self.run_task(now, *message, out),
            Message::RunTaskGroup(message) => self.run_task_group(now, *message, out),
            Message::KillTask(message) => self.kill_task(now, *message, out),
            Message::ShutdownFramework(message) => self.shutdown_framework(now, &message.framework_id, out),
            Message::ShutdownExecutor(message) => self.shutdown_executor_message(now, *message, out),
            Message::UpdateFramework(message) => self.update_framework(now, *message, out),
            Message::Shutdown(message) => self.shut_down(now, message.message.unwrap_or_default(), out),
            // A master tells an agent without dynamic reservations and volumes that there are none.
            Message::CheckpointResources(message) if message.resources.is_empty() => {}
            message => warn!(message = message.name(), "ignored: this agent cannot do that"),
        }
    }

    fn is_leader(&self, from: &Upid) -> bool {
        self.node.leader.as_ref().is_some_and(|leader| leader.pid == *from)
    }

    fn is_scheduler(&self, from: &Upid, framework: &FrameworkId) -> bool {
        self.node.framework(framework).is_some_and(|framework| framework.pid.as_ref() == Some(from))
    }

    /// Whether the connection may be that of the sender. A process on this machine may reach us over loopback
    /// and go by the machine's other address.
    fn comes_from(&self, from: &Upid, peer: SocketAddr) -> bool {
        let ours = self.node.config.pid.address.ip();
        let (claimed, actual) = (from.address.ip(), peer.ip());
        claimed == actual || actual.is_loopback() && (ours.is_loopback() || ours == claimed)
    }
}
