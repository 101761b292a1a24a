//! `mesos containerizer launch`: the process above everything in a container.
//!
//! It starts the executor in a session of its own, adopts all that is orphaned below it, and ends, in the
//! same way as the executor did, only when nothing is left. SIGTERM makes it kill all. It has one thread, and one
//! for each stream of which it keeps only so much.
//!
//! Source: launch.cpp 1.11, whose `mesos-containerizer launch` waits the same way but adopts nobody.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::init::{InitInfo, Who};
use crate::agent::containerizer::isolators::cgroups::Killer;
use crate::agent::containerizer::isolators::confinement::Confinement;
use crate::base::end::End;
use crate::posix::rotate::{self, Limits, Rotating, Rotation};
use crate::posix::start::{self, Tie};
use crate::posix::user::Identity;
use crate::posix::{tree, user};
use crate::proto::CommandInfo;

/// Between two looks at processes that do not die at once.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the supervisor is told, as JSON on its standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchInfo {
    pub shell: bool,
    pub value: Option<String>,
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    pub directory: PathBuf,
    pub user: Option<String>,
    /// Where to write its id to, before it begins, to be in its control groups. We stay outside.
    #[serde(default)]
    pub doors: Vec<PathBuf>,
    /// What kills all that is in there.
    #[serde(default)]
    pub killer: Option<Killer>,
    /// What the process does to itself before it is the command.
    #[serde(default)]
    pub confinement: Option<Confinement>,
    /// Bounds of its output; without them it goes where ours goes.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// Where to leave how it ended, for an agent that is not the one that started it.
    #[serde(default)]
    pub status: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("the command has no value")]
    NoValue,
    #[error(transparent)]
    User(#[from] user::UserError),
    #[error("Failed to execute '{0}': {1}")]
    Execute(String, io::Error),
    #[error("Failed to enter the control group '{0}': {1}")]
    Door(PathBuf, io::Error),
    #[error("Failed to become the one who adopts orphans: {0}")]
    Adopt(Errno),
    #[error("Failed to make a pid namespace: {0}")]
    Pids(Errno),
    #[error("Failed to tell the first process of a container what to do: {0}")]
    Tell(io::Error),
}

/// Runs the command to its end and the end of all it started. Must be called before there is a second
/// thread. What fails is told on standard error, and counts as an exit with status 1.
pub fn run(info: LaunchInfo) -> End {
    let signals = watched();
    let (status, killer) = (info.status.clone(), info.killer.clone());
    let end = match launch(info) {
        Ok((leader, loggers)) => {
            let end = wait(leader, &signals, killer.as_ref());
            // With the last process the last writer is gone, and what it wrote is all there.
            loggers.into_iter().for_each(|logger| drop(logger.join()));
            end
        }
        Err(error) => {
            eprintln!("{error}");
            End::Code(1)
        }
    };
    if let Some(path) = status {
        // Its folder is gone if nobody wants to know.
        let _ = std::fs::write(path, format!("{}\n", wait_status(end)));
    }
    end
}

/// As `wait` tells it, which is what Mesos' `status` files hold.
fn wait_status(end: End) -> i32 {
    match end {
        End::Code(code) => (code & 0xff) << 8,
        End::Signal(signal) => signal,
    }
}

/// What `wait_status` wrote.
pub fn read_status(text: &str) -> Option<End> {
    let status: i32 = text.trim().parse().ok()?;
    match status & 0x7f {
        0 => Some(End::Code((status >> 8) & 0xff)),
        signal => Some(End::Signal(signal)),
    }
}

/// Ends this process as `end` says.
pub fn end_as(end: End) -> i32 {
    let signal = match end {
        End::Code(code) => return code,
        End::Signal(signal) => signal,
    };
    // The executor's core, if any, has been written; ours would tell nothing.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is installed, only the default restored.
        let _ = unsafe { sigaction(signal, &default) };
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
        let _ = nix::sys::signal::raise(signal);
    }
    128 + signal
}

/// The signals that `wait` takes one by one, blocked from now on. `start::detach` unblocks them in the child.
fn watched() -> SigSet {
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM].into_iter().collect();
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None);
    signals
}

