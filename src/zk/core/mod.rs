//! The server: what clients send becomes changes of the tree, answers and events.
//!
//! A round has two halves. [`Server::draft`] does all that clients asked for, in the order in which it came, on a
//! copy of the tree: what results is not seen by anybody yet. When the store holds the records that were touched,
//! [`Server::settle`] makes the copy the tree and says what goes out. If the store refuses, because another front
//! end changed the tree meanwhile, the draft is dropped, the other's change is learned, and the same events are
//! drafted again. So nothing is told, read or fired that is not durable, and everybody sees changes in one order.
//!
//! Start reading at `draft`. `turn.rs` makes changes, `reads.rs` answers questions, `watches.rs` knows who waits for
//! what, `sessions.rs` when they end, `access.rs` who may, `records.rs` how it is kept.

mod access;
mod greeting;
pub mod paths;
pub mod reads;
pub mod records;
mod sessions;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod turn;
mod watches;

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use imbl::HashMap;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;

use self::records::{Head, Records};
use self::sessions::Deadlines;
use self::tree::Tree;
use self::turn::{Caller, Key, Trigger, Turn};
use self::watches::Watches;
pub use self::watches::{ConnId, Kind};
use crate::zk::wire::{self, Change, Hello, Id, Outcome, Path, Read, Refusal, Reply, Request, WatchList};

/// How a server is to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The shortest and the longest session timeout that is granted, milliseconds.
    pub timeouts_ms: (i32, i32),
    /// Whether sessions end when nothing is heard of them here; otherwise the store tells.
    pub expires: bool,
    /// How many records one write to the store may touch.
    pub most: usize,
}

/// Why connections end as they should.
pub const CLOSED: &str = "its client closed it";
pub const ENDED: &str = "its client closed its session";

/// Identities that a connection may prove.
const IDENTITIES: usize = 100;

/// When something happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Milliseconds since the server began.
    pub since_start: u64,
    /// Milliseconds since 1970.
    pub since_1970: i64,
}

/// What happens to a server.
#[derive(Clone, Debug)]
pub enum Event {
    Opened {
        conn: ConnId,
        address: IpAddr,
    },
    Hello {
        conn: ConnId,
        hello: Hello,
    },
    Asked {
        conn: ConnId,
        xid: i32,
        request: Request,
    },
    Closed {
        conn: ConnId,
    },
    /// A session's time is over, as the store knows it.
    Over {
        session: i64,
    },
    /// Time has passed.
    Tick,
}

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Send {
        conn: ConnId,
        frame: Bytes,
    },
    /// Ends a connection, when what was sent to it is on its way.
    Close {
        conn: ConnId,
        why: &'static str,
    },
    /// A session is here now.
    Here {
        conn: ConnId,
        session: i64,
    },
}

/// A connection.
#[derive(Clone, Debug)]
struct Conn {
    address: IpAddr,
    /// 0 before the hello.
    session: i64,
    ids: Arc<[Id]>,
}

/// What a round may change, and may be dropped.
#[derive(Clone, Debug)]
struct State {
    tree: Tree,
    conns: HashMap<ConnId, Conn>,
    /// Which connection a session has.
    bound: HashMap<i64, ConnId>,
}

/// What a round comes to, in order.
#[derive(Debug)]
enum Step {
    Send {
        conn: ConnId,
        frame: Bytes,
    },
    Fire(Trigger),
    Watch {
        conn: ConnId,
        kind: Kind,
        path: Path,
    },
    Unwatch {
        conn: ConnId,
        xid: i32,
        path: Path,
        kinds: &'static [Kind],
        remove: bool,
    },
    /// Events that a client missed while it was away.
    Missed {
        conn: ConnId,
        change: Change,
        path: Path,
    },
    Close {
        conn: ConnId,
        why: &'static str,
    },
    /// A connection has a session, which ends so long after it was last heard of, milliseconds.
    Bind {
        conn: ConnId,
        session: i64,
        timeout_ms: i32,
    },
    Heard {
        session: i64,
    },
    Ended {
        session: i64,
    },
}

