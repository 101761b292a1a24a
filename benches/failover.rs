//! How long a cluster is without a leader: from the leader's death (kill -9) to the first offer of the next one, with
//! one agent and one framework, through a real ZooKeeper and a real etcd.
//!
//! `DRILLS=20 SESSION=10secs` set how often and the length of sessions; Apache Mesos promises that length, 10 s unless
//! said otherwise, and a few seconds. The session's end is the ensemble's to tell: what comes before it is not ours.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads clocks and starts processes"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::ensembles::Ensemble;
use support::scheduler::{Scheduler, framework, with};
use support::{Process, free_port, get, wait_for};

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).ok().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
}

fn master(url: &str, session: &str) -> (u16, Process) {
    let port = free_port();
    let process = Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        "--registry=in_memory".to_owned(),
        format!("--port={port}"),
        format!("--zk={url}"),
        format!("--zk_session_timeout={session}"),
    ]);
    // It leads, or knows who does.
    wait_for("a master", || get(port, "/state").ok());
    (port, process)
}

/// Seconds from the death of each leader to the first offer of the next.
fn drills(ensemble: &Ensemble, session: &str, count: usize) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let url = ensemble.url();
    let mut leader = master(&url, session);
    let _agent = Process::start(&[
        "slave".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={}", free_port()),
        format!("--master={url}"),
        format!("--zk_session_timeout={session}"),
        format!("--work_dir={}", dir.path().display()),
        "--registration_backoff_factor=10ms".to_owned(),
    ]);
    let mut info = with(framework("drill"), json!({"failover_timeout": 600.0}));
    let mut scheduler = Scheduler::subscribe(leader.0, info.clone());
    scheduler.next("OFFERS");
    info = with(info, json!({"id": {"value": scheduler.framework_id}}));
    (0..count)
        .map(|_| {
            let next = master(&url, session);
            leader.1.kill();
            let begun = Instant::now();
            scheduler = wait_for("the next leader", || Scheduler::try_subscribe(next.0, info.clone()).ok());
            scheduler.next("OFFERS");
            leader = next;
            begun.elapsed().as_secs_f64()
        })
        .collect()
}

fn main() {
    let count = setting("DRILLS", "20").parse().expect("DRILLS is a number");
    let session = setting("SESSION", "10secs");
    let length: Duration = mesos::base::duration::parse(&session).expect("SESSION is a duration");
    let ensembles =
        [("ZooKeeper", Ensemble::zookeeper("failover", 3)), ("etcd", Ensemble::etcd("failover", 3))];
    for (name, ensemble) in ensembles {
        let Some(ensemble) = ensemble else { continue };
        let mut seconds = drills(&ensemble, &session, count);
        seconds.sort_by(f64::total_cmp);
        let (median, worst) = (seconds[count / 2], seconds[count - 1]);
        println!(
            "{name}: from a leader's death to the next one's first offer, {count} drills, sessions of {} s: \
             median {median:.2} s, worst {worst:.2} s",
            length.as_secs_f64()
        );
        let line: Value = json!({"case": "failover", "through": name, "drills": count,
            "session_s": length.as_secs_f64(), "median_s": median, "worst_s": worst});
        println!("{line}");
    }
}
