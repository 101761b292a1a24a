//! The rows of the master's flags, and what their values must fulfil.

use std::time::Duration;

use crate::base::duration;
use crate::flags::common;
use crate::flags::{Flag, Kind, Value};

/// Agents bound their retries by this, so no master may give up on them earlier.
const MIN_AGENT_REREGISTER_TIMEOUT: Duration = Duration::from_secs(600);

/// Flags that a master acts on, or could be without.
pub const MASTER: &[Flag] = &[
    Flag::with(
        "allocation_interval",
        Kind::Duration,
        "1secs",
        "Amount of time to wait between performing\n \
         (batch) allocations (e.g., 500ms, 1sec, etc)",
    )
    .check(above_zero),
    Flag::with(
        "zk",
        Kind::Text,
        "",
        "ZooKeeper URL (used for leader election amongst masters)\n\
         May be one of:\n  \
         zk://host1:port1,host2:port2,.../path\n  \
         zk://username:password@host1:port1,host2:port2,.../path\n  \
         file://path/to/file (where file contains one of the above)",
    )
    .secret(),
    Flag::unset("cluster", Kind::Text, "Human readable name for the cluster,\ndisplayed in the webui"),
    Flag::with(
        "role_sorter",
        Kind::Text,
        "drf",
        "Policy to use for allocating resources between roles:\n\
         drf (weighted dominant resource fairness) or random.",
    )
    .old(&["user_sorter"])
    .old_help(
        "Policy to use for allocating resources\n\
         between users. May be one of:\n  \
         dominant_resource_fairness (drf)",
    )
    .check(a_sorter),
    Flag::with(
        "framework_sorter",
        Kind::Text,
        "drf",
        "Policy to use for allocating resources\n\
         between a given user's frameworks. Options\n\
         are the same as for user_allocator",
    )
    .check(a_sorter),
    Flag::with("port", Kind::Port, "5050", "Port to listen on"),
    Flag::unset(
        "roles",
        Kind::Text,
        "A comma seperated list of the allocation\n\
         roles that frameworks in this cluster may\n\
         belong to.",
    ),
    Flag::with("root_submissions", Kind::Bool, "true", "Can root submit frameworks?"),
    Flag::with(
        "slaves",
        Kind::Text,
        "*",
        "Initial slaves that should be\n\
         considered part of this cluster\n\
         (or if using ZooKeeper a URL)",
    )
    .check(slaves),
    Flag::with("webui_dir", Kind::Text, "/usr/local/share/mesos/webui", "Location of the webui files/assets"),
    Flag::unset(
        "weights",
        Kind::Text,
        "A comma seperated list of role/weight pairs\n\
         of the form 'role=weight,role=weight'. Weights\n\
         are used to indicate forms of priority.",
    ),
    Flag::with(
        "whitelist",
        Kind::Path,
        "*",
        "Path to a file with a list of slaves\n\
         (one per line) to advertise offers for;\n\
         should be of the form: file://path/to/file",
    ),
    Flag::unset(
        "offer_timeout",
        Kind::Duration,
        "How long a framework may hold an offer before it is rescinded.\n\
         Offers that nobody answers are held for ever when not set.",
    )
    .check(above_zero),
    Flag::with("agent_ping_timeout", Kind::Duration, "15secs", "How long an agent has to answer a ping.")
        .old(&["slave_ping_timeout"])
        .check(ping_timeout),
    Flag::with(
        "max_agent_ping_timeouts",
        Kind::Count,
        "5",
        "How many pings in a row an agent may leave unanswered before it is unreachable.",
    )
    .old(&["max_slave_ping_timeouts"])
    .check(at_least_one),
    Flag::with(
        "agent_reregister_timeout",
        Kind::Duration,
        "10mins",
        "How long an agent may take to register again after it was disconnected\n\
         or a new master was elected, before it is unreachable. At least 10mins.",
    )
    .old(&["slave_reregister_timeout"])
    .check(reregister_timeout),
    Flag::with(
        "max_completed_frameworks",
        Kind::Count,
        "50",
        "How many completed frameworks are remembered.",
    ),
    Flag::with(
        "max_completed_tasks_per_framework",
        Kind::Count,
        "1000",
        "How many completed tasks of a framework are remembered.",
    ),
    Flag::with(
        "max_unreachable_tasks_per_framework",
        Kind::Count,
        "1000",
        "How many unreachable tasks of a framework are remembered.",
    ),
    Flag::with(
        "max_operator_event_stream_subscribers",
        Kind::Count,
        "1000",
        "How many operators may follow the event stream; a further one ends the oldest.",
    ),
    Flag::with(
        "min_allocatable_resources",
        Kind::Text,
        "cpus:0.01|mem:32",
        "The least that is worth an offer: quantities with ';' between those that\n\
         must all be there, '|' between alternatives.",
    ),
    Flag::unset(
        "fair_sharing_excluded_resource_names",
        Kind::Text,
        "Comma-separated names of resources that do not count for fairness, like gpus.",
    ),
    Flag::with(
        "filter_gpu_resources",
        Kind::Bool,
        "true",
        "Whether machines with GPUs are offered only to frameworks with GPU_RESOURCES.",
    ),
    Flag::with(
        "publish_per_framework_metrics",
        Kind::Bool,
        "true",
        "Whether each active framework has metrics of its own.",
    ),
    Flag::unset(
        "registry",
        Kind::Text,
        "Where the facts of the cluster are remembered: zookeeper or etcd (beside the\n\
         election of --zk), local (a database below --work_dir) or in_memory (as long as\n\
         this process lives). Not set: the first of these that there is a flag for.\n\
         replicated_log is taken for not set.",
    )
    .check(|value| common::one_of(value, &["zookeeper", "etcd", "local", "in_memory", "replicated_log"])),
    Flag::with(
        "registry_gc_interval",
        Kind::Duration,
        "15mins",
        "How often agents that went away are looked over to be forgotten.",
    )
    .check(above_zero),
    Flag::with(
        "registry_max_agent_age",
        Kind::Duration,
        "2weeks",
        "How long an unreachable or gone agent is remembered.",
    ),
    Flag::with(
        "registry_max_agent_count",
        Kind::Count,
        "102400",
        "How many unreachable or gone agents are remembered.",
    ),
    Flag::unset("work_dir", Kind::Text, "Directory of the registry."),
    Flag::unset(
        "quorum",
        Kind::Count,
        "Has no meaning here: it belongs to Mesos's replicated log, of which there is none.",
    ),
    Flag::with("registry_fetch_timeout", Kind::Duration, "1mins", "How long reading the registry may take.")
        .check(above_zero),
    Flag::with(
        "registry_store_timeout",
        Kind::Duration,
        "20secs",
        "How long writing to the registry may take. The master ends if it takes longer.",
    )
    .check(above_zero),
    Flag::with("registry_strict", Kind::Bool, "false", "Has no meaning since Mesos 1.0.")
        .check(strict_registry),
    Flag::with(
        "log_auto_initialize",
        Kind::Bool,
        "true",
        "Has no meaning here: it belongs to Mesos's replicated log, of which there is none.",
    ),
    Flag::with(
        "recovery_agent_removal_limit",
        Kind::Text,
        "100%",
        "The most of the known agents that may be removed for not returning after a failover.\n\
         Were it more, the master ends, so that somebody looks into it. 0% to 100%.",
    )
    .old(&["recovery_slave_removal_limit"])
    .check(|value| percentage(&value.to_string()).map(drop)),
    Flag::unset(
        "agent_removal_rate_limit",
        Kind::Text,
        "The most agents that may become unreachable in a time, like 1/10mins or 2/3hrs.\n\
         Not set: each as soon as it is found to be.",
    )
    .old(&["slave_removal_rate_limit"])
    .check(|value| removal_interval(&value.to_string()).map(drop)),
    Flag::with(
        "allocator_agent_recovery_factor",
        Kind::Float,
        "0.8",
        "The part of the known agents that must have returned before offers are made.",
    )
    .harmless("only quotas make a new leader wait with its offers, and there are none yet"),
    Flag::with(
        "allocator_recovery_timeout",
        Kind::Duration,
        "10mins",
        "How long a new leader waits for agents at most before it makes offers.",
    )
    .harmless("only quotas make a new leader wait with its offers, and there are none yet"),
    Flag::with("authentication_v0_timeout", Kind::Duration, "15secs", "How long authentication may take.")
        .harmless("authentication is not there yet"),
    Flag::with(
        "offer_constraints_re2_max_mem",
        Kind::Bytes,
        "4KB",
        "The most memory that a regular expression of offer constraints may take.",
    )
    .harmless("offer constraints are not there yet"),
    Flag::with(
        "offer_constraints_re2_max_program_size",
        Kind::Count,
        "100",
        "The largest program of a regular expression of offer constraints.",
    )
    .harmless("offer constraints are not there yet"),
    Flag::with("allocator", Kind::Text, "hierarchical", "The allocator: hierarchical.").check(hierarchical),
];

