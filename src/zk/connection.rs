//! A client's socket: frames in, frames out, each by a task of its own.
//!
//! What comes is bounded: a frame by ZooKeeper's limit, all that wait for the loop by bytes together. A client that
//! does not read what it asked for is not read from; one that lets even what it is told of pile up is cut off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::core::{ConnId, Event};
use super::wire::{Hello, LONGEST, Request};

/// Until a connection has said who it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until what a closed connection was sent has to be gone.
const LEAVING: Duration = Duration::from_secs(5);

/// Bytes to a client that wait for it, from which on it is not read from, and from which on it is cut off.
const MUCH: usize = 1 << 20;
const TOO_MUCH: usize = 64 << 20;

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// What comes to the loop.
pub enum Inbound {
    Event {
        event: Event,
        arrived: Instant,
        _room: Option<OwnedSemaphorePermit>,
    },
    Linked {
        conn: ConnId,
        link: Link,
    },
    /// A four-letter word, and who waits for its answer.
    Word {
        word: [u8; 4],
        answer: oneshot::Sender<String>,
    },
}

/// The way to the loop.
#[derive(Clone)]
pub struct Inbox {
    pub sender: mpsc::Sender<Inbound>,
    /// Bytes of frames that wait.
    pub room: Arc<Semaphore>,
}

/// The loop's side of a connection. Ends it when dropped, after what was sent.
pub struct Link {
    frames: UnboundedSender<Bytes>,
    pub numbers: Arc<Numbers>,
}

/// What there is to count of a connection.
pub struct Numbers {
    pub peer: SocketAddr,
    pub since: Instant,
    pub received: AtomicU64,
    pub sent: AtomicU64,
    pub session: AtomicI64,
    /// Bytes that wait to be written.
    queued: AtomicUsize,
    drained: Notify,
    /// The loop has let go.
    left: Notify,
}

impl Numbers {
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

impl Link {
    /// False if its client lets too much pile up.
    pub fn send(&self, frame: Bytes) -> bool {
        self.numbers.sent.fetch_add(1, Ordering::Relaxed);
        let queued = self.numbers.queued.fetch_add(frame.len(), Ordering::Relaxed) + frame.len();
        // Its writer is gone: the loop will hear of it.
        let _ = self.frames.send(frame);
        queued <= TOO_MUCH
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.numbers.left.notify_one();
    }
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, conn: ConnId, inbox: Inbox) {
    let _ = stream.set_nodelay(true);
    let (mut reading, mut writing) = stream.into_split();
    let mut first = [0; 4];
    match timeout(PATIENCE, reading.read_exact(&mut first)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return,
        Err(_) => return tracing::info!(%peer, "closing a connection: it says nothing"),
    }
    if first.iter().all(u8::is_ascii_lowercase) {
        let (answer, answered) = oneshot::channel();
        if inbox.sender.send(Inbound::Word { word: first, answer }).await.is_ok()
            && let Ok(text) = answered.await
        {
            let _ = timeout(LEAVING, writing.write_all(text.as_bytes())).await;
        }
        return;
    }
    let numbers = Arc::new(Numbers {
        peer,
        since: Instant::now(),
        received: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        session: AtomicI64::new(0),
        queued: AtomicUsize::new(0),
        drained: Notify::new(),
        left: Notify::new(),
    });
    let (frames, queue) = mpsc::unbounded_channel();
    let link = Link { frames, numbers: numbers.clone() };
    let opened = Event::Opened { conn, address: peer.ip().to_canonical() };
    let writer = tokio::spawn(write(writing, queue, numbers.clone()));
    if inbox.sender.send(Inbound::Linked { conn, link }).await.is_err() || !inbox.tell(opened).await {
        return;
    }
    tokio::select! {
        why = read(reading, first, conn, &numbers, &inbox) => match why {
            Some(why) => tracing::info!(%peer, why, "closing a connection"),
            None => tracing::debug!(%peer, "a connection was closed"),
        },
        // The loop let go of it, or its client is gone.
        _ = writer => {}
    }
    inbox.tell(Event::Closed { conn }).await;
}

impl Inbox {
    async fn tell(&self, event: Event) -> bool {
        self.sender.send(Inbound::Event { event, arrived: Instant::now(), _room: None }).await.is_ok()
    }
}

/// Why the connection has to end; none if its client ended it.
async fn read(
    reading: OwnedReadHalf,
    first: [u8; 4],
    conn: ConnId,
    numbers: &Numbers,
    inbox: &Inbox,
) -> Option<String> {
    if first == [0; 4] {
        return Some("a frame makes no sense: it is empty".to_owned());
    }
    let codec = LengthDelimitedCodec::builder().max_frame_length(LONGEST).new_codec();
    let mut frames = FramedRead::new(reading, codec);
    frames.read_buffer_mut().extend_from_slice(&first);
    let mut is_first = true;
    loop {
        let next = frames.next();
        let next = match is_first {
            true => match timeout(PATIENCE, next).await {
                Ok(next) => next,
                Err(_) => return Some("it says nothing".to_owned()),
            },
            false => next.await,
        };
        let frame = match next? {
            Ok(frame) => frame.freeze(),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Some(format!("a frame is longer than {LONGEST} bytes"));
            }
            // As good as closed.
            Err(_) => return None,
        };
        numbers.received.fetch_add(1, Ordering::Relaxed);
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let event = match is_first {
            true => Hello::read(frame).map(|hello| Event::Hello { conn, hello }),
            false => Request::read(frame).map(|(xid, request)| Event::Asked { conn, xid, request }),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => return Some(format!("a frame makes no sense: {error}")),
        };
        is_first = false;
        let room = inbox.room.clone().acquire_many_owned(bytes).await.ok()?;
        let event = Inbound::Event { event, arrived: Instant::now(), _room: Some(room) };
        inbox.sender.send(event).await.ok()?;
        while numbers.queued() > MUCH {
            numbers.drained.notified().await;
        }
    }
}

async fn write(mut writing: OwnedWriteHalf, mut queue: UnboundedReceiver<Bytes>, numbers: Arc<Numbers>) {
    let mut piece = BytesMut::new();
    while let Some(frame) = queue.recv().await {
        piece.extend_from_slice(&frame);
        while piece.len() < PIECE
            && let Ok(frame) = queue.try_recv()
        {
            piece.extend_from_slice(&frame);
        }
        let late = async {
            numbers.left.notified().await;
            tokio::time::sleep(LEAVING).await;
        };
        let written = tokio::select! {
            written = writing.write_all(&piece) => written,
            () = late => return,
        };
        numbers.queued.fetch_sub(piece.len(), Ordering::Relaxed);
        numbers.drained.notify_one();
        if written.is_err() {
            return;
        }
        piece.clear();
        if piece.capacity() > 4 * PIECE {
            piece = BytesMut::new();
        }
    }
    let _ = timeout(LEAVING, writing.shutdown()).await;
}
