//! Runs containers: one executor each, with its sandbox. The agent's loop calls it; what happens comes back
//! as `Report`s. The core never sees a pid.
//!
//! `mesos` is the only kind there is as yet. Start reading at `mesos/mod.rs`.
#![expect(clippy::disallowed_methods, reason = "a shell: files, processes, one task per container")]

pub mod isolators;
pub mod logger;
pub mod mesos;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::isolators::limits::Allowed;
use crate::proto::{CommandInfo, ContainerId, ContainerInfo, ExecutorId, FrameworkId, Resource, task_status};

/// Start this executor in its sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub container: ContainerId,
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    /// What to run; its uris are fetched into `directory` first.
    pub command: CommandInfo,
    /// The sandbox; made by the containerizer, owned by `user`.
    pub directory: PathBuf,
    /// What a later agent must know of the container is noted here; made and removed by the containerizer.
    pub meta: PathBuf,
    /// Run as this user; `None`: as the agent itself (`--no-switch_user`).
    pub user: Option<String>,
    /// The whole environment beyond what the command brings.
    pub environment: BTreeMap<String, String>,
    /// What executor and tasks may use together, to begin with.
    pub allowed: Allowed,
    /// What its framework says of the container.
    pub described: Option<ContainerInfo>,
}

/// A container that an earlier agent launched, and that may still run.
#[derive(Clone, Debug, PartialEq)]
pub struct Survivor {
    pub container: ContainerId,
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    /// As its `Launch` had them.
    pub directory: PathBuf,
    pub meta: PathBuf,
    /// What it may use by now.
    pub allowed: Allowed,
}

/// What became of a container.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Fetched and forked, or found to be still there.
    Launched { container: ContainerId, pid: u32 },
    /// It never ran: the fetch or the fork failed. `Terminated` does not follow.
    /// A container destroyed before it ran is not this but `Terminated`, without `Launched` before it.
    Failed { container: ContainerId, reason: task_status::Reason, message: String },
    /// It went beyond what it may use, and is being destroyed for it: `Terminated` follows.
    Limited { container: ContainerId, limitation: Limitation },
    /// Its first process ended and nothing of it is left.
    Terminated { container: ContainerId, exit: Exit },
}

/// How a container went beyond what it may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Limitation {
    pub reason: task_status::Reason,
    pub message: String,
    /// What it took more of than it was given, as far as isolators say.
    pub resources: Vec<Resource>,
}

/// How the container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// Destroyed by us.
    Destroyed,
    /// Nobody saw it: it is one of an earlier agent.
    Unknown,
}
