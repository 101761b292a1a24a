//! The agent: runs executors for frameworks on one machine and tells the master of them.
//!
//! `core` decides, `updates` keeps status updates until they are acknowledged, `containerizer` runs
//! executors, `view` answers reads, `http` and `run` do the I/O.

pub mod containerizer;
// `core` is declared once `proto::message`, which its events carry, is there.
pub mod fetcher;
pub mod flags;
