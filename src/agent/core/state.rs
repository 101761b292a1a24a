//! What the agent knows. Views read clones of `Node`: its maps share their nodes, so a clone costs the same
//! at one task and at ten thousand, and a reader never holds up the core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet, Vector};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Leader, StreamId};
use crate::agent::updates::Updates;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::{
    AgentId, AgentInfo, ContainerId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy,
    OfferId, Resource, Task, TaskGroupInfo, TaskId, TaskInfo, TaskState, framework_info, task_status,
};

/// Source: `MAX_COMPLETED_FRAMEWORKS`, slave/constants.hpp 1.11.
pub const MAX_COMPLETED_FRAMEWORKS: usize = 50;

/// Source: `MAX_COMPLETED_TASKS_PER_EXECUTOR`, slave/constants.hpp 1.11.
pub const MAX_COMPLETED_TASKS_PER_EXECUTOR: usize = 200;

/// The agent: what views may show, and what only the core needs.
#[derive(Clone, Debug)]
pub struct State {
    pub node: Node,
    pub(super) registration: Registration,
    pub(super) updates: Updates,
    pub(super) launches: Launches,
    /// Containers that are not known to be gone.
    pub(super) containers: BTreeMap<ContainerId, (FrameworkId, ExecutorId)>,
    /// Streams that executors are reached by.
    pub(super) streams: BTreeMap<StreamId, (FrameworkId, ExecutorId)>,
    /// Containers of an earlier agent whose executors are not back; while there are some no master is looked for.
    pub(super) awaited: BTreeSet<ContainerId>,
    rng: ChaCha8Rng,
}

/// What the flags, the machine and the shell decide once.
#[derive(Clone, Debug)]
pub struct Config {
    /// `slave(1)@ip:port`; executors and the master answer there.
    pub pid: Upid,
    /// Absolute.
    pub work_dir: PathBuf,
    /// The `mesos` binary, for the executors we ship.
    pub binary: PathBuf,
    /// `--launcher_dir`, handed on to those executors.
    pub launcher_dir: String,
    /// What a default executor is told of the agent's own flags.
    pub default_executor_flags: Vec<String>,
    pub switch_user: bool,
    /// Whether an isolator holds containers to what they may use.
    pub bounds_cpus: bool,
    pub bounds_mem: bool,
    pub registration_backoff: Duration,
    pub executor_registration_timeout: Duration,
    pub executor_reregistration_timeout: Duration,
    pub executor_shutdown_grace_period: Duration,
    pub executor_reregistration_retry_interval: Option<Duration>,
    pub recovery_timeout: Duration,
    /// Whether frameworks that want it have what they need to outlive the agent.
    pub checkpoint: bool,
    pub recover: Recover,
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// What every executor's environment starts from: `--executor_environment_variables` and the agent's
    /// own `LIBPROCESS_IP`, nothing else of the agent's own.
    pub executor_environment: BTreeMap<String, String>,
    pub max_completed_executors_per_framework: usize,
}

/// What becomes of executors that an earlier agent left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recover {
    Reconnect,
    /// They are ended, and then the agent ends.
    Cleanup,
}

/// What may differ from an earlier agent under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconfigurationPolicy {
    Equal,
    /// More resources, attributes that were not there, a domain that was not there.
    Additive,
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
    /// When a master last said that this agent is registered.
    pub registered: Option<Time>,
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Oldest first, at most `MAX_COMPLETED_FRAMEWORKS`.
    pub completed_frameworks: Vector<Arc<Framework>>,
    pub counters: Counters,
}

impl Node {
    /// Whether this is the same node: no part of it was changed, be it to the same.
    pub fn shows_as(&self, other: &Node) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
            && Arc::ptr_eq(&self.info, &other.info)
            && self.started == other.started
            && self.phase == other.phase
            && self.leader == other.leader
            && self.registered == other.registered
            && self.frameworks.ptr_eq(&other.frameworks)
            && self.completed_frameworks.ptr_eq(&other.completed_frameworks)
            && self.counters == other.counters
    }
}

/// Where the agent stands with its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Executors of an earlier agent are waited for.
    Recovering,
    /// Not registered with a leading master, or no longer sure of it.
    Disconnected,
    /// Registered.
    Running,
    /// Told to shut down: executors are ending, nothing new is taken.
    Terminating,
}

/// How far registration is.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// Names the timer that counts; older ones are stale.
    pub number: u64,
    /// The next attempt follows within this time.
    pub backoff: Duration,
    /// How many processes were this agent before.
    pub lives: u64,
    /// As `ReregisterSlaveMessage.attempt` says it.
    pub attempt: u64,
    /// How often the leader's connection ended since the agent was last registered.
    pub losses: u32,
    /// Names the ping timer that counts.
    pub ping_number: u64,
    pub ping_timeout: Duration,
    /// A task came before this agent knew that it is registered, and was not taken.
    pub missed: bool,
    /// Changes with every change of what this agent has; a task names the one it was offered.
    pub resource_version: Bytes,
}

