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
use super::core::turn::Key;

use super::core::{self, ConnId, Effect, Event, Now, Server, Settings};
use super::store::etcd::{self, News, Written};
use super::store::{self, Place, Store};
use super::wire::Request;
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
    let (store, tree, over) = Store::open(&options.place).await?;
    tracing::info!(%address, store = store.describe(), nodes = tree.len(), "ZooKeeper serves");
    let tick_ms = i32::try_from(options.tick.as_millis()).unwrap_or(i32::MAX / 20).max(1);
    let is_shared = matches!(store, Store::Etcd(_));
    let most = if is_shared { etcd::MOST } else { MOST };
    let timeouts_ms = (tick_ms * 2, tick_ms.saturating_mul(20));
    let settings = Settings { timeouts_ms, expires: !is_shared, most };
    let started = Instant::now();
    let server = Server::new(settings, tree, rand::rng().random(), now(started));
    let (sender, inbound) = mpsc::channel(PIECES);
    let inbox = Inbox { sender, room: Arc::new(Semaphore::new(BYTES)) };
    let (ending, ended) = oneshot::channel();
    tokio::spawn(accept(listener, inbox));
    let mut serving = Serving {
        server,
        store,
        started,
        links: HashMap::new(),
        words: options.words,
        latency: Latency::default(),
        past: (0, 0),
        later: VecDeque::new(),
    };
    tokio::spawn(async move {
        let over = over.into_iter().map(|session| Event::Over { session }).collect();
        let why = match serving.rounds(over).await {
            Ok(()) => serving.run(inbound).await,
            Err(why) => why,
        };
        let _ = ending.send(why);
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
    /// Events that the store told of.
    later: VecDeque<Event>,
}

/// What has happened in the store; waits for it.
async fn news(store: &mut Store) -> News {
    match store {
        Store::Etcd(etcd) => etcd.news().await,
        Store::Memory | Store::File(_) => std::future::pending().await,
    }
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
                news = news(&mut self.store) => match self.hear(news) {
                    Ok(Some(event)) => self.later.push_back(event),
                    Ok(None) => {}
                    Err(why) => return why,
                },
            }
            let mut events = std::mem::take(&mut self.later);
            let (mut arrivals, mut asked) = (Vec::new(), Vec::new());
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
            if let Err(why) = self.rounds(events).await {
                return why;
            }
            for arrived in arrivals {
                self.latency.add(arrived.elapsed());
            }
            for (word, answer) in asked {
                let _ = answer.send(self.answer(word));
            }
        }
    }

    /// Does what has happened; the error says why that cannot go on.
    async fn rounds(&mut self, mut events: VecDeque<Event>) -> Result<(), String> {
        self.prepare(&mut events).await?;
        while !events.is_empty() {
            let now = now(self.started);
            let again = matches!(self.store, Store::Etcd(_)).then(|| events.clone());
            let mut draft = self.server.draft(events, now);
            events = std::mem::take(&mut draft.rest);
            if !draft.touched.is_empty() {
                let records = draft.records();
                match &mut self.store {
                    Store::Memory => {}
                    Store::File(file) => {
                        let zxid = draft.head().zxid;
                        tokio::task::block_in_place(|| file.keep(&records, zxid))
                            .map_err(|error| format!("the store failed: {error}"))?;
                    }
                    Store::Etcd(etcd) => {
                        let timeouts = draft.timeouts();
                        let written = etcd.write(&records, &draft.head(), &timeouts).await;
                        if let Written::Behind(by) = written
                            && !self.was_ours(&by).await?
                        {
                            // As if it had come after what another front end did.
                            events = again.unwrap_or_default();
                            continue;
                        }
                        if let Store::Etcd(etcd) = &mut self.store {
                            etcd.placed(&records);
                        }
                    }
                }
            }
            for effect in self.server.settle(draft, now) {
                self.perform(effect);
            }
        }
        Ok(())
    }

    /// What has to be known before some events: the latest, for a client that may have seen it elsewhere.
    async fn prepare(&mut self, events: &mut VecDeque<Event>) -> Result<(), String> {
        let Store::Etcd(etcd) = &mut self.store else { return Ok(()) };
        for event in events.iter() {
            if let Event::Asked { conn, .. } = event {
                etcd.heard(self.server.session_of(*conn));
            }
        }
        let needs_latest = |event: &Event| match event {
            Event::Asked { request, .. } => matches!(request, Request::Sync(_)),
            Event::Hello { hello, .. } => hello.session != 0 || hello.zxid > self.server.tree().zxid,
            _ => false,
        };
        if !events.iter().any(needs_latest) {
            return Ok(());
        }
        let latest = etcd.latest().await;
        while let Store::Etcd(etcd) = &mut self.store
            && etcd.revision < latest
        {
            let news = etcd.news().await;
            if let Some(event) = self.hear(news)? {
                events.push_front(event);
            }
        }
        let Store::Etcd(etcd) = &mut self.store else { return Ok(()) };
        let mut over = Vec::new();
        for event in events.iter() {
            let Event::Hello { hello, .. } = event else { continue };
            if let Some(timeout_ms) = self.server.timeout_of(hello)
                && !etcd.adopt(hello.session, timeout_ms).await
            {
                over.push(hello.session);
            }
        }
        over.into_iter().for_each(|session| events.push_front(Event::Over { session }));
        Ok(())
    }

    /// Whether a write that came too late, or whose answer was lost, is the next change all the same. If not, what is
    /// was learned.
    async fn was_ours(&mut self, by: &str) -> Result<bool, String> {
        loop {
            let Store::Etcd(etcd) = &mut self.store else { return Ok(true) };
            let known = etcd.revision;
            match etcd.news().await {
                News::Changed { revision, head, .. } if revision > known && *head.by == *by => {
                    etcd.revision = revision;
                    return Ok(true);
                }
                news => {
                    let is_change = matches!(&news, News::Changed { revision, .. } if *revision > known);
                    if let Some(event) = self.hear(news)? {
                        self.later.push_back(event);
                    }
                    if is_change {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Takes over what has happened in etcd.
    fn hear(&mut self, news: News) -> Result<Option<Event>, String> {
        let Store::Etcd(etcd) = &mut self.store else { return Ok(None) };
        let mut out = Vec::new();
        match news {
            News::Changed { revision, records, head } => {
                if revision <= etcd.revision {
                    return Ok(None);
                }
                etcd.revision = revision;
                for (key, record) in &records {
                    if let (Key::Session(id), None) = (key, record) {
                        etcd.forget(*id);
                    }
                }
                let learned = self.server.learn(records, head);
                out = learned.map_err(|error| format!("a record in etcd cannot be read: {error}"))?;
            }
            News::Over(session) => return Ok(Some(Event::Over { session })),
            News::Moved(session) => {
                etcd.forget(session);
                self.server.leave(session, "its session is at another front end", &mut out);
            }
            News::Lost(why) => return Err(format!("the store failed: {why}")),
        }
        out.into_iter().for_each(|effect| self.perform(effect));
        Ok(None)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, frame } => {
                let Some(link) = self.links.get(&conn) else { return };
                if let Store::Etcd(etcd) = &self.store
                    && !etcd.vouches(link.numbers.session.load(Ordering::Relaxed))
                {
                    tracing::warn!(peer = %link.numbers.peer, "closing a connection: its session may be over in etcd");
                    return self.unlink(conn);
                }
                if !link.send(frame) {
                    tracing::warn!(peer = %link.numbers.peer, "closing a connection: it does not read");
                    self.unlink(conn);
                }
            }
            Effect::Close { conn, why } => {
                if let Some(link) = self.links.get(&conn) {
                    let peer = link.numbers.peer;
                    match why {
                        core::CLOSED | core::ENDED => tracing::debug!(%peer, why, "closing a connection"),
                        why => tracing::info!(%peer, why, "closing a connection"),
                    }
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
