//! What the agent knows. Views read clones of `Node`: its maps share their nodes, so a clone costs the same
//! at one task and at ten thousand, and a reader never holds up the core.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, Vector};

use super::{Leader, StreamId};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::{
    AgentInfo, ContainerId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, Task, TaskGroupInfo,
    TaskId, TaskInfo, TaskState, Uuid,
};

/// What the flags, the machine and the shell decide once.
#[derive(Clone, Debug)]
pub struct Config {
    /// `slave(1)@ip:port`; executors and the master answer there.
    pub pid: Upid,
    /// Absolute.
    pub work_dir: PathBuf,
    /// The `mesos` binary, for the executors we ship.
    pub binary: PathBuf,
    /// `--launcher_dir`; on the `PATH` of no executor, but named in its environment.
    pub launcher_dir: String,
    pub switch_user: bool,
    pub frameworks_home: String,
    pub hadoop_home: String,
    pub default_role: String,
    pub registration_backoff: Duration,
    pub executor_registration_timeout: Duration,
    pub executor_shutdown_grace_period: Duration,
    pub recovery_timeout: Duration,
    pub checkpoint: bool,
    /// `--executor_environment_variables`; `None`: the agent's own `PATH` and the like.
    pub executor_environment: BTreeMap<String, String>,
    pub max_completed_executors_per_framework: usize,
}

/// Everything that a read may show. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Node {
    pub config: Arc<Config>,
    /// Its id is set once a master gave one.
    pub info: Arc<AgentInfo>,
    pub started: Time,
    pub phase: Phase,
    pub leader: Option<Leader>,
    pub registered: Option<Time>,
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Oldest first, at most `MAX_COMPLETED_FRAMEWORKS`.
    pub completed_frameworks: Vector<Arc<Framework>>,
    pub counters: Counters,
}

/// Where the agent stands with its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not registered with a leading master, or no longer sure of it.
    Disconnected,
    /// Registered.
    Running,
    /// Told to shut down: executors are ending, nothing new is taken.
    Terminating,
}

/// A framework that has work here, or had.
#[derive(Clone, Debug)]
pub struct Framework {
    pub id: FrameworkId,
    pub info: Arc<FrameworkInfo>,
    /// A v0 scheduler's address.
    pub pid: Option<Upid>,
    /// Shutting down: its updates are no longer kept.
    pub terminating: bool,
    pub executors: OrdMap<ExecutorId, Arc<Executor>>,
    /// Oldest first, at most `--max_completed_executors_per_framework`.
    pub completed_executors: Vector<Arc<Executor>>,
}

/// An executor and its tasks.
#[derive(Clone, Debug)]
pub struct Executor {
    pub id: ExecutorId,
    pub framework: FrameworkId,
    pub info: Arc<ExecutorInfo>,
    pub container: ContainerId,
    /// The sandbox.
    pub directory: PathBuf,
    /// Made here for a task that brings a command only; the master does not know it.
    pub generated: bool,
    pub phase: ExecutorPhase,
    pub connection: Connection,
    /// Sent to the executor once it is there, in the order they came.
    pub queued_tasks: Vector<Arc<TaskInfo>>,
    /// Their tasks are in `queued_tasks` too.
    pub queued_groups: Vector<Arc<TaskGroupInfo>>,
    /// Sent to the executor and not known to have ended.
    pub launched_tasks: OrdMap<TaskId, Arc<Task>>,
    /// Ended, and not all of their updates acknowledged.
    pub terminated_tasks: OrdMap<TaskId, Arc<Task>>,
    /// Oldest first, at most `MAX_COMPLETED_TASKS_PER_EXECUTOR`.
    pub completed_tasks: Vector<Arc<Task>>,
    /// Why it ends, if we decided it.
    pub termination: Option<Termination>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorPhase {
    /// Launched, has not subscribed yet.
    Registering,
    Running,
    /// Asked to shut down, or being destroyed.
    Terminating,
    /// Its container is gone; kept until its updates are acknowledged.
    Terminated,
}

/// How the executor is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// v1, over this stream.
    Http(StreamId),
    /// v0, a libprocess driver.
    Pid(Upid),
    None,
}

/// What is said of an executor's live tasks when its container ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Termination {
    /// `None`: it depends on the kind of executor.
    pub state: Option<TaskState>,
    pub reason: Option<crate::proto::task_status::Reason>,
    pub message: Option<String>,
}

/// What `/metrics/snapshot` and `/state` count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Terminal updates by state, since start.
    pub tasks_by_end: BTreeMap<TaskState, u64>,
    /// Tasks that were given to us, and tasks that ran, for 0.15's `staged_tasks` and `started_tasks`.
    pub staged_tasks: u64,
    pub started_tasks: u64,
    pub valid_status_updates: u64,
    pub invalid_status_updates: u64,
    pub valid_framework_messages: u64,
    pub invalid_framework_messages: u64,
    pub executors_terminated: u64,
    pub executors_preempted: u64,
    pub container_launch_errors: u64,
}
