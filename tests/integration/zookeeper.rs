//! `mesos zk`: what was acknowledged survives kill -9, bad frames harm nobody, and the commands by hand.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::ensembles::Ensemble;
use crate::support::zk::{Zk, ask};
use crate::support::{Cluster, DEADLINE, Process, free_port, mesos, open_to_all, wait_for};

/// A client with bare hands.
pub struct Raw(TcpStream);

impl Raw {
    fn connect(port: u16) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Raw(stream)
    }

    /// With a session of its own.
    pub fn greeted(port: u16) -> Raw {
        Raw::resumed(port, &[0; 8], &[0; 16]).0
    }

    /// The same, of a server that may not be able to begin one right now.
    pub fn greeted_at_last(port: u16) -> Raw {
        wait_for("a session", || Some(Raw::welcomed(port, &[0; 8], &[0; 16])?.0))
    }

    /// With a session that it had, by its number and password; and those that it has now.
    fn resumed(port: u16, session: &[u8], password: &[u8]) -> (Raw, Vec<u8>, Vec<u8>) {
        Raw::welcomed(port, session, password).expect("a welcome")
    }

    /// None if the connection ends instead.
    fn welcomed(port: u16, session: &[u8], password: &[u8]) -> Option<(Raw, Vec<u8>, Vec<u8>)> {
        let mut raw = Raw::connect(port);
        let mut hello = [0; 12].to_vec();
        hello.extend(4000_i32.to_be_bytes());
        hello.extend(session);
        hello.extend(16_i32.to_be_bytes());
        hello.extend(password);
        hello.push(0);
        raw.send(&hello);
        let welcome = raw.frame()?;
        assert_eq!(welcome.len(), 37);
        Some((raw, welcome[8..16].to_vec(), welcome[20..36].to_vec()))
    }

    fn send(&mut self, body: &[u8]) {
        let mut frame = i32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
        frame.extend(body);
        // A server that has closed the connection already is as good.
        let _ = self.0.write_all(&frame);
    }

    /// A request: its number, what it asks, and what belongs to it.
    pub fn ask(&mut self, xid: i32, kind: i32, rest: &[u8]) {
        let mut body = xid.to_be_bytes().to_vec();
        body.extend(kind.to_be_bytes());
        body.extend(rest);
        self.send(&body);
    }

    /// The next frame; none once the connection is closed.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.0.read_exact(&mut body).ok()?;
        Some(body)
    }

    fn is_closed(&mut self) -> bool {
        let started = Instant::now();
        while self.frame().is_some() {}
        started.elapsed() < DEADLINE
    }
}

pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = i32::try_from(text.len()).expect("short").to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// The rest of a create that anybody may do anything with.
pub fn create(path: &str, data: &str, flags: i32) -> Vec<u8> {
    [text(path), text(data), 1_i32.to_be_bytes().to_vec(), 31_i32.to_be_bytes().to_vec()]
        .concat()
        .into_iter()
        .chain(text("world"))
        .chain(text("anyone"))
        .chain(flags.to_be_bytes())
        .collect()
}

pub fn error_of(frame: &[u8]) -> i32 {
    i32::from_be_bytes(frame[12..16].try_into().expect("an answer"))
}

pub const CREATE: i32 = 1;
const EXISTS: i32 = 3;
pub const GET: i32 = 4;
const PING: i32 = 11;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut zk = Zk::start(&format!("file://{}", dir.path().display()));
    for round in 0..3 {
        let mut raw = Raw::greeted(zk.port);
        // Many at once; the server is killed in the midst of them.
        for _ in 0..400 {
            raw.ask(1, CREATE, &create("/n-", "data", 2));
        }
        let mut acknowledged = Vec::new();
        for _ in 0..50 + 100 * round {
            let frame = raw.frame().expect("an answer");
            assert_eq!(error_of(&frame), 0);
            acknowledged.push(String::from_utf8(frame[20..].to_vec()).expect("a path"));
        }
        zk.restart();
        let mut raw = Raw::greeted(zk.port);
        for path in &acknowledged {
            raw.ask(1, EXISTS, &[text(path), vec![0]].concat());
            assert_eq!(error_of(&raw.frame().expect("an answer")), 0, "{path} is lost");
        }
        // Numbers go on where they were.
        raw.ask(1, CREATE, &create("/n-", "", 2));
        let frame = raw.frame().expect("an answer");
        let next = String::from_utf8(frame[20..].to_vec()).expect("a path");
        assert!(acknowledged.iter().all(|path| *path < next), "{next}");
    }
    let second = mesos(&["zk", "serve", "--port=0", &format!("--store=file://{}", dir.path().display())]);
    assert_eq!(second.status, Some(1));
    assert!(second.err.contains("is used by another process"), "{}", second.err);
}

