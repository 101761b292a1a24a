//! Control groups: where the machine has them, and the files of one container's.
//!
//! Versions 1 and 2 may be there side by side; a controller is in one of them. Containers have a group each
//! below `--cgroups_root`, in every hierarchy that an isolator needs.
//!
//! Source: linux/cgroups.cpp and slave/containerizer/mesos/isolators/cgroups 1.11.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::blocks;
use super::limits::{self, Setting};
use crate::agent::containerizer::Limitation;
use crate::posix::tree;
use crate::proto::ResourceStatistics;
use crate::proto::task_status::Reason;

/// Between two attempts to remove a group whose processes are on their way out.
const PATIENCE: Duration = Duration::from_millis(10);

/// Another agent may have made such a group just now, and may be about to put somebody into it.
const YOUNG: Duration = Duration::from_secs(60);

/// What stops all processes of a group: a controller in version 1, and in version 2 what each group can do.
pub const FREEZER: &str = "freezer";

/// How often a group is looked at that is to be stopped.
const STOPPING: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    One,
    Two,
}

/// A controller, and the top of the hierarchy that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub controller: &'static str,
    pub version: Version,
    pub top: PathBuf,
}

/// Finds a controller in the text of `/proc/mounts`, below `hierarchy` (`--cgroups_hierarchy`).
/// `controllers` says what a hierarchy of version 2 has to lend.
pub fn find(
    mounts: &str,
    hierarchy: &Path,
    controller: &'static str,
    controllers: impl Fn(&Path) -> String,
) -> Option<Mounted> {
    let of = |kind: &str| {
        let kind = kind.to_owned();
        mounts.lines().filter_map(move |line| {
            let mut words = line.split(' ');
            let (top, found, options) = (words.nth(1)?, words.next()?, words.next()?);
            let top = PathBuf::from(top);
            (found == kind && top.starts_with(hierarchy)).then_some((top, options.to_owned()))
        })
    };
    let one = of("cgroup").find(|(_, options)| options.split(',').any(|option| option == controller));
    if let Some((top, _)) = one {
        return Some(Mounted { controller, version: Version::One, top });
    }
    let lends = |top: &Path| {
        controller == FREEZER
            || controllers(top).split_whitespace().any(|lent| lent == in_version_two(controller))
    };
    let two = of("cgroup2").find(|(top, _)| lends(top));
    two.map(|(top, _)| Mounted { controller, version: Version::Two, top })
}

fn in_version_two(controller: &str) -> &str {
    if controller == "blkio" { "io" } else { controller }
}

/// The groups of one container, by controller.
#[derive(Clone, Debug)]
pub struct Group {
    parts: BTreeMap<&'static str, (Version, PathBuf)>,
}

impl Group {
    /// Makes the groups `<root>/<name>`, or takes those that are there.
    pub fn make(mounted: &[Mounted], root: &str, name: &str) -> io::Result<Group> {
        let mut parts = BTreeMap::new();
        for Mounted { controller, version, top } in mounted {
            let parent = top.join(root);
            fs::create_dir_all(&parent)?;
            if *version == Version::Two && *controller != FREEZER {
                for folder in [top, &parent] {
                    let lend = format!("+{}", in_version_two(controller));
                    fs::write(folder.join("cgroup.subtree_control"), lend)?;
                }
            }
            let path = parent.join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if (*controller, *version) == ("cpuset", Version::One) {
                for (from, to) in [(top, &parent), (&parent, &path)] {
                    inherit(from, to)?;
                }
            }
            parts.insert(*controller, (*version, path));
        }
        Ok(Group { parts })
    }

    /// What kills all that is in there at once, if there is such a group.
    pub fn killer(&self) -> Option<Killer> {
        let (version, path) = self.parts.get(FREEZER)?;
        Some(Killer { version: *version, path: path.clone() })
    }

    /// What a process writes its id to, to be in all of them.
    pub fn doors(&self) -> Vec<PathBuf> {
        let folders: BTreeSet<&PathBuf> = self.parts.values().map(|(_, path)| path).collect();
        folders.into_iter().map(|path| path.join("cgroup.procs")).collect()
    }

    pub fn version(&self, controller: &str) -> Option<Version> {
        self.parts.get(controller).map(|(version, _)| *version)
    }

    /// The folder of the one that there is in version 2, whatever it is for.
    pub fn of_version_two(&self) -> Option<&Path> {
        self.parts.values().find(|(version, _)| *version == Version::Two).map(|(_, path)| path.as_path())
    }

