//! The flags of the master: the table, and the struct that it is read into.
//!
//! Source: master/flags.cpp 1.11; texts and defaults of flags that the tutorial shows are the tutorial's.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::coordination::url::Url;
use crate::flags::common::{self, Address, FaultDomain, Logging};
use crate::flags::{Error, Loaded, Table, Value, Values, load};
use crate::registry::store::Patience;
use crate::resources::roles;

/// Every master flag of 0.15 and 1.11.
pub fn table() -> Table {
    Table::of(&[
        rows::MASTER,
        rows::ABSENT,
        common::LOGGING,
        common::ADDRESS,
        common::COORDINATION,
        common::ABSENT,
    ])
}

/// What the master runs with.
#[derive(Clone, Debug)]
pub struct Flags {
    pub address: Address,
    pub logging: Logging,
    pub cluster: Option<String>,
    /// Where masters elect a leader; none: this one stands alone.
    pub zk: Option<Url>,
    pub zk_session_timeout: Duration,
    pub allocation_interval: Duration,
    pub role_sorter: Sorter,
    pub framework_sorter: Sorter,
    /// The roles that exist; none: any.
    pub roles: Option<BTreeSet<String>>,
    /// Weights above zero of some roles; the others' is 1.
    pub weights: BTreeMap<String, f64>,
    /// A file with a host name a line: only these agents' resources are offered. None: all agents'.
    pub whitelist: Option<PathBuf>,
    /// `host` or `host:port` of the agents that may register. None: any.
    pub slaves: Option<BTreeSet<String>>,
    pub root_submissions: bool,
    pub offer_timeout: Option<Duration>,
    pub agent_ping_timeout: Duration,
    pub max_agent_ping_timeouts: u64,
    pub agent_reregister_timeout: Duration,
    pub max_completed_frameworks: u64,
    pub max_completed_tasks_per_framework: u64,
    pub max_unreachable_tasks_per_framework: u64,
    pub max_operator_event_stream_subscribers: u64,
    /// Resource quantities, `cpus:0.01|mem:32`: what is less in all of them is not offered.
    pub min_allocatable_resources: String,
    pub fair_sharing_excluded_resource_names: BTreeSet<String>,
    pub filter_gpu_resources: bool,
    pub publish_per_framework_metrics: bool,
    /// Files of the web UI; none: those inside the binary.
    pub webui_dir: Option<PathBuf>,
    pub registry: RegistryPlace,
    pub registry_patience: Patience,
    /// The most of the known agents that a new leader may remove for not returning; of 1.
    pub recovery_agent_removal_limit: f64,
    /// How far apart agents become unreachable, at least; none: as they come.
    pub agent_removal_interval: Option<Duration>,
    pub registry_gc_interval: Duration,
    pub registry_max_agent_age: Duration,
    pub registry_max_agent_count: u64,
    pub domain: Option<FaultDomain>,
    /// Everything, for `/flags` and for `Values::warnings`.
    pub values: Values,
}

/// Where a registry is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryPlace {
    InMemory,
    /// In a database below this folder.
    Local(PathBuf),
    /// Beside the election, at the URL of `--zk`.
    Ensemble,
}

/// How the allocator orders roles, or frameworks of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorter {
    Drf,
    Random,
}

