//! The agent: runs executors for frameworks on one machine and tells the master of them.

pub mod containerizer;
pub mod flags;
