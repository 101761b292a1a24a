//! The agent finds its master, registers with it, and notices when it is gone.
//!
//! Source: `Slave::detected`, `doReliableRegistration`, `registered`, `reregistered`, `ping`, slave.cpp 1.11.
//! What differs: a leader whose connection ends is looked for again at once instead of after 75 s, and an
//! answer with another agent's id is logged instead of ending the process.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

use super::state::{Phase, State};
use super::{Effect, Effects, Leader, Timer};
use crate::agent::checkpoint::Fact;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    MasterSlaveConnection, PongSlaveMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    SlaveRegisteredMessage, SlaveReregisteredMessage, UpdateSlaveMessage, archive, update_slave_message,
};
use crate::proto::{AgentId, TaskState, Uuid, agent_info};

/// Source: `REGISTER_RETRY_INTERVAL_MAX`, slave/constants.hpp 1.11.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How long to wait for a ping; a master may tell another time. Source: `DEFAULT_MASTER_PING_TIMEOUT`,
/// slave/constants.cpp 1.11.
pub const PING_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest wait before a leader that cannot be reached is looked for again.
const DETECT_MAX: Duration = Duration::from_secs(15);

/// The version that we speak: masters decide by it what they may send.
const VERSION: &str = "1.11.0";

/// What this agent can do, of what Mesos 1.11 agents can. Left out until their issues: RESOURCE_PROVIDER,
/// RESIZE_VOLUME, AGENT_OPERATION_FEEDBACK, AGENT_DRAINING.
pub const CAPABILITIES: [agent_info::capability::Type; 4] = [
    agent_info::capability::Type::HierarchicalRole,
    agent_info::capability::Type::MultiRole,
    agent_info::capability::Type::ReservationRefinement,
    agent_info::capability::Type::TaskResourceLimits,
];

impl State {
    /// A detector tells who leads. Registration follows within `--registration_backoff_factor`.
    pub(super) fn leader_seen(&mut self, now: Time, leader: Option<Leader>, out: &mut Effects) {
        if self.node.phase == Phase::Recovering {
            // It is asked for again when that is over.
            return;
        }
        self.disconnect();
        self.node.leader = leader;
        let Some(leader) = &self.node.leader else {
            info!("no master leads");
            return;
        };
        info!(master = %leader.pid, "a master leads");
        if self.node.phase == Phase::Terminating {
            return;
        }
        let factor = self.node.config.registration_backoff;
        self.registration.backoff = factor * 2;
        let wait = self.random(factor);
        self.wake_to_register(now + wait, out);
    }

    /// What was agreed with the master no longer counts.
    ///
    /// Nor do tasks that it sent before: what it sends from the next registration on names a version that is drawn
    /// here, so that a task which comes late, after the master heard that it is not here, does not run after all.
    fn disconnect(&mut self) {
        if self.node.phase == Phase::Running {
            self.node.phase = Phase::Disconnected;
        }
        self.updates.pause();
        self.registration.number += 1;
        self.registration.ping_number += 1;
        self.registration.resource_version = self.uuid_bytes();
    }

    fn wake_to_register(&mut self, at: Time, out: &mut Effects) {
        self.registration.number += 1;
        out.push(Effect::Wake { at, timer: Timer::Register { number: self.registration.number } });
    }

    /// One attempt; the next follows in case this one gets no answer.
    pub(super) fn register(&mut self, now: Time, number: u64, out: &mut Effects) {
        if number != self.registration.number || self.node.phase != Phase::Disconnected {
            return;
        }
        let Some(leader) = self.node.leader.clone() else { return };
        out.push(Effect::Link(leader.pid.address));
        let message = match self.node.info.id {
            None => RegisterSlaveMessage {
                agent: (*self.node.info).clone(),
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: Some(self.resource_version()),
                ..RegisterSlaveMessage::default()
            }
            .into(),
            Some(_) => {
                let attempt = Some(self.next_attempt());
                ReregisterSlaveMessage { attempt, ..self.reregistration() }.into()
            }
        };
        out.push(Effect::Send { to: leader.pid, message: Box::new(message) });
        let backoff = self.registration.backoff.min(BACKOFF_MAX);
        self.registration.backoff = backoff * 2;
        let wait = self.random(backoff);
        self.wake_to_register(now + wait, out);
    }

    fn resource_version(&self) -> Uuid {
        Uuid { value: self.registration.resource_version.clone() }
    }

