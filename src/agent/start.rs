//! Puts an agent together: listener, core's loop, containers, endpoints.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: makes the work_dir, reads the environment, starts tasks"
)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::checkpoint::disk::{self, Checkpointer, LoadError, Loaded, LockError};
use super::containerizer::isolators::{self, IsolatorError, Isolators};
use super::containerizer::mesos::{Containerizer, Settings};
use super::containerizer::{Report, logger};
use super::core::state::Config;
use super::core::{self, Event, Recovered, State};
use super::detect;
use super::detector::Detector;
use super::fetcher::store::Store;
use super::flags::Flags;
use super::gc::{self, Collector};
use super::http::{self, Site, Tools};
use super::run::{self, Core, End, Shell};
use super::sandboxes::Sandboxes;
use super::{metrics, paths};
use crate::base::duration;
use crate::base::upid::Upid;
use crate::files::{self, Files};
use crate::http::route::Routes;
use crate::logging::{Log, toggle};
use crate::metrics::Metrics;
use crate::posix::boot;
use crate::process::clock::Clock;
use crate::process::host::{self, Advertised};
use crate::process::link::Links;
use crate::process::server::{self, IncomingMessage, Limits, Processes};
use crate::process::{help, profiler, system, version};
use crate::proto::Message;
use crate::resources::Invalid;

