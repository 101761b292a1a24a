//! The flags of the agent: the table, and the struct that it is read into.
//!
//! Source: slave/flags.cpp 1.11; texts and defaults of flags that the tutorial shows are the tutorial's.

mod absent;
mod acted_on;
mod ignored;
mod isolation;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::core::state::{ReconfigurationPolicy, Recover};
use crate::agent::containerizer::isolators::{self, Launcher};
use crate::coordination::url::Url;
use crate::flags::common::{self, Address, FaultDomain, Logging};
use crate::flags::{Error, Loaded, Table, Value, Values, load};
use crate::resources::{Resources, attributes, parse, roles};

/// Every agent flag of 0.15 and 1.11.
pub fn table() -> Table {
    Table::of(&[
        acted_on::ACTED_ON,
        isolation::ISOLATION,
        ignored::IGNORED,
        absent::ABSENT,
        common::LOGGING,
        common::ADDRESS,
        common::COORDINATION,
        common::ABSENT,
    ])
}

/// What an agent runs with.
#[derive(Clone, Debug)]
pub struct Flags {
    pub address: Address,
    pub logging: Logging,
    /// Where the leading master is found.
    pub master: Url,
    pub zk_session_timeout: Duration,
    /// As given; what is not named in it is detected. `resources` reads it.
    pub resources: Option<String>,
    /// As given; `resources` reads it.
    pub attributes: Option<String>,
    pub default_role: String,
    pub work_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// `posix/cpu` and the like, in the order given; `process` and `posix` are kept as they are.
    pub isolation: Vec<String>,
    pub executor_registration_timeout: Duration,
    pub executor_reregistration_timeout: Duration,
    pub executor_shutdown_grace_period: Duration,
    pub launcher: Launcher,
    /// The environment of executors; none: the agent's own.
    pub executor_environment_variables: Option<BTreeMap<String, String>>,
    pub executor_reregistration_retry_interval: Option<Duration>,
    pub recovery_timeout: Duration,
    pub checkpoint: bool,
    pub strict: bool,
    pub recover: Recover,
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// Stands before relative URIs.
    pub frameworks_home: Option<PathBuf>,
    /// Where the Hadoop client is; `None`: what the environment says.
    pub hadoop_home: Option<PathBuf>,
    /// In bytes; 0: nothing is cached.
    pub fetcher_cache_size: u64,
    pub fetcher_cache_dir: PathBuf,
    pub fetcher_stall_timeout: Duration,
    /// Whether tasks run as their framework's or command's user.
    pub switch_user: bool,
    pub registration_backoff_factor: Duration,
    pub http_heartbeat_interval: Duration,
    /// Where the output of containers goes; `containerizer::logger` reads it.
    pub container_logger: String,
    /// What containers use is measured at most this often.
    pub resource_monitoring_interval: Duration,
    /// How long sandboxes are kept; less as the disk fills up.
    pub gc_delay: Duration,
    /// The part of the disk that is to be free, from 0 to 1.
    pub gc_disk_headroom: f64,
    pub disk_watch_interval: Duration,
    pub max_completed_executors_per_framework: u64,
    pub domain: Option<FaultDomain>,
    /// Everything, for `/flags` and for `Values::warnings`.
    pub values: Values,
}

/// Why an agent without `--master` does not start.
pub const NO_MASTER: &str =
    "has no value, expected host:port of a master, zk://host:port,…/path or etcd://host:port,…/path";

