//! `/tasks`, and a task as every endpoint shows it.

use std::sync::Arc;

use super::model;
use crate::master::core::state::{Cluster, Framework, Task};
use crate::proto::json::text::Object;
use crate::proto::{ContainerStatus, FrameworkId, NetworkInfo, Spelling, TaskId, TaskState, TaskStatus};

/// By the time of a task's first status; tasks without one come first when ascending, last when descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Ascending,
    Descending,
}

/// Which tasks of the list `/tasks` shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    pub limit: usize,
    pub offset: usize,
    pub order: Order,
    pub framework: Option<FrameworkId>,
    pub task: Option<TaskId>,
}

impl Default for Page {
    /// Source: `TASK_LIMIT`, master/constants.hpp 1.11.
    fn default() -> Page {
        Page { limit: 100, offset: 0, order: Order::Descending, framework: None, task: None }
    }
}

/// `/tasks`: of frameworks that are there and of completed ones, a page of them.
pub fn tasks(cluster: &Cluster, page: &Page) -> Vec<u8> {
    let shown = |framework: &&Arc<Framework>| page.framework.as_ref().is_none_or(|id| *id == framework.id);
    let frameworks = cluster.frameworks.values().chain(&cluster.completed_frameworks).filter(shown);
    let first = |task: &Task| task.statuses.first().map_or(f64::NEG_INFINITY, |status| status.timestamp());
    // With their times beside them: a comparison that looks into both tasks costs ten times as much.
    let mut tasks: Vec<(f64, &Task)> = Vec::new();
    for framework in frameworks {
        let ended = framework.unreachable_tasks.values().chain(&framework.completed_tasks);
        let all = framework.tasks.values().chain(ended).map(|task| &**task);
        let wanted = all.filter(|task| page.task.as_ref().is_none_or(|id| *id == task.id));
        tasks.extend(wanted.map(|task| (first(task), task)));
    }
    match page.order {
        Order::Ascending => tasks.sort_by(|(a, _), (b, _)| a.total_cmp(b)),
        Order::Descending => tasks.sort_by(|(a, _), (b, _)| b.total_cmp(a)),
    }
    let page: Vec<&Task> =
        tasks.into_iter().skip(page.offset).take(page.limit).map(|(_, task)| task).collect();
    super::answer(64 + 512 * page.len(), |object| {
        object.array("tasks", |array| {
            page.iter().for_each(|task| array.object(|object| self::task(object, task)))
        });
    })
}

pub(super) fn task(object: &mut Object<'_>, task: &Task) {
    object.string("id", &task.id.value);
    object.string("name", &task.name);
    object.string("framework_id", &task.framework.value);
    // Empty for a command task, though its agent knows an executor under the task's id.
    object.string("executor_id", task.executor.as_ref().map_or("", |id| &id.value));
    object.string("slave_id", &task.agent.value);
    object.string("state", task.state.as_str_name());
    object.object("resources", |object| model::resources(object, &[&task.resources]));
    let extra = task.extra.as_deref();
    if let Some(limits) = extra.map(|extra| &extra.limits).filter(|limits| !limits.is_empty()) {
        object.object("limits", |object| {
            limits.iter().for_each(|(name, limit)| object.number(name, limit.value));
        });
    }
    object.string("role", model::role(&task.resources));
    object.array("statuses", |array| {
        task.statuses.iter().for_each(|status| array.object(|object| self::status(object, status)));
    });
    let Some(extra) = extra else { return };
    if let Some(user) = &extra.user {
        object.string("user", user);
    }
    if let Some(labels) = &extra.labels {
        object.array("labels", |array| model::labels(array, labels));
    }
    if let Some(discovery) = &extra.discovery {
        object.message("discovery", discovery, Spelling::V0);
    }
    if let Some(container) = &extra.container {
        object.message("container", container, Spelling::V0);
    }
    if let Some(check) = &extra.health_check {
        object.message("health_check", check, Spelling::V0);
    }
}

fn status(object: &mut Object<'_>, status: &TaskStatus) {
    let state = TaskState::try_from(status.state).unwrap_or(TaskState::TaskUnknown);
    object.string("state", state.as_str_name());
    object.number("timestamp", status.timestamp());
    if let Some(labels) = &status.labels {
        object.array("labels", |array| model::labels(array, labels));
    }
    if let Some(container) = &status.container_status {
        object.object("container_status", |object| container_status(object, container));
    }
    if let Some(healthy) = status.healthy {
        object.boolean("healthy", healthy);
    }
}

fn container_status(object: &mut Object<'_>, status: &ContainerStatus) {
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
        object.array("labels", |array| model::labels(array, labels));
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
