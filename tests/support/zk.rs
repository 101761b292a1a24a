//! `mesos zk serve`, as its own process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Process, free_port, wait_for};

/// A server that serves.
pub struct Zk {
    pub port: u16,
    pub process: Process,
    args: Vec<String>,
}

impl Zk {
    /// With a store, as `--store` takes it.
    pub fn start(store: &str) -> Zk {
        let port = free_port();
        let args = args(port, store);
        let zk = Zk { port, process: Process::start(&args), args };
        zk.wait();
        zk
    }

    fn wait(&self) {
        wait_for("a ZooKeeper of ours", || (ask(self.port, "ruok")? == "imok").then_some(()));
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// kill -9, and a new process in its place.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(&self.args);
        self.wait();
    }
}

/// What a server is started with, for quick sessions.
pub fn args(port: u16, store: &str) -> Vec<String> {
    let (port, store) = (format!("--port={port}"), format!("--store={store}"));
    ["zk", "serve", "--ip=127.0.0.1", &port, &store, "--tick_time=250ms", "--four_letter_words=*"]
        .map(str::to_owned)
        .to_vec()
}

/// What a server says to a four-letter word.
pub fn ask(port: u16, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
