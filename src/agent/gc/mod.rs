//! Removes the sandboxes of what has ended: `--gc_delay` after its end, earlier where the disk gets full.
//!
//! `schedule` decides. One thread removes, one path after the other: what goes is first moved aside, so that
//! an executor can start in its old place at once, and is deleted after that. What an earlier life of the agent
//! left, and what other agents left in the same place, goes by the time it was last changed.
//!
//! Source: gc.cpp 1.11; who moves nothing aside waits for a removal before a launch.
#![expect(clippy::disallowed_methods, reason = "a shell: a thread, the disk, what time it is there")]

mod remove;
pub mod schedule;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use tracing::{debug, info, warn};

use self::schedule::Schedule;
use super::core::state::Node;
use super::paths;
use crate::base::time::Time;
use crate::files::Files;
use crate::metrics::Counter;
use crate::process::clock::Clock;

#[derive(Clone, Debug)]
pub struct Settings {
    pub work_dir: PathBuf,
    /// `--gc_delay`.
    pub delay: Duration,
    /// `--gc_disk_headroom`.
    pub headroom: f64,
    /// `--disk_watch_interval`.
    pub watch_interval: Duration,
}

/// The collector of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    clock: Clock,
    files: Files,
    books: Mutex<Books>,
    changed: Condvar,
    succeeded: Counter,
    failed: Counter,
    /// In milliseconds.
    allowed_age: AtomicU64,
}

/// What goes: its path, where that leads, and where it is deleted from.
struct Moved {
    path: PathBuf,
    real: PathBuf,
    aside: PathBuf,
}

struct Books {
    schedule: Schedule,
    /// Sandboxes in use.
    live: BTreeSet<PathBuf>,
}

impl Books {
    /// Whether something in there is in use. Sandboxes below a path follow it in their order.
    fn is_live(&self, path: &Path) -> bool {
        self.live.range(path.to_owned()..).next().is_some_and(|sandbox| sandbox.starts_with(path))
    }
}

/// For `/metrics/snapshot`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    pub succeeded: f64,
    pub failed: f64,
    pub pending: f64,
    pub max_allowed_age_secs: f64,
}

impl Collector {
    /// Starts the thread; it lives as long as the process.
    pub fn start(settings: Settings, clock: Clock, files: Files) -> io::Result<Collector> {
        let schedule = Schedule::new(settings.delay, settings.headroom);
        let shared = Shared {
            settings,
            clock,
            files,
            books: Mutex::new(Books { schedule, live: BTreeSet::new() }),
            changed: Condvar::new(),
            succeeded: Counter::default(),
            failed: Counter::default(),
            allowed_age: AtomicU64::new(0),
        };
        let collector = Collector { shared: Arc::new(shared) };
        let thread = collector.clone();
        std::thread::Builder::new().name("gc".to_owned()).spawn(move || thread.shared.run())?;
        Ok(collector)
    }

    /// What is in there has ended just now.
    pub fn collect(&self, path: PathBuf) {
        let now = self.shared.clock.now();
        let mut books = self.shared.books();
        books.live.remove(&path);
        for path in self.shared.with_meta(path) {
            // For the next life of the agent, which goes by that.
            let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            info!(path = %path.display(), delay = ?self.shared.settings.delay, "to be removed later");
            books.schedule.add(path, now);
        }
        self.shared.changed.notify_one();
    }

    /// Something is about to run in this sandbox, so that nothing above it is to go.
    pub fn keep(&self, sandbox: &Path) {
        let above = sandbox.ancestors().take_while(|path| *path != self.shared.settings.work_dir);
        let mut books = self.shared.books();
        for path in above.flat_map(|path| self.shared.with_meta(path.to_owned())) {
            books.schedule.keep(&path);
        }
        books.live.insert(sandbox.to_owned());
    }

    /// The agent knows who it is and what runs: the rest of what lies there has ended, or is somebody else's.
    pub fn settle(&self, node: &Node) {
        let Some(agent) = node.info.id.as_ref() else { return };
        let executors = node.frameworks.values().flat_map(|framework| framework.executors.values());
        executors.for_each(|executor| self.keep(&executor.directory));
        let own = paths::agent(&self.shared.settings.work_dir, agent);
        let shared = self.shared.clone();
        // There may be a lot.
        let sweep = move || shared.sweep(&own);
        if let Err(error) = std::thread::Builder::new().name("gc-sweep".to_owned()).spawn(sweep) {
            warn!(%error, "what earlier agents left stays");
        }
    }

