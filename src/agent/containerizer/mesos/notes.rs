//! What is noted of a container for a later agent: its first process, and how that ended.
//!
//! Nothing is synced: notes are of use only as long as the machine runs, and so does what the kernel has of them.
//! A process is known by its pid, the time it was started, and the boot of the machine, so that another process
//! that got its pid is not taken for it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::supervisor;
use crate::agent::paths;
use crate::base::end::End;
use crate::posix::{boot, tree};

/// How often a folder is made again that is removed meanwhile.
const TRIES: usize = 10;

/// A process that is not our child.
pub struct Process {
    pid: i32,
    descriptor: AsyncFd<OwnedFd>,
}

/// What notes lead to.
pub enum Found {
    Runs(Process),
    /// How, if somebody left that.
    Ended(Option<End>),
    /// The machine was started anew since.
    Rebooted,
}

impl Process {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn terminate(&self) {
        // It may have ended.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::TERM);
    }

    /// Until it has ended.
    pub async fn wait(&self) -> io::Result<()> {
        let _ready = self.descriptor.ready(Interest::READABLE).await?;
        Ok(())
    }
}

/// Makes the folder that notes go into.
pub fn prepare(meta: &Path) -> io::Result<()> {
    let pid = paths::forked_pid(meta);
    let folder = pid.parent().unwrap_or(meta);
    // Folders above are removed when a container beside this one goes: perhaps right now.
    (0..TRIES).find_map(|_| fs::create_dir_all(folder).ok()).map_or_else(|| fs::create_dir_all(folder), Ok)
}

/// Notes the first process, which runs and is our child.
pub fn write(meta: &Path, pid: i32) -> io::Result<()> {
    let started = tree::started(pid).ok_or(io::ErrorKind::NotFound)?;
    let text = format!("{pid} {started} {}\n", boot::id().unwrap_or_default());
    let path = paths::forked_pid(meta);
    // Removed meanwhile if the last container beside it went.
    fs::write(&path, &text).or_else(|_| prepare(meta).and_then(|()| fs::write(&path, &text)))
}

/// How the first process ended, if it left that.
pub fn status(meta: &Path) -> Option<End> {
    supervisor::read_status(&fs::read_to_string(paths::status(meta)).ok()?)
}

/// Follows the notes to a process. Must be called within a tokio runtime.
pub async fn find(meta: &Path) -> Found {
    let Ok(text) = fs::read_to_string(paths::forked_pid(meta)) else { return Found::Ended(status(meta)) };
    let mut words = text.split_ascii_whitespace();
    let (pid, started, boot) = (words.next(), words.next(), words.next());
    if boot.is_some() && boot::id().is_some_and(|id| Some(&*id) != boot) {
        return Found::Rebooted;
    }
    let pid = pid.and_then(|word| word.parse::<i32>().ok());
    let started = started.and_then(|word| word.parse::<u64>().ok());
    match pid.zip(started).and_then(|(pid, started)| open(pid, started)) {
        Some(process) => Found::Runs(process),
        None => Found::Ended(status(meta)),
    }
}

fn open(pid: i32, started: u64) -> Option<Process> {
    let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
    // Asked only now: the descriptor holds on to the process that has the pid at this time.
    if tree::started(pid) != Some(started) {
        return None;
    }
    // SAFETY: the descriptor is owned by what it is put into, which closes it and nobody else.
    let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.ok()?;
    Some(Process { pid, descriptor })
}

/// Removes what was noted, and the folders above that hold nothing else.
pub async fn forget(meta: &Path) {
    let meta = meta.to_owned();
    let remove = move || {
        let _ = fs::remove_dir_all(&meta);
        // runs, the executor's, executors, the framework's
        for folder in meta.ancestors().skip(1).take(4) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    };
    let _ = tokio::task::spawn_blocking(remove).await;
}

/// All places with notes below the folder of all agents, whoever made them. Reads the disk.
pub fn all(agents: &Path) -> Vec<PathBuf> {
    let mut places = vec![agents.to_owned()];
    for between in [None, Some("frameworks"), Some("executors"), Some("runs")] {
        let below = |place: &PathBuf| folders(&between.map_or(place.clone(), |name| place.join(name)));
        places = places.iter().flat_map(below).collect();
    }
    places
}

/// Folders proper: the links called `latest` lead to others of them.
fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let proper = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    proper.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_found_by_more_than_its_pid() {
        let meta = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        prepare(meta.path()).unwrap();
        write(meta.path(), pid).unwrap();
        let Found::Runs(found) = find(meta.path()).await else { panic!("it runs") };
        assert_eq!(found.pid(), pid);

        let path = paths::forked_pid(meta.path());
        let text = fs::read_to_string(&path).unwrap();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let started: u64 = words[1].parse().unwrap();
        fs::write(&path, format!("{pid} {} {}", started + 1, words[2])).unwrap();
        assert!(matches!(find(meta.path()).await, Found::Ended(None)), "another process has its pid");
        fs::write(&path, format!("{pid} {started} another-boot")).unwrap();
        assert!(matches!(find(meta.path()).await, Found::Rebooted));
        for length in 0..text.len() - 1 {
            fs::write(&path, &text[..length]).unwrap();
            // Never another process.
            assert!(!matches!(find(meta.path()).await, Found::Runs(found) if found.pid() != pid));
        }
        fs::write(paths::status(meta.path()), "256\n").unwrap();
        fs::write(&path, "noise").unwrap();
        assert!(matches!(find(meta.path()).await, Found::Ended(Some(End::Code(1)))));

        found.terminate();
        found.wait().await.unwrap();
        child.wait().unwrap();
        fs::write(&path, text).unwrap();
        assert!(matches!(find(meta.path()).await, Found::Ended(Some(End::Code(1)))));
    }

    #[tokio::test]
    async fn notes_are_found_and_removed_with_their_folders() {
        let top = tempfile::tempdir().unwrap();
        let agents = top.path().join("slaves");
        let run = |executor: &str| agents.join("a/frameworks/f/executors").join(executor).join("runs/c");
        prepare(&run("one")).unwrap();
        prepare(&run("two")).unwrap();
        std::os::unix::fs::symlink(agents.join("a"), agents.join("latest")).unwrap();
        let mut found = all(&agents);
        found.sort();
        assert_eq!(found, [run("one"), run("two")]);
        forget(&run("one")).await;
        assert_eq!(all(&agents), [run("two")]);
        forget(&run("two")).await;
        assert!(agents.join("a/frameworks").is_dir() && !agents.join("a/frameworks/f").exists());
    }
}
