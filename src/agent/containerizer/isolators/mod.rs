//! Isolators: what holds containers apart, by the names that `--isolation` knows.
//!
//! `limits` says what a container may use in the words of control groups, `cgroups` finds and writes those;
//! `confinement` says what a container's first process does to itself (namespaces, volumes, capabilities, system
//! calls); `disk` and `ports` look at what it does, and `mesos/watcher.rs` asks them.
//! Absent as yet, and refused by name: all that is in `NOT_HERE`.

pub mod blocks;
pub mod capabilities;
pub mod cgroups;
pub mod confinement;
pub mod devices;
pub mod disk;
pub mod limits;
pub mod memory;
pub mod ports;
pub mod seccomp;
pub mod volumes;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use tracing::{info, warn};

use self::cgroups::{FREEZER, Group, Mounted};
use self::confinement::{Confinement, Place};
use self::limits::{Allowed, Setting};
use crate::resources::Ranges;

/// What a container has anyway: no namespace and no control group.
const PLAIN: [&str; 5] = ["process", "posix", "posix/cpu", "posix/mem", "filesystem/posix"];

/// What needs no controller, and whether one has to be root for it.
const OTHERS: [(&str, bool); 12] = [
    ("disk/du", false),
    ("posix/disk", false),
    ("filesystem/linux", true),
    ("linux/capabilities", true),
    ("linux/nnp", false),
    ("linux/seccomp", true),
    ("namespaces/ipc", true),
    ("namespaces/pid", true),
    ("network/ports", false),
    ("posix/rlimits", false),
    ("volume/host_path", true),
    ("volume/sandbox_path", true),
];

/// What needs controllers. `cgroups` is the old name of the first two, `cgroups/all` has those that there are.
const CONTROLLED: [(&str, &[&str]); 9] = [
    ("cgroups", &["cpu", "cpuacct", "memory"]),
    ("cgroups/cpu", &["cpu", "cpuacct"]),
    ("cgroups/mem", &["memory"]),
    ("cgroups/pids", &["pids"]),
    ("cgroups/cpuset", &["cpuset"]),
    ("cgroups/blkio", &["blkio"]),
    ("cgroups/devices", &["devices"]),
    ("cgroups/hugetlb", &["hugetlb"]),
    ("cgroups/all", &["cpu", "cpuacct", "memory", "pids", "cpuset", "blkio", "devices", "hugetlb"]),
];

/// Names of 1.11 that mean nothing here yet. Source: `MesosContainerizer::create`, containerizer.cpp 1.11.
const NOT_HERE: &[&str] = &[
    "appc/runtime",
    "cgroups/net_cls",
    "cgroups/net_prio",
    "cgroups/perf_event",
    "disk/xfs",
    "docker/runtime",
    "docker/volume",
    "environment_secret",
    "filesystem/shared",
    "gpu/nvidia",
    "linux/devices",
    "network/cni",
    "network/port_mapping",
    "volume/csi",
    "volume/image",
    "volume/secret",
];

/// Controllers that these names need.
fn controllers(name: &str) -> Option<&'static [&'static str]> {
    let controlled = CONTROLLED.iter().find(|(known, _)| *known == name).map(|(_, needs)| *needs);
    let other = PLAIN.contains(&name) || OTHERS.iter().any(|(known, _)| *known == name);
    controlled.or_else(|| other.then_some(&[]))
}

/// Whether the isolator of that name holds containers by this controller.
pub fn needs(name: &str, controller: &str) -> bool {
    controllers(name).is_some_and(|controllers| controllers.contains(&controller))
}

/// Whether all names of `--isolation` mean something here, and together.
pub fn check(names: &str) -> Result<(), String> {
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| controllers(name).is_none()).copied() {
        None => go_together(&names),
        Some(name) if NOT_HERE.contains(&name) => Err(format!("isolator '{name}' is not there yet")),
        Some(name) => {
            let others = OTHERS.iter().map(|(name, _)| *name);
            let known = PLAIN.into_iter().chain(CONTROLLED.iter().map(|(name, _)| *name)).chain(others);
            let known: Vec<&str> = known.collect();
            Err(format!("there is no isolator '{name}', expected some of {}", known.join(", ")))
        }
    }
}

