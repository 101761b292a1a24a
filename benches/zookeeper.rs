//! `mesos zk serve` beside a real ZooKeeper 3.8, one server each: operations a second and how long each takes, what a
//! ping costs among many sessions, and watches fired at once.
//!
//! In memory it is compared with a ZooKeeper that does not wait for the disk, with `file://` with one that does, as it
//! does by default. Java has the heap that ZooKeeper's own script gives it, and time to warm up. `FOR=5` says how many
//! seconds each line takes, `CLIENTS=64` how many ask at once, `SESSIONS=1000` how many ping and watch, `ONLY=ours`
//! leaves ZooKeeper out, `TMPDIR` on which disk data is. Figures also go, one JSON line each, to `zookeeper.jsonl` in
//! the target folder.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads clocks and starts processes"
)]

#[allow(dead_code, reason = "another bench uses the rest")]
#[path = "cluster/measured.rs"]
mod measured;
#[allow(dead_code, reason = "another bench uses the rest")]
#[path = "cluster/report.rs"]
mod report;
#[path = "cluster/setting.rs"]
mod setting;
#[path = "../tests/support/mod.rs"]
mod support;

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::join_all;
use futures::{SinkExt as _, StreamExt as _};
use measured::used;
use report::{Figures, Kind};
use setting::{number, open_files};
use support::ensembles::Ensemble;
use support::zk::Zk;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const CREATE: i32 = 1;
const GET: i32 = 4;
const SET: i32 = 5;
const PING: i32 = 11;

/// Numbers of frames that answer no question of their own.
const EVENT: i32 = -1;
const PINGED: i32 = -2;

/// Sessions last so long without a word, and say one in every such time.
const SESSION_MS: i32 = 5000;
const PING_EVERY: Duration = Duration::from_secs(1);

/// Each session watches so many nodes.
const WATCHED: usize = 10;

/// Each herd of watches is fired so often; the median is told.
const HERDS: usize = 5;

const DATA: &str =
    "what a framework would keep in a node of its own, or a master of itself: host, port, id, version";

/// As `zkServer.sh` starts it.
const JAVA: &[&str] = &["-Xmx1000m"];
const JAVA_WITHOUT_FSYNC: &[&str] = &["-Xmx1000m", "-Dzookeeper.forceSync=no"];

/// What is measured.
#[derive(Clone, Copy)]
struct Target {
    port: u16,
    pid: u32,
}

#[derive(Clone, Copy)]
struct Size {
    each: Duration,
    clients: usize,
    sessions: usize,
}

/// A session of its own, with as little code as its bytes need: what it takes is taken from the servers.
struct Client {
    frames: Framed<TcpStream, LengthDelimitedCodec>,
    last: i32,
}

impl Client {
    async fn new(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut client = Client { frames: Framed::new(stream, LengthDelimitedCodec::new()), last: 0 };
        let mut hello = BytesMut::new();
        hello.put_i32(0);
        hello.put_i64(0);
        hello.put_i32(SESSION_MS);
        hello.put_i64(0);
        hello.put_i32(16);
        hello.put_bytes(0, 17);
        client.frames.send(hello.freeze()).await.expect("a connection");
        client.frame().await;
        client
    }

    async fn frame(&mut self) -> BytesMut {
        self.frames.next().await.expect("it serves").expect("a frame")
    }

    async fn send(&mut self, number: i32, kind: i32, rest: &[u8]) {
        let mut body = BytesMut::with_capacity(8 + rest.len());
        body.put_i32(number);
        body.put_i32(kind);
        body.put_slice(rest);
        self.frames.send(body.freeze()).await.expect("it reads");
    }

    /// Waits for the frame of this number, which must tell of no error.
    async fn hear(&mut self, number: i32) {
        loop {
            let frame = self.frame().await;
            let at = |from: usize| i32::from_be_bytes(frame[from..from + 4].try_into().expect("four bytes"));
            if at(0) == number {
                assert!(number < 0 || at(12) == 0, "error {} to {number}", at(12));
                return;
            }
            assert_eq!(at(0), EVENT, "an answer out of order");
        }
    }

