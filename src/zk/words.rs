//! The four-letter words, by which operators and tools ask a server how it is.
//!
//! Those that the server was told to answer are answered, `srvr` alone unless it was told otherwise.
//!
//! Source: `FourLetterCommands`, `command/*Command.java`, 3.8.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::connection::Numbers;
use crate::base::build;

/// Those that there are.
const WORDS: [&str; 5] = ["ruok", "stat", "srvr", "mntr", "cons"];

/// What is said of the server.
pub struct Server {
    pub received: u64,
    pub sent: u64,
    pub outstanding: usize,
    pub zxid: i64,
    pub nodes: usize,
    pub watches: usize,
    pub ephemerals: usize,
    pub latency: Latency,
}

/// How long answers took, from their request to when they left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    least: Duration,
    most: Duration,
    sum: Duration,
    count: u32,
}

impl Latency {
    pub fn add(&mut self, took: Duration) {
        self.least = if self.count == 0 { took } else { self.least.min(took) };
        self.most = self.most.max(took);
        if self.count == u32::MAX {
            (self.sum, self.count) = (self.sum / 2, self.count / 2);
        }
        self.sum += took;
        self.count += 1;
    }

    /// Least, mean and most, milliseconds.
    fn milliseconds(&self) -> (u128, f64, u128) {
        let mean = self.sum.as_secs_f64() * 1000.0 / f64::from(self.count.max(1));
        (self.least.as_millis(), mean, self.most.as_millis())
    }
}

/// Which words are answered: `*`, or some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<String>);

impl Allowed {
    pub fn parse(text: &str) -> Allowed {
        Allowed(text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|one| one == "*" || one == word)
    }
}

/// The answer to a word.
pub fn answer(word: [u8; 4], allowed: &Allowed, server: &Server, connections: &[&Numbers]) -> String {
    let word = String::from_utf8_lossy(&word).into_owned();
    if !WORDS.contains(&&*word) || !allowed.has(&word) {
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    match &*word {
        "ruok" => "imok".to_owned(),
        "mntr" => monitored(server, connections.len()),
        "cons" => clients(connections) + "\n",
        "stat" => {
            format!("{}Clients:\n{}\n{}", version(), clients(connections), details(server, connections.len()))
        }
        _ => version() + &details(server, connections.len()),
    }
}

fn version() -> String {
    // The protocol's version first, which tools look for.
    format!("Zookeeper version: 3.8.0-mesos-{}, built on {}\n", env!("CARGO_PKG_VERSION"), build::date())
}

fn details(server: &Server, connections: usize) -> String {
    let (least, mean, most) = server.latency.milliseconds();
    format!(
        "Latency min/avg/max: {least}/{mean:.4}/{most}\nReceived: {}\nSent: {}\nConnections: {connections}\n\
         Outstanding: {}\nZxid: {:#x}\nMode: standalone\nNode count: {}\n",
        server.received, server.sent, server.outstanding, server.zxid, server.nodes
    )
}

fn clients(connections: &[&Numbers]) -> String {
    let mut text = String::new();
    for numbers in connections {
        let _ = writeln!(
            text,
            " /{}[1](queued={},recved={},sent={},sid={:#x},est={})",
            numbers.peer,
            numbers.queued(),
            numbers.received.load(Ordering::Relaxed),
            numbers.sent.load(Ordering::Relaxed),
            numbers.session.load(Ordering::Relaxed),
            numbers.since.elapsed().as_millis()
        );
    }
    text
}

fn monitored(server: &Server, connections: usize) -> String {
    let (least, mean, most) = server.latency.milliseconds();
    format!(
        "zk_version\t3.8.0-mesos-{}\nzk_server_state\tstandalone\nzk_min_latency\t{least}\nzk_avg_latency\t{mean:.4}\n\
         zk_max_latency\t{most}\nzk_packets_received\t{}\nzk_packets_sent\t{}\n\
         zk_num_alive_connections\t{connections}\nzk_outstanding_requests\t{}\nzk_znode_count\t{}\n\
         zk_watch_count\t{}\nzk_ephemerals_count\t{}\n",
        env!("CARGO_PKG_VERSION"),
        server.received,
        server.sent,
        server.outstanding,
        server.nodes,
        server.watches,
        server.ephemerals
    )
}
