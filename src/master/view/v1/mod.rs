//! What the operator API answers and tells: the cluster as v1 messages, in JSON or protobuf.
//!
//! Written piece by piece from the snapshot (`proto::writer`), so that an answer costs its bytes and no tree of
//! messages besides. `state.rs` has the lists and the large answer made of them, `parts.rs` what one agent,
//! framework or task looks like, `happening.rs` the events of SUBSCRIBE.
//!
//! Source: master/readonly_handler.cpp and common/protobuf_utils.cpp 1.11.

mod happening;
mod parts;
mod state;
#[cfg(test)]
mod tests;

pub use happening::{HEARTBEAT_SECS, event, heartbeat, kind, subscribed};

use super::roles::{Role, known};
use crate::master::core::state::Cluster;
use crate::master::flags::Flags;
use crate::proto::master::{Response, response};
use crate::proto::writer::{Encoding, Fields, encode, write};
use crate::proto::{self, FrameworkId, TaskId, WeightInfo, value};
use crate::resources::scalar;

/// The calls that read the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    State,
    Agents,
    Frameworks,
    Executors,
    Operations,
    Tasks,
    Roles,
    Weights,
    Master,
}

/// The whole answer to a call.
pub fn answer(ask: Ask, cluster: &Cluster, flags: &Flags, encoding: Encoding) -> Vec<u8> {
    let write = |kind: response::Type, fill: &dyn Fn(&mut Fields<'_>)| {
        let mut out = Vec::with_capacity(state::size(ask, cluster));
        write::<Response>(&mut out, encoding, |answer| {
            answer.enumeration("type", kind as i32);
            fill(answer);
        });
        out
    };
    match ask {
        Ask::State => write(response::Type::GetState, &|answer| {
            answer.object("get_state", |fields| state::state(fields, cluster));
        }),
        Ask::Agents => write(response::Type::GetAgents, &|answer| {
            answer.object("get_agents", |fields| state::agents(fields, cluster));
        }),
        Ask::Frameworks => write(response::Type::GetFrameworks, &|answer| {
            answer.object("get_frameworks", |fields| state::frameworks(fields, cluster));
        }),
        Ask::Executors => write(response::Type::GetExecutors, &|answer| {
            answer.object("get_executors", |fields| state::executors(fields, cluster));
        }),
        Ask::Tasks => write(response::Type::GetTasks, &|answer| {
            answer.object("get_tasks", |fields| state::tasks(fields, cluster));
        }),
        // There are none: operations with feedback are still to come.
        Ask::Operations => write(response::Type::GetOperations, &|answer| {
            answer.object("get_operations", |_| {});
        }),
        Ask::Roles => encode(&roles(cluster, flags), encoding),
        Ask::Weights => encode(&weights(flags), encoding),
        Ask::Master => encode(&master(cluster), encoding),
    }
}

/// As the answer to GET_TASKS, in JSON, with those tasks only that a framework has, or had, by this id.
pub fn task(cluster: &Cluster, framework: &FrameworkId, id: &TaskId) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    write::<Response>(&mut out, Encoding::Json, |answer| {
        answer.enumeration("type", response::Type::GetTasks as i32);
        answer.object("get_tasks", |fields| state::task(fields, cluster, framework, id));
    });
    out
}

fn roles(cluster: &Cluster, flags: &Flags) -> Response {
    let roles = known(cluster, flags);
    let message = |(name, role): (&&str, &Role<'_>)| proto::Role {
        name: (*name).to_owned(),
        weight: flags.weights.get(*name).copied().unwrap_or(1.0),
        frameworks: role.frameworks.iter().copied().cloned().collect(),
        resources: held(role),
    };
    Response {
        r#type: Some(response::Type::GetRoles as i32),
        get_roles: Some(response::GetRoles { roles: roles.iter().map(message).collect() }),
        ..Response::default()
    }
}

/// What a role holds and is offered, of the resources that are surely scalars.
fn held(role: &Role<'_>) -> Vec<proto::Resource> {
    let mut sum = role.allocated.clone();
    sum.add(&role.offered);
    let scalars = sum.iter().filter(|(name, _)| matches!(&***name, "cpus" | "mem" | "disk" | "gpus"));
    let message = |(name, amount): (&crate::resources::Name, i64)| proto::Resource {
        name: name.to_string(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value: scalar::to_f64(amount) }),
        ..proto::Resource::default()
    };
    scalars.map(message).collect()
}

/// Those that were set by `--weights`; nothing at all if there are none, as in 1.11.
fn weights(flags: &Flags) -> Response {
    let weight = |(role, weight): (&String, &f64)| WeightInfo { weight: *weight, role: Some(role.clone()) };
    let weights: Vec<WeightInfo> = flags.weights.iter().map(weight).collect();
    Response {
        r#type: Some(response::Type::GetWeights as i32),
        get_weights: (!weights.is_empty()).then_some(response::GetWeights { weight_infos: weights }),
        ..Response::default()
    }
}

fn master(cluster: &Cluster) -> Response {
    Response {
        r#type: Some(response::Type::GetMaster as i32),
        get_master: Some(response::GetMaster {
            master_info: Some((*cluster.info).clone()),
            start_time: Some(cluster.started.as_secs_f64()),
            elected_time: Some(cluster.elected.as_secs_f64()),
        }),
        ..Response::default()
    }
}
