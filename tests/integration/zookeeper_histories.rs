//! Writes of several clients at once, and what they read meanwhile, are as if each had happened at one moment between
//! its question and its answer.
//!
//! A node's version tells the order of its writes, so a history is checked exactly: no write has a lower version than
//! one that was answered before it was asked for, and a read behind a `sync` shows no older version than was answered
//! before, no newer one than was asked for, and what the write of that version wrote.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::support::ensembles::Ensemble;
use crate::support::zk::Zk;
use crate::zookeeper::{CREATE, GET, Raw, create, error_of, text};

const SET: i32 = 5;
const SYNC: i32 = 9;
const CLIENTS: u64 = 4;
const TURNS: i32 = 60;

struct Done {
    asked: Instant,
    answered: Instant,
    is_write: bool,
    version: i32,
    data: Vec<u8>,
}

fn number(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().expect("a number"))
}

/// Where a stat says the version.
const VERSION: usize = 32;

fn play(port: u16, client: u64) -> Vec<Done> {
    let mut raw = Raw::greeted(port);
    let mut done = Vec::new();
    for turn in 0..TURNS {
        let asked = Instant::now();
        let is_write = (turn + i32::try_from(client).expect("few")) % 2 == 0;
        let (data, version) = if is_write {
            let data = format!("{client} {turn}");
            raw.ask(turn, SET, &[text("/register"), text(&data), (-1_i32).to_be_bytes().to_vec()].concat());
            let frame = raw.frame().expect("an answer");
            assert_eq!(error_of(&frame), 0);
            (data.into_bytes(), number(&frame[16 + VERSION..]))
        } else {
            raw.ask(turn, SYNC, &text("/register"));
            raw.frame().expect("an answer");
            raw.ask(turn, GET, &[text("/register"), vec![0]].concat());
            let frame = raw.frame().expect("an answer");
            let length = usize::try_from(number(&frame[16..])).unwrap_or_default();
            (frame[20..20 + length].to_vec(), number(&frame[20 + length + VERSION..]))
        };
        done.push(Done { asked, answered: Instant::now(), is_write, version, data });
    }
    done
}

fn is_linear(ports: &[u16]) {
    let mut first = Raw::greeted(ports[0]);
    first.ask(1, CREATE, &create("/register", "", 0));
    assert_eq!(error_of(&first.frame().expect("an answer")), 0);
    let players: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let port = ports[usize::try_from(client).expect("few") % ports.len()];
            std::thread::spawn(move || play(port, client))
        })
        .collect();
    let all: Vec<Done> = players.into_iter().flat_map(|player| player.join().expect("it ends")).collect();
    let writes: Vec<&Done> = all.iter().filter(|one| one.is_write).collect();
    let by_version: BTreeMap<i32, &Done> = writes.iter().map(|one| (one.version, *one)).collect();
    assert_eq!(by_version.len(), writes.len(), "a version was given twice");
    assert_eq!(by_version.keys().next_back().copied(), i32::try_from(writes.len()).ok());
    for one in &all {
        let before =
            writes.iter().filter(|other| other.answered < one.asked).map(|other| other.version).max();
        assert!(
            before.is_none_or(|before| one.version >= before),
            "{} is older than {before:?}",
            one.version
        );
        if !one.is_write && one.version > 0 {
            let written = by_version[&one.version];
            assert!(written.asked < one.answered, "{} was read before it was written", one.version);
            assert_eq!(written.data, one.data);
        }
    }
}

#[test]
fn histories_of_a_server_in_memory_are_linear() {
    let zk = Zk::start("memory");
    is_linear(&[zk.port]);
}

#[test]
fn histories_of_a_server_with_a_file_are_linear() {
    let dir = tempfile::tempdir().expect("a folder");
    let zk = Zk::start(&format!("file://{}", dir.path().display()));
    is_linear(&[zk.port]);
}

#[test]
fn histories_of_front_ends_of_etcd_are_linear() {
    let Some(etcd) = Ensemble::etcd("histories", 1) else { return };
    let ends = [Zk::start(&etcd.url()), Zk::start(&etcd.url())];
    is_linear(&[ends[0].port, ends[1].port]);
}
