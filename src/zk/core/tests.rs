//! The server, one request at a time.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use super::tree::Tree;
use super::{ConnId, Draft, Effect, Event, Now, Server, Settings};
use crate::zk::wire::{Acl, Hello, Id, Op, Path, Read, Request, WatchList, read_answer};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct World {
    server: Server,
    now: Now,
}

/// What an effect is, in words: `1< 7 ok`, `1< event Created /a`, `1 closed`.
fn say(effect: &Effect) -> String {
    match effect {
        Effect::Send { conn, frame } => {
            let mut answer = read_answer(frame.slice(4..)).unwrap();
            if answer.xid == -1 {
                let change = answer.rest.int().unwrap();
                answer.rest.int().unwrap();
                let change = ["", "made", "removed", "written", "children"][change as usize];
                return format!("{conn}< {change} {}", answer.rest.string().unwrap());
            }
            match answer.error {
                0 => format!("{conn}< {} ok", answer.xid),
                error => format!("{conn}< {} {error}", answer.xid),
            }
        }
        Effect::Close { conn, .. } => format!("{conn} closed"),
        Effect::Here { conn, .. } => format!("{conn} here"),
    }
}

impl World {
    fn new() -> World {
        World::of(Tree::new(), 1000)
    }

    fn of(tree: Tree, most: usize) -> World {
        let settings = Settings { timeouts_ms: (100, 1000), expires: true, most };
        World { server: Server::new(settings, tree, [7; 32], Now::default()), now: Now::default() }
    }

    fn draft(&mut self, events: Vec<Event>) -> Draft {
        self.server.draft(VecDeque::from(events), self.now)
    }

    fn effects(&mut self, events: Vec<Event>) -> Vec<Effect> {
        let mut events = VecDeque::from(events);
        let mut all = Vec::new();
        while !events.is_empty() {
            let mut draft = self.server.draft(events, self.now);
            events = std::mem::take(&mut draft.rest);
            all.extend(self.server.settle(draft, self.now));
        }
        all
    }

    fn play(&mut self, events: Vec<Event>) -> Vec<String> {
        self.effects(events).iter().map(say).collect()
    }

    fn pass(&mut self, ms: u64) -> Vec<String> {
        self.now.since_start += ms;
        self.play(vec![Event::Tick])
    }

    /// A connection with a session of its own; its number and password.
    fn join(&mut self, conn: ConnId) -> (i64, Bytes) {
        self.greet(conn, 0, Bytes::new(), 0)
    }

    fn greet(&mut self, conn: ConnId, session: i64, password: Bytes, zxid: i64) -> (i64, Bytes) {
        let hello = Hello { zxid, timeout_ms: 500, session, password, has_flag: true };
        let effects = self.effects(vec![Event::Opened { conn, address: HERE }, Event::Hello { conn, hello }]);
        let welcome = effects.iter().find_map(|effect| match effect {
            Effect::Send { conn: to, frame } if *to == conn => Some(frame.clone()),
            _ => None,
        });
        let Some(frame) = welcome else { return (-1, Bytes::new()) };
        let mut reader = crate::zk::jute::Reader::new(frame.slice(8..));
        let _timeout = reader.int().unwrap();
        (reader.long().unwrap(), reader.buffer().unwrap().unwrap())
    }
}

fn open() -> Vec<Acl> {
    vec![Acl { perms: 31, id: Id { scheme: "world".into(), id: "anyone".into() } }]
}

fn create(path: &str, flags: i32) -> Op {
    Op::Create { path: path.into(), data: None, acl: open(), flags, with_stat: false }
}

fn set(path: &str) -> Op {
    Op::SetData { path: path.into(), data: Some(Bytes::from_static(b"x")), version: -1 }
}

fn delete(path: &str) -> Op {
    Op::Delete { path: path.into(), version: -1 }
}

fn asked(conn: ConnId, xid: i32, request: Request) -> Event {
    Event::Asked { conn, xid, request }
}

fn write(conn: ConnId, xid: i32, op: Op) -> Event {
    asked(conn, xid, Request::Write(op))
}

fn exists(conn: ConnId, xid: i32, path: &str) -> Event {
    asked(conn, xid, Request::Read(Read::Exists { path: path.into(), watch: true }))
}

