//! What several roles need of the operating system: process trees, users, starting processes in a clean state,
//! keeping what they write.
//!
//! Absent on purpose: what a container or a task is (`agent::containerizer`, `executor`). Start reading at
//! `start.rs`.
#![expect(clippy::disallowed_methods, reason = "a shell: reads /proc, starts and signals processes")]

pub mod boot;
pub mod rotate;
pub mod start;
pub mod tree;
pub mod user;
