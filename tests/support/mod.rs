//! What the test programs share: real processes on loopback, and waiting with a deadline.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::disallowed_methods, reason = "tests start processes, read clocks and touch disks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod ensembles;
pub mod follower;
pub mod generate;
pub mod libprocess;
pub mod proxy;
pub mod raw;
pub mod scheduler;
pub mod zk;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test calls it lost.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A `mesos` command that is ended, with all its children, when dropped. Its log is kept for a failing test.
pub struct Process {
    child: Child,
    name: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start<I: AsRef<std::ffi::OsStr>>(args: &[I]) -> Process {
        Process::start_with(args, &[])
    }

    pub fn start_with<I: AsRef<std::ffi::OsStr>>(args: &[I], environment: &[(&str, &str)]) -> Process {
        let mut command = binary();
        command.args(args).envs(environment.iter().copied());
        let name = args.first().map(|a| a.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        Process::of(command, name)
    }

    /// Any command, under a name of our choice.
    pub fn of(mut command: Command, name: String) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {name}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let sink = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().expect("not poisoned").push(line);
            }
        });
        Process { child, name, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("not poisoned").clone()
    }

    /// kill -9, and the wait for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and its exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        // SAFETY: plain kill(2) on a child that was not waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("--- last lines of {} ---", self.name);
            for line in &log[log.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// What a command that came to its end left behind.
#[derive(Debug)]
pub struct Finished {
    /// None if a signal ended it.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a program to its end; one that does not end is killed and fails the test.
pub fn finished(mut command: Command) -> Finished {
    let said = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{said}: {error}"));
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let read_all = |from: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let out = std::thread::spawn(move || read_all(&mut out));
    let err = std::thread::spawn(move || read_all(&mut err));
    let end = Instant::now() + DEADLINE;
    let ended = loop {
        if let Some(status) = child.try_wait().expect("waiting") {
            break Some(status);
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (out, err) = (out.join().expect("a reader"), err.join().expect("a reader"));
    let Some(status) = ended else { panic!("{said} did not end:\n{out}\n{err}") };
    Finished { status: status.code(), out, err }
}

/// `MESOS_TEST_BINARY`, to try another build than the one beside the tests, or that one.
pub fn binary_path() -> PathBuf {
    std::env::var_os("MESOS_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_mesos").into(), PathBuf::from)
}

/// The command `mesos`. The flags of whoever runs the tests do not reach it.
pub fn binary() -> Command {
    let mut command = Command::new(binary_path());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("MESOS_") || name.starts_with("LIBPROCESS_")) {
            command.env_remove(name);
        }
    }
    command
}

/// `mesos` with these arguments, to its end.
pub fn mesos(args: &[&str]) -> Finished {
    let mut command = binary();
    command.args(args);
    finished(command)
}

/// A master and its agents, each its own process, below a folder of its own.
pub struct Cluster {
    pub port: u16,
    pub agent_ports: Vec<u16>,
    pub agents: Vec<Process>,
    pub master: Process,
    pub dir: tempfile::TempDir,
    /// Dropped last: executors outlive their agents, some for ever.
    _strays: Strays,
}

/// Ends executors of agents that worked below a folder, once those are gone.
struct Strays(PathBuf);

impl Drop for Strays {
    fn drop(&mut self) {
        let wanted = format!("MESOS_DIRECTORY={}/", self.0.display()).into_bytes();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_one = environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&wanted));
            if let Some(pid) = pid.filter(|_| is_one) {
                // What is above it ends with it.
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }
}

impl Cluster {
    pub fn start(agents: usize) -> Cluster {
        Cluster::start_with(agents, &[], &[])
    }

    pub fn start_with(agents: usize, master_flags: &[&str], agent_flags: &[&str]) -> Cluster {
        let dir = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let defaults = [
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            format!("--port={port}"),
            "--allocation_interval=200ms".to_owned(),
        ];
        let args = arguments("master", &defaults, master_flags);
        Cluster::under(Process::start(&args), port, dir, agents, agent_flags)
    }