#[test]
fn what_is_watched_is_told_before_the_answer_that_shows_it() {
    let mut world = World::new();
    world.join(1);
    world.join(2);
    let said = world.play(vec![
        exists(1, 1, "/a"),
        write(2, 1, create("/a", 0)),
        exists(1, 2, "/a"),
        write(2, 2, set("/a")),
        write(2, 3, set("/a")),
        write(2, 4, delete("/a")),
    ]);
    assert_eq!(
        said,
        ["1< 1 -101", "1< made /a", "2< 1 ok", "1< 2 ok", "1< written /a", "2< 2 ok", "2< 3 ok", "2< 4 ok"]
    );
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let mut world = World::new();
    world.join(1);
    let before = world.server.tree().zxid;
    let events = vec![exists(1, 1, "/a"), write(1, 2, create("/a", 2)), write(1, 3, create("/a", 1))];
    let dropped = world.draft(events.clone());
    assert_eq!(dropped.touched.len(), 3, "{:?}", dropped.touched);
    drop(dropped);
    assert_eq!(world.server.tree().zxid, before);
    assert_eq!(world.server.watch_count(), 0);
    // The same again, as if nothing had been.
    assert_eq!(world.play(events), ["1< 1 -101", "1< 2 ok", "1< made /a", "1< 3 ok"]);
    assert!(world.server.tree().get("/a0000000000").is_some());
}

#[test]
fn a_session_ends_with_its_nodes_when_nothing_is_heard() {
    let mut world = World::new();
    let (session, _) = world.join(1);
    world.join(2);
    world.play(vec![write(1, 1, create("/e", 1)), exists(2, 1, "/e")]);
    assert_eq!(world.server.tree().get("/e").map(|node| node.owner), Some(session));
    assert!(world.pass(400).is_empty());
    assert_eq!(world.play(vec![asked(2, -2, Request::Ping)]), ["2< -2 ok"]);
    assert_eq!(world.pass(100), ["2< removed /e", "1 closed"]);
    assert!(world.server.tree().session(session).is_none());
    // What it asks now is nobody's.
    assert!(world.play(vec![write(1, 2, create("/f", 1))]).is_empty());
    assert_eq!(world.pass(400), ["2 closed"]);
}

#[test]
fn a_session_moves_to_another_connection_and_hears_what_it_missed() {
    let mut world = World::new();
    let (session, password) = world.join(1);
    world.play(vec![write(1, 1, create("/a", 0)), write(1, 2, create("/b", 0))]);
    let seen = world.server.tree().zxid;
    world.join(2);
    world.play(vec![write(2, 1, set("/a")), write(2, 2, create("/b/c", 0)), write(2, 3, create("/n", 0))]);
    assert_eq!(world.greet(3, session, Bytes::from_static(b"guessed guessed!"), 0).0, 0, "a wrong password");
    assert_eq!(world.greet(4, session, password.clone(), i64::MAX).0, -1, "it has seen more than there is");
    assert_eq!(world.greet(5, session, password, seen).0, session);
    assert!(world.play(vec![write(1, 3, set("/a"))]).is_empty(), "the older connection was closed");
    let paths = |all: &[&str]| all.iter().map(|path| Path::from(*path)).collect::<Vec<_>>();
    let list = WatchList {
        data: paths(&["/a", "/b", "/gone"]),
        exist: paths(&["/n", "/later"]),
        child: paths(&["/a", "/b", "/gone"]),
        ..WatchList::default()
    };
    let said = world.play(vec![asked(5, -8, Request::SetWatches { zxid: seen, list })]);
    assert_eq!(
        said,
        ["5< written /a", "5< removed /gone", "5< made /n", "5< children /b", "5< removed /gone", "5< -8 ok"]
    );
    assert_eq!(world.play(vec![write(2, 4, create("/later", 0))]), ["5< made /later", "2< 4 ok"]);
    assert_eq!(world.play(vec![write(2, 5, set("/b"))]), ["5< written /b", "2< 5 ok"]);
}

