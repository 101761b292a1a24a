//! Containers of the agent: started, measured, ended, destroyed with all that came out of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::agent::containerizer::isolators::limits::Allowed;
use mesos::agent::containerizer::isolators::{self, Isolators, Named};
use mesos::agent::containerizer::mesos::{Containerizer, Settings};
use mesos::agent::containerizer::{Exit, Launch, Report, Survivor};
use mesos::agent::fetcher::store::Store;
use mesos::posix::rotate::{Limits, Rotation};
use mesos::proto::command_info::Uri;
use mesos::proto::task_status::Reason;
use mesos::proto::{CommandInfo, ContainerId};
use tokio::sync::mpsc::UnboundedReceiver;

const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    top: tempfile::TempDir,
    containerizer: Containerizer,
    reports: UnboundedReceiver<Report>,
}

fn containerizer(
    top: &Path,
    rotation: Option<Rotation>,
    isolation: &str,
) -> (Containerizer, UnboundedReceiver<Report>) {
    let isolators = isolators::Settings {
        names: Named::of(&isolation.split(',').collect::<Vec<_>>()),
        hierarchy: "/sys/fs/cgroup".into(),
        root: root(top),
        cfs: true,
        pids_max: Some(50),
        destroy_timeout: PATIENCE,
        ..isolators::Settings::default()
    };
    Containerizer::new(Settings {
        program: env!("CARGO_BIN_EXE_mesos").into(),
        frameworks_home: None,
        fetcher_stall_timeout: Duration::from_secs(60),
        hadoop_home: Some("/no/such/hadoop".into()),
        fetcher_cache: Arc::new(Store::open(top, Path::new("cache"), 1 << 20).unwrap()),
        rotation,
        isolators: Isolators::new(isolators).unwrap(),
        monitoring_interval: Duration::from_secs(1000),
        meta: top.join("meta"),
    })
}