/// The first half of a round.
#[derive(Debug)]
pub struct Draft {
    state: State,
    steps: Vec<Step>,
    pub touched: BTreeSet<Key>,
    pub triggers: Vec<Trigger>,
    /// What did not fit into it.
    pub rest: VecDeque<Event>,
}

impl Draft {
    /// What the store is to hold: records by name, those without bytes removed. Empty if nothing was changed.
    pub fn records(&self) -> Records {
        self.touched.iter().map(|key| (key.clone(), self.state.tree.record(key))).collect()
    }

    /// Sessions that began or changed, with their timeouts, milliseconds.
    pub fn timeouts(&self) -> Vec<(i64, i32)> {
        let sessions = self.touched.iter().filter_map(|key| match key {
            Key::Session(id) => Some((*id, self.state.tree.session(*id)?.timeout_ms)),
            Key::Node(_) => None,
        });
        sessions.collect()
    }

    pub fn head(&self) -> Head {
        Head { zxid: self.state.tree.zxid, triggers: self.triggers.clone(), ..Head::default() }
    }
}

pub struct Server {
    settings: Settings,
    state: State,
    watches: Watches,
    deadlines: Deadlines,
    chance: ChaCha12Rng,
    /// Sessions of drafts, by the connections that they are for, with their passwords.
    drawn: std::collections::HashMap<ConnId, (i64, [u8; 16])>,
}

impl Server {
    /// A server of this tree. All its sessions have their whole timeout from now on.
    pub fn new(settings: Settings, tree: Tree, seed: [u8; 32], now: Now) -> Server {
        let mut deadlines = Deadlines::default();
        if settings.expires {
            tree.sessions()
                .for_each(|(id, session)| deadlines.begin(id, session.timeout_ms, now.since_start));
        }
        let state = State { tree, conns: HashMap::new(), bound: HashMap::new() };
        let chance = ChaCha12Rng::from_seed(seed);
        Server { settings, state, watches: Watches::default(), deadlines, chance, drawn: Default::default() }
    }

    pub fn tree(&self) -> &Tree {
        &self.state.tree
    }

    pub fn watch_count(&self) -> usize {
        self.watches.len()
    }

    /// The timeout of the session that a client proves to have, milliseconds.
    pub fn timeout_of(&self, hello: &Hello) -> Option<i32> {
        greeting::proven(&self.state.tree, hello).map(|session| session.timeout_ms)
    }

    pub fn session_of(&self, conn: ConnId) -> i64 {
        self.state.conns.get(&conn).map_or(0, |conn| conn.session)
    }

    /// Does what has happened on a copy, up to what one write to the store may hold.
    pub fn draft(&mut self, mut events: VecDeque<Event>, now: Now) -> Draft {
        let turn = Turn::new(self.state.tree.clone(), now.since_1970);
        let State { conns, bound, .. } = self.state.clone();
        let mut round = Round { server: self, turn, conns, bound, steps: Vec::new(), fired: 0, now };
        while let Some(event) = events.pop_front() {
            // A change touches what it changes and what is above.
            if round.turn.touched.len() + 4 > round.server.settings.most {
                events.push_front(event);
                break;
            }
            if let Some(again) = round.perform(event) {
                events.push_front(again);
                break;
            }
        }
        round.fire();
        let Round { turn, conns, bound, steps, .. } = round;
        let state = State { tree: turn.tree, conns, bound };
        Draft { state, steps, touched: turn.touched, triggers: turn.triggers, rest: events }
    }

