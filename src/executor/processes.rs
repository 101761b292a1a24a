//! The processes of tasks: started, signalled as trees, waited for.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal as PosixSignal;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tracing::{error, info};

use super::core::volumes::Link;
use super::core::{Event, Signal, Start};
use super::probes::Place;
use crate::base::end::End;
use crate::posix::rotate::{self, Rotating, Rotation};
use crate::posix::start::{self, Tie};
use crate::posix::tree;
use crate::posix::user::{self, Identity};
use crate::proto::TaskId;
use crate::proto::command_info::Uri;

/// What all tasks of this executor have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The executor's sandbox.
    pub sandbox: PathBuf,
    /// The `mesos` binary, which is run as fetcher.
    pub program: PathBuf,
    pub fetching: Fetching,
    /// Bounds of what tasks with sandboxes of their own write.
    pub rotation: Option<Rotation>,
}

/// How tasks with sandboxes of their own fetch: as the agent does, but past its cache.
#[derive(Clone, Debug, Default)]
pub struct Fetching {
    pub frameworks_home: Option<String>,
    pub hadoop_home: Option<String>,
    pub stall_timeout: Option<Duration>,
}

/// What a process of a task came to; to be given to `Processes::ended`.
#[derive(Debug)]
pub enum Report {
    Ended { task: TaskId, end: End },
    Fetched { start: Box<Start>, sandbox: PathBuf, identity: Option<Identity>, end: End },
}

/// The tasks that have a process.
pub struct Processes {
    settings: Settings,
    /// Their first process, which leads a session; while a task fetches, its fetcher.
    pids: HashMap<TaskId, i32>,
    /// Of those that have a sandbox of their own.
    places: HashMap<TaskId, Place>,
    reports: mpsc::UnboundedSender<Report>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("Failed to execute '{0}': {1}")]
    Execute(String, io::Error),
    #[error("Failed to make the sandbox '{0}': {1}")]
    Sandbox(String, io::Error),
    #[error("Failed to make the volume '{0}': {1}")]
    Volume(String, io::Error),
    #[error(transparent)]
    User(#[from] user::UserError),
    #[error("Failed to execute mesos-fetcher: {0}")]
    Fetcher(io::Error),
    #[error("Failed to fetch all URIs for container '{0}': {1}")]
    Fetch(String, End),
}

impl Processes {
    pub fn new(settings: Settings, reports: mpsc::UnboundedSender<Report>) -> Processes {
        Processes { settings, pids: HashMap::new(), places: HashMap::new(), reports }
    }

    /// `Started` or `NotStarted`; later, if the task fetches first.
    pub fn start(&mut self, start: Start) -> Option<Event> {
        let task = start.task.clone();
        match self.prepare(start) {
            Ok(event) => event,
            Err(failure) => Some(Event::NotStarted { task, message: failure.to_string() }),
        }
    }

    fn prepare(&mut self, start: Start) -> Result<Option<Event>, StartError> {
        let Some(name) = &start.sandbox else {
            return self.run(&start, None, None).map(Some);
        };
        let user = start.command.user.as_deref();
        let identity = user.map(user::switch_to).transpose()?.flatten();
        let sandbox = self.make_sandbox(&start.task, name, identity.as_ref())?;
        for link in &start.links {
            let failed = |error| StartError::Volume(link.at.clone(), error);
            make_link(link, &self.settings.sandbox, &sandbox, identity.as_ref()).map_err(failed)?;
        }
        if start.command.uris.is_empty() {
            return self.run(&start, Some(&sandbox), identity).map(Some);
        }
        self.fetch(start, sandbox, identity)?;
        Ok(None)
    }

