//! Puts a master together: listener, core's loop, allocator's thread, endpoints.

#![expect(clippy::disallowed_methods, reason = "a shell: it starts tasks and reads the whitelist")]

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::core::{Event, State};
use super::flags::{Flags, RegistryPlace};
use super::http::{self, Site, Tools};
use super::registrar::Measures;
use super::run::{self, Core, Shell};
use super::seat::{self, Seat};
use super::{allocator, events, metrics};
use crate::base::build;
use crate::base::upid::Upid;
use crate::coordination::lease::Lease;
use crate::coordination::url::Url;
use crate::coordination::{Term, Withdrawal, stand};
use crate::files::{self, Files};
use crate::flags;
use crate::http::route::Routes;
use crate::logging::{Log, toggle};
use crate::metrics::Metrics;
use crate::process::clock::Clock;
use crate::process::host::{self, Advertised};
use crate::process::link::Links;
use crate::process::server::{self, IncomingMessage, Limits, Processes};
use crate::process::{help, profiler, system, version};
use crate::proto::domain_info::FaultDomain;
use crate::proto::domain_info::fault_domain::{RegionInfo, ZoneInfo};
use crate::proto::master_info::{Capability, capability};
use crate::proto::{Address, DomainInfo, MasterInfo, Message};
use crate::registry::store::{Elected, Etcd, Local, Memory, Store, ZooKeeper};

/// How often `--whitelist` is read. Source: `WHITELIST_WATCH_INTERVAL`, 1.11.
const WHITELIST_INTERVAL: Duration = Duration::from_secs(5);

/// The largest whitelist that is read: ten million names.
const WHITELIST_LIMIT: u64 = 256 << 20;

/// The id of the master's process, and the name before the number of those that agents' pongs go to.
const MASTER: &str = "master";
const OBSERVER: &str = "slave-observer";

/// Those that clients which authenticate answer to.
const SESSION: &str = "crammd5-authenticator-session";

/// Why a master could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Flags(#[from] flags::Error),
    #[error("starting a thread")]
    Thread(#[source] io::Error),
    #[error("Flag 'whitelist': reading {path}")]
    Whitelist { path: PathBuf, source: io::Error },
}

/// A master that serves.
pub struct Running {
    /// As others reach it.
    pub address: SocketAddr,
    /// Why the master has to end, once it has.
    pub ended: oneshot::Receiver<String>,
    /// Where it listens.
    pub listening: SocketAddr,
    /// How to leave the election, if it stands in one.
    pub withdrawal: Option<Withdrawal>,
}

