//! Volumes of the tasks of a group: folders of the executor's sandbox, which several of them may see. Pure.
//!
//! Source: isolators/volume/sandbox_path.cpp 1.11, as it is without `filesystem/linux`: a link. What else a task's
//! container may have needs containers of its own within the executor's, which are not here yet.

use std::path::{Component, Path};

use crate::proto::linux_info::IpcMode;
use crate::proto::volume::source::{self, sandbox_path};
use crate::proto::{ContainerInfo, TaskInfo, Volume, container_info};

/// What a task sees in its sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Below the task's sandbox.
    pub at: String,
    /// Below the executor's; made if it is not there.
    pub to: String,
}

/// What a task's container comes to, or why it cannot be had.
pub fn links(task: &TaskInfo) -> Result<Vec<Link>, String> {
    let Some(container) = &task.container else { return Ok(Vec::new()) };
    if let Some(what) = beyond(container) {
        return Err(format!("{what} of a task of a group are not there yet"));
    }
    container.volumes.iter().map(link).collect()
}

fn beyond(container: &ContainerInfo) -> Option<&'static str> {
    let linux = container.linux_info.clone().unwrap_or_default();
    #[expect(deprecated, reason = "old frameworks say `capability_info`")]
    let capabilities = [&linux.capability_info, &linux.effective_capabilities, &linux.bounding_capabilities];
    let asked = [
        (container.r#type() != container_info::Type::Mesos, "Docker containers"),
        (container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()), "Container images"),
        (container.tty_info.is_some(), "Terminals"),
        (container.rlimit_info.as_ref().is_some_and(|info| !info.rlimits.is_empty()), "Resource limits"),
        (capabilities.iter().any(|info| info.is_some()), "Capabilities"),
        (linux.seccomp.as_ref().is_some_and(|seccomp| !seccomp.unconfined()), "Seccomp profiles"),
        (linux.ipc_mode() == IpcMode::Private, "IPC namespaces"),
    ];
    asked.into_iter().find_map(|(asked, what)| asked.then_some(what))
}

fn link(volume: &Volume) -> Result<Link, String> {
    let at = &volume.container_path;
    let beyond = || Err(format!("The volume at '{at}': only SANDBOX_PATH volumes PARENT type are there yet"));
    let Some(said) = volume.source.as_ref().filter(|said| said.r#type() == source::Type::SandboxPath) else {
        return beyond();
    };
    let Some(path) = &said.sandbox_path else { return beyond() };
    match path.r#type() {
        sandbox_path::Type::Parent => {}
        sandbox_path::Type::Self_ if !at.starts_with('/') => {
            return Err("'container_path' is relative for SANDBOX_PATH volume SELF type".to_owned());
        }
        sandbox_path::Type::Self_ => return beyond(),
        sandbox_path::Type::Unknown => return Err("Unknown SANDBOX_PATH volume type".to_owned()),
    }
    if path.path.starts_with('/') {
        return Err(format!("Path '{}' in SANDBOX_PATH volume is absolute", path.path));
    }
    if at.starts_with('/') {
        return Err(format!("The volume at '{at}': an absolute path is not there yet for a task of a group"));
    }
    for path in [at, &path.path] {
        if !stays_inside(path) {
            return Err(format!("Path '{path}' in SANDBOX_PATH volume is not below the sandbox"));
        }
    }
    Ok(Link { at: at.clone(), to: path.path.clone() })
}

fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{LinuxInfo, SeccompInfo, volume};

    fn task(linux_info: Option<LinuxInfo>, volumes: &[(&str, sandbox_path::Type, &str)]) -> TaskInfo {
        let volume = |(at, kind, path): &(&str, sandbox_path::Type, &str)| Volume {
            container_path: (*at).to_owned(),
            source: Some(volume::Source {
                r#type: Some(source::Type::SandboxPath as i32),
                sandbox_path: Some(source::SandboxPath {
                    r#type: Some(*kind as i32),
                    path: (*path).to_owned(),
                }),
                ..volume::Source::default()
            }),
            ..Volume::default()
        };
        let container = ContainerInfo {
            r#type: container_info::Type::Mesos as i32,
            volumes: volumes.iter().map(volume).collect(),
            linux_info,
            ..ContainerInfo::default()
        };
        TaskInfo { container: Some(container), ..TaskInfo::default() }
    }

    #[test]
    fn tasks_share_folders_of_their_executor() {
        use sandbox_path::Type::{Parent, Self_};
        assert_eq!(links(&TaskInfo::default()), Ok(Vec::new()));
        let link = Link { at: "data".to_owned(), to: "shared/data".to_owned() };
        assert_eq!(links(&task(None, &[("data", Parent, "shared/data")])), Ok(vec![link]));
        for (volume, why) in [
            (("data", Self_, "data"), "relative for SANDBOX_PATH volume SELF"),
            (("/mnt", Parent, "data"), "an absolute path"),
            (("data", Parent, "/etc"), "is absolute"),
            (("data", Parent, "../other"), "not below the sandbox"),
            (("../data", Parent, "data"), "not below the sandbox"),
            (("", Parent, "data"), "not below the sandbox"),
        ] {
            let refused = links(&task(None, &[volume])).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn what_would_confine_a_task_is_not_left_out() {
        let linux = |seccomp| Some(LinuxInfo { seccomp: Some(seccomp), ..LinuxInfo::default() });
        let named = SeccompInfo { profile_name: Some("strict".to_owned()), ..SeccompInfo::default() };
        let refused = links(&task(linux(named), &[])).unwrap_err();
        assert_eq!(refused, "Seccomp profiles of a task of a group are not there yet");
        let none = SeccompInfo { unconfined: Some(true), ..SeccompInfo::default() };
        assert_eq!(links(&task(linux(none), &[])), Ok(Vec::new()));
    }
}