    /// With the executor's own output if it has no sandbox of its own.
    fn run(
        &mut self,
        start: &Start,
        sandbox: Option<&Path>,
        identity: Option<Identity>,
    ) -> Result<Event, StartError> {
        let shown = start.command.value.clone().unwrap_or_default();
        let failed = |error| StartError::Execute(shown.clone(), error);
        let no_value = || failed(io::Error::other("the command has no value"));
        let mut command = start::program(&start.command).ok_or_else(no_value)?;
        command.env_clear().envs(&start.environment).stdin(Stdio::null());
        if let Some(sandbox) = sandbox {
            let outputs = outputs(sandbox).map_err(failed)?;
            let [stdout, stderr] = self.bounded(sandbox, outputs, identity.as_ref()).map_err(failed)?;
            command.env("MESOS_SANDBOX", sandbox).current_dir(sandbox).stdout(stdout).stderr(stderr);
            let place = Place { sandbox: sandbox.to_owned(), identity: identity.clone() };
            self.places.insert(start.task.clone(), place);
        }
        start::detach(&mut command, identity, Tie::DiesWithParent);
        let mut child = Command::from(command).spawn().map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        self.pids.insert(start.task.clone(), pid as i32);
        let (task, reports) = (start.task.clone(), self.reports.clone());
        tokio::spawn(async move {
            let end = child.wait().await.map_or(End::Code(1), End::from);
            // The loop that listened has ended, and with it the process.
            let _ = reports.send(Report::Ended { task, end });
        });
        Ok(Event::Started { task: start.task.clone(), pid })
    }

    fn bounded(&self, sandbox: &Path, files: [File; 2], owner: Option<&Identity>) -> io::Result<[Stdio; 2]> {
        let Some(Rotation { stdout, stderr }) = self.settings.rotation else {
            return Ok(files.map(Stdio::from));
        };
        let [out, err] = files;
        let pump = |name, file, limits| {
            let (stream, _) = rotate::pump(Rotating::open(sandbox, name, file, limits, owner.cloned())?)?;
            io::Result::Ok(stream)
        };
        Ok([pump("stdout", out, stdout)?, pump("stderr", err, stderr)?])
    }

    /// As the agent does for its containers, by a process of its own.
    fn fetch(
        &mut self,
        start: Start,
        sandbox: PathBuf,
        identity: Option<Identity>,
    ) -> Result<(), StartError> {
        let [stdout, stderr] = outputs(&sandbox).map_err(StartError::Fetcher)?;
        let item = |uri: &Uri| {
            json!({"uri": {
                "value": uri.value, "executable": uri.executable(), "extract": uri.extract(),
                "cache": uri.cache(), "output_file": uri.output_file,
            }})
        };
        let items: Vec<_> = start.command.uris.iter().map(item).collect();
        let Fetching { frameworks_home, hadoop_home, stall_timeout } = &self.settings.fetching;
        let timeout = stall_timeout.map(|timeout| json!({"nanoseconds": timeout.as_nanos() as u64}));
        let info = json!({"sandbox_directory": sandbox, "items": items, "frameworks_home": frameworks_home,
            "stall_timeout": timeout})
        .to_string();
        let mut command = std::process::Command::new(&self.settings.program);
        command.arg0("mesos-fetcher").stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        command.env_clear().envs(start::for_fetchers());
        command.envs(hadoop_home.iter().map(|home| ("HADOOP_HOME", home)));
        start::detach(&mut command, identity.clone(), Tie::DiesWithParent);
        let mut child = Command::from(command).spawn().map_err(StartError::Fetcher)?;
        self.pids.insert(start.task.clone(), child.id().unwrap_or_default() as i32);
        let reports = self.reports.clone();
        tokio::spawn(async move {
            if let Some(mut stdin) = child.stdin.take() {
                // One that ended already says why in its exit status.
                let _ = stdin.write_all(info.as_bytes()).await;
            }
            let end = child.wait().await.map_or(End::Code(1), End::from);
            let _ = reports.send(Report::Fetched { start: Box::new(start), sandbox, identity, end });
        });
        Ok(())
    }