/// Of control groups: one for each test.
fn root(top: &Path) -> String {
    format!("mesos-test-{}", top.file_name().unwrap_or_default().display())
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // Not there, or what a failing test left is in it.
            let _ = fs::remove_dir(hierarchy.path().join(root(self.top.path())));
        }
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(root(self.top.path())));
    }
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(None, "posix")
    }

    /// With bounds of what containers write, and of what they use.
    fn with(rotation: Option<Rotation>, isolation: &str) -> Fixture {
        let top = tempfile::tempdir().unwrap();
        let (containerizer, reports) = containerizer(top.path(), rotation, isolation);
        // Users other than ours must get to the sandboxes.
        fs::set_permissions(top.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Fixture { top, containerizer, reports }
    }

    fn sandbox(&self, name: &str) -> PathBuf {
        self.top.path().join("runs").join(name)
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.top.path().join("meta/a/frameworks/f/executors/e/runs").join(name)
    }

    fn survivor(&self, name: &str) -> Survivor {
        let Launch { container, framework, executor, directory, meta, allowed, .. } =
            self.of(name, shell(""));
        Survivor { container, framework, executor, directory, meta, allowed }
    }

    /// As an agent that was started anew, which finds containers but is not their parent.
    fn restart(&mut self) {
        (self.containerizer, self.reports) = containerizer(self.top.path(), None, "posix");
    }

    fn read(&self, name: &str, file: &str) -> String {
        fs::read_to_string(self.sandbox(name).join(file)).unwrap_or_default()
    }

    fn of(&self, name: &str, command: CommandInfo) -> Launch {
        Launch {
            container: id(name),
            framework: "f".into(),
            executor: "e".into(),
            command,
            directory: self.sandbox(name),
            meta: self.meta(name),
            user: None,
            environment: BTreeMap::from([("GIVEN".to_owned(), "1".to_owned())]),
            allowed: Allowed { cpus: 500, mem: 32 << 20, ..Allowed::default() },
            described: None,
        }
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report in time")
            .expect("a report")
    }

    /// Runs a line of the shell to its end.
    async fn run(&mut self, name: &str, line: &str) -> Exit {
        self.containerizer.launch(self.of(name, shell(line)));
        self.finish(name).await
    }

    async fn finish(&mut self, name: &str) -> Exit {
        assert!(
            matches!(self.next().await, Report::Launched { container, pid } if container == id(name) && pid > 0)
        );
        match self.next().await {
            Report::Terminated { container, exit } if container == id(name) => exit,
            report => panic!("unexpected {report:?}"),
        }
    }

    async fn failure(&mut self, launch: Launch) -> String {
        self.containerizer.launch(launch);
        match self.next().await {
            Report::Failed { reason: Reason::ContainerLaunchFailed, message, .. } => message,
            report => panic!("unexpected {report:?}"),
        }
    }

    /// Waits until the file has so many lines.
    async fn lines(&self, name: &str, file: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.read(name, file);
            if text.lines().count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(Instant::now() < deadline, "{file} of {name} has '{text}'");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn id(name: &str) -> ContainerId {
    ContainerId { value: name.to_owned(), parent: None }
}

fn shell(line: &str) -> CommandInfo {
    CommandInfo { value: Some(line.to_owned()), ..Default::default() }
}

fn uri(value: &str) -> Uri {
    Uri { value: value.to_owned(), ..Default::default() }
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim_start().chars().next(), None | Some('Z' | 'X')))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[tokio::test]
async fn runs_in_a_clean_place() {
    let mut fixture = Fixture::new();
    let exit =
        fixture.run("a", "pwd; env | sort; ls /proc/self/fd | wc -l; cat; echo oops >&2; exit 3").await;
    assert_eq!(exit, Exit::Code(3));
    let sandbox = fixture.sandbox("a").display().to_string();
    let expected = format!(
        "{sandbox}\nGIVEN=1\nMESOS_DIRECTORY={sandbox}\nMESOS_SANDBOX={sandbox}\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD={sandbox}\n"
    );
    let stdout = fixture.read("a", "stdout");
    assert!(stdout.starts_with(&expected), "{stdout}");
    // The standard streams, and the one with which `ls` reads.
    assert!(stdout.trim_end().ends_with("\n4"), "{stdout}");
    assert_eq!(fixture.read("a", "stderr"), "oops\n");
    assert_eq!(fs::read_link(fixture.sandbox("latest")).unwrap(), fixture.sandbox("a"));
}

#[tokio::test]
async fn ends_as_the_command_ends() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run("a", "true").await, Exit::Code(0));
    assert_eq!(fixture.run("b", "kill -KILL $$").await, Exit::Signal(9));
    assert_eq!(fixture.run("c", "kill -TERM $$").await, Exit::Signal(15));
    assert_eq!(fixture.run("d", "kill -SEGV $$").await, Exit::Signal(11));
    let program = CommandInfo {
        shell: Some(false),
        value: Some("echo".to_owned()),
        arguments: ["echo", "$HOME"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    fixture.containerizer.launch(fixture.of("e", program));
    assert_eq!(fixture.finish("e").await, Exit::Code(0));
    assert_eq!(fixture.read("e", "stdout"), "$HOME\n");
}

#[tokio::test]
async fn says_what_cannot_be_executed() {
    let mut fixture = Fixture::new();
    let mut command = shell("/no/such/program");
    command.shell = Some(false);
    fixture.containerizer.launch(fixture.of("a", command));
    assert_eq!(fixture.finish("a").await, Exit::Code(1));
    let stderr = fixture.read("a", "stderr");
    assert!(stderr.starts_with("Failed to execute '/no/such/program': No such file"), "{stderr}");
    fixture.containerizer.launch(fixture.of("b", CommandInfo::default()));
    assert_eq!(fixture.finish("b").await, Exit::Code(1));
    assert_eq!(fixture.read("b", "stderr"), "the command has no value\n");
}

#[tokio::test]
async fn runs_as_another_user() {
    if !is_root() {
        eprintln!("skipped: only root can run as another user");
        return;
    }
    let mut fixture = Fixture::new();
    let file = fixture.top.path().join("secret");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut launch = fixture.of("a", shell("id -un; touch mine; cat ../../secret"));
    launch.user = Some("nobody".to_owned());
    fixture.containerizer.launch(launch.clone());
    assert_eq!(fixture.finish("a").await, Exit::Code(1));
    assert_eq!(fixture.read("a", "stdout"), "nobody\n");
    let owner = |name: &str| fs::metadata(fixture.sandbox("a").join(name)).unwrap().uid();
    assert!(owner(".") != 0 && owner(".") == owner("mine") && owner(".") == owner("stdout"));
    // Nor does the fetcher bring what the user may not read.
    launch.container = id("b");
    launch.directory = fixture.sandbox("b");
    launch.command.uris = vec![uri(file.to_str().unwrap())];
    let message = fixture.failure(launch).await;
    assert!(message.ends_with("exited with status 1"), "{message}");
    assert!(fixture.read("b", "stderr").contains("Permission denied"));
}

#[tokio::test]
async fn fetches_first() {
    let mut fixture = Fixture::new();
    let script = fixture.top.path().join("script");
    fs::write(&script, "echo fetched\n").unwrap();
    let mut command = shell("sh ./script; sh ./other/name");
    let renamed = Uri { output_file: Some("other/name".to_owned()), ..uri(script.to_str().unwrap()) };
    command.uris = vec![uri(script.to_str().unwrap()), renamed];
    fixture.containerizer.launch(fixture.of("a", command));
    assert_eq!(fixture.finish("a").await, Exit::Code(0));
    assert_eq!(fixture.read("a", "stdout"), "fetched\nfetched\n");
    let stderr = fixture.read("a", "stderr");
    for text in ["Fetching URI '", "Copying resource from", "Successfully fetched all URIs into"] {
        assert!(stderr.contains(text), "{stderr}");
    }
}

#[tokio::test]
async fn what_is_cached_is_fetched_once() {
    let mut fixture = Fixture::new();
    let script = fixture.top.path().join("script");
    fs::write(&script, "echo first\n").unwrap();
    let cached = Uri { cache: Some(true), executable: Some(true), ..uri(script.to_str().unwrap()) };
    for (name, log) in [("a", "Copying resource from"), ("b", "' from cache")] {
        let mut launch = fixture.of(name, shell("sh ./script"));
        launch.command.uris = vec![cached.clone()];
        fixture.containerizer.launch(launch);
        assert_eq!(fixture.finish(name).await, Exit::Code(0));
        assert_eq!(fixture.read(name, "stdout"), "first\n");
        assert!(fixture.read(name, "stderr").contains(log), "{}", fixture.read(name, "stderr"));
        // Nobody looks whether it has changed.
        fs::write(&script, "echo second\n").unwrap();
    }
    assert_eq!(fixture.containerizer.cached(), (1 << 20, 11));
}

#[tokio::test]
async fn a_failed_launch_says_why() {
    let mut fixture = Fixture::new();
    let mut launch = fixture.of("a", shell("true"));
    launch.command.uris = vec![uri("/no/such/file")];
    let message = fixture.failure(launch.clone()).await;
    let expected = "Failed to fetch all URIs for container 'a': exited with status 1";
    assert_eq!(message, expected);
    let stderr = fixture.read("a", "stderr");
    assert!(stderr.contains("Failed to fetch '/no/such/file': Failed to open '/no/such/file'"), "{stderr}");

    launch.command.uris = vec![uri("hdfs://h/a")];
    assert_eq!(fixture.failure(launch.clone()).await, expected);
    let stderr = fixture.read("a", "stderr");
    assert!(stderr.contains("Hadoop client is not available: '/no/such/hadoop/bin/hadoop'"), "{stderr}");
    let stdout = fixture.read("a", "stdout");
    assert!(
        stdout.contains("HDFS command: /no/such/hadoop/bin/hadoop fs -copyToLocal 'hdfs://h/a'"),
        "{stdout}"
    );
    launch.command.uris = vec![Uri { output_file: Some("../out".to_owned()), ..uri("/etc/hosts") }];
    assert!(fixture.failure(launch.clone()).await.contains("must be within the sandbox"));
    launch.command.uris.clear();
    launch.user = Some("no-such-user".to_owned());
    let message = fixture.failure(launch.clone()).await;
    assert_eq!(message, "No such user 'no-such-user'");
    launch.user = None;
    launch.directory = "/proc/no/sandbox".into();
    assert!(fixture.failure(launch).await.starts_with("Failed to create"));
}

#[tokio::test]
async fn a_container_is_there_once() {
    let mut fixture = Fixture::new();
    let launch = fixture.of("a", shell("sleep 1000"));
    fixture.containerizer.launch(launch.clone());
    assert!(matches!(fixture.next().await, Report::Launched { .. }));
    assert_eq!(fixture.failure(launch).await, "Container 'a' already started");
    fixture.containerizer.destroy(&id("a"));
    assert_eq!(fixture.next().await, Report::Terminated { container: id("a"), exit: Exit::Destroyed });
    fixture.containerizer.destroy(&id("a"));
}

/// A child in a session of its own whose parent is gone: the way that daemons go.
const DAEMON: &str = "(setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 1000' & ); ";

#[tokio::test]
async fn destroys_all_that_came_out_of_it() {
    let mut fixture = Fixture::new();
    let line = format!("trap '' TERM; {DAEMON} {DAEMON} sleep 1000 & echo $!; wait; wait");
    fixture.containerizer.launch(fixture.of("a", shell(&line)));
    assert!(matches!(fixture.next().await, Report::Launched { .. }));
    let pids = fixture.lines("a", "stdout", 3).await;
    assert!(pids.iter().all(|pid| lives(pid)));
    fixture.containerizer.destroy(&id("a"));
    assert_eq!(fixture.next().await, Report::Terminated { container: id("a"), exit: Exit::Destroyed });
    assert!(!pids.iter().any(|pid| lives(pid)), "{pids:?}");
}

#[tokio::test]
async fn leaves_nothing_when_the_command_ends() {
    let mut fixture = Fixture::new();
    let line = format!("{DAEMON} while [ $(wc -l < stdout) -lt 1 ]; do :; done; exit 7");
    assert_eq!(fixture.run("a", &line).await, Exit::Code(7));
    let pids = fixture.lines("a", "stdout", 1).await;
    assert!(!pids.iter().any(|pid| lives(pid)), "{pids:?}");
}

#[tokio::test]
async fn survives_the_loss_of_the_supervisor() {
    let mut fixture = Fixture::new();
    fixture.containerizer.launch(fixture.of("a", shell(&format!("{DAEMON} sleep 1000"))));
    let Report::Launched { pid, .. } = fixture.next().await else { panic!("not launched") };
    let pids = fixture.lines("a", "stdout", 1).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert_eq!(fixture.next().await, Report::Terminated { container: id("a"), exit: Exit::Signal(9) });
    let deadline = Instant::now() + PATIENCE;
    while pids.iter().any(|pid| lives(pid)) {
        assert!(Instant::now() < deadline, "{pids:?} live");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn destroys_while_fetching() {
    let mut fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = shell("true");
    command.uris = vec![uri(&format!("http://{}/slow", listener.local_addr().unwrap()))];
    fixture.containerizer.launch(fixture.of("a", command));
    // Once it has connected it waits for an answer that never comes.
    let (_stream, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
    fixture.containerizer.destroy(&id("a"));
    assert_eq!(fixture.next().await, Report::Terminated { container: id("a"), exit: Exit::Destroyed });
}

#[tokio::test]
async fn measures_what_runs() {
    let mut fixture = Fixture::new();
    let line = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo done; sleep 1000 & wait";
    fixture.containerizer.launch(fixture.of("a", shell(line)));
    assert!(matches!(fixture.next().await, Report::Launched { .. }));
    fixture.lines("a", "stdout", 1).await;
    let usage = fixture.containerizer.usage(vec![id("a"), id("unknown")]).await;
    assert_eq!(usage.len(), 1);
    let statistics = &usage[0].1;
    assert!(usage[0].0 == id("a") && statistics.timestamp > 1.0e9);
    assert!(statistics.mem_rss_bytes() > 100_000 && statistics.processes() >= 1, "{statistics:?}");
    assert!(statistics.cpus_user_time_secs() + statistics.cpus_system_time_secs() > 0.0, "{statistics:?}");
    fixture.containerizer.destroy(&id("a"));
    fixture.next().await;
}

/// One reading serves all for a while, but for what has started since.
#[tokio::test]
async fn measurements_are_kept_for_a_while() {
    let mut fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.containerizer.launch(fixture.of(name, shell("sleep 1000")));
        assert!(matches!(fixture.next().await, Report::Launched { .. }));
        let first = fixture.containerizer.usage(vec![id(name)]).await;
        let second = fixture.containerizer.usage(vec![id("a"), id(name)]).await;
        assert_eq!(first.len(), 1);
        assert!(second.iter().all(|(_, usage)| usage.timestamp == first[0].1.timestamp), "{second:?}");
    }
    for name in ["a", "b"] {
        fixture.containerizer.destroy(&id(name));
        fixture.next().await;
    }
}

#[tokio::test]
async fn output_is_bounded() {
    let limits = |bytes| Limits { bytes, files: 2 };
    let mut fixture = Fixture::with(Some(Rotation { stdout: limits(1000), stderr: limits(50) }), "posix");
    let line = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; done; echo oops >&2; exit 3";
    assert_eq!(fixture.run("a", line).await, Exit::Code(3));
    assert!(fixture.read("a", "stdout").ends_with("line 1000\n"));
    assert_eq!(fixture.read("a", "stderr"), "oops\n");
    let older = ["stdout.1", "stdout.2"].map(|name| fixture.read("a", name));
    assert!(
        older.iter().all(|text| text.len() > 900 && text.len() <= 1000 && text.ends_with('\n')),
        "{older:?}"
    );
    assert!(!fixture.sandbox("a").join("stdout.3").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once() {
    const COUNT: usize = 100;
    let mut fixture = Fixture::new();
    for index in 0..COUNT {
        fixture.containerizer.launch(fixture.of(&format!("c{index}"), shell("sleep 1000")));
    }
    for _ in 0..COUNT {
        assert!(matches!(fixture.next().await, Report::Launched { .. }));
    }
    for index in 0..COUNT {
        fixture.containerizer.destroy(&id(&format!("c{index}")));
    }
    for _ in 0..COUNT {
        assert!(matches!(fixture.next().await, Report::Terminated { exit: Exit::Destroyed, .. }));
    }
    assert!(Path::new(&fixture.sandbox("c0")).is_dir());
}

#[tokio::test]
async fn a_later_agent_finds_its_containers() {
    let mut fixture = Fixture::new();
    for name in ["stays", "ends", "unknown"] {
        let line = "while [ ! -e end ]; do sleep 0.05; done; exit 7";
        fixture.containerizer.launch(fixture.of(name, shell(line)));
    }
    let mut pids = BTreeMap::new();
    for _ in 0..3 {
        let Report::Launched { container, pid } = fixture.next().await else { panic!("it runs") };
        pids.insert(container, pid);
    }
    fixture.restart();
    let known = ["stays", "ends", "never"].map(|name| fixture.survivor(name));
    fixture.containerizer.recover(known.to_vec());
    let mut reports = vec![fixture.next().await, fixture.next().await, fixture.next().await];
    reports.sort_by_key(|report| format!("{report:?}"));
    let launched = |name: &str| Report::Launched { container: id(name), pid: pids[&id(name)] };
    let never = Report::Terminated { container: id("never"), exit: Exit::Unknown };
    assert_eq!(reports, [launched("ends"), launched("stays"), never]);

    // Whom nobody knows is gone, with what was noted of it.
    let meta = fixture.meta("unknown");
    let deadline = std::time::Instant::now() + PATIENCE;
    while meta.exists() {
        assert!(std::time::Instant::now() < deadline, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    fs::write(fixture.sandbox("ends").join("end"), "").unwrap();
    assert_eq!(fixture.next().await, Report::Terminated { container: id("ends"), exit: Exit::Code(7) });
    fixture.containerizer.destroy(&id("stays"));
    assert_eq!(fixture.next().await, Report::Terminated { container: id("stays"), exit: Exit::Destroyed });
    assert!(!fixture.meta("stays").exists() && !fixture.meta("ends").exists());
}

/// A container may have more than its tasks that are left were given, and use it.
#[test]
fn a_later_agent_does_not_lower_bounds() {
    let top = tempfile::tempdir().unwrap();
    let settings = isolators::Settings {
        names: Named::of(&["cgroups/mem"]),
        hierarchy: "/sys/fs/cgroup".into(),
        root: root(top.path()),
        destroy_timeout: PATIENCE,
        ..isolators::Settings::default()
    };
    let isolators = match Isolators::new(settings) {
        Ok(isolators) => isolators,
        Err(error) => return eprintln!("a_later_agent_does_not_lower_bounds: SKIPPED, {error}"),
    };
    let allowed = |megabytes: u64| Allowed { mem: megabytes << 20, ..Allowed::default() };
    let group = isolators.prepare("c", &allowed(96)).unwrap().expect("a group");
    let later = isolators.adopt("c", &allowed(48)).unwrap().expect("a group");
    assert_eq!(later.memory_bound(), Some(96 << 20));
    isolators.adopt("c", &allowed(128)).unwrap();
    assert_eq!(group.memory_bound(), Some(128 << 20));
    isolators.destroy(&group).unwrap();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let _ = fs::remove_dir(hierarchy.path().join(root(top.path())));
    }
    let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(root(top.path())));
}
