//! The executors of ours, as processes, against an agent played by the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use mesos::http::recordio;
use mesos::proto::command_info::Uri;
use mesos::proto::executor::{Call, Event, call, event};
use mesos::proto::volume::source;
use mesos::proto::{
    CommandInfo, ContainerInfo, DurationInfo, Environment, KillPolicy, TaskGroupInfo, TaskInfo, TaskStatus,
    Volume, container_info, environment, volume,
};
use prost::Message;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

type Events = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// An agent with one executor.
struct Fixture {
    sandbox: tempfile::TempDir,
    executor: Child,
    calls: mpsc::UnboundedReceiver<(Call, Option<Events>)>,
    events: Option<Events>,
    server: tokio::task::JoinHandle<()>,
    port: u16,
    calls_in: mpsc::UnboundedSender<(Call, Option<Events>)>,
}

/// The executor API: SUBSCRIBE gets a stream, which is handed to the test together with the call.
async fn serve(
    port: u16,
    calls: mpsc::UnboundedSender<(Call, Option<Events>)>,
) -> (u16, tokio::task::JoinHandle<()>) {
    let handler = move |body: Bytes| {
        let calls = calls.clone();
        async move {
            let call = Call::decode(body).unwrap();
            if call.r#type() != call::Type::Subscribe {
                calls.send((call, None)).unwrap();
                return Response::builder().status(StatusCode::ACCEPTED).body(Body::empty()).unwrap();
            }
            let (events, stream) = mpsc::unbounded_channel();
            calls.send((call, Some(events))).unwrap();
            let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(stream);
            Response::new(Body::from_stream(stream))
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = axum::Router::new().route("/slave(7)/api/v1/executor", post(handler));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, server)
}

impl Fixture {
    async fn new(name: &str, more: &[(&str, &str)]) -> Fixture {
        let (calls_in, calls) = mpsc::unbounded_channel();
        let (port, server) = serve(0, calls_in.clone()).await;
        let sandbox = tempfile::tempdir().unwrap();
        let pid = format!("slave(7)@127.0.0.1:{port}");
        let path = sandbox.path().to_str().unwrap();
        let mut variables = BTreeMap::from([
            ("MESOS_SLAVE_PID", pid.as_str()),
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
            ("MESOS_SANDBOX", path),
            ("MESOS_DIRECTORY", path),
            ("PATH", "/usr/bin:/bin"),
        ]);
        variables.extend(more.iter().copied());
        let output = |name: &str| Stdio::from(fs::File::create(sandbox.path().join(name)).unwrap());
        let executor = Command::new(env!("CARGO_BIN_EXE_mesos"))
            .args([name, "--launcher_dir=/nowhere"])
            .env_clear()
            .envs(variables)
            .current_dir(sandbox.path())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Fixture { sandbox, executor, calls, events: None, server, port, calls_in }
    }

    async fn subscribed(name: &str) -> Fixture {
        let mut fixture = Fixture::new(name, &[]).await;
        fixture.subscribe().await;
        fixture
    }

    async fn call(&mut self) -> (Call, Option<Events>) {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("a call in time").unwrap()
    }

    /// Takes the next SUBSCRIBE and accepts it.
    async fn subscribe(&mut self) -> call::Subscribe {
        let (call, events) = self.call().await;
        assert_eq!((call.executor_id.value.as_str(), call.framework_id.value.as_str()), ("e", "f"));
        self.events = events;
        let subscribed = event::Subscribed::default();
        self.send(Event { subscribed: Some(subscribed), ..of(event::Type::Subscribed) });
        call.subscribe.expect("SUBSCRIBE")
    }

    fn send(&self, event: Event) {
        let record = recordio::encode(&event.encode_to_vec());
        self.events.as_ref().unwrap().send(Ok(record)).unwrap();
    }

    fn launch(&self, task: TaskInfo) {
        self.send(Event { launch: Some(event::Launch { task }), ..of(event::Type::Launch) });
    }

    fn launch_group(&self, tasks: Vec<TaskInfo>) {
        let launch_group = Some(event::LaunchGroup { task_group: TaskGroupInfo { tasks } });
        self.send(Event { launch_group, ..of(event::Type::LaunchGroup) });
    }