    /// Everything that this agent runs, for a master that may know none of it.
    fn reregistration(&self) -> ReregisterSlaveMessage {
        let mut message = ReregisterSlaveMessage {
            agent: (*self.node.info).clone(),
            version: Some(VERSION.to_owned()),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.resource_version()),
            ..ReregisterSlaveMessage::default()
        };
        for framework in self.node.frameworks.values() {
            message.frameworks.push((*framework.info).clone());
            for executor in framework.executors.values() {
                let known = executor.launched_tasks.values().chain(executor.terminated_tasks.values());
                message.tasks.extend(known.map(|task| (**task).clone()));
                let queued = executor.queued_tasks.iter();
                message.tasks.extend(
                    queued.map(|task| super::tasks::describe(task, TaskState::TaskStaging, &framework.id)),
                );
                // The master has no place for executors that are made here.
                if !executor.generated && executor.phase != super::state::ExecutorPhase::Terminated {
                    message.executor_infos.push((*executor.info).clone());
                }
            }
        }
        for framework in &self.node.completed_frameworks {
            let executors = framework.completed_executors.iter();
            let tasks = executors
                .flat_map(|executor| executor.terminated_tasks.values().chain(&executor.completed_tasks))
                .map(|task| (**task).clone())
                .collect();
            message.completed_frameworks.push(archive::Framework {
                framework_info: (*framework.info).clone(),
                pid: framework.pid.as_ref().map(Upid::to_string),
                tasks,
            });
        }
        message
    }

    /// The master took this agent in and gave it an id.
    pub(super) fn registered(&mut self, now: Time, message: SlaveRegisteredMessage, out: &mut Effects) {
        let id = message.agent_id;
        if !super::super::paths::is_name(&id.value) {
            warn!(agent = ?id.value, "the master gave an id that names no directory; ignored");
            return;
        }
        if !self.accepts_id(now, &id, out) {
            return;
        }
        self.set_ping_timeout(message.connection);
        match self.node.phase {
            Phase::Disconnected => {
                info!(agent = %id, "registered");
                let mut info = (*self.node.info).clone();
                let new = info.id.is_none();
                info.id = Some(id);
                if new && self.node.config.checkpoint {
                    // What comes later is not durable before this is.
                    let fact = Fact::Agent(Box::new(info.clone()));
                    out.push(Effect::Checkpoint { facts: vec![fact], then: None });
                }
                self.node.info = info.into();
                self.run(now, out);
                if self.registration.missed {
                    // The master is to find out that it is not here.
                    self.disconnect();
                    let wait = self.random(self.node.config.registration_backoff);
                    self.wake_to_register(now + wait, out);
                    return;
                }
            }
            Phase::Running => warn!(agent = %id, "already registered"),
            Phase::Terminating | Phase::Recovering => return,
        }
        self.tell_resources(out);
    }

    /// A launch was not taken. A master that registered this agent, which does not know that yet, has it in its books.
    pub(super) fn missed_launch(&mut self, missed: bool) {
        self.registration.missed |= missed && self.node.info.id.is_none();
    }

    /// The master knows this agent, and names tasks it had here.
    pub(super) fn reregistered(&mut self, now: Time, message: SlaveReregisteredMessage, out: &mut Effects) {
        if self.node.info.id.is_none() || !self.accepts_id(now, &message.agent_id, out) {
            return;
        }
        self.set_ping_timeout(message.connection);
        match self.node.phase {
            Phase::Disconnected => {
                info!(agent = %message.agent_id, "reregistered");
                self.registration.missed = false;
                self.run(now, out);
            }
            Phase::Running => warn!(agent = %message.agent_id, "already reregistered"),
            Phase::Terminating | Phase::Recovering => return,
        }
        self.tell_resources(out);
        for reconciliation in message.reconciliations {
            self.reconcile(now, reconciliation, out);
        }
    }

    /// Whether an answer is meant for this agent. If not, it asks once more, for the master may mix up two
    /// agents; ending the process, as Mesos does, would let any liar end it.
    fn accepts_id(&mut self, now: Time, id: &AgentId, out: &mut Effects) -> bool {
        let Some(ours) = &self.node.info.id else { return true };
        if ours == id {
            return true;
        }
        warn!(%ours, theirs = %id, "the master answered with the id of another agent; registering again");
        if self.node.phase == Phase::Running {
            self.disconnect();
            let wait = self.random(self.node.config.registration_backoff);
            self.wake_to_register(now + wait, out);
        }
        false
    }

    fn run(&mut self, now: Time, out: &mut Effects) {
        self.node.phase = Phase::Running;
        self.node.registered = Some(now);
        self.registration.number += 1;
        self.registration.losses = 0;
        self.await_ping(now, out);
        for forward in self.updates.resume(now) {
            self.forward(Some(forward), out);
        }
    }

    fn set_ping_timeout(&mut self, connection: Option<MasterSlaveConnection>) {
        let told = connection.and_then(|connection| connection.total_ping_timeout_seconds);
        let usable = told.filter(|seconds| seconds.is_finite() && (1.0..1e9).contains(seconds));
        self.registration.ping_timeout =
            usable.map_or(PING_TIMEOUT, |seconds| Duration::from_secs(seconds as u64));
    }

    /// Tasks that the master sent before it hears of this are refused.
    pub(super) fn outdate(&mut self, out: &mut Effects) {
        self.registration.resource_version = self.uuid_bytes();
        if self.node.phase == Phase::Running {
            self.tell_resources(out);
        }
    }

    /// What may have changed since the registration was sent.
    pub(super) fn tell_resources(&self, out: &mut Effects) {
        let message = UpdateSlaveMessage {
            agent_id: self.node.id(),
            update_oversubscribed_resources: Some(false),
            operations: Some(update_slave_message::Operations::default()),
            resource_version_uuid: Some(self.resource_version()),
            resource_providers: Some(update_slave_message::ResourceProviders::default()),
            ..UpdateSlaveMessage::default()
        };
        self.tell_master(message, out);
    }

    /// Drops the message if nobody leads.
    pub(super) fn tell_master(&self, message: impl Into<crate::proto::message::Message>, out: &mut Effects) {
        if let Some(leader) = &self.node.leader {
            out.push(Effect::Send { to: leader.pid.clone(), message: Box::new(message.into()) });
        }
    }

    /// The master's observer of this agent asks whether it lives. `connected` is what the master thinks.
    pub(super) fn ping(&mut self, now: Time, from: Upid, connected: bool, out: &mut Effects) {
        let is_leaders = self.node.leader.as_ref().is_some_and(|leader| leader.pid.address == from.address);
        out.push(Effect::Send { to: from, message: Box::new(PongSlaveMessage {}.into()) });
        if !is_leaders {
            return;
        }
        if !connected && self.node.phase == Phase::Running {
            info!("the master takes this agent for disconnected; registering again");
            self.disconnect();
            out.push(Effect::Detect);
        }
        self.await_ping(now, out);
    }

    fn await_ping(&mut self, now: Time, out: &mut Effects) {
        self.registration.ping_number += 1;
        let timer = Timer::Ping { number: self.registration.ping_number };
        out.push(Effect::Wake { at: now + self.registration.ping_timeout, timer });
    }

    pub(super) fn ping_timeout(&mut self, number: u64, out: &mut Effects) {
        if number != self.registration.ping_number || self.node.leader.is_none() {
            return;
        }
        info!(timeout = ?self.registration.ping_timeout, "no ping from the master; looking for it again");
        self.disconnect();
        out.push(Effect::Detect);
    }

    /// A linked address is gone. If it was the leader's, the detector is asked after a wait that grows.
    pub(super) fn exited(&mut self, now: Time, address: SocketAddr, out: &mut Effects) {
        let Some(leader) = &self.node.leader else { return };
        if leader.pid.address != address || self.node.phase == Phase::Terminating {
            return;
        }
        info!(master = %leader.pid, "the connection to the master ended");
        self.disconnect();
        let losses = self.registration.losses.min(8);
        self.registration.losses = losses + 1;
        let most = (self.node.config.registration_backoff * (1 << losses)).min(DETECT_MAX);
        let wait = self.random(most);
        out.push(Effect::Wake { at: now + wait, timer: Timer::Detect { number: self.registration.number } });
    }

    /// `exited` goes on here.
    pub(super) fn detect_again(&mut self, number: u64, out: &mut Effects) {
        if number == self.registration.number && self.node.phase == Phase::Disconnected {
            out.push(Effect::Detect);
        }
    }
}

fn capabilities() -> Vec<agent_info::Capability> {
    CAPABILITIES.iter().map(|kind| agent_info::Capability { r#type: Some(*kind as i32) }).collect()
}
