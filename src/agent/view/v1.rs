//! What the operator API answers: the agent as v1 messages, in JSON or protobuf.
//!
//! Source: slave/http.cpp 1.11, `jsonifyGetState` and its parts.

use std::sync::Arc;

use super::containers::{Usage, limited, live, status};
use crate::agent::core::describe;
use crate::agent::core::state::{Executor, Framework, Node};
use crate::proto::agent::response::get_containers::Container;
use crate::proto::agent::{Response, response};
use crate::proto::writer::{Encoding, Fields, List, encode, write};
use crate::proto::{AgentInfo, Task, TaskState};
use crate::resources::convert::upgrade_resource;

/// The calls that read the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    State,
    Frameworks,
    Executors,
    Operations,
    Tasks,
    Agent,
}

/// The whole answer to a call.
pub fn answer(ask: Ask, node: &Node, encoding: Encoding) -> Vec<u8> {
    let write = |kind: response::Type, name: &str, fill: fn(&mut Fields<'_>, &Node)| {
        let mut out = Vec::new();
        write::<Response>(&mut out, encoding, |answer| {
            answer.enumeration("type", kind as i32);
            answer.object(name, |fields| fill(fields, node));
        });
        out
    };
    match ask {
        Ask::State => write(response::Type::GetState, "get_state", state),
        Ask::Frameworks => write(response::Type::GetFrameworks, "get_frameworks", frameworks),
        Ask::Executors => write(response::Type::GetExecutors, "get_executors", executors),
        // There are none: operations with feedback are still to come.
        Ask::Operations => write(response::Type::GetOperations, "get_operations", |_, _| {}),
        Ask::Tasks => write(response::Type::GetTasks, "get_tasks", tasks),
        Ask::Agent => write(response::Type::GetAgent, "get_agent", |fields, node| {
            fields.message("agent_info", &info(&node.info));
        }),
    }
}

/// The containers that run. Those of nested and standalone ones are still to come, so there is nothing to choose.
pub fn containers(node: &Node, usage: &Usage, encoding: Encoding) -> Vec<u8> {
    let container = |executor: &Arc<Executor>| Container {
        framework_id: Some(executor.framework.clone()),
        executor_id: Some(executor.id.clone()),
        executor_name: Some(executor.info.name().to_owned()),
        container_id: executor.container.clone(),
        container_status: Some(status(executor)),
        resource_statistics: usage.get(&executor.container).map(|measured| limited(executor, measured)),
    };
    let containers: Vec<Container> = live(node).map(container).collect();
    let answer = Response {
        r#type: Some(response::Type::GetContainers as i32),
        // As in 1.11: nothing at all if there are none.
        get_containers: (!containers.is_empty()).then_some(response::GetContainers { containers }),
        ..Response::default()
    };
    encode(&answer, encoding)
}

/// With resources in the form that has `reservations` alone, whatever form the master gets them in.
fn info(info: &AgentInfo) -> AgentInfo {
    let mut info = info.clone();
    info.resources.iter_mut().for_each(upgrade_resource);
    info
}

/// Those that are there, then completed ones.
fn frameworks_of(node: &Node) -> impl Iterator<Item = &Framework> {
    node.frameworks.values().chain(&node.completed_frameworks).map(|framework| &**framework)
}

fn executors_of(node: &Node) -> impl Iterator<Item = &Executor> {
    let executors =
        frameworks_of(node).flat_map(|one| one.executors.values().chain(&one.completed_executors));
    executors.map(|executor| &**executor)
}

fn state(fields: &mut Fields<'_>, node: &Node) {
    fields.object("get_tasks", |fields| tasks(fields, node));
    fields.object("get_executors", |fields| executors(fields, node));
    fields.object("get_frameworks", |fields| frameworks(fields, node));
}

fn frameworks(fields: &mut Fields<'_>, node: &Node) {
    let write = |list: &mut List<'_>, framework: &Framework| {
        list.object(|fields| fields.message("framework_info", &*framework.info));
    };
    fields.list("frameworks", |list| node.frameworks.values().for_each(|one| write(list, one)));
    fields.list("completed_frameworks", |list| {
        node.completed_frameworks.iter().for_each(|one| write(list, one));
    });
}

fn executors(fields: &mut Fields<'_>, node: &Node) {
    let write = |list: &mut List<'_>, executor: &Executor| {
        list.object(|fields| fields.message("executor_info", &*executor.info));
    };
    fields.list("executors", |list| {
        let all = frameworks_of(node).flat_map(|framework| framework.executors.values());
        all.for_each(|one| write(list, one));
    });
    fields.list("completed_executors", |list| {
        let all = frameworks_of(node).flat_map(|framework| &framework.completed_executors);
        all.for_each(|one| write(list, one));
    });
}

fn tasks(fields: &mut Fields<'_>, node: &Node) {
    let all = |list: &mut List<'_>, of: for<'e> fn(&'e Executor) -> Vec<&'e Arc<Task>>| {
        executors_of(node).flat_map(of).for_each(|task| list.message(&**task));
    };
    // A task is queued from the first: nothing is asked of it before.
    fields.list("pending_tasks", |_| {});
    fields.list("queued_tasks", |list| {
        for executor in executors_of(node) {
            for task in &executor.queued_tasks {
                list.message(&describe(task, TaskState::TaskStaging, &executor.framework));
            }
        }
    });
    fields.list("launched_tasks", |list| all(list, |one| one.launched_tasks.values().collect()));
    fields.list("terminated_tasks", |list| all(list, |one| one.terminated_tasks.values().collect()));
    fields.list("completed_tasks", |list| all(list, |one| one.completed_tasks.iter().collect()));
}
