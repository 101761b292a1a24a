//! Trees of processes: finding, signalling and measuring all that came out of one process.
//!
//! A tree follows children, groups and sessions, so that it holds what has been orphaned but stayed in its
//! session. What left its session and lost its parents is found only below a subreaper
//! (`agent::containerizer::supervisor`).
//!
//! Source: `os::killtree`, stout 1.11.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::FromRead;
use procfs::process::Stat;

/// Rounds of looking for processes that were forked while their parents were being stopped.
const ROUNDS: usize = 100;

/// Rounds that must have found nothing new.
const QUIET: usize = 2;

/// A process, as one reading of /proc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub zombie: bool,
    /// Clock ticks spent in user and kernel mode.
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub resident_pages: u64,
    pub threads: u32,
}

/// All processes by pid.
pub type Processes = BTreeMap<i32, Process>;

/// Reads /proc once. What ends meanwhile is left out.
pub fn processes() -> io::Result<Processes> {
    let mut all = Processes::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if let Some(process) = process(pid) {
            all.insert(pid, process);
        }
    }
    Ok(all)
}

/// `top` and what is below it, without a look at the rest of the machine; all of it where the kernel does not list
/// children (`CONFIG_PROC_CHILDREN`). One that ends during the reading may hide another: who must have them all looks
/// again.
pub fn below(top: i32) -> io::Result<Processes> {
    static LISTED: LazyLock<bool> = LazyLock::new(|| Path::new("/proc/thread-self/children").exists());
    if !*LISTED || process(top).is_none() {
        return processes();
    }
    let mut all = Processes::new();
    let mut queue = vec![top];
    while let Some(pid) = queue.pop() {
        if let Some(process) = process(pid)
            && all.insert(pid, process).is_none()
        {
            queue.extend(children(pid));
        }
    }
    Ok(all)
}

/// What the threads of a process started, or adopted.
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn process(pid: i32) -> Option<Process> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = Stat::from_read(text.as_slice()).ok()?;
    Some(Process {
        pid,
        parent: stat.ppid,
        group: stat.pgrp,
        session: stat.session,
        zombie: matches!(stat.state, 'Z' | 'X'),
        user_ticks: stat.utime,
        system_ticks: stat.stime,
        resident_pages: stat.rss,
        threads: u32::try_from(stat.num_threads).unwrap_or(0),
    })
}

/// When a process was started, in clock ticks since the machine was; none if it has ended.
pub fn started(pid: i32) -> Option<u64> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = Stat::from_read(text.as_slice()).ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

/// The pids of the tree of `root`: its children and theirs, and the groups and sessions of all of them,
/// but neither group nor session of its parent. If `root` is gone: what is left of its group and session.
pub fn members(root: i32, all: &Processes) -> BTreeSet<i32> {
    let index = Index::of(all);
    let mut groups = BTreeSet::new();
    let mut sessions = BTreeSet::new();
    let mut queue = Vec::new();
    match all.get(&root) {
        Some(process) => {
            if let Some(parent) = all.get(&process.parent) {
                groups.insert(parent.group);
                sessions.insert(parent.session);
            }
            queue.push(root);
        }
        None => queue.extend(index.groups(root).chain(index.sessions(root))),
    }
    let mut found = BTreeSet::new();
    while let Some(pid) = queue.pop() {
        let Some(process) = all.get(&pid) else { continue };
        if !found.insert(pid) {
            continue;
        }
        queue.extend(index.children(pid));
        if groups.insert(process.group) {
            queue.extend(index.groups(process.group));
        }
        if sessions.insert(process.session) {
            queue.extend(index.sessions(process.session));
        }
    }
    found
}

/// The pids of what `root` and its children started and is still below it; without `root`.
pub fn descendants(root: i32, all: &Processes) -> BTreeSet<i32> {
    let index = Index::of(all);
    let mut found = BTreeSet::new();
    let mut queue: Vec<i32> = index.children(root).collect();
    while let Some(pid) = queue.pop() {
        if found.insert(pid) {
            queue.extend(index.children(pid));
        }
    }
    found
}