    /// Agents of ours under a master that was just started on this port.
    pub fn under(
        master: Process,
        port: u16,
        dir: tempfile::TempDir,
        agents: usize,
        agent_flags: &[&str],
    ) -> Cluster {
        open_to_all(dir.path());
        let strays = Strays(dir.path().to_owned());
        let mut cluster = Cluster { port, agent_ports: vec![], agents: vec![], master, dir, _strays: strays };
        wait_for("master", || cluster.get("/health").ok());
        for index in 0..agents {
            cluster.add_agent(index, agent_flags);
        }
        wait_for("agents", || {
            let slaves = cluster.json("/slaves")?;
            let active = slaves["slaves"].as_array()?.iter().filter(|s| s["active"] == true).count();
            (active >= agents).then_some(())
        });
        cluster
    }

    pub fn add_agent(&mut self, index: usize, flags: &[&str]) {
        let port = free_port();
        let args = self.agent_args(index, port, flags);
        self.agents.push(Process::start(&args));
        self.agent_ports.push(port);
    }

    /// kill -9, if it runs, and the next one in its place.
    pub fn restart_agent(&mut self, index: usize, flags: &[&str]) {
        self.agents[index].kill();
        let args = self.agent_args(index, self.agent_ports[index], flags);
        self.agents[index] = Process::start(&args);
    }

    /// Where that agent has its files.
    pub fn work_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("agent{index}"))
    }

    pub fn agent_args(&self, index: usize, port: u16, flags: &[&str]) -> Vec<String> {
        let defaults = [
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            format!("--port={port}"),
            format!("--master=127.0.0.1:{}", self.port),
            format!("--work_dir={}", self.work_dir(index).display()),
            "--resources=cpus:4;mem:2048;disk:4096;ports:[31000-32000]".to_owned(),
            "--registration_backoff_factor=10ms".to_owned(),
            // What outlives a test does not do so for long.
            "--recovery_timeout=30secs".to_owned(),
        ];
        arguments("slave", &defaults, flags)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The body of a GET on the master, if it answers 2xx.
    pub fn get(&self, path: &str) -> Result<String, String> {
        get(self.port, path)
    }

    pub fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(path).ok()?).ok()
    }
}

/// The flags given, and those defaults that they do not set: a flag may be given only once.
fn arguments(command: &str, defaults: &[String], flags: &[&str]) -> Vec<String> {
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let given: Vec<String> = flags.iter().map(|flag| name(flag)).collect();
    let kept = defaults.iter().filter(|flag| !given.contains(&name(flag))).cloned();
    [command.to_owned()].into_iter().chain(kept).chain(flags.iter().map(|flag| (*flag).to_owned())).collect()
}

/// The body of a GET on a loopback port, if it answers 2xx.
pub fn get(port: u16, path: &str) -> Result<String, String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
    let mut answer = agent.get(format!("http://127.0.0.1:{port}{path}")).call().map_err(|e| e.to_string())?;
    answer.body_mut().read_to_string().map_err(|e| e.to_string())
}

/// A port nobody listens on at this moment, and that no other test of this process was given. It lies below those
/// that the system hands to connections, so that none of these takes it before a server does.
pub fn free_port() -> u16 {
    const FROM: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that test at the same time begin at other places.
    let begin = std::process::id().wrapping_mul(7_919);
    let ports = std::iter::repeat_with(|| begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut ports = ports.take(PORTS as usize).map(|number| (FROM + number % PORTS) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Polls until the condition gives something, which is returned; panics after `DEADLINE`.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "no {what} within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sandboxes may belong to another user, who must get through.
pub fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("own folder");
}

/// Where things that are installed for tests are kept between runs.
pub fn cache_dir(name: &str) -> PathBuf {
    let target =
        Path::new(env!("CARGO_BIN_EXE_mesos")).parent().and_then(Path::parent).expect("target folder");
    target.join("test-tools").join(name)
}
