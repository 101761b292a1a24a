//! Tells what happens in the cluster to those who follow it: SUBSCRIBE of the operator API, and `/events`.
//!
//! The core gives out each happening once. A thread of its own ([`Hub`]) encodes it and appends it to a bounded
//! log; every follower reads that log at its own pace, from the place where its snapshot was taken, so nothing is
//! lost or told twice, and a follower costs the core nothing. One that falls behind the log is cut off.
//!
//! What came together is joined, and written to each follower as one piece of memory that all of them share. That
//! is done by one more thread: thousands of followers are tens of gigabytes, which must not take the processors
//! away from the core and its agents. So both threads give way to all others; what is told is then told later.
//!
//! `log.rs` is the log, `segment.rs` a piece of it in every form, `follow.rs` a follower's stream. Absent on
//! purpose: HTTP (`master/http`), and what an event says (`view/v1`).

mod follow;
mod log;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::core::{Event, Happening};
use super::run::{Core, Ended};
use super::view::v1;
use crate::process::background::{Background, give_way, run_when_idle};
use crate::process::connection::Connection;

pub use follow::{Start, Stream, place, reset};
pub use log::Limits;
use log::Log;
use segment::Building;
pub use segment::{Filter, Form};

/// Happenings that may wait for the thread. It is faster than the core but for a moment.
const QUEUE: usize = 131_072;

/// Happenings appended before followers are woken.
const BATCH: usize = 4096;

/// How long the thread waits, for each follower, until it wakes them again: a thousand of them are woken at once,
/// then every 50 ms, and read what came meanwhile together. Waking each for each event is what they would cost most.
const PACE: Duration = Duration::from_micros(50);

/// How much the thread that encodes gives way; it must not fall behind the core for long.
const ENCODING_NICENESS: i32 = 10;

/// What the kernel may hold for a follower that reads slowly; all of them together must leave it memory for
/// agents.
const UNREAD: usize = 256 << 10;

/// How long happenings are still logged when nobody follows any more, for those who come back to `/events`.
const LINGER: Duration = Duration::from_secs(300);

/// The core's end. Never waits.
#[derive(Debug)]
pub struct Publisher {
    happenings: SyncSender<(u64, Box<Happening>)>,
}

