//! What the master knows. Views read clones of `Cluster`: its maps share their nodes, so a clone costs the
//! same at one agent and at ten thousand, and a reader never holds up the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet, Vector};

use super::StreamId;
use super::traffic::Traffic;
use crate::alloc::Role;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::agent_info::capability::Type as AgentCapability;
use crate::proto::framework_info::capability::Type as FrameworkCapability;
use crate::proto::task_status::{Reason as TaskReason, Source as TaskSource};
use crate::proto::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, MasterInfo, OfferId, TaskId,
    TaskState, TaskStatus,
};
use crate::resources::Resources;

/// Everything that a read may show. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub info: Arc<MasterInfo>,
    pub started: Time,
    pub elected: Time,
    pub agents: OrdMap<AgentId, Arc<Agent>>,
    pub unreachable: OrdMap<AgentId, Time>,
    pub gone: OrdMap<AgentId, Time>,
    /// In the registry, and not back since this master leads.
    pub recovered: OrdMap<AgentId, Arc<AgentInfo>>,
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Oldest first, at most `--max_completed_frameworks`.
    pub completed_frameworks: Vector<Arc<Framework>>,
    pub offers: OrdMap<OfferId, Arc<Offer>>,
    pub counters: Counters,
    /// Of frameworks that are there or completed.
    pub traffic: OrdMap<FrameworkId, Arc<Traffic>>,
}

impl Cluster {
    /// Of a master that leads nothing yet.
    pub fn empty(info: Arc<MasterInfo>, started: Time) -> Cluster {
        Cluster {
            info,
            started,
            elected: started,
            agents: OrdMap::new(),
            unreachable: OrdMap::new(),
            gone: OrdMap::new(),
            recovered: OrdMap::new(),
            frameworks: OrdMap::new(),
            completed_frameworks: Vector::new(),
            offers: OrdMap::new(),
            counters: Counters::default(),
            traffic: OrdMap::new(),
        }
    }

    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id).map(|agent| &**agent)
    }

    pub fn framework(&self, id: &FrameworkId) -> Option<&Framework> {
        self.frameworks.get(id).map(|framework| &**framework)
    }

    /// Whether this is the same cluster, but for what is only counted: no part of it was changed, be it to the same.
    pub fn shows_as(&self, other: &Cluster) -> bool {
        self.agents.ptr_eq(&other.agents)
            && self.frameworks.ptr_eq(&other.frameworks)
            && self.offers.ptr_eq(&other.offers)
            && self.unreachable.ptr_eq(&other.unreachable)
            && self.gone.ptr_eq(&other.gone)
            && self.recovered.ptr_eq(&other.recovered)
    }

    /// A task that this agent runs, or ran to an end that is not acknowledged.
    pub fn task_on(&self, agent: &AgentId, framework: &FrameworkId, task: &TaskId) -> Option<&Arc<Task>> {
        self.framework(framework)?.tasks.get(task).filter(|task| task.agent == *agent)
    }

    /// What tasks and executors hold on an agent, and what offers do, with the roles they are allocated to; the
    /// agent's own books have no roles.
    pub fn held_on(&self, agent: &Agent) -> (Resources, Resources) {
        let (mut used, mut offered) = (Resources::default(), Resources::default());
        for (framework, task) in &agent.tasks {
            if let Some(task) = self.task_on(&agent.id, framework, task).filter(|task| task.holds()) {
                used += &task.resources;
            }
        }
        for info in agent.executors.values() {
            used += &Resources::from_protos(&info.resources).unwrap_or_default();
        }
        for offer in agent.offers.iter().filter_map(|id| self.offers.get(id)) {
            offered += &offer.resources;
        }
        (used, offered)
    }

    pub fn is_completed(&self, id: &FrameworkId) -> bool {
        self.completed_frameworks.iter().any(|framework| framework.id == *id)
    }
}

