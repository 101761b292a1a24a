//! GET_STATE and the four lists that it is made of.

use super::{Ask, parts};
use crate::master::core::state::{Cluster, Framework};
use crate::proto::writer::Fields;
use crate::proto::{FrameworkId, TaskId};

/// Bytes that an answer takes, roughly, in JSON.
pub(super) fn size(ask: Ask, cluster: &Cluster) -> usize {
    const AGENT: usize = 2048;
    const TASK: usize = 1024;
    let tasks = || -> usize { frameworks_of(cluster).map(|framework| framework.tasks.len()).sum() };
    1024 + match ask {
        Ask::State => AGENT * cluster.agents.len() + TASK * tasks(),
        Ask::Agents => AGENT * cluster.agents.len(),
        Ask::Tasks => TASK * tasks(),
        _ => 0,
    }
}

/// Those that are there, then completed ones.
fn frameworks_of(cluster: &Cluster) -> impl Iterator<Item = &Framework> {
    cluster.frameworks.values().chain(&cluster.completed_frameworks).map(|framework| &**framework)
}

pub(super) fn state(fields: &mut Fields<'_>, cluster: &Cluster) {
    fields.object("get_tasks", |fields| tasks(fields, cluster));
    fields.object("get_executors", |fields| executors(fields, cluster));
    fields.object("get_frameworks", |fields| frameworks(fields, cluster));
    fields.object("get_agents", |fields| agents(fields, cluster));
}

pub(super) fn agents(fields: &mut Fields<'_>, cluster: &Cluster) {
    fields.list("agents", |list| {
        for agent in cluster.agents.values() {
            list.object(|fields| parts::agent_in(fields, agent, cluster));
        }
    });
    fields.list("recovered_agents", |list| {
        cluster.recovered.values().for_each(|info| list.message(&parts::info(info)));
    });
}

pub(super) fn frameworks(fields: &mut Fields<'_>, cluster: &Cluster) {
    fields.list("frameworks", |list| {
        for framework in cluster.frameworks.values() {
            list.object(|fields| parts::framework_in(fields, framework, cluster));
        }
    });
    fields.list("completed_frameworks", |list| {
        for framework in &cluster.completed_frameworks {
            list.object(|fields| parts::framework_in(fields, framework, cluster));
        }
    });
}

pub(super) fn executors(fields: &mut Fields<'_>, cluster: &Cluster) {
    fields.list("executors", |list| {
        let all = frameworks_of(cluster).flat_map(|framework| &framework.executors);
        for ((agent, _), info) in all {
            list.object(|fields| {
                fields.message("executor_info", &**info);
                fields.message("agent_id", agent);
            });
        }
    });
}

pub(super) fn tasks(fields: &mut Fields<'_>, cluster: &Cluster) {
    let frameworks = || frameworks_of(cluster);
    fields.list("tasks", |list| {
        let tasks = frameworks().flat_map(|framework| framework.tasks.values());
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
    fields.list("unreachable_tasks", |list| {
        let tasks = frameworks().flat_map(|framework| framework.unreachable_tasks.values());
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
    fields.list("completed_tasks", |list| {
        let tasks = frameworks().flat_map(|framework| &framework.completed_tasks);
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
}

/// The tasks of one id; of those that ended there may be several.
pub(super) fn task(fields: &mut Fields<'_>, cluster: &Cluster, framework: &FrameworkId, id: &TaskId) {
    let frameworks = || frameworks_of(cluster).filter(|known| known.id == *framework);
    fields.list("tasks", |list| {
        let tasks = frameworks().filter_map(|framework| framework.tasks.get(id));
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
    fields.list("unreachable_tasks", |list| {
        let tasks = frameworks().filter_map(|framework| framework.unreachable_tasks.get(id));
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
    fields.list("completed_tasks", |list| {
        let tasks = frameworks().flat_map(|framework| &framework.completed_tasks);
        let tasks = tasks.filter(|task| task.id == *id);
        tasks.for_each(|task| list.object(|fields| parts::task(fields, task)));
    });
}
