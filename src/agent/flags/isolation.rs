//! The rows of flags that are about isolators, and what isolators are told by them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nix::unistd::Uid;

use super::Flags;
use crate::agent::containerizer::isolators::{
    Launcher, Named, Settings, capabilities, check, devices, ports,
};
use crate::flags::common;
use crate::flags::{Error, Flag, Kind, Value, Values};
use crate::resources::{Ranges, Resources, parse};

/// Source: `DEFAULT_PORTS`, slave/constants.hpp 1.11.
const DEFAULT_PORTS: (u64, u64) = (31_000, 32_000);

pub const ISOLATION: &[Flag] = &[
    Flag::with("isolation", Kind::Text, "process", "Isolation mechanism, may be one of: process, cgroups")
        .check(isolators),
    Flag::with("cgroups_hierarchy", Kind::Text, "/sys/fs/cgroup", "Root of the cgroup hierarchies."),
    Flag::with("cgroups_root", Kind::Text, "mesos", "Name of the cgroup that holds all containers."),
    Flag::with("cgroups_destroy_timeout", Kind::Duration, "1mins", "How long removing a cgroup may take."),
    Flag::with("cgroups_enable_cfs", Kind::Bool, "false", "Whether cpus are a hard limit (CFS quota)."),
    Flag::with("cgroups_limit_swap", Kind::Bool, "false", "Whether swap counts as memory."),
    Flag::unset(
        "cgroups_pids_max",
        Kind::Count,
        "The most processes of a container (cgroups/pids).\nAn addition to those of Mesos 1.11.",
    ),
    Flag::unset(
        "launcher",
        Kind::Text,
        "What kills containers: linux (a control group that stops them first) or posix\n\
         (process by process). Unless told, linux where that can be had.",
    )
    .check(launcher),
    Flag::unset(
        "allowed_devices",
        Kind::Json,
        "Devices that containers may use besides the usual ones, in JSON (cgroups/devices).",
    )
    .check(|value| json(value, devices::parse)),
    Flag::with(
        "container_disk_watch_interval",
        Kind::Duration,
        "15secs",
        "How often disk quotas are checked (disk/du, disk/xfs).",
    ),
    Flag::with(
        "enforce_container_disk_quota",
        Kind::Bool,
        "false",
        "Whether disk quotas are enforced (disk/du, disk/xfs).",
    ),
    Flag::unset(
        "host_path_volume_force_creation",
        Kind::Text,
        "Directories below which missing ones are created (volume/host_path).",
    ),
    Flag::unset("effective_capabilities", Kind::Json, "Capabilities of tasks, in JSON (linux/capabilities).")
        .old(&["allowed_capabilities"])
        .check(|value| json(value, capabilities::parse)),
    Flag::unset(
        "bounding_capabilities",
        Kind::Json,
        "The most capabilities of tasks, in JSON (linux/capabilities).",
    )
    .check(|value| json(value, capabilities::parse)),
    Flag::unset("seccomp_config_dir", Kind::Text, "Directory of seccomp profiles (linux/seccomp)."),
    Flag::unset("seccomp_profile_name", Kind::Text, "The usual seccomp profile (linux/seccomp)."),
    Flag::unset(
        "default_container_shm_size",
        Kind::Bytes,
        "Size of /dev/shm of a container (namespaces/ipc).",
    ),
    Flag::with(
        "disallow_sharing_agent_ipc_namespace",
        Kind::Bool,
        "false",
        "Whether every container has its own IPC namespace (namespaces/ipc).",
    ),
    Flag::with(
        "disallow_sharing_agent_pid_namespace",
        Kind::Bool,
        "false",
        "Whether every container has its own pid namespace (namespaces/pid).",
    ),
    Flag::with(
        "container_ports_watch_interval",
        Kind::Duration,
        "30secs",
        "How often listening ports are checked (network/ports).",
    ),
    Flag::with(
        "check_agent_port_range_only",
        Kind::Bool,
        "false",
        "Whether only ports of the agent are checked (network/ports).",
    ),
    Flag::with(
        "enforce_container_ports",
        Kind::Bool,
        "false",
        "Whether tasks on ports of others are killed (network/ports).",
    ),
    Flag::unset("container_ports_isolated_range", Kind::Text, "The ports that are checked (network/ports).")
        .check(|value| ports::parse(&value.to_string()).map(drop)),
];

fn launcher(value: &Value) -> Result<(), String> {
    common::one_of(value, &["posix", "linux"])
}

fn isolators(value: &Value) -> Result<(), String> {
    check(&value.to_string())
}