/// Starts a master; it serves until the process ends, with `--zk` as a standby until it is elected. Must be called inside a tokio runtime.
pub async fn start(flags: Flags, log: &Log) -> Result<Running, StartError> {
    for warning in flags.values.warnings() {
        warn!("{warning}");
    }
    let flags = Arc::new(flags);
    let options = allocator::options(&flags)?;
    let wanted = host::bind_address(&flags.address);
    let bind = |source| StartError::Bind { address: wanted, source };
    let listener = server::bind(wanted).map_err(bind)?;
    let listening = listener.local_addr().map_err(bind)?;
    let address_flags = flags.address.clone();
    let advertised = tokio::task::spawn_blocking(move || Advertised::new(&address_flags, listening.port()));
    let advertised = advertised.await.map_err(|error| StartError::Thread(io::Error::other(error)))?;

    let info = Arc::new(master_info(&flags, &advertised));
    let clock = Clock::new();
    let (core, inbox) = run::channel();
    let numbers = Metrics::default();
    let calls = allocator::start(options, clock, core.clone(), &numbers).map_err(StartError::Thread)?;
    let (links, mut exits) = Links::new();
    let pid = Upid::new(MASTER, advertised.address);
    let most = usize::try_from(flags.max_operator_event_stream_subscribers).unwrap_or(usize::MAX);
    let (publisher, hub, happenings) = events::channel(&info.id, most, events::Limits::default());
    events::start(&hub, happenings).map_err(StartError::Thread)?;
    let measures = Measures::of(&numbers);
    let started = clock.now();
    let (state_flags, state_info) = (flags.clone(), MasterInfo::clone(&info));
    let whitelist = flags.whitelist.as_deref().map(read_whitelist).transpose();
    let whitelist = whitelist.map_err(|source| StartError::Whitelist {
        path: flags.whitelist.clone().unwrap_or_default(),
        source,
    })?;
    // Before anything else, so that nobody is offered what is not on it.
    if let Some(hosts) = &whitelist {
        core.tell(Event::Whitelist(Some(hosts.clone())));
    }
    let (shell_calls, shell_flags, shell_info) = (calls.clone(), flags.clone(), info.clone());
    let runtime = Handle::current();
    let lead = move |lease: Lease, term: Option<Term>| {
        let shell = Shell {
            clock,
            links,
            calls: shell_calls,
            store: store(&shell_flags, term, runtime)?,
            patience: shell_flags.registry_patience,
            measures,
            info: shell_info,
            events: publisher,
            lease,
            pid,
        };
        let make = move |registry: &_, now, out: &mut _| {
            State::new(state_flags, state_info, registry, started, now, out)
        };
        run::start(inbox, shell, make)
    };
    let seat = Seat::empty(info.clone());
    let (ended, withdrawal) = match &flags.zk {
        None => {
            let ended = lead(Lease::forever(), None).map_err(StartError::Thread)?;
            seat.take();
            (ended, None)
        }
        Some(url) => {
            let candidate = stand(url, flags.zk_session_timeout, &info);
            let (lease, core, seat) = (candidate.lease, core.clone(), seat.clone());
            let (end, ended) = oneshot::channel();
            tokio::spawn(async move {
                let lead = |term| lead(lease, Some(term));
                let why = seat::hold(candidate.reports, seat, core, lead).await;
                // The process is about to end anyway if nobody waits.
                let _ = end.send(why);
            });
            (ended, Some(candidate.withdrawal))
        }
    };

    let exited = core.clone();
    tokio::spawn(async move {
        while let Some(exit) = exits.recv().await {
            exited.tell(Event::Exited(exit.address));
        }
    });
    if let (Some(path), Some(hosts)) = (flags.whitelist.clone(), whitelist) {
        tokio::spawn(watch_whitelist(path, hosts, core.clone()));
    }

    let processes = Processes::default();
    let inbox = inbox_of(core.clone(), seat.clone());
    processes.add(MASTER, inbox.clone());
    processes.add_family(OBSERVER, inbox.clone());
    processes.add_family(SESSION, inbox);
    let tools = Tools { files: Files::default(), log: log.clone(), metrics: numbers, events: hub };
    let site = Site::new(core.clone(), flags.clone(), info.clone(), seat.clone(), tools.clone())
        .map_err(StartError::Thread)?;
    metrics::provide(
        &tools.metrics,
        metrics::Asked { core: core.clone(), calls, clock, started, flags, seat, info: info.clone() },
    );
    let routes = routes(&site, &tools);
    tokio::spawn(server::serve(listener, processes, routes, Limits::default()));
    info!(id = info.id, pid = info.pid, %listening, hostname = info.hostname, "master serves");
    Ok(Running { address: advertised.address, ended, listening, withdrawal })
}

/// Where this master's registry is. One in an ensemble is reached in the session that this master leads by.
fn store(flags: &Flags, term: Option<Term>, runtime: Handle) -> io::Result<Box<dyn Store>> {
    Ok(match (&flags.registry, &flags.zk, term) {
        (RegistryPlace::InMemory, ..) => Box::new(Memory),
        (RegistryPlace::Local(work_dir), ..) => Box::new(Local::new(work_dir)),
        (RegistryPlace::Ensemble, Some(Url::ZooKeeper(place)), Some(Term::ZooKeeper { client, .. })) => {
            Box::new(ZooKeeper::new(runtime, client, place.clone()))
        }
        (
            RegistryPlace::Ensemble,
            Some(Url::Etcd(place, _)),
            Some(Term::Etcd { client, key, create_revision }),
        ) => {
            let elected = Elected { key, create_revision };
            Box::new(Etcd::new(runtime, *client, place.clone(), Some(elected)))
        }
        // Flags give `Ensemble` only with a URL of one, whose term is of its kind.
        (RegistryPlace::Ensemble, ..) => {
            return Err(io::Error::other(
                "the registry is in an ensemble that this master was not elected by",
            ));
        }
    })
}