impl Flags {
    pub fn from_values(mut values: Values) -> Result<Flags, Error> {
        let mut roles = values.set("roles");
        if let Some(roles) = &mut roles {
            roles.insert("*".to_owned());
            for role in roles.iter() {
                roles::validate(role).map_err(|why| Error::invalid("roles", why))?;
            }
        }
        let weights = weights(&values)?;
        let unknown = |role: &&String| roles.as_ref().is_some_and(|roles| !roles.contains(*role));
        if let Some(role) = weights.keys().find(unknown) {
            return Err(Error::invalid("weights", format!("role '{role}' is not among those of 'roles'")));
        }
        let zk = ensemble(&values)?;
        let registry = registry(&mut values, zk.as_ref())?;
        let limit = values.text("recovery_agent_removal_limit").unwrap_or_default();
        let interval = values.text("agent_removal_rate_limit").map(|text| rows::removal_interval(&text));
        Ok(Flags {
            address: Address::from_values(&values)?,
            logging: Logging::from_values(&values),
            cluster: values.text("cluster"),
            zk,
            zk_session_timeout: values.duration("zk_session_timeout"),
            allocation_interval: values.duration("allocation_interval"),
            role_sorter: sorter(&values, "role_sorter"),
            framework_sorter: sorter(&values, "framework_sorter"),
            roles,
            weights,
            whitelist: path_or_everyone(&values, "whitelist"),
            slaves: values.set("slaves").filter(|slaves| !slaves.contains("*")),
            root_submissions: values.bool("root_submissions"),
            offer_timeout: values.maybe_duration("offer_timeout"),
            agent_ping_timeout: values.duration("agent_ping_timeout"),
            max_agent_ping_timeouts: values.count("max_agent_ping_timeouts"),
            agent_reregister_timeout: values.duration("agent_reregister_timeout"),
            max_completed_frameworks: values.count("max_completed_frameworks"),
            max_completed_tasks_per_framework: values.count("max_completed_tasks_per_framework"),
            max_unreachable_tasks_per_framework: values.count("max_unreachable_tasks_per_framework"),
            max_operator_event_stream_subscribers: values.count("max_operator_event_stream_subscribers"),
            min_allocatable_resources: values.text("min_allocatable_resources").unwrap_or_default(),
            fair_sharing_excluded_resource_names: values
                .set("fair_sharing_excluded_resource_names")
                .unwrap_or_default(),
            filter_gpu_resources: values.bool("filter_gpu_resources"),
            publish_per_framework_metrics: values.bool("publish_per_framework_metrics"),
            webui_dir: values.text("webui_dir").filter(|_| values.is_set("webui_dir")).map(PathBuf::from),
            registry,
            registry_patience: Patience {
                fetch: values.duration("registry_fetch_timeout"),
                store: values.duration("registry_store_timeout"),
            },
            recovery_agent_removal_limit: rows::percentage(&limit)
                .map_err(|why| Error::invalid("recovery_agent_removal_limit", why))?,
            agent_removal_interval: interval
                .transpose()
                .map_err(|why| Error::invalid("agent_removal_rate_limit", why))?,
            registry_gc_interval: values.duration("registry_gc_interval"),
            registry_max_agent_age: values.duration("registry_max_agent_age"),
            registry_max_agent_count: values.count("registry_max_agent_count"),
            domain: FaultDomain::from_values(&values),
            values,
        })
    }

    /// The flags of a master that was started with these arguments and an empty environment.
    pub fn from_args(args: &[&str]) -> Result<Flags, Error> {
        match load(&table(), args.iter().map(OsString::from).collect(), Vec::new())? {
            Loaded::Run(values) => Flags::from_values(values),
            Loaded::Help | Loaded::Version => {
                Err(Error::Contradiction("expected flags to run with, not --help or --version".to_owned()))
            }
        }
    }

    /// Defaults on loopback with any free port.
    pub fn for_tests() -> Flags {
        Flags::from_args(&["--ip=127.0.0.1", "--port=0", "--hostname=localhost"])
            .expect("the defaults of the table are valid")
    }
}

