//! Reads: rendered from a snapshot in a thread of their own, once for all that ask alike.
//!
//! A request takes any rendering whose snapshot was made after it came; so while one is under way, those that
//! come meanwhile wait and then share the next. As long as nothing happens in the cluster, a whole state is
//! rendered once: its bytes are kept with the snapshot's version; so are those of the pages and parts that were asked
//! for last.
//!
//! Source: `Master::Http::deferBatchedRequest`, http.cpp 1.11, which shares among requests of one batch.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Site, ended};
use crate::files::handlers::blocking_on;
use crate::http::error::HttpError;
use crate::http::recordio;
use crate::master::core::state::Cluster;
use crate::master::flags::Flags;
use crate::master::view::v1::Ask;
use crate::master::view::{self, Page};
use crate::metrics::Counter;
use crate::process::background::{Background, give_way};
use crate::proto::writer::Encoding;
use crate::proto::{AgentId, FrameworkId, TaskId};

/// Renderings at once; each may need as many bytes as the whole state has.
const RENDERINGS: usize = 4;

/// How much they give way: where processors are scarce they have a tenth of one, which is enough to end.
const NICENESS: i32 = 10;

/// Pages and parts that are kept, and their bytes.
const PAGES: usize = 64;
const KEPT: usize = 64 << 20;

/// What can be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    State,
    Summary,
    Agents(Option<AgentId>),
    Frameworks(Option<FrameworkId>),
    Tasks(Page),
    Roles,
    Offers,
    Task(FrameworkId, TaskId),
    /// A call of the operator API.
    Call(Ask, Encoding),
    /// The first record of SUBSCRIBE.
    Subscribed(Encoding),
}

impl Read {
    fn render(&self, cluster: &Cluster, flags: &Flags) -> Vec<u8> {
        match self {
            Read::State => view::state(cluster, flags),
            Read::Summary => view::summary(cluster, flags),
            Read::Agents(only) => view::agents(cluster, only.as_ref()),
            Read::Frameworks(only) => view::frameworks(cluster, only.as_ref()),
            Read::Tasks(page) => view::tasks(cluster, page),
            Read::Roles => view::roles(cluster, flags),
            Read::Offers => view::offers(cluster),
            Read::Task(framework, id) => view::v1::task(cluster, framework, id),
            Read::Subscribed(encoding) => recordio::enclose(view::v1::subscribed(cluster, *encoding)),
            Read::Call(ask, encoding) => view::v1::answer(*ask, cluster, flags, *encoding),
        }
    }

    /// Whether the bytes are worth keeping: there are few such reads, and all clients ask the same.
    fn is_whole(&self) -> bool {
        match self {
            Read::State
            | Read::Summary
            | Read::Agents(None)
            | Read::Frameworks(None)
            | Read::Roles
            | Read::Offers
            | Read::Call(..)
            | Read::Subscribed(_) => true,
            Read::Tasks(page) => *page == Page::default(),
            Read::Agents(Some(_)) | Read::Frameworks(Some(_)) | Read::Task(..) => false,
        }
    }
}

/// The last rendering of one read.
#[derive(Debug, Default)]
struct Rendering {
    /// Requests that came before this moment, in `Reads::moment`, may have it.
    taken: u64,
    /// That of its snapshot.
    version: Option<u64>,
    published: u64,
    bytes: Bytes,
}

/// What a request gets.
pub(super) struct Answer {
    pub version: u64,
    pub published: u64,
    pub bytes: Bytes,
}

impl Rendering {
    fn answer(&self) -> Answer {
        let version = self.version.unwrap_or_default();
        Answer { version, published: self.published, bytes: self.bytes.clone() }
    }
}

type Slot = Arc<tokio::sync::Mutex<Rendering>>;

#[derive(Default)]
struct Slots {
    by_read: HashMap<Read, Slot>,
    /// Those of pages and parts that are kept, and their bytes, the last that was asked for at the end.
    kept: VecDeque<(Read, usize)>,
}

pub struct Reads {
    slots: Mutex<Slots>,
    /// Counts requests and snapshots, so that it can be told which came first.
    moment: AtomicU64,
    renderings: Arc<Semaphore>,
    /// Renders: a whole state is much work, of which agents and schedulers must notice nothing.
    background: Background,
    /// Answers that took no rendering of their own.
    hits: Counter,
}

impl Reads {
    /// Fails if no thread can be started.
    pub fn new(hits: Counter) -> io::Result<Reads> {
        let renderings = Arc::new(Semaphore::new(RENDERINGS));
        let background = Background::start("reads", || give_way(NICENESS))?;
        Ok(Reads { slots: Mutex::default(), moment: AtomicU64::new(1), renderings, background, hits })
    }
}

