//! `/state`: everything.

use super::{agents, frameworks, model};
use crate::base::build;
use crate::flags::json::texts;
use crate::master::core::state::Cluster;
use crate::master::flags::Flags;
use crate::proto::TaskState;
use crate::proto::json::text::Object;

/// `/state` of the master that leads. `pid` and `leader` are the same: others redirect.
pub fn state(cluster: &Cluster, flags: &Flags) -> Vec<u8> {
    let tasks: usize = cluster.frameworks.values().map(|framework| framework.tasks.len()).sum();
    super::answer(4096 + 1024 * cluster.agents.len() + 512 * tasks, |object| {
        master(object, cluster);
        settings(object, flags);
        object.array("slaves", |array| {
            for agent in cluster.agents.values() {
                array.object(|object| agents::agent(object, agent));
            }
        });
        object.array("recovered_slaves", |array| {
            cluster.recovered.values().for_each(|info| array.object(|object| agents::info(object, info)));
        });
        object.array("frameworks", |array| {
            for framework in cluster.frameworks.values() {
                array.object(|object| frameworks::full(object, framework, &cluster.offers));
            }
        });
        object.array("completed_frameworks", |array| {
            for framework in &cluster.completed_frameworks {
                array.object(|object| frameworks::full(object, framework, &cluster.offers));
            }
        });
        // Empty in 1.11 too, for clients that look for them.
        object.array("orphan_tasks", |_| {});
        object.array("unregistered_frameworks", |_| {});
        counters(object, cluster);
    })
}

fn master(object: &mut Object<'_>, cluster: &Cluster) {
    let info = &cluster.info;
    let pid = info.pid.as_deref().unwrap_or_default();
    object.string("version", build::VERSION);
    if let Some(sha) = build::git_sha() {
        object.string("git_sha", sha);
    }
    object.string("build_date", &build::date());
    object.number("build_time", build::time() as f64);
    object.string("build_user", build::user());
    object.number("start_time", cluster.started.as_secs_f64());
    object.number("elected_time", cluster.elected.as_secs_f64());
    object.string("id", &info.id);
    object.string("pid", pid);
    object.string("hostname", info.hostname.as_deref().unwrap_or_default());
    object.array("capabilities", |array| {
        for name in info.capabilities.iter().map(|capability| capability.r#type().as_str_name()) {
            array.string(name);
        }
    });
    let active = cluster.agents.values().filter(|agent| agent.active).count();
    object.number("activated_slaves", active as f64);
    object.number("deactivated_slaves", (cluster.agents.len() - active) as f64);
    object.number("unreachable_slaves", cluster.unreachable.len() as f64);
    if let Some(domain) = &info.domain {
        object.object("domain", |object| model::domain(object, domain));
    }
    object.string("leader", pid);
    object.object("leader_info", |object| {
        object.string("id", &info.id);
        object.string("pid", pid);
        object.unsigned("port", u64::from(info.port));
        object.string("hostname", info.hostname.as_deref().unwrap_or_default());
        if let Some(domain) = &info.domain {
            object.object("domain", |object| model::domain(object, domain));
        }
    });
}

fn settings(object: &mut Object<'_>, flags: &Flags) {
    if let Some(cluster) = &flags.cluster {
        object.string("cluster", cluster);
    }
    let logging = &flags.logging;
    for (name, path) in [("log_dir", &logging.log_dir), ("external_log_file", &logging.external_log_file)] {
        if let Some(path) = path {
            object.string(name, &path.to_string_lossy());
        }
    }
    object.object("flags", |object| {
        for (name, text) in texts(&flags.values) {
            object.string(name, &text);
        }
    });
}

/// What 0.15 counted here and 1.11 in `/metrics/snapshot` only. Tasks that are staging or starting are
/// counted as they are now: nobody counts how many ever were.
fn counters(object: &mut Object<'_>, cluster: &Cluster) {
    let tasks = || cluster.frameworks.values().flat_map(|framework| framework.tasks.values());
    let now = |state| tasks().filter(|task| task.state == state).count() as u64;
    object.unsigned("staged_tasks", now(TaskState::TaskStaging));
    object.unsigned("started_tasks", now(TaskState::TaskStarting));
    for (name, counter) in [
        ("finished_tasks", "tasks_finished"),
        ("failed_tasks", "tasks_failed"),
        ("killed_tasks", "tasks_killed"),
        ("lost_tasks", "tasks_lost"),
    ] {
        object.unsigned(name, cluster.counters.get(counter));
    }
}
