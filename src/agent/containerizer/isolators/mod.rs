//! Isolators: what holds containers apart, by the names that `--isolation` knows.
//!
//! `limits` says what a container may use in the words of control groups, `cgroups` finds and writes those.
//! Absent as yet, and refused by name: all that is in `NOT_HERE`.

pub mod cgroups;
pub mod limits;
pub mod memory;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::cgroups::{Group, Mounted};
use self::limits::{Allowed, Setting};

/// What a container has anyway: no namespace and no control group.
const PLAIN: [&str; 5] = ["process", "posix", "posix/cpu", "posix/mem", "filesystem/posix"];

/// Names of 1.11 that mean nothing here yet. Source: `MesosContainerizer::create`, containerizer.cpp 1.11.
const NOT_HERE: &[&str] = &[
    "appc/runtime",
    "cgroups/blkio",
    "cgroups/cpuset",
    "cgroups/devices",
    "cgroups/hugetlb",
    "cgroups/net_cls",
    "cgroups/net_prio",
    "cgroups/perf_event",
    "disk/du",
    "disk/xfs",
    "docker/runtime",
    "docker/volume",
    "environment_secret",
    "filesystem/linux",
    "filesystem/shared",
    "gpu/nvidia",
    "linux/capabilities",
    "linux/devices",
    "linux/nnp",
    "linux/seccomp",
    "namespaces/ipc",
    "namespaces/pid",
    "network/cni",
    "network/port_mapping",
    "network/ports",
    "posix/disk",
    "posix/rlimits",
    "volume/csi",
    "volume/host_path",
    "volume/image",
    "volume/sandbox_path",
    "volume/secret",
];

/// Controllers that these names need. `cgroups` is the old name of the first two.
fn controllers(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        name if PLAIN.contains(&name) => &[],
        "cgroups" => &["cpu", "cpuacct", "memory"],
        "cgroups/cpu" => &["cpu", "cpuacct"],
        "cgroups/mem" => &["memory"],
        "cgroups/pids" => &["pids"],
        "cgroups/all" => &["cpu", "cpuacct", "memory", "pids"],
        _ => return None,
    })
}

/// Whether the isolator of that name holds containers by this controller.
pub fn needs(name: &str, controller: &str) -> bool {
    controllers(name).is_some_and(|controllers| controllers.contains(&controller))
}

/// Whether all names of `--isolation` mean something here.
pub fn check(names: &str) -> Result<(), String> {
    match names.split(',').map(str::trim).find(|name| controllers(name).is_none()) {
        None => Ok(()),
        Some(name) if NOT_HERE.contains(&name) => Err(format!("isolator '{name}' is not there yet")),
        Some(name) => Err(format!(
            "there is no isolator '{name}', expected some of {}, cgroups, cgroups/cpu, cgroups/mem, cgroups/pids, \
             cgroups/all",
            PLAIN.join(", ")
        )),
    }
}

/// The flags about control groups.
#[derive(Clone, Debug)]
pub struct Settings {
    pub names: Vec<String>,
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
}

#[derive(Debug, thiserror::Error)]
pub enum IsolatorError {
    #[error("reading /proc/mounts")]
    Mounts(#[source] io::Error),
    #[error("there is no control group of '{0}' below {1}: it is not mounted, or not to be had")]
    NoController(&'static str, PathBuf),
    #[error("making the control group '{0}', for which one has to be root")]
    Root(String, #[source] io::Error),
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
        let needed: BTreeSet<&'static str> =
            settings.names.iter().filter_map(|name| controllers(name)).flatten().copied().collect();
        let mut mounted = Vec::new();
        if !needed.is_empty() {
            let mounts = fs::read_to_string("/proc/mounts").map_err(IsolatorError::Mounts)?;
            let lent = |top: &Path| fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
            for controller in needed {
                match cgroups::find(&mounts, &settings.hierarchy, controller, lent) {
                    Some(found) => mounted.push(found),
                    // Version 2 counts with the controller of the cpus.
                    None if controller == "cpuacct" => {}
                    None => return Err(IsolatorError::NoController(controller, settings.hierarchy.clone())),
                }
            }
        }
        let isolators = Isolators { settings, mounted };
        if !isolators.mounted.is_empty() {
            // Whether that can be done shows now, not with the first task.
            let probe = format!("probe-{}", std::process::id());
            let root = &isolators.settings.root;
            let made =
                Group::make(&isolators.mounted, root, &probe).and_then(|group| group.destroy(Duration::ZERO));
            made.map_err(|error| IsolatorError::Root(root.clone(), error))?;
            cgroups::remove_empty(&isolators.mounted, root);
        }
        Ok(isolators)
    }

    /// The groups of a container, with what it may use. None if there is nothing to hold it by.
    pub fn prepare(&self, container: &str, allowed: &Allowed) -> io::Result<Option<Group>> {
        if self.mounted.is_empty() {
            return Ok(None);
        }
        let group = Group::make(&self.mounted, &self.settings.root, container)?;
        let set = group.set(&self.settings_of(&group, allowed));
        if let Err(error) = set {
            let _ = group.destroy(Duration::ZERO);
            return Err(error);
        }
        Ok(Some(group))
    }

    /// It may use something else from now on.
    pub fn update(&self, group: &Group, allowed: &Allowed) -> io::Result<()> {
        let settings = self.settings_of(group, allowed);
        group.set(&cgroups::without_lower_bound(settings, group.memory_bound()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_refused() {
        for names in [
            "process",
            "posix/cpu,posix/mem",
            "cgroups",
            "cgroups/cpu, cgroups/mem,cgroups/pids",
            "cgroups/all",
        ] {
            assert_eq!(check(names), Ok(()), "{names}");
        }
        assert_eq!(
            check("posix/cpu,filesystem/linux"),
            Err("isolator 'filesystem/linux' is not there yet".to_owned())
        );
        assert!(
            check("cgroups/everything").unwrap_err().starts_with("there is no isolator 'cgroups/everything'")
        );
    }
}
