//! Writes of several clients at once, and what they read meanwhile, are as if each had happened at one moment between
//! its question and its answer.
//!
//! A node's version tells the order of its writes, so a history is checked exactly: no write has a lower version than
//! one that was answered before it was asked for, and a read behind a `sync` shows no older version than was answered
//! before, no newer one than was asked for, and what the write of that version wrote.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::support::ensembles::Ensemble;
use crate::support::wait_for;
use crate::support::zk::Zk;
use crate::zookeeper::{CREATE, GET, Raw, create, error_of, text};

const SET: i32 = 5;
const SYNC: i32 = 9;
const CLIENTS: u64 = 4;
const TURNS: i32 = 60;

#[derive(Clone)]
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

/// Lets the clients end, though what they waited for failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A client's turns, a write and a read by turns, as many as there must be and for as long as `goes_on`; with the
/// writes that had no answer, and may be there or not.
fn play(port: u16, client: u64, goes_on: &AtomicBool) -> (Vec<Done>, Vec<Vec<u8>>) {
    let mut raw = Raw::greeted_at_last(port);
    let (mut done, mut unanswered) = (Vec::new(), Vec::new());
    let mut turn = 0;
    while turn < TURNS || goes_on.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let is_write = (turn + i32::try_from(client).expect("few")) % 2 == 0;
        let written = format!("{client} {turn}").into_bytes();
        let answer = if is_write { write(&mut raw, turn, &written) } else { read(&mut raw, turn) };
        match answer {
            Some((data, version)) => {
                done.push(Done { asked, answered: Instant::now(), is_write, version, data });
            }
            // Its front end has lost touch with etcd, and the client comes back to it as another.
            None => {
                unanswered.extend(is_write.then_some(written));
                raw = Raw::greeted_at_last(port);
            }
        }
        turn += 1;
    }
    (done, unanswered)
}

fn write(raw: &mut Raw, turn: i32, data: &[u8]) -> Option<(Vec<u8>, i32)> {
    let text_of = String::from_utf8_lossy(data);
    raw.ask(turn, SET, &[text("/register"), text(&text_of), (-1_i32).to_be_bytes().to_vec()].concat());
    let frame = raw.frame()?;
    assert_eq!(error_of(&frame), 0);
    Some((data.to_vec(), number(&frame[16 + VERSION..])))
}

fn read(raw: &mut Raw, turn: i32) -> Option<(Vec<u8>, i32)> {
    raw.ask(turn, SYNC, &text("/register"));
    raw.frame()?;
    raw.ask(turn, GET, &[text("/register"), vec![0]].concat());
    let frame = raw.frame()?;
    let length = usize::try_from(number(&frame[16..])).unwrap_or_default();
    Some((frame[20..20 + length].to_vec(), number(&frame[20 + length + VERSION..])))
}

/// Clients play at these servers while `meanwhile` happens.
fn is_linear(ports: &[u16], meanwhile: impl FnOnce()) {
    let mut first = Raw::greeted(ports[0]);
    first.ask(1, CREATE, &create("/register", "", 0));
    assert_eq!(error_of(&first.frame().expect("an answer")), 0);
    let goes_on = &AtomicBool::new(true);
    let played: Vec<_> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let port = ports[usize::try_from(client).expect("few") % ports.len()];
                scope.spawn(move || play(port, client, goes_on))
            })
            .collect();
        {
            let _end = End(goes_on);
            meanwhile();
        }
        players.into_iter().map(|player| player.join().expect("it ends")).collect()
    });
    let (all, unanswered): (Vec<_>, Vec<_>) = played.into_iter().unzip();
    check(&all.concat(), &unanswered.concat());
}

fn check(all: &[Done], unanswered: &[Vec<u8>]) {
    let writes: Vec<&Done> = all.iter().filter(|one| one.is_write).collect();
    let by_version: BTreeMap<i32, &Done> = writes.iter().map(|one| (one.version, *one)).collect();
    assert_eq!(by_version.len(), writes.len(), "a version was given twice");
    // Each write is one version, and there is none that nobody wrote.
    let latest = by_version.keys().next_back().copied().and_then(|latest| usize::try_from(latest).ok());
    let most = writes.len() + unanswered.len();
    assert!(latest.is_some_and(|latest| latest <= most), "{latest:?} of {most}");
    for one in all {
        let before =
            writes.iter().filter(|other| other.answered < one.asked).map(|other| other.version).max();
        assert!(
            before.is_none_or(|before| one.version >= before),
            "{} is older than {before:?}",
            one.version
        );
        if !one.is_write && one.version > 0 {
            let Some(written) = by_version.get(&one.version) else {
                assert!(unanswered.contains(&one.data), "{:?} was never written", one.data);
                continue;
            };
            assert!(written.asked < one.answered, "{} was read before it was written", one.version);
            assert_eq!(written.data, one.data);
        }
    }
}

#[test]
fn histories_of_a_server_in_memory_are_linear() {
    let zk = Zk::start("memory");
    is_linear(&[zk.port], || {});
}

#[test]
fn histories_of_a_server_with_a_file_are_linear() {
    let dir = tempfile::tempdir().expect("a folder");
    let zk = Zk::start(&format!("file://{}", dir.path().display()));
    is_linear(&[zk.port], || {});
}

#[test]
fn histories_of_front_ends_of_etcd_are_linear() {
    let Some(etcd) = Ensemble::etcd("histories", 1) else { return };
    let ends = [Zk::start(&etcd.url()), Zk::start(&etcd.url())];
    is_linear(&[ends[0].port, ends[1].port], || {});
}

/// The member that leads is killed, comes back, and the next one is.
#[test]
fn histories_are_linear_while_members_of_etcd_die() {
    let Some(mut etcd) = Ensemble::etcd("histories", 3) else { return };
    let ends = [Zk::start(&etcd.url()), Zk::start(&etcd.url())];
    let ports = [ends[0].port, ends[1].port];
    let writes = |port: u16| {
        let mut raw = Raw::greeted_at_last(port);
        raw.ask(1, CREATE, &create("/seen-", "", 2));
        raw.frame().is_some_and(|frame| error_of(&frame) == 0)
    };
    is_linear(&ports, || {
        for _ in 0..3 {
            let leader = etcd.leader();
            etcd.kill(leader);
            for port in ports {
                wait_for("a write behind the leader's death", || writes(port).then_some(()));
            }
            etcd.restart(leader);
            etcd.wait();
        }
    });
}
