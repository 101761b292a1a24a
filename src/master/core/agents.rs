//! Agents join, describe themselves anew, and leave by their own word.
//!
//! Absent: coming back (`reregister.rs`), falling silent (`liveness.rs`), what becomes of tasks (`removal.rs`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::alloc;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    MasterSlaveConnection, RegisterSlaveMessage, SlaveRegisteredMessage, UnregisterSlaveMessage,
    UpdateSlaveMessage,
};
use crate::proto::{AgentId, AgentInfo, agent_info};
use crate::registry::{Operation, Outcome};
use crate::resources::Resources;

use super::books::{State, Watch};
use super::state::Agent;
use super::{Effect, Effects, Then};
use crate::master::validate;

impl State {
    /// An agent without an id asks to join; it hears back once the registry has it.
    ///
    /// Dropped while an earlier request of the same agent is being written: agents repeat themselves,
    /// first within 0-1 s (`--registration_backoff_factor`), then doubling up to 1 min.
    /// Source: `Master::registerSlave`, 1.11.
    pub(super) fn register(
        &mut self,
        from: Upid,
        message: RegisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        self.count("messages_register_slave");
        if self.registering.contains(&from) {
            tracing::debug!(%from, "registration is already in progress");
            return;
        }
        let allowed = validate::agent::registration(&message)
            .and_then(|()| self.admissible(&from, &message.agent, message.version()));
        if let Err(why) = allowed {
            return self.drop_message(&from, "registration", &why);
        }
        if let Some(id) = self.agent_by_pid(&from).cloned() {
            let connected = self.cluster.agent(&id).is_some_and(|agent| agent.connected);
            let known = self.watches.get(&id).and_then(|watch| watch.resource_version.as_ref());
            let this = message.resource_version_uuid.as_ref();
            if connected || this.is_some() && this == known {
                let another = this.is_some() && known.is_some() && this != known;
                tracing::info!(agent = %id, %from, another, "agent is already registered, telling it again");
                self.send_registered(&id, out);
                if another {
                    self.doubt_agent(&id, message.resource_version_uuid, now, out);
                }
                return;
            }
            if !self.replace(&id, out) {
                return;
            }
        }
        let id = self.next_agent_id();
        self.registering.insert(from.clone());
        tracing::info!(%from, hostname = %message.agent.hostname, agent = %id, "registering agent");
        let info = Arc::new(AgentInfo { id: Some(id), ..message.agent.clone() });
        let registration = Box::new(message);
        out.push(Effect::Store {
            operation: Operation::Admit(info.clone()),
            then: Then::Admitted { from, info, registration },
        });
    }

    /// `register` goes on here: the registry holds the agent, or refused it (its id is taken).
    pub(super) fn admitted(
        &mut self,
        from: Upid,
        info: Arc<AgentInfo>,
        message: RegisterSlaveMessage,
        done: Outcome,
        now: Time,
        out: &mut Effects,
    ) {
        self.registering.remove(&from);
        let Some(id) = info.id.clone() else { return };
        if done == Outcome::Refused || self.cluster.agents.contains_key(&id) {
            tracing::warn!(agent = %id, %from, "the registry has an agent of this id, registration ignored");
            return;
        }
        if self.agent_by_pid(&from).is_some() {
            tracing::warn!(agent = %id, %from, "another agent came back at this address, registration ignored");
            return;
        }
        let total = match validate::agent::total(&info, &message.checkpointed_resources) {
            Ok(total) => total,
            Err(why) => return self.drop_message(&from, "registration", &why),
        };
        self.count("slave_registrations");
        let agent = Agent {
            id: id.clone(),
            pid: from,
            version: message.version().to_owned(),
            capabilities: capabilities(&message.agent_capabilities),
            registered: now,
            reregistered: None,
            connected: true,
            active: true,
            total: total.clone(),
            used: Resources::default(),
            offered: Resources::default(),
            tasks: Default::default(),
            executors: Default::default(),
            offers: Default::default(),
            info: info.clone(),
        };
        let number = self.welcome(agent, message.resource_version_uuid, now, out);
        out.push(Effect::Alloc(alloc::Call::AddAgent { id: id.clone(), number, info, total, held: vec![] }));
        self.send_registered(&id, out);
        tracing::info!(agent = %id, "registered agent");
    }

    /// An agent enters the books: linked, watched, pinged. Gives the number of this registration.
    pub(super) fn welcome(
        &mut self,
        agent: Agent,
        resource_version: Option<crate::proto::Uuid>,
        now: Time,
        out: &mut Effects,
    ) -> u64 {
        let observer = self.next_observer();
        let (id, address) = (agent.id.clone(), agent.pid.address);
        let watch = Watch {
            observer,
            timeouts: 0,
            pinged: false,
            marking: false,
            disconnections: 0,
            resource_version,
            left: false,
            attempt: None,
            killed: Default::default(),
            exited: Default::default(),
            doubted: Default::default(),
        };
        self.insert_agent(agent, watch);
        out.push(Effect::Link(address));
        self.ping(&id, now, out);
        observer
    }

    fn send_registered(&self, id: &AgentId, out: &mut Effects) {
        let connection = Some(self.connection_terms());
        self.send_agent(id, SlaveRegisteredMessage { agent_id: id.clone(), connection }, out);
    }

