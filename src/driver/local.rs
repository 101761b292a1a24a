//! `local` for a master: a cluster of this process's own, in a process beside it, which is `mesos local`. All drivers
//! here share it; it ends with the process. Where its master is, it prints.
//!
//! Source: `local::launch`, as sched.cpp 1.11 calls it, which runs the cluster among the driver's own threads.
#![expect(clippy::disallowed_methods, reason = "a shell: starts a process, and reads what it says")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

use crate::coordination::url::Url;
use crate::posix::start::{Tie, detach};

/// The program, as `PATH` finds it.
const PROGRAM: &str = "mesos";

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
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    detach(&mut command, None, Tie::EndsWithParent);
    let (say, said) = channel();
    // The cluster ends with the thread that started it, which waits until the cluster has ended.
    let run = move || match command.spawn() {
        Err(error) => {
            let _ = say.send(Err(format!("Failed to start a local cluster: `{PROGRAM}` on PATH: {error}")));
        }
        Ok(child) => attend(child, quiet, &say),
    };
    thread("mesos-local", run)?;
    let address = said.recv().unwrap_or_else(|_| Err("The local cluster said nothing".to_owned()))?;
    Url::parse(&address).map_err(|error| error.to_string())
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let started = Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|error| format!("Failed to start a local cluster: {error}"))
}

/// Says the address that the cluster prints, or how it ended before.
fn attend(mut child: Child, quiet: bool, say: &Sender<Result<String, String>>) {
    let (tell, told) = channel();
    if let Some(log) = child.stderr.take() {
        let reading = thread("mesos-local-log", move || drop(tell.send(last_lines(log, quiet))));
        if let Err(error) = reading {
            let _ = say.send(Err(error));
            let _ = child.kill();
        }
    }
    let mut address = String::new();
    if let Some(out) = child.stdout.take() {
        // What cannot be read counts as not said.
        let _ = BufReader::new(out).read_line(&mut address);
    }
    if !address.is_empty() {
        // Nobody listens if the log could not be read.
        let _ = say.send(Ok(address.trim_end().to_owned()));
    }
    let last = told.recv().unwrap_or_default();
    let _ = say.send(Err(format!("The local cluster ended: {}", last.join("; "))));
    let _ = child.wait();
}

/// Passes the log on until it ends, and returns its end.
fn last_lines(log: ChildStderr, quiet: bool) -> Vec<String> {
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if !quiet {
            eprintln!("{line}");
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.into()
}
