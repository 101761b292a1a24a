//! The scheduler driver: what masters say becomes callbacks, what the framework calls becomes messages.
//!
//! Only what comes from the leading master counts, and only while the framework is registered with it. Calls made in
//! between are dropped as by Mesos; tasks launched then are told to be lost. How the registration comes about is in
//! `subscription.rs`.
//!
//! Source: `SchedulerProcess` and `MesosSchedulerDriver`, sched/sched.cpp 1.11. Unlike there, what would end the process
//! (an acknowledgement that is implicit already, an operation with an id) aborts the driver and says so.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tracing::{debug, error, info, warn};

pub use super::subscription::Patience;
use super::{Core, Effect, Effects, Event, Status};
use crate::auth::crammd5::Authenticatee;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::framework_info::capability;
use crate::proto::internal::{DeactivateFrameworkMessage, FrameworkToExecutorMessage, StatusUpdate};
use crate::proto::scheduler::{Call, OfferConstraints, call};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    AgentId, Credential, ExecutorId, Filters, FrameworkId, FrameworkInfo, MasterInfo, Message, Offer,
    OfferId, Request, TaskId, TaskInfo, TaskState, TaskStatus, offer,
};

/// What a driver is made with.
#[derive(Clone, Debug)]
pub struct Config {
    pub framework: FrameworkInfo,
    pub suppressed: BTreeSet<String>,
    /// Updates are acknowledged once their callback has returned.
    pub acknowledges: bool,
    pub credential: Option<Credential>,
    pub patience: Patience,
    /// Of the driver's own process.
    pub pid: Upid,
    pub seed: u64,
}

/// What the framework is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    Registered(FrameworkId, Box<MasterInfo>),
    Reregistered(Box<MasterInfo>),
    Disconnected,
    Offers(Vec<Offer>),
    Rescinded(OfferId),
    Update(Box<TaskStatus>),
    Message {
        executor: ExecutorId,
        agent: AgentId,
        data: Bytes,
    },
    AgentLost(AgentId),
    ExecutorLost {
        executor: ExecutorId,
        agent: AgentId,
        status: i32,
    },
    /// The driver has been aborted.
    Error(String),
}

type Out = Effects<Callback>;

/// The driver.
#[derive(Debug)]
pub struct State {
    pub(super) config: Config,
    pub(super) status: Status,
    /// With its id once it has one.
    pub(super) framework: FrameworkInfo,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) constraints: OfferConstraints,
    /// The id was given to an earlier driver, whose place this one takes.
    pub(super) failover: bool,
    pub(super) leader: Option<Upid>,
    /// Registered with the leader.
    pub(super) connected: bool,
    /// The framework changed while nobody could be told.
    changed: bool,
    /// Counts attempts to subscribe or authenticate, so that stale timers are known.
    pub(super) attempt: u64,
    pub(super) authenticatee: Option<Authenticatee>,
    pub(super) authenticated: bool,
    /// Who made an offer, and where that agent listens.
    offers: BTreeMap<OfferId, (AgentId, Upid)>,
    /// Where agents with tasks of ours listen: messages to executors go there.
    agents: BTreeMap<AgentId, Upid>,
    pub(super) random: ChaCha8Rng,
}

impl State {
    pub fn new(config: Config) -> State {
        let framework = config.framework.clone();
        let mut state = State {
            status: Status::NotStarted,
            suppressed: config.suppressed.clone(),
            constraints: OfferConstraints::default(),
            failover: false,
            leader: None,
            connected: false,
            changed: false,
            attempt: 0,
            authenticatee: None,
            authenticated: false,
            offers: BTreeMap::new(),
            agents: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(config.seed),
            framework,
            config,
        };
        state.failover = state.framework_id().is_some();
        state
    }

