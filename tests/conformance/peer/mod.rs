//! The real Apache Mesos 1.11.0 master, out of the PyPI package mesos.scheduler: `setup` makes it runnable below
//! the target folder on first use. It serves as `mesos-master` does, but cannot run tasks itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::raw::{exchange, post};
use crate::support::{Cluster, Process, cache_dir, free_port, wait_for};

/// The exit status of `setup` where tools or the package cannot be had.
const NOT_TO_BE_HAD: i32 = 77;

/// Whether the real master can be had on this machine. Says so if not.
pub fn available(test: &str) -> bool {
    let available = made().is_some();
    if !available {
        eprintln!("{test}: SKIPPED, Apache Mesos 1.11.0 is not to be had on this machine");
    }
    available
}

/// The folder with its programs; made on first use.
fn made() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            eprintln!("the package of Apache Mesos is for Linux on x86_64 alone");
            return None;
        }
        let folder = cache_dir("apache-mesos-1.11.0");
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/peer/setup");
        let output = Command::new(setup).arg(&folder).output();
        let output = output.unwrap_or_else(|error| panic!("peer/setup does not start: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(NOT_TO_BE_HAD) {
            eprintln!("{said}");
            return None;
        }
        assert!(output.status.success(), "peer setup: {said}");
        Some(folder)
    });
    made.as_deref()
}

/// One of the programs made, which finds the package's object and is not reached by flags of whoever runs the tests.
pub fn program(name: &str) -> Command {
    let folder = made().expect("its test asked whether it is available");
    let libraries = format!("{}:{}", folder.display(), folder.join("lib").display());
    let mut command = Command::new(folder.join(name));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LD_LIBRARY_PATH", libraries)
        .env("LIBPROCESS_IP", "127.0.0.1");
    command
}

/// The real master on loopback, with flags as MESOS_* variables on top of those that our own test clusters
/// have too.
pub fn master(port: u16, work_dir: &Path, flags: &[(&str, &str)]) -> Process {
    std::fs::create_dir_all(work_dir).expect("a folder");
    let mut command = program("launch");
    command
        .arg(made().expect("there is a program").join("_scheduler.so"))
        .env("LIBPROCESS_PORT", port.to_string())
        .env("MESOS_REGISTRY", "in_memory")
        .env("MESOS_NUM_SLAVES", "0")
        .env("MESOS_HOSTNAME", "localhost")
        .env("MESOS_ALLOCATION_INTERVAL", "200ms")
        .env("MESOS_WORK_DIR", work_dir)
        .envs(flags.iter().copied());
    Process::of(command, "the real master".to_owned())
}

/// Plays to our master and, where it can be had, to the real one, each with agents of ours and these flags.
pub fn beside_ours(test: &str, agents: usize, flags: &[(&str, &str)], scenario: impl Fn(&mut Cluster)) {
    let ours: Vec<String> = flags.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    scenario(&mut Cluster::start_with(agents, &ours, &[]));
    if !available(test) {
        return;
    }
    let names: Vec<String> = flags.iter().map(|(name, _)| format!("MESOS_{}", name.to_uppercase())).collect();
    let theirs: Vec<(&str, &str)> =
        names.iter().zip(flags).map(|(name, (_, value))| (name.as_str(), *value)).collect();
    scenario(&mut cluster(agents, &theirs, &[]));
}

/// The real master with a real agent in its process, at the same port. That agent cannot run tasks.
pub fn with_own_agent(resources: &str) -> Cluster {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let runtime = dir.path().join("runtime").display().to_string();
    let flags = [
        ("MESOS_NUM_SLAVES", "1"),
        ("MESOS_LAUNCHER", "posix"),
        ("MESOS_RESOURCES", resources),
        ("MESOS_RUNTIME_DIR", &runtime),
        ("MESOS_REGISTRATION_BACKOFF_FACTOR", "10ms"),
    ];
    let master = master(port, &dir.path().join("master"), &flags);
    Cluster::under(master, port, dir, 0, &[])
}

/// Our agents under the real master.
pub fn cluster(agents: usize, flags: &[(&str, &str)], agent_flags: &[&str]) -> Cluster {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let master = master(port, &dir.path().join("master"), flags);
    let cluster = Cluster::under(master, port, dir, agents, agent_flags);
    // Until it has read its registry it drops messages, though it answers other requests.
    wait_for("the registry", || {
        let status = exchange(port, &post("/api/v1/scheduler", "application/json", b"{}")).status();
        (status != 503).then_some(())
    });
    cluster
}