impl Flags {
    pub fn from_values(mut values: Values) -> Result<Flags, Error> {
        let Some(master) = values.text("master") else {
            return Err(Error::invalid("master", NO_MASTER));
        };
        let master = Url::parse(&master).map_err(|why| Error::invalid("master", why))?;
        let runtime_dir = values.text("runtime_dir").map_or_else(default_runtime_dir, PathBuf::from);
        if let Some((row, _)) = table().find("runtime_dir") {
            values.settle(row, Value::Text(runtime_dir.display().to_string()));
        }
        can_be_read(&values)?;
        let launcher = isolation::settle_launcher(&mut values);
        Ok(Flags {
            address: Address::from_values(&values)?,
            logging: Logging::from_values(&values),
            master,
            zk_session_timeout: values.duration("zk_session_timeout"),
            resources: values.text("resources"),
            attributes: values.text("attributes"),
            default_role: values.text("default_role").unwrap_or_else(|| "*".to_owned()),
            work_dir: work_dir(&values)?,
            runtime_dir,
            isolation: values.list("isolation"),
            launcher,
            executor_registration_timeout: values.duration("executor_registration_timeout"),
            executor_reregistration_timeout: values.duration("executor_reregistration_timeout"),
            executor_shutdown_grace_period: values.duration("executor_shutdown_grace_period"),
            executor_environment_variables: texts(&values, "executor_environment_variables"),
            executor_reregistration_retry_interval: values
                .maybe_duration("executor_reregistration_retry_interval"),
            recovery_timeout: values.duration("recovery_timeout"),
            checkpoint: values.bool("checkpoint"),
            strict: values.bool("strict"),
            recover: match values.text("recover").as_deref() {
                Some("cleanup") => Recover::Cleanup,
                _ => Recover::Reconnect,
            },
            reconfiguration_policy: match values.text("reconfiguration_policy").as_deref() {
                Some("additive") => ReconfigurationPolicy::Additive,
                _ => ReconfigurationPolicy::Equal,
            },
            frameworks_home: values.text("frameworks_home").map(PathBuf::from),
            hadoop_home: values.text("hadoop_home").filter(|path| !path.is_empty()).map(PathBuf::from),
            fetcher_cache_size: values.bytes("fetcher_cache_size"),
            fetcher_cache_dir: values.text("fetcher_cache_dir").map(PathBuf::from).unwrap_or_default(),
            fetcher_stall_timeout: values.duration("fetcher_stall_timeout"),
            switch_user: values.bool("switch_user"),
            registration_backoff_factor: values.duration("registration_backoff_factor"),
            http_heartbeat_interval: values.duration("http_heartbeat_interval"),
            container_logger: values.text("container_logger").unwrap_or_else(|| "sandbox".to_owned()),
            resource_monitoring_interval: values.duration("resource_monitoring_interval"),
            gc_delay: values.duration("gc_delay"),
            gc_disk_headroom: values.float("gc_disk_headroom"),
            disk_watch_interval: values.duration("disk_watch_interval"),
            max_completed_executors_per_framework: values.count("max_completed_executors_per_framework"),
            domain: FaultDomain::from_values(&values),
            values,
        })
    }

    /// What isolators are made of.
    pub fn isolators(&self) -> isolators::Settings {
        isolation::settings(self)
    }

    /// The flags of an agent that was started with these arguments and an empty environment.
    pub fn from_args(args: &[&str]) -> Result<Flags, Error> {
        match load(&table(), args.iter().map(OsString::from).collect(), Vec::new())? {
            Loaded::Run(values) => Flags::from_values(values),
            Loaded::Help | Loaded::Version => {
                Err(Error::Contradiction("expected flags to run with, not --help or --version".to_owned()))
            }
        }
    }

    /// Defaults on loopback with any free port, a master that is not there, and files below `work_dir`.
    pub fn for_tests(work_dir: &Path) -> Flags {
        let mut flags = Flags::from_args(&[
            "--master=127.0.0.1:5050",
            "--ip=127.0.0.1",
            "--port=0",
            "--hostname=localhost",
        ])
        .expect("the defaults of the table are valid");
        flags.work_dir = work_dir.to_owned();
        flags.runtime_dir = work_dir.join("run");
        flags
    }
}

/// Whether what stays text here means something: whoever reads it later cannot name the flag.
fn can_be_read(values: &Values) -> Result<(), Error> {
    isolation::can_be_read(values)?;
    let role = values.text("default_role").unwrap_or_else(|| "*".to_owned());
    roles::validate(&role).map_err(|why| Error::invalid("default_role", why))?;
    let resources = values.text("resources").unwrap_or_default();
    parse::parse_list(&resources, &role)
        .and_then(|list| Resources::from_protos(&list))
        .map_err(|why| Error::invalid("resources", why))?;
    let attributes = values.text("attributes").unwrap_or_default();
    attributes::parse(&attributes).map_err(|why| Error::invalid("attributes", why))?;
    Ok(())
}

/// Source: the default of `runtime_dir`, slave/flags.cpp 1.11.
fn default_runtime_dir() -> PathBuf {
    match access("/var/run", AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => PathBuf::from("/var/run/mesos"),
        Err(_) => PathBuf::from("/tmp/mesos/runtime"),
    }
}

/// Made absolute: executors are started in their sandboxes, where a relative path means another place.
fn work_dir(values: &Values) -> Result<PathBuf, Error> {
    let Some(text) = values.text("work_dir") else {
        return Err(Error::invalid("work_dir", "expected a directory"));
    };
    std::path::absolute(text).map_err(|e| Error::invalid("work_dir", e))
}

fn texts(values: &Values, name: &str) -> Option<BTreeMap<String, String>> {
    let json = values.maybe_json(name)?;
    let pairs = json.as_object()?.iter();
    Some(pairs.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect())
}