    fn kill(&self, task: &str, grace_seconds: i64) {
        let grace_period = Some(DurationInfo { nanoseconds: grace_seconds * 1_000_000_000 });
        let kill = event::Kill { task_id: task.into(), kill_policy: Some(KillPolicy { grace_period }) };
        self.send(Event { kill: Some(kill), ..of(event::Type::Kill) });
    }

    /// The next update, acknowledged.
    async fn update(&mut self) -> TaskStatus {
        let (call, _) = self.call().await;
        let status = call.update.expect("UPDATE").status;
        self.acknowledge(&status);
        status
    }

    fn acknowledge(&self, status: &TaskStatus) {
        let acknowledged =
            event::Acknowledged { task_id: status.task_id.clone(), uuid: status.uuid.clone().unwrap() };
        self.send(Event { acknowledged: Some(acknowledged), ..of(event::Type::Acknowledged) });
    }

    async fn states(&mut self, count: usize) -> Vec<String> {
        let mut states = Vec::new();
        for _ in 0..count {
            let status = self.update().await;
            states.push(format!("{} {}", status.task_id, status.state().as_str_name()));
        }
        states
    }

    async fn status(&mut self) -> i32 {
        let status =
            tokio::time::timeout(PATIENCE, self.executor.wait()).await.expect("it ends in time").unwrap();
        status.code().unwrap_or(-1)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.sandbox.path().join(path)).unwrap_or_default()
    }

    async fn wait_for(&self, path: &str, text: &str) {
        let waited = async {
            while !self.read(path).contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited)
            .await
            .unwrap_or_else(|_| panic!("{path}: {}", self.read(path)));
    }
}

