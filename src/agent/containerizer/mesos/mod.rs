//! Containers made of processes alone (`--launcher=posix`, `--isolation=posix/cpu,posix/mem`).
//!
//! Each container is one task here (`container`) and one small process of ours (`supervisor`), which starts
//! the executor and outlives all that comes out of it: whatever is orphaned becomes its child, so that
//! nothing escapes a destroy by forking twice or by leaving its session.
//!
//! Absent on purpose: waiting for anything in a method; what happens comes back as a `Report`.

mod container;
mod sandbox;
pub mod supervisor;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::{Launch, Report};
use crate::metrics::Counter;
use crate::posix::tree;
use crate::proto::{ContainerId, ResourceStatistics, task_status};

/// What is the same for all containers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `mesos` binary, which is run as supervisor and fetcher.
    pub program: PathBuf,
    /// `--frameworks_home`: where relative uris begin.
    pub frameworks_home: Option<PathBuf>,
    /// `--fetcher_stall_timeout`.
    pub fetcher_stall_timeout: Duration,
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
}

impl Containerizer {
    /// The reports come through the receiver, in the order of events per container.
    pub fn new(settings: Settings) -> (Containerizer, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let shared = Shared { settings, running: Mutex::default(), reports, fetches: Fetches::default() };
        (Containerizer { shared: Arc::new(shared) }, receiver)
    }

    /// How fetching went so far.
    pub fn fetches(&self) -> &Fetches {
        &self.shared.fetches
    }

    /// Starts a container; `Launched` or `Failed` follows. Must be called within a tokio runtime.
    pub fn launch(&self, launch: Launch) {
        let container = launch.container.clone();
        let (destroy, destroyed) = watch::channel(false);
        let known = {
            let mut running = self.shared.running();
            let known = running.contains_key(&container);
            if !known {
                running.insert(container.clone(), Running { destroy, pid: None });
            }
            known
        };
        if known {
            let message = format!("Container '{}' already started", container.value);
            let reason = task_status::Reason::ContainerLaunchFailed;
            self.shared.report(Report::Failed { container, reason, message });
            return;
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let report = container::live(&shared, launch, destroyed).await;
            shared.running().remove(&container);
            shared.report(report);
        });
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

    /// What these containers use now, without limits, which the agent knows; those not running are left out.
    ///
    /// One reading of /proc serves all. Source: `PosixCpuIsolatorProcess::usage` and mem, posix.hpp 1.11.
    pub async fn usage(&self, containers: Vec<ContainerId>) -> Vec<(ContainerId, ResourceStatistics)> {
        let pids: Vec<(ContainerId, i32)> = {
            let running = self.shared.running();
            let pid = |id: &ContainerId| running.get(id).and_then(|running| running.pid);
            containers.into_iter().filter_map(|id| pid(&id).map(|pid| (id, pid))).collect()
        };
        let read = tokio::task::spawn_blocking(move || {
            let all = tree::processes().ok()?;
            let usage = |(id, pid)| (id, statistics(tree::usage(&tree::descendants(pid, &all), &all)));
            Some(pids.into_iter().map(usage).collect())
        });
        read.await.ok().flatten().unwrap_or_default()
    }
}

fn statistics(usage: tree::Usage) -> ResourceStatistics {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
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

    fn set_pid(&self, container: &ContainerId, pid: i32) {
        if let Some(running) = self.running().get_mut(container) {
            running.pid = Some(pid);
        }
    }

    /// Nobody listens any more only while the agent goes down.
    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