#[test]
fn bad_frames_end_their_connection_and_nothing_else() {
    let zk = Zk::start("memory");
    let mut witness = Raw::greeted(zk.port);
    let mut refused = |greeted: bool, bytes: &[u8]| {
        let mut raw = if greeted { Raw::greeted(zk.port) } else { Raw::connect(zk.port) };
        let _ = raw.0.write_all(bytes);
        assert!(raw.is_closed(), "{bytes:?}");
        witness.ask(-2, PING, &[]);
        assert_eq!(error_of(&witness.frame().expect("the others are served")), 0);
    };
    for greeted in [false, true] {
        refused(greeted, &[0xff; 64]);
        refused(greeted, &[0x7f, 0xff, 0xff, 0xff, 0]);
        refused(greeted, &[0, 0, 0, 2, 1, 1]);
        refused(greeted, &[0, 0, 0, 0]);
        // A text of 4 GiB in a short frame.
        refused(
            greeted,
            &[&[0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 4], &[0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0][..]].concat(),
        );
        refused(
            greeted,
            &[&[0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 4], &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..]].concat(),
        );
    }
    // An ACL of two milliards, a multi of unknown operations, an operation that nobody knows.
    let acls = [text("/a"), text(""), vec![0x7f, 0xff, 0xff, 0xff]].concat();
    for (kind, rest) in
        [(CREATE, acls), (14, [999_i32.to_be_bytes().to_vec(), vec![0], vec![0; 8]].concat()), (4242, vec![])]
    {
        let mut raw = Raw::greeted(zk.port);
        raw.ask(1, kind, &rest);
        assert!(raw.is_closed(), "{kind}");
    }
    // Credentials without end.
    let mut raw = Raw::greeted(zk.port);
    for number in 0..1000 {
        raw.ask(-4, 100, &[vec![0; 4], text("digest"), text(&format!("u{number}:p"))].concat());
    }
    assert!(raw.is_closed());
    // Half a frame, and gone.
    let raw = Raw::connect(zk.port);
    (&raw.0).write_all(&[0, 0, 1]).expect("written");
    raw.0.shutdown(Shutdown::Both).expect("shut");
    Raw::greeted(zk.port).ask(-2, PING, &[]);
    for why in ["a frame is longer than", "a length is negative", "too many identities", "no server does"] {
        wait_for(why, || zk.process.log().iter().any(|line| line.contains(why)).then_some(()));
    }
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let zk = Zk::start("memory");
    let mut slow = Raw::greeted(zk.port);
    slow.ask(1, CREATE, &create("/large", &"x".repeat(900_000), 0));
    assert_eq!(error_of(&slow.frame().expect("an answer")), 0);
    let question = [text("/large"), vec![0]].concat();
    slow.0.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    // 9 GB of answers, were they all made. Frames stop being taken long before.
    let mut asked = 0;
    while asked < 10_000 {
        let mut body = 23_i32.to_be_bytes().to_vec();
        body.extend(1_i32.to_be_bytes());
        body.extend(GET.to_be_bytes());
        body.extend(&question);
        let length = i32::try_from(body.len() - 4).expect("short");
        body[..4].copy_from_slice(&length.to_be_bytes());
        if slow.0.write_all(&body).is_err() {
            break;
        }
        asked += 1;
    }
    let mut other = Raw::greeted(zk.port);
    other.ask(1, EXISTS, &question);
    assert_eq!(error_of(&other.frame().expect("an answer")), 0);
    let memory = procfs::process::Process::new(i32::try_from(zk.process.pid()).expect("a pid"))
        .and_then(|process| process.status())
        .expect("it runs");
    assert!(memory.vmrss < Some(300 << 10), "{:?} KiB after {asked} questions", memory.vmrss);
}