    /// Makes a draft that the store holds what is.
    pub fn settle(&mut self, draft: Draft, now: Now) -> Vec<Effect> {
        self.state = draft.state;
        let mut out = Vec::with_capacity(draft.steps.len());
        for step in draft.steps {
            match step {
                Step::Send { conn, frame } => out.push(Effect::Send { conn, frame }),
                Step::Fire(trigger) => self.fire(&trigger, &mut out),
                Step::Watch { conn, kind, path } => self.watches.add(conn, kind, path),
                Step::Unwatch { conn, xid, path, kinds, remove } => {
                    let reply = self.unwatch(conn, &path, kinds, remove);
                    out.push(Effect::Send { conn, frame: reply.frame(xid, self.state.tree.zxid) });
                }
                Step::Missed { conn, change, path } => {
                    out.push(Effect::Send { conn, frame: wire::event(change, &path) });
                }
                Step::Close { conn, why } => {
                    self.drawn.remove(&conn);
                    self.watches.forget(conn);
                    out.push(Effect::Close { conn, why });
                }
                Step::Bind { conn, session, timeout_ms } => {
                    self.drawn.remove(&conn);
                    if self.settings.expires {
                        self.deadlines.begin(session, timeout_ms, now.since_start);
                    }
                    out.push(Effect::Here { conn, session });
                }
                Step::Heard { session } => self.deadlines.heard(session, now.since_start),
                Step::Ended { session } => self.deadlines.end(session),
            }
        }
        out
    }

    /// Takes over what another front end has changed.
    pub fn learn(&mut self, records: Records, head: Head) -> Result<Vec<Effect>, crate::zk::jute::Malformed> {
        let mut ended = Vec::new();
        // A session is there before the nodes that it owns.
        let (sessions, nodes): (Records, Records) =
            records.into_iter().partition(|(key, _)| matches!(key, Key::Session(_)));
        for (key, record) in sessions.into_iter().chain(nodes) {
            if let (Key::Session(id), None) = (&key, &record) {
                ended.push(*id);
            }
            self.state.tree.take(key, record)?;
        }
        self.state.tree.zxid = head.zxid;
        let mut out = Vec::new();
        for trigger in &head.triggers {
            self.fire(trigger, &mut out);
        }
        for session in ended {
            self.leave(session, "its session ended", &mut out);
        }
        Ok(out)
    }

    /// A session has gone to another front end, or is over.
    pub fn leave(&mut self, session: i64, why: &'static str, out: &mut Vec<Effect>) {
        if let Some(conn) = self.state.bound.remove(&session) {
            self.state.conns.remove(&conn);
            self.watches.forget(conn);
            out.push(Effect::Close { conn, why });
        }
    }

    fn fire(&mut self, trigger: &Trigger, out: &mut Vec<Effect>) {
        for (conn, change, path) in self.watches.fire(trigger) {
            out.push(Effect::Send { conn, frame: wire::event(change, &path) });
        }
    }

    fn unwatch(&mut self, conn: ConnId, path: &Path, kinds: &[Kind], remove: bool) -> Reply {
        let found: Vec<Kind> =
            kinds.iter().copied().filter(|kind| self.watches.has(conn, *kind, path)).collect();
        if found.is_empty() {
            return Reply::Refused(Refusal::NoWatcher);
        }
        if remove {
            found.into_iter().for_each(|kind| self.watches.remove(conn, kind, path));
        }
        Reply::Done(Outcome::Nothing)
    }
}

/// A draft that is being made.
struct Round<'a> {
    server: &'a mut Server,
    turn: Turn,
    conns: HashMap<ConnId, Conn>,
    bound: HashMap<i64, ConnId>,
    steps: Vec<Step>,
    /// How many triggers are among the steps.
    fired: usize,
    now: Now,
}