/// An agent that is registered.
#[derive(Clone, Debug)]
pub struct Agent {
    pub id: AgentId,
    pub info: Arc<AgentInfo>,
    pub pid: Upid,
    pub version: String,
    /// Numbers of `agent_info::capability::Type`, and whatever newer agents have.
    pub capabilities: BTreeSet<i32>,
    pub registered: Time,
    pub reregistered: Option<Time>,
    pub connected: bool,
    /// Offered: connected and not deactivated.
    pub active: bool,
    pub total: Resources,
    /// Held by tasks and executors, all frameworks together, and by offers; without allocation roles, as `total`.
    pub used: Resources,
    pub offered: Resources,
    pub tasks: OrdSet<(FrameworkId, TaskId)>,
    pub executors: OrdMap<(FrameworkId, ExecutorId), Arc<ExecutorInfo>>,
    pub offers: OrdSet<OfferId>,
}

impl Agent {
    pub fn can(&self, capability: AgentCapability) -> bool {
        self.capabilities.contains(&(capability as i32))
    }

    /// What of it nobody holds.
    pub fn free(&self) -> Resources {
        let mut free = self.total.clone();
        free -= &self.used;
        free -= &self.offered;
        free
    }

    pub fn tasks_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a TaskId> {
        self.tasks
            .range((framework.clone(), TaskId::default())..)
            .take_while(move |(of, _)| of == framework)
            .map(|(_, task)| task)
    }

    pub fn executors_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a ExecutorId> {
        self.executors
            .range((framework.clone(), ExecutorId::default())..)
            .take_while(move |((of, _), _)| of == framework)
            .map(|((_, executor), _)| executor)
    }
}

/// A framework, subscribed, waiting for its scheduler to come back, or completed.
#[derive(Clone, Debug)]
pub struct Framework {
    pub id: FrameworkId,
    pub info: Arc<FrameworkInfo>,
    pub roles: BTreeSet<Role>,
    pub suppressed: BTreeSet<Role>,
    pub connection: Connection,
    pub connected: bool,
    /// Gets offers.
    pub active: bool,
    /// Known from agents only, its scheduler has not come back since this master leads.
    pub recovered: bool,
    pub registered: Time,
    pub reregistered: Option<Time>,
    pub unregistered: Option<Time>,
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// Oldest first, each bounded by its flag.
    pub completed_tasks: Vector<Arc<Task>>,
    pub unreachable_tasks: OrdMap<TaskId, Arc<Task>>,
    pub executors: OrdMap<(AgentId, ExecutorId), Arc<ExecutorInfo>>,
    pub offers: OrdSet<OfferId>,
    /// Held by its tasks and executors; in offers to it. With allocation roles.
    pub used: Resources,
    pub offered: Resources,
}

impl Framework {
    pub fn can(&self, capability: FrameworkCapability) -> bool {
        self.info.capabilities.iter().any(|has| has.r#type == Some(capability as i32))
    }

    pub fn is_partition_aware(&self) -> bool {
        self.can(FrameworkCapability::PartitionAware)
    }

    /// A task that has ended, as far as it is remembered. Looks through all of them, the latest first.
    pub fn completed(&self, task: &TaskId) -> Option<&Arc<Task>> {
        self.completed_tasks.iter().rev().find(|ended| ended.id == *task)
    }
}

/// How the scheduler is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// v1, over this stream.
    Http(StreamId),
    /// v0, a libprocess driver.
    Pid(Upid),
    None,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub name: String,
    pub framework: FrameworkId,
    pub agent: AgentId,
    /// None for a command task.
    pub executor: Option<ExecutorId>,
    /// The latest state the master was told of.
    pub state: TaskState,
    pub resources: Resources,
    /// One per state passed, oldest first, as `/state` shows them.
    pub statuses: Vec<Arc<TaskStatus>>,
    /// State and uuid of the last update that went on to the scheduler; waits for its acknowledgement if the
    /// state is terminal.
    pub update: Option<(TaskState, Bytes)>,
    /// What few tasks have, kept out of line.
    pub extra: Option<Arc<TaskExtra>>,
}

impl Task {
    /// Whether its resources are in use.
    pub fn holds(&self) -> bool {
        !is_terminal(self.state) && self.state != TaskState::TaskUnreachable
    }

    /// Who told the last that was told of it.
    pub fn told_by(&self) -> Option<TaskSource> {
        self.statuses.last()?.source.and_then(|source| TaskSource::try_from(source).ok())
    }
}

