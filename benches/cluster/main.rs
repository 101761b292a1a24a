//! `make bench`: the same work for our master and for the real Apache Mesos 1.11.0 in one run, and their figures
//! side by side. The work comes from an emulator (v0 agents, v1 frameworks, HTTP readers) through the public
//! interfaces alone.
//!
//! `AGENTS=10000 EACH=5 MANY=50000 READS=10 FOLLOWERS=2000` set the size; `ONLY=ours` leaves the other one out,
//! `ONLY=followers` all but what subscribers of the event stream cost. Figures also go, one JSON line each, to
//! `bench.jsonl` in the target folder.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads clocks and starts processes"
)]

mod fleet;
mod followers;
mod framework;
mod measured;
#[allow(dead_code, reason = "the tests' half is not used")]
#[path = "../../tests/conformance/peer/mod.rs"]
mod peer;
mod play;
mod reads;
mod report;
mod setting;
#[path = "../../tests/support/mod.rs"]
mod support;
mod wire;

use std::path::Path;

use play::Size;
use report::Figures;
use setting::{number, open_files};
use support::Process;

fn ours(port: u16, dir: &Path) -> Process {
    Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={port}"),
        "--max_operator_event_stream_subscribers=10000".to_owned(),
        format!("--work_dir={}", dir.display()),
        // As the real one's is set.
        "--registry=in_memory".to_owned(),
    ])
}

fn theirs(port: u16, dir: &Path) -> Process {
    peer::master(port, dir, &[("MESOS_ALLOCATION_INTERVAL", "1secs")])
}

fn run(work: impl Future<Output = Figures>) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(work))
}

fn main() {
    // `cargo bench` and `cargo test --benches` hand over arguments of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    open_files();
    let size = Size {
        agents: number("AGENTS", 10_000),
        each: number("EACH", 5),
        many: number("MANY", 50_000),
        reads: number("READS", 10),
        followers: number("FOLLOWERS", 2_000),
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let both = [("ours", "mesos", &ours as play::Start<'_>), ("theirs", "Apache Mesos 1.11.0", &theirs)];
    let mut figures = Vec::new();
    let mut kept = String::new();
    for (key, name, start) in both {
        let wanted = only.is_empty() || only == key;
        let there = key == "ours" || peer::available("bench");
        let mut done = Figures::default();
        if wanted && there {
            eprintln!("{name}");
            done = run(play::play(start, size));
        }
        // The real one encodes each event for each of them, and keeps for ever what they do not read.
        if key == "ours" && (wanted || only == "followers") {
            done.0.extend(run(play::followed(start, size)).0);
        }
        kept += &report::lines(key, &done);
        figures.push(done);
    }
    report::print(("mesos", &figures[0]), ("Apache 1.11.0", &figures[1]));
    let file = support::cache_dir("bench.jsonl");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("the target folder");
    std::fs::write(&file, kept).expect("the target folder");
    eprintln!("figures: {}", file.display());
}