#[test]
fn nodes_are_seen_and_changed_by_hand() {
    let zk = Zk::start("memory");
    let at = format!("--zk=zk://{}", zk.address());
    let run = |args: &[&str]| mesos(&[&["zk", &at], args].concat());
    let out = |args: &[&str]| {
        let done = run(args);
        assert_eq!(done.status, Some(0), "{args:?}: {done:?}");
        done.out
    };
    assert_eq!(out(&["create", "/a/b", "held"]), "/a/b\n");
    assert_eq!(out(&["create", "/a/n-", "-s"]), "/a/n-0000000001\n");
    assert_eq!(out(&["get", "/a/b"]), "held");
    assert_eq!(out(&["ls", "/a"]), "b\nn-0000000001\n");
    assert_eq!(out(&["set", "/a/b", "new", "--version=0"]), "version 1\n");
    assert!(out(&["stat", "/a/b"]).contains("\nversion 1\n"));
    assert_eq!(out(&["tree", "/a"]), "/a\n  b  new\n  n-0000000001\n");
    let other = format!("--zk=zk://{}/a", zk.address());
    assert_eq!(mesos(&["zk", "ls", &other]).out, "b\nn-0000000001\n");
    let failed = run(&["set", "/a/b", "x", "--version=0"]);
    assert_eq!(failed.status, Some(1));
    assert!(!failed.err.is_empty());
    assert_eq!(run(&["rm", "/a"]).status, Some(1));
    assert_eq!(out(&["rm", "-r", "/a"]), "");
    assert_eq!(out(&["ls"]), "zookeeper\n");
    assert_eq!(run(&["masters"]).out, "");
    assert_eq!(run(&["leader"]).err.trim(), format!("no master stands at zk://{}/mesos", zk.address()));
    let watching = std::thread::spawn({
        let at = at.clone();
        move || mesos(&["zk", &at, "watch", "/w", "--recursive", "--count=2"])
    });
    wait_for("the watch", || ask(zk.port, "mntr")?.contains("zk_watch_count\t1").then_some(()));
    out(&["create", "/w/x"]);
    assert_eq!(watching.join().expect("it ends").out, "created /w\ncreated /w/x\n");
}

#[test]
fn a_session_goes_on_at_another_front_end() {
    let Some(etcd) = Ensemble::etcd("front ends", 1) else { return };
    let (mut first, second) = (Zk::start(&etcd.url()), Zk::start(&etcd.url()));
    let (mut raw, session, password) = Raw::resumed(first.port, &[0; 8], &[0; 16]);
    raw.ask(1, CREATE, &create("/mine-", "", 3));
    let frame = raw.frame().expect("an answer");
    assert_eq!(error_of(&frame), 0);
    let path = String::from_utf8(frame[20..].to_vec()).expect("a path");
    let watched = [text(&path), vec![1]].concat();
    let mut witness = Raw::greeted(second.port);
    // Seen at once where it was not made, by who asks for the latest.
    witness.ask(1, 9, &text("/"));
    witness.frame().expect("an answer");
    witness.ask(2, EXISTS, &watched);
    assert_eq!(error_of(&witness.frame().expect("an answer")), 0);
    first.process.kill();
    let (mut raw, same, _) = Raw::resumed(second.port, &session, &password);
    assert_eq!(same, session);
    raw.ask(2, CREATE, &create("/mine-", "", 3));
    let frame = raw.frame().expect("an answer");
    let next = String::from_utf8(frame[20..].to_vec()).expect("a path");
    assert_eq!((path.as_str(), next.as_str()), ("/mine-0000000000", "/mine-0000000001"));
    // It ends, at last, with its nodes, when nothing is heard of it; the witness is, all the time.
    drop(raw);
    let begun = Instant::now();
    let told = loop {
        witness.ask(-2, PING, &[]);
        let frame = witness.frame().expect("an answer");
        if frame[..4] == (-1_i32).to_be_bytes() {
            break String::from_utf8_lossy(&frame[28..]).into_owned();
        }
        assert!(begun.elapsed() < DEADLINE, "its nodes stay");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told, path);
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    first.restart();
}

#[test]
fn masters_elect_through_it() {
    let zk = Zk::start("memory");
    elects(&format!("zk://{}/mesos", zk.address()));
}