impl Publisher {
    /// Hands on the happening of this number. If the thread is that far behind, it is lost, and all followers with
    /// it: the number missing in the log tells.
    pub fn publish(&self, number: u64, happening: Box<Happening>) {
        match self.happenings.try_send((number, happening)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => warn!(number, "a happening is lost, its followers do not keep up"),
            // The process is about to end.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Where one joins. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    log: RwLock<Log>,
    /// The number of the last happening in the log.
    written: watch::Sender<u64>,
    followers: Mutex<Followers>,
    /// Names this log: numbers of another one mean nothing here.
    life: String,
    /// Writes to followers, once it is started.
    background: OnceLock<Background>,
}

#[derive(Default)]
struct Followers {
    /// The oldest first.
    by_number: BTreeMap<u64, Arc<Follower>>,
    next: u64,
    most: usize,
}

/// One who follows, as the thread sees it.
struct Follower {
    /// The last happening that was taken from the log.
    cursor: AtomicU64,
    /// No more is told.
    cut: AtomicBool,
    woken: Notify,
    connection: Option<Connection>,
}

/// Both ends of a hub that is not running yet. `life` is the master's id, `most` how many may follow at once.
pub fn channel(life: &str, most: usize, limits: Limits) -> (Publisher, Hub, Inbox) {
    let (sender, happenings) = sync_channel(QUEUE);
    let hub = Hub {
        shared: Arc::new(Shared {
            log: RwLock::new(Log::new(limits)),
            written: watch::Sender::new(0),
            followers: Mutex::new(Followers { most, ..Followers::default() }),
            life: life.to_owned(),
            background: OnceLock::new(),
        }),
    };
    (Publisher { happenings: sender }, hub, Inbox { happenings })
}

/// What the thread reads.
pub struct Inbox {
    happenings: Receiver<(u64, Box<Happening>)>,
}

/// Starts the threads. They end with the core.
pub fn start(hub: &Hub, inbox: Inbox) -> io::Result<()> {
    let shared = hub.shared.clone();
    let _ = shared.background.set(Background::start("followers", run_when_idle)?);
    thread::Builder::new().name("events".to_owned()).spawn(move || {
        give_way(ENCODING_NICENESS);
        while let Ok(first) = inbox.happenings.recv() {
            let mut batch = 0;
            let more = inbox.happenings.try_iter().take(BATCH - 1);
            let all = std::iter::once(first).chain(more).inspect(|_| batch += 1);
            let followers = shared.append(all);
            if batch < BATCH {
                thread::sleep(PACE * followers);
            }
        }
    })?;
    Ok(())
}

impl Shared {
    /// Appends happenings, wakes those who follow and says how many they are.
    fn append(&self, happenings: impl Iterator<Item = (u64, Box<Happening>)>) -> u32 {
        let mut last = 0;
        let mut building = Building::new();
        for (number, happening) in happenings {
            let kind = v1::kind(&happening);
            if kind.is_none() || !building.takes(number) {
                self.push(std::mem::replace(&mut building, Building::new()));
            }
            match kind {
                Some(kind) => building.add(number, kind, &happening),
                // It is not told, and nobody followed before it.
                None => self.log_mut().begin(number + 1),
            }
            last = number;
        }
        self.push(building);
        self.written.send_replace(last);
        let first = self.log.read().unwrap_or_else(PoisonError::into_inner).first();
        let mut followers = self.followers();
        let behind = followers.by_number.extract_if(.., |_, one| one.is_behind(first));
        for (number, follower) in behind {
            info!(number, "a follower of events does not keep up, it is cut off");
            follower.cut(true);
        }
        u32::try_from(followers.by_number.len()).unwrap_or(u32::MAX)
    }

    fn push(&self, building: Building) {
        // Finished before the log is locked.
        if let Some(segment) = building.finish(&self.life) {
            self.log_mut().push(segment);
        }
    }

    fn log_mut(&self) -> std::sync::RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Whether it has yet to read what the log no longer has.
    fn is_behind(&self, first: u64) -> bool {
        self.cursor.load(Ordering::Relaxed) + 1 < first
    }

    /// Ends its stream; at once, if a write to it may be stuck.
    fn cut(&self, abort: bool) {
        self.cut.store(true, Ordering::Release);
        self.woken.notify_one();
        if let Some(connection) = self.connection.as_ref().filter(|_| abort) {
            connection.abort();
        }
    }
}

/// As long as it lives, the core gives out what happens.
pub struct Watch {
    core: Core,
    lingers: bool,
    /// A thread that gives way must not turn the core.
    runtime: Handle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (core, lingers) = (self.core.clone(), self.lingers);
        self.runtime.spawn(async move {
            if lingers {
                tokio::time::sleep(LINGER).await;
            }
            core.tell(Event::Unfollow);
        });
    }
}

impl Hub {
    /// Makes the core give out what happens from now on. A watch that lingers is for those who may come back.
    pub async fn watch(&self, core: &Core, lingers: bool) -> Result<Watch, Ended> {
        // Before it is waited for: who gives up waiting is one less again.
        let watch = Watch { core: core.clone(), lingers, runtime: Handle::current() };
        core.ask(|reply| Event::Follow { reply }).await?;
        Ok(watch)
    }

    /// Follows from a place on; beyond `--max_operator_event_stream_subscribers` the oldest follower ends.
    pub fn follow(&self, start: Start, form: Form, connection: Option<Connection>, watch: Watch) -> Stream {
        let follower = Arc::new(Follower {
            cursor: AtomicU64::new(start.after),
            cut: AtomicBool::new(false),
            woken: Notify::new(),
            connection,
        });
        if let (Some(connection), Some(background)) = (&follower.connection, self.shared.background.get()) {
            connection.continue_on(background.handle(), UNREAD);
        }
        let mut followers = self.shared.followers();
        while followers.by_number.len() >= followers.most.max(1) {
            let Some((number, oldest)) = followers.by_number.pop_first() else { break };
            info!(number, "the most followers of events are there, the oldest is closed");
            oldest.cut(false);
        }
        let number = followers.next;
        followers.next += 1;
        followers.by_number.insert(number, follower.clone());
        drop(followers);
        Stream::new(self.clone(), number, follower, start, form, watch)
    }

    /// Waits until the log has everything up to this happening.
    pub async fn reached(&self, number: u64) {
        // The sender is in `shared`, so it is there.
        let _ = self.shared.written.subscribe().wait_for(|written| *written >= number).await;
    }

    /// Whether the log has all that happened after this one.
    pub fn remembers(&self, number: u64) -> bool {
        self.shared.log.read().unwrap_or_else(PoisonError::into_inner).remembers(number)
    }

    pub fn life(&self) -> &str {
        &self.shared.life
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.shared.followers().by_number.len()
    }
}
