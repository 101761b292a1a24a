//! Front ends over one store, in one thread, from a seed: they crash, lag behind and are too late, and clients move
//! between them.
//!
//! What must hold: writes follow each other, so every front end comes to the same tree, and what was acknowledged is
//! in it; a client sees numbers of changes that only grow, its own writes, and is told of a change it watches before
//! it sees it; sequence numbers are given once; ephemeral nodes have a session.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::records::{HEAD, Head, Records};
use super::tree::Tree;
use super::{ConnId, Effect, Event, Now, Server, Settings};
use crate::zk::jute::Reader;
use crate::zk::wire::{Acl, Hello, Id, Op, Read, Request, read_answer};

const SETTINGS: Settings = Settings { timeouts_ms: (100, 1000), expires: false, most: 40 };

/// What etcd is to the front ends: records, and all changes in their order.
#[derive(Default)]
struct Store {
    records: BTreeMap<String, Bytes>,
    log: Vec<(Records, Head)>,
}

impl Store {
    fn write(&mut self, known: usize, records: Records, head: Head) -> bool {
        if known != self.log.len() {
            return false;
        }
        for (key, record) in &records {
            match record {
                Some(record) => drop(self.records.insert(key.name(), record.clone())),
                None => drop(self.records.remove(&key.name())),
            }
        }
        self.records.insert(HEAD.to_owned(), head.write());
        self.log.push((records, head));
        true
    }

    fn tree(&self) -> Tree {
        Tree::load(self.records.clone()).expect("records are well formed")
    }
}

struct End {
    server: Server,
    /// How many changes it knows.
    known: usize,
    waiting: VecDeque<Event>,
}

#[derive(Default)]
struct Client {
    /// The front end it is at, and its connection there.
    at: Option<(usize, ConnId)>,
    session: i64,
    password: Bytes,
    zxid: i64,
    xid: i32,
    asked: HashMap<i32, String>,
    /// Paths whose data it watches, and the number of the change up to which it has seen them.
    watched: BTreeMap<String, i64>,
}

