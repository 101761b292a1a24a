//! Volumes of a container that are folders or files of its machine or its sandbox.
//!
//! Source: isolators/volume/host_path.cpp and sandbox_path.cpp 1.11. `volume.host_path` without `source` means the
//! one or the other, by whether it is absolute.

use std::path::{Component, Path, PathBuf};

use procfs::process::{MountInfo, MountOptFields, Process};
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::proto::volume::source::{self, sandbox_path};
use crate::proto::{Volume, mount_propagation, volume};

/// One place shown at another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: Spot,
    pub target: Spot,
    pub read_only: bool,
    /// What is mounted below it goes both ways: between us and the mount that the source is in, which is this one.
    pub both_ways: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    /// It is there.
    At(PathBuf),
    /// Below this folder, whose user may do there as he likes: no link is followed. What is missing is made, and
    /// belongs to whom the folder belongs to.
    Below(PathBuf, PathBuf),
}

pub fn mounts(settings: &Settings, sandbox: &Path, volumes: &[Volume]) -> Result<Vec<Mount>, String> {
    volumes.iter().map(|volume| mount(settings, sandbox, volume)).collect()
}

fn mount(settings: &Settings, sandbox: &Path, volume: &Volume) -> Result<Mount, String> {
    let isolator = |name: &str| match settings.names.has(name) {
        true => Ok(()),
        false => Err(format!(
            "The volume at '{}' needs the isolator '{name}', which this agent does not run",
            volume.container_path
        )),
    };
    let (source, both_ways) = match source(volume)? {
        Source::Host { path, both_ways } => {
            isolator("volume/host_path")?;
            let found = host_path(settings, path)?;
            let above = both_ways.then(|| shared_mount(&found, &own_mounts()?)).transpose()?;
            (Spot::At(found), above)
        }
        Source::Sandbox(path) => {
            isolator("volume/sandbox_path")?;
            if !stays_inside(path) {
                return Err(format!("Path '{path}' in SANDBOX_PATH volume is not below the sandbox"));
            }
            if !volume.container_path.starts_with('/') {
                return Err("'container_path' is relative for SANDBOX_PATH volume SELF type".to_owned());
            }
            if !settings.names.has("filesystem/linux") {
                return Err(
                    "The 'filesystem/linux' isolator must be enabled to support SANDBOX_PATH volume \
                            with absolute container path"
                        .to_owned(),
                );
            }
            (Spot::Below(sandbox.to_owned(), path.into()), None)
        }
    };
    let target = Path::new(&volume.container_path);
    let target = match target.is_absolute() {
        true if target.exists() => Spot::At(target.to_owned()),
        true => {
            return Err(format!(
                "Mount point '{}' is an absolute path. It must exist if the container shares the host filesystem",
                target.display()
            ));
        }
        false if stays_inside(&volume.container_path) => Spot::Below(sandbox.to_owned(), target.to_owned()),
        false => return Err(format!("Mount point '{}' is not below the sandbox", target.display())),
    };
    Ok(Mount { source, target, read_only: volume.mode() == volume::Mode::Ro, both_ways })
}

/// What a volume shows.
enum Source<'a> {
    Host { path: &'a str, both_ways: bool },
    Sandbox(&'a str),
}

fn source(volume: &Volume) -> Result<Source<'_>, String> {
    if volume.image.is_some() {
        return Err("Volumes of images are not there yet".to_owned());
    }
    if let Some(path) = &volume.host_path {
        let is_absolute = path.starts_with('/');
        return Ok(if is_absolute { Source::Host { path, both_ways: false } } else { Source::Sandbox(path) });
    }
    let missing = || format!("The source of the volume at '{}' is incomplete", volume.container_path);
    let said = volume.source.as_ref().ok_or_else(missing)?;
    match said.r#type() {
        source::Type::HostPath => {
            let host = said.host_path.as_ref().ok_or_else(missing)?;
            let propagation = host.mount_propagation.as_ref().map(|propagation| propagation.mode());
            let both_ways = propagation == Some(mount_propagation::Mode::Bidirectional);
            match host.path.starts_with('/') {
                true => Ok(Source::Host { path: &host.path, both_ways }),
                false => Err(format!("Path '{}' in HOST_PATH volume is not absolute", host.path)),
            }
        }
        source::Type::SandboxPath => {
            let own = said.sandbox_path.as_ref().ok_or_else(missing)?;
            if own.path.starts_with('/') {
                return Err(format!("Path '{}' in SANDBOX_PATH volume is absolute", own.path));
            }
            match own.r#type() {
                sandbox_path::Type::Self_ => Ok(Source::Sandbox(&own.path)),
                sandbox_path::Type::Parent => {
                    Err("SANDBOX_PATH volume PARENT type only works for nested container".to_owned())
                }
                sandbox_path::Type::Unknown => Err("Unknown SANDBOX_PATH volume type".to_owned()),
            }
        }
        other => Err(format!("Volumes of the type {} are not there yet", other.as_str_name())),
    }
}