/// The latest launches, so that a message which comes twice runs nothing twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Launches {
    /// Oldest first.
    order: VecDeque<(OfferId, TaskId)>,
    known: BTreeSet<(OfferId, TaskId)>,
}

/// How many launches are remembered: more than an agent takes while a message can be under way.
const REMEMBERED_LAUNCHES: usize = 10_000;

impl Launches {
    /// False for a task that this offer was used for before. It is remembered.
    pub fn is_new(&mut self, offer: &OfferId, task: &TaskId) -> bool {
        let launch = (offer.clone(), task.clone());
        if !self.known.insert(launch.clone()) {
            return false;
        }
        self.order.push_back(launch);
        if self.order.len() > REMEMBERED_LAUNCHES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// A framework that has work here, or had.
#[derive(Clone, Debug)]
pub struct Framework {
    pub id: FrameworkId,
    pub info: Arc<FrameworkInfo>,
    /// A v0 scheduler's address.
    pub pid: Option<Upid>,
    /// Whether a restarted agent goes on with it: it wants that, and the agent has not been told otherwise.
    pub checkpoint: bool,
    /// Shutting down: its updates are no longer kept.
    pub terminating: bool,
    pub executors: OrdMap<ExecutorId, Arc<Executor>>,
    /// Which executor has a task that is queued, launched or terminated.
    pub tasks: OrdMap<TaskId, ExecutorId>,
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
    /// Of the container's first process, once it runs.
    pub pid: Option<u32>,
    /// The sandbox.
    pub directory: PathBuf,
    /// Made here for a task that brings a command only; the master does not know it.
    pub generated: bool,
    pub phase: ExecutorPhase,
    pub connection: Connection,
    /// Whether it has been there, and that is kept.
    pub met: Met,
    /// Where an earlier agent reached it, if it is a v0 one.
    pub former_pid: Option<Upid>,
    /// Sent to the executor once it is there, in the order they came.
    pub queued_tasks: Vector<Arc<TaskInfo>>,
    /// Those of the queue that are not durable yet; they are not sent before.
    pub unsaved_tasks: OrdSet<TaskId>,
    /// Their tasks are in `queued_tasks` too.
    pub queued_groups: Vector<Arc<TaskGroupInfo>>,
    /// Sent to the executor and not known to have ended.
    pub launched_tasks: OrdMap<TaskId, Arc<Task>>,
    /// Kills that came while the executor was not connected.
    pub pending_kills: OrdMap<TaskId, Option<KillPolicy>>,
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

/// Whether an executor may have got what was meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Never,
    /// It is there, and nothing is sent before that is durable.
    Saving,
    Known,
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
    pub state: TaskState,
    pub reason: task_status::Reason,
    pub message: String,
    /// Resources of which the container took more than it was given.
    pub limited: Vec<Resource>,
}

/// What `/metrics/snapshot` and `/state` count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Terminal updates by state, since start.
    pub tasks_by_end: BTreeMap<TaskState, u64>,
    /// Tasks given to us, and tasks sent to their executors: 0.15's `staged_tasks` and `started_tasks`.
    pub staged_tasks: u64,
    pub started_tasks: u64,
    pub valid_status_updates: u64,
    pub invalid_status_updates: u64,
    pub valid_framework_messages: u64,
    pub invalid_framework_messages: u64,
    pub executors_terminated: u64,
    /// What could not be read of what an earlier agent left.
    pub recovery_errors: u64,
    /// How long it took until the executors of an earlier agent were back, or given up.
    pub recovery_time: Option<Duration>,
    pub container_launch_errors: u64,
}

impl State {
    /// An agent that has not met a master. `seed` decides every random choice: ids, back-offs.
    pub fn new(config: Config, info: AgentInfo, now: Time, seed: u64) -> State {
        let mut state = State {
            registration: Registration {
                number: 0,
                backoff: config.registration_backoff,
                losses: 0,
                ping_number: 0,
                lives: 0,
                attempt: 0,
                ping_timeout: super::registration::PING_TIMEOUT,
                missed: false,
                resource_version: Bytes::new(),
            },
            node: Node {
                config: Arc::new(config),
                info: Arc::new(info),
                started: now,
                phase: Phase::Disconnected,
                leader: None,
                registered: None,
                frameworks: OrdMap::new(),
                completed_frameworks: Vector::new(),
                counters: Counters::default(),
            },
            updates: Updates::paused(),
            launches: Launches::default(),
            containers: BTreeMap::new(),
            streams: BTreeMap::new(),
            awaited: BTreeSet::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        state.registration.resource_version = state.uuid_bytes();
        state
    }

    /// How many status updates no scheduler has acknowledged yet.
    pub fn pending_updates(&self) -> usize {
        self.updates.pending()
    }

    /// A random duration from zero to `most`.
    pub(super) fn random(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.next_u64() % nanos.saturating_add(1).max(1))
    }

