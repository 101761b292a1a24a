//! An answer that goes on: records, each one RecordIO record and one HTTP chunk.
//!
//! The owner pushes and never waits. What the client has not read is held here within bounds; a client that
//! falls behind further is cut off, and the owner is told. So is one that closes its side of the connection.
//!
//! Source: `StreamingHttpConnection`, common/http.hpp 1.11, which has no bound (MESOS-7748).

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;

use super::recordio;
use crate::process::connection::Connection;

/// How much may wait for a client that reads slowly.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: usize,
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 64 << 20, records: 100_000 }
    }
}

/// Why a stream is over, other than by its owner's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the client disconnected")]
    Disconnected,
    #[error("the client did not keep up")]
    Overflow,
}

type OnClosed = Box<dyn FnOnce(Closed) + Send>;

struct Shared {
    state: Mutex<State>,
    connection: Option<Connection>,
}

struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    limits: Limits,
    /// The owner has said all; the stream ends behind the queue.
    finished: bool,
    closed: Option<Closed>,
    waker: Option<Waker>,
    on_closed: Option<OnClosed>,
}

/// The owner's end. When the last clone is dropped the stream ends, as by [`Writer::finish`].
#[derive(Clone)]
pub struct Writer {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
}

/// Makes a stream: the end to push to and the body to answer with.
///
/// `connection` is the one in the request's extensions. `on_closed` is called once, from another task or
/// from inside `send`, if the client goes or falls behind, and not if the owner finishes first; it must
/// not wait, typically it queues an event.
pub fn open(
    limits: Limits,
    connection: Option<Connection>,
    on_closed: impl FnOnce(Closed) + Send + 'static,
) -> (Writer, Body) {
    let state = State {
        queue: VecDeque::new(),
        bytes: 0,
        limits,
        finished: false,
        closed: None,
        waker: None,
        on_closed: Some(Box::new(on_closed)),
    };
    let gone = connection.clone().map(|connection| Box::pin(connection.gone()) as Gone);
    let shared = Arc::new(Shared { state: Mutex::new(state), connection });
    let writer = Writer { owner: Arc::new(Owner { shared: shared.clone() }) };
    (writer, Body::new(Records { shared, gone }))
}

impl Writer {
    /// Pushes one record, encoding its length in front of it.
    pub fn send(&self, record: &[u8]) -> Result<(), Closed> {
        self.send_encoded(recordio::encode(record))
    }

    /// Pushes what [`recordio::encode`] gave, so that one record for many clients is encoded once.
    pub fn send_encoded(&self, record: Bytes) -> Result<(), Closed> {
        let shared = &self.owner.shared;
        let mut state = shared.state();
        if let Some(closed) = state.closed {
            return Err(closed);
        }
        if state.finished {
            return Ok(());
        }
        let fits =
            state.bytes + record.len() <= state.limits.bytes && state.queue.len() < state.limits.records;
        // A single record larger than the bound must still pass, or its client could never be served.
        if !fits && !state.queue.is_empty() {
            shared.close(state, Closed::Overflow);
            if let Some(connection) = &shared.connection {
                connection.abort();
            }
            return Err(Closed::Overflow);
        }
        state.bytes += record.len();
        state.queue.push_back(record);
        state.wake();
        Ok(())
    }

    /// Ends the stream behind what has been pushed; what is pushed later is dropped.
    pub fn finish(&self) {
        self.owner.shared.finish();
    }

    pub fn is_closed(&self) -> bool {
        self.owner.shared.state().closed.is_some()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) {
        let mut state = self.state();
        state.finished = true;
        state.on_closed = None;
        state.wake();
    }

    /// Ends the stream from the client's side and tells the owner, without the lock.
    fn close(&self, mut state: MutexGuard<'_, State>, why: Closed) {
        if state.closed.is_none() {
            state.closed = Some(why);
        }
        state.queue = VecDeque::new();
        state.bytes = 0;
        let on_closed = state.on_closed.take();
        state.wake();
        drop(state);
        if let Some(on_closed) = on_closed {
            on_closed(why);
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body that hyper writes: a frame for each record, hence a chunk for each record.
struct Records {
    shared: Arc<Shared>,
    /// Ready when the client has closed its side.
    gone: Option<Gone>,
}

impl hyper::body::Body for Records {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.gone.as_mut().is_some_and(|gone| gone.as_mut().poll(cx).is_ready()) {
            self.gone = None;
            let shared = self.shared.clone();
            shared.close(shared.state(), Closed::Disconnected);
        }
        let mut state = self.shared.state();
        // An error and not the end: the client must not take what it got for all there was.
        if let Some(closed) = state.closed {
            return Poll::Ready(Some(Err(io::Error::other(closed))));
        }
        if let Some(record) = state.queue.pop_front() {
            state.bytes -= record.len();
            return Poll::Ready(Some(Ok(Frame::data(record))));
        }
        if state.finished {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.shared.close(self.shared.state(), Closed::Disconnected);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http_body_util::BodyExt as _;

    use super::*;

    fn open_small() -> (Writer, Body, mpsc::Receiver<Closed>) {
        let (told, reasons) = mpsc::channel();
        let limits = Limits { bytes: 20, records: 3 };
        let (writer, body) = open(limits, None, move |why| told.send(why).unwrap());
        (writer, body, reasons)
    }

    #[tokio::test]
    async fn one_frame_for_each_record_and_an_end() {
        let (writer, mut body, reasons) = open_small();
        writer.send(b"hello").unwrap();
        writer.send(b"world!").unwrap();
        writer.finish();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(frames, ["5\nhello", "6\nworld!"]);
        drop(body);
        assert!(reasons.try_recv().is_err(), "the owner ended it and knows");
    }

    #[tokio::test]
    async fn a_slow_client_is_cut_off() {
        let (writer, mut body, reasons) = open_small();
        writer.send(b"12345678").unwrap();
        writer.send(b"12345678").unwrap();
        assert_eq!(writer.send(b"12345678"), Err(Closed::Overflow));
        assert_eq!(writer.send(b""), Err(Closed::Overflow));
        assert_eq!(reasons.try_iter().collect::<Vec<_>>(), [Closed::Overflow]);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_client_that_goes_is_told_once() {
        let (writer, body, reasons) = open_small();
        writer.send(b"12345678901234567890").unwrap();
        drop(body);
        assert_eq!(writer.send(b"1"), Err(Closed::Disconnected));
        assert_eq!(reasons.try_iter().collect::<Vec<_>>(), [Closed::Disconnected]);
    }
}
