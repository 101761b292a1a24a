//! `State`: the cluster, and the indexes that find its parts.
//!
//! A change that touches two of them is a method here, so that they cannot disagree. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::authentication::Sessions;
use super::happenings::{Followers, Happening};
use super::offers::unallocated;
use super::removal_rate::Removals;
use super::state::{Agent, Cluster, Connection, Counters, Framework, Offer, Task};
use super::{Effect, Effects, StreamId, Timer};
use crate::alloc;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::master::flags::Flags;
use crate::proto::internal::ReregisterSlaveMessage;
use crate::proto::{AgentId, ExecutorId, ExecutorInfo, FrameworkId, MasterInfo, OfferId, TaskId, Uuid};
use crate::registry::Registry;
use crate::resources::Resources;

/// The receiver id of the master itself.
pub(super) const MASTER: &str = "master";

/// The master's whole state. Views get `cluster()`; everything else is for the handlers.
#[derive(Debug)]
pub struct State {
    pub(super) flags: Arc<Flags>,
    pub(super) cluster: Cluster,
    pub(super) receiver: Arc<str>,
    /// Pids whose first registration is being stored.
    pub(super) registering: BTreeSet<Upid>,
    /// Agents of which the registry is being changed: one change at a time for each.
    pub(super) changing: BTreeMap<AgentId, Changing>,
    /// What agents whose return is being stored have said since.
    pub(super) returning: BTreeMap<AgentId, Returning>,
    pub(super) authentications: Sessions,
    pub(super) followers: Followers,
    pub(super) watches: BTreeMap<AgentId, Watch>,
    pub(super) removals: Removals,
    /// Agents of the registry when this master began to lead.
    pub(super) expected: usize,
    observers: BTreeMap<u64, AgentId>,
    agent_by_pid: BTreeMap<Upid, AgentId>,
    agents_at: BTreeMap<SocketAddr, BTreeSet<AgentId>>,
    framework_by_pid: BTreeMap<Upid, FrameworkId>,
    framework_by_stream: BTreeMap<StreamId, FrameworkId>,
    frameworks_at: BTreeMap<SocketAddr, BTreeSet<FrameworkId>>,
    /// Counts a framework's connections, so that an old failover timer is known as such.
    pub(super) connections: BTreeMap<FrameworkId, u64>,
    unreachable_by_agent: BTreeMap<AgentId, BTreeSet<(FrameworkId, TaskId)>>,
    /// In the order in which they became so, with some that are back.
    unreachable_order: BTreeMap<FrameworkId, VecDeque<TaskId>>,
    next_agent: u64,
    next_framework: u64,
    next_offer: u64,
    next_observer: u64,
}

/// A change of an agent's entry in the registry that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changing {
    Reregistering,
    Unreachable,
    Removing,
    Gone,
}

/// What an agent has said while its return was being stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Returning {
    /// The latest of its re-registrations.
    pub latest: Option<(Upid, Box<ReregisterSlaveMessage>)>,
    /// Executors that have exited, the latest of them, and who said so.
    pub exited: VecDeque<(Upid, FrameworkId, ExecutorId)>,
}

/// What the master keeps of a registered agent besides what views show.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// N of the receiver `slave-observer(N)`; also the number of this registration.
    pub observer: u64,
    /// Pings in a row that went unanswered.
    pub timeouts: u64,
    /// The last ping is unanswered.
    pub pinged: bool,
    /// Too many were: its mark waits for `--agent_removal_rate_limit`.
    pub marking: bool,
    /// Counts disconnections, so that an old timer is known as such.
    pub disconnections: u64,
    pub resource_version: Option<Uuid>,
    /// Its connection ended after it had asked to be taken back, which is being stored.
    pub left: bool,
    /// The last of its re-registrations, by what `ReregisterSlaveMessage.attempt` says.
    pub attempt: Option<u64>,
    /// Tasks it was told to kill, told again should it come back with them.
    pub killed: BTreeSet<(FrameworkId, TaskId)>,
    /// Executors that have exited since this registration, the latest of them, and were not launched again: a
    /// re-registration that names one is old.
    pub exited: BTreeSet<(FrameworkId, ExecutorId)>,
    /// Executors that it came back without, whose first task may yet have been under way to it.
    pub doubted: BTreeSet<(FrameworkId, ExecutorId)>,
}