/// Pids by parent, group and session.
struct Index([HashMap<i32, Vec<i32>>; 3]);

impl Index {
    fn of(all: &Processes) -> Index {
        let mut maps: [HashMap<i32, Vec<i32>>; 3] = Default::default();
        for process in all.values() {
            for (map, key) in maps.iter_mut().zip([process.parent, process.group, process.session]) {
                map.entry(key).or_default().push(process.pid);
            }
        }
        Index(maps)
    }

    fn pids(&self, map: usize, key: i32) -> impl Iterator<Item = i32> {
        self.0[map].get(&key).into_iter().flatten().copied()
    }

    fn children(&self, pid: i32) -> impl Iterator<Item = i32> {
        self.pids(0, pid)
    }

    fn groups(&self, group: i32) -> impl Iterator<Item = i32> {
        self.pids(1, group)
    }

    fn sessions(&self, session: i32) -> impl Iterator<Item = i32> {
        self.pids(2, session)
    }
}

/// Sends a signal to the whole tree of `root` and says whom it reached, for a log.
///
/// The tree is stopped while it is walked, so that it cannot fork away, and continued afterwards.
pub fn signal(root: i32, signal: Signal) -> io::Result<String> {
    signal_among(processes, root, signal)
}

/// The same below our parent alone, which adopts what `root` leaves behind: it is a subreaper, or init.
pub fn signal_beside(root: i32, signal: Signal) -> io::Result<String> {
    signal_among(|| below(Pid::parent().as_raw()), root, signal)
}

fn signal_among(look: impl Fn() -> io::Result<Processes>, root: i32, signal: Signal) -> io::Result<String> {
    let own = Pid::this().as_raw();
    let mut stopped = BTreeMap::new();
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let all = look()?;
        let mut new = false;
        for pid in members(root, &all) {
            if pid == own || pid <= 1 || stopped.contains_key(&pid) {
                continue;
            }
            stopped.insert(pid, all[&pid]);
            new |= send(pid, Signal::SIGSTOP);
        }
        quiet = if new { 0 } else { quiet + 1 };
        if quiet == QUIET {
            break;
        }
    }
    let text = describe(&stopped);
    for pid in stopped.keys() {
        send(*pid, signal);
    }
    for pid in stopped.keys() {
        send(*pid, Signal::SIGCONT);
    }
    Ok(text)
}

/// A tree that is killed with this, unless it is spared.
#[derive(Debug)]
pub struct Doomed(Option<i32>);

impl Doomed {
    pub fn of(pid: Option<u32>) -> Doomed {
        Doomed(pid.map(|pid| pid as i32))
    }

    /// It ended by itself, and has been waited for.
    pub fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended just now.
            let _ = signal(pid, Signal::SIGKILL);
        }
    }
}

/// Whether the process was there to be signalled.
pub fn send(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// The trees as Mesos draws them. Source: `operator<<(ProcessTree)`, stout 1.11.
fn describe(processes: &Processes) -> String {
    let mut text = "[ \n".to_owned();
    let roots = processes.values().filter(|process| !processes.contains_key(&process.parent));
    let trees: Vec<String> = roots.map(|root| draw(root, processes)).collect();
    let _ = write!(text, "{}\n]", trees.join("\n\n"));
    text
}

fn draw(process: &Process, all: &Processes) -> String {
    let children: Vec<&Process> =
        all.values().filter(|child| child.parent == process.pid && child.pid != process.pid).collect();
    let command = command_line(process.pid);
    let command = if process.zombie { format!("({command})") } else { command };
    let mut text = match children.len() {
        0 => format!("--- {} {command}", process.pid),
        _ => format!("-+- {} {command}", process.pid),
    };
    for (index, child) in children.iter().enumerate() {
        let drawn = draw(child, all);
        let last = index + 1 == children.len();
        let (edge, indent) = if last { (" \\", "\n  ") } else { (" |", "\n |") };
        let _ = write!(text, "\n{edge}{}", drawn.replace('\n', indent));
    }
    text
}

fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    String::from_utf8_lossy(&words.join(&b' ')).into_owned()
}

