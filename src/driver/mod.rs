//! For frameworks and executors written with this crate.
//!
//! * `scheduler` and `executor` are the drivers of libmesos, over libprocess messages: `core` decides, `run` is the
//!   thread around it, `node` what all drivers of a process share, `flags` what the environment says, `local` a cluster
//!   for who has none. libmesos.so is a skin over these.
//! * `session` is a v1 scheduler's subscription over HTTP, `execute` the framework of `mesos execute`, which is pure.
//!
//! Start reading at `core/mod.rs`, or at `execute.rs`.

pub mod core;
pub mod execute;
pub mod executor;
mod flags;
mod local;
mod node;
mod run;
pub mod scheduler;
pub mod session;

pub use run::{Handler, Verdict};
