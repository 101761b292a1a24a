//! Subscribers of the operator API's event stream by the thousand, in one thread that gives way to all others, so
//! that what they take from the master under measure is as little as the kernel allows: what they get is counted
//! and thrown away in the kernel. Two of them, one in each encoding, look at their events; some never read.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mesos::http::recordio::Decoder;
use mesos::process::background::give_way;
use mesos::proto::master::Event;
use mesos::proto::master::event::Type;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::support::follower::subscription;
use super::wire;

const ENCODINGS: [&str; 2] = ["application/x-protobuf", "application/json"];

/// What the kernel may hold for one: thousands of them must leave it memory for agents.
const UNREAD: u32 = 256 << 10;

/// Connections being opened at once.
const OPENING: usize = 64;

/// What they have seen so far.
#[derive(Default)]
struct Seen {
    /// Those to whom something was said.
    greeted: AtomicUsize,
    /// What each has got.
    bytes: Vec<AtomicU64>,
    /// Streams that ended.
    ended: AtomicUsize,
    /// AGENT_ADDED that those who look have got, and their records' bytes; by encoding.
    added: [AtomicUsize; 2],
    added_bytes: [AtomicU64; 2],
}

pub struct Followers {
    seen: Arc<Seen>,
    live: usize,
    _stop: oneshot::Sender<()>,
}

impl Followers {
    /// Subscribes `live` ones that read and `stuck` ones that do not, half of them in each encoding.
    pub fn start(master: SocketAddr, live: usize, stuck: usize) -> Followers {
        let bytes = (0..live + stuck).map(|_| AtomicU64::new(0)).collect();
        let seen = Arc::new(Seen { bytes, ..Seen::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = seen.clone();
        std::thread::spawn(move || {
            give_way(19);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            let opening = Rc::new(Semaphore::new(OPENING));
            let waste = Rc::new(RefCell::new(vec![0; 1 << 20]));
            for number in 0..live + stuck {
                let (opening, seen, waste) = (opening.clone(), shared.clone(), waste.clone());
                local.spawn_local(async move {
                    let permit = opening.acquire().await.expect("never closed");
                    let stream = open(master, ENCODINGS[number % 2]).await.expect("the master listens");
                    greet(&stream, &seen).await;
                    drop(permit);
                    match number {
                        0 | 1 => look(&stream, number, &seen).await,
                        number if number < live => count(&stream, number, &seen, &waste).await,
                        // Open as long as this is, and not read.
                        _ => std::future::pending().await,
                    }
                    seen.ended.fetch_add(1, Ordering::Relaxed);
                });
            }
            // It ends when the other end is dropped.
            let _ = runtime.block_on(local.run_until(stopped));
        });
        Followers { seen, live, _stop: stop }
    }

    /// All have subscribed.
    pub async fn greeted(&self) {
        let all = self.seen.bytes.len();
        wait("subscriptions", || self.seen.greeted.load(Ordering::Relaxed) == all).await;
    }

    /// Waits until all that read have been told of so many agents.
    pub async fn told(&self, agents: usize) {
        let seen = &self.seen;
        wait("events to those who look", || {
            seen.added.iter().all(|count| count.load(Ordering::Relaxed) >= agents)
        })
        .await;
        let wanted = [0, 1].map(|encoding| seen.added_bytes[encoding].load(Ordering::Relaxed));
        let all = || {
            let got = seen.bytes[..self.live].iter().enumerate();
            got.skip(2).all(|(number, bytes)| bytes.load(Ordering::Relaxed) >= wanted[number % 2])
        };
        wait("events to all who read", all).await;
    }

    /// Streams of those that read which have ended.
    pub fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::Relaxed)
    }

    /// Bytes that those who read have been sent.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes[..self.live].iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }
}

async fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(600);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within ten minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn open(master: SocketAddr, accept: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(UNREAD)?;
    let mut stream = socket.connect(master).await?;
    stream.write_all(&subscription(accept)).await?;
    Ok(stream)
}

/// Waits for the first bytes, which are not taken.
async fn greet(stream: &TcpStream, seen: &Seen) {
    stream.readable().await.expect("the master answers");
    seen.greeted.fetch_add(1, Ordering::Relaxed);
}

async fn count(stream: &TcpStream, number: usize, seen: &Seen, waste: &RefCell<Vec<u8>>) {
    while stream.readable().await.is_ok() {
        let mut waste = waste.borrow_mut();
        // Of a TCP socket this takes what came and copies nothing.
        let read = || Ok(recv(stream.as_raw_fd(), &mut waste, MsgFlags::MSG_TRUNC)?);
        match stream.try_io(Interest::READABLE, read) {
            Ok(0) => return,
            Ok(count) => {
                seen.bytes[number].fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn look(stream: &TcpStream, encoding: usize, seen: &Seen) {
    let (mut buffer, mut body) = (BytesMut::new(), Decoder::new(1 << 30));
    let mut head = None;
    while stream.readable().await.is_ok() {
        if wire::read(stream, &mut buffer).is_err() {
            return;
        }
        if head.is_none() {
            head = wire::take_head(&mut buffer);
        }
        while let Some(chunk) = head.as_ref().and_then(|_| wire::take_chunk(&mut buffer)) {
            body.push(&chunk);
            while let Some(record) = body.next_record().expect("RecordIO") {
                if is_agent_added(&record, encoding) {
                    seen.added_bytes[encoding].fetch_add(record.len() as u64, Ordering::Relaxed);
                    seen.added[encoding].fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

fn is_agent_added(record: &[u8], encoding: usize) -> bool {
    if encoding == 0 {
        let event: Event = mesos::proto::check::decode(record).expect("an event");
        return event.r#type() == Type::AgentAdded;
    }
    record.starts_with(br#"{"type":"AGENT_ADDED""#)
}
