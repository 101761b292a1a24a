//! `/containers` and `/monitor/statistics`: the containers that run, and what they use.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{allocated, model};
use crate::agent::core::state::{Executor, ExecutorPhase, Node};
use crate::agent::pressure::Pressure;
use crate::proto::json::{Array, Object, text};
use crate::proto::{ContainerId, ContainerStatus, ResourceStatistics, Spelling};
use crate::resources::scalar;

/// What was measured of each container.
pub type Usage = BTreeMap<ContainerId, ResourceStatistics>;

/// The containers to measure.
pub fn running(node: &Node) -> Vec<ContainerId> {
    live(node).map(|executor| executor.container.clone()).collect()
}

pub(super) fn live(node: &Node) -> impl Iterator<Item = &Arc<Executor>> {
    let executors = node.frameworks.values().flat_map(|framework| framework.executors.values());
    executors.filter(|executor| executor.phase != ExecutorPhase::Terminated)
}

/// An array of executors with what they use. Those that could not be measured are left out.
pub fn statistics(node: &Node, usage: &Usage) -> Vec<u8> {
    list(|array| {
        for executor in live(node) {
            let Some(statistics) = usage.get(&executor.container) else { continue };
            array.object(|object| {
                of_executor(object, executor);
                object.message("statistics", &limited(executor, statistics), Spelling::V0);
            });
        }
    })
}

/// An array of containers, with status and what they use.
pub fn containers(node: &Node, usage: &Usage) -> Vec<u8> {
    list(|array| {
        for executor in live(node) {
            array.object(|object| {
                object.string("container_id", &executor.container.value);
                of_executor(object, executor);
                let status = status(executor);
                object.object("status", |object| {
                    model::container_status(object, &status);
                    if let Some(pid) = status.executor_pid {
                        object.unsigned("executor_pid", u64::from(pid));
                    }
                });
                if let Some(statistics) = usage.get(&executor.container) {
                    object.message("statistics", &limited(executor, statistics), Spelling::V0);
                }
            });
        }
    })
}

/// The machine's pressure, and that of executors whose containers tell it.
pub fn pressure(node: &Node, machine: Pressure, found: Vec<(ContainerId, Pressure)>) -> serde_json::Value {
    let found: BTreeMap<ContainerId, Pressure> = found.into_iter().collect();
    let executors: Vec<_> = live(node)
        .filter_map(|executor| {
            Some(serde_json::json!({
                "container_id": executor.container.value,
                "executor_id": executor.id.value,
                "framework_id": executor.framework.value,
                "pressure": found.get(&executor.container)?,
            }))
        })
        .collect();
    serde_json::json!({"machine": machine, "executors": executors})
}

pub(super) fn status(executor: &Executor) -> ContainerStatus {
    ContainerStatus {
        container_id: Some(executor.container.clone()),
        executor_pid: executor.pid,
        ..ContainerStatus::default()
    }
}

fn list(fill: impl FnOnce(&mut Array<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    text::array(&mut out, fill);
    out
}

#[expect(deprecated, reason = "`source` is shown as long as somebody sets it")]
fn of_executor(object: &mut Object<'_>, executor: &Executor) {
    object.string("executor_id", &executor.id.value);
    object.string("executor_name", executor.info.name());
    object.string("framework_id", &executor.framework.value);
    object.string("source", executor.info.source.as_deref().unwrap_or_default());
}

/// With what the executor and its tasks may use, which only the agent knows.
pub(super) fn limited(executor: &Executor, statistics: &ResourceStatistics) -> ResourceStatistics {
    let held = allocated(executor);
    let mem_mb = scalar::to_f64(held.mem());
    ResourceStatistics {
        cpus_limit: Some(scalar::to_f64(held.cpus())),
        mem_limit_bytes: Some((mem_mb * f64::from(1 << 20)) as u64),
        ..statistics.clone()
    }
}
