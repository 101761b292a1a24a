//! The web pages in a real browser, against real clusters: `assets/browser`, with a ZooKeeper or etcd where one is to be had.
//!
//! `make webui` has installed what it needs (`npm ci`, Chromium); without that it says so and is skipped. One of the
//! clusters is large: `AGENTS=10000 EACH=10` make it larger than the 5,000 agents with 4 tasks each.
//! `ONLY=large` runs one file.
#![allow(clippy::disallowed_methods, reason = "tests start processes, read clocks and files")]

#[allow(dead_code, reason = "the bench's half is not used")]
#[path = "../../benches/cluster/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "the bench's half is not used")]
#[path = "../../benches/cluster/framework.rs"]
mod framework;
mod large;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the bench's half is not used")]
#[path = "../../benches/cluster/wire.rs"]
mod wire;

use std::path::Path;
use std::process::Command;

use support::ensembles::Ensemble;

const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[test]
fn pages_in_a_browser() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let missing = [
        ("the pages (make pages)", assets.join("dist/index.html").exists()),
        ("Node's modules (npm ci)", assets.join("node_modules/.bin/vitest").exists()),
        ("Chromium", CHROMIUM.iter().any(|name| Path::new("/usr/bin").join(name).exists())),
    ];
    for (what, is_there) in missing {
        if !is_there {
            eprintln!("pages_in_a_browser: SKIPPED, {what} are not to be had on this machine");
            return;
        }
    }
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let large = large::start(number("AGENTS", 5000), number("EACH", 4));
    let test = "pages_in_a_browser";
    let ensemble = Ensemble::zookeeper(test, 1).or_else(|| Ensemble::etcd(test, 1));
    let mut command = Command::new("npm");
    command.args(["run", "--silent", "browser"]).current_dir(&assets);
    command.env("MESOS_BINARY", env!("CARGO_BIN_EXE_mesos"));
    command.env("MESOS_LARGE", &large.url);
    if let Some(ensemble) = &ensemble {
        command.env("MESOS_ENSEMBLE", ensemble.url());
    }
    if let Some(only) = std::env::var("ONLY").ok().filter(|only| !only.is_empty()) {
        command.args(["--", &only]);
    }
    let status = command.status().expect("npm runs");
    assert!(status.success(), "the browser's tests failed, see above");
}
