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
use super::notes::{self, Found};
use super::sandbox::{self, Output};
use super::supervisor::LaunchInfo;
use crate::agent::containerizer::isolators::cgroups::Group;
use crate::agent::containerizer::isolators::confinement::{Confinement, Place};
use crate::agent::containerizer::isolators::memory;
use crate::agent::containerizer::{Exit, Launch, Report, Survivor, logger};
use crate::agent::paths;
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
    #[error("Failed to prepare isolators: {0}")]
    Confine(String),
    #[error("Failed to fork: {0}")]
    Fork(io::Error),
}

/// From launch to the last report. The one in between, `Launched`, is sent from here.
pub async fn live(shared: &Shared, launch: Launch, mut destroyed: watch::Receiver<bool>) -> Report {
    let container = launch.container.clone();
    let exit = match start(shared, &launch, &mut destroyed).await {
        Ok(Some(mut started)) => {
            let exit = end(shared, &container, &launch.directory, &mut started, &mut destroyed).await;
            release(shared, &container, started.group).await;
            exit
        }
        Ok(None) => Exit::Destroyed,
        Err(failure) => {
            warn!(container = %container.value, %failure, "failed to launch container");
            notes::forget(&launch.meta).await;
            let (reason, message) = (Reason::ContainerLaunchFailed, failure.to_string());
            return Report::Failed { container, reason, message };
        }
    };
    notes::forget(&launch.meta).await;
    Report::Terminated { container, exit }
}

/// A container of an earlier agent, from where it is found to its last report.
pub async fn live_on(shared: &Shared, survivor: Survivor, mut destroyed: watch::Receiver<bool>) -> Report {
    let Survivor { container, directory, meta, .. } = survivor;
    let group = shared.adopt(&container);
    let exit = match notes::find(&meta).await {
        Found::Runs(found) => {
            shared.set_pid(&container, found.pid());
            info!(container = %container.value, pid = found.pid(), "found a container of an earlier agent");
            let pid = found.pid().unsigned_abs();
            shared.report(Report::Launched { container: container.clone(), pid });
            let supervisor = Supervisor::Found(found, meta.clone());
            let mut started = Started { supervisor, group: group.clone() };
            end(shared, &container, &directory, &mut started, &mut destroyed).await
        }
        Found::Ended(Some(end)) => end.into(),
        Found::Ended(None) => {
            // Its supervisor was killed, or was never there.
            sweep(&directory).await;
            Exit::Unknown
        }
        Found::Rebooted => Exit::Unknown,
    };
    release(shared, &container, group).await;
    notes::forget(&meta).await;
    Report::Terminated { container, exit }
}

/// Ends a container that nobody knows.
pub async fn end_unknown(shared: &Shared, meta: PathBuf) {
    if let Found::Runs(found) = notes::find(&meta).await {
        warn!(pid = found.pid(), meta = %meta.display(), "killing a container that nobody knows");
        let mut supervisor = Supervisor::Found(found, meta.clone());
        kill(None, &mut supervisor).await;
    }
    if let Some(container) = meta.file_name().and_then(|name| name.to_str()).map(str::to_owned) {
        let isolators = shared.settings.isolators.clone();
        let destroyed = tokio::task::spawn_blocking(move || isolators.destroy_leftover(&container)).await;
        if let Ok(Err(error)) = destroyed {
            warn!(meta = %meta.display(), %error, "a control group stays");
        }
    }
    notes::forget(&meta).await;
}

/// The process above a container.
enum Supervisor {
    Child(Child),
    /// Of an earlier agent; it leaves how it ended below this folder.
    Found(notes::Process, PathBuf),
}

impl Supervisor {
    fn pid(&self) -> i32 {
        match self {
            Supervisor::Child(child) => child.id().unwrap_or_default() as i32,
            Supervisor::Found(found, _) => found.pid(),
        }
    }

    fn terminate(&self) {
        match self {
            Supervisor::Child(_) => drop(tree::send(self.pid(), Signal::SIGTERM)),
            Supervisor::Found(found, _) => found.terminate(),
        }
    }

    /// How it ended; `None` if it does not tell.
    async fn wait(&mut self) -> io::Result<Option<End>> {
        match self {
            Supervisor::Child(child) => child.wait().await.map(End::from).map(Some),
            Supervisor::Found(found, meta) => {
                found.wait().await?;
                Ok(notes::status(meta))
            }
        }
    }

    async fn wait_for(&mut self, most: Duration) -> bool {
        tokio::time::timeout(most, self.wait()).await.is_ok()
    }
}

impl From<End> for Exit {
    fn from(end: End) -> Exit {
        match end {
            End::Code(code) => Exit::Code(code),
            End::Signal(signal) => Exit::Signal(signal),
        }
    }
}

/// A container that runs.
struct Started {
    supervisor: Supervisor,
    group: Option<Arc<Group>>,
}

