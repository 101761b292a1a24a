//! `/slaves`, and an agent as every endpoint shows it.

use super::model;
use crate::master::core::state::{Agent, Cluster};
use crate::proto::agent_info::capability::Type;
use crate::proto::json::text::Object;
use crate::proto::{AgentId, AgentInfo, Resource, Spelling};

/// `/slaves`: agents with their resources also in full, which operators need to name a reservation or
/// volume; only one of them if `only` is given.
pub fn agents(cluster: &Cluster, only: Option<&AgentId>) -> Vec<u8> {
    let count = if only.is_some() { 1 } else { cluster.agents.len() };
    super::answer(256 + 2048 * count, |object| {
        object.array("slaves", |array| {
            let mut write = |agent: &Agent| {
                array.object(|object| {
                    self::agent(object, agent);
                    full_resources(object, cluster, agent);
                });
            };
            match only {
                Some(id) => cluster.agents.get(id).into_iter().for_each(|agent| write(agent)),
                None => cluster.agents.values().for_each(|agent| write(agent)),
            }
        });
        object.array("recovered_slaves", |array| {
            let recovered = cluster.recovered.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
            recovered.for_each(|(_, info)| array.object(|object| self::info(object, info)));
        });
        // An addition: those that stay away, and since when.
        object.array("unreachable_slaves", |array| {
            let away = cluster.unreachable.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
            away.for_each(|(id, since)| {
                array.object(|object| {
                    object.string("id", &id.value);
                    object.number("unreachable_time", since.as_secs_f64());
                });
            });
        });
    })
}

/// What an agent says of itself; all that is known of one that is not back yet.
pub(super) fn info(object: &mut Object<'_>, info: &AgentInfo) {
    object.string("id", info.id.as_ref().map_or("", |id| &id.value));
    object.string("hostname", &info.hostname);
    object.signed("port", i64::from(info.port()));
    object.object("attributes", |object| model::attributes(object, &info.attributes));
    if let Some(domain) = &info.domain {
        object.object("domain", |object| model::domain(object, domain));
    }
}

/// An agent as in `/state`.
pub(super) fn agent(object: &mut Object<'_>, agent: &Agent) {
    info(object, &agent.info);
    object.string("pid", &agent.pid.to_string());
    object.number("registered_time", agent.registered.as_secs_f64());
    if let Some(time) = agent.reregistered {
        object.number("reregistered_time", time.as_secs_f64());
    }
    object.object("resources", |object| model::resources(object, &[&agent.total]));
    object.object("used_resources", |object| model::resources(object, &[&agent.used]));
    object.object("offered_resources", |object| model::resources(object, &[&agent.offered]));
    object.object("reserved_resources", |object| {
        for (role, resources) in agent.total.reservations() {
            object.object(role, |object| model::resources(object, &[&resources]));
        }
    });
    object.object("unreserved_resources", |object| model::resources(object, &[&agent.total.unreserved()]));
    object.boolean("active", agent.active);
    // Deactivation by an operator is a call of the operator API still to come.
    object.boolean("deactivated", false);
    object.string("version", &agent.version);
    object.array("capabilities", |array| {
        for kind in agent.capabilities.iter().filter_map(|kind| Type::try_from(*kind).ok()) {
            array.string(kind.as_str_name());
        }
    });
}

fn full_resources(object: &mut Object<'_>, cluster: &Cluster, agent: &Agent) {
    let list = |object: &mut Object<'_>, name: &str, resources: Vec<Resource>| {
        object.array(name, |array| {
            for resource in resources {
                array.message(&resource, Spelling::V0);
            }
        });
    };
    object.object("reserved_resources_full", |object| {
        for (role, resources) in agent.total.reservations() {
            list(object, role, model::full(&resources));
        }
    });
    list(object, "unreserved_resources_full", model::full(&agent.total.unreserved()));
    let (used, offered) = cluster.held_on(agent);
    list(object, "used_resources_full", model::full(&used));
    list(object, "offered_resources_full", model::full(&offered));
}
