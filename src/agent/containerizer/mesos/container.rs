//! The life of one container: sandbox, fetch, run, end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tracing::{info, warn};

use super::Shared;
use super::fetching::{self, Fetch};
use super::sandbox::{self, Output};
use super::supervisor::LaunchInfo;
use crate::agent::containerizer::isolators::cgroups::Group;
use crate::agent::containerizer::isolators::memory;
use crate::agent::containerizer::{Exit, Launch, Report, logger};
use crate::base::end::End;
use crate::posix::start::{self, Tie};
use crate::posix::tree;
use crate::posix::user::{self, Identity};
use crate::proto::ContainerId;
use crate::proto::environment::variable;
use crate::proto::task_status::Reason;

/// How long a supervisor that was told to end may take, before its tree is killed from here.
const SUPERVISOR_GRACE: Duration = Duration::from_secs(10);

/// How often, and how far apart, orphans are looked for.
const SWEEPS: u32 = 3;
const SWEEP_INTERVAL: Duration = Duration::from_millis(30);

/// Why a container never ran.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    User(#[from] user::UserError),
    #[error("{0}")]
    Sandbox(#[from] sandbox::SandboxError),
    #[error("{0}")]
    Fetch(#[from] fetching::FetchFailure),
    #[error("Failed to prepare isolators: {0}")]
    Isolate(io::Error),
    #[error("Failed to fork: {0}")]
    Fork(io::Error),
}

/// From launch to the last report. The one in between, `Launched`, is sent from here.
pub async fn live(shared: &Shared, launch: Launch, mut destroyed: watch::Receiver<bool>) -> Report {
    let container = launch.container.clone();
    let exit = match start(shared, &launch, &mut destroyed).await {
        Ok(Some(mut started)) => {
            let exit = end(shared, &launch, &mut started, &mut destroyed).await;
            release(shared, &container, started.group).await;
            exit
        }
        Ok(None) => Exit::Destroyed,
        Err(failure) => {
            warn!(container = %container.value, %failure, "failed to launch container");
            let (reason, message) = (Reason::ContainerLaunchFailed, failure.to_string());
            return Report::Failed { container, reason, message };
        }
    };
    Report::Terminated { container, exit }
}

/// A container that runs.
struct Started {
    supervisor: Child,
    group: Option<Arc<Group>>,
}

/// What runs, or `None` if the container was destroyed before.
async fn start(
    shared: &Shared,
    launch: &Launch,
    destroyed: &mut watch::Receiver<bool>,
) -> Result<Option<Started>, Failure> {
    let (output, identity) = prepare(launch).await?;
    let fetch = Fetch { settings: &shared.settings, launch, output: &output, identity };
    tokio::select! {
        fetched = fetching::fetch(shared, fetch) => fetched?,
        () = requested(destroyed) => return Ok(None),
    }
    if *destroyed.borrow() {
        return Ok(None);
    }
    // A few files in a file system that is not on a disk.
    let group = shared.isolate(&launch.container).map_err(Failure::Isolate)?;
    let doors = group.as_ref().map(|group| group.doors()).unwrap_or_default();
    match supervisor(shared, launch, output, doors).await {
        Ok(supervisor) => Ok(Some(Started { supervisor, group })),
        Err(error) => {
            release(shared, &launch.container, group).await;
            Err(Failure::Fork(error))
        }
    }
}

/// The control groups go, and what may still be in them.
async fn release(shared: &Shared, container: &ContainerId, group: Option<Arc<Group>>) {
    let Some(group) = group else { return };
    let isolators = shared.settings.isolators.clone();
    let destroyed = tokio::task::spawn_blocking(move || isolators.destroy(&group)).await;
    if let Ok(Err(error)) = destroyed {
        warn!(container = %container.value, %error, "a control group stays");
    }
}

/// Looking up a user and making directories may take the disk's or a name service's time.
async fn prepare(launch: &Launch) -> Result<(Output, Option<Identity>), Failure> {
    let user = launch.user.clone();
    let directory = launch.directory.clone();
    let prepare = move || {
        let identity = user.as_deref().map(user::switch_to).transpose()?.flatten();
        let output = sandbox::prepare(&directory, identity.as_ref())?;
        Ok((output, identity))
    };
    match tokio::task::spawn_blocking(prepare).await {
        Ok(prepared) => prepared,
        Err(error) => Err(Failure::Fork(io::Error::other(error))),
    }
}

/// A process of ours, with its input on standard input and its output in the sandbox. `started` hears its pid
/// before it gets its input.
async fn helper(
    mut command: std::process::Command,
    output: [File; 2],
    identity: Option<Identity>,
    input: &[u8],
    started: impl FnOnce(u32),
) -> io::Result<Child> {
    let [stdout, stderr] = output;
    command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).current_dir("/");
    start::detach(&mut command, identity, Tie::None);
    let mut child = Command::from(command).spawn()?;
    started(child.id().unwrap_or_default());
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended already says why in its exit status.
        let _ = stdin.write_all(input).await;
    }
    Ok(child)
}