/// What a tree uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub processes: u32,
    pub threads: u32,
    pub user_secs: f64,
    pub system_secs: f64,
    pub resident_bytes: u64,
}

/// Sums up the processes named.
pub fn usage(pids: &BTreeSet<i32>, all: &Processes) -> Usage {
    let ticks = procfs::ticks_per_second() as f64;
    let mut usage = Usage::default();
    for process in pids.iter().filter_map(|pid| all.get(pid)) {
        usage.processes += 1;
        usage.threads += process.threads;
        usage.user_secs += process.user_ticks as f64 / ticks;
        usage.system_secs += process.system_ticks as f64 / ticks;
        usage.resident_bytes += process.resident_pages * procfs::page_size();
    }
    usage
}

/// Processes whose first environment had this variable. Costs a read per process of the machine: for
/// cleaning up after something went wrong.
pub fn with_variable(name: &str, value: &str) -> io::Result<BTreeSet<i32>> {
    let wanted = format!("{name}={value}").into_bytes();
    let has = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    };
    Ok(processes()?.into_keys().filter(has).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::posix::start;

    fn all(rows: &[(i32, i32, i32, i32)]) -> Processes {
        let row = |&(pid, parent, group, session)| {
            let process = Process {
                pid,
                parent,
                group,
                session,
                zombie: false,
                user_ticks: 0,
                system_ticks: 0,
                resident_pages: 0,
                threads: 1,
            };
            (pid, process)
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn follows_children_groups_and_sessions() {
        // 10 starts 20 (own session), 20 starts 30 (own group); 40 was orphaned in session 20; 50 is a stranger.
        let processes = all(&[
            (1, 0, 1, 1),
            (10, 1, 10, 10),
            (20, 10, 20, 20),
            (30, 20, 30, 20),
            (40, 1, 40, 20),
            (41, 40, 41, 41),
            (50, 10, 10, 10),
        ]);
        assert_eq!(members(20, &processes), BTreeSet::from([20, 30, 40, 41]));
        assert_eq!(members(41, &processes), BTreeSet::from([41]));
        assert_eq!(descendants(20, &processes), BTreeSet::from([30]));
        assert_eq!(descendants(10, &processes), BTreeSet::from([20, 30, 50]));
    }

    #[test]
    fn follows_what_a_dead_leader_left() {
        let processes = all(&[(1, 0, 1, 1), (30, 1, 20, 20), (31, 1, 31, 20), (40, 1, 40, 40)]);
        assert_eq!(members(20, &processes), BTreeSet::from([30, 31]));
        assert_eq!(members(99, &processes), BTreeSet::new());
    }

    #[test]
    fn what_is_below_a_process_is_seen_without_the_rest() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1001 & sleep 1002 & echo; wait"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let root = child.id() as i32;
        let found = below(root).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(descendants(root, &processes().unwrap()), descendants(root, &found));
        signal(root, Signal::SIGKILL).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn kills_a_tree_with_its_orphans() {
        let mut command = Command::new("/bin/sh");
        // The inner subshell ends, so that the sleeper is an orphan in its session.
        command.args(["-c", "(sleep 1001 & echo $!) ; sleep 1002"]).stdout(Stdio::piped());
        start::detach(&mut command, None, start::Tie::None);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let orphan: i32 = line.trim().parse().unwrap();
        let text = signal(child.id() as i32, Signal::SIGKILL).unwrap();
        assert!(text.contains("sleep 1001"), "{text}");
        assert_eq!(crate::base::end::End::from(child.wait().unwrap()), crate::base::end::End::Signal(9));
        let deadline = Instant::now() + Duration::from_secs(10);
        while process(orphan).is_some_and(|process| !process.zombie) {
            assert!(Instant::now() < deadline, "the orphan lives");
            std::thread::yield_now();
        }
    }
}