/// Flags of which a master takes no value but the default.
pub const ABSENT: &[Flag] = &[
    Flag::with("authenticate_frameworks", Kind::Bool, "false", "Whether frameworks must authenticate.")
        .old(&["authenticate"])
        .absent("authentication is not there yet"),
    Flag::with("authenticate_agents", Kind::Bool, "false", "Whether agents must authenticate.")
        .old(&["authenticate_slaves"])
        .absent("authentication is not there yet"),
    Flag::with(
        "authenticate_http_readwrite",
        Kind::Bool,
        "false",
        "Whether HTTP endpoints that change something ask for credentials.",
    )
    .old(&["authenticate_http"])
    .absent("authentication is not there yet"),
    Flag::with(
        "authenticate_http_frameworks",
        Kind::Bool,
        "false",
        "Whether HTTP frameworks must authenticate.",
    )
    .absent("authentication is not there yet"),
    Flag::with("authenticators", Kind::Text, "crammd5", "How agents and v0 frameworks are authenticated.")
        .absent("authentication is not there yet"),
    Flag::unset("http_framework_authenticators", Kind::Text, "How HTTP frameworks are authenticated.")
        .absent("authentication is not there yet"),
    Flag::unset("credentials", Kind::Path, "File of principals and their secrets, in JSON.")
        .absent("authentication is not there yet"),
    Flag::with("authorizers", Kind::Text, "local", "Who decides what a principal may do.")
        .absent("authorization is not there yet"),
    Flag::unset("rate_limits", Kind::Json, "Limits on the messages of frameworks, as RateLimits in JSON.")
        .absent("rates of frameworks cannot be limited yet"),
    Flag::unset("max_executors_per_agent", Kind::Count, "The most executors on one agent.")
        .old(&["max_executors_per_slave"])
        .absent("it belongs to the network/port_mapping isolator, which is not there"),
    Flag::unset("master_contender", Kind::Text, "A module that takes part in the election.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::unset("master_detector", Kind::Text, "A module that finds the leader.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::with("require_agent_domain", Kind::Bool, "false", "Whether agents without a domain are refused.")
        .absent("agents without a domain cannot be refused yet"),
];

fn a_sorter(value: &Value) -> Result<(), String> {
    common::one_of(value, &["drf", "random"])
}

fn ping_timeout(value: &Value) -> Result<(), String> {
    match value {
        Value::Duration(time) if (1..=900).contains(&time.as_secs()) && *time <= Duration::from_secs(900) => {
            Ok(())
        }
        other => Err(format!("expected 1secs to 15mins, got '{other}'")),
    }
}

fn at_least_one(value: &Value) -> Result<(), String> {
    match value {
        Value::Count(0) => Err("expected at least 1, got '0'".to_owned()),
        _ => Ok(()),
    }
}

fn above_zero(value: &Value) -> Result<(), String> {
    match value {
        Value::Duration(Duration::ZERO) => Err("expected a time above zero".to_owned()),
        _ => Ok(()),
    }
}

fn reregister_timeout(value: &Value) -> Result<(), String> {
    match value {
        Value::Duration(time) if *time < MIN_AGENT_REREGISTER_TIMEOUT => {
            Err(format!("expected at least 10mins, got '{value}'"))
        }
        _ => Ok(()),
    }
}

fn slaves(value: &Value) -> Result<(), String> {
    match value.to_string() {
        text if text.starts_with("zk://") => {
            Err("expected * or a list of hosts: ZooKeeper is not there yet".to_owned())
        }
        _ => Ok(()),
    }
}

fn hierarchical(value: &Value) -> Result<(), String> {
    common::one_of(value, &["hierarchical", "HierarchicalDRF"])
}

/// `25%` as 0.25.
pub fn percentage(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()) {
        Some(number) if (0.0..=100.0).contains(&number) => Ok(number / 100.0),
        _ => Err(format!("expected 0% to 100%, got '{text}'")),
    }
}

/// `2/10mins` as 5 minutes: how far apart removals are.
pub fn removal_interval(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a number of agents and a duration, like 1/10mins, got '{text}'");
    let (count, time) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let time = duration::parse(time).map_err(|error| format!("{}: {error}", wrong()))?;
    match time.checked_div(count) {
        Some(interval) if interval > Duration::ZERO => Ok(interval),
        _ => Err(wrong()),
    }
}

fn strict_registry(value: &Value) -> Result<(), String> {
    match value {
        Value::Bool(true) => Err("expected false: Mesos switched this off in 1.0".to_owned()),
        _ => Ok(()),
    }
}
