//! `/state`: everything.

use super::{allocated, model, readable};
use crate::agent::core::CAPABILITIES;
use crate::agent::core::state::Node;
use crate::agent::flags::Flags;
use crate::base::build;
use crate::flags::json::texts;
use crate::proto::json::{Object, text};
use crate::proto::{Spelling, TaskState};
use crate::resources::{Resources, attributes, convert, json};

pub fn state(node: &Node, flags: &Flags) -> Vec<u8> {
    let executors: usize = node.frameworks.values().map(|framework| framework.executors.len()).sum();
    let mut out = Vec::with_capacity(8192 + 2048 * executors);
    text::object(&mut out, |object| {
        agent(object, node);
        resources(object, node);
        settings(object, node, flags);
        object.array("frameworks", |array| {
            for framework in node.frameworks.values() {
                array.object(|object| model::framework(object, framework));
            }
        });
        object.array("completed_frameworks", |array| {
            for framework in &node.completed_frameworks {
                array.object(|object| model::framework(object, framework));
            }
        });
        counters(object, node);
    });
    out
}

/// `/leader` of an agent, in the words of the master's.
pub fn leader(node: &Node) -> serde_json::Value {
    let leader = node.leader.as_ref().map(|leader| {
        let address = leader.pid.address;
        let hostname = match leader.hostname.as_str() {
            "" => address.ip().to_string(),
            name => name.to_owned(),
        };
        let authority = format!("{hostname}:{}", address.port());
        serde_json::json!({"hostname": hostname, "port": address.port(), "authority": authority})
    });
    serde_json::json!({
        "id": node.id().value,
        "hostname": node.info.hostname,
        "port": node.config.pid.address.port(),
        "version": build::VERSION,
        "agent": {"process": *node.config.pid.id},
        "leads": false,
        "leader": leader,
    })
}

fn agent(object: &mut Object<'_>, node: &Node) {
    object.string("version", build::VERSION);
    if let Some(sha) = build::git_sha() {
        object.string("git_sha", sha);
    }
    object.string("build_date", &build::date());
    object.number("build_time", build::time() as f64);
    object.string("build_user", build::user());
    object.number("start_time", node.started.as_secs_f64());
    object.string("id", &node.id().value);
    object.string("pid", &node.config.pid.to_string());
    object.string("hostname", &node.info.hostname);
    object.array("capabilities", |array| {
        CAPABILITIES.iter().for_each(|capability| array.string(capability.as_str_name()));
    });
    if let Some(domain) = &node.info.domain {
        object.object("domain", |object| model::domain(object, domain));
    }
}

fn resources(object: &mut Object<'_>, node: &Node) {
    let total = readable(&node.info.resources);
    object.object("resources", |object| json::write(object, &total));
    by_role(object, "reserved_resources", &total);
    object.object("unreserved_resources", |object| json::write(object, &total.unreserved()));
    object.object("reserved_resources_full", |object| {
        total.reservations().iter().for_each(|(role, resources)| full(object, role, resources));
    });
    full(object, "unreserved_resources_full", &total.unreserved());
    let mut used = Resources::default();
    for framework in node.frameworks.values() {
        framework.executors.values().for_each(|executor| used.add(&allocated(executor)));
    }
    by_role(object, "reserved_resources_allocated", &used);
    object.object("unreserved_resources_allocated", |object| json::write(object, &used.unreserved()));
    // Their protocol is a feature to come.
    object.array("resource_providers", |_| {});
    object.object("attributes", |object| attributes::write(object, &node.info.attributes));
}

fn by_role(object: &mut Object<'_>, name: &str, resources: &Resources) {
    object.object(name, |object| {
        for (role, resources) in resources.reservations() {
            object.object(role, |object| json::write(object, &resources));
        }
    });
}

/// As messages, in both forms of a reservation where both can say it.
fn full(object: &mut Object<'_>, name: &str, resources: &Resources) {
    object.array(name, |array| {
        for mut resource in resources.to_protos() {
            convert::endpoint_resource(&mut resource);
            array.message(&resource, Spelling::V0);
        }
    });
}

fn settings(object: &mut Object<'_>, node: &Node, flags: &Flags) {
    if let Some(leader) = node.leader.as_ref().filter(|leader| !leader.hostname.is_empty()) {
        object.string("master_hostname", &leader.hostname);
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

/// What 0.15 counted here and 1.11 in `/metrics/snapshot` only.
fn counters(object: &mut Object<'_>, node: &Node) {
    let counters = &node.counters;
    let ended = |state| counters.tasks_by_end.get(&state).copied().unwrap_or(0);
    object.unsigned("staged_tasks", counters.staged_tasks);
    object.unsigned("started_tasks", counters.started_tasks);
    object.unsigned("finished_tasks", ended(TaskState::TaskFinished));
    object.unsigned("failed_tasks", ended(TaskState::TaskFailed));
    object.unsigned("killed_tasks", ended(TaskState::TaskKilled));
    object.unsigned("lost_tasks", ended(TaskState::TaskLost));
}
