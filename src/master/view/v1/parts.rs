//! One agent, framework, offer or task.

use super::super::model::full;
use crate::base::time::Time;
use crate::master::core::offers::described;
use crate::master::core::state::{Agent, Cluster, Framework, Offer, Task};
use crate::proto::agent_info::Capability;
use crate::proto::value::Type;
use crate::proto::writer::Fields;
use crate::proto::{self, AgentInfo, TimeInfo};
use crate::resources::convert::upgrade_resource;
use crate::resources::{Entry, Resources, roles, scalar};

fn time(fields: &mut Fields<'_>, name: &str, at: Time) {
    fields.message(name, &TimeInfo { nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX) });
}

/// Resources as messages; those of endpoints also say `role`, as before there were stacks of reservations.
///
/// Nearly all are plain amounts: they are written as they stand, without a message of each.
fn resources(fields: &mut Fields<'_>, name: &str, resources: &Resources, of_endpoint: bool) {
    let is_plain = |entry: &Entry| entry.details().is_none() && entry.scalar().is_some();
    if !resources.iter().all(is_plain) {
        let messages = if of_endpoint { full(resources) } else { resources.to_protos() };
        return fields.messages(name, &messages);
    }
    if resources.is_empty() {
        return;
    }
    fields.list(name, |list| {
        for entry in resources {
            list.object(|fields| {
                fields.string("name", entry.name());
                fields.enumeration("type", Type::Scalar as i32);
                fields.object("scalar", |scalar| {
                    scalar.double("value", scalar::to_f64(entry.scalar().unwrap_or(0)));
                });
                if of_endpoint {
                    fields.string("role", roles::STAR);
                }
                if let Some(role) = entry.allocation() {
                    fields.object("allocation_info", |info| info.string("role", role));
                }
            });
        }
    });
}

/// Source: `protobuf::master::event::createAgentResponse`, 1.11.
pub(super) fn agent(fields: &mut Fields<'_>, agent: &Agent, used: &Resources, offered: &Resources) {
    fields.message("agent_info", &info(&agent.info));
    fields.boolean("active", agent.active);
    // Deactivation by an operator is a call still to come.
    fields.boolean("deactivated", false);
    fields.string("version", &agent.version);
    fields.string("pid", &agent.pid.to_string());
    time(fields, "registered_time", agent.registered);
    if let Some(at) = agent.reregistered {
        time(fields, "reregistered_time", at);
    }
    resources(fields, "total_resources", &agent.total, true);
    resources(fields, "allocated_resources", used, true);
    resources(fields, "offered_resources", offered, true);
    let capabilities: Vec<_> =
        agent.capabilities.iter().map(|kind| Capability { r#type: Some(*kind) }).collect();
    fields.messages("capabilities", &capabilities);
}

/// What an agent says of itself, its resources with `reservations` alone, whatever form they came in.
pub(super) fn info(info: &AgentInfo) -> AgentInfo {
    let mut info = info.clone();
    info.resources.iter_mut().for_each(upgrade_resource);
    info
}

/// An agent with what the rest of the cluster says of it.
pub(super) fn agent_in(fields: &mut Fields<'_>, agent: &Agent, cluster: &Cluster) {
    let (used, offered) = cluster.held_on(agent);
    self::agent(fields, agent, &used, &offered);
}

/// The start of a framework, which events have too.
fn framework_head(fields: &mut Fields<'_>, framework: &Framework) {
    fields.message("framework_info", &*framework.info);
    fields.boolean("active", framework.active);
    fields.boolean("connected", framework.connected);
    fields.boolean("recovered", framework.recovered);
}

/// A framework as events show it: without what it holds. All three times are there, zero if they never came.
/// Source: `protobuf::master::event::createFrameworkAdded`, 1.11.
pub(super) fn framework(fields: &mut Fields<'_>, framework: &Framework) {
    framework_head(fields, framework);
    time(fields, "registered_time", framework.registered);
    time(fields, "reregistered_time", framework.reregistered.unwrap_or(framework.registered));
    time(fields, "unregistered_time", framework.unregistered.unwrap_or(Time::ZERO));
}

/// Source: `model(const Framework&)`, master/http.cpp 1.11.
pub(super) fn framework_in(fields: &mut Fields<'_>, framework: &Framework, cluster: &Cluster) {
    framework_head(fields, framework);
    let times = [
        ("registered_time", Some(framework.registered)),
        ("reregistered_time", framework.reregistered.or(Some(framework.registered))),
        ("unregistered_time", framework.unregistered),
    ];
    for (name, at) in times {
        if let Some(at) = at.filter(|at| *at != Time::ZERO) {
            time(fields, name, at);
        }
    }
    let offers = framework.offers.iter().filter_map(|id| cluster.offers.get(id));
    let offers: Vec<proto::Offer> = offers.filter_map(|offer| self::offer(offer, cluster)).collect();
    fields.messages("offers", &offers);
    resources(fields, "allocated_resources", &framework.used, true);
    resources(fields, "offered_resources", &framework.offered, true);
    fields.object("offer_constraints", |_| {});
}

/// An offer as the master has it: its scheduler may have got it in an older form.
fn offer(offer: &Offer, cluster: &Cluster) -> Option<proto::Offer> {
    Some(described(offer, cluster.agent(&offer.agent)?, offer.resources.to_protos(), true))
}

/// A task with all that is known of it. Its resources are as the master keeps them, with `reservations` alone.
pub(super) fn task(fields: &mut Fields<'_>, task: &Task) {
    fields.string("name", &task.name);
    fields.id("task_id", &task.id.value);
    fields.id("framework_id", &task.framework.value);
    if let Some(executor) = &task.executor {
        fields.id("executor_id", &executor.value);
    }
    fields.id("agent_id", &task.agent.value);
    fields.enumeration("state", task.state as i32);
    resources(fields, "resources", &task.resources, false);
    fields.messages("statuses", task.statuses.iter().map(|status| &**status));
    if let Some((state, uuid)) = &task.update {
        fields.enumeration("status_update_state", *state as i32);
        fields.bytes("status_update_uuid", uuid);
    }
    let Some(extra) = task.extra.as_deref() else { return };
    fields.optional("labels", extra.labels.as_ref());
    fields.optional("discovery", extra.discovery.as_ref());
    fields.optional("container", extra.container.as_ref());
    fields.optional("health_check", extra.health_check.as_ref());
    fields.optional("kill_policy", extra.kill_policy.as_ref());
    if let Some(user) = &extra.user {
        fields.string("user", user);
    }
    fields.map("limits", &extra.limits);
}
