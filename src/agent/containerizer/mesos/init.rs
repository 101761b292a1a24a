//! `mesos containerizer init`: what the first process of a confined container does before it is the command.
//!
//! In a pid namespace of its own it stays: it starts the command, takes in what is orphaned, and ends with the
//! command, and with it all that runs there. Otherwise it becomes the command.
//!
//! Source: launch.cpp 1.11.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use caps::{CapSet, CapsHashSet};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid};

use serde::{Deserialize, Serialize};

use super::mounting;
use crate::agent::containerizer::isolators::capabilities::Capabilities;
use crate::agent::containerizer::isolators::confinement::{Confinement, ResourceLimit, SharedMemory};
use crate::agent::containerizer::isolators::seccomp::Filter;
use crate::agent::containerizer::isolators::volumes::{Mount, Spot};
use crate::posix::start;
use crate::posix::user::Identity;
use crate::proto::CommandInfo;

/// What a process is told, as JSON on its standard input. Its environment is the command's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitInfo {
    pub shell: bool,
    pub value: Option<String>,
    pub arguments: Vec<String>,
    pub directory: PathBuf,
    pub user: Option<Who>,
    pub confinement: Confinement,
}

/// An `Identity` that was looked up before: the container may have other tables of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Who {
        let groups = identity.groups.iter().map(|group| group.as_raw()).collect();
        Who { uid: identity.uid.as_raw(), gid: identity.gid.as_raw(), groups }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    #[error("the command has no value")]
    NoValue,
    #[error("Failed to execute '{0}': {1}")]
    Execute(String, io::Error),
    #[error("Failed to {0}: {1}")]
    Do(String, io::Error),
    #[error("Failed to set capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
}

/// What was tried, for an error that says only what the kernel said.
pub(super) fn tried<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> InitError {
    move |error| InitError::Do(what.into(), error.into())
}

/// Gives a status if it does not become the command. Must be called before there is a second thread.
pub fn run(info: &InitInfo) -> i32 {
    match confine(info) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn confine(info: &InitInfo) -> Result<i32, InitError> {
    let null = File::open("/dev/null").map_err(tried("open /dev/null"))?;
    nix::unistd::dup2_stdin(&null).map_err(tried("leave the standard input"))?;
    let Confinement { namespaces, mounts, shared_memory, .. } = &info.confinement;
    if namespaces.mount {
        unshare(CloneFlags::CLONE_NEWNS).map_err(tried("make a mount namespace"))?;
        mounting::part(mounts)?;
    }
    if namespaces.ipc {
        unshare(CloneFlags::CLONE_NEWIPC).map_err(tried("make an IPC namespace"))?;
    }
    if let Some(SharedMemory { size }) = shared_memory {
        let size = size.map_or("mode=1777".to_owned(), |bytes| format!("mode=1777,size={bytes}"));
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_STRICTATIME;
        mounting::put("tmpfs", Path::new("/dev/shm"), flags, Some(&size))?;
    }
    if namespaces.pid {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mounting::put("proc", Path::new("/proc"), flags, None)?;
    }
    mounts.iter().try_for_each(mounting::show)?;
    if !namespaces.pid {
        return become_command(info);
    }
    // SAFETY: there is one thread.
    match unsafe { nix::unistd::fork() }.map_err(tried("fork"))? {
        ForkResult::Child => {
            nix::unistd::setsid().map_err(tried("make a session"))?;
            become_command(info)
        }
        ForkResult::Parent { child } => Ok(reap(child)),
    }
}

/// Ends with the leader, as it ended; a signal shows as it does in a shell, for the first of all processes cannot
/// kill itself.
fn reap(leader: Pid) -> i32 {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == leader => return code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == leader => return 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 1,
        }
    }
}