    pub fn path(&self, controller: &str, file: &str) -> Option<PathBuf> {
        self.parts.get(controller).map(|(_, path)| path.join(file))
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.path(controller, file)?).ok()
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.read(controller, file)?.trim().parse().ok()
    }

    /// A number behind a name, as `cpu.stat` and `memory.stat` have them.
    fn field(&self, controller: &str, file: &str, name: &str) -> Option<u64> {
        field(&self.read(controller, file)?, name)
    }

    /// Some bounds must not be set before others: what is refused is tried once more at the end.
    pub fn set(&self, settings: &[Setting]) -> io::Result<()> {
        let write = |setting: &&Setting| match self.path(setting.controller, setting.file) {
            Some(path) => fs::write(&path, &setting.value).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("writing '{}' to '{}': {error}", setting.value, path.display()),
                )
            }),
            None => Ok(()),
        };
        let refused: Vec<&Setting> = settings.iter().filter(|setting| write(setting).is_err()).collect();
        refused.iter().try_for_each(write)
    }

    /// The bound of the memory as it is; `None` if there is none.
    pub fn memory_bound(&self) -> Option<u64> {
        match self.version("memory")? {
            Version::One => self.number("memory", "memory.limit_in_bytes"),
            Version::Two => self.number("memory", "memory.max"),
        }
    }

    /// How many processes in it were killed for their memory.
    pub fn out_of_memory_kills(&self) -> u64 {
        let file = match self.version("memory") {
            Some(Version::One) => "memory.oom_control",
            Some(Version::Two) => "memory.events",
            None => return 0,
        };
        self.field("memory", file, "oom_kill").unwrap_or(0)
    }

    /// What an operator wants to know once it was killed for its memory, in Mesos' words.
    ///
    /// Source: `MemorySubsystemProcess::oomWaited`, memory.cpp 1.11.
    pub fn memory_limitation(&self) -> Limitation {
        let most = match self.version("memory") {
            Some(Version::One) => self.number("memory", "memory.max_usage_in_bytes"),
            _ => self.number("memory", "memory.peak"),
        };
        let shown = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), megabytes);
        let statistics = self.read("memory", "memory.stat").unwrap_or_default();
        let message = format!(
            "Memory limit exceeded: Requested: {} Maximum Used: {}\n\nMEMORY STATISTICS: \n{statistics}\n",
            shown(self.memory_bound()),
            shown(most)
        );
        let resources = limits::in_megabytes("mem", most.unwrap_or_default());
        Limitation { reason: Reason::ContainerLimitationMemory, message, resources }
    }

    /// What is used in there, where a controller knows it better than /proc.
    pub fn measure(&self, statistics: &mut ResourceStatistics) {
        let seconds = |micros: u64| micros as f64 / 1e6;
        match self.version("cpu") {
            Some(Version::Two) => {
                let field = |name| self.field("cpu", "cpu.stat", name);
                statistics.cpus_user_time_secs = field("user_usec").map(seconds);
                statistics.cpus_system_time_secs = field("system_usec").map(seconds);
                statistics.cpus_throttled_time_secs = field("throttled_usec").map(seconds);
            }
            Some(Version::One) => {
                let throttled = self.field("cpu", "cpu.stat", "throttled_time");
                statistics.cpus_throttled_time_secs = throttled.map(|nanos| nanos as f64 / 1e9);
                let ticks = procfs::ticks_per_second() as f64;
                let field =
                    |name| self.field("cpuacct", "cpuacct.stat", name).map(|count| count as f64 / ticks);
                statistics.cpus_user_time_secs = field("user").or(statistics.cpus_user_time_secs);
                statistics.cpus_system_time_secs = field("system").or(statistics.cpus_system_time_secs);
            }
            None => {}
        }
        if self.version("cpu").is_some() {
            let field = |name| self.field("cpu", "cpu.stat", name);
            statistics.cpus_nr_periods = field("nr_periods").and_then(|count| u32::try_from(count).ok());
            statistics.cpus_nr_throttled = field("nr_throttled").and_then(|count| u32::try_from(count).ok());
        }
        match self.version("memory") {
            Some(Version::One) => {
                let field = |name| self.field("memory", "memory.stat", name);
                statistics.mem_total_bytes = self.number("memory", "memory.usage_in_bytes");
                statistics.mem_rss_bytes = field("total_rss").or(statistics.mem_rss_bytes);
                statistics.mem_cache_bytes = field("total_cache");
                statistics.mem_mapped_file_bytes = field("total_mapped_file");
            }
            Some(Version::Two) => {
                let field = |name| self.field("memory", "memory.stat", name);
                statistics.mem_total_bytes = self.number("memory", "memory.current");
                statistics.mem_rss_bytes = field("anon").or(statistics.mem_rss_bytes);
                statistics.mem_cache_bytes = field("file");
                statistics.mem_mapped_file_bytes = field("file_mapped");
            }
            None => {}
        }
        let read = |file| self.read("blkio", file).unwrap_or_default();
        statistics.blkio_statistics = match self.version("blkio") {
            Some(Version::One) => {
                let (counts, bytes) =
                    (read("blkio.throttle.io_serviced"), read("blkio.throttle.io_service_bytes"));
                Some(blocks::version_one(&counts, &bytes))
            }
            Some(Version::Two) => Some(blocks::version_two(&read("io.stat"))),
            None => None,
        };
    }

    /// Kills what is in there, and removes it. Takes the time that processes take to die.
    pub fn destroy(&self, patience: Duration) -> io::Result<()> {
        let end = Instant::now() + patience;
        for (version, path) in self.parts.values() {
            loop {
                if let Some(killer) = self.killer() {
                    killer.kill();
                }
                if *version == Version::Two {
                    // Kernels before 5.14 do not have it.
                    let _ = fs::write(path.join("cgroup.kill"), "1");
                }
                kill_members(path);
                match fs::remove_dir(path) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) if Instant::now() > end => return Err(error),
                    Err(_) => std::thread::sleep(PATIENCE),
                }
            }
        }
        Ok(())
    }
}

