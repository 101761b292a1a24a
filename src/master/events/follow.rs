//! A follower's stream: what it starts with, then what it finds in the log, and heartbeats.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at};

use super::log::Found;
use super::segment::{Form, id};
use super::{Follower, Hub, Watch};
use crate::http::recordio;
use crate::master::view::v1::{self, HEARTBEAT_SECS};

/// From where on, and what is said before that.
pub struct Start {
    /// The number of the last happening that the follower knows of.
    pub after: u64,
    pub first: Vec<Bytes>,
}

/// Why a stream is over that its client would have gone on with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client did not keep up")]
struct Behind;

type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The stream. Dropped, it follows no more.
pub struct Stream {
    hub: Hub,
    number: u64,
    follower: Arc<Follower>,
    form: Form,
    cursor: u64,
    ready: VecDeque<Bytes>,
    written: watch::Receiver<u64>,
    beat: Interval,
    /// Ready when the client has closed its side.
    gone: Gone,
    _watch: Watch,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.shared.followers().by_number.remove(&self.number);
    }
}

impl Stream {
    pub(super) fn new(
        hub: Hub,
        number: u64,
        follower: Arc<Follower>,
        start: Start,
        form: Form,
        watch: Watch,
    ) -> Stream {
        let written = hub.shared.written.subscribe();
        let every = Duration::from_secs(HEARTBEAT_SECS);
        let connection = follower.connection.clone();
        let gone: Gone = match connection {
            Some(connection) => Box::pin(connection.gone()),
            None => Box::pin(std::future::pending()),
        };
        Stream {
            hub,
            number,
            follower,
            form,
            cursor: start.after,
            ready: start.first.into(),
            written,
            beat: interval_at(Instant::now() + every, every),
            gone,
            _watch: watch,
        }
    }

    /// The body that carries it: a chunk for all that came meanwhile, or for as much of it as is sent at once.
    pub fn body(self) -> Body {
        let next = async |mut stream: Stream| Some((stream.next().await?, stream));
        Body::from_stream(futures::stream::unfold(self, next))
    }

    /// The next piece; none at an orderly end. An error tells the client that this was not all.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if self.follower.cut.load(Ordering::Acquire) {
                let behind = !self.hub.remembers(self.cursor);
                return behind.then(|| Err(io::Error::other(Behind)));
            }
            self.written.borrow_and_update();
            if !self.read() {
                return Some(Err(io::Error::other(Behind)));
            }
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                () = &mut self.gone => return None,
                () = self.follower.woken.notified() => {}
                changed = self.written.changed() => changed.ok()?,
                _ = self.beat.tick() => return Some(Ok(self.heartbeat())),
            }
        }
    }

    /// Takes what the log has; false if that is not what follows.
    fn read(&mut self) -> bool {
        loop {
            let found = self.hub.shared.log.read().unwrap_or_else(PoisonError::into_inner).after(self.cursor);
            let segment = match found {
                Found::Nothing => return true,
                Found::Lost => return false,
                Found::Segment(segment) => segment,
            };
            let bytes = segment.after(self.cursor, &self.form);
            self.cursor = segment.last();
            self.follower.cursor.store(self.cursor, Ordering::Relaxed);
            // Of those that were read none may have passed.
            if !bytes.is_empty() {
                self.ready.push_back(bytes);
                return true;
            }
        }
    }

    pub(super) fn heartbeat(&self) -> Bytes {
        match &self.form {
            Form::Records(encoding) => recordio::encode(&v1::heartbeat(*encoding)),
            Form::Sent(_) => place(self.hub.life(), self.cursor),
        }
    }
}

/// A comment, and where the client is now: one that comes back asks for what follows, though it was told nothing.
pub fn place(life: &str, number: u64) -> Bytes {
    format!(": heartbeat\nid: {}\n\n", id(life, number)).into()
}

/// The client has to read the state anew: what lies between is not told.
pub fn reset(life: &str, number: u64, why: &str) -> Bytes {
    let data = serde_json::json!({"type": "RESET", "reason": why});
    format!("id: {}\nevent: reset\ndata: {data}\n\n", id(life, number)).into()
}
