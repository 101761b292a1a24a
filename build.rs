//! Tells the binary when, by whom and from which commit it was built.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a build script looks at its surroundings")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // The web pages, which a release holds (`make` builds them before) and other builds read from there.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rerun-if-changed=assets/dist");
    }
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()).unwrap_or_else(now);
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let sha = Command::new("git").args(["rev-parse", "HEAD"]).output().ok();
    let sha =
        sha.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=MESOS_BUILD_TIME={time}");
    println!("cargo:rustc-env=MESOS_BUILD_USER={user}");
    println!("cargo:rustc-env=MESOS_BUILD_SHA={}", sha.unwrap_or_default().trim());
}