impl State {
    /// A master that was just elected, with what the registry holds. `out` gets its first timers.
    pub fn new(
        flags: Arc<Flags>,
        info: MasterInfo,
        registry: &Registry,
        started: Time,
        now: Time,
        out: &mut Effects,
    ) -> State {
        let cluster = Cluster {
            info: Arc::new(info),
            started,
            elected: now,
            agents: Default::default(),
            unreachable: registry.unreachable.clone(),
            gone: registry.gone.clone(),
            recovered: registry.admitted.clone(),
            frameworks: Default::default(),
            completed_frameworks: Default::default(),
            traffic: Default::default(),
            offers: Default::default(),
            counters: Counters::default(),
        };
        if !flags.weights.is_empty() {
            let weights = flags.weights.iter().map(|(role, weight)| (role.as_str().into(), *weight));
            out.push(Effect::Alloc(alloc::Call::Weights(weights.collect())));
        }
        out.push(Effect::Wake { at: now + flags.allocation_interval, timer: Timer::Allocate });
        out.push(Effect::Wake { at: now + flags.registry_gc_interval, timer: Timer::Prune });
        if !cluster.recovered.is_empty() {
            out.push(Effect::Wake { at: now + flags.agent_reregister_timeout, timer: Timer::Recovered });
        }
        State {
            flags,
            cluster,
            receiver: MASTER.into(),
            registering: BTreeSet::new(),
            changing: BTreeMap::new(),
            returning: BTreeMap::new(),
            authentications: Sessions::default(),
            followers: Followers::default(),
            watches: BTreeMap::new(),
            removals: Removals::default(),
            expected: registry.admitted.len(),
            observers: BTreeMap::new(),
            agent_by_pid: BTreeMap::new(),
            agents_at: BTreeMap::new(),
            framework_by_pid: BTreeMap::new(),
            framework_by_stream: BTreeMap::new(),
            frameworks_at: BTreeMap::new(),
            connections: BTreeMap::new(),
            unreachable_by_agent: BTreeMap::new(),
            unreachable_order: BTreeMap::new(),
            next_agent: 0,
            next_framework: 0,
            next_offer: 0,
            next_observer: 1,
        }
    }

