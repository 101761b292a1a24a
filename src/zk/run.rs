//! The loop of a server: what clients ask goes to the core, what that changes to the store, and then what it says to
//! the clients.
//!
//! All that waits goes into one round, and so into one write of the store.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use rand::RngExt as _;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::connection::{self, Inbound, Inbox, Link};
use super::core::{ConnId, Effect, Event, Now, Server, Settings};
use super::store::{self, Place, Store};
pub use super::words::Allowed;
use super::words::{self, Latency};

/// What waits for the loop: bytes of frames, and pieces.
const BYTES: usize = 64 << 20;
const PIECES: usize = 4096;

/// How often sessions are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Records that one write may hold, where the store has no limit of its own.
const MOST: usize = 100_000;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    pub place: Place,
    /// Sessions last two of these at least and twenty at most.
    pub tick: Duration,
    pub words: Allowed,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("opening the store")]
    Store(#[from] store::Error),
}

/// A server that serves.
pub struct Running {
    pub address: SocketAddr,
    /// Says why it had to end.
    pub ended: oneshot::Receiver<String>,
}

/// Opens the store and serves. Must be called inside a tokio runtime with several threads.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let listen = |source| StartError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let (store, tree) = tokio::task::block_in_place(|| Store::open(&options.place))?;
    tracing::info!(%address, store = store.describe(), nodes = tree.len(), "ZooKeeper serves");
    let tick_ms = i32::try_from(options.tick.as_millis()).unwrap_or(i32::MAX / 20).max(1);
    let settings =
        Settings { timeouts_ms: (tick_ms * 2, tick_ms.saturating_mul(20)), expires: true, most: MOST };
    let started = Instant::now();
    let server = Server::new(settings, tree, rand::rng().random(), now(started));
    let (sender, inbound) = mpsc::channel(PIECES);
    let inbox = Inbox { sender, room: Arc::new(Semaphore::new(BYTES)) };
    let (over, ended) = oneshot::channel();
    tokio::spawn(accept(listener, inbox));
    let mut serving = Serving {
        server,
        store,
        started,
        links: HashMap::new(),
        words: options.words,
        latency: Latency::default(),
        past: (0, 0),
    };
    tokio::spawn(async move {
        let why = serving.run(inbound).await;
        let _ = over.send(why);
    });
    Ok(Running { address, ended })
}

async fn accept(listener: TcpListener, inbox: Inbox) {
    let mut conn: ConnId = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                conn += 1;
                tokio::spawn(connection::serve(stream, peer, conn, inbox.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(LOOK).await;
            }
        }
        if inbox.sender.is_closed() {
            return;
        }
    }
}

fn now(started: Instant) -> Now {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now {
        since_start: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        since_1970: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
    }
}

struct Serving {
    server: Server,
    store: Store,
    started: Instant,
    links: HashMap<ConnId, Link>,
    words: Allowed,
    latency: Latency,
    /// Frames received and sent by connections that are gone.
    past: (u64, u64),
}

impl Serving {
    /// Why it had to end.
    async fn run(&mut self, mut inbound: mpsc::Receiver<Inbound>) -> String {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = inbound.recv_many(&mut batch, PIECES) => if count == 0 {
                    return "nobody listens any more".to_owned();
                },
                _ = look.tick() => {}
            }
            let (mut events, mut arrivals, mut asked) = (VecDeque::new(), Vec::new(), Vec::new());
            // Room for more is made when these are done.
            let mut rooms = Vec::new();
            for item in batch.drain(..) {
                match item {
                    Inbound::Event { event, arrived, _room } => {
                        if matches!(event, Event::Asked { .. }) {
                            arrivals.push(arrived);
                        }
                        events.push_back(event);
                        rooms.push(_room);
                    }
                    Inbound::Linked { conn, link } => drop(self.links.insert(conn, link)),
                    Inbound::Word { word, answer } => asked.push((word, answer)),
                }
            }
            events.push_back(Event::Tick);
            if let Err(error) = self.rounds(events) {
                return format!("the store failed: {error}");
            }
            for arrived in arrivals {
                self.latency.add(arrived.elapsed());
            }
            for (word, answer) in asked {
                let _ = answer.send(self.answer(word));
            }
        }
    }

    fn rounds(&mut self, mut events: VecDeque<Event>) -> Result<(), store::Error> {
        while !events.is_empty() {
            let now = now(self.started);
            let mut draft = self.server.draft(events, now);
            events = std::mem::take(&mut draft.rest);
            if !draft.touched.is_empty() {
                let (records, head) = (draft.records(), draft.head());
                let store = &mut self.store;
                match store {
                    Store::Memory => {}
                    Store::File(_) => tokio::task::block_in_place(|| store.write(&records, &head))?,
                }
            }
            for effect in self.server.settle(draft, now) {
                self.perform(effect);
            }
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, frame } => {
                let Some(link) = self.links.get(&conn) else { return };
                if !link.send(frame) {
                    tracing::warn!(peer = %link.numbers.peer, "closing a connection: it does not read");
                    self.unlink(conn);
                }
            }
            Effect::Close { conn, why } => {
                if let Some(link) = self.links.get(&conn) {
                    tracing::debug!(peer = %link.numbers.peer, why, "closing a connection");
                }
                self.unlink(conn);
            }
            Effect::Here { conn, session } => {
                if let Some(link) = self.links.get(&conn) {
                    link.numbers.session.store(session, Ordering::Relaxed);
                    tracing::debug!(peer = %link.numbers.peer, session = format!("{session:#x}"), "a session");
                }
            }
        }
    }

    fn unlink(&mut self, conn: ConnId) {
        if let Some(link) = self.links.remove(&conn) {
            self.past.0 += link.numbers.received.load(Ordering::Relaxed);
            self.past.1 += link.numbers.sent.load(Ordering::Relaxed);
        }
    }

    fn answer(&self, word: [u8; 4]) -> String {
        let connections: Vec<_> = self.links.values().map(|link| &*link.numbers).collect();
        let sum =
            |of: fn(&connection::Numbers) -> u64| connections.iter().map(|numbers| of(numbers)).sum::<u64>();
        let tree = self.server.tree();
        let server = words::Server {
            received: self.past.0 + sum(|numbers| numbers.received.load(Ordering::Relaxed)),
            sent: self.past.1 + sum(|numbers| numbers.sent.load(Ordering::Relaxed)),
            outstanding: 0,
            zxid: tree.zxid,
            // ZooKeeper counts its root twice.
            nodes: tree.len() + 1,
            watches: self.server.watch_count(),
            ephemerals: tree.sessions().map(|(_, session)| session.ephemerals.len()).sum(),
            latency: self.latency,
        };
        words::answer(word, &self.words, &server, &connections)
    }
}