impl Round<'_> {
    /// What remains of an event that is too large for one write.
    fn perform(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Opened { conn, address } => {
                let ip = Id { scheme: "ip".into(), id: address.to_string().into() };
                self.conns.insert(conn, Conn { address, session: 0, ids: [ip].into() });
            }
            Event::Hello { conn, hello } => self.greet(conn, &hello),
            Event::Closed { conn } => self.gone(conn, CLOSED),
            Event::Over { session } => return self.end(session, Event::Over { session }),
            Event::Tick => {
                for session in self.server.deadlines.over(self.now.since_start) {
                    if self.end(session, Event::Tick).is_some() {
                        return Some(Event::Tick);
                    }
                }
            }
            Event::Asked { conn, xid, request } => return self.asked(conn, xid, request),
        }
        None
    }

    /// Ends a session and its connection.
    fn end(&mut self, session: i64, again: Event) -> Option<Event> {
        let is_over = self.turn.close(session, self.server.settings.most);
        self.fire();
        if !is_over {
            return Some(again);
        }
        self.steps.push(Step::Ended { session });
        if let Some(conn) = self.bound.get(&session).copied() {
            self.gone(conn, "its session ended");
        }
        None
    }

    fn gone(&mut self, conn: ConnId, why: &'static str) {
        let Some(gone) = self.conns.remove(&conn) else { return };
        if self.bound.get(&gone.session) == Some(&conn) {
            self.bound.remove(&gone.session);
        }
        self.steps.push(Step::Close { conn, why });
    }

    fn asked(&mut self, conn: ConnId, xid: i32, request: Request) -> Option<Event> {
        // Of one that is gone, nothing remains to be done.
        let from = self.conns.get(&conn).cloned()?;
        if from.session == 0 {
            self.gone(conn, "it asked before it said hello");
            return None;
        }
        self.steps.push(Step::Heard { session: from.session });
        let caller = Caller { session: from.session, ids: &from.ids };
        let most = self.server.settings.most;
        let reply = match request {
            Request::Write(op) => self.turn.make(caller, std::slice::from_ref(&op), false, most),
            Request::Multi(ops) => {
                let fits = self.turn.touched.is_empty() || self.turn.touched.len() + 2 * ops.len() <= most;
                if !fits {
                    // With a write of its own.
                    return Some(Event::Asked { conn, xid, request: Request::Multi(ops) });
                }
                self.turn.make(caller, &ops, true, most)
            }
            Request::Read(read) => self.read(conn, caller, &read),
            Request::MultiRead(reads) => {
                let of = |read: &Read| reads::answer(&self.turn.tree, caller, read).0;
                Reply::Multi(reads.iter().map(|read| of(read).map_err(|refusal| refusal as i32)).collect())
            }
            Request::Sync(path) => Reply::Done(Outcome::Path(path)),
            Request::Ping => Reply::Done(Outcome::Nothing),
            Request::WhoAmI => Reply::Done(Outcome::Ids(from.ids.iter().map(access::named).collect())),
            Request::Auth { scheme, auth } => return self.authenticate(conn, &from, xid, &scheme, &auth),
            Request::SetWatches { zxid, list } => {
                self.missed(conn, zxid, list);
                Reply::Done(Outcome::Nothing)
            }
            Request::AddWatch { path, recursive } => {
                let kind = if recursive { Kind::Recursive } else { Kind::Persistent };
                self.steps.push(Step::Watch { conn, kind, path });
                // As ZooKeeper, which writes an error in the place of a body.
                Reply::Done(Outcome::Count(0))
            }
            Request::RemoveWatches { path, kind, remove } => {
                let kinds: &[Kind] = match kind {
                    1 => &[Kind::Children],
                    2 => &[Kind::Data],
                    _ => &[Kind::Data, Kind::Children, Kind::Persistent, Kind::Recursive],
                };
                self.steps.push(Step::Unwatch { conn, xid, path, kinds, remove });
                return None;
            }
            Request::Close => return self.close(conn, xid, from.session),
            Request::Other(kind) => {
                tracing::warn!(conn, kind, "refused an operation that this server does not do");
                let refusal =
                    if kind == RECONFIG { Refusal::ReconfigDisabled } else { Refusal::Unimplemented };
                self.send(conn, xid, &Reply::Refused(refusal));
                if !KNOWN.contains(&kind) {
                    self.gone(conn, "it asked for something that no server does");
                }
                return None;
            }
        };
        self.fire();
        self.send(conn, xid, &reply);
        None
    }

    fn send(&mut self, conn: ConnId, xid: i32, reply: &Reply) {
        self.steps.push(Step::Send { conn, frame: reply.frame(xid, self.turn.tree.zxid) });
    }

    /// Changes are told of before the answer to who made them, as to everybody.
    fn fire(&mut self) {
        self.steps.extend(self.turn.triggers[self.fired..].iter().cloned().map(Step::Fire));
        self.fired = self.turn.triggers.len();
    }

    fn read(&mut self, conn: ConnId, caller: Caller<'_>, read: &Read) -> Reply {
        let (answer, watch) = reads::answer(&self.turn.tree, caller, read);
        if let Some((kind, path)) = watch {
            self.steps.push(Step::Watch { conn, kind, path });
        }
        answer.map_or_else(Reply::Refused, Reply::Done)
    }

    fn authenticate(
        &mut self,
        conn: ConnId,
        from: &Conn,
        xid: i32,
        scheme: &str,
        auth: &[u8],
    ) -> Option<Event> {
        let Some(id) = access::proven(scheme, auth, from.address) else {
            self.send(conn, xid, &Reply::Refused(Refusal::AuthFailed));
            self.gone(conn, "its credentials prove nothing");
            return None;
        };
        if !from.ids.contains(&id) {
            if from.ids.len() >= IDENTITIES {
                self.gone(conn, "it has too many identities");
                return None;
            }
            let ids = from.ids.iter().cloned().chain([id]).collect();
            self.conns.insert(conn, Conn { ids, ..from.clone() });
        }
        self.send(conn, xid, &Reply::Done(Outcome::Nothing));
        None
    }

    /// What a client missed that comes back, and watches for what it has not.
    fn missed(&mut self, conn: ConnId, zxid: i64, list: WatchList) {
        let step = |kind: Kind, path: Path, change: Option<Change>| match change {
            Some(change) => Step::Missed { conn, change, path },
            None => Step::Watch { conn, kind, path },
        };
        let tree = &self.turn.tree;
        let data = list.data.into_iter().map(|path| {
            let change = match tree.get(&path) {
                None => Some(Change::Deleted),
                Some(node) => (node.mzxid > zxid).then_some(Change::Data),
            };
            step(Kind::Data, path, change)
        });
        let exist = list.exist.into_iter().map(|path| {
            let change = tree.get(&path).map(|_| Change::Created);
            step(Kind::Data, path, change)
        });
        let child = list.child.into_iter().map(|path| {
            let change = match tree.get(&path) {
                None => Some(Change::Deleted),
                Some(node) => (node.pzxid > zxid).then_some(Change::Children),
            };
            step(Kind::Children, path, change)
        });
        let persistent = list.persistent.into_iter().map(|path| step(Kind::Persistent, path, None));
        let recursive = list.recursive.into_iter().map(|path| step(Kind::Recursive, path, None));
        let steps: Vec<Step> = data.chain(exist).chain(child).chain(persistent).chain(recursive).collect();
        self.steps.extend(steps);
    }

    fn close(&mut self, conn: ConnId, xid: i32, session: i64) -> Option<Event> {
        let is_over = self.turn.close(session, self.server.settings.most);
        self.fire();
        if !is_over {
            return Some(Event::Asked { conn, xid, request: Request::Close });
        }
        self.steps.push(Step::Ended { session });
        self.send(conn, xid, &Reply::Done(Outcome::Nothing));
        self.gone(conn, ENDED);
        None
    }
}

/// A change of the ensemble, which is refused as a ZooKeeper does that is not set up for it.
const RECONFIG: i32 = 16;

/// Operations that some server does: changes of the ensemble, containers, nodes with a time to live, SASL, and a check
/// outside of a multi.
const KNOWN: [i32; 6] = [13, RECONFIG, 19, 20, 21, 102];
