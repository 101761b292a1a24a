//! `local` for a master: a cluster of this process's own, in a process beside it, which is `mesos local`. All drivers
//! here share it; it ends with the process.
//!
//! Source: `local::launch`, as sched.cpp 1.11 calls it, which runs the cluster among the driver's own threads.
#![expect(clippy::disallowed_methods, reason = "a shell: starts a process, and reads what it says")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use crate::coordination::url::Url;
use crate::posix::start::{Tie, detach};

/// The program, as `PATH` finds it.
const PROGRAM: &str = "mesos";

/// What it logs as soon as its master and agents serve, before the master's address.
const SERVES: &str = "local cluster serves master=";

/// How much of what a cluster said that did not come up is told.
const LAST_LINES: usize = 3;

static CLUSTER: OnceLock<Result<Url, String>> = OnceLock::new();

/// The cluster's master; the first call starts it, and waits until it serves. Flags of it are those of the environment
/// (`MESOS_NUM_SLAVES`, …), but for the master's port and, unless it says otherwise, a work directory of its own.
/// `quiet`: its log goes nowhere. The error says why there is none.
pub fn master(quiet: bool) -> Result<Url, String> {
    CLUSTER.get_or_init(|| start(quiet)).clone()
}

fn start(quiet: bool) -> Result<Url, String> {
    let mut command = Command::new(PROGRAM);
    command.args(["local", "--ip=127.0.0.1", "--port=0"]);
    if std::env::var_os("MESOS_WORK_DIR").is_none() {
        let name = format!("mesos-local-{}", std::process::id());
        command.arg(format!("--work_dir={}", std::env::temp_dir().join(name).display()));
    }
    // What is said to a driver is not said to masters and agents.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LIBPROCESS_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    detach(&mut command, None, Tie::EndsWithParent);
    let (say, said) = channel();
    // The cluster ends with the thread that started it, and this one reads until the cluster has ended.
    let thread = std::thread::Builder::new().name("mesos-local".to_owned());
    let run = move || match command.spawn() {
        Err(error) => {
            let _ = say.send(Err(format!("Failed to start a local cluster: `{PROGRAM}` on PATH: {error}")));
        }
        Ok(mut child) => {
            if let Some(log) = child.stderr.take() {
                read(log, quiet, &say);
            }
            let _ = child.wait();
        }
    };
    thread.spawn(run).map_err(|error| format!("Failed to start a local cluster: {error}"))?;
    let address = said.recv().unwrap_or_else(|_| Err("The local cluster said nothing".to_owned()))?;
    Url::parse(&address).map_err(|error| error.to_string())
}

/// Passes the log on, and says the address that it names, or how it ended before.
fn read(log: ChildStderr, quiet: bool, say: &Sender<Result<String, String>>) {
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if !quiet {
            eprintln!("{line}");
        }
        if let Some(address) = line.split_once(SERVES).and_then(|(_, rest)| rest.split(' ').next()) {
            // Nobody listens any more if it came up before.
            let _ = say.send(Ok(address.to_owned()));
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let _ = say.send(Err(format!("The local cluster ended: {}", Vec::from(last).join("; "))));
}