#[test]
fn a_multi_is_whole_or_nothing() {
    let mut world = World::new();
    world.join(1);
    let before = world.server.tree().zxid;
    let multi = |ops: Vec<Op>| asked(1, 1, Request::Multi(ops));
    world.play(vec![multi(vec![create("/a", 0), create("/a/b", 0), delete("/none")])]);
    assert!(world.server.tree().get("/a").is_none());
    assert_eq!(world.server.tree().zxid, before);
    world.play(vec![multi(vec![create("/a", 0), create("/a/b", 0), set("/a"), delete("/a/b")])]);
    let node = world.server.tree().get("/a").unwrap().stat();
    assert_eq!((node.version, node.cversion, node.children, node.czxid), (1, 2, 0, before + 1));
    assert_eq!(node.pzxid, node.mzxid);
}

#[test]
fn records_hold_all_there_is() {
    let mut world = World::new();
    world.join(1);
    let events = ["/a", "/a/b", "/a/b/c"].map(|path| write(1, 1, create(path, 0))).to_vec();
    world.play(events);
    world.play(vec![write(1, 2, create("/a/e-", 3)), write(1, 3, set("/a")), write(1, 4, delete("/a/b/c"))]);
    let tree = world.server.tree();
    let keys: Vec<_> = tree
        .paths()
        .map(|path| super::Key::Node(path.clone()))
        .chain(tree.sessions().map(|(id, _)| super::Key::Session(id)))
        .collect();
    let head = super::Head { zxid: tree.zxid, ..super::Head::default() };
    let mut records: Vec<_> = keys.iter().map(|key| (key.name(), tree.record(key).unwrap())).collect();
    records.push((super::records::HEAD.to_owned(), head.write()));
    records.reverse();
    let read = Tree::load(records).unwrap();
    assert_eq!(read.zxid, tree.zxid);
    assert_eq!(read.len(), tree.len());
    for path in tree.paths() {
        assert_eq!(read.get(path), tree.get(path), "{path}");
    }
    assert_eq!(read.sessions().collect::<Vec<_>>(), tree.sessions().collect::<Vec<_>>());
}

#[test]
fn what_is_too_large_for_one_write_goes_in_several() {
    let mut world = World::of(Tree::new(), 20);
    let (session, _) = world.join(1);
    for number in 0..50 {
        assert_eq!(world.play(vec![write(1, number, create("/e-", 3))]), [format!("1< {number} ok")]);
    }
    let draft = world.draft(vec![asked(1, 99, Request::Close)]);
    assert!(draft.touched.len() <= 20 && draft.rest.len() == 1, "{:?}", draft.touched);
    assert_eq!(world.play(vec![asked(1, 99, Request::Close)]), ["1< 99 ok", "1 closed"]);
    assert_eq!(world.server.tree().len(), 4);
    assert!(world.server.tree().session(session).is_none());
    world.join(2);
    let ops = (0..30).map(|number| create(&format!("/{number}"), 0)).collect();
    world.play(vec![asked(2, 1, Request::Multi(ops))]);
    assert_eq!(world.server.tree().len(), 4, "a multi is never in parts");
}

#[test]
fn strangers_are_closed() {
    let mut world = World::new();
    let opened = |conn| Event::Opened { conn, address: HERE };
    assert_eq!(world.play(vec![opened(1), asked(1, 1, Request::Ping)]), ["1 closed"]);
    world.join(2);
    let hello = Hello { zxid: 0, timeout_ms: 1, session: 0, password: Bytes::new(), has_flag: false };
    assert_eq!(world.play(vec![Event::Hello { conn: 2, hello }]), ["2 closed"]);
    world.join(3);
    assert_eq!(world.play(vec![asked(3, 1, Request::Other(19))]), ["3< 1 -6"], "containers");
    assert_eq!(world.play(vec![asked(3, 2, Request::Other(999))]), ["3< 2 -6", "3 closed"]);
    world.join(4);
    let auth = |number: i32| {
        let auth = Bytes::from(format!("user{number}:x"));
        asked(4, -4, Request::Auth { scheme: "digest".into(), auth })
    };
    let said = world.play((0..200).map(auth).collect());
    assert_eq!(said.last().map(String::as_str), Some("4 closed"));
    assert_eq!(said.len(), super::IDENTITIES, "one of them is its address");
}