    /// What a report means to the core.
    pub fn ended(&mut self, report: Report) -> Event {
        match report {
            Report::Ended { task, end } => {
                self.places.remove(&task);
                if let Some(pid) = self.pids.remove(&task) {
                    // What it left behind in its session.
                    let _ = tree::signal_beside(pid, PosixSignal::SIGKILL);
                }
                Event::Ended { task, end }
            }
            Report::Fetched { start, sandbox, identity, end } => {
                self.pids.remove(&start.task);
                let started = match end.is_success() {
                    true => self.run(&start, Some(&sandbox), identity),
                    false => Err(StartError::Fetch(start.sandbox.clone().unwrap_or_default(), end)),
                };
                let not_started = |failure: StartError| Event::NotStarted {
                    task: start.task.clone(),
                    message: failure.to_string(),
                };
                started.unwrap_or_else(not_started)
            }
        }
    }

    /// Where the checks of a task run; `None`: where the executor does.
    pub fn place(&self, task: &TaskId) -> Option<Place> {
        self.places.get(task).cloned()
    }

    pub fn signal(&self, task: &TaskId, signal: Signal) {
        let Some(pid) = self.pids.get(task) else { return };
        let (signal, sent) = match signal {
            Signal::Terminate => (PosixSignal::SIGTERM, "Sent SIGTERM to"),
            Signal::Kill => (PosixSignal::SIGKILL, "Killed"),
        };
        match tree::signal_beside(*pid, signal) {
            Ok(trees) => {
                info!("{sent} the following process trees:");
                trees.lines().for_each(|line| info!("{line}"));
            }
            Err(failure) => {
                error!("Failed to kill the process tree rooted at pid {pid}: {failure}");
                tree::send(*pid, signal);
            }
        }
    }

    /// `containers/<name>`, with a link `tasks/<id>` by which people find it.
    fn make_sandbox(
        &self,
        task: &TaskId,
        name: &str,
        owner: Option<&Identity>,
    ) -> Result<PathBuf, StartError> {
        let sandbox = self.settings.sandbox.join("containers").join(name);
        if task.value.contains(['/', '\0']) || matches!(task.value.as_str(), "" | "." | "..") {
            // The master lets no such task through, and nobody else is believed.
            let error = io::Error::other("the task's id is no file name");
            return Err(StartError::Sandbox(task.value.clone(), error));
        }
        let link = self.settings.sandbox.join("tasks").join(&task.value);
        make_sandbox(&sandbox, &link, owner)
            .map_err(|error| StartError::Sandbox(sandbox.display().to_string(), error))?;
        Ok(sandbox)
    }
}

fn make_sandbox(sandbox: &Path, link: &Path, owner: Option<&Identity>) -> io::Result<()> {
    for folder in [sandbox, link].into_iter().filter_map(Path::parent) {
        fs::create_dir_all(folder)?;
    }
    DirBuilder::new().mode(0o750).create(sandbox)?;
    for name in ["stdout", "stderr"] {
        File::create_new(sandbox.join(name))?;
    }
    if let Some(owner) = owner {
        for path in [sandbox.to_owned(), sandbox.join("stdout"), sandbox.join("stderr")] {
            std::os::unix::fs::lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
    }
    // A task of that name may have run before; the last one is found.
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(sandbox, link)
}

/// The folder that it leads to belongs to whose task is the first to name it.
fn make_link(link: &Link, executor: &Path, sandbox: &Path, owner: Option<&Identity>) -> io::Result<()> {
    let to = executor.join(&link.to);
    if !to.try_exists()? {
        fs::create_dir_all(&to)?;
        if let Some(owner) = owner {
            std::os::unix::fs::lchown(&to, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
    }
    let at = sandbox.join(&link.at);
    if let Some(above) = at.parent() {
        fs::create_dir_all(above)?;
    }
    std::os::unix::fs::symlink(to, at)
}

fn outputs(sandbox: &Path) -> io::Result<[File; 2]> {
    let open = |name| OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(sandbox.join(name));
    Ok([open("stdout")?, open("stderr")?])
}
