//! The rows of flags that an agent acts on, and what their values must fulfil.

use std::time::Duration;

use crate::agent::containerizer::logger;
use crate::coordination::url::Url;
use crate::flags::common;
use crate::flags::{Flag, Kind, Value};

pub const ACTED_ON: &[Flag] = &[
    Flag::with("port", Kind::Port, "5051", "Port to listen on"),
    Flag::unset(
        "master",
        Kind::Text,
        "May be one of:\n  \
         zk://host1:port1,host2:port2,.../path\n  \
         zk://username:password@host1:port1,host2:port2,.../path\n  \
         file://path/to/file (where file contains one of the above)\n  \
         host:port",
    )
    .check(master_address)
    .secret(),
    Flag::unset(
        "resources",
        Kind::Text,
        "Total consumable resources per slave, in\n\
         the form 'name(role):value;name(role):value...'.",
    ),
    Flag::unset("attributes", Kind::Text, "Attributes of machine"),
    Flag::with(
        "default_role",
        Kind::Text,
        "*",
        "Any resources in the --resources flag that\n\
         omit a role, as well as any resources that\n\
         are not present in --resources but that are\n\
         automatically detected, will be assigned to\n\
         this role.",
    ),
    Flag::with(
        "work_dir",
        Kind::Text,
        "/tmp/mesos",
        "Where to place framework work directories\n\
         ",
    ),
    Flag::unset(
        "runtime_dir",
        Kind::Text,
        "Directory of what must outlive the agent but not a reboot:\n\
         /var/run/mesos where that can be written, else /tmp/mesos/runtime.",
    ),
    Flag::with("containerizers", Kind::Text, "mesos", "What containers are made by: mesos.")
        .check(mesos_containerizer),
    Flag::with(
        "executor_registration_timeout",
        Kind::Duration,
        "1mins",
        "Amount of time to wait for an executor\n\
         to register with the slave before considering it hung and\n\
         shutting it down (e.g., 60secs, 3mins, etc)",
    ),
    Flag::with(
        "executor_shutdown_grace_period",
        Kind::Duration,
        "5secs",
        "Amount of time to wait for an executor\n\
         to shut down (e.g., 60secs, 3mins, etc)",
    ),
    Flag::unset(
        "executor_environment_variables",
        Kind::Json,
        "The environment of executors and so of tasks, as a JSON object of texts.\n\
         The agent's own environment when not set.",
    )
    .check(object_of_texts),
    Flag::with(
        "hadoop_home",
        Kind::Text,
        "",
        "Where to find Hadoop installed (for\n\
         fetching framework executors from HDFS)\n\
         (no default, look for HADOOP_HOME in\n\
         environment or find hadoop on PATH)",
    ),
    Flag::with(
        "fetcher_cache_size",
        Kind::Bytes,
        "2GB",
        "Size of the cache of fetched files; with 0 nothing is cached.",
    ),
    Flag::with(
        "fetcher_cache_dir",
        Kind::Text,
        "/tmp/mesos/fetch",
        "Directory of the cache of fetched files, in a folder for each agent\n\
         that is emptied when the agent starts.",
    ),
    Flag::with("fetcher_stall_timeout", Kind::Duration, "1mins", "How long a download may stand still."),
    Flag::with("frameworks_home", Kind::Text, "", "Directory prepended to relative executor URIs"),
    Flag::with(
        "gc_delay",
        Kind::Duration,
        "1weeks",
        "Maximum amount of time to wait before cleaning up\n\
         executor directories (e.g., 3days, 2weeks, etc).\n\
         Note that this delay may be shorter depending on\n\
         the available disk usage.",
    ),
    Flag::with(
        "gc_disk_headroom",
        Kind::Float,
        "0.1",
        "The part of the disk that is kept free by collecting sandboxes early.",
    )
    .check(zero_to_one),
    Flag::with(
        "disk_watch_interval",
        Kind::Duration,
        "1mins",
        "Periodic time interval (e.g., 10secs, 2mins, etc)\n\
         to check the disk usage",
    ),
    Flag::with(
        "resource_monitoring_interval",
        Kind::Duration,
        "5secs",
        "Periodic time interval for monitoring executor\n\
         resource usage (e.g., 10secs, 1min, etc)",
    ),
    Flag::unset(
        "container_logger",
        Kind::Text,
        "Where the output of containers goes: sandbox (stdout and stderr grow), which is\n\
         the default, or logrotate (they do not, and older ones are kept beside them),\n\
         with these defaults: logrotate,max_stdout_size=10MB,max_stderr_size=10MB,rotate=5",
    )
    .check(container_logger),
    Flag::with(
        "switch_user",
        Kind::Bool,
        "true",
        "Whether to run tasks as the user who\n\
         submitted them rather than the user running\n\
         the slave (requires setuid permission)",
    ),
    Flag::with(
        "registration_backoff_factor",
        Kind::Duration,
        "1secs",
        "How long the agent waits at most before it first registers with a master;\n\
         doubled with each try, up to 1mins.",
    )
    .check(at_most_a_minute),
    Flag::with(
        "max_completed_executors_per_framework",
        Kind::Count,
        "150",
        "How many completed executors of a framework are remembered.",
    ),
    Flag::with(
        "recover",
        Kind::Text,
        "reconnect",
        "Whether to recover status updates and reconnect with old executors.\n\
         Valid values for 'recover' are\n\
         reconnect: Reconnect with any old live executors.\n\
         cleanup  : Kill any old live executors and exit.\n           \
         Use this option when doing an incompatible slave\n           \
         or executor upgrade!).\n\
         NOTE: If checkpointed slave doesn't exist, no recovery is performed\n      \
         and the slave registers with the master as a new slave.",
    )
    .check(reconnect_or_cleanup),
    Flag::with(
        "checkpoint",
        Kind::Bool,
        "true",
        "Whether to checkpoint slave and frameworks information\n\
         to disk. This enables a restarted slave to recover\n\
         status updates and reconnect with (--recover=reconnect) or\n\
         kill (--recover=kill) old executors",
    ),
    Flag::with(
        "strict",
        Kind::Bool,
        "false",
        "If strict=true, any and all recovery errors are considered fatal.\n\
         If strict=false, any expected errors (e.g., slave cannot recover\n\
         information about an executor, because the slave died right before\n\
         the executor registered.) during recovery are ignored and as much\n\
         state as possible is recovered.\n\
         ",
    ),
    Flag::with(
        "recovery_timeout",
        Kind::Duration,
        "15mins",
        "How long an executor waits for a restarted agent before it ends itself.",
    ),
    Flag::with(
        "reconfiguration_policy",
        Kind::Text,
        "equal",
        "What may differ from before when an agent is restarted: equal or additive.",
    )
    .check(a_policy),
    Flag::with(
        "executor_reregistration_timeout",
        Kind::Duration,
        "2secs",
        "How long an executor may take to come back to a restarted agent; at most 15secs.",
    )
    .check(at_most_15_seconds),
    Flag::unset(
        "executor_reregistration_retry_interval",
        Kind::Duration,
        "How often a restarted agent calls a v0 executor.",
    ),
];