impl Site {
    /// The answer as it is now.
    pub(super) async fn read(&self, read: Read) -> Result<Bytes, HttpError> {
        Ok(self.read_answer(read).await?.bytes)
    }

    /// The answer, and the number of the last happening that it shows.
    pub(super) async fn read_and_place(&self, read: Read) -> Result<(Bytes, u64), HttpError> {
        let answer = self.read_answer(read).await?;
        Ok((answer.bytes, answer.published))
    }

    /// The version of the cluster as it is now; that of an answer read from it is no older.
    pub(super) async fn version(&self) -> Result<u64, HttpError> {
        Ok(self.inner.core.snapshot().await.map_err(ended)?.version)
    }

    pub(super) async fn read_answer(&self, read: Read) -> Result<Answer, HttpError> {
        let reads = &self.inner.reads;
        let came = reads.moment.fetch_add(1, Ordering::AcqRel);
        let slot = reads.slot(&read);
        let answer = self.rendered(&read, &slot, came).await;
        let bytes = answer.as_ref().map_or(0, |answer| answer.bytes.len());
        reads.slots().keep(&read, bytes);
        answer
    }

    async fn rendered(&self, read: &Read, slot: &Slot, came: u64) -> Result<Answer, HttpError> {
        let reads = &self.inner.reads;
        let mut last = slot.lock().await;
        if last.taken > came {
            reads.hits.increment();
            return Ok(last.answer());
        }
        let taken = reads.moment.fetch_add(1, Ordering::AcqRel);
        let snapshot = self.inner.core.snapshot().await.map_err(ended)?;
        let published = snapshot.published;
        if last.version != Some(snapshot.version) {
            // It is never closed.
            let turn = reads.renderings.clone().acquire_owned().await.ok();
            let (read, flags) = (read.clone(), self.inner.flags.clone());
            let render = move || {
                let mut bytes = read.render(&snapshot.cluster, &flags);
                // It is kept, and has grown by doubling.
                bytes.shrink_to_fit();
                drop(turn);
                Ok((snapshot.version, Bytes::from(bytes)))
            };
            let (version, bytes) = blocking_on(reads.background.handle(), render).await?;
            *last = Rendering { taken, version: Some(version), published, bytes };
        } else {
            reads.hits.increment();
        }
        // What happened since was not to be seen, and who follows from here must not ask for it: the log of events
        // may begin anew meanwhile.
        last.published = published;
        last.taken = taken;
        Ok(last.answer())
    }
}

impl Reads {
    fn slot(&self, read: &Read) -> Slot {
        self.slots().by_read.entry(read.clone()).or_default().clone()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// A rendering of so many bytes was handed out. Forgets the pages and parts that were asked for longest ago, if
    /// they are too much.
    fn keep(&mut self, read: &Read, bytes: usize) {
        if read.is_whole() {
            return;
        }
        self.kept.retain(|(kept, _)| kept != read);
        self.kept.push_back((read.clone(), bytes + size_of::<(Read, Rendering)>()));
        let mut all: usize = self.kept.iter().map(|(_, bytes)| bytes).sum();
        while (all > KEPT || self.kept.len() > PAGES)
            && let Some((oldest, bytes)) = self.kept.pop_front()
        {
            all -= bytes;
            // Whoever waits for it has it in hand.
            self.by_read.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_kept_up_to_a_bound() {
        let page = |offset| Read::Tasks(Page { offset, ..Page::default() });
        let mut slots = Slots::default();
        let mut ask = |read: Read, bytes| {
            slots.by_read.insert(read.clone(), Slot::default());
            slots.keep(&read, bytes);
            [page(1), page(2), page(3), Read::State].map(|read| slots.by_read.contains_key(&read))
        };
        assert_eq!(ask(page(1), KEPT / 2), [true, false, false, false]);
        assert_eq!(ask(Read::State, KEPT * 2), [true, false, false, true]);
        assert_eq!(ask(page(2), KEPT / 4), [true, true, false, true]);
        assert_eq!(ask(page(1), KEPT / 2), [true, true, false, true]);
        assert_eq!(ask(page(3), KEPT / 2), [false, false, true, true], "the oldest go, as many as it takes");
        assert_eq!(ask(page(2), KEPT * 2), [false, false, false, true], "too large by itself");
        for offset in 1..=PAGES + 1 {
            ask(page(offset), 1);
        }
        assert_eq!(ask(Read::State, 1), [false, true, true, true]);
        assert_eq!(slots.by_read.len(), PAGES + 1);
    }
}