fn launch(info: LaunchInfo) -> Result<(Pid, Vec<JoinHandle<()>>), LaunchError> {
    nix::sys::prctl::set_child_subreaper(true).map_err(LaunchError::Adopt)?;
    let identity = info.user.as_deref().map(user::switch_to).transpose()?.flatten();
    let shown = info.value.clone().unwrap_or_default();
    let confined = info.confinement.as_ref().map(|confinement| InitInfo {
        shell: info.shell,
        value: info.value.clone(),
        arguments: info.arguments.clone(),
        directory: info.directory.clone(),
        user: identity.as_ref().map(Who::from),
        confinement: confinement.clone(),
    });
    let command = CommandInfo {
        shell: Some(info.shell),
        value: info.value,
        arguments: info.arguments,
        ..CommandInfo::default()
    };
    let mut command: Command = match confined {
        Some(_) => init(),
        None => start::program(&command).ok_or(LaunchError::NoValue)?,
    };
    command.env_clear().envs(&info.environment).current_dir(&info.directory);
    command.stdin(if confined.is_some() { Stdio::piped() } else { Stdio::null() });
    let loggers = match info.rotation {
        Some(rotation) => log_to_bounded_files(&mut command, &info.directory, rotation, identity.as_ref()),
        None => Vec::new(),
    };
    enter(&mut command, info.doors)?;
    if confined.as_ref().is_some_and(|confined| confined.confinement.namespaces.pid) {
        // What is started from now on is in there; no thread can be, so the loggers are there already.
        unshare(CloneFlags::CLONE_NEWPID).map_err(LaunchError::Pids)?;
    }
    // One that confines itself changes its user when it has done so.
    start::detach(&mut command, identity.filter(|_| confined.is_none()), Tie::DiesWithParent);
    let mut child = command.spawn().map_err(|error| LaunchError::Execute(shown, error))?;
    if let (Some(confined), Some(stdin)) = (confined, child.stdin.take()) {
        serde_json::to_writer(stdin, &confined).map_err(|error| LaunchError::Tell(error.into()))?;
    }
    Ok((Pid::from_raw(child.id() as i32), loggers))
}

/// Our own program, as the one that confines itself.
fn init() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("mesos-containerizer").arg("init");
    command
}

/// The process goes through these doors while it is still ours.
fn enter(command: &mut Command, doors: Vec<PathBuf>) -> Result<(), LaunchError> {
    let mut open = Vec::new();
    for door in doors {
        let file = OpenOptions::new().write(true).open(&door);
        open.push(file.map_err(|error| LaunchError::Door(door, error))?);
    }
    let enter = move || {
        for door in &open {
            nix::unistd::write(door, b"0")?;
        }
        Ok::<(), io::Error>(())
    };
    // SAFETY: between fork and exec it makes system calls only, on files that are open.
    unsafe {
        command.pre_exec(enter);
    }
    Ok(())
}

/// Our own output is that of the sandbox. A stream that cannot be bounded is said to be, and is not.
fn log_to_bounded_files(
    command: &mut Command,
    directory: &Path,
    rotation: Rotation,
    owner: Option<&Identity>,
) -> Vec<JoinHandle<()>> {
    let pump = |name: &str, own: BorrowedFd<'_>, limits: Limits| {
        let file = File::from(own.try_clone_to_owned()?);
        rotate::pump(Rotating::open(directory, name, file, limits, owner.cloned())?)
    };
    let stdout = pump("stdout", io::stdout().as_fd(), rotation.stdout);
    let stderr = pump("stderr", io::stderr().as_fd(), rotation.stderr);
    let mut loggers = Vec::new();
    for (name, pumped) in [("stdout", stdout), ("stderr", stderr)] {
        match pumped {
            Ok((stream, logger)) => {
                match name {
                    "stdout" => command.stdout(stream),
                    _ => command.stderr(stream),
                };
                loggers.push(logger);
            }
            Err(error) => eprintln!("{name} is not bounded: {error}"),
        }
    }
    loggers
}

/// Until the leader ends or we are told to kill; then until nothing is left.
fn wait(leader: Pid, signals: &SigSet, killer: Option<&Killer>) -> End {
    let mut end = None;
    while end.is_none() {
        match signals.wait() {
            Ok(Signal::SIGTERM) => break,
            Ok(_) => {
                reap(leader, &mut end);
            }
            Err(_) => {}
        }
    }
    loop {
        // All at once, so that nothing forks faster than it is killed.
        if let Some(killer) = killer {
            killer.kill();
        }
        let own = Pid::this().as_raw();
        let all = tree::below(own).unwrap_or_default();
        for pid in tree::descendants(own, &all) {
            tree::send(pid, Signal::SIGKILL);
        }
        if !reap(leader, &mut end) {
            return end.unwrap_or(End::Signal(libc::SIGKILL));
        }
        std::thread::sleep(PATIENCE);
    }
}

/// Takes note of all children that ended; whether there are others.
fn reap(leader: Pid, end: &mut Option<End>) -> bool {
    loop {
        let (pid, ended) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, End::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return false,
        };
        if pid == leader {
            *end = Some(ended);
        }
    }
}