/// What schedulers and agents are told of this master. Source: the constructor of `Master`, master.cpp 1.11.
fn master_info(flags: &Flags, advertised: &Advertised) -> MasterInfo {
    let ip = match advertised.address.ip() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(_) => std::net::Ipv4Addr::LOCALHOST,
    };
    let port = advertised.address.port();
    let domain = flags.domain.as_ref().map(|domain| DomainInfo {
        fault_domain: Some(FaultDomain {
            region: RegionInfo { name: domain.region.clone() },
            zone: ZoneInfo { name: domain.zone.clone() },
        }),
    });
    MasterInfo {
        id: uuid::Uuid::new_v4().to_string(),
        // Network order, read as a little-endian number.
        ip: u32::from_le_bytes(ip.octets()),
        port: u32::from(port),
        pid: Some(Upid::new(MASTER, advertised.address).to_string()),
        hostname: Some(advertised.hostname.clone()),
        version: Some(build::VERSION.to_owned()),
        address: Some(Address {
            hostname: Some(advertised.hostname.clone()),
            ip: Some(ip.to_string()),
            port: i32::from(port),
        }),
        domain,
        // Draining and the quotas of 1.9 are still to come.
        capabilities: vec![Capability { r#type: Some(capability::Type::AgentUpdate as i32) }],
    }
}

fn routes(site: &Site, tools: &Tools) -> Routes {
    let Tools { files, log, metrics: numbers, events } = tools;
    let mut routes = Routes::new();
    http::bind(&mut routes, site);
    if let Some(path) = log.shown_file()
        && let Err(error) = files.attach(path, "/master/log")
    {
        warn!(%error, "the log is not shown over HTTP");
    }
    files::handlers::bind(&mut routes, files);
    toggle::bind(&mut routes, log);
    let events = events.clone();
    numbers.provide(move |snapshot| {
        let followers = events.followers() as f64;
        snapshot.insert("master/operator_event_stream_subscribers".to_owned(), followers);
    });
    numbers.bind(&mut routes);
    system::bind(&mut routes, numbers);
    version::bind(&mut routes);
    profiler::bind(&mut routes);
    help::bind(&mut routes);
    routes
}

/// Decodes messages in the order sent, in their connection's task, and queues them for the core.
fn inbox_of(core: Core, seat: Seat) -> impl Fn(IncomingMessage) + Clone + Send + Sync + 'static {
    move |incoming: IncomingMessage| {
        let IncomingMessage { receiver, name, from, peer, body, charge } = incoming;
        let Some(from) = from else {
            debug!(%peer, name, "dropped a message whose sender is no id@ip:port");
            return;
        };
        if !seat.is_ours() {
            debug!(%from, name, "dropped a message: this master does not lead");
            seat.drop_message();
            return;
        }
        match Message::decode(&name, &body) {
            Ok(message) => {
                let event = Event::Message { from, peer, to: receiver.into(), message: Box::new(message) };
                core.tell_charged(event, charge);
            }
            Err(error) => warn!(%peer, %from, name, %error, "dropped a message"),
        }
    }
}

/// One hostname a line.
fn read_whitelist(path: &Path) -> io::Result<BTreeSet<String>> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(WHITELIST_LIMIT).read_to_string(&mut text)?;
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// Tells the core when the whitelist has changed. One that cannot be read stays as it was.
async fn watch_whitelist(path: PathBuf, mut known: BTreeSet<String>, core: Core) {
    loop {
        tokio::time::sleep(WHITELIST_INTERVAL).await;
        let path = path.clone();
        let shown = path.display().to_string();
        match tokio::task::spawn_blocking(move || read_whitelist(&path)).await {
            Ok(Ok(hosts)) if hosts != known => {
                info!(hosts = hosts.len(), "whitelist changed");
                known.clone_from(&hosts);
                core.tell(Event::Whitelist(Some(hosts)));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(path = shown, %error, "failed to read the whitelist"),
            Err(error) => warn!(path = shown, %error, "failed to read the whitelist"),
        }
    }
}