    pub fn numbers(&self) -> Numbers {
        Numbers {
            succeeded: self.shared.succeeded.value() as f64,
            failed: self.shared.failed.value() as f64,
            pending: self.shared.books().schedule.pending() as f64,
            max_allowed_age_secs: self.shared.allowed_age.load(Ordering::Relaxed) as f64 / 1e3,
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path, and what is checkpointed about it.
    fn with_meta(&self, path: PathBuf) -> Vec<PathBuf> {
        let meta = path.strip_prefix(&self.settings.work_dir).ok();
        let meta = meta.map(|below| self.settings.work_dir.join("meta").join(below));
        [path].into_iter().chain(meta.filter(|meta| meta.exists())).collect()
    }

    fn run(&self) {
        let interval = self.settings.watch_interval;
        let mut look = self.clock.now() + interval;
        loop {
            let now = self.clock.now();
            let mut old = Vec::new();
            if now >= look {
                old = self.look_at_the_disk(now);
                look = now + interval.max(Duration::from_millis(1));
            }
            let mut books = self.books();
            old.extend(books.schedule.take_due(now));
            // While the books are held, nobody starts in there.
            let moved: Vec<Moved> = old.into_iter().filter_map(|path| self.move_aside(path)).collect();
            if moved.is_empty() {
                let wait = books.schedule.next().map_or(look, |next| next.min(look)).since(now);
                drop(self.changed.wait_timeout(books, wait));
                continue;
            }
            drop(books);
            moved.iter().for_each(|moved| self.remove(moved));
        }
    }

    /// What is too old for how full the disk is.
    fn look_at_the_disk(&self, now: Time) -> Vec<PathBuf> {
        let usage = match statvfs(&self.settings.work_dir) {
            Ok(disk) => 1.0 - disk.blocks_free() as f64 / (disk.blocks() as f64).max(1.0),
            Err(error) => {
                warn!(%error, "failed to find out how full the disk is");
                return Vec::new();
            }
        };
        let mut books = self.books();
        let age = books.schedule.allowed_age(usage);
        self.allowed_age.store(age.as_millis() as u64, Ordering::Relaxed);
        debug!(usage, max_allowed_age = ?age, "looked at the disk");
        books.schedule.take_old(now, usage)
    }

    /// `None` if it is not there.
    fn move_aside(&self, path: PathBuf) -> Option<Moved> {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let aside = paths::removing(&self.settings.work_dir).join(uuid::Uuid::new_v4().to_string());
        let moved =
            aside.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(&path, &aside));
        match moved {
            Ok(()) => Some(Moved { path, real, aside }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                debug!(path = %path.display(), "it is gone already");
                None
            }
            // Another file system begins there, or it cannot be moved for another reason.
            Err(_) => Some(Moved { aside: path.clone(), path, real }),
        }
    }

    fn remove(&self, Moved { path, real, aside }: &Moved) {
        for (shown, shows) in self.files.all() {
            if shows.starts_with(real) || shows.starts_with(path) {
                self.files.detach(&shown);
            }
        }
        match remove::tree(aside) {
            Ok(()) => {
                info!(path = %path.display(), "removed what has ended");
                self.succeeded.increment();
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "some of what has ended cannot be removed");
                self.failed.increment();
            }
        }
    }

    /// Schedules what is not live, and finishes what an earlier life moved aside.
    fn sweep(&self, own: &Path) {
        for path in entries(&paths::removing(&self.settings.work_dir)) {
            if let Err(error) = remove::tree(&path) {
                warn!(path = %path.display(), %error, "cannot be removed");
            }
        }
        let mut found = own.parent().map(entries).unwrap_or_default();
        found.retain(|agent| agent != own);
        for framework in entries(&own.join("frameworks")) {
            for executor in entries(&framework.join("executors")) {
                found.extend(entries(&executor.join("runs")));
                found.push(executor);
            }
            found.push(framework);
        }
        for path in found.into_iter().filter(|path| !path.is_symlink()) {
            let Ok(modified) = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified()) else {
                continue;
            };
            let ended = Time::ZERO + modified.duration_since(UNIX_EPOCH).unwrap_or_default();
            let mut books = self.books();
            // What ended in this life, or is in use, is known better.
            if books.is_live(&path) || books.schedule.knows(&path) {
                continue;
            }
            for path in self.with_meta(path) {
                books.schedule.add(path, ended);
            }
        }
        self.changed.notify_one();
    }
}

/// What a folder holds; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