    /// How long an agent may hear no ping before it looks for its master anew.
    pub(super) fn connection_terms(&self) -> MasterSlaveConnection {
        let timeout = self.flags.agent_ping_timeout.as_secs_f64() * self.flags.max_agent_ping_timeouts as f64;
        MasterSlaveConnection { total_ping_timeout_seconds: Some(timeout) }
    }

    /// Another agent lives at the address of this one, which is therefore no more: its removal begins, and is
    /// stored before whatever is stored for the new one. False if it must wait for another change of it.
    pub(super) fn replace(&mut self, id: &AgentId, out: &mut Effects) -> bool {
        tracing::info!(agent = %id, "removing agent, a new one is at its address");
        match self.changing.get(id) {
            None => {
                self.count("slave_removals/reason_registered");
                self.begin_removal(id, "a new agent registered at the same address", out);
                true
            }
            // It is on its way out already.
            Some(super::books::Changing::Reregistering) => false,
            Some(_) => true,
        }
    }

    /// What every agent that wants in must meet, new or not.
    pub(super) fn admissible(&self, from: &Upid, info: &AgentInfo, version: &str) -> Result<(), String> {
        validate::agent::version(version)?;
        // Without a domain of its own the master cannot tell whether the agent is remote.
        if info.domain.is_some() && self.cluster.info.domain.is_none() {
            return Err("the agent has a domain, but the master has none".to_owned());
        }
        let port = from.address.port();
        let names = [info.hostname.clone(), from.address.ip().to_string()];
        let listed = |slaves: &std::collections::BTreeSet<String>| {
            names.iter().any(|name| slaves.contains(name) || slaves.contains(&format!("{name}:{port}")))
        };
        match &self.flags.slaves {
            Some(slaves) if !listed(slaves) => Err(format!("'{}' is not among --slaves", info.hostname)),
            _ => Ok(()),
        }
    }

    /// An agent that shuts down says so. Source: `Master::unregisterSlave`, 1.11.
    pub(super) fn unregister(&mut self, from: &Upid, message: &UnregisterSlaveMessage, out: &mut Effects) {
        self.count("messages_unregister_slave");
        let id = &message.agent_id;
        if !self.is_from_agent(from, id) {
            return self.drop_message(from, "unregistration", "it is not the agent");
        }
        if self.changing.contains_key(id) {
            tracing::info!(agent = %id, "unregistration ignored, the agent is on its way out already");
            return;
        }
        self.count("slave_removals/reason_unregistered");
        self.begin_removal(id, "the agent unregistered", out);
    }

    /// An agent's oversubscribed resources or resource version have changed.
    ///
    /// Resource providers, which only agents with CSI plugins have, are not taken in yet.
    /// Source: `Master::updateSlave`, 1.11.
    pub(super) fn update_agent(&mut self, from: &Upid, message: UpdateSlaveMessage, out: &mut Effects) {
        self.count("messages_update_slave");
        let id = message.agent_id.clone();
        if !self.is_from_agent(from, &id) {
            return self.drop_message(from, "agent update", "it is not the agent");
        }
        if message.resource_providers.as_ref().is_some_and(|all| !all.providers.is_empty()) {
            tracing::warn!(agent = %id, "resources of resource providers are not offered yet");
        }
        if let Some(version) = message.resource_version_uuid.clone()
            && let Some(watch) = self.watches.get_mut(&id)
        {
            watch.resource_version = Some(version);
        }
        // Before 1.5 the field was absent and the resources meant.
        if !message.update_oversubscribed_resources.unwrap_or(true) {
            return;
        }
        let extra = match validate::agent::oversubscribed(&message.oversubscribed_resources) {
            Ok(extra) => extra,
            Err(why) => return self.drop_message(from, "agent update", &why),
        };
        let Some(agent) = self.cluster.agent(&id) else { return };
        let mut total = agent.total.filter(|resource| !resource.is_revocable());
        total += &extra;
        self.change_total(&id, total, out);
    }

    /// The agent offers something else from now on. Offers out may hold what is no more, so they go back.
    pub(super) fn change_total(&mut self, id: &AgentId, total: Resources, out: &mut Effects) {
        let Some(agent) = self.cluster.agent(id) else { return };
        if agent.total == total {
            return;
        }
        for offer in agent.offers.clone() {
            self.rescind(&offer, out);
        }
        let Some(agent) = self.agent_mut(id) else { return };
        agent.total = total.clone();
        let info = agent.info.clone();
        out.push(Effect::Alloc(alloc::Call::UpdateAgent { id: id.clone(), info, total }));
    }

    pub(super) fn is_from_agent(&self, from: &Upid, id: &AgentId) -> bool {
        self.cluster.agent(id).is_some_and(|agent| agent.pid == *from)
    }

    /// A message that is not acted on: counted, and said why.
    pub(super) fn drop_message(&mut self, from: &Upid, what: &str, why: &str) {
        self.count("dropped_messages");
        tracing::warn!(%from, why, "dropping {what}");
    }
}

pub(super) fn capabilities(list: &[agent_info::Capability]) -> std::collections::BTreeSet<i32> {
    list.iter().filter_map(|capability| capability.r#type).collect()
}

/// Whether a message may be from this pid: its connection comes from the pid's machine.
///
/// `Libprocess-From` is only what the sender says of itself. A connection over loopback is one of this machine,
/// which may go by any of its addresses.
pub(super) fn is_believed(from: &Upid, peer: SocketAddr) -> bool {
    let peer = canonical(peer.ip());
    peer == canonical(from.address.ip()) || peer.is_loopback()
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