/// Does not come back if all goes well.
fn become_command(info: &InitInfo) -> Result<i32, InitError> {
    let Confinement { limits, capabilities, filters, mounts, .. } = &info.confinement;
    let no_new_privileges = info.confinement.no_new_privileges || may_deceive(info.user.as_ref(), mounts);
    limits.iter().try_for_each(limit)?;
    // Without it, filters are root's to set, who is to be somebody else soon.
    if !no_new_privileges {
        filters.iter().try_for_each(filter)?;
    }
    if let Some(Capabilities { bounding, .. }) = capabilities {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&known(bounding)) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
        if info.user.is_some() {
            caps::securebits::set_keepcaps(true)?;
        }
    }
    if let Some(who) = &info.user {
        let groups: Vec<Gid> = who.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        nix::unistd::setgroups(&groups).map_err(tried("set the groups"))?;
        nix::unistd::setgid(Gid::from_raw(who.gid)).map_err(tried("set the group"))?;
        nix::unistd::setuid(Uid::from_raw(who.uid)).map_err(tried("set the user"))?;
    }
    if let Some(capabilities) = capabilities {
        keep(capabilities, info.user.is_some())?;
    }
    // What a change of user undid.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(tried("be tied to the process above"))?;
    if no_new_privileges {
        nix::sys::prctl::set_no_new_privs().map_err(tried("give up new privileges"))?;
        filters.iter().try_for_each(filter)?;
    }
    let shown = info.value.clone().unwrap_or_default();
    let command = CommandInfo {
        shell: Some(info.shell),
        value: info.value.clone(),
        arguments: info.arguments.clone(),
        ..CommandInfo::default()
    };
    let mut command: Command = start::program(&command).ok_or(InitError::NoValue)?;
    Err(InitError::Execute(shown, command.current_dir(&info.directory).exec()))
}

/// Whether somebody else than root puts what is his over what is the machine's: programs that change their user would
/// believe it, `/etc` for instance.
fn may_deceive(user: Option<&Who>, mounts: &[Mount]) -> bool {
    user.is_some_and(|who| who.uid != 0) && mounts.iter().any(|mount| matches!(mount.target, Spot::At(_)))
}

fn limit(limit: &ResourceLimit) -> Result<(), InitError> {
    let ResourceLimit { resource, soft, hard } = *limit;
    let bounds = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: reads the bounds, which live until it is back.
    let status = unsafe { libc::setrlimit(resource, &raw const bounds) };
    match status {
        0 => Ok(()),
        _ => Err(InitError::Do(
            format!("set the resource limit {resource} to {soft}, {hard}"),
            io::Error::last_os_error(),
        )),
    }
}

fn filter(filter: &Filter) -> Result<(), InitError> {
    let steps: Vec<libc::sock_filter> =
        filter.0.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let len = u16::try_from(steps.len()).map_err(|_| {
        InitError::Do("filter system calls".to_owned(), io::Error::other("the profile is too long"))
    })?;
    let program = libc::sock_fprog { len, filter: steps.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives until it is back, and changes nothing of it.
    let status =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    match status {
        0 => Ok(()),
        _ => Err(InitError::Do("filter system calls".to_owned(), io::Error::last_os_error())),
    }
}

/// Of these numbers those that the kernel has.
fn known(numbers: &BTreeSet<u8>) -> CapsHashSet {
    caps::all().into_iter().filter(|capability| numbers.contains(&capability.index())).collect()
}

fn keep(capabilities: &Capabilities, switched: bool) -> Result<(), InitError> {
    let bounding = known(&capabilities.bounding);
    match &capabilities.effective {
        Some(effective) => {
            let effective = known(effective);
            // Permitted last: the others may be no more than it is.
            caps::set(None, CapSet::Inheritable, &effective)?;
            caps::set(None, CapSet::Effective, &effective)?;
            caps::set(None, CapSet::Permitted, &effective)?;
            caps::set(None, CapSet::Ambient, &effective)?;
        }
        None => {
            let none = CapsHashSet::new();
            let has = caps::read(None, CapSet::Permitted)?;
            let may: CapsHashSet =
                if switched { none } else { has.intersection(&bounding).copied().collect() };
            let inheritable: CapsHashSet =
                caps::read(None, CapSet::Inheritable)?.intersection(&bounding).copied().collect();
            caps::set(None, CapSet::Inheritable, &inheritable)?;
            caps::set(None, CapSet::Effective, &may)?;
            caps::set(None, CapSet::Permitted, &may)?;
        }
    }
    Ok(())
}
