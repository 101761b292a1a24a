//! What one container's first process does to itself before it runs the command: namespaces, mounts, limits,
//! capabilities, system calls. Data: made here of what operator and framework say, acted on by `mesos/init.rs`.
//!
//! Source: the `prepare` of each isolator in slave/containerizer/mesos/isolators 1.11. What differs: what a container
//! asks for and no isolator gives is refused; 1.11 runs it without.

use serde::{Deserialize, Serialize};

use super::Settings;
use super::capabilities::{self, Capabilities};
use super::seccomp::{self, Filter};
use super::volumes::{self, Mount};
use crate::proto::container_info;
use crate::proto::linux_info::IpcMode;
use crate::proto::r_limit_info::{RLimit, r_limit};
use crate::proto::{ContainerInfo, LinuxInfo};

/// Namespaces that a container has for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub mount: bool,
    /// Its first process is the first of all that it sees, and all end with it.
    pub pid: bool,
    pub ipc: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMemory {
    /// In bytes; `None`: what Linux gives, which is half of the memory.
    pub size: Option<u64>,
}

/// A bound as `setrlimit` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    pub namespaces: Namespaces,
    /// Its own `/dev/shm`.
    pub shared_memory: Option<SharedMemory>,
    pub mounts: Vec<Mount>,
    pub limits: Vec<ResourceLimit>,
    pub capabilities: Option<Capabilities>,
    pub no_new_privileges: bool,
    /// Each is asked; what is strictest counts.
    pub filters: Vec<Filter>,
}

/// Whose container it is.
pub struct Place<'a> {
    pub sandbox: &'a std::path::Path,
    pub described: Option<&'a ContainerInfo>,
}

/// How a container is to be confined, or why it cannot be.
pub fn of(settings: &Settings, place: &Place<'_>) -> Result<Confinement, String> {
    let plain = LinuxInfo::default();
    let linux = place.described.and_then(|described| described.linux_info.as_ref()).unwrap_or(&plain);
    if let Some(described) = place.described {
        refuse(described)?;
    }
    let has = |name| settings.names.has(name);
    let pid = has("namespaces/pid") && !shares_pids(settings, linux)?;
    let ipc = has("namespaces/ipc") && !shares_ipc(settings, linux)?;
    let mounts = match place.described {
        Some(described) => volumes::mounts(settings, place.sandbox, &described.volumes)?,
        None => Vec::new(),
    };
    let capabilities = if has("linux/capabilities") {
        capabilities::of(settings, linux)?
    } else {
        unasked(
            linux.effective_capabilities.is_some() || linux.bounding_capabilities.is_some(),
            "linux/capabilities",
        )?;
        None
    };
    let limits = place.described.and_then(|described| described.rlimit_info.as_ref());
    unasked(limits.is_some() && !has("posix/rlimits"), "posix/rlimits")?;
    let limits = limits.iter().flat_map(|limits| &limits.rlimits).map(limit).collect::<Result<_, _>>()?;
    let filters = match has("linux/seccomp") {
        true => seccomp::of(settings, linux.seccomp.as_ref(), capabilities.as_ref())?,
        false => {
            unasked(linux.seccomp.is_some(), "linux/seccomp")?;
            Vec::new()
        }
    };
    Ok(Confinement {
        namespaces: Namespaces { mount: has("filesystem/linux") || pid || ipc, pid, ipc },
        shared_memory: (ipc && linux.ipc_mode() == IpcMode::Private).then(|| shared_memory(settings, linux)),
        mounts,
        limits,
        capabilities,
        no_new_privileges: has("linux/nnp"),
        filters,
    })
}

/// Something that no isolator would give.
fn unasked(is_asked_for: bool, isolator: &str) -> Result<(), String> {
    match is_asked_for {
        true => Err(format!(
            "The container asks for what the isolator '{isolator}' gives, which this agent does not run"
        )),
        false => Ok(()),
    }
}

fn refuse(described: &ContainerInfo) -> Result<(), String> {
    if described.r#type() != container_info::Type::Mesos {
        return Err("Docker containers are not there yet".to_owned());
    }
    if described.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        return Err("Container images are not there yet".to_owned());
    }
    if described.tty_info.is_some() {
        return Err("Terminals of containers are not there yet".to_owned());
    }
    let named = described.network_infos.iter().find_map(|network| network.name.as_ref());
    match named {
        Some(name) => Err(format!("There is no network '{name}': container networks are not there yet")),
        None => Ok(()),
    }
}

/// Source: `NamespacesPidIsolatorProcess::prepare`, pid.cpp 1.11.
fn shares_pids(settings: &Settings, linux: &LinuxInfo) -> Result<bool, String> {
    let shares = linux.share_pid_namespace.unwrap_or(false);
    match shares && settings.own_pids {
        true => Err("Sharing agent pid namespace with top-level container is not allowed".to_owned()),
        false => Ok(shares),
    }
}

/// Source: `NamespacesIPCIsolatorProcess::prepare`, ipc.cpp 1.11.
fn shares_ipc(settings: &Settings, linux: &LinuxInfo) -> Result<bool, String> {
    let shares = linux.ipc_mode() == IpcMode::ShareParent;
    if shares && settings.own_ipc {
        return Err("Sharing agent IPC namespace with top-level container is not allowed".to_owned());
    }
    if linux.shm_size.is_some() && linux.ipc_mode() != IpcMode::Private {
        return Err("Only support specifying the size of /dev/shm when the IPC mode is `PRIVATE`".to_owned());
    }
    Ok(shares)
}

