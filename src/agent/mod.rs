//! The agent: runs executors for frameworks on one machine and tells the master of them.
//!
//! `core` decides, `updates` keeps status updates until they are acknowledged, `containerizer` and `fetcher`
//! run executors, `view` answers reads, `http` and `run` do the I/O.

pub mod containerizer;
pub mod core;
pub mod fetcher;
pub mod flags;
pub mod paths;
pub mod updates;
