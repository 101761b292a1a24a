//! Containers made of processes, which isolators may hold in control groups and keep apart.
//!
//! Each container is one task here (`container`) and one small process of ours (`supervisor`), which starts
//! the executor and outlives all that comes out of it: whatever is orphaned becomes its child, so that
//! nothing escapes a destroy by forking twice or by leaving its session.
//!
//! Absent on purpose: waiting for anything in a method; what happens comes back as a `Report`.

mod container;
mod fetching;
pub mod init;
mod mounting;
mod notes;
mod sandbox;
pub mod supervisor;
mod watcher;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::isolators::Isolators;
use super::isolators::cgroups::Group;
use super::isolators::limits::Allowed;
use super::{Launch, Limitation, Report, Survivor};
use crate::agent::fetcher::store::Store;
use crate::agent::pressure::{self, Pressure};
use crate::metrics::Counter;
use crate::posix::rotate::Rotation;
use crate::posix::tree;
use crate::proto::{ContainerId, ExecutorId, FrameworkId, ResourceStatistics, task_status};

/// What is the same for all containers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `mesos` binary, which is run as supervisor and fetcher.
    pub program: PathBuf,
    /// `--frameworks_home`: where relative uris begin.
    pub frameworks_home: Option<PathBuf>,
    /// `--fetcher_stall_timeout`.
    pub fetcher_stall_timeout: Duration,
    /// `--hadoop_home`; `None`: what the agent's environment says.
    pub hadoop_home: Option<PathBuf>,
    pub fetcher_cache: Arc<Store>,
    /// `--container_logger`: bounds of what containers write.
    pub rotation: Option<Rotation>,
    pub isolators: Isolators,
    /// `--resource_monitoring_interval`: measurements are at most this old.
    pub monitoring_interval: Duration,
    /// Where the notes of all containers are, also those of earlier agents: `<work_dir>/meta/slaves`.
    pub meta: PathBuf,
}

/// The containers of one agent. Cloning it gives another handle.
#[derive(Clone, Debug)]
pub struct Containerizer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    running: Mutex<HashMap<ContainerId, Running>>,
    reports: mpsc::UnboundedSender<Report>,
    fetches: Fetches,
    /// The last measurement. Who takes another has it meanwhile, so that nobody else does.
    measured: tokio::sync::Mutex<Option<Measured>>,
}

/// What all containers that ran at that time used.
#[derive(Debug)]
struct Measured {
    at: Instant,
    usage: HashMap<ContainerId, ResourceStatistics>,
}

/// Containers whose URIs were fetched, or could not be.
#[derive(Clone, Debug, Default)]
pub struct Fetches {
    pub succeeded: Counter,
    pub failed: Counter,
}

#[derive(Debug)]
struct Running {
    /// Becomes true when the container shall go.
    destroy: watch::Sender<bool>,
    /// The supervisor's pid, once it runs.
    pid: Option<i32>,
    owner: (FrameworkId, ExecutorId),
    allowed: Allowed,
    /// Its control groups, once they are made.
    group: Option<Arc<Group>>,
    /// Its sandbox, and the bytes that it takes, if somebody has looked.
    directory: PathBuf,
    disk_used: Option<u64>,
}