/// Kills all in a group, also what forks meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killer {
    version: Version,
    path: PathBuf,
}

impl Killer {
    /// Everything in there dies before it does anything else. Without effect on a group that is gone.
    pub fn kill(&self) {
        if self.version == Version::Two && fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        let (file, stop, go_on) = match self.version {
            Version::One => ("freezer.state", "FROZEN", "THAWED"),
            Version::Two => ("cgroup.freeze", "1", "0"),
        };
        let path = self.path.join(file);
        if fs::write(&path, stop).is_err() {
            return kill_members(&self.path);
        }
        for _ in 0..STOPPING {
            let said = fs::read_to_string(&path).unwrap_or_default();
            if self.version == Version::Two || said.trim() != "FREEZING" {
                break;
            }
            std::thread::sleep(PATIENCE / 10);
        }
        kill_members(&self.path);
        let _ = fs::write(&path, go_on);
    }
}

fn kill_members(path: &Path) {
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        tree::send(pid, Signal::SIGKILL);
    }
}

/// Before there are cpus and memory in it, no process can enter a group of cpusets.
fn inherit(from: &Path, to: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(to.join(file))?.trim().is_empty() {
            fs::write(to.join(file), fs::read_to_string(from.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// Removes groups that nobody is in and that are older than a moment: what an agent left that was killed. The
/// kernel removes none that has processes or groups in it.
pub fn remove_empty(mounted: &[Mounted], root: &str) {
    for Mounted { top, .. } in mounted {
        for entry in fs::read_dir(top.join(root)).into_iter().flatten().flatten() {
            let made = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG));
            if is_old && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Bounds are only ever raised: one that is lowered below what is used kills at once.
///
/// Source: `MemorySubsystemProcess::update`, memory.cpp 1.11.
pub fn without_lower_bound(settings: Vec<Setting>, present: Option<u64>) -> Vec<Setting> {
    let lowers = |setting: &Setting| {
        let is_bound =
            ["memory.limit_in_bytes", "memory.max", "memory.memsw.limit_in_bytes"].contains(&setting.file);
        is_bound
            && setting.value.parse::<u64>().is_ok_and(|bytes| present.is_some_and(|present| bytes < present))
    };
    settings.into_iter().filter(|setting| !lowers(setting)).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// As Mesos prints sizes: the largest unit that leaves them whole.
fn megabytes(bytes: u64) -> String {
    crate::base::bytes::format(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /elsewhere/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0
";

    fn found(controller: &'static str) -> Option<(Version, String)> {
        let lent = |_: &Path| "memory pids".to_owned();
        let mounted = find(HYBRID, Path::new("/sys/fs/cgroup"), controller, lent)?;
        Some((mounted.version, mounted.top.display().to_string()))
    }

    #[test]
    fn controllers_are_found_in_either_version() {
        assert_eq!(found("cpu"), Some((Version::One, "/sys/fs/cgroup/cpu,cpuacct".to_owned())));
        assert_eq!(found("cpuacct"), found("cpu"));
        assert_eq!(found("memory"), Some((Version::Two, "/sys/fs/cgroup/unified".to_owned())));
        assert_eq!(found("pids"), found("memory"));
        assert_eq!(found("devices"), None);
        assert_eq!(found(FREEZER), found("memory"), "each group of version 2 can be stopped");
    }

    #[test]
    fn bounds_are_only_raised() {
        let setting = |file, value: &str| Setting { controller: "memory", file, value: value.to_owned() };
        let settings =
            || vec![setting("memory.soft_limit_in_bytes", "50"), setting("memory.limit_in_bytes", "50")];
        assert_eq!(without_lower_bound(settings(), Some(60)).len(), 1);
        assert_eq!(without_lower_bound(settings(), Some(40)), settings());
        assert_eq!(without_lower_bound(vec![setting("memory.max", "max")], Some(60)).len(), 1);
    }

    #[test]
    fn fields_are_whole_words() {
        let text = "oom_kill_disable 1\nunder_oom 0\noom_kill 7\n";
        assert_eq!((field(text, "oom_kill"), field(text, "oom")), (Some(7), None));
    }
}
