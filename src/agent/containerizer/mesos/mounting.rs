//! What is mounted in a container's mount namespace.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{Gid, Uid, fchown};
use procfs::process::Process;

use super::init::{InitError, tried};
use crate::agent::containerizer::isolators::volumes::{Mount, Spot};

/// From now on what is mounted outside is seen here, and nothing of this outside, but below volumes that say so.
pub(super) fn part(volumes: &[Mount]) -> Result<(), InitError> {
    let kept: Vec<&PathBuf> = volumes.iter().filter_map(|volume| volume.both_ways.as_ref()).collect();
    if kept.is_empty() {
        let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
        return change(Path::new("/"), flags).map_err(tried("part from the mounts outside"));
    }
    let mounts = Process::myself().and_then(|process| process.mountinfo());
    let mounts =
        mounts.map_err(|error| InitError::Do("read mount table".to_owned(), io::Error::other(error)))?;
    for point in mounts.0.iter().map(|mount| &mount.mount_point).filter(|point| !kept.contains(point)) {
        match change(point, MsFlags::MS_SLAVE) {
            // It is hidden below another one, and nobody can mount anything there.
            Ok(()) | Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOTDIR) => {}
            Err(error) => return Err(tried(format!("part from the mount '{}'", point.display()))(error)),
        }
    }
    Ok(())
}

fn change(target: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
}

/// A file system that is made by the kernel.
pub(super) fn put(kind: &str, target: &Path, flags: MsFlags, data: Option<&str>) -> Result<(), InitError> {
    mount(Some(kind), target, Some(kind), flags, data)
        .map_err(tried(format!("mount {kind} at '{}'", target.display())))
}

/// A volume at its place.
pub(super) fn show(volume: &Mount) -> Result<(), InitError> {
    let Mount { source, target, read_only, .. } = volume;
    if source == target {
        return Ok(());
    }
    let path = |spot: &Spot| match spot {
        Spot::At(path) => path.clone(),
        Spot::Below(folder, path) => folder.join(path),
    };
    let shown = format!("show '{}' at '{}'", path(source).display(), path(target).display());
    bind(source, target, *read_only).map_err(tried(shown))
}

fn bind(source: &Spot, target: &Spot, read_only: bool) -> io::Result<()> {
    let source = find(source, Kind::Folder)?;
    let kind = if is(&fstat(&source)?, SFlag::S_IFDIR) { Kind::Folder } else { Kind::File };
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let point = find(target, kind)?;
    mount(Some(&handle(&source)), &handle(&point), None::<&str>, flags, None::<&str>)?;
    if read_only {
        // Found anew, it is what was just mounted. What was forbidden there stays so.
        let mounted = find(target, kind)?;
        let kept = [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        ];
        let has = fstatvfs(&mounted)?.flags();
        let kept = kept.iter().filter(|(flag, _)| has.contains(*flag)).map(|(_, flag)| *flag);
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        change(&handle(&mounted), kept.fold(flags, |flags, flag| flags | flag))?;
    }
    Ok(())
}

/// A path that means what is open, whatever its own path leads to meanwhile.
fn handle(open: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

/// What is made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

fn find(spot: &Spot, kind: Kind) -> io::Result<OwnedFd> {
    match spot {
        Spot::At(path) => Ok(open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?),
        Spot::Below(folder, path) => below(folder, path, kind),
    }
}

/// One step after the other, none of them over a link: the folder belongs to a user, and we are root.
fn below(folder: &Path, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let mut at = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let of = fstat(&at)?;
    let owner = (Uid::from_raw(of.st_uid), Gid::from_raw(of.st_gid));
    let mut names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut next = names.next();
    while let Some(name) = next {
        next = names.next();
        at = step(&at, name, if next.is_some() { Kind::Folder } else { kind }, owner)?;
        let found = fstat(&at)?;
        if is(&found, SFlag::S_IFLNK) {
            return Err(Errno::ELOOP.into());
        }
        if next.is_some() && !is(&found, SFlag::S_IFDIR) {
            return Err(Errno::ENOTDIR.into());
        }
    }
    Ok(at)
}

fn step(at: &OwnedFd, name: &OsStr, kind: Kind, (user, group): (Uid, Gid)) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(at, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {}
        found => return found,
    }
    let made = match kind {
        Kind::Folder => {
            mkdirat(at, name, Mode::from_bits_truncate(0o755))?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(at, name, flags, Mode::empty())?
        }
        Kind::File => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            openat(at, name, flags, Mode::from_bits_truncate(0o644))?
        }
    };
    fchown(&made, Some(user), Some(group))?;
    openat(at, name, flags, Mode::empty())
}

fn is(found: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_link_leads_out_of_a_sandbox() {
        let top = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (top.path().join("sandbox"), top.path().join("outside"));
        fs::create_dir(&sandbox).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, sandbox.join("link")).unwrap();
        for path in ["link", "link/deep", "./link/../link/deep"] {
            assert!(below(&sandbox, Path::new(path), Kind::Folder).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        below(&sandbox, Path::new("own/./deep"), Kind::Folder).unwrap();
        below(&sandbox, Path::new("own/file"), Kind::File).unwrap();
        assert!(sandbox.join("own/deep").is_dir() && sandbox.join("own/file").is_file());
        below(&sandbox, Path::new("own/file"), Kind::Folder).unwrap();
        assert!(below(&sandbox, Path::new("own/file/more"), Kind::Folder).is_err());
    }
}