    /// None before it was given.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.framework.id.clone().filter(|id| !id.value.is_empty())
    }

    /// The master that leads, if one is known.
    pub fn leader(&self) -> Option<Upid> {
        self.leader.clone()
    }

    /// Whether there is something to start. Without a leader to look for, say so by `fail`.
    pub fn start(&mut self) -> bool {
        self.status.start()
    }

    /// Ends the driver: with `failover` the framework stays for another driver, otherwise it is torn down.
    pub fn stop(&mut self, failover: bool, out: &mut Out) -> Status {
        let Some(status) = self.status.stop() else { return self.status };
        let framework = self.framework_id().map(|id| id.value).unwrap_or_default();
        info!(framework, failover, "Stopping framework");
        if !failover {
            self.call(call::Type::Teardown, Call::default(), out);
        }
        status
    }

    /// Aborts the driver and says why.
    pub(super) fn fail(&mut self, why: &str, out: &mut Out) {
        if self.status == Status::Running {
            error!(why, "Got error");
            self.abort(out);
            out.push(Effect::Tell(Callback::Error(why.to_owned())));
        }
    }

    /// A call to the leader; dropped without one.
    fn call(&self, r#type: call::Type, call: Call, out: &mut Out) {
        let (Some(leader), Some(id), true) = (&self.leader, self.framework_id(), self.connected) else {
            return debug!(call = r#type.as_str_name(), "Ignoring a call as master is disconnected");
        };
        let call = Call { framework_id: Some(id), r#type: Some(r#type as i32), ..call };
        out.push(Effect::Send { from: self.config.pid.clone(), to: leader.clone(), message: call.into() });
    }

    /// The same while the driver runs, for what its user calls.
    fn request(&self, r#type: call::Type, call: Call, out: &mut Out) -> Status {
        if self.status == Status::Running {
            self.call(r#type, call, out);
        }
        self.status
    }

    // ---- what the framework calls ----

    pub fn kill_task(&self, task_id: TaskId, out: &mut Out) -> Status {
        let kill = Some(call::Kill { task_id, agent_id: None, kill_policy: None });
        self.request(call::Type::Kill, Call { kill, ..Call::default() }, out)
    }

    pub fn request_resources(&self, requests: Vec<Request>, out: &mut Out) -> Status {
        let request = Some(call::Request { requests });
        self.request(call::Type::Request, Call { request, ..Call::default() }, out)
    }

    pub fn launch_tasks(
        &mut self,
        now: Time,
        offers: Vec<OfferId>,
        tasks: Vec<TaskInfo>,
        filters: Filters,
        out: &mut Out,
    ) -> Status {
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: tasks }),
            ..offer::Operation::default()
        };
        self.accept_offers(now, offers, vec![launch], filters, out)
    }

    pub fn accept_offers(
        &mut self,
        now: Time,
        offers: Vec<OfferId>,
        operations: Vec<offer::Operation>,
        filters: Filters,
        out: &mut Out,
    ) -> Status {
        if self.status != Status::Running {
            return self.status;
        }
        if operations.iter().any(|operation| operation.id.is_some()) {
            let why = "An offer operation's 'id' field was set, which is disallowed because the SchedulerDriver \
                       cannot handle offer operation status updates";
            self.fail(why, out);
            return self.status;
        }
        let launches = operations.iter().filter_map(|operation| operation.launch.as_ref());
        let tasks = launches.flat_map(|launch| &launch.task_infos);
        if !self.connected {
            let dropped: Vec<Callback> = tasks.map(|task| self.dropped(now, task)).collect();
            out.extend(dropped.into_iter().map(Effect::Tell));
            return self.status;
        }
        let used: BTreeSet<&AgentId> = tasks.map(|task| &task.agent_id).collect();
        for id in &offers {
            match self.offers.remove(id) {
                Some((agent, pid)) if used.contains(&agent) => drop(self.agents.insert(agent, pid)),
                Some(_) => {}
                None => warn!(offer = %id, "Attempting to accept an unknown offer"),
            }
        }
        let accept = Some(call::Accept { offer_ids: offers, operations, filters: Some(filters) });
        self.request(call::Type::Accept, Call { accept, ..Call::default() }, out)
    }

    /// What is told of a task that was launched while there was no master to tell. Its agent is named, as in updates
    /// that come from masters; Mesos leaves that out.
    fn dropped(&self, now: Time, task: &TaskInfo) -> Callback {
        let mut capabilities = self.framework.capabilities.iter();
        let aware = capabilities.any(|one| one.r#type() == capability::Type::PartitionAware);
        let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
        Callback::Update(Box::new(TaskStatus {
            task_id: task.task_id.clone(),
            state: state as i32,
            agent_id: Some(task.agent_id.clone()),
            source: Some(Source::Master as i32),
            reason: Some(Reason::MasterDisconnected as i32),
            message: Some("Master disconnected".to_owned()),
            timestamp: Some(now.as_secs_f64()),
            ..TaskStatus::default()
        }))
    }

    pub fn decline_offer(&mut self, id: OfferId, filters: Filters, out: &mut Out) -> Status {
        if self.status == Status::Running && self.connected && self.offers.remove(&id).is_none() {
            warn!(offer = %id, "Attempting to decline an unknown offer");
        }
        let decline = Some(call::Decline { offer_ids: vec![id], filters: Some(filters) });
        self.request(call::Type::Decline, Call { decline, ..Call::default() }, out)
    }

    /// No roles: all.
    pub fn revive_offers(&mut self, roles: Vec<String>, out: &mut Out) -> Status {
        if self.status != Status::Running {
            return self.status;
        }
        match roles.is_empty() {
            true => self.suppressed.clear(),
            false => self.suppressed.retain(|role| !roles.contains(role)),
        }
        self.changed |= !self.connected;
        let revive = (!roles.is_empty()).then_some(call::Revive { roles });
        self.request(call::Type::Revive, Call { revive, ..Call::default() }, out)
    }

    /// No roles: all.
    pub fn suppress_offers(&mut self, roles: Vec<String>, out: &mut Out) -> Status {
        if self.status != Status::Running {
            return self.status;
        }
        match roles.is_empty() {
            true => self.suppressed = self.framework.roles.iter().cloned().collect(),
            false => self.suppressed.extend(roles.iter().cloned()),
        }
        self.changed |= !self.connected;
        let suppress = (!roles.is_empty()).then_some(call::Suppress { roles });
        self.request(call::Type::Suppress, Call { suppress, ..Call::default() }, out)
    }

    pub fn acknowledge_status_update(&mut self, status: &TaskStatus, out: &mut Out) -> Status {
        if self.status == Status::Running && self.config.acknowledges {
            let why = "Cannot call acknowledgeStatusUpdate: Implicit acknowledgements are enabled";
            self.fail(why, out);
        } else if self.status == Status::Running {
            self.acknowledge(status, out);
        }
        self.status
    }

    /// What has no uuid, or no agent, wants no acknowledgement.
    fn acknowledge(&self, status: &TaskStatus, out: &mut Out) {
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else { return };
        if !uuid.is_empty() {
            let acknowledge = Some(call::Acknowledge { agent_id, task_id: status.task_id.clone(), uuid });
            self.call(call::Type::Acknowledge, Call { acknowledge, ..Call::default() }, out);
        }
    }

    /// Straight to the agent if a task of ours was launched there, else through the master.
    pub fn send_framework_message(
        &self,
        executor_id: ExecutorId,
        agent_id: AgentId,
        data: Bytes,
        out: &mut Out,
    ) -> Status {
        let (Status::Running, true, Some(framework_id)) = (self.status, self.connected, self.framework_id())
        else {
            return self.status;
        };
        if let Some(to) = self.agents.get(&agent_id) {
            let message = FrameworkToExecutorMessage { agent_id, framework_id, executor_id, data }.into();
            out.push(Effect::Send { from: self.config.pid.clone(), to: to.clone(), message });
            return self.status;
        }
        let message = Some(call::Message { agent_id, executor_id, data });
        self.request(call::Type::Message, Call { message, ..Call::default() }, out)
    }

    /// No statuses: all tasks that are known.
    pub fn reconcile_tasks(&self, statuses: Vec<TaskStatus>, out: &mut Out) -> Status {
        let about =
            |status: TaskStatus| call::reconcile::Task { task_id: status.task_id, agent_id: status.agent_id };
        let reconcile = Some(call::Reconcile { tasks: statuses.into_iter().map(about).collect() });
        self.request(call::Type::Reconcile, Call { reconcile, ..Call::default() }, out)
    }

    pub fn update_framework(
        &mut self,
        framework: FrameworkInfo,
        suppressed: BTreeSet<String>,
        constraints: OfferConstraints,
        out: &mut Out,
    ) -> Status {
        if self.status != Status::Running {
            return self.status;
        }
        let Some(id) = self.framework_id() else {
            let why = "MesosSchedulerDriver::updateFramework() must not be called prior to registration with the \
                       master";
            self.fail(why, out);
            return self.status;
        };
        let given = framework.id.clone().unwrap_or_default();
        if given != id {
            let why = format!(
                "The 'FrameworkInfo.id' provided to MesosSchedulerDriver::updateFramework() ({given}) must be equal \
                 to the value known to the MesosSchedulerDriver ({id})"
            );
            self.fail(&why, out);
            return self.status;
        }
        (self.framework, self.suppressed, self.constraints) = (framework, suppressed, constraints);
        self.changed = !self.connected;
        self.tell_framework(out);
        self.status
    }

    /// UPDATE_FRAMEWORK, with all that may have changed.
    fn tell_framework(&self, out: &mut Out) {
        let update_framework = Some(call::UpdateFramework {
            framework_info: self.framework.clone(),
            suppressed_roles: self.suppressed.iter().cloned().collect(),
            offer_constraints: Some(self.constraints.clone()),
        });
        self.call(call::Type::UpdateFramework, Call { update_framework, ..Call::default() }, out);
    }

    // ---- what the driver hears ----

    fn received(&mut self, now: Time, from: Option<Upid>, message: Message, out: &mut Out) {
        // These come straight from agents and executors.
        if let Message::ExecutorToFramework(it) = message {
            let callback = Callback::Message { executor: it.executor_id, agent: it.agent_id, data: it.data };
            return out.push(Effect::Tell(callback));
        }
        let Some(from) = from else { return };
        if message.name().starts_with("mesos.internal.Authentication") {
            return self.authentication(now, &from, &message, out);
        }
        if self.leader.as_ref() != Some(&from) {
            return warn!(name = message.name(), %from, "Ignoring a message that is not the leading master's");
        }
        let message = match message {
            Message::FrameworkError(it) => return self.fail(&it.message, out),
            Message::FrameworkRegistered(it) => {
                return self.registered(it.framework_id.clone(), out, |id| {
                    Callback::Registered(id, Box::new(it.master_info))
                });
            }
            Message::FrameworkReregistered(it) => {
                return self.registered(it.framework_id.clone(), out, |_| {
                    Callback::Reregistered(Box::new(it.master_info))
                });
            }
            message => message,
        };
        if !self.connected {
            return debug!(name = message.name(), "Ignoring a message because the driver is disconnected");
        }
        let callback = match message {
            Message::ResourceOffers(it) => {
                if it.offers.is_empty() {
                    return;
                }
                for (offer, pid) in it.offers.iter().zip(&it.pids) {
                    match pid.parse() {
                        Ok(pid) => drop(self.offers.insert(offer.id.clone(), (offer.agent_id.clone(), pid))),
                        Err(error) => debug!(pid, %error, "an agent's address is not understood"),
                    }
                }
                Callback::Offers(it.offers)
            }
            Message::RescindResourceOffer(it) => {
                self.offers.remove(&it.offer_id);
                Callback::Rescinded(it.offer_id)
            }
            Message::StatusUpdate(it) => return self.updated(it.update, out),
            Message::LostAgent(it) => {
                self.agents.remove(&it.agent_id);
                Callback::AgentLost(it.agent_id)
            }
            Message::ExitedExecutor(it) => {
                Callback::ExecutorLost { executor: it.executor_id, agent: it.agent_id, status: it.status }
            }
            other => return warn!(name = other.name(), "Ignoring a message that is not for schedulers"),
        };
        out.push(Effect::Tell(callback));
    }

    fn registered(&mut self, id: FrameworkId, out: &mut Out, callback: impl FnOnce(FrameworkId) -> Callback) {
        if self.connected {
            return debug!("Ignoring a registration because the driver is already connected");
        }
        info!(framework = %id, "Framework registered");
        self.framework.id = Some(id.clone());
        self.connected = true;
        self.failover = false;
        // Offers of an earlier master can no longer be used.
        self.offers.clear();
        if std::mem::take(&mut self.changed) {
            self.tell_framework(out);
        }
        out.push(Effect::Tell(callback(id)));
    }

    /// The uuid is there if, and only if, the update wants to be acknowledged.
    fn updated(&self, update: StatusUpdate, out: &mut Out) {
        let agent_id = update.status.agent_id.clone().or(update.agent_id);
        let uuid = update.uuid.filter(|uuid| !uuid.is_empty());
        let status = TaskStatus { agent_id, uuid, ..update.status };
        out.push(Effect::Tell(Callback::Update(Box::new(status))));
    }
}

