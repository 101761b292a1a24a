//! Frameworks, executors and tasks as `/state` shows them.

use super::{allocated, readable};
use crate::agent::core::state::{Executor, Framework};
use crate::proto::json::{Array, Object};
use crate::proto::{
    CommandInfo, ContainerStatus, DomainInfo, Labels, NetworkInfo, Resource, Spelling, Task, TaskInfo,
    TaskState, TaskStatus, executor_info, framework_info,
};
use crate::resources::json;

pub(super) fn framework(object: &mut Object<'_>, framework: &Framework) {
    let info = &framework.info;
    object.string("id", &framework.id.value);
    object.string("name", &info.name);
    object.string("user", &info.user);
    object.number("failover_timeout", info.failover_timeout());
    object.boolean("checkpoint", info.checkpoint());
    object.string("hostname", info.hostname());
    if let Some(principal) = &info.principal {
        object.string("principal", principal);
    }
    roles(object, info);
    object.array("executors", |array| {
        framework
            .executors
            .values()
            .for_each(|executor| array.object(|object| self::executor(object, executor)));
    });
    object.array("completed_executors", |array| {
        for executor in &framework.completed_executors {
            array.object(|object| self::executor(object, executor));
        }
    });
}

#[expect(deprecated, reason = "a framework without MULTI_ROLE has only `role`")]
fn roles(object: &mut Object<'_>, info: &crate::proto::FrameworkInfo) {
    let multi = Some(framework_info::capability::Type::MultiRole as i32);
    if info.capabilities.iter().any(|capability| capability.r#type == multi) {
        object.array("roles", |array| info.roles.iter().for_each(|role| array.string(role)));
    } else {
        object.string("role", info.role.as_deref().unwrap_or("*"));
    }
}

#[expect(deprecated, reason = "`source` is shown as long as somebody sets it")]
fn executor(object: &mut Object<'_>, executor: &Executor) {
    let info = &executor.info;
    object.string("id", &executor.id.value);
    object.string("name", info.name());
    object.string("source", info.source.as_deref().unwrap_or_default());
    object.string("container", &executor.container.value);
    object.string("directory", &executor.directory.to_string_lossy());
    object.object("resources", |object| json::write(object, &allocated(executor)));
    if !info.resources.is_empty() {
        object.string("role", role(&info.resources));
    }
    if let Some(labels) = &info.labels {
        object.array("labels", |array| self::labels(array, labels));
    }
    if let Some(kind) = info.r#type.and_then(|kind| executor_info::Type::try_from(kind).ok()) {
        object.string("type", kind.as_str_name());
    }
    object.array("tasks", |array| {
        executor.launched_tasks.values().for_each(|task| array.object(|object| self::task(object, task)));
    });
    object.array("queued_tasks", |array| {
        executor.queued_tasks.iter().for_each(|task| array.object(|object| queued_task(object, task)));
    });
    // Those whose updates are not acknowledged yet are among them, for simplicity's sake.
    object.array("completed_tasks", |array| {
        let completed = executor.completed_tasks.iter().chain(executor.terminated_tasks.values());
        completed.for_each(|task| array.object(|object| self::task(object, task)));
    });
    // The name that 0.15 had for `container`.
    object.string("uuid", &executor.container.value);
}

/// The role that resources are allocated to: one, as they may not be mixed.
fn role(resources: &[Resource]) -> &str {
    let allocation = resources.first().and_then(|resource| resource.allocation_info.as_ref());
    allocation.map_or("", |allocation| allocation.role())
}

fn queued_task(object: &mut Object<'_>, task: &TaskInfo) {
    object.string("id", &task.task_id.value);
    object.string("name", &task.name);
    object.string("slave_id", &task.agent_id.value);
    object.object("resources", |object| json::write(object, &readable(&task.resources)));
    object.string("role", role(&task.resources));
    if let Some(command) = &task.command {
        object.object("command", |object| self::command(object, command));
    }
    if let Some(executor) = &task.executor {
        object.string("executor_id", &executor.executor_id.value);
    }
    if let Some(discovery) = &task.discovery {
        object.message("discovery", discovery, Spelling::V0);
    }
}

