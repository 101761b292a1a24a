//! `/frameworks`, and a framework as every endpoint shows it.

use std::sync::Arc;

use imbl::OrdMap;

use super::{model, tasks};
use crate::master::core::state::{Cluster, Connection, Framework, Offer};
use crate::proto::framework_info::capability::Type;
use crate::proto::json::text::Object;
use crate::proto::{FrameworkId, OfferId};

/// `/frameworks`: all, or only one of them.
pub fn frameworks(cluster: &Cluster, only: Option<&FrameworkId>) -> Vec<u8> {
    let shown = |framework: &&Arc<Framework>| only.is_none_or(|id| *id == framework.id);
    super::answer(4096, |object| {
        object.array("frameworks", |array| {
            for framework in cluster.frameworks.values().filter(shown) {
                array.object(|object| full(object, framework, &cluster.offers));
            }
        });
        object.array("completed_frameworks", |array| {
            for framework in cluster.completed_frameworks.iter().filter(shown) {
                array.object(|object| full(object, framework, &cluster.offers));
            }
        });
        object.array("unregistered_frameworks", |_| {});
    })
}

/// What `/state` and `/state-summary` both show.
pub(super) fn summary(object: &mut Object<'_>, framework: &Framework) {
    let info = &framework.info;
    object.string("id", &framework.id.value);
    object.string("name", &info.name);
    if let Connection::Pid(pid) = &framework.connection {
        object.string("pid", &pid.to_string());
    }
    object.object("used_resources", |object| model::resources(object, &[&framework.used]));
    object.object("offered_resources", |object| model::resources(object, &[&framework.offered]));
    object.array("capabilities", |array| {
        for capability in &info.capabilities {
            array.string(capability.r#type().as_str_name());
        }
    });
    object.string("hostname", info.hostname());
    object.string("webui_url", info.webui_url());
    object.boolean("active", framework.active);
    object.boolean("connected", framework.connected);
    object.boolean("recovered", framework.recovered);
}

/// A framework as in `/state`.
pub(super) fn full(object: &mut Object<'_>, framework: &Framework, offers: &OrdMap<OfferId, Arc<Offer>>) {
    let info = &framework.info;
    summary(object, framework);
    object.string("user", &info.user);
    object.number("failover_timeout", info.failover_timeout());
    object.boolean("checkpoint", info.checkpoint());
    object.number("registered_time", framework.registered.as_secs_f64());
    object.number("unregistered_time", framework.unregistered.map_or(0.0, |time| time.as_secs_f64()));
    if let Some(principal) = &info.principal {
        object.string("principal", principal);
    }
    object.object("resources", |object| model::resources(object, &[&framework.used, &framework.offered]));
    if let Some(time) = framework.reregistered.filter(|time| *time != framework.registered) {
        object.number("reregistered_time", time.as_secs_f64());
    }
    if info.capabilities.iter().any(|capability| capability.r#type() == Type::MultiRole) {
        object.array("roles", |array| info.roles.iter().for_each(|role| array.string(role)));
    } else {
        object.string("role", info.role());
    }
    object.array("tasks", |array| {
        framework.tasks.values().for_each(|task| array.object(|object| tasks::task(object, task)));
    });
    object.array("unreachable_tasks", |array| {
        framework
            .unreachable_tasks
            .values()
            .for_each(|task| array.object(|object| tasks::task(object, task)));
    });
    object.array("completed_tasks", |array| {
        framework.completed_tasks.iter().for_each(|task| array.object(|object| tasks::task(object, task)));
    });
    object.array("offers", |array| {
        for offer in framework.offers.iter().filter_map(|id| offers.get(id)) {
            array.object(|object| self::offer(object, offer));
        }
    });
    object.array("executors", |array| {
        for ((agent, _), executor) in &framework.executors {
            array.object(|object| {
                model::executor(object, executor, &framework.id);
                object.string("slave_id", &agent.value);
            });
        }
    });
    if let Some(labels) = &info.labels {
        object.array("labels", |array| model::labels(array, labels));
    }
    object.object("offer_constraints", |_| {});
}

fn offer(object: &mut Object<'_>, offer: &Offer) {
    object.string("id", &offer.id.value);
    object.string("framework_id", &offer.framework.value);
    object.object("allocation_info", |object| object.string("role", &offer.role));
    object.string("slave_id", &offer.agent.value);
    object.object("resources", |object| model::resources(object, &[&offer.resources]));
}