/// What the framework says, else the operator.
fn shared_memory(settings: &Settings, linux: &LinuxInfo) -> SharedMemory {
    let said = linux.shm_size.map(|megabytes| u64::from(megabytes) << 20);
    SharedMemory { size: said.or(settings.shm_size) }
}

/// Both bounds or none. Source: `rlimits::convert`, posix/rlimits.cpp 1.11.
fn limit(limit: &RLimit) -> Result<ResourceLimit, String> {
    let resource = resource(limit.r#type())?;
    let (soft, hard) = match (limit.soft, limit.hard) {
        (Some(soft), Some(hard)) => (soft, hard),
        (None, None) => (u64::MAX, u64::MAX),
        _ => return Err(format!("{} must have both its bounds, or neither", limit.r#type().as_str_name())),
    };
    if soft > hard {
        return Err(format!("{}: the soft bound is above the hard one", limit.r#type().as_str_name()));
    }
    Ok(ResourceLimit { resource, soft, hard })
}

fn resource(kind: r_limit::Type) -> Result<u32, String> {
    use r_limit::Type;
    Ok(match kind {
        Type::RlmtAs => libc::RLIMIT_AS,
        Type::RlmtCore => libc::RLIMIT_CORE,
        Type::RlmtCpu => libc::RLIMIT_CPU,
        Type::RlmtData => libc::RLIMIT_DATA,
        Type::RlmtFsize => libc::RLIMIT_FSIZE,
        Type::RlmtLocks => libc::RLIMIT_LOCKS,
        Type::RlmtMemlock => libc::RLIMIT_MEMLOCK,
        Type::RlmtMsgqueue => libc::RLIMIT_MSGQUEUE,
        Type::RlmtNice => libc::RLIMIT_NICE,
        Type::RlmtNofile => libc::RLIMIT_NOFILE,
        Type::RlmtNproc => libc::RLIMIT_NPROC,
        Type::RlmtRss => libc::RLIMIT_RSS,
        Type::RlmtRtprio => libc::RLIMIT_RTPRIO,
        Type::RlmtRttime => libc::RLIMIT_RTTIME,
        Type::RlmtSigpending => libc::RLIMIT_SIGPENDING,
        Type::RlmtStack => libc::RLIMIT_STACK,
        Type::Unknown => return Err("A resource limit without a type".to_owned()),
    })
}

impl Confinement {
    /// Nothing is done before the command runs.
    pub fn is_none(&self) -> bool {
        *self == Confinement::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Named;
    use super::*;
    use crate::proto::{RLimitInfo, SeccompInfo};
    use std::path::Path;

    fn confined(names: &[&str], described: &ContainerInfo) -> Result<Confinement, String> {
        let settings = Settings { names: Named::of(names), ..Settings::default() };
        of(&settings, &Place { sandbox: Path::new("/sandbox"), described: Some(described) })
    }

    fn with(linux: LinuxInfo) -> ContainerInfo {
        ContainerInfo {
            r#type: container_info::Type::Mesos as i32,
            linux_info: Some(linux),
            ..ContainerInfo::default()
        }
    }

    #[test]
    fn nothing_is_done_without_an_isolator() {
        assert!(confined(&["posix/cpu"], &with(LinuxInfo::default())).unwrap().is_none());
        let seccomp = LinuxInfo { seccomp: Some(SeccompInfo::default()), ..LinuxInfo::default() };
        assert!(confined(&["posix/cpu"], &with(seccomp)).unwrap_err().contains("'linux/seccomp'"));
    }

    #[test]
    fn namespaces_are_shared_if_that_is_asked_for_and_allowed() {
        let own = confined(&["namespaces/pid", "namespaces/ipc"], &with(LinuxInfo::default())).unwrap();
        assert_eq!(own.namespaces, Namespaces { mount: true, pid: true, ipc: true });
        let sharing = with(LinuxInfo {
            share_pid_namespace: Some(true),
            ipc_mode: Some(IpcMode::ShareParent as i32),
            ..LinuxInfo::default()
        });
        assert!(confined(&["namespaces/pid", "namespaces/ipc"], &sharing).unwrap().is_none());
        let strict =
            Settings { names: Named::of(&["namespaces/pid"]), own_pids: true, ..Settings::default() };
        let place = Place { sandbox: Path::new("/sandbox"), described: Some(&sharing) };
        assert!(of(&strict, &place).unwrap_err().contains("pid namespace"));
    }

    #[test]
    fn limits_have_both_bounds_or_none() {
        let with = |soft, hard| ContainerInfo {
            rlimit_info: Some(RLimitInfo {
                rlimits: vec![RLimit { r#type: Some(r_limit::Type::RlmtNofile as i32), hard, soft }],
            }),
            ..with(LinuxInfo::default())
        };
        let limits = confined(&["posix/rlimits"], &with(Some(5), Some(9))).unwrap().limits;
        assert_eq!(limits, [ResourceLimit { resource: libc::RLIMIT_NOFILE, soft: 5, hard: 9 }]);
        assert_eq!(confined(&["posix/rlimits"], &with(None, None)).unwrap().limits[0].soft, u64::MAX);
        assert!(confined(&["posix/rlimits"], &with(Some(9), Some(5))).is_err());
        assert!(confined(&["posix/rlimits"], &with(Some(9), None)).is_err());
        assert!(confined(&["process"], &with(Some(5), Some(9))).is_err());
    }
}