    async fn ask(&mut self, kind: i32, rest: &[u8]) {
        self.last += 1;
        self.send(self.last, kind, rest).await;
        self.hear(self.last).await;
    }
}

async fn clients(port: u16, count: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    // The queue of those that wait to be accepted is short, and the disk is written for each session.
    while clients.len() < count {
        let some = (count - clients.len()).min(32);
        clients.extend(join_all((0..some).map(|_| Client::new(port))).await);
    }
    clients
}

fn put(bytes: &mut BytesMut, text: &str) {
    bytes.put_i32(i32::try_from(text.len()).expect("short"));
    bytes.put_slice(text.as_bytes());
}

fn create(path: &str) -> Bytes {
    let mut rest = BytesMut::new();
    put(&mut rest, path);
    put(&mut rest, DATA);
    rest.put_i32(1);
    rest.put_i32(31);
    put(&mut rest, "world");
    put(&mut rest, "anyone");
    rest.put_i32(0);
    rest.freeze()
}

fn get(path: &str, watch: bool) -> Bytes {
    let mut rest = BytesMut::new();
    put(&mut rest, path);
    rest.put_u8(u8::from(watch));
    rest.freeze()
}

fn set(path: &str) -> Bytes {
    let mut rest = BytesMut::new();
    put(&mut rest, path);
    put(&mut rest, DATA);
    rest.put_i32(-1);
    rest.freeze()
}

fn node(number: usize) -> String {
    format!("/bench-{number}")
}

/// Every client asks again as soon as it is answered; seconds of each, the least first.
async fn closed(target: Target, count: usize, kind: i32, each: Duration) -> Vec<f64> {
    let clients = clients(target.port, count).await;
    let end = Instant::now() + each;
    let loops = clients.into_iter().enumerate().map(|(number, mut client)| async move {
        let path = node(number);
        let rest = if kind == GET { get(&path, false) } else { set(&path) };
        let mut seconds = Vec::new();
        while Instant::now() < end {
            let begun = Instant::now();
            client.ask(kind, &rest).await;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        seconds
    });
    let mut seconds: Vec<f64> = join_all(loops).await.into_iter().flatten().collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

async fn operations(figures: &mut Figures, target: Target, size: Size) {
    for (what, kind) in [("reads", GET), ("writes", SET)] {
        // Java compiles what is done often.
        closed(target, size.clients, kind, size.each).await;
        for count in [1, size.clients] {
            let line = format!("{what}, {count} at once");
            let (begun, before) = (Instant::now(), used(target.pid).cpu);
            let seconds = closed(target, count, kind, size.each).await;
            let (took, cpu) = (begun.elapsed().as_secs_f64(), used(target.pid).cpu - before);
            let at = |part: f64| seconds[((seconds.len() - 1) as f64 * part) as usize];
            figures.add(&line, "operations", Kind::Rate, seconds.len() as f64 / took);
            figures.add(&line, "median", Kind::Latency, at(0.5));
            figures.add(&line, "p99", Kind::Latency, at(0.99));
            figures.add(&line, "CPU of one", Kind::Cpu, cpu / seconds.len() as f64);
        }
    }
}

/// Sessions that do nothing but stay, each a ping a second, spread over it.
async fn pings(figures: &mut Figures, target: Target, sessions: &mut [Client], each: Duration) {
    let count = sessions.len();
    let rounds = u32::try_from(each.as_secs()).unwrap_or(1).max(1);
    let (begun, before) = (Instant::now(), used(target.pid).cpu);
    let loops = sessions.iter_mut().enumerate().map(|(number, client)| async move {
        let first = begun + PING_EVERY.mul_f64(number as f64 / count as f64);
        for round in 0..rounds {
            tokio::time::sleep_until((first + PING_EVERY * round).into()).await;
            client.send(PINGED, PING, &[]).await;
            client.hear(PINGED).await;
        }
    });
    join_all(loops).await;
    let after = used(target.pid);
    let line = format!("{count} sessions' pings");
    figures.add(&line, "CPU of one", Kind::Cpu, (after.cpu - before) / (count as f64 * f64::from(rounds)));
    figures.add(&line, "resident memory", Kind::Memory, after.memory);
}

/// All sessions watch the same nodes, which one client then changes.
async fn watches(figures: &mut Figures, target: Target, sessions: &mut [Client]) {
    let count = sessions.len() * WATCHED;
    let mut writer = Client::new(target.port).await;
    let questions: Rc<[Bytes]> = (0..WATCHED).map(|number| get(&node(number), true)).collect();
    let mut herds = Vec::new();
    for _ in 0..HERDS {
        join_all(sessions.iter_mut().map(|client| {
            let questions = questions.clone();
            async move {
                for question in questions.iter() {
                    client.ask(GET, question).await;
                }
            }
        }))
        .await;
        let (begun, before) = (Instant::now(), used(target.pid).cpu);
        for number in 0..WATCHED {
            writer.send(1, SET, &set(&node(number))).await;
        }
        let heard = sessions.iter_mut().map(|client| async {
            for _ in 0..WATCHED {
                client.hear(EVENT).await;
            }
        });
        join_all(heard).await;
        herds.push((begun.elapsed().as_secs_f64(), used(target.pid).cpu - before));
        for _ in 0..WATCHED {
            writer.hear(1).await;
        }
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = herds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[HERDS / 2]
    };
    let line = format!("{count} watches fired");
    figures.add(&line, "until the last is heard", Kind::Latency, median(|herd| herd.0));
    figures.add(&line, "CPU of one", Kind::Cpu, median(|herd| herd.1) / count as f64);
}

async fn play(target: Target, size: Size) -> Figures {
    let mut figures = Figures::default();
    let mut first = Client::new(target.port).await;
    for number in 0..size.clients.max(WATCHED) {
        first.ask(CREATE, &create(&node(number))).await;
    }
    drop(first);
    operations(&mut figures, target, size).await;
    let mut sessions = clients(target.port, size.sessions).await;
    pings(&mut figures, target, &mut sessions, size.each * 2).await;
    watches(&mut figures, target, &mut sessions).await;
    figures
}

fn run(target: Target, size: Size) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(play(target, size))
}

fn ours(store: &str, size: Size) -> Figures {
    let zk = Zk::start(store);
    run(Target { port: zk.port, pid: zk.process.pid() }, size)
}

fn theirs(java: &'static [&'static str], size: Size) -> Figures {
    let Some(ensemble) = Ensemble::zookeeper_with("bench", 1, java) else { return Figures::default() };
    run(Target { port: ensemble.port(0), pid: ensemble.pid(0).expect("it runs") }, size)
}