impl Containerizer {
    /// The reports come through the receiver, in the order of events per container.
    pub fn new(settings: Settings) -> (Containerizer, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            settings,
            running: Mutex::default(),
            reports,
            fetches: Fetches::default(),
            measured: Default::default(),
        };
        let shared = Arc::new(shared);
        if let Err(error) = watcher::start(&shared) {
            warn!(%error, "disks and ports of containers are not looked at");
        }
        (Containerizer { shared }, receiver)
    }

    /// Bytes that the fetcher's cache may hold, and holds.
    pub fn cached(&self) -> (u64, u64) {
        self.shared.settings.fetcher_cache.sizes()
    }

    /// How fetching went so far.
    pub fn fetches(&self) -> &Fetches {
        &self.shared.fetches
    }

    /// Starts a container; `Launched` or `Failed` follows. Must be called within a tokio runtime.
    pub fn launch(&self, launch: Launch) {
        let container = launch.container.clone();
        let owner = (launch.framework.clone(), launch.executor.clone());
        let new = (launch.allowed.clone(), launch.directory.clone());
        let Some(destroyed) = self.shared.add(&container, owner, new) else {
            let message = format!("Container '{}' already started", container.value);
            let reason = task_status::Reason::ContainerLaunchFailed;
            self.shared.report(Report::Failed { container, reason, message });
            return;
        };
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let report = container::live(&shared, launch, destroyed).await;
            shared.running().remove(&container);
            shared.report(report);
        });
    }

    /// Finds containers of earlier agents: `Launched` and `Terminated` follow, or `Terminated` alone. Those that are
    /// not named, and are not launched by this agent, are killed. To be called once, before any launch, within a
    /// tokio runtime.
    pub fn recover(&self, survivors: Vec<Survivor>) {
        let mut unknown = notes::all(&self.shared.settings.meta);
        let known: HashSet<PathBuf> = survivors.iter().map(|survivor| survivor.meta.clone()).collect();
        unknown.retain(|meta| !known.contains(meta));
        for meta in unknown {
            let shared = self.shared.clone();
            tokio::spawn(async move { container::end_unknown(&shared, meta).await });
        }
        for survivor in survivors {
            let container = survivor.container.clone();
            let owner = (survivor.framework.clone(), survivor.executor.clone());
            let new = (survivor.allowed.clone(), survivor.directory.clone());
            let Some(destroyed) = self.shared.add(&container, owner, new) else { continue };
            let shared = self.shared.clone();
            tokio::spawn(async move {
                let report = container::live_on(&shared, survivor, destroyed).await;
                shared.running().remove(&container);
                shared.report(report);
            });
        }
    }

    /// Kills all that is in a container; `Terminated` follows. Without effect on one that is not there.
    pub fn destroy(&self, container: &ContainerId) {
        match self.shared.running().get(container) {
            Some(running) => {
                running.destroy.send_replace(true);
            }
            None => warn!(container = %container.value, "ignoring the destroy of an unknown container"),
        }
    }

    /// A container may use something else from now on. Without effect on one that is not there.
    pub fn update(&self, container: &ContainerId, allowed: Allowed) {
        let group = {
            let mut running = self.shared.running();
            let Some(running) = running.get_mut(container) else { return };
            running.allowed = allowed;
            running.group.clone()
        };
        let Some(group) = group else { return };
        let (shared, container) = (self.shared.clone(), container.clone());
        tokio::task::spawn_blocking(move || shared.apply(&container, &group));
    }

    /// What there is to say of the memory of an executor's container, if the kernel has killed for it there.
    pub async fn memory_limitation(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) -> Option<Limitation> {
        let group = {
            let running = self.shared.running();
            let of = |running: &&Running| running.owner.0 == *framework && running.owner.1 == *executor;
            // Few agents have so many containers that an index would be worth its upkeep: this is asked when a
            // task has failed.
            running.values().find(of)?.group.clone()?
        };
        let read = move || (group.out_of_memory_kills() > 0).then(|| group.memory_limitation());
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// What these containers use, without limits, which the agent knows; those not running are left out. No older
    /// than `--resource_monitoring_interval`, but for containers that started since: then all are measured anew.
    ///
    /// One reading of /proc serves all. Source: `PosixCpuIsolatorProcess::usage` and mem, posix.hpp 1.11.
    pub async fn usage(&self, containers: Vec<ContainerId>) -> Vec<(ContainerId, ResourceStatistics)> {
        let running: HashMap<ContainerId, Measurable> = {
            let running = self.shared.running();
            running.iter().filter_map(|(id, running)| Some((id.clone(), running.measurable()?))).collect()
        };
        let wanted: Vec<ContainerId> = containers.into_iter().filter(|id| running.contains_key(id)).collect();
        let mut measured = self.shared.measured.lock().await;
        let interval = self.shared.settings.monitoring_interval;
        let is_fresh = |measured: &Measured| {
            measured.at.elapsed() < interval && wanted.iter().all(|id| measured.usage.contains_key(id))
        };
        if !measured.as_ref().is_some_and(is_fresh) {
            let at = Instant::now();
            let usage = tokio::task::spawn_blocking(move || measure(running)).await.unwrap_or_default();
            *measured = Some(Measured { at, usage });
        }
        let Some(measured) = &*measured else { return Vec::new() };
        wanted.into_iter().filter_map(|id| Some((id.clone(), measured.usage.get(&id)?.clone()))).collect()
    }
}

