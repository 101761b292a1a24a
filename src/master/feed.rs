//! What changes in the cluster, once a second, for web pages that are open.
//!
//! As long as somebody follows, a snapshot is taken each second; what changed since the last one is written once
//! (`view::changes`) and kept for a while, so that a page which lost its connection goes on where it was. A cluster
//! in which nothing happens costs a comparison of two numbers, and the core never more than a snapshot.
//!
//! Unlike `events`, which tells each happening in full, this tells where things stand: ten states that a task passes
//! within a second are one row. Absent on purpose: HTTP (`http/pages.rs`).

#![expect(clippy::disallowed_methods, reason = "a shell: it starts a task and reads the clock")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::core::state::Cluster;
use super::run::{Core, Ended, Snapshot};
use super::view;

/// Between two looks at the cluster.
const PERIOD: Duration = Duration::from_secs(1);

/// How long changes are still looked for when nobody follows: a page reads the whole first, and one that is hidden
/// comes back.
const LINGER: Duration = Duration::from_secs(120);

/// What is kept for those who come back: as much as this, and one more.
const CHANGES: usize = 600;
const BYTES: usize = 16 << 20;

/// Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    core: Core,
    /// The snapshot that the last change led to. Held while the next one is found.
    last: tokio::sync::Mutex<Option<Snapshot>>,
    kept: Mutex<Kept>,
    /// The number of the last change.
    number: watch::Sender<u64>,
    ticks: AtomicBool,
}

struct Kept {
    /// Ending with the last.
    changes: VecDeque<Bytes>,
    bytes: usize,
    asked: Instant,
    followers: usize,
}

/// The cluster, and the number of the change that led to it.
pub struct Shown {
    pub number: u64,
    pub cluster: Arc<Cluster>,
}

/// As long as it lives, changes are looked for.
pub struct Follower {
    feed: Feed,
    number: watch::Receiver<u64>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut kept = self.feed.kept();
        kept.followers = kept.followers.saturating_sub(1);
        kept.asked = Instant::now();
    }
}

impl Feed {
    pub fn new(core: Core) -> Feed {
        let kept = Kept { changes: VecDeque::new(), bytes: 0, asked: Instant::now(), followers: 0 };
        let shared = Shared {
            core,
            last: tokio::sync::Mutex::default(),
            kept: Mutex::new(kept),
            number: watch::Sender::new(0),
            ticks: AtomicBool::new(false),
        };
        Feed { shared: Arc::new(shared) }
    }

    /// The cluster as it is now. Changes are looked for from here on.
    pub async fn now(&self) -> Result<Shown, Ended> {
        self.kept().asked = Instant::now();
        self.start();
        self.look().await
    }

    /// Follows, unless so many do already.
    pub fn follow(&self, most: usize) -> Option<Follower> {
        let mut kept = self.kept();
        if kept.followers >= most {
            return None;
        }
        kept.followers += 1;
        drop(kept);
        self.start();
        Some(Follower { feed: self.clone(), number: self.shared.number.subscribe() })
    }

    /// The number of the last change.
    pub fn number(&self) -> u64 {
        *self.shared.number.borrow()
    }

    /// What came after a change, each with its number; none if that is not known any more, or not yet.
    pub fn after(&self, number: u64) -> Option<Vec<(u64, Bytes)>> {
        let kept = self.kept();
        let last = self.number();
        let missing = usize::try_from(last.checked_sub(number)?).ok()?;
        let first = kept.changes.len().checked_sub(missing)?;
        Some((number + 1..).zip(kept.changes.range(first..).cloned()).collect())
    }

    /// Looks once: what changed since the last time becomes a change.
    async fn look(&self) -> Result<Shown, Ended> {
        let mut last = self.shared.last.lock().await;
        let now = self.shared.core.snapshot().await?;
        match last.as_ref() {
            Some(before) if before.version == now.version => {}
            Some(before) => {
                let (old, new) = (before.cluster.clone(), now.cluster.clone());
                let found = tokio::task::spawn_blocking(move || view::changes(&old, &new)).await;
                match found {
                    Ok(None) => {}
                    Ok(Some(change)) => self.push(change.into()),
                    // It panicked: those who follow begin anew.
                    Err(_) => self.forget(),
                }
            }
            None => self.forget(),
        }
        let shown = Shown { number: self.number(), cluster: now.cluster.clone() };
        *last = Some(now);
        Ok(shown)
    }

    fn push(&self, change: Bytes) {
        let mut kept = self.kept();
        kept.bytes += change.len();
        kept.changes.push_back(change);
        while kept.changes.len() > 1 && (kept.changes.len() > CHANGES || kept.bytes > BYTES) {
            if let Some(oldest) = kept.changes.pop_front() {
                kept.bytes -= oldest.len();
            }
        }
        // While nobody reads what is kept, so that both fit.
        self.shared.number.send_modify(|number| *number += 1);
    }

    /// Goes on behind a gap: what lies before is not known.
    fn forget(&self) {
        let mut kept = self.kept();
        kept.changes.clear();
        kept.bytes = 0;
        self.shared.number.send_modify(|number| *number += 1);
    }

    /// Starts to look each second, unless that goes on already.
    fn start(&self) {
        if self.shared.ticks.swap(true, Ordering::AcqRel) {
            return;
        }
        let feed = self.clone();
        tokio::spawn(async move {
            let mut period = tokio::time::interval(PERIOD);
            period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                period.tick().await;
                if feed.is_idle() {
                    // Its cluster's memory is free again.
                    *feed.shared.last.lock().await = None;
                    feed.shared.ticks.store(false, Ordering::Release);
                    // Who came just now found it going on.
                    if feed.is_idle() || feed.shared.ticks.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                if feed.look().await.is_err() {
                    return;
                }
            }
        });
    }

    fn is_idle(&self) -> bool {
        let kept = self.kept();
        kept.followers == 0 && kept.asked.elapsed() > LINGER
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Returns when there is a change after this one; false if the master ends.
    pub async fn beyond(&mut self, number: u64) -> bool {
        self.number.wait_for(|last| *last > number).await.is_ok()
    }
}