fn own_mounts() -> Result<Vec<MountInfo>, String> {
    let read = Process::myself().and_then(|process| process.mountinfo());
    read.map(|mounts| mounts.0).map_err(|error| format!("Failed to read mount table: {error}"))
}

/// The mount that a path is in, which must be one that tells others what is mounted below it.
fn shared_mount(path: &Path, mounts: &[MountInfo]) -> Result<PathBuf, String> {
    let real = path.canonicalize();
    let real =
        real.map_err(|error| format!("Failed to get the realpath of '{}': {error}", path.display()))?;
    // Of those at the same place, the last one is on top.
    let above = mounts.iter().filter(|mount| real.starts_with(&mount.mount_point));
    let above = above.max_by_key(|mount| mount.mount_point.components().count());
    let above =
        above.ok_or_else(|| format!("Cannot find the mount containing host path '{}'", path.display()))?;
    match above.opt_fields.iter().any(|field| matches!(field, MountOptFields::Shared(_))) {
        true => Ok(above.mount_point.clone()),
        false => Err(format!(
            "Cannot setup bidirectional mount propagation for host path '{}' because it is not under a shared \
             mount",
            path.display()
        )),
    }
}

/// Missing ones are made below `--host_path_volume_force_creation`.
fn host_path(settings: &Settings, path: &str) -> Result<PathBuf, String> {
    let found = PathBuf::from(path);
    if found.exists() {
        return Ok(found);
    }
    if settings.forced_host_paths.is_empty() {
        return Err(format!("Path '{path}' in HOST_PATH volume does not exist"));
    }
    let may = found.components().all(|part| part != Component::ParentDir)
        && settings.forced_host_paths.iter().any(|above| found.starts_with(above));
    if !may {
        return Err(format!(
            "Path '{path}' in HOST_PATH volume does not exist and is not whitelisted for creation"
        ));
    }
    std::fs::create_dir_all(&found)
        .map_err(|error| format!("Failed to create the host path at '{path}': {error}"))?;
    Ok(found)
}

fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::super::Named;
    use super::*;
    use procfs::FromBufRead as _;

    const ALL: [&str; 3] = ["filesystem/linux", "volume/host_path", "volume/sandbox_path"];

    fn found(names: &[&str], host_path: &str, container_path: &str) -> Result<Mount, String> {
        let volume = Volume {
            mode: volume::Mode::Ro as i32,
            container_path: container_path.to_owned(),
            host_path: Some(host_path.to_owned()),
            ..Volume::default()
        };
        let settings = Settings { names: Named::of(names), ..Settings::default() };
        mount(&settings, Path::new("/sandbox"), &volume)
    }

    fn in_sandbox(path: &str) -> Spot {
        Spot::Below("/sandbox".into(), path.into())
    }

    #[test]
    fn paths_of_the_host_are_shown_where_they_may_be() {
        let etc = found(&ALL, "/etc", "etc").unwrap();
        assert_eq!((etc.source, etc.target), (Spot::At("/etc".into()), in_sandbox("etc")));
        assert!(etc.read_only && etc.both_ways.is_none());
        assert_eq!(found(&ALL, "/etc", "/tmp").unwrap().target, Spot::At("/tmp".into()));
        assert_eq!(
            found(&ALL, "/no/such", "a").unwrap_err(),
            "Path '/no/such' in HOST_PATH volume does not exist"
        );
        assert!(found(&ALL, "/etc", "/no/such").unwrap_err().contains("It must exist"));
        assert!(found(&ALL, "/etc", "../etc").unwrap_err().contains("not below the sandbox"));
        assert!(found(&["process"], "/etc", "etc").unwrap_err().contains("'volume/host_path'"));
    }

    #[test]
    fn paths_of_the_sandbox_stay_in_it() {
        assert_eq!(found(&ALL, "data", "/tmp").unwrap().source, in_sandbox("data"));
        assert!(found(&ALL, "../data", "/tmp").unwrap_err().contains("not below the sandbox"));
        assert!(found(&ALL, "data", "there").unwrap_err().contains("relative"));
        assert!(found(&ALL[2..], "data", "/tmp").unwrap_err().contains("'filesystem/linux'"));
    }

    #[test]
    fn only_a_shared_mount_goes_both_ways() {
        let table = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     23 22 0:20 / /tmp rw,relatime - tmpfs tmpfs rw\n\
                     24 22 0:21 / /proc rw,relatime shared:2 - proc proc rw\n";
        let mounts = procfs::process::MountInfos::from_buf_read(table.as_bytes()).unwrap().0;
        assert_eq!(shared_mount(Path::new("/etc"), &mounts), Ok("/".into()));
        assert_eq!(shared_mount(Path::new("/proc/sys"), &mounts), Ok("/proc".into()));
        let why = shared_mount(Path::new("/tmp"), &mounts).unwrap_err();
        assert!(why.contains("host path '/tmp' because it is not under a shared mount"), "{why}");
    }
}
