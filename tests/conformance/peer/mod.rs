//! The real Apache Mesos 1.11.0 master, out of the PyPI package mesos.scheduler: `setup` makes it runnable below
//! the target folder on first use. It serves as `mesos-master` does, but cannot run tasks itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Cluster, Process, cache_dir, free_port};

/// Whether the package has anything for this machine. Says so if not.
pub fn available(test: &str) -> bool {
    let available = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    if !available {
        eprintln!("{test}: skipped, since the real master exists for Linux on x86_64 alone");
    }
    available
}

fn made() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = cache_dir("apache-mesos-1.11.0");
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/peer/setup");
        let output = Command::new(setup).arg(&folder).output().expect("setup runs");
        assert!(output.status.success(), "peer setup: {}", String::from_utf8_lossy(&output.stderr));
        folder
    })
}

/// The real master on loopback, with flags as MESOS_* variables on top of those that our own test clusters
/// have too.
fn master(port: u16, work_dir: &Path, flags: &[(&str, &str)]) -> Process {
    let folder = made();
    std::fs::create_dir_all(work_dir).expect("a folder");
    let mut command = Command::new(folder.join("launch"));
    command
        .arg(folder.join("_scheduler.so"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LD_LIBRARY_PATH", folder.join("lib"))
        .env("LIBPROCESS_IP", "127.0.0.1")
        .env("LIBPROCESS_PORT", port.to_string())
        .env("MESOS_REGISTRY", "in_memory")
        .env("MESOS_NUM_SLAVES", "0")
        .env("MESOS_HOSTNAME", "localhost")
        .env("MESOS_ALLOCATION_INTERVAL", "200ms")
        .env("MESOS_WORK_DIR", work_dir)
        .envs(flags.iter().copied());
    Process::of(command, "the real master".to_owned())
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
    Cluster::under(master, port, dir, agents, agent_flags)
}