fn command(object: &mut Object<'_>, command: &CommandInfo) {
    if let Some(shell) = command.shell {
        object.boolean("shell", shell);
    }
    if let Some(value) = &command.value {
        object.string("value", value);
    }
    object.array("argv", |array| command.arguments.iter().for_each(|argument| array.string(argument)));
    if let Some(environment) = &command.environment {
        object.message("environment", environment, Spelling::V0);
    }
    object.array("uris", |array| {
        for uri in &command.uris {
            array.object(|object| {
                object.string("value", &uri.value);
                object.boolean("executable", uri.executable());
            });
        }
    });
}

fn task(object: &mut Object<'_>, task: &Task) {
    object.string("id", &task.task_id.value);
    object.string("name", &task.name);
    object.string("framework_id", &task.framework_id.value);
    object.string("executor_id", task.executor_id.as_ref().map_or("", |id| &id.value));
    object.string("slave_id", &task.agent_id.value);
    object.string("state", state_name(task.state));
    object.object("resources", |object| json::write(object, &readable(&task.resources)));
    if !task.limits.is_empty() {
        object.object("limits", |object| {
            task.limits.iter().for_each(|(name, limit)| object.number(name, limit.value));
        });
    }
    object.string("role", role(&task.resources));
    object.array("statuses", |array| {
        task.statuses.iter().for_each(|status| array.object(|object| self::status(object, status)));
    });
    if let Some(user) = &task.user {
        object.string("user", user);
    }
    if let Some(labels) = &task.labels {
        object.array("labels", |array| self::labels(array, labels));
    }
    if let Some(discovery) = &task.discovery {
        object.message("discovery", discovery, Spelling::V0);
    }
    if let Some(container) = &task.container {
        object.message("container", container, Spelling::V0);
    }
    if let Some(check) = &task.health_check {
        object.message("health_check", check, Spelling::V0);
    }
}

fn state_name(state: i32) -> &'static str {
    TaskState::try_from(state).unwrap_or(TaskState::TaskUnknown).as_str_name()
}

fn status(object: &mut Object<'_>, status: &TaskStatus) {
    object.string("state", state_name(status.state));
    object.number("timestamp", status.timestamp());
    if let Some(labels) = &status.labels {
        object.array("labels", |array| self::labels(array, labels));
    }
    if let Some(container) = &status.container_status {
        object.object("container_status", |object| container_status(object, container));
    }
    if let Some(healthy) = status.healthy {
        object.boolean("healthy", healthy);
    }
}

pub(super) fn container_status(object: &mut Object<'_>, status: &ContainerStatus) {
    if let Some(id) = &status.container_id {
        object.message("container_id", id, Spelling::V0);
    }
    if !status.network_infos.is_empty() {
        object.array("network_infos", |array| {
            status.network_infos.iter().for_each(|info| array.object(|object| network(object, info)));
        });
    }
    if let Some(cgroup) = &status.cgroup_info {
        object.message("cgroup_info", cgroup, Spelling::V0);
    }
}

fn network(object: &mut Object<'_>, info: &NetworkInfo) {
    if !info.groups.is_empty() {
        object.array("groups", |array| info.groups.iter().for_each(|group| array.string(group)));
    }
    if let Some(labels) = &info.labels {
        object.array("labels", |array| self::labels(array, labels));
    }
    if !info.ip_addresses.is_empty() {
        object.array("ip_addresses", |array| {
            info.ip_addresses.iter().for_each(|address| array.message(address, Spelling::V0));
        });
    }
    if let Some(name) = &info.name {
        object.string("name", name);
    }
    if !info.port_mappings.is_empty() {
        object.array("port_mappings", |array| {
            info.port_mappings.iter().for_each(|mapping| array.message(mapping, Spelling::V0));
        });
    }
}

/// Labels without the message around them.
fn labels(array: &mut Array<'_>, labels: &Labels) {
    labels.labels.iter().for_each(|label| array.message(label, Spelling::V0));
}

pub(super) fn domain(object: &mut Object<'_>, domain: &DomainInfo) {
    if let Some(fault) = &domain.fault_domain {
        object.object("fault_domain", |object| {
            object.object("region", |object| object.string("name", &fault.region.name));
            object.object("zone", |object| object.string("name", &fault.zone.name));
        });
    }
}