/// How long to wait for the end of an agent that was just killed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("Flag 'work_dir': making {path}")]
    WorkDir { path: PathBuf, source: io::Error },
    #[error("Flag 'fetcher_cache_dir': emptying {path}")]
    FetcherCache { path: PathBuf, source: io::Error },
    #[error("Flag 'isolation'")]
    Isolation(#[source] IsolatorError),
    #[error("finding the own binary")]
    Binary(#[source] io::Error),
    #[error("failed to determine the agent's resources and attributes")]
    Resources(#[from] Invalid),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "Failed to recover the agent: {why}\nTo keep its id nevertheless, change what is named back, or see \
         --reconfiguration_policy.\nTo start as a new agent, which ends what ran under the old one: rm -f '{latest}'"
    )]
    Recover { why: core::Refused, latest: PathBuf },
    #[error("starting a thread")]
    Thread(#[source] io::Error),
}

/// An agent that serves.
pub struct Running {
    /// As others reach it.
    pub address: SocketAddr,
    /// Why the agent has to end, once it has.
    pub ended: oneshot::Receiver<End>,
    /// Where it listens.
    pub listening: SocketAddr,
    pub leaver: Leaver,
}

/// Takes the agent out of its cluster.
pub struct Leaver {
    core: Core,
}

impl Leaver {
    /// The agent leaves the cluster for good: it unregisters, ends its executors, and then itself.
    pub fn leave(&self, why: &str) {
        self.core.tell(Event::Shutdown(why.to_owned()));
    }
}

/// Starts an agent; it serves until the process ends. `number` tells apart the agents of one process: the
/// first is `slave(1)`. Must be called inside a tokio runtime.
pub async fn start(flags: Flags, number: usize, log: &Log) -> Result<Running, StartError> {
    for warning in flags.values.warnings() {
        warn!("{warning}");
    }
    let flags = Arc::new(flags);
    let work_dir = || flags.work_dir.clone();
    std::fs::create_dir_all(&flags.work_dir)
        .map_err(|source| StartError::WorkDir { path: work_dir(), source })?;
    // Its lock comes before the port: a child of an agent that was just killed, which has not come to its exec yet,
    // holds both.
    let past = past(&flags).await?;
    let wanted = host::bind_address(&flags.address);
    let bind = |source| StartError::Bind { address: wanted, source };
    let listener = server::bind(wanted).map_err(bind)?;
    let listening = listener.local_addr().map_err(bind)?;
    let address_flags = flags.address.clone();
    let advertised = tokio::task::spawn_blocking(move || Advertised::new(&address_flags, listening.port()));
    let advertised = advertised.await.map_err(|error| StartError::Thread(io::Error::other(error)))?;

    let binary = std::env::current_exe().map_err(StartError::Binary)?;
    let agent = detect::agent_info(&flags, &advertised.hostname, advertised.address.port())?;
    let process = format!("slave({number})");
    let pid = Upid::new(&process, advertised.address);

    let clock = Clock::new();
    let mut effects = Vec::new();
    let config = config(&flags, pid.clone(), binary.clone());
    let recovered = Recovered { image: past.image.clone(), rebooted: past.rebooted, errors: past.errors };
    let state = State::recover(config, agent, recovered, clock.now(), rand::random(), &mut effects)
        .map_err(|why| StartError::Recover { why, latest: paths::latest_agent(&flags.work_dir) })?;
    let fetcher_cache = Store::open(&flags.fetcher_cache_dir, &flags.work_dir, flags.fetcher_cache_size)
        .map_err(|source| StartError::FetcherCache { path: flags.fetcher_cache_dir.clone(), source })?;
    let isolators = Isolators::new(flags.isolators()).map_err(StartError::Isolation)?;
    let (containerizer, reports) = Containerizer::new(Settings {
        program: binary.clone(),
        frameworks_home: flags.frameworks_home.clone(),
        fetcher_stall_timeout: flags.fetcher_stall_timeout,
        hadoop_home: flags.hadoop_home.clone(),
        fetcher_cache: Arc::new(fetcher_cache),
        // The flag's check has read it before.
        isolators,
        rotation: logger::parse(&flags.container_logger).ok().flatten(),
        monitoring_interval: flags.resource_monitoring_interval,
        meta: paths::meta_agents(&flags.work_dir),
    });
    let files = Files::default();
    let sandboxes = Sandboxes::new(files.clone());
    let collector = Collector::start(collection(&flags), clock, files.clone()).map_err(StartError::Thread)?;
    let (links, mut exits) = Links::new();
    let (core, inbox) = run::channel();
    let durable = core.clone();
    let checkpointer = Checkpointer::start(
        flags.work_dir.clone(),
        past.image,
        boot::id(),
        Box::new(move |then| durable.tell(Event::Saved(then))),
    );
    let shell = Shell {
        clock,
        checkpointer: checkpointer.map_err(StartError::Thread)?,
        links,
        containerizer: containerizer.clone(),
        sandboxes: sandboxes.clone(),
        collector: collector.clone(),
        detector: Detector::new(flags.master.clone(), flags.zk_session_timeout),
        pid: pid.clone(),
    };
    let ended = run::start(inbox, shell, state, effects).map_err(StartError::Thread)?;

    tokio::spawn(forward_reports(reports, sandboxes, core.clone()));
    let exited = core.clone();
    tokio::spawn(async move {
        while let Some(exit) = exits.recv().await {
            exited.tell(Event::Exited(exit.address));
        }
    });

    let processes = Processes::default();
    processes.add(&process, inbox_of(core.clone()));
    let tools = Tools { files, log: log.clone(), metrics: Metrics::default() };
    let site = Site::new(core.clone(), flags.clone(), containerizer.clone(), tools.clone());
    metrics::provide(&tools.metrics, &core, clock, &containerizer);
    metrics::provide_collection(&tools.metrics, &collector);
    metrics::provide_containers(&tools.metrics, &core, &containerizer);
    let routes = routes(&process, &site, &tools);
    tokio::spawn(server::serve(listener, processes, routes, Limits::default()));
    info!(%pid, %listening, hostname = advertised.hostname, "agent serves");
    Ok(Running { address: advertised.address, ended, listening, leaver: Leaver { core } })
}

/// What an earlier agent left in the work_dir, which is this agent's alone from now on.
async fn past(flags: &Flags) -> Result<Loaded, StartError> {
    let work_dir = flags.work_dir.clone();
    let (checkpoint, strict) = (flags.checkpoint, flags.strict);
    let read = move || {
        // Until the end of the process, whatever becomes of the agent.
        std::mem::forget(disk::lock(&work_dir, LOCK_PATIENCE)?);
        match checkpoint {
            true => Ok(disk::load(&work_dir, strict, boot::id().as_deref())?),
            false => Ok(Loaded::default()),
        }
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|error| Err(StartError::Thread(io::Error::other(error))))
}

fn config(flags: &Flags, pid: Upid, binary: PathBuf) -> Config {
    let mut executor_environment = flags.executor_environment_variables.clone().unwrap_or_default();
    // Where names cannot be looked up, an executor on libprocess needs to be told its address.
    if let Ok(ip) = std::env::var("LIBPROCESS_IP") {
        executor_environment.entry("LIBPROCESS_IP".to_owned()).or_insert(ip);
    }
    Config {
        pid,
        work_dir: flags.work_dir.clone(),
        binary,
        launcher_dir: flags.values.text("launcher_dir").unwrap_or_default(),
        default_executor_flags: default_executor_flags(flags),
        switch_user: flags.switch_user,
        bounds_cpus: flags.isolation.iter().any(|name| isolators::needs(name, "cpu")),
        bounds_mem: flags.isolation.iter().any(|name| isolators::needs(name, "memory")),
        registration_backoff: flags.registration_backoff_factor,
        executor_registration_timeout: flags.executor_registration_timeout,
        executor_reregistration_timeout: flags.executor_reregistration_timeout,
        executor_shutdown_grace_period: flags.executor_shutdown_grace_period,
        executor_reregistration_retry_interval: flags.executor_reregistration_retry_interval,
        recovery_timeout: flags.recovery_timeout,
        checkpoint: flags.checkpoint,
        recover: flags.recover,
        reconfiguration_policy: flags.reconfiguration_policy,
        executor_environment,
        max_completed_executors_per_framework: usize::try_from(flags.max_completed_executors_per_framework)
            .unwrap_or(usize::MAX),
    }
}

fn collection(flags: &Flags) -> gc::Settings {
    gc::Settings {
        work_dir: flags.work_dir.clone(),
        delay: flags.gc_delay,
        headroom: flags.gc_disk_headroom,
        watch_interval: flags.disk_watch_interval,
    }
}

/// What a default executor does as the agent does.
fn default_executor_flags(flags: &Flags) -> Vec<String> {
    let stall_timeout = duration::format(flags.fetcher_stall_timeout);
    let path =
        |name: &str, path: &Option<PathBuf>| path.as_ref().map(|path| format!("--{name}={}", path.display()));
    let paths = [path("frameworks_home", &flags.frameworks_home), path("hadoop_home", &flags.hadoop_home)];
    let stall_timeout = format!("--fetcher_stall_timeout={stall_timeout}");
    let logger = format!("--container_logger={}", flags.container_logger);
    paths.into_iter().flatten().chain([stall_timeout, logger]).collect()
}

/// Shows a sandbox before the core hears that it is there.
async fn forward_reports(mut reports: mpsc::UnboundedReceiver<Report>, sandboxes: Sandboxes, core: Core) {
    while let Some(report) = reports.recv().await {
        let (sandboxes, core) = (sandboxes.clone(), core.clone());
        let heard = tokio::task::spawn_blocking(move || {
            sandboxes.heard(&report);
            core.tell(Event::Report(report));
        });
        // One after the other: the order of a container's reports counts.
        let _ = heard.await;
    }
}

fn routes(process: &str, site: &Site, tools: &Tools) -> Routes {
    let Tools { files, log, metrics: numbers } = tools;
    let mut routes = Routes::new();
    routes.delegate(process);
    http::bind(&mut routes, process, site);
    if let Some(path) = log.shown_file()
        && let Err(error) = files.attach(path, paths::VIRTUAL_LOG)
    {
        warn!(%error, "the log is not shown over HTTP");
    }
    files::handlers::bind(&mut routes, files);
    toggle::bind(&mut routes, log);
    numbers.bind(&mut routes);
    system::bind(&mut routes, numbers);
    version::bind(&mut routes);
    profiler::bind(&mut routes);
    help::bind(&mut routes);
    routes
}

/// Decodes messages in the order sent, in their connection's task, and queues them for the core.
fn inbox_of(core: Core) -> impl Fn(IncomingMessage) + Send + Sync + 'static {
    move |incoming: IncomingMessage| {
        let IncomingMessage { name, from, peer, body, charge, .. } = incoming;
        let Some(from) = from else {
            debug!(%peer, name, "dropped a message whose sender is no id@ip:port");
            return;
        };
        match Message::decode(&name, &body) {
            Ok(message) => {
                core.tell_charged(Event::Message { from, peer, message: Box::new(message) }, charge);
            }
            Err(error) => warn!(%peer, %from, name, %error, "dropped a message"),
        }
    }
}