/// Source: `MesosContainerizer::create`, containerizer.cpp, and `create` of volume/host_path.cpp 1.11.
fn go_together(names: &[&str]) -> Result<(), String> {
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    if distinct.len() < names.len() {
        return Err(format!("Duplicate entries found in --isolation flag '{}'", names.join(",")));
    }
    if names.iter().filter(|name| name.starts_with("filesystem/")).count() > 1 {
        return Err("Using multiple filesystem isolators simultaneously is disallowed".to_owned());
    }
    if distinct.contains("volume/host_path") && !distinct.contains("filesystem/linux") {
        return Err("isolator 'volume/host_path': 'filesystem/linux' isolator must be used".to_owned());
    }
    Ok(())
}

/// Source: the `deprecations` of `MesosContainerizer::create`, and what it adds to filesystem/linux.
fn meant(name: &str) -> Vec<&str> {
    match name {
        "cgroups" => vec!["cgroups/cpu", "cgroups/mem"],
        "posix/disk" => vec!["disk/du"],
        "filesystem/linux" => vec!["filesystem/linux", "volume/host_path", "volume/sandbox_path"],
        name => vec![name],
    }
}

/// The names of `--isolation`, old ones as they are spelled today, and with what comes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(BTreeSet<String>);

impl Named {
    pub fn of(names: &[impl AsRef<str>]) -> Named {
        let given: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        let all = given.contains("cgroups/all");
        let counts = |name: &&str| !all || *name == "cgroups/all" || !name.starts_with("cgroups/");
        Named(given.iter().flat_map(|name| meant(name)).filter(counts).map(str::to_owned).collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// What kills the processes of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launcher {
    /// The process above them, which is told of each that is orphaned.
    Posix,
    /// A control group that stops all of them first.
    Linux,
    /// Linux where that can be had.
    #[default]
    Best,
}

/// The flags about isolators.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub names: Named,
    pub launcher: Launcher,
    /// `--cgroups_hierarchy`, `--cgroups_root`.
    pub hierarchy: PathBuf,
    pub root: String,
    /// `--cgroups_enable_cfs`, `--cgroups_limit_swap`.
    pub cfs: bool,
    pub limit_swap: bool,
    /// `--cgroups_pids_max`.
    pub pids_max: Option<u64>,
    /// `--cgroups_destroy_timeout`.
    pub destroy_timeout: Duration,
    /// `--allowed_devices`, as the kernel writes them.
    pub devices: Vec<String>,
    /// `--enforce_container_disk_quota`, `--container_disk_watch_interval`.
    pub disk_quota: bool,
    pub disk_interval: Duration,
    /// `--host_path_volume_force_creation`.
    pub forced_host_paths: Vec<PathBuf>,
    /// `--effective_capabilities`, `--bounding_capabilities`, by their Linux numbers.
    pub effective_capabilities: Option<BTreeSet<u8>>,
    pub bounding_capabilities: Option<BTreeSet<u8>>,
    /// `--seccomp_config_dir`, `--seccomp_profile_name`.
    pub seccomp_profiles: Option<PathBuf>,
    pub seccomp_profile: Option<String>,
    /// `--default_container_shm_size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--disallow_sharing_agent_ipc_namespace`, `--disallow_sharing_agent_pid_namespace`.
    pub own_ipc: bool,
    pub own_pids: bool,
    /// `--enforce_container_ports`, `--container_ports_watch_interval`, and the ports that are looked at, if not all.
    pub ports_enforced: bool,
    pub ports_interval: Duration,
    pub ports_looked_at: Option<Ranges>,
}

#[derive(Debug, thiserror::Error)]
pub enum IsolatorError {
    #[error("reading /proc/mounts")]
    Mounts(#[source] io::Error),
    #[error("there is no control group of '{0}' below {1}: it is not mounted, or not to be had")]
    NoController(&'static str, PathBuf),
    #[error("making the control group '{0}', for which one has to be root")]
    Root(String, #[source] io::Error),
    #[error("isolator '{0}' can only be had as root")]
    NotRoot(&'static str),
    #[error("the linux launcher needs a control group that stops processes, below {0}")]
    NoFreezer(PathBuf),
    #[error("isolator 'cgroups/devices': control groups of version 2 have no controller of devices")]
    NoDevices,
    #[error("isolator 'linux/seccomp': {0}")]
    Seccomp(String),
}

/// What the containers of one agent are held by.
#[derive(Clone, Debug)]
pub struct Isolators {
    settings: Settings,
    mounted: Vec<Mounted>,
}

impl Isolators {
    /// Finds what the names need on this machine.
    pub fn new(settings: Settings) -> Result<Isolators, IsolatorError> {
        let root = Uid::effective().is_root();
        let only_root = OTHERS.iter().find(|(name, needs_root)| *needs_root && settings.names.has(name));
        if let Some((name, _)) = only_root.filter(|_| !root) {
            return Err(IsolatorError::NotRoot(name));
        }
        // A profile that cannot be used shows now.
        seccomp::usual(&settings).map_err(IsolatorError::Seccomp)?;
        let mut isolators = Isolators { settings, mounted: Vec::new() };
        isolators.find_controllers()?;
        if !isolators.mounted.is_empty() {
            isolators.probe().map_err(|error| IsolatorError::Root(isolators.settings.root.clone(), error))?;
        }
        if isolators.settings.launcher != Launcher::Posix {
            let is_wanted = isolators.settings.launcher == Launcher::Linux;
            match isolators.with_freezer() {
                Ok(()) => info!("containers are stopped and killed by a control group"),
                Err(error) if is_wanted => return Err(error),
                Err(error) => info!(%error, "containers are killed process by process"),
            }
        }
        cgroups::remove_empty(&isolators.mounted, &isolators.settings.root);
        Ok(isolators)
    }

    fn find_controllers(&mut self) -> Result<(), IsolatorError> {
        let named = CONTROLLED.iter().filter(|(name, _)| self.settings.names.has(name));
        let needed: BTreeSet<&'static str> = named.flat_map(|(_, needs)| needs.iter().copied()).collect();
        if needed.is_empty() {
            return Ok(());
        }
        let whatever_there_is = self.settings.names.has("cgroups/all");
        let mounts = mounts()?;
        for controller in needed {
            match cgroups::find(&mounts, &self.settings.hierarchy, controller, lent) {
                Some(found) => self.mounted.push(found),
                // Version 2 counts with the controller of the cpus.
                None if controller == "cpuacct" || whatever_there_is => {}
                None if controller == "devices" => return Err(IsolatorError::NoDevices),
                None => {
                    return Err(IsolatorError::NoController(controller, self.settings.hierarchy.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whether groups can be made shows now, not with the first task.
    fn probe(&self) -> io::Result<()> {
        let name = format!("probe-{}", std::process::id());
        Group::make(&self.mounted, &self.settings.root, &name).and_then(|group| group.destroy(Duration::ZERO))
    }

    /// From now on containers have a group that stops them.
    fn with_freezer(&mut self) -> Result<(), IsolatorError> {
        let none = || IsolatorError::NoFreezer(self.settings.hierarchy.clone());
        let found = cgroups::find(&mounts()?, &self.settings.hierarchy, FREEZER, lent).ok_or_else(none)?;
        self.mounted.push(found);
        self.probe().map_err(|error| {
            self.mounted.pop();
            IsolatorError::Root(self.settings.root.clone(), error)
        })
    }

    /// What a container's first process does to itself, or why it cannot be launched. Reads the disk.
    pub fn confine(&self, place: &Place<'_>) -> Result<Confinement, String> {
        confinement::of(&self.settings, place)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The groups of a container, with what it may use. None if there is nothing to hold it by.
    pub fn prepare(&self, container: &str, allowed: &Allowed) -> io::Result<Option<Group>> {
        if self.mounted.is_empty() {
            return Ok(None);
        }
        let group = Group::make(&self.mounted, &self.settings.root, container)?;
        let devices = group.version("devices").map(|_| devices::settings(&self.settings.devices));
        let devices = devices.unwrap_or_default();
        let set = group.set(&self.settings_of(&group, allowed)).and_then(|()| group.set(&devices));
        if let Err(error) = set {
            let _ = group.destroy(Duration::ZERO);
            return Err(error);
        }
        Ok(Some(group))
    }

    /// The groups of a container that an earlier agent launched: nothing in there is forbidden anew that it may have
    /// at this moment. What cannot be set stays as it is.
    pub fn adopt(&self, container: &str, allowed: &Allowed) -> io::Result<Option<Group>> {
        if self.mounted.is_empty() {
            return Ok(None);
        }
        let group = Group::make(&self.mounted, &self.settings.root, container)?;
        if let Err(error) = self.update(&group, allowed) {
            warn!(container, %error, "what a container may use stays as it was");
        }
        Ok(Some(group))
    }

    /// It may use something else from now on.
    pub fn update(&self, group: &Group, allowed: &Allowed) -> io::Result<()> {
        let settings = self.settings_of(group, allowed);
        group.set(&cgroups::without_lower_bound(settings, group.memory_bound()))
    }

    /// What an earlier agent may have left of a container that nobody knows.
    pub fn destroy_leftover(&self, container: &str) -> io::Result<()> {
        match self.mounted.is_empty() {
            true => Ok(()),
            false => self.destroy(&Group::make(&self.mounted, &self.settings.root, container)?),
        }
    }

    /// Nothing is left of it afterwards.
    pub fn destroy(&self, group: &Group) -> io::Result<()> {
        group.destroy(self.settings.destroy_timeout)
    }

    fn settings_of(&self, group: &Group, allowed: &Allowed) -> Vec<Setting> {
        let mut settings = Vec::new();
        if let Some(version) = group.version("cpu") {
            settings.extend(limits::cpu(version, allowed, self.settings.cfs));
        }
        if let Some(version) = group.version("memory") {
            settings.extend(limits::memory(version, allowed, self.settings.limit_swap));
        }
        if let (Some(_), Some(most)) = (group.version("pids"), self.settings.pids_max) {
            settings.push(Setting { controller: "pids", file: "pids.max", value: most.to_string() });
        }
        settings
    }
}

fn mounts() -> Result<String, IsolatorError> {
    fs::read_to_string("/proc/mounts").map_err(IsolatorError::Mounts)
}

/// What a hierarchy of version 2 lends.
fn lent(top: &Path) -> String {
    fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_others() {
        let all = |names: &[&str]| Named::of(names).0.into_iter().collect::<Vec<_>>();
        assert_eq!(all(&["cgroups", "posix/disk"]), ["cgroups/cpu", "cgroups/mem", "disk/du"]);
        assert_eq!(
            all(&["filesystem/linux"]),
            ["filesystem/linux", "volume/host_path", "volume/sandbox_path"]
        );
        assert_eq!(all(&["cgroups/all", "cgroups/pids", "linux/nnp"]), ["cgroups/all", "linux/nnp"]);
    }

    #[test]
    fn names_are_known_or_refused() {
        for names in [
            "process",
            "posix/cpu,posix/mem",
            "cgroups",
            "cgroups/cpu, cgroups/mem,cgroups/pids",
            "cgroups/all",
            "cgroups/cpuset,cgroups/blkio,cgroups/devices,disk/du,filesystem/linux,linux/seccomp",
        ] {
            assert_eq!(check(names), Ok(()), "{names}");
        }
        assert_eq!(check("posix/cpu,network/cni"), Err("isolator 'network/cni' is not there yet".to_owned()));
        assert_eq!(
            check("process,disk/du,process"),
            Err("Duplicate entries found in --isolation flag 'process,disk/du,process'".to_owned())
        );
        assert!(check("filesystem/linux,filesystem/posix").unwrap_err().contains("multiple filesystem"));
        assert!(check("volume/host_path").unwrap_err().contains("'filesystem/linux'"));
        assert!(
            check("cgroups/everything").unwrap_err().starts_with("there is no isolator 'cgroups/everything'")
        );
    }
}