impl Core for State {
    type Callback = Callback;

    fn handle(&mut self, now: Time, event: Event, out: &mut Out) {
        if self.status != Status::Running {
            return debug!("Ignoring an event because the driver is not running");
        }
        match event {
            Event::LeaderSeen(leader) => self.leader_seen(now, leader, out),
            Event::NoDetection(why) => self.fail(&format!("Failed to detect a master: {why}"), out),
            Event::Received { from, message } => self.received(now, from, *message, out),
            Event::Exited(address) => {
                if self.leader.as_ref().is_some_and(|leader| leader.address == address) {
                    self.leader_gone(now, out);
                }
            }
            Event::Timer(timer) => self.woken(now, timer, out),
        }
    }

    fn tells(&self, callback: &Callback) -> bool {
        self.status == Status::Running || matches!(callback, Callback::Error(_))
    }

    fn told(&mut self, callback: &Callback, out: &mut Out) {
        if let Callback::Update(status) = callback
            && self.config.acknowledges
            && self.status == Status::Running
        {
            self.acknowledge(status, out);
        }
    }

    fn abort(&mut self, out: &mut Out) -> Status {
        if self.status == Status::Running {
            self.status = Status::Aborted;
            if let (Some(leader), Some(framework_id), true) =
                (&self.leader, self.framework_id(), self.connected)
            {
                info!(framework = %framework_id, "Aborting framework");
                let message = DeactivateFrameworkMessage { framework_id }.into();
                out.push(Effect::Send { from: self.config.pid.clone(), to: leader.clone(), message });
            }
        }
        self.status
    }

    fn status(&self) -> Status {
        self.status
    }
}