fn of(kind: event::Type) -> Event {
    Event { r#type: Some(kind as i32), ..Default::default() }
}

fn task(id: &str, line: &str) -> TaskInfo {
    let command = CommandInfo { value: Some(line.to_owned()), ..Default::default() };
    TaskInfo { task_id: id.into(), name: id.to_owned(), command: Some(command), ..Default::default() }
}

#[tokio::test]
async fn a_command_runs_to_its_end() {
    let mut fixture = Fixture::subscribed("executor").await;
    let mut task = task("t", "echo \"$MESOS_TASK_ID $GREETING $MESOS_FRAMEWORK_ID\"; echo oops >&2");
    let variable = environment::Variable {
        name: "GREETING".to_owned(),
        value: Some("hello".to_owned()),
        ..Default::default()
    };
    task.command.as_mut().unwrap().environment = Some(Environment { variables: vec![variable] });
    fixture.launch(task);
    assert_eq!(fixture.states(2).await, ["t TASK_STARTING", "t TASK_RUNNING"]);
    let last = fixture.update().await;
    assert_eq!(
        (last.state().as_str_name(), last.message()),
        ("TASK_FINISHED", "Command exited with status 0")
    );
    assert_eq!(fixture.status().await, 0);
    assert_eq!(fixture.read("stdout"), "t hello f\n");
    let stderr = fixture.read("stderr");
    for text in ["Version: ", "Received SUBSCRIBED event", "Starting task t", "Forked command at ", "oops\n"]
    {
        assert!(stderr.contains(text), "{text} is not in {stderr}");
    }
}

#[tokio::test]
async fn a_command_fails() {
    let mut fixture = Fixture::subscribed("executor").await;
    fixture.launch(task("t", "exit 3"));
    assert_eq!(fixture.states(2).await, ["t TASK_STARTING", "t TASK_RUNNING"]);
    let last = fixture.update().await;
    assert_eq!((last.state().as_str_name(), last.message()), ("TASK_FAILED", "Command exited with status 3"));
    assert_eq!(fixture.status().await, 0);

    let mut fixture = Fixture::subscribed("executor").await;
    let mut program = task("t", "/no/such/program");
    program.command.as_mut().unwrap().shell = Some(false);
    fixture.launch(program);
    assert_eq!(fixture.states(1).await, ["t TASK_STARTING"]);
    let last = fixture.update().await;
    assert_eq!(last.state().as_str_name(), "TASK_FAILED");
    assert!(last.message().starts_with("Failed to execute '/no/such/program': No such file"), "{last:?}");
}

#[tokio::test]
async fn a_kill_is_gentle_first() {
    let mut fixture = Fixture::subscribed("executor").await;
    fixture.launch(task("t", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"));
    fixture.states(2).await;
    fixture.wait_for("stdout", "up").await;
    fixture.kill("t", 60);
    let last = fixture.update().await;
    assert_eq!((last.state().as_str_name(), last.message()), ("TASK_KILLED", "Command exited with status 0"));
    assert_eq!(fixture.read("stdout"), "up\nbye\n");
    let stderr = fixture.read("stderr");
    assert!(stderr.contains("Sent SIGTERM to the following process trees:"), "{stderr}");
}

#[tokio::test]
async fn a_kill_takes_the_whole_tree_in_the_end() {
    let mut fixture = Fixture::subscribed("executor").await;
    fixture.launch(task("t", "trap '' TERM; sleep 1000 & echo up; wait; wait"));
    fixture.states(2).await;
    fixture.wait_for("stdout", "up").await;
    fixture.kill("t", 0);
    let last = fixture.update().await;
    assert_eq!(last.state().as_str_name(), "TASK_KILLED");
    assert_eq!(last.message(), "Command terminated with signal Killed");
    assert!(fixture.read("stderr").contains("Killed the following process trees:"));
}

#[tokio::test]
async fn shutdown_ends_all() {
    let mut fixture = Fixture::subscribed("executor").await;
    fixture.launch(task("t", "exec sleep 1000"));
    fixture.states(2).await;
    fixture.send(of(event::Type::Shutdown));
    let last = fixture.update().await;
    assert_eq!(
        (last.state().as_str_name(), last.message()),
        ("TASK_KILLED", "Command terminated with signal Terminated")
    );
    assert_eq!(fixture.status().await, 0);
    let mut idle = Fixture::subscribed("executor").await;
    idle.send(of(event::Type::Shutdown));
    assert_eq!(idle.status().await, 0);
}

#[tokio::test]
async fn it_outlives_an_agent_that_keeps_checkpoints() {
    let more = [
        ("MESOS_CHECKPOINT", "1"),
        ("MESOS_RECOVERY_TIMEOUT", "15mins"),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "100ms"),
    ];
    let mut fixture = Fixture::new("executor", &more).await;
    fixture.subscribe().await;
    let go = fixture.sandbox.path().join("go");
    fixture.launch(task("t", "while [ ! -e go ]; do sleep 0.01; done"));
    fixture.states(2).await;
    // The agent goes: its stream and its socket with it.
    fixture.server.abort();
    fixture.events = None;
    fs::write(go, "").unwrap();
    fixture.wait_for("stderr", "Command exited with status 0").await;
    let (_, server) = serve(fixture.port, fixture.calls_in.clone()).await;
    fixture.server = server;
    let subscribe = fixture.subscribe().await;
    // The last acknowledgement may have been lost with the agent.
    let update = &subscribe.unacknowledged_updates.last().unwrap().status;
    assert_eq!(update.state().as_str_name(), "TASK_FINISHED");
    fixture.acknowledge(update);
    assert_eq!(fixture.status().await, 0);
}

#[tokio::test]
async fn it_ends_with_an_agent_that_does_not() {
    let mut fixture = Fixture::subscribed("executor").await;
    fixture.launch(task("t", "echo $$; exec sleep 1000"));
    fixture.states(2).await;
    fixture.wait_for("stdout", "\n").await;
    fixture.server.abort();
    fixture.events = None;
    assert_eq!(fixture.status().await, 0);
    let pid = fixture.read("stdout");
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists());
    let mut alone = Fixture::new("executor", &[("MESOS_SLAVE_PID", "slave(1)@127.0.0.1:1")]).await;
    assert_eq!(alone.status().await, 0);
}

#[tokio::test]
async fn a_bad_environment_is_refused() {
    let mut fixture = Fixture::new("executor", &[("MESOS_SLAVE_PID", "nobody")]).await;
    assert_eq!(fixture.status().await, 1);
    assert!(fixture.read("stderr").contains("Failed to parse MESOS_SLAVE_PID 'nobody'"));
}

#[tokio::test]
async fn a_group_runs_in_sandboxes_of_its_own() {
    let mut fixture = Fixture::subscribed("default-executor").await;
    let script = fixture.sandbox.path().join("script");
    fs::write(&script, "echo fetched\n").unwrap();
    let mut fetching = task("b", "sh ./script; pwd");
    let uri = Uri { value: script.to_str().unwrap().to_owned(), ..Default::default() };
    fetching.command.as_mut().unwrap().uris = vec![uri];
    fixture.launch_group(vec![task("a", "echo $MESOS_TASK_ID; echo ${MESOS_SLAVE_PID-none} >&2"), fetching]);
    let mut states = fixture.states(6).await;
    states.sort();
    assert_eq!(states[..3], ["a TASK_FINISHED", "a TASK_RUNNING", "a TASK_STARTING"]);
    assert_eq!(states[3..], ["b TASK_FINISHED", "b TASK_RUNNING", "b TASK_STARTING"]);
    assert_eq!(fixture.status().await, 0);
    assert_eq!(
        (fixture.read("tasks/a/stdout"), fixture.read("tasks/a/stderr")),
        ("a\n".into(), "none\n".into())
    );
    let stdout = fixture.read("tasks/b/stdout");
    assert!(stdout.starts_with("fetched\n") && stdout.contains("/containers/"), "{stdout}");
}

#[tokio::test]
async fn tasks_of_a_group_share_a_volume_of_their_executor() {
    let mut fixture = Fixture::subscribed("default-executor").await;
    let sharing = |id: &str, line: &str, at: &str| {
        let path = source::SandboxPath {
            r#type: Some(source::sandbox_path::Type::Parent as i32),
            path: "shared/data".to_owned(),
        };
        let volume = Volume {
            mode: volume::Mode::Rw as i32,
            container_path: at.to_owned(),
            source: Some(volume::Source {
                r#type: Some(source::Type::SandboxPath as i32),
                sandbox_path: Some(path),
                ..Default::default()
            }),
            ..Default::default()
        };
        let container = ContainerInfo {
            r#type: container_info::Type::Mesos as i32,
            volumes: vec![volume],
            ..Default::default()
        };
        TaskInfo { container: Some(container), ..task(id, line) }
    };
    fixture.launch_group(vec![
        sharing("a", "echo from a >here/now/said", "here/now"),
        sharing("b", "while [ ! -s there/said ]; do sleep 0.01; done; cat there/said", "there"),
    ]);
    fixture.states(6).await;
    assert_eq!(fixture.status().await, 0);
    assert_eq!(
        (fixture.read("tasks/b/stdout"), fixture.read("shared/data/said")),
        ("from a\n".into(), "from a\n".into())
    );
    let mut fixture = Fixture::subscribed("default-executor").await;
    fixture.launch_group(vec![sharing("c", "true", "/mnt")]);
    assert_eq!(fixture.states(1).await, ["c TASK_STARTING"]);
    let last = fixture.update().await;
    assert!(last.message().contains("an absolute path is not there yet"), "{last:?}");
}

#[tokio::test]
async fn one_of_a_group_takes_the_others_along() {
    let mut fixture = Fixture::subscribed("default-executor").await;
    fixture.launch_group(vec![
        task("a", "trap '' TERM; sleep 1000"),
        task("b", "while [ ! -e ../../go ]; do sleep 0.01; done; exit 1"),
    ]);
    fixture.states(4).await;
    fs::write(fixture.sandbox.path().join("go"), "").unwrap();
    let mut states = fixture.states(2).await;
    states.sort();
    assert_eq!(states, ["a TASK_KILLED", "b TASK_FAILED"]);
    assert_eq!(fixture.status().await, 0);
}

#[tokio::test]
async fn a_fetch_that_fails_fails_the_task() {
    let mut fixture = Fixture::subscribed("default-executor").await;
    let mut fetching = task("a", "true");
    let uri = Uri { value: "/no/such/file".to_owned(), ..Default::default() };
    fetching.command.as_mut().unwrap().uris = vec![uri];
    fixture.launch_group(vec![fetching]);
    assert_eq!(fixture.states(1).await, ["a TASK_STARTING"]);
    let last = fixture.update().await;
    assert_eq!(last.state().as_str_name(), "TASK_FAILED");
    assert!(last.message().starts_with("Failed to fetch all URIs for container '"), "{last:?}");
    assert!(fixture.read("tasks/a/stderr").contains("Failed to fetch '/no/such/file'"));
}