#[test]
fn masters_elect_through_front_ends_of_etcd_of_which_one_is_killed() {
    let Some(etcd) = Ensemble::etcd("front ends", 1) else { return };
    let (mut first, second) = (Zk::start(&etcd.url()), Zk::start(&etcd.url()));
    let url = format!("zk://{},{}/mesos", first.address(), second.address());
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let master = Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={port}"),
        format!("--zk={url}"),
        "--zk_session_timeout=5secs".to_owned(),
        format!("--work_dir={}", dir.path().join("master").display()),
    ]);
    let at = format!("--zk=zk://{}/mesos", second.address());
    let leader = || mesos(&["zk", "leader", &at]).out;
    wait_for("it to lead", || leader().contains(&port.to_string()).then_some(()));
    let mut cluster = Cluster::under(master, port, dir, 0, &[]);
    first.process.kill();
    // Its session goes to the other front end, and it leads on: longer than its session would last otherwise.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        assert!(cluster.master.running(), "the leader ended");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(leader().contains(&port.to_string()), "{}", leader());
    drop(cluster);
    first.restart();
    elects(&url);
}

#[test]
fn a_local_cluster_has_one_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    open_to_all(dir.path());
    let (zk, ports) = (free_port(), [free_port(), free_port()]);
    let url = format!("zk://127.0.0.1:{zk}/mesos");
    let mut local = Process::start(&[
        "local".to_owned(),
        "--zk".to_owned(),
        format!("--zk_port={zk}"),
        "--num_slaves=2".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        format!("--port={}", ports[0]),
        format!("--work_dir={}", dir.path().display()),
        "--resources=cpus:2;mem:512".to_owned(),
    ]);
    let state = |port: u16| -> Option<serde_json::Value> {
        serde_json::from_str(&crate::support::get(port, "/state").ok()?).ok()
    };
    wait_for("both agents", || (state(ports[0])?["activated_slaves"] == 2.0).then_some(()));
    wait_for("its place", || local.log().iter().any(|line| line.contains(&url)).then_some(()));
    assert_eq!(state(ports[0]).expect("a state")["flags"]["zk"], url.as_str());
    let at = format!("--zk={url}");
    let leader = mesos(&["zk", "leader", &at]).out;
    assert!(leader.contains(&ports[0].to_string()), "{leader}");
    // Another stands by, and knows who leads.
    let mut second = Process::start(&[
        "master".to_owned(),
        at.clone(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={}", ports[1]),
    ]);
    wait_for("two masters", || (mesos(&["zk", "masters", &at]).out.lines().count() == 2).then_some(()));
    let led = wait_for("a standby", || state(ports[1])?["leader_info"]["port"].as_u64());
    assert_eq!(led, u64::from(ports[0]));
    // Who acts by hand, and who runs something, find the leader and its agents through it.
    let master = format!("--master={url}");
    let nodes = mesos(&["ctl", &master, "--timeout=30secs", "agents", "-o", "json"]);
    let nodes: serde_json::Value = serde_json::from_str(&nodes.out).unwrap_or_else(|_| panic!("{nodes:?}"));
    assert_eq!(nodes.as_array().map(Vec::len), Some(2), "{nodes}");
    let done = mesos(&["execute", &master, "--name=n", "--command=true"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(local.running() && second.running());
    assert_eq!(local.terminate(), Some(0));
}

/// Two masters of which one leads, and the other when that is killed.
fn elects(url: &str) {
    let cluster = |port: u16, dir: &std::path::Path| {
        Process::start(&[
            "master".to_owned(),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            format!("--port={port}"),
            format!("--zk={url}"),
            "--zk_session_timeout=2secs".to_owned(),
            format!("--work_dir={}", dir.join(port.to_string()).display()),
        ])
    };
    let dir = tempfile::tempdir().expect("a folder");
    let ports = [free_port(), free_port()];
    let mut first = cluster(ports[0], dir.path());
    let at = format!("--zk={url}");
    let leader = || mesos(&["zk", "leader", &at]).out;
    wait_for("the first to lead", || leader().contains(&ports[0].to_string()).then_some(()));
    let second = cluster(ports[1], dir.path());
    let masters = || mesos(&["zk", "masters", &at, "-o", "json"]).out;
    let all = wait_for("both to stand", || masters().contains(&ports[1].to_string()).then(masters));
    let all: serde_json::Value = serde_json::from_str(&all).expect("json");
    let stands = |port: u16| all.as_array().expect("a list").iter().any(|one| one["info"]["port"] == port);
    assert!(stands(ports[0]) && stands(ports[1]), "{all}");
    let under = Cluster::under(second, ports[1], dir, 0, &[]);
    first.kill();
    wait_for("the second to lead", || leader().contains(&ports[1].to_string()).then_some(()));
    drop(under);
}
