//! Outgoing messages: at most one connection to an address, opened once and written in order.
//!
//! Answers are read and thrown away and nothing waits for them. A linked address keeps its connection for
//! ever, and its end is an [`Exited`]; an address that nobody linked gets a connection for the messages at
//! hand, which is closed behind them. Nothing reconnects by itself: that is the role's decision.
//!
//! A task per connection, none per message: `send` appends to a buffer that the task takes whole, so a burst
//! of messages to one peer is one write.
//!
//! Source: `SocketManager`, process.cpp 1.11.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustc_hash::FxHashMap;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

use super::frame;
use crate::base::upid::Upid;

/// Bytes that may wait for one peer. A peer that lets more pile up is treated as gone.
pub const QUEUE_LIMIT: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a finished one-shot connection waits for the peer to take the last bytes and close.
const LINGER: Duration = Duration::from_secs(5);

/// A linked address is gone: its connection ended or could not be opened. Told once for each link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    pub address: SocketAddr,
}

/// Sends messages to other processes. Cheap to clone; every call returns at once.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

struct Shared {
    /// Addresses with a connection that is open or being opened.
    peers: Mutex<FxHashMap<SocketAddr, Arc<Peer>>>,
    exited: mpsc::UnboundedSender<Exited>,
    queue_limit: usize,
    runtime: tokio::runtime::Handle,
}

struct Peer {
    address: SocketAddr,
    queue: Mutex<Queue>,
    /// Woken when the queue grows or `end` is set.
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    /// Whole buffers; the connection's task takes them all at once.
    full: VecDeque<Bytes>,
    /// The buffer that small messages are appended to.
    open: Vec<u8>,
    /// Bytes queued here or taken and not yet written.
    waiting: usize,
    linked: bool,
    end: Option<End>,
}

/// Why a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer does not read.
    Overflow,
    /// Another connection has taken over, with what was queued here.
    Replaced,
}

/// What the connection's task finds when it looks for work.
enum Work {
    Write,
    Wait,
    /// Nothing left and nobody linked.
    Done,
    End(End),
}

impl Links {
    /// Must be called inside a tokio runtime, which its connections then live in.
    pub fn new() -> (Links, mpsc::UnboundedReceiver<Exited>) {
        Links::with_queue_limit(QUEUE_LIMIT)
    }

    /// As [`Links::new`], with another bound than [`QUEUE_LIMIT`] on the bytes waiting for one peer.
    pub fn with_queue_limit(queue_limit: usize) -> (Links, mpsc::UnboundedReceiver<Exited>) {
        let (exited, exits) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Handle::current();
        let shared = Shared { peers: Mutex::default(), exited, queue_limit, runtime };
        (Links { shared: Arc::new(shared) }, exits)
    }

    /// Queues a message. Lost without a word if the peer cannot be reached, as in Mesos.
    pub fn send(&self, from: &Upid, to: &Upid, name: &str, body: Bytes) {
        let mut peers = self.shared.peers();
        let peer = self.peer(&mut peers, to.address);
        let mut queue = peer.queue();
        // Not against the message itself: a single large one must pass.
        if queue.waiting > self.shared.queue_limit {
            if queue.end.is_none() {
                warn!(peer = %to.address, bytes = queue.waiting, "peer does not read its messages; dropping the connection");
                queue.end = Some(End::Overflow);
                queue.full.clear();
                queue.open = Vec::new();
            }
        } else if queue.end.is_none() {
            queue.push(from, to, name, body);
        }
        drop(queue);
        peer.wake.notify_one();
    }

    /// Opens a lasting connection at once, unless there is one; its end will be an [`Exited`].
    pub fn link(&self, to: SocketAddr) {
        let mut peers = self.shared.peers();
        let peer = self.peer(&mut peers, to);
        peer.queue().linked = true;
    }

    /// As [`Links::link`], but on a new socket even if there is a connection: it may be half open.
    /// Messages not yet written move over; the old connection ends without an [`Exited`].
    pub fn relink(&self, to: SocketAddr) {
        let mut peers = self.shared.peers();
        let old = peers.remove(&to);
        let peer = self.peer(&mut peers, to);
        let mut queue = peer.queue();
        queue.linked = true;
        if let Some(old) = old {
            let mut old_queue = old.queue();
            old_queue.end = Some(End::Replaced);
            queue.full = mem::take(&mut old_queue.full);
            queue.open = mem::take(&mut old_queue.open);
            queue.waiting = queue.full.iter().map(Bytes::len).sum::<usize>() + queue.open.len();
            drop(old_queue);
            old.wake.notify_one();
        }
    }

    /// Whether all that was sent to this address has been handed to the system, or given up.
    pub fn is_flushed(&self, to: SocketAddr) -> bool {
        self.shared.peers().get(&to).is_none_or(|peer| peer.queue().waiting == 0)
    }

    /// Lets every connection end once it has written what is queued; none is told as an [`Exited`].
    pub fn unlink_all(&self) {
        for peer in self.shared.peers().values() {
            peer.queue().linked = false;
            peer.wake.notify_one();
        }
    }

    /// The connection to an address, started if there is none.
    fn peer(&self, peers: &mut FxHashMap<SocketAddr, Arc<Peer>>, address: SocketAddr) -> Arc<Peer> {
        let start = || {
            let peer = Arc::new(Peer { address, queue: Mutex::default(), wake: Notify::new() });
            self.shared.runtime.spawn(run(self.shared.clone(), peer.clone()));
            peer
        };
        peers.entry(address).or_insert_with(start).clone()
    }
}

