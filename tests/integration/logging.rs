//! What is logged, where, and how much of it; the log's window of the tutorial; a disk that is full.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::raw::{self, Answer, request};
use crate::support::{Cluster, Process, free_port, wait_for};

struct Master {
    process: Process,
    port: u16,
}

fn master(log_dir: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Master {
    let port = free_port();
    let mut args = vec!["master".to_owned(), "--ip=127.0.0.1".to_owned(), format!("--port={port}")];
    args.push(format!("--log_dir={}", log_dir.display()));
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let process = Process::start_with(&args, environment);
    let master = Master { process, port };
    wait_for("the master", || crate::support::get(port, "/health").ok());
    master
}

impl Master {
    fn get(&self, path: &str) -> Answer {
        raw::exchange(self.port, &raw::get(path)).answer()
    }

    fn level(&self) -> String {
        self.get("/logging/toggle").text().trim().to_owned()
    }

    fn toggle(&self, level: u32, duration: &str) -> Answer {
        self.get(&format!("/logging/toggle?level={level}&duration={duration}"))
    }

    fn call(&self, call: Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        raw::exchange(self.port, &request("POST", "/api/v1", &headers, call.to_string().as_bytes())).answer()
    }
}

fn info(log_dir: &Path) -> String {
    std::fs::read_to_string(log_dir.join("mesos-master.INFO")).unwrap_or_default()
}

#[test]
fn one_json_object_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), &["--log_format=json", "--quiet"], &[]);
    assert_eq!(master.toggle(3, "1mins").status, 200);
    let lines: Vec<Value> = wait_for("the toggle's line", || {
        let text = info(dir.path());
        let whole = text.ends_with('\n') && text.contains("logging verbosity changed");
        whole.then(|| text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect())
    });
    for line in &lines {
        for (name, is) in [
            ("time", line["time"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z'))),
            (
                "level",
                matches!(line["level"].as_str(), Some("INFO" | "WARNING" | "ERROR" | "DEBUG" | "TRACE")),
            ),
            ("thread", line["thread"].is_u64()),
            ("file", line["file"].as_str().is_some_and(|file| file.ends_with(".rs"))),
            ("line", line["line"].is_u64()),
            ("message", line["message"].is_string()),
        ] {
            assert!(is, "{name} of {line}");
        }
    }
    let changed = lines.iter().find(|line| line["message"] == "logging verbosity changed").unwrap();
    // The field is named as one of the object's own.
    assert_eq!((&changed["level"], &changed["level_"]), (&json!("INFO"), &json!(3)));
    assert!(master.process.log().is_empty(), "--quiet: {:?}", master.process.log());
}

#[test]
fn of_two_toggles_the_later_counts() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), &[], &[]);
    assert_eq!(master.level(), "0");
    // Longer, then shorter: it is over with the second.
    assert_eq!(master.toggle(3, "1hrs").status, 200);
    assert_eq!(master.level(), "3");
    assert_eq!(master.toggle(1, "100ms").status, 200);
    wait_for("the way back", || (master.level() == "0").then_some(()));
    // Shorter, then longer: the first one's end changes nothing.
    assert_eq!(master.toggle(1, "50ms").status, 200);
    assert_eq!(master.toggle(2, "1hrs").status, 200);
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        assert_eq!(master.level(), "2");
    }
    // Off, at once.
    assert_eq!(master.toggle(0, "1hrs").status, 200);
    assert_eq!(master.level(), "0");
    // By the v1 API the same.
    let set = |level: u32, nanoseconds: u64| {
        let level = json!({"level": level, "duration": {"nanoseconds": nanoseconds}});
        master.call(json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": level})).status
    };
    assert_eq!(set(2, 3_600_000_000_000), 200);
    assert_eq!(master.level(), "2");
    assert_eq!(set(1, 50_000_000), 200);
    wait_for("the way back", || (master.level() == "0").then_some(()));
    let get = master.call(json!({"type": "GET_LOGGING_LEVEL"}));
    assert_eq!(get.json()["get_logging_level"]["level"], 0);
}

#[test]
fn the_level_of_the_start_is_the_least() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), &[], &[("GLOG_v", "1")]);
    assert_eq!(master.level(), "1");
    let refused = master.toggle(0, "1mins");
    assert_eq!((refused.status, refused.text().as_str()), (400, "'0' < original level.\n"));
    let level = json!({"level": 0, "duration": {"nanoseconds": 1}});
    let refused = master.call(json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": level}));
    assert_eq!((refused.status, refused.text().as_str()), (400, "'0' < original level.\n"));
    assert_eq!(master.toggle(3, "50ms").status, 200);
    wait_for("the way back", || (master.level() == "1").then_some(()));
}

/// The window asks for the size, then for a page before it, then for what is new.
#[test]
fn the_window_of_a_log_follows_it() {
    let cluster_dir = tempfile::tempdir().unwrap();
    let master = master(cluster_dir.path(), &[], &[]);
    let read = |query: &str| master.get(&format!("/files/read?path=%2Fmaster%2Flog{query}")).json();
    let end = wait_for("lines", || read("&offset=-1")["offset"].as_u64().filter(|size| *size > 200));
    let page = read(&format!("&offset={}&length=100", end - 100));
    assert_eq!(page["data"].as_str().map(str::len), Some(100));
    assert_eq!(page["offset"], end - 100);
    assert_eq!(master.toggle(3, "1mins").status, 200);
    let new = wait_for("new lines", || {
        let data = read(&format!("&offset={end}&length=50000"))["data"].as_str()?.to_owned();
        data.contains("logging verbosity changed").then_some(data)
    });
    assert!(new.starts_with('I'), "a window begins where the last one ended: {new}");
}

#[test]
fn the_agents_log_is_readable() {
    let dir = tempfile::tempdir().unwrap();
    let flag = format!("--log_dir={}", dir.path().display());
    let cluster = Cluster::start_with(1, &[], &[&flag]);
    let path = "/files/read?path=%2Fslave%2Flog&offset=0&length=50000";
    wait_for("its lines", || {
        let answer = raw::exchange(cluster.agent_ports[0], &raw::get(path)).answer();
        answer.json()["data"].as_str()?.contains("agent serves").then_some(())
    });
}

/// A file system of its own, of a few pages; unmounted in the end.
struct Small<'a>(&'a Path);

impl Small<'_> {
    fn mount(dir: &Path) -> Option<Small<'_>> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(dir).output();
        mounted.is_ok_and(|mount| mount.status.success()).then_some(Small(dir))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_ends_the_log_and_not_the_master() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(dir.path()) else {
        eprintln!("a full disk: SKIPPED, no file system can be mounted here");
        return;
    };
    let mut master = master(small.0, &["--quiet"], &[]);
    wait_for("its lines", || info(small.0).contains("master serves").then_some(()));
    // Whatever is left is filled.
    let filler = small.0.join("filler");
    let _ = std::fs::write(&filler, vec![b'x'; 128 << 10]);
    let full = wait_for("a full disk", || {
        assert_eq!(master.toggle(2, "1hrs").status, 200);
        let before = info(small.0).len();
        (0..20).for_each(|_| assert_eq!(master.toggle(3, "1hrs").status, 200));
        std::thread::yield_now();
        (info(small.0).len() == before && before > 0).then_some(before)
    });
    assert_eq!(master.get("/state").status, 200);
    assert!(master.process.running());
    // With room again the log goes on.
    std::fs::remove_file(&filler).unwrap();
    wait_for("the log", || {
        assert_eq!(master.toggle(3, "1hrs").status, 200);
        (info(small.0).len() > full).then_some(())
    });
    drop(master);
}
