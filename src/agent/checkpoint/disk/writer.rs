//! The thread that writes the journal.
//!
//! All that was told while a write was out goes with the next one: one fsync for many facts. The journal is
//! written anew when it has grown to a multiple of what it says, and after any failure: what an fsync that failed
//! has written is not known. While the disk takes nothing it is tried once a second, and nothing is durable;
//! whoever waits, waits.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tracing::{error, info};

use super::super::journal::{self, Salt};
use super::super::{Fact, Image};
use super::{replace, sync_directory};
use crate::agent::paths;

/// A journal may grow to this, and to so many times of what it was when it was last written anew.
const SMALL: u64 = 1 << 20;
const GROWTH: u64 = 4;

/// Between two attempts when the disk takes nothing.
const RETRY: Duration = Duration::from_secs(1);

/// Facts of one write, about.
const BATCH: usize = 10_000;

struct Job<T> {
    facts: Vec<Fact>,
    then: Option<T>,
}

/// The way to the writer. `T` comes back when the facts that went with it are durable.
#[derive(Debug)]
pub struct Checkpointer<T> {
    jobs: Sender<Job<T>>,
}

/// Hears what became durable, in order.
pub type Durable<T> = Box<dyn FnMut(T) + Send>;

impl<T: Send + 'static> Checkpointer<T> {
    /// Goes on from `image`, and notes which boot of the machine this is.
    pub fn start(
        work_dir: PathBuf,
        image: Image,
        boot: Option<String>,
        durable: Durable<T>,
    ) -> io::Result<Checkpointer<T>> {
        let (jobs, waiting) = mpsc::channel();
        let mut writer =
            Writer { work_dir, image, file: None, salt: Salt(rand::random()), length: 0, base: 0 };
        thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            if let Some(boot) = boot {
                let path = paths::boot_id(&writer.work_dir);
                if let Err(error) = replace(&path, boot.as_bytes()) {
                    error!(%error, path = %path.display(), "cannot note the boot of this machine");
                }
            }
            writer.run(&waiting, durable);
        })?;
        Ok(Checkpointer { jobs })
    }

    /// Keeps facts, in the order of calls.
    pub fn save(&self, facts: Vec<Fact>, then: Option<T>) {
        // The thread ends with the last sender only.
        let _ = self.jobs.send(Job { facts, then });
    }
}

struct Writer {
    work_dir: PathBuf,
    /// Everything that was told.
    image: Image,
    /// None: to be written anew.
    file: Option<File>,
    salt: Salt,
    length: u64,
    /// Its length when it was last written anew.
    base: u64,
}

impl Writer {
    fn run<T>(&mut self, waiting: &Receiver<Job<T>>, mut durable: Durable<T>) {
        let mut failing = false;
        let mut thens = Vec::new();
        let mut bytes = Vec::new();
        loop {
            let patience = if failing { RETRY } else { Duration::MAX };
            let mut left = false;
            match waiting.recv_timeout(patience) {
                Ok(job) => {
                    let mut next = Some(job);
                    let mut count = 0;
                    while let Some(job) = next {
                        count += job.facts.len();
                        left |= job.facts.contains(&Fact::Left);
                        self.take(job.facts, &mut bytes);
                        thens.extend(job.then);
                        next = if count < BATCH { waiting.try_recv().ok() } else { None };
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if left && let Err(error) = self.leave() {
                let path = paths::latest_agent(&self.work_dir);
                error!(%error, path = %path.display(), "cannot remove the link to an agent that has left");
            }
            match self.write(&bytes) {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!("the agent's checkpoint can be written again");
                    }
                    thens.drain(..).for_each(&mut durable);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let path = paths::meta_agents(&self.work_dir);
                        error!(%error, path = %path.display(), "cannot write the agent's checkpoint; trying on");
                    }
                    self.file = None;
                }
            }
            bytes.clear();
        }
    }

    fn take(&mut self, facts: Vec<Fact>, bytes: &mut Vec<u8>) {
        for fact in facts {
            journal::append(bytes, self.salt, &fact);
            let _ = self.image.apply(fact);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let grown = self.length + bytes.len() as u64 > SMALL.max(self.base * GROWTH);
        match &mut self.file {
            Some(file) if !grown => {
                if bytes.is_empty() {
                    return Ok(());
                }
                file.write_all(bytes)?;
                self.length += bytes.len() as u64;
                file.sync_data()
            }
            _ => self.rewrite(),
        }
    }

    /// Everything that was told, in the fewest facts.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(id) = self.image.agent.as_ref().and_then(|agent| agent.id.clone()) else { return Ok(()) };
        let agents = paths::meta_agents(&self.work_dir);
        let folder = agents.join(&id.value);
        fs::create_dir_all(&folder)?;
        self.salt = Salt(rand::random());
        let mut all = journal::begin(self.salt);
        for fact in self.image.facts() {
            journal::append(&mut all, self.salt, &fact);
        }
        self.file = Some(replace(&folder.join(paths::CHECKPOINT), &all)?);
        self.length = all.len() as u64;
        self.base = self.length;
        let latest = paths::latest_agent(&self.work_dir);
        if fs::read_link(&latest).ok().as_deref() != Some(&folder) {
            point(&latest, &folder)?;
            sync_directory(&agents)?;
            sync_directory(&paths::meta(&self.work_dir))?;
        }
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        self.file = None;
        let latest = paths::latest_agent(&self.work_dir);
        match fs::remove_file(&latest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(()),
            Ok(()) => sync_directory(&paths::meta_agents(&self.work_dir)),
        }
    }
}

/// Makes the link, or turns it around in one step.
fn point(link: &Path, target: &Path) -> io::Result<()> {
    let new = link.with_file_name(".latest");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, link)
}
