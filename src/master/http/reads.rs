//! Reads: rendered from a snapshot in a thread of their own, once for all that ask alike.
//!
//! A request takes any rendering whose snapshot was made after it came; so while one is under way, those that
//! come meanwhile wait and then share the next. As long as nothing happens in the cluster, a whole state is
//! rendered once: its bytes are kept with the snapshot's version.
//!
//! Source: `Master::Http::deferBatchedRequest`, http.cpp 1.11, which shares among requests of one batch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Site, ended};
use crate::http::error::HttpError;
use crate::http::recordio;
use crate::master::core::state::Cluster;
use crate::master::flags::Flags;
use crate::master::view::v1::Ask;
use crate::master::view::{self, Page};
use crate::metrics::Counter;
use crate::proto::writer::Encoding;
use crate::proto::{AgentId, FrameworkId, TaskId};

/// Renderings at once; each may need as many bytes as the whole state has.
const RENDERINGS: usize = 4;

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

pub struct Reads {
    slots: Mutex<HashMap<Read, Slot>>,
    /// Counts requests and snapshots, so that it can be told which came first.
    moment: AtomicU64,
    renderings: Arc<Semaphore>,
    /// Answers that took no rendering of their own.
    hits: Counter,
}

impl Reads {
    pub fn new(hits: Counter) -> Reads {
        let renderings = Arc::new(Semaphore::new(RENDERINGS));
        Reads { slots: Mutex::default(), moment: AtomicU64::new(1), renderings, hits }
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
        drop(slot);
        reads.tidy(&read);
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
                let bytes = read.render(&snapshot.cluster, &flags);
                drop(turn);
                Ok((snapshot.version, Bytes::from(bytes)))
            };
            let (version, bytes) = crate::files::handlers::blocking(render).await?;
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
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(read.clone()).or_default().clone()
    }

    /// Forgets a rendering that is not worth keeping once nobody waits for it.
    fn tidy(&self, read: &Read) {
        if read.is_whole() {
            return;
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(read).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(read);
        }
    }
}
