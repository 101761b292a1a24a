//! What clients read: functions from a snapshot of the cluster to JSON bytes, one file per endpoint.
//!
//! Keys come in the order of Mesos 1.11 and say "slave"; fields that 0.15 had and 1.11 has not follow behind.
//! Everything is written straight into bytes: ten thousand agents and fifty thousand tasks are one pass.
//!
//! Absent on purpose: HTTP, and any wish to change what is read. Start reading at `state.rs`.
//!
//! Source: master/readonly_handler.cpp and common/http.cpp 1.11; master/http.cpp 0.15.

mod agents;
mod frameworks;
mod model;
mod overview;
mod roles;
mod state;
mod summary;
mod tasks;
#[cfg(test)]
pub(in crate::master) mod tests;
pub mod v1;

pub use agents::agents;
pub use frameworks::frameworks;
pub use overview::{changes, offers, overview};
pub use roles::roles;
pub use state::state;
pub use summary::summary;
pub use tasks::{Order, Page, tasks};

use crate::proto::json::text::{self, Object};

/// A whole answer: one object.
fn answer(capacity: usize, fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    text::object(&mut out, fill);
    out
}