    /// What a read may show, as it is now. Cloning it is cheap.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn count(&mut self, name: &'static str) {
        self.cluster.counters.add(name);
    }

    // Ids. Source: `newSlaveId`, `newFrameworkId`, `newOfferId`, master.cpp 1.11.

    pub(super) fn next_agent_id(&mut self) -> AgentId {
        let number = self.next_agent;
        self.next_agent += 1;
        format!("{}-S{number}", self.cluster.info.id).into()
    }

    pub(super) fn next_framework_id(&mut self) -> FrameworkId {
        let number = self.next_framework;
        self.next_framework += 1;
        format!("{}-{number:04}", self.cluster.info.id).into()
    }

    pub(super) fn next_offer_id(&mut self) -> OfferId {
        let number = self.next_offer;
        self.next_offer += 1;
        format!("{}-O{number}", self.cluster.info.id).into()
    }

    pub(super) fn next_observer(&mut self) -> u64 {
        let number = self.next_observer;
        self.next_observer += 1;
        number
    }

    // Agents.

    pub(super) fn agent_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.cluster.agents.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn agent_by_pid(&self, pid: &Upid) -> Option<&AgentId> {
        self.agent_by_pid.get(pid)
    }

    pub(super) fn agent_by_observer(&self, observer: u64) -> Option<&AgentId> {
        self.observers.get(&observer)
    }

    pub(super) fn agents_at(&self, address: SocketAddr) -> Vec<AgentId> {
        self.agents_at.get(&address).into_iter().flatten().cloned().collect()
    }

    pub(super) fn insert_agent(&mut self, agent: Agent, watch: Watch) {
        let id = agent.id.clone();
        self.index_pid(&id, agent.pid.clone());
        self.observers.insert(watch.observer, id.clone());
        self.watches.insert(id.clone(), watch);
        self.note_agent(&id);
        self.cluster.agents.insert(id, Arc::new(agent));
    }

    /// Takes away an agent that holds no task, executor or offer any more.
    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.cluster.agents.remove(id) else { return };
        debug_assert!(agent.tasks.is_empty() && agent.executors.is_empty() && agent.offers.is_empty());
        self.unindex_pid(id, &agent.pid);
        if let Some(watch) = self.watches.remove(id) {
            self.observers.remove(&watch.observer);
        }
        self.note(|_| Happening::AgentRemoved(id.clone()));
    }

    pub(super) fn move_agent(&mut self, id: &AgentId, pid: Upid) {
        let Some(agent) = self.agent_mut(id) else { return };
        let old = std::mem::replace(&mut agent.pid, pid.clone());
        self.unindex_pid(id, &old);
        self.index_pid(id, pid);
    }

    fn index_pid(&mut self, id: &AgentId, pid: Upid) {
        self.agents_at.entry(pid.address).or_default().insert(id.clone());
        self.agent_by_pid.insert(pid, id.clone());
    }

    fn unindex_pid(&mut self, id: &AgentId, pid: &Upid) {
        if self.agent_by_pid.get(pid) == Some(id) {
            self.agent_by_pid.remove(pid);
        }
        forget(&mut self.agents_at, &pid.address, id);
    }

    // Frameworks.

    pub(super) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.cluster.frameworks.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn framework_by_pid(&self, pid: &Upid) -> Option<&FrameworkId> {
        self.framework_by_pid.get(pid)
    }

    pub(super) fn framework_by_stream(&self, stream: &StreamId) -> Option<&FrameworkId> {
        self.framework_by_stream.get(stream)
    }

    pub(super) fn frameworks_at(&self, address: SocketAddr) -> Vec<FrameworkId> {
        self.frameworks_at.get(&address).into_iter().flatten().cloned().collect()
    }

    pub(super) fn insert_framework(&mut self, mut framework: Framework) {
        let id = framework.id.clone();
        let connection = std::mem::replace(&mut framework.connection, Connection::None);
        let connected = framework.connected;
        self.connections.entry(id.clone()).or_insert(0);
        self.cluster.frameworks.insert(id.clone(), Arc::new(framework));
        if connected {
            self.connect(&id, connection);
        }
        if let Some(framework) = self.cluster.frameworks.get(&id).cloned() {
            self.note(|_| Happening::FrameworkAdded(framework));
        }
    }

    /// The framework is reached by `connection` from now on; whatever it had is forgotten.
    pub(super) fn connect(&mut self, id: &FrameworkId, connection: Connection) {
        self.disconnect(id);
        match &connection {
            Connection::Http(stream) => {
                self.framework_by_stream.insert(stream.clone(), id.clone());
            }
            Connection::Pid(pid) => {
                self.framework_by_pid.insert(pid.clone(), id.clone());
                self.frameworks_at.entry(pid.address).or_default().insert(id.clone());
            }
            Connection::None => {}
        }
        if let Some(framework) = self.framework_mut(id) {
            framework.connected = connection != Connection::None;
            framework.connection = connection;
        }
    }

    /// The framework cannot be reached any more. A pid is kept: its driver may yet be heard of, and is told.
    pub(super) fn disconnect(&mut self, id: &FrameworkId) {
        *self.connections.entry(id.clone()).or_insert(0) += 1;
        let Some(framework) = self.framework_mut(id) else { return };
        framework.connected = false;
        match framework.connection.clone() {
            Connection::Http(stream) => {
                framework.connection = Connection::None;
                self.framework_by_stream.remove(&stream);
            }
            Connection::Pid(pid) => {
                forget(&mut self.frameworks_at, &pid.address, id);
                if self.framework_by_pid.get(&pid) == Some(id) {
                    self.framework_by_pid.remove(&pid);
                }
            }
            Connection::None => {}
        }
    }

    /// Takes away a framework that holds no task, executor or offer any more.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId) -> Option<Arc<Framework>> {
        self.disconnect(id);
        self.connections.remove(id);
        self.unreachable_order.remove(id);
        self.cluster.frameworks.remove(id)
    }

    // Tasks.

    pub(super) fn task_mut(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<&mut Task> {
        self.framework_mut(framework)?.tasks.get_mut(task).map(Arc::make_mut)
    }

    /// Books a task with its framework and its agent; its resources are held unless it has ended.
    pub(super) fn add_task(&mut self, task: Task) {
        if task.holds() {
            self.hold(&task.framework, &task.agent, &task.resources);
        }
        if let Some(agent) = self.agent_mut(&task.agent) {
            agent.tasks.insert((task.framework.clone(), task.id.clone()));
        }
        let task = Arc::new(task);
        if let Some(framework) = self.framework_mut(&task.framework) {
            framework.tasks.insert(task.id.clone(), task.clone());
        }
        self.note(|_| Happening::TaskAdded(task));
    }

    /// Takes a task off both books. The caller has released its resources.
    pub(super) fn take_task(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<Arc<Task>> {
        let task = self.framework_mut(framework)?.tasks.remove(task)?;
        if let Some(agent) = self.agent_mut(&task.agent) {
            agent.tasks.remove(&(framework.clone(), task.id.clone()));
        }
        if let Some(watch) = self.watches.get_mut(&task.agent) {
            watch.killed.remove(&(framework.clone(), task.id.clone()));
        }
        Some(task)
    }

    /// Remembers a task that has ended, and forgets the oldest beyond `--max_completed_tasks_per_framework`.
    pub(super) fn complete_task(&mut self, task: Arc<Task>) {
        let most = self.flags.max_completed_tasks_per_framework as usize;
        let Some(framework) = self.framework_mut(&task.framework) else { return };
        framework.completed_tasks.push_back(task);
        while framework.completed_tasks.len() > most {
            framework.completed_tasks.pop_front();
        }
    }

    /// Remembers a task whose agent is unreachable, within `--max_unreachable_tasks_per_framework`.
    pub(super) fn add_unreachable_task(&mut self, task: Arc<Task>) {
        let most = self.flags.max_unreachable_tasks_per_framework as usize;
        let (id, owner, agent) = (task.id.clone(), task.framework.clone(), task.agent.clone());
        let Some(framework) = self.cluster.frameworks.get_mut(&owner).map(Arc::make_mut) else { return };
        framework.unreachable_tasks.insert(id.clone(), task);
        self.unreachable_by_agent.entry(agent).or_default().insert((owner.clone(), id.clone()));
        let order = self.unreachable_order.entry(owner.clone()).or_default();
        order.push_back(id);
        if order.len() > 2 * most + 64 {
            let mut seen = BTreeSet::new();
            order.retain(|id| framework.unreachable_tasks.contains_key(id) && seen.insert(id.clone()));
        }
        while framework.unreachable_tasks.len() > most {
            let Some(oldest) = order.pop_front() else { break };
            if let Some(task) = framework.unreachable_tasks.remove(&oldest) {
                forget(&mut self.unreachable_by_agent, &task.agent, &(owner.clone(), oldest));
            }
        }
    }

    pub(super) fn take_unreachable_task(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> Option<Arc<Task>> {
        let task = self.framework_mut(framework)?.unreachable_tasks.remove(task)?;
        forget(&mut self.unreachable_by_agent, &task.agent, &(framework.clone(), task.id.clone()));
        Some(task)
    }

    /// The tasks that are unreachable with this agent.
    pub(super) fn unreachable_on(&self, agent: &AgentId) -> Vec<(FrameworkId, TaskId)> {
        self.unreachable_by_agent.get(agent).into_iter().flatten().cloned().collect()
    }

    // Executors.

    pub(super) fn add_executor(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        info: Arc<ExecutorInfo>,
        resources: &Resources,
    ) {
        self.hold(framework, agent, resources);
        let id = info.executor_id.clone();
        if let Some(agent) = self.agent_mut(agent) {
            agent.executors.insert((framework.clone(), id.clone()), info.clone());
        }
        if let Some(framework) = self.framework_mut(framework) {
            framework.executors.insert((agent.clone(), id), info);
        }
    }

    /// Takes an executor off both books and gives what it held.
    pub(super) fn take_executor(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        executor: &ExecutorId,
    ) -> Option<Resources> {
        let info = self.agent_mut(agent)?.executors.remove(&(framework.clone(), executor.clone()))?;
        if let Some(framework) = self.framework_mut(framework) {
            framework.executors.remove(&(agent.clone(), executor.clone()));
        }
        let resources = Resources::from_protos(&info.resources).unwrap_or_default();
        self.release(framework, agent, &resources);
        Some(resources)
    }

    // What is held.

    pub(super) fn hold(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        if let Some(agent) = self.agent_mut(agent) {
            agent.used += &unallocated(resources);
        }
        if let Some(framework) = self.framework_mut(framework) {
            framework.used += resources;
        }
    }

    pub(super) fn release(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        if let Some(agent) = self.agent_mut(agent) {
            agent.used -= &unallocated(resources);
        }
        if let Some(framework) = self.framework_mut(framework) {
            framework.used -= resources;
        }
    }

    // Offers.

    pub(super) fn add_offer(&mut self, offer: Offer) {
        if let Some(agent) = self.agent_mut(&offer.agent) {
            agent.offers.insert(offer.id.clone());
            agent.offered += &offer.plain;
        }
        if let Some(framework) = self.framework_mut(&offer.framework) {
            framework.offers.insert(offer.id.clone());
            framework.offered += &offer.resources;
        }
        self.cluster.offers.insert(offer.id.clone(), Arc::new(offer));
    }

    pub(super) fn take_offer(&mut self, id: &OfferId) -> Option<Arc<Offer>> {
        let offer = self.cluster.offers.remove(id)?;
        if let Some(agent) = self.agent_mut(&offer.agent) {
            agent.offers.remove(id);
            agent.offered -= &offer.plain;
        }
        if let Some(framework) = self.framework_mut(&offer.framework) {
            framework.offers.remove(id);
            framework.offered -= &offer.resources;
        }
        Some(offer)
    }

    /// Whether the indexes say what the cluster says; for `invariants`.
    pub(super) fn check_indexes(&self) -> Result<(), String> {
        for (id, agent) in &self.cluster.agents {
            if self.agent_by_pid.get(&agent.pid) != Some(id) {
                return Err(format!("agent {id} is not found by its pid {}", agent.pid));
            }
            if !self.agents_at.get(&agent.pid.address).is_some_and(|ids| ids.contains(id)) {
                return Err(format!("agent {id} is not found at {}", agent.pid.address));
            }
            let watch = self.watches.get(id).ok_or_else(|| format!("agent {id} is not watched"))?;
            if self.observers.get(&watch.observer) != Some(id) {
                return Err(format!("agent {id} is not found by its observer {}", watch.observer));
            }
        }
        let found: usize = self.agents_at.values().map(BTreeSet::len).sum();
        let sizes = [self.agent_by_pid.len(), self.watches.len(), self.observers.len(), found];
        if sizes.iter().any(|size| *size != self.cluster.agents.len()) {
            return Err(format!("{} agents, indexes of {sizes:?}", self.cluster.agents.len()));
        }
        for (id, framework) in &self.cluster.frameworks {
            let found = match &framework.connection {
                Connection::Http(stream) => self.framework_by_stream.get(stream) == Some(id),
                Connection::Pid(pid) if framework.connected => {
                    self.framework_by_pid.get(pid) == Some(id)
                        && self.frameworks_at.get(&pid.address).is_some_and(|ids| ids.contains(id))
                }
                Connection::Pid(_) | Connection::None => !framework.connected,
            };
            if !found {
                return Err(format!(
                    "framework {id} is not found by its connection {:?}",
                    framework.connection
                ));
            }
        }
        for (agent, tasks) in &self.unreachable_by_agent {
            for (framework, task) in tasks {
                let known = self.cluster.framework(framework);
                if !known.is_some_and(|framework| framework.unreachable_tasks.contains_key(task)) {
                    return Err(format!("{task} of {framework} is unreachable on {agent} but not known so"));
                }
            }
        }
        Ok(())
    }
}

/// Takes a value out of the set at `key`, and the set with its last one.
fn forget<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