/// Source: `protobuf::isTerminalState`, 1.11: unreachable and unknown tasks may come back.
pub fn is_terminal(state: TaskState) -> bool {
    use TaskState::*;
    match state {
        TaskFinished | TaskFailed | TaskKilled | TaskLost | TaskError | TaskDropped | TaskGone
        | TaskGoneByOperator => true,
        TaskStaging | TaskStarting | TaskRunning | TaskKilling | TaskUnreachable | TaskUnknown => false,
    }
}

/// The parts of a TaskInfo that only views and peers need, as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskExtra {
    pub user: Option<String>,
    pub labels: Option<crate::proto::Labels>,
    pub discovery: Option<crate::proto::DiscoveryInfo>,
    pub container: Option<crate::proto::ContainerInfo>,
    pub health_check: Option<crate::proto::HealthCheck>,
    pub kill_policy: Option<crate::proto::KillPolicy>,
    pub max_completion_time: Option<crate::proto::DurationInfo>,
    pub limits: std::collections::BTreeMap<String, crate::proto::value::Scalar>,
}

#[derive(Clone, Debug)]
pub struct Offer {
    pub id: OfferId,
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub role: Role,
    /// Allocated to `role`.
    pub resources: Resources,
    /// The same as the agent's books have them, without allocation role.
    pub plain: Resources,
    pub made: Time,
}

impl Offer {
    /// `plain` are the resources without allocation role.
    pub fn new(
        id: OfferId,
        framework: FrameworkId,
        agent: AgentId,
        role: Role,
        plain: Resources,
        made: Time,
    ) -> Offer {
        let mut resources = plain.clone();
        resources.allocate(&role);
        Offer { id, framework, agent, role, resources, plain, made }
    }
}

/// What has been counted since this master started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By the name of the metric after `master/`; each name of `NAMES` is there from the start.
    by_name: BTreeMap<&'static str, u64>,
    /// Tasks that ended, by state, source and reason (`master/task_lost/source_master/reason_…`).
    pub task_ends: BTreeMap<(TaskState, TaskSource, TaskReason), u64>,
}

impl Counters {
    pub const NAMES: &[&str] = &[
        "dropped_messages",
        "invalid_executor_to_framework_messages",
        "invalid_framework_to_executor_messages",
        "invalid_status_update_acknowledgements",
        "invalid_status_updates",
        "messages_authenticate",
        "messages_deactivate_framework",
        "messages_decline_offers",
        "messages_executor_to_framework",
        "messages_exited_executor",
        "messages_framework_to_executor",
        "messages_kill_task",
        "messages_launch_tasks",
        "messages_reconcile_tasks",
        "messages_register_framework",
        "messages_register_slave",
        "messages_reregister_framework",
        "messages_reregister_slave",
        "messages_resource_request",
        "messages_revive_offers",
        "messages_status_update",
        "messages_status_update_acknowledgement",
        "messages_suppress_offers",
        "messages_unregister_framework",
        "messages_unregister_slave",
        "messages_update_slave",
        "recovery_slave_removals",
        "slave_registrations",
        "slave_removals",
        "slave_removals/reason_registered",
        "slave_removals/reason_unhealthy",
        "slave_removals/reason_unregistered",
        "slave_reregistrations",
        "slave_unreachable_canceled",
        "slave_unreachable_completed",
        "slave_unreachable_scheduled",
        "tasks_dropped",
        "tasks_error",
        "tasks_failed",
        "tasks_finished",
        "tasks_gone",
        "tasks_gone_by_operator",
        "tasks_killed",
        "tasks_lost",
        "valid_executor_to_framework_messages",
        "valid_framework_to_executor_messages",
        "valid_status_update_acknowledgements",
        "valid_status_updates",
    ];

    /// Every counter and its name after `master/`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.by_name.iter().map(|(name, count)| (*name, *count))
    }

    pub fn get(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, name: &'static str) {
        *self.by_name.entry(name).or_insert(0) += 1;
    }
}

impl Default for Counters {
    fn default() -> Counters {
        let by_name = Counters::NAMES.iter().map(|name| (*name, 0)).collect();
        Counters { by_name, task_ends: BTreeMap::new() }
    }
}