async fn supervisor(
    shared: &Shared,
    launch: &Launch,
    output: Output,
    doors: Vec<PathBuf>,
) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;

    let info = LaunchInfo {
        shell: launch.command.shell(),
        value: launch.command.value.clone(),
        arguments: launch.command.arguments.clone(),
        environment: environment(launch),
        directory: launch.directory.clone(),
        user: launch.user.clone(),
        doors,
        rotation: shared.settings.rotation.map(|rotation| logger::of_container(rotation, &launch.command)),
    };
    let mut command = std::process::Command::new(&shared.settings.program);
    command.arg0("mesos-containerizer").arg("launch").env_clear();
    let container = &launch.container;
    // Told before the executor can subscribe: its first update shows the pid too.
    let started = |pid| {
        shared.set_pid(container, pid as i32);
        info!(container = %container.value, pid, "launched container");
        shared.report(Report::Launched { container: container.clone(), pid });
    };
    helper(command, [output.stdout, output.stderr], None, &serde_json::to_vec(&info)?, started).await
}

/// What the executor sees: what the agent gives, and over it what the command brings.
fn environment(launch: &Launch) -> BTreeMap<String, String> {
    let directory = launch.directory.display().to_string();
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), start::DEFAULT_PATH.to_owned()),
        ("MESOS_DIRECTORY".to_owned(), directory.clone()),
        ("MESOS_SANDBOX".to_owned(), directory),
    ]);
    environment.extend(launch.environment.clone());
    let variables = launch.command.environment.iter().flat_map(|environment| &environment.variables);
    // Secrets need a resolver, which is not here yet; 1.11 leaves unresolved ones out too.
    let plain = variables.filter(|variable| variable.r#type() == variable::Type::Value);
    environment.extend(plain.map(|variable| (variable.name.clone(), variable.value().to_owned())));
    environment
}

/// Waits for the end that comes or is asked for, and then until nothing is left.
async fn end(
    shared: &Shared,
    launch: &Launch,
    Started { supervisor, group }: &mut Started,
    destroyed: &mut watch::Receiver<bool>,
) -> Exit {
    let directory = launch.directory.as_path();
    let pid = supervisor.id().unwrap_or_default() as i32;
    let status = tokio::select! {
        status = supervisor.wait() => status,
        () = requested(destroyed) => {
            stop(directory, pid, supervisor).await;
            return Exit::Destroyed;
        }
        group = exceeded(group.as_deref()) => {
            limited(shared, &launch.container, group);
            stop(directory, pid, supervisor).await;
            return Exit::Destroyed;
        }
    };
    if let Some(group) = group.as_deref().filter(|group| group.out_of_memory_kills() > 0) {
        limited(shared, &launch.container, group);
    }
    match status.map(End::from) {
        Ok(End::Code(code)) => Exit::Code(code),
        Ok(End::Signal(signal)) => {
            // Rarely it is the supervisor that was killed, and its children are nobody's.
            sweep(directory).await;
            Exit::Signal(signal)
        }
        Err(error) => {
            warn!(%error, pid, "lost sight of a container's process");
            sweep(directory).await;
            Exit::Destroyed
        }
    }
}

/// Ends when something in there was killed for its memory.
async fn exceeded(group: Option<&Group>) -> &Group {
    match group {
        Some(group) => {
            memory::exceeded(group).await;
            group
        }
        None => std::future::pending().await,
    }
}

fn limited(shared: &Shared, container: &ContainerId, group: &Group) {
    let (reason, message) = (Reason::ContainerLimitationMemory, group.memory_story());
    shared.report(Report::Limited { container: container.clone(), reason, message });
}

async fn stop(directory: &Path, pid: i32, supervisor: &mut Child) {
    tree::send(pid, Signal::SIGTERM);
    if tokio::time::timeout(SUPERVISOR_GRACE, supervisor.wait()).await.is_err() {
        force(directory, pid, supervisor).await;
    }
}

/// The supervisor does not do as it is told: it may be stopped, or what it kills does not die.
async fn force(directory: &Path, pid: i32, supervisor: &mut Child) {
    warn!(pid, "a container takes long to destroy, killing its processes one by one");
    let kill = move || {
        let all = tree::processes().unwrap_or_default();
        for pid in tree::descendants(pid, &all) {
            tree::send(pid, Signal::SIGKILL);
        }
        tree::send(pid, Signal::SIGCONT);
    };
    while supervisor.try_wait().is_ok_and(|status| status.is_none()) {
        let _ = tokio::task::spawn_blocking(kill).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), supervisor.wait()).await;
    }
    sweep(directory).await;
}

/// Kills what still has this sandbox in its environment. Nothing else tells whose it was.
async fn sweep(directory: &Path) {
    let directory = directory.display().to_string();
    let kill = move || {
        for _ in 0..SWEEPS {
            for pid in tree::with_variable("MESOS_DIRECTORY", &directory).unwrap_or_default() {
                tree::send(pid, Signal::SIGKILL);
            }
            // One that is within exec shows no environment.
            std::thread::sleep(SWEEP_INTERVAL);
        }
    };
    let _ = tokio::task::spawn_blocking(kill).await;
}

async fn requested(destroyed: &mut watch::Receiver<bool>) {
    if destroyed.wait_for(|destroyed| *destroyed).await.is_err() {
        // The sender lives as long as the container; without it nobody can ask.
        std::future::pending::<()>().await;
    }
}