impl Containerizer {
    /// How much of their time these containers wait for resources; those are left out whose control groups do not
    /// tell, which version 2 does.
    pub async fn pressure(&self, containers: Vec<ContainerId>) -> Vec<(ContainerId, Pressure)> {
        let groups: Vec<(ContainerId, Arc<Group>)> = {
            let running = self.shared.running();
            let group = |id: ContainerId| running.get(&id)?.group.clone().map(|group| (id, group));
            containers.into_iter().filter_map(group).collect()
        };
        let read = move || {
            let of = |(id, group): (ContainerId, Arc<Group>)| {
                Some((id, pressure::of_group(group.of_version_two()?)))
            };
            groups.into_iter().filter_map(of).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

/// What tells what a container uses.
struct Measurable {
    pid: i32,
    group: Option<Arc<Group>>,
    /// Bytes that its sandbox takes, and may take.
    disk: Option<(u64, u64)>,
}

impl Running {
    fn measurable(&self) -> Option<Measurable> {
        let disk = self.disk_used.map(|used| (used, self.allowed.disk));
        Some(Measurable { pid: self.pid?, group: self.group.clone(), disk })
    }
}

fn measure(containers: HashMap<ContainerId, Measurable>) -> HashMap<ContainerId, ResourceStatistics> {
    let Ok(all) = tree::processes() else { return HashMap::new() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let usage = |(id, container): (ContainerId, Measurable)| {
        let mut statistics = statistics(now, tree::usage(&tree::descendants(container.pid, &all), &all));
        if let Some((used, quota)) = container.disk {
            statistics.disk_used_bytes = Some(used);
            statistics.disk_limit_bytes = (quota > 0).then_some(quota);
        }
        if let Some(group) = container.group {
            group.measure(&mut statistics);
        }
        (id, statistics)
    };
    containers.into_iter().map(usage).collect()
}

fn statistics(now: Duration, usage: tree::Usage) -> ResourceStatistics {
    ResourceStatistics {
        timestamp: now.as_secs_f64(),
        processes: Some(usage.processes),
        threads: Some(usage.threads),
        cpus_user_time_secs: Some(usage.user_secs),
        cpus_system_time_secs: Some(usage.system_secs),
        mem_rss_bytes: Some(usage.resident_bytes),
        ..Default::default()
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, HashMap<ContainerId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears when the container shall go; none for one that is there.
    fn add(
        &self,
        container: &ContainerId,
        owner: (FrameworkId, ExecutorId),
        (allowed, directory): (Allowed, PathBuf),
    ) -> Option<watch::Receiver<bool>> {
        let (destroy, destroyed) = watch::channel(false);
        match self.running().entry(container.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                let (pid, group, disk_used) = (None, None, None);
                vacant.insert(Running { destroy, pid, owner, allowed, group, directory, disk_used });
                Some(destroyed)
            }
        }
    }

    fn set_pid(&self, container: &ContainerId, pid: i32) {
        if let Some(running) = self.running().get_mut(container) {
            running.pid = Some(pid);
        }
    }

    /// Makes the control groups of a container, with what it may use by now.
    fn isolate(&self, container: &ContainerId) -> io::Result<Option<Arc<Group>>> {
        let Some(allowed) = self.running().get(container).map(|running| running.allowed.clone()) else {
            return Ok(None);
        };
        let Some(group) = self.settings.isolators.prepare(&container.value, &allowed)?.map(Arc::new) else {
            return Ok(None);
        };
        self.set_group(container, &group);
        Ok(Some(group))
    }

    /// Takes the control groups of a container that an earlier agent launched.
    fn adopt(&self, container: &ContainerId) -> Option<Arc<Group>> {
        let allowed = self.running().get(container).map(|running| running.allowed.clone())?;
        match self.settings.isolators.adopt(&container.value, &allowed) {
            Ok(group) => {
                let group = Arc::new(group?);
                self.set_group(container, &group);
                Some(group)
            }
            Err(error) => {
                warn!(container = %container.value, %error, "the control groups of a container are not to be had");
                None
            }
        }
    }

    fn set_group(&self, container: &ContainerId, group: &Arc<Group>) {
        if let Some(running) = self.running().get_mut(container) {
            running.group = Some(group.clone());
        }
        // It may have been told otherwise meanwhile.
        self.apply(container, group);
    }

    fn apply(&self, container: &ContainerId, group: &Group) {
        let allowed = self.running().get(container).map(|running| running.allowed.clone());
        let Some(allowed) = allowed else { return };
        if let Err(error) = self.settings.isolators.update(group, &allowed) {
            warn!(container = %container.value, %error, "a container keeps what it was allowed before");
        }
    }

    /// Nobody listens any more only while the agent goes down.
    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
