//! Whether a message can mean anything. Refusals are sentences that a client reads.
//!
//! A check answers `Result<(), String>` and knows no state beyond what it is given.

pub mod agent;
pub mod call;
pub mod common;
pub mod executor;
pub mod framework;
pub mod offer;
pub mod operator;
pub mod resources;
pub mod task;
