//! What clients read: functions from a snapshot of the agent to JSON bytes, one file per endpoint.
//!
//! Keys come in the order of Mesos 1.11 and say "slave"; fields that 0.15 had and 1.11 has not follow behind.
//!
//! Absent on purpose: HTTP, and any wish to change what is read. Start reading at `state.rs`.
//!
//! Source: slave/http.cpp and common/http.cpp 1.11; slave/http.cpp 0.15.

mod containers;
mod model;
mod state;
#[cfg(test)]
mod tests;
pub mod v1;

pub use containers::{Usage, containers, pressure, running, statistics};
pub use state::{leader, state};

use super::core::state::Executor;
use crate::proto::Resource;
use crate::resources::Resources;

/// What an executor and its tasks that have not ended hold.
pub fn allocated(executor: &Executor) -> Resources {
    let queued = executor.queued_tasks.iter().map(|task| &task.resources);
    let launched = executor.launched_tasks.values().map(|task| &task.resources);
    let mut sum = readable(&executor.info.resources);
    for resources in queued.chain(launched) {
        sum.add(&readable(resources));
    }
    sum
}

/// The master checked them; what cannot be read nevertheless counts as nothing.
fn readable(resources: &[Resource]) -> Resources {
    Resources::from_protos(resources).unwrap_or_default()
}