    /// The number of the next re-registration of this process.
    pub(super) fn next_attempt(&mut self) -> u64 {
        if self.registration.attempt == 0 {
            // An earlier process may have ended before it had kept that it was there.
            let process = self.rng.next_u64() & 0xffff;
            let lives = self.registration.lives.min(0xff_ffff);
            self.registration.attempt = lives << 40 | process << 24;
        }
        self.registration.attempt += 1;
        self.registration.attempt
    }

    pub(super) fn uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    pub(super) fn uuid_bytes(&mut self) -> Bytes {
        Bytes::copy_from_slice(self.uuid().as_bytes())
    }
}

impl Node {
    /// Empty before the first registration.
    pub fn id(&self) -> AgentId {
        self.info.id.clone().unwrap_or_default()
    }

    pub fn framework(&self, id: &FrameworkId) -> Option<&Framework> {
        self.frameworks.get(id).map(|framework| &**framework)
    }

    pub fn executor(&self, framework: &FrameworkId, id: &ExecutorId) -> Option<&Executor> {
        self.framework(framework)?.executors.get(id).map(|executor| &**executor)
    }

    /// The executor that has a task which is queued, launched or terminated.
    pub fn executor_of(&self, framework: &FrameworkId, task: &TaskId) -> Option<&Executor> {
        let framework = self.framework(framework)?;
        framework.executors.get(framework.tasks.get(task)?).map(|executor| &**executor)
    }

    pub(super) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.frameworks.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn executor_mut(&mut self, framework: &FrameworkId, id: &ExecutorId) -> Option<&mut Executor> {
        self.framework_mut(framework)?.executors.get_mut(id).map(Arc::make_mut)
    }
}

impl Framework {
    pub fn is_partition_aware(&self) -> bool {
        is_partition_aware(&self.info)
    }

    /// Whether all was said and heard of a task that was here, as far as is remembered.
    pub fn has_completed(&self, task: &TaskId) -> bool {
        let executors = self.executors.values().chain(&self.completed_executors);
        executors.flat_map(|executor| &executor.completed_tasks).any(|completed| completed.task_id == *task)
    }
}

/// Whether the framework tells apart the ways in which a task can be lost.
pub fn is_partition_aware(info: &FrameworkInfo) -> bool {
    let wanted = Some(framework_info::capability::Type::PartitionAware as i32);
    info.capabilities.iter().any(|capability| capability.r#type == wanted)
}

impl Executor {
    /// Whether any of its tasks has something left to say.
    pub fn has_incomplete_tasks(&self) -> bool {
        !self.queued_tasks.is_empty() || !self.launched_tasks.is_empty() || !self.terminated_tasks.is_empty()
    }

    /// Whether it ever got a task, as far as its tasks still tell.
    /// Source: `Executor::everSentTask`, slave.cpp 1.11.
    pub fn ever_sent_task(&self) -> bool {
        let by_executor = Some(task_status::Source::Executor as i32);
        let said = |task: &Arc<Task>| task.statuses.iter().any(|status| status.source == by_executor);
        !self.launched_tasks.is_empty()
            || self.terminated_tasks.values().any(said)
            || self.completed_tasks.iter().any(said)
    }

    /// It waits for a task, and the only ones that it was made for were killed before it was there.
    pub(super) fn has_nothing_to_do(&self) -> bool {
        !self.ever_sent_task() && self.queued_tasks.is_empty()
    }

    pub fn is_queued(&self, task: &TaskId) -> bool {
        self.queued_tasks.iter().any(|queued| queued.task_id == *task)
    }

    /// The tasks of a queued group that this task belongs to.
    pub fn queued_group(&self, task: &TaskId) -> Option<&Arc<TaskGroupInfo>> {
        self.queued_groups.iter().find(|group| group.tasks.iter().any(|member| member.task_id == *task))
    }

    /// Takes a task out of the queue, and its group once none of it is left there.
    pub(super) fn dequeue(&mut self, task: &TaskId) -> Option<Arc<TaskInfo>> {
        let at = self.queued_tasks.iter().position(|queued| queued.task_id == *task)?;
        let dequeued = self.queued_tasks.remove(at);
        self.unsaved_tasks.remove(task);
        let queued = &self.queued_tasks;
        self.queued_groups.retain(|group| {
            group.tasks.iter().any(|member| queued.iter().any(|task| task.task_id == member.task_id))
        });
        Some(dequeued)
    }
}
