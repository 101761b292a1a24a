//! What the master knows. Views read clones of `Cluster`: its maps share their nodes, so a clone costs the
//! same at one agent and at ten thousand, and a reader never holds up the core.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};

use super::StreamId;
use crate::alloc::Role;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, MasterInfo, OfferId,
    TaskId, TaskState, TaskStatus,
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
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Oldest first, at most `--max_completed_frameworks`.
    pub completed_frameworks: Vector<Arc<Framework>>,
    pub offers: OrdMap<OfferId, Arc<Offer>>,
    pub counters: Counters,
}

/// An agent that is registered.
#[derive(Clone, Debug)]
pub struct Agent {
    pub id: AgentId,
    pub info: Arc<AgentInfo>,
    pub pid: Upid,
    pub version: String,
    /// Names as `/state` shows them (MULTI_ROLE, …).
    pub capabilities: BTreeSet<i32>,
    pub registered: Time,
    pub reregistered: Option<Time>,
    pub connected: bool,
    /// Offered: connected and not deactivated.
    pub active: bool,
    pub total: Resources,
    /// Held by tasks and executors, all frameworks together, and by offers.
    pub used: Resources,
    pub offered: Resources,
    pub tasks: OrdSet<(FrameworkId, TaskId)>,
    pub executors: OrdMap<(FrameworkId, ExecutorId), Arc<ExecutorInfo>>,
    pub offers: OrdSet<OfferId>,
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
    /// Held by its tasks and executors; in offers to it.
    pub used: Resources,
    pub offered: Resources,
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
    /// The state and uuid last sent on, until acknowledged.
    pub update: Option<(TaskState, Vec<u8>)>,
    /// What few tasks have, kept out of line.
    pub extra: Option<Arc<TaskExtra>>,
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
    pub resources: Resources,
    pub made: Time,
}

/// What `/metrics/snapshot` and `/state` count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub tasks_by_end: std::collections::BTreeMap<TaskState, u64>,
    pub valid_status_updates: u64,
    pub invalid_status_updates: u64,
    pub dropped_messages: u64,
    pub slave_registrations: u64,
    pub slave_reregistrations: u64,
    pub slave_removals: u64,
    pub slave_unreachable_scheduled: u64,
    pub slave_unreachable_completed: u64,
    pub messages: std::collections::BTreeMap<&'static str, u64>,
}