/// What existing installations pass for a replicated log is said to have another meaning, once.
fn registry(values: &mut Values, zk: Option<&Url>) -> Result<RegistryPlace, Error> {
    let chosen = values.text("registry").filter(|chosen| chosen != "replicated_log");
    let work_dir = values.text("work_dir").map(PathBuf::from);
    let needs = |registry: &str, what: &str| {
        Error::Contradiction(format!("--registry={registry} needs {what}, where to keep it"))
    };
    let place = match (chosen.as_deref(), work_dir, zk) {
        (Some("in_memory"), ..) | (None, None, None) => RegistryPlace::InMemory,
        (Some("zookeeper"), _, Some(Url::ZooKeeper(_))) => RegistryPlace::Ensemble,
        (Some("zookeeper"), ..) => return Err(needs("zookeeper", "--zk=zk://host:port,…/path")),
        (Some("etcd"), _, Some(Url::Etcd(..))) => RegistryPlace::Ensemble,
        (Some("etcd"), ..) => return Err(needs("etcd", "--zk=etcd://host:port,…/path")),
        (None, _, Some(_)) => RegistryPlace::Ensemble,
        (_, Some(work_dir), _) => RegistryPlace::Local(work_dir),
        (_, None, _) => return Err(needs("local", "--work_dir")),
    };
    if zk.is_some() && place != RegistryPlace::Ensemble {
        values.warn(
            "with this --registry each master remembers on its own: one that is elected after another knows \
             nothing of the agents that the other had"
                .to_owned(),
        );
    }
    let of_log = [
        ("registry=replicated_log", chosen.is_none() && values.text("registry").is_some()),
        ("quorum", values.is_set("quorum")),
        ("log_auto_initialize", values.is_set("log_auto_initialize")),
    ];
    let of_log: Vec<String> =
        of_log.iter().filter(|(_, given)| *given).map(|(name, _)| format!("--{name}")).collect();
    if !of_log.is_empty() {
        let used = match &place {
            RegistryPlace::InMemory => {
                "in memory (there is no --work_dir), and end with this master".to_owned()
            }
            RegistryPlace::Local(work_dir) => format!("in a database in {}", work_dir.display()),
            RegistryPlace::Ensemble => "where masters elect their leader, at --zk".to_owned(),
        };
        values.warn(format!("{}: there is no replicated log here; facts are kept {used}", of_log.join(" ")));
    }
    let name = match (&place, zk) {
        (RegistryPlace::InMemory, _) => "in_memory",
        (RegistryPlace::Local(_), _) => "local",
        (RegistryPlace::Ensemble, Some(Url::Etcd(..))) => "etcd",
        (RegistryPlace::Ensemble, _) => "zookeeper",
    };
    if let Some((row, _)) = table().find("registry") {
        values.settle(row, Value::Text(name.to_owned()));
    }
    Ok(place)
}

fn ensemble(values: &Values) -> Result<Option<Url>, Error> {
    let text = values.text("zk").filter(|text| !text.trim().is_empty());
    let url = text.map(|text| Url::parse_ensemble(&text)).transpose();
    url.map_err(|why| Error::invalid("zk", why))
}

fn sorter(values: &Values, name: &str) -> Sorter {
    match values.text(name).as_deref() {
        Some("random") => Sorter::Random,
        _ => Sorter::Drf,
    }
}

/// `*` is everyone; `file://` may stand before the path.
fn path_or_everyone(values: &Values, name: &str) -> Option<PathBuf> {
    let text = values.text(name).filter(|text| text != "*")?;
    Some(PathBuf::from(text.strip_prefix("file://").unwrap_or(&text)))
}

fn weights(values: &Values) -> Result<BTreeMap<String, f64>, Error> {
    let mut weights = BTreeMap::new();
    for item in values.list("weights") {
        let wrong = |why: &str| Error::invalid("weights", format!("'{item}' {why}"));
        let (role, weight) = item.split_once('=').ok_or_else(|| wrong("is not of the form role=weight"))?;
        let (role, weight) = (role.trim(), weight.trim().parse::<f64>());
        roles::validate(role).map_err(|why| wrong(&format!("names no role: {why}")))?;
        match weight {
            Ok(weight) if weight.is_finite() && weight > 0.0 => {
                if weights.insert(role.to_owned(), weight).is_some() {
                    return Err(wrong("is a second weight of its role"));
                }
            }
            _ => return Err(wrong("has no weight above zero")),
        }
    }
    Ok(weights)
}