fn main() {
    // `cargo bench` and `cargo test --benches` hand over arguments of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    open_files();
    let size = Size {
        each: Duration::from_secs(number("FOR", 5) as u64),
        clients: number("CLIENTS", 64),
        sessions: number("SESSIONS", 1_000),
    };
    let dir = tempfile::tempdir().expect("a folder");
    let is_in_memory = nix::sys::statfs::statfs(dir.path())
        .is_ok_and(|place| place.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    if is_in_memory {
        eprintln!("{} is in memory, and fsync is nothing there: set TMPDIR", dir.path().display());
    }
    let file = format!("file://{}", dir.path().display());
    let with_theirs = std::env::var("ONLY").unwrap_or_default() != "ours";
    let mut kept = String::new();
    for (store, java, names) in [
        ("memory", JAVA_WITHOUT_FSYNC, ["memory", "ZK, no fsync"]),
        (file.as_str(), JAVA, ["file", "ZK, fsync"]),
    ] {
        eprintln!("mesos zk serve, {}", names[0]);
        let ours = ours(store, size);
        eprintln!("ZooKeeper 3.8 ({})", names[1]);
        let theirs = if with_theirs { theirs(java, size) } else { Figures::default() };
        report::print((names[0], &ours), (names[1], &theirs));
        kept += &report::lines(names[0], &ours);
        kept += &report::lines(names[1], &theirs);
    }
    let file = support::cache_dir("zookeeper.jsonl");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("the target folder");
    std::fs::write(&file, kept).expect("the target folder");
    eprintln!("figures: {}", file.display());
}