struct World {
    chance: ChaCha12Rng,
    store: Store,
    ends: Vec<End>,
    clients: Vec<Client>,
    conns: u64,
    /// Paths of sequential nodes that were acknowledged.
    numbered: BTreeSet<String>,
    /// Of plain nodes that are never removed.
    kept: BTreeSet<String>,
    answers: usize,
    refused: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            chance: ChaCha12Rng::seed_from_u64(seed),
            store: Store::default(),
            ends: Vec::new(),
            clients: (0..4).map(|_| Client::default()).collect(),
            conns: 0,
            numbered: BTreeSet::new(),
            kept: BTreeSet::new(),
            answers: 0,
            refused: 0,
        };
        world.ends = (0..2).map(|_| world.begin()).collect();
        world
    }

    fn begin(&mut self) -> End {
        let seed = self.chance.random();
        let server = Server::new(SETTINGS, self.store.tree(), seed, Now::default());
        End { server, known: self.store.log.len(), waiting: VecDeque::new() }
    }

    fn step(&mut self) {
        let end = self.chance.random_range(0..self.ends.len());
        match self.chance.random_range(0..100) {
            0..=1 => self.crash(end),
            2..=3 => self.expire(),
            4..=24 => self.learn(end, 1),
            25..=49 => self.round(end),
            _ => {
                let client = self.chance.random_range(0..self.clients.len());
                self.act(client);
            }
        }
    }

    /// A front end ends and begins anew: what it had not told anybody is not known of, but may be stored.
    fn crash(&mut self, end: usize) {
        self.ends[end] = self.begin();
        for client in self.clients.iter_mut().filter(|client| client.at.is_some_and(|(at, _)| at == end)) {
            client.at = None;
        }
    }

    /// The lease of some session is over: every front end hears of it.
    fn expire(&mut self) {
        let client = self.chance.random_range(0..self.clients.len());
        let session = self.clients[client].session;
        for end in &mut self.ends {
            end.waiting.push_back(Event::Over { session });
        }
    }

    fn learn(&mut self, end: usize, count: usize) {
        for _ in 0..count {
            let known = self.ends[end].known;
            let Some((records, head)) = self.store.log.get(known).cloned() else { return };
            self.ends[end].known += 1;
            let effects = self.ends[end].server.learn(records, head).expect("records are well formed");
            self.deliver(effects);
        }
    }

    /// What waits at a front end is done; some of the time by one that is behind.
    fn round(&mut self, end: usize) {
        let mut events = std::mem::take(&mut self.ends[end].waiting);
        while !events.is_empty() {
            let again = events.clone();
            let mut draft = self.ends[end].server.draft(events, Now::default());
            events = std::mem::take(&mut draft.rest);
            if !draft.touched.is_empty() {
                let by = self.ends[end].known;
                if !self.store.write(by, draft.records(), draft.head()) {
                    self.refused += 1;
                    self.learn(end, 1);
                    events = again;
                    continue;
                }
                self.ends[end].known += 1;
                if self.chance.random_range(0..50) == 0 {
                    // Stored, and nobody hears of it.
                    return self.crash(end);
                }
            }
            let effects = self.ends[end].server.settle(draft, Now::default());
            self.deliver(effects);
        }
    }

    fn act(&mut self, number: usize) {
        let Some((end, conn)) = self.clients[number].at else { return self.connect(number) };
        if self.chance.random_range(0..40) == 0 {
            self.clients[number].at = None;
            return self.ends[end].waiting.push_back(Event::Closed { conn });
        }
        let path = format!("/{}", self.chance.random_range(0..6));
        let acl = vec![Acl { perms: 31, id: Id { scheme: "world".into(), id: "anyone".into() } }];
        let create = |path: &str, flags: i32| Op::Create {
            path: path.into(),
            data: None,
            acl: acl.clone(),
            flags,
            with_stat: false,
        };
        let client = &mut self.clients[number];
        client.xid += 1;
        let (note, request) = match self.chance.random_range(0..8) {
            0 => ("numbered".to_owned(), Request::Write(create("/n-", 2))),
            1 => ("numbered".to_owned(), Request::Write(create("/e-", 3))),
            2 => {
                let path = format!("/kept-{number}-{}", client.xid);
                (format!("kept {path}"), Request::Write(create(&path, 0)))
            }
            3 => (String::new(), Request::Write(create(&path, 0))),
            4 => (
                String::new(),
                Request::Write(Op::SetData { path: path.as_str().into(), data: None, version: -1 }),
            ),
            5 => {
                let ops =
                    vec![create("/m-", 2), create(&path, 0), Op::Check { path: "/m-".into(), version: 1 }];
                ("multi".to_owned(), Request::Multi(ops))
            }
            6 => (String::new(), Request::Write(Op::Delete { path: path.as_str().into(), version: -1 })),
            _ => {
                (format!("get {path}"), Request::Read(Read::Data { path: path.as_str().into(), watch: true }))
            }
        };
        client.asked.insert(client.xid, note);
        self.ends[end].waiting.push_back(Event::Asked { conn, xid: client.xid, request });
    }

    fn connect(&mut self, number: usize) {
        let end = self.chance.random_range(0..self.ends.len());
        // As the shell does for a client that comes with a past.
        self.learn(end, self.store.log.len());
        self.conns += 1;
        let conn = self.conns;
        let client = &mut self.clients[number];
        client.at = Some((end, conn));
        client.asked.clear();
        client.watched.clear();
        let (zxid, session, password) = (client.zxid, client.session, client.password.clone());
        let hello = Hello { zxid, timeout_ms: 500, session, password, has_flag: true };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.ends[end].waiting.extend([Event::Opened { conn, address }, Event::Hello { conn, hello }]);
    }

    fn deliver(&mut self, effects: Vec<Effect>) {
        let mut fresh: BTreeSet<ConnId> = BTreeSet::new();
        for effect in effects {
            let of = |conn: ConnId, clients: &[Client]| {
                clients.iter().position(|client| client.at.is_some_and(|(_, at)| at == conn))
            };
            match effect {
                Effect::Here { conn, .. } => drop(fresh.insert(conn)),
                Effect::Close { conn, .. } => {
                    if let Some(number) = of(conn, &self.clients) {
                        self.clients[number].at = None;
                    }
                }
                Effect::Send { conn, frame } => {
                    let Some(number) = of(conn, &self.clients) else { continue };
                    if fresh.remove(&conn) {
                        let mut reader = Reader::new(frame.slice(8..));
                        reader.int().expect("a timeout");
                        self.clients[number].session = reader.long().expect("a session");
                        self.clients[number].password =
                            reader.buffer().expect("a password").unwrap_or_default();
                    } else if frame[4..8] == [0; 4] {
                        // Its session is over: it has nothing left of it.
                        self.clients[number] =
                            Client { zxid: self.clients[number].zxid, ..Client::default() };
                    } else {
                        self.answer(number, frame);
                    }
                }
            }
        }
    }

    fn answer(&mut self, number: usize, frame: Bytes) {
        let mut answer = read_answer(frame.slice(4..)).expect("an answer");
        let client = &mut self.clients[number];
        if answer.xid == -1 {
            answer.rest.long().expect("what, and a state");
            let path = answer.rest.string().expect("a path").to_string();
            assert!(client.watched.remove(&path).is_some(), "{path} was not watched");
            return;
        }
        self.answers += 1;
        assert!(answer.zxid >= client.zxid, "{} after {}", answer.zxid, client.zxid);
        client.zxid = answer.zxid;
        let note = client.asked.remove(&answer.xid).expect("it was asked, and is answered once");
        match note.split_once(' ').unwrap_or((&note, "")) {
            ("numbered", _) if answer.error == 0 => {
                let path = answer.rest.string().expect("a path").to_string();
                assert!(self.numbered.insert(path.clone()), "{path} was given twice");
            }
            ("kept", path) if answer.error == 0 => drop(self.kept.insert(path.to_owned())),
            ("get", path) if answer.error == 0 => {
                answer.rest.buffer().expect("data");
                let (_, changed) = (answer.rest.long(), answer.rest.long().expect("the last change"));
                if let Some(seen) = client.watched.get(path) {
                    assert!(changed <= *seen, "{path} was seen to change before it was told");
                }
                client.watched.insert(path.to_owned(), answer.zxid);
            }
            ("get", path) => {
                assert!(!client.watched.contains_key(path), "{path} is gone, and nobody said so")
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        for end in 0..self.ends.len() {
            self.learn(end, self.store.log.len());
        }
        let stored = self.store.tree();
        for path in &self.kept {
            assert!(stored.get(path).is_some(), "{path} was acknowledged");
        }
        for path in stored.paths() {
            let node = stored.get(path).expect("it is there");
            assert!(node.owner == 0 || stored.session(node.owner).is_some(), "{path} outlives its session");
            for end in &self.ends {
                assert_eq!(end.server.tree().get(path), Some(node), "{path}");
            }
        }
        for end in &self.ends {
            assert_eq!(end.server.tree().len(), stored.len());
            assert_eq!(end.server.tree().zxid, stored.zxid);
        }
        let numbers: Vec<i64> = self.store.log.iter().map(|(_, head)| head.zxid).collect();
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "numbers of changes only grow");
    }
}

#[test]
fn front_ends_that_crash_and_lag_are_one_server() {
    let (mut answers, mut refused) = (0, 0);
    for seed in 0..150 {
        let played = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..600 {
                world.step();
            }
            world.check();
            (world.answers, world.refused)
        });
        let (some, late) = played.unwrap_or_else(|_| panic!("seed {seed}"));
        answers += some;
        refused += late;
    }
    // Something was done, and some of it was too late.
    assert!(answers > 10_000 && refused > 1_000, "{answers} answers, {refused} refused writes");
}