impl Shared {
    fn peers(&self) -> MutexGuard<'_, FxHashMap<SocketAddr, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the peer off the map, unless it has been replaced, and tells of the end if it was linked.
    ///
    /// Under the lock of the map, so that a later `link` opens anew and an earlier one is told.
    fn forget(&self, peer: &Arc<Peer>, why: &io::Error) {
        let mut peers = self.peers();
        if !peers.get(&peer.address).is_some_and(|now| Arc::ptr_eq(now, peer)) {
            return;
        }
        peers.remove(&peer.address);
        if peer.queue().linked {
            info!(peer = %peer.address, reason = %why, "link ended");
            // The receiver is gone only when the role is.
            let _ = self.exited.send(Exited { address: peer.address });
        } else {
            debug!(peer = %peer.address, reason = %why, "messages not delivered");
        }
    }

    /// Takes an unlinked peer with nothing left to write off the map; false if there is more to do after all.
    fn finish(&self, peer: &Arc<Peer>) -> bool {
        let mut peers = self.peers();
        let queue = peer.queue();
        let done = !queue.linked && queue.is_empty() && queue.end.is_none();
        if done {
            peers.remove(&peer.address);
        }
        done
    }
}

impl Peer {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves everything queued to `batch` if that has been written.
    fn next(&self, batch: &mut VecDeque<Bytes>) -> Work {
        let mut queue = self.queue();
        if let Some(end) = queue.end {
            return Work::End(end);
        }
        if !batch.is_empty() {
            return Work::Write;
        }
        if queue.is_empty() {
            return if queue.linked { Work::Wait } else { Work::Done };
        }
        batch.append(&mut queue.full);
        if !queue.open.is_empty() {
            batch.push_back(mem::take(&mut queue.open).into());
        }
        Work::Write
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.is_empty()
    }

    fn push(&mut self, from: &Upid, to: &Upid, name: &str, body: Bytes) {
        let before = self.open.len();
        let large = frame::write(&mut self.open, from, to, name, body);
        self.waiting += self.open.len() - before;
        if let Some(body) = large {
            self.waiting += body.len() + frame::TRAILER.len();
            self.full.push_back(mem::take(&mut self.open).into());
            self.full.push_back(body);
            self.open.extend_from_slice(frame::TRAILER);
        }
    }
}

/// The life of one connection.
async fn run(shared: Arc<Shared>, peer: Arc<Peer>) {
    let stream = match connect(&peer).await {
        Ok(stream) => stream,
        Err(error) => return shared.forget(&peer, &error),
    };
    match talk(&shared, &peer, &stream).await {
        Ok(()) => close(stream).await,
        Err(error) => shared.forget(&peer, &error),
    }
}

async fn connect(peer: &Peer) -> io::Result<TcpStream> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(peer.address))
        .await
        .map_err(|_| timed_out())??;
    // Messages are written whole; waiting for more would only delay pings.
    stream.set_nodelay(true)?;
    super::connection::keep_alive(&stream);
    Ok(stream)
}

/// Writes what is queued and reads what comes, until a one-shot connection is done (`Ok`) or the
/// connection ends.
///
/// Reading goes on while writing: a peer whose answers nobody takes would stop taking our messages.
async fn talk(shared: &Shared, peer: &Arc<Peer>, stream: &TcpStream) -> io::Result<()> {
    let mut batch = VecDeque::new();
    loop {
        let interest = match peer.next(&mut batch) {
            Work::Write => Interest::READABLE | Interest::WRITABLE,
            Work::Wait => Interest::READABLE,
            Work::Done if shared.finish(peer) => return Ok(()),
            Work::Done => continue,
            Work::End(End::Overflow) => return Err(io::Error::other("the peer does not read")),
            Work::End(End::Replaced) => return Err(io::Error::other("replaced by a new connection")),
        };
        tokio::select! {
            ready = stream.ready(interest) => {
                let ready = ready?;
                if ready.is_readable() {
                    discard(stream)?;
                }
                if ready.is_writable() && !batch.is_empty() {
                    let written = write(stream, &mut batch)?;
                    peer.queue().waiting -= written;
                }
            }
            () = peer.wake.notified() => {}
        }
    }
}

/// Writes as much as the socket takes; gives how much that was.
fn write(stream: &TcpStream, batch: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let mut total = 0;
    while let Some(first) = batch.front_mut() {
        match stream.try_write(first) {
            Ok(count) => {
                total += count;
                first.advance(count);
                if first.is_empty() {
                    batch.pop_front();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Reads away the answers; the peer's end is an error.
fn discard(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    // Bounded, so that a peer that never stops answering cannot keep us from writing.
    for _ in 0..16 {
        match super::connection::read(stream, &mut buffer) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer")),
            Ok(count) if count < buffer.len() => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends a one-shot connection: FIN at once, as libprocess does, then the answers are read away, because
/// closing over unread answers would be a reset that may overtake the messages.
///
/// Waiting for one answer to each message before the FIN would gain nothing: mesos-go never answers a libprocess
/// sender, and of thousands of messages that a FIN followed at once it lost none on a busy machine.
async fn close(mut stream: TcpStream) {
    use tokio::io::AsyncWriteExt as _;
    if stream.shutdown().await.is_err() {
        return;
    }
    let drained = async {
        while stream.readable().await.is_ok() {
            if discard(&stream).is_err() {
                break;
            }
        }
    };
    // Either way the stream closes now.
    let _ = tokio::time::timeout(LINGER, drained).await;
}