fn mesos_containerizer(value: &Value) -> Result<(), String> {
    let text = value.to_string();
    match text.split(',').map(str::trim).find(|name| *name != "mesos") {
        None => Ok(()),
        Some("docker") => Err("expected mesos: the docker containerizer is not there yet".to_owned()),
        Some(other) => Err(format!("expected mesos, got '{other}'")),
    }
}

/// The old help names `kill` where `cleanup` was always meant.
fn reconnect_or_cleanup(value: &Value) -> Result<(), String> {
    common::one_of(value, &["reconnect", "cleanup"])
}

fn container_logger(value: &Value) -> Result<(), String> {
    logger::parse(&value.to_string()).map(|_| ())
}

fn master_address(value: &Value) -> Result<(), String> {
    let text = value.to_string();
    Url::parse(&text).map(|_| ()).map_err(|why| why.to_string())
}

fn object_of_texts(value: &Value) -> Result<(), String> {
    match value {
        Value::Json(serde_json::Value::Object(map)) if map.values().all(serde_json::Value::is_string) => {
            Ok(())
        }
        _ => Err("expected a JSON object that holds only texts".to_owned()),
    }
}

fn at_most(value: &Value, limit: Duration, name: &str) -> Result<(), String> {
    match value {
        Value::Duration(time) if *time <= limit => Ok(()),
        other => Err(format!("expected at most {name}, got '{other}'")),
    }
}

/// The longest time between two tries; the first must not be longer.
fn at_most_a_minute(value: &Value) -> Result<(), String> {
    at_most(value, Duration::from_secs(60), "1mins")
}

fn at_most_15_seconds(value: &Value) -> Result<(), String> {
    at_most(value, Duration::from_secs(15), "15secs")
}

fn zero_to_one(value: &Value) -> Result<(), String> {
    match value {
        Value::Float(number) if (0.0..=1.0).contains(number) => Ok(()),
        other => Err(format!("expected a number from 0 to 1, got '{other}'")),
    }
}

fn a_policy(value: &Value) -> Result<(), String> {
    common::one_of(value, &["equal", "additive"])
}
