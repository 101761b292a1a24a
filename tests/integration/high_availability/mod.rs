//! Several masters, one leader: elections through a real ZooKeeper and a real etcd, with leaders and servers killed,
//! paused and cut off.

mod drills;
mod outages;
mod partitions;
mod places;
mod recovery;
mod rolling;
mod standbys;

use std::time::Duration;

use serde_json::Value;

use crate::support::ensembles::Ensemble;
use crate::support::scheduler::Scheduler;
use crate::support::{Process, free_port, get, open_to_all, wait_for};

/// Sessions of etcd are whole seconds, two at least.
const SESSION: &str = "2secs";

/// Masters that elect a leader.
struct Masters {
    url: String,
    dir: tempfile::TempDir,
    masters: Vec<Master>,
}

struct Master {
    port: u16,
    process: Process,
}

impl Masters {
    fn start(ensemble: &Ensemble, count: usize, flags: &[&str]) -> Masters {
        let dir = tempfile::tempdir().expect("a folder");
        let mut masters = Masters { url: ensemble.url(), dir, masters: Vec::new() };
        for _ in 0..count {
            masters.add(flags);
        }
        masters
    }

    fn add(&mut self, flags: &[&str]) -> u16 {
        self.add_on(free_port(), flags)
    }

    fn add_on(&mut self, port: u16, flags: &[&str]) -> u16 {
        let url = self.url.clone();
        let process = master(port, &url, flags);
        wait_for("a master", || get(port, "/health").ok());
        self.masters.push(Master { port, process });
        port
    }

    /// The master that says that it leads, once there is one; others than `not`.
    fn leader_but(&self, not: &[usize]) -> usize {
        wait_for("a leader", || self.leading(not))
    }

    /// Who leads now. Two that say so are asked again, as the first may have ended while the second was asked.
    fn leading(&self, not: &[usize]) -> Option<usize> {
        let leads = |index: &usize| self.elected(*index) == Some(true);
        let all = (0..self.masters.len()).filter(|index| !not.contains(index));
        let mut found: Vec<usize> = all.filter(leads).collect();
        if found.len() > 1 {
            found.retain(leads);
        }
        assert!(found.len() < 2, "masters {found:?} lead at once");
        found.first().copied()
    }

    fn leader(&self) -> usize {
        self.leader_but(&[])
    }

    fn elected(&self, index: usize) -> Option<bool> {
        let numbers: Value = serde_json::from_str(&get(self.port(index), "/metrics/snapshot").ok()?).ok()?;
        Some(numbers["master/elected"] == 1.0)
    }

    fn port(&self, index: usize) -> u16 {
        self.masters[index].port
    }

    fn process(&mut self, index: usize) -> &mut Process {
        &mut self.masters[index].process
    }

    /// An agent that looks for the leader.
    fn agent(&self) -> Process {
        self.agent_on(free_port()).1
    }

    /// One on this port, and with more flags.
    fn agent_on(&self, port: u16) -> (u16, Process) {
        (port, self.agent_with(port, &[]))
    }

    fn agent_with(&self, port: u16, flags: &[String]) -> Process {
        let args = [
            "slave".to_owned(),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            format!("--port={port}"),
            format!("--master={}", self.url),
            format!("--zk_session_timeout={SESSION}"),
            format!("--work_dir={}", self.dir.path().join(format!("agent-{port}")).display()),
            "--resources=cpus:4;mem:2048;disk:4096;ports:[31000-32000]".to_owned(),
            "--registration_backoff_factor=10ms".to_owned(),
        ];
        open_to_all(self.dir.path());
        Process::start(&[&args[..], flags].concat())
    }

    /// Until the agent is registered with this master.
    fn wait_for_agent(&self, index: usize) {
        wait_for("the agent", || {
            let slaves: Value = serde_json::from_str(&get(self.port(index), "/slaves").ok()?).ok()?;
            (slaves["slaves"].as_array()?.iter().filter(|agent| agent["active"] == true).count() == 1)
                .then_some(())
        });
    }
}

fn master(port: u16, url: &str, flags: &[&str]) -> Process {
    let defaults = [
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={port}"),
        format!("--zk={url}"),
        "--allocation_interval=100ms".to_owned(),
    ];
    let mut args = defaults.to_vec();
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    for (name, value) in [("--zk_session_timeout", SESSION), ("--registry", "in_memory")] {
        if !flags.iter().any(|flag| flag.split('=').next() == Some(name)) {
            args.push(format!("{name}={value}"));
        }
    }
    Process::start(&args)
}

fn signal(process: &Process, signal: i32) {
    // SAFETY: plain kill(2) on a child that was not waited for.
    unsafe { libc::kill(process.pid() as i32, signal) };
}

/// The exit status of a process that is to end by itself.
fn ends(process: &mut Process) -> Option<i32> {
    wait_for("the end of a master", || (!process.running()).then_some(()));
    process.terminate()
}

/// How many OFFERS a scheduler has heard.
fn offers(scheduler: &Scheduler) -> usize {
    scheduler.heard().iter().filter(|event| event["type"] == "OFFERS").count()
}

/// Plays to ZooKeeper and to etcd, as far as they are there.
fn beside(test: &str, servers: usize, play: impl Fn(Ensemble)) {
    for ensemble in [Ensemble::zookeeper(test, servers), Ensemble::etcd(test, servers)].into_iter().flatten()
    {
        play(ensemble);
    }
}

/// The same, and to `mesos zk serve` over etcd.
fn beside_ours(test: &str, servers: usize, play: impl Fn(Ensemble)) {
    beside(test, servers, &play);
    // Alone it would be the one place that must not fail.
    Ensemble::front_ends(test, servers.max(2)).into_iter().for_each(play);
}

fn timed<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> (T, Duration) {
    let begun = std::time::Instant::now();
    let value = wait_for(what, &mut condition);
    (value, begun.elapsed())
}