fn json<T>(value: &Value, read: impl Fn(&serde_json::Value) -> Result<T, String>) -> Result<(), String> {
    match value {
        Value::Json(json) => read(json).map(drop),
        other => Err(format!("expected JSON, got '{other}'")),
    }
}

/// Whether these flags go together.
pub(super) fn can_be_read(values: &Values) -> Result<(), Error> {
    if let (Some(effective), Some(bounding)) =
        (capabilities(values, "effective_capabilities"), capabilities(values, "bounding_capabilities"))
        && !effective.is_subset(&bounding)
    {
        let why = "Allowed capabilities are not a subset of the bounding capabilites";
        return Err(Error::invalid("effective_capabilities", why));
    }
    let has_range = values.text("container_ports_isolated_range").is_some();
    if has_range && values.bool("check_agent_port_range_only") {
        let why = "Only one of `--check_agent_port_range_only` or '--container_ports_isolated_range` \
                   should be specified";
        return Err(Error::invalid("container_ports_isolated_range", why));
    }
    let has = |name: &str| values.list("isolation").iter().any(|given| given == name);
    if has("linux/seccomp") && values.text("seccomp_config_dir").is_none() {
        return Err(Error::invalid("isolation", "Missing required `--seccomp_config_dir` flag"));
    }
    Ok(())
}

/// Says in `/flags` what is used where nobody said. Source: `LinuxLauncher::available`, linux_launcher.cpp 1.11.
pub(super) fn settle_launcher(values: &mut Values) -> Launcher {
    match values.text("launcher").as_deref() {
        Some("posix") => return Launcher::Posix,
        Some(_) => return Launcher::Linux,
        None => {}
    }
    let name = if Uid::effective().is_root() { "linux" } else { "posix" };
    if let Some(row) = ISOLATION.iter().find(|row| row.name == "launcher") {
        values.settle(row, Value::Text(name.to_owned()));
    }
    Launcher::Best
}

pub(super) fn settings(flags: &Flags) -> Settings {
    let values = &flags.values;
    let devices = values.maybe_json("allowed_devices").and_then(|list| devices::parse(&list).ok());
    Settings {
        names: Named::of(&flags.isolation),
        launcher: flags.launcher,
        hierarchy: values.text("cgroups_hierarchy").map(PathBuf::from).unwrap_or_default(),
        root: values.text("cgroups_root").unwrap_or_default(),
        cfs: values.bool("cgroups_enable_cfs"),
        limit_swap: values.bool("cgroups_limit_swap"),
        pids_max: values.maybe_count("cgroups_pids_max"),
        destroy_timeout: values.duration("cgroups_destroy_timeout"),
        devices: devices.unwrap_or_default(),
        disk_quota: values.bool("enforce_container_disk_quota"),
        disk_interval: values.duration("container_disk_watch_interval"),
        forced_host_paths: paths(values, "host_path_volume_force_creation"),
        effective_capabilities: capabilities(values, "effective_capabilities"),
        bounding_capabilities: capabilities(values, "bounding_capabilities"),
        seccomp_profiles: values.text("seccomp_config_dir").map(PathBuf::from),
        seccomp_profile: values.text("seccomp_profile_name"),
        shm_size: values.maybe_bytes("default_container_shm_size"),
        own_ipc: values.bool("disallow_sharing_agent_ipc_namespace"),
        own_pids: values.bool("disallow_sharing_agent_pid_namespace"),
        ports_enforced: values.bool("enforce_container_ports"),
        ports_interval: values.duration("container_ports_watch_interval"),
        ports_looked_at: ports_looked_at(flags),
    }
}

/// None: all.
fn ports_looked_at(flags: &Flags) -> Option<Ranges> {
    if let Some(text) = flags.values.text("container_ports_isolated_range") {
        return ports::parse(&text).ok();
    }
    if !flags.values.bool("check_agent_port_range_only") {
        return None;
    }
    let given = flags.resources.clone().unwrap_or_default();
    let given = parse::parse_list(&given, &flags.default_role).unwrap_or_default();
    match given.iter().any(|resource| resource.name == "ports") {
        true => Some(Resources::from_protos(&given).unwrap_or_default().ports()),
        // As an agent has them that is told nothing else.
        false => Ranges::new([DEFAULT_PORTS]).ok(),
    }
}

/// What was read before.
fn capabilities(values: &Values, name: &str) -> Option<BTreeSet<u8>> {
    values.maybe_json(name).and_then(|json| capabilities::parse(&json).ok())
}

/// Separated by colons.
fn paths(values: &Values, name: &str) -> Vec<PathBuf> {
    let text = values.text(name).unwrap_or_default();
    text.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}