/// What runs, or `None` if the container was destroyed before.
async fn start(
    shared: &Shared,
    launch: &Launch,
    destroyed: &mut watch::Receiver<bool>,
) -> Result<Option<Started>, Failure> {
    let (output, identity) = prepare(launch).await?;
    let confinement = confine(shared, launch).await?;
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
    let held = Held { group: group.as_deref(), confinement };
    match supervisor(shared, launch, output, held).await {
        Ok(child) => Ok(Some(Started { supervisor: Supervisor::Child(child), group })),
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

/// What keeps a container apart from others.
struct Held<'a> {
    group: Option<&'a Group>,
    confinement: Confinement,
}

/// Looks for volumes and reads profiles: the disk may take its time.
async fn confine(shared: &Shared, launch: &Launch) -> Result<Confinement, Failure> {
    let isolators = shared.settings.isolators.clone();
    let (sandbox, described) = (launch.directory.clone(), launch.described.clone());
    let confine = move || isolators.confine(&Place { sandbox: &sandbox, described: described.as_ref() });
    match tokio::task::spawn_blocking(confine).await {
        Ok(confined) => confined.map_err(Failure::Confine),
        Err(error) => Err(Failure::Fork(io::Error::other(error))),
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
    started: impl FnOnce(u32) -> io::Result<()>,
) -> io::Result<Child> {
    let [stdout, stderr] = output;
    command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).current_dir("/");
    start::detach(&mut command, identity, Tie::None);
    let mut child = Command::from(command).spawn()?;
    if let Err(error) = started(child.id().unwrap_or_default()) {
        let _ = child.kill().await;
        return Err(error);
    }
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended already says why in its exit status.
        let _ = stdin.write_all(input).await;
    }
    Ok(child)
}

async fn supervisor(shared: &Shared, launch: &Launch, output: Output, held: Held<'_>) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;

    notes::prepare(&launch.meta)?;
    let info = LaunchInfo {
        shell: launch.command.shell(),
        value: launch.command.value.clone(),
        arguments: launch.command.arguments.clone(),
        environment: environment(launch),
        directory: launch.directory.clone(),
        user: launch.user.clone(),
        doors: held.group.map(Group::doors).unwrap_or_default(),
        killer: held.group.and_then(Group::killer),
        confinement: (!held.confinement.is_none()).then_some(held.confinement),
        rotation: shared.settings.rotation.map(|rotation| logger::of_container(rotation, &launch.command)),
        status: Some(paths::status(&launch.meta)),
    };
    let mut command = std::process::Command::new(&shared.settings.program);
    command.arg0("mesos-containerizer").arg("launch").env_clear();
    let container = &launch.container;
    // Noted before it gets its input, without which it starts nothing: what runs is always known to a later agent.
    // Told before the executor can subscribe: its first update shows the pid too.
    let started = |pid| {
        notes::write(&launch.meta, pid as i32)?;
        shared.set_pid(container, pid as i32);
        info!(container = %container.value, pid, "launched container");
        shared.report(Report::Launched { container: container.clone(), pid });
        Ok(())
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
    container: &ContainerId,
    directory: &Path,
    Started { supervisor, group }: &mut Started,
    destroyed: &mut watch::Receiver<bool>,
) -> Exit {
    let pid = supervisor.pid();
    let status = tokio::select! {
        status = supervisor.wait() => status,
        () = requested(destroyed) => {
            kill(Some(directory), supervisor).await;
            return Exit::Destroyed;
        }
        group = exceeded(group.as_deref()) => {
            limited(shared, container, group);
            kill(Some(directory), supervisor).await;
            return Exit::Destroyed;
        }
    };
    if let Some(group) = group.as_deref().filter(|group| group.out_of_memory_kills() > 0) {
        limited(shared, container, group);
    }
    match status {
        Ok(Some(End::Code(code))) => Exit::Code(code),
        Ok(Some(End::Signal(signal))) => {
            // Rarely it is the supervisor that was killed, and its children are nobody's.
            sweep(directory).await;
            Exit::Signal(signal)
        }
        Ok(None) => {
            sweep(directory).await;
            Exit::Unknown
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
    shared.report(Report::Limited { container: container.clone(), limitation: group.memory_limitation() });
}

async fn kill(directory: Option<&Path>, supervisor: &mut Supervisor) {
    supervisor.terminate();
    if supervisor.wait_for(SUPERVISOR_GRACE).await {
        return;
    }
    force(supervisor).await;
    if let Some(directory) = directory {
        sweep(directory).await;
    }
}

/// The supervisor does not do as it is told: it may be stopped, or what it kills does not die.
async fn force(supervisor: &mut Supervisor) {
    let pid = supervisor.pid();
    warn!(pid, "a container takes long to destroy, killing its processes one by one");
    let kill = move || {
        let all = tree::below(pid).unwrap_or_default();
        for pid in tree::descendants(pid, &all) {
            tree::send(pid, Signal::SIGKILL);
        }
        tree::send(pid, Signal::SIGCONT);
    };
    loop {
        let _ = tokio::task::spawn_blocking(kill).await;
        if supervisor.wait_for(Duration::from_secs(1)).await {
            return;
        }
    }
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
