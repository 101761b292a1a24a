//! Apache Mesos again, in Rust: a cluster manager in one binary.
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | 0 values | `base`, `proto`, `resources` | std, serde, prost |
//! | 1 cores | `alloc`, `registry`, every `core`, `view`, `validate`, `updates` | layer 0, named cores |
//! | 2 shared shells | `process`, `posix`, `http`, `flags`, `files`, `logging`, `metrics`, `coordination`, `auth`, `zk` | 0, 1, tokio, axum, std::fs |
//! | 3 roles | `master`, `agent`, `executor`, `driver`, `ctl` | 0, 1, 2; never each other |
//! | 4 commands | `cmd`, `local` | everything |
//!
//! Start reading at `cmd/master.rs`, then `master/run.rs`, then `master/core/mod.rs`.

#[cfg(test)]
extern crate self as mesos;

pub mod agent;
pub mod alloc;
pub mod auth;
pub mod base;
pub mod cmd;
pub mod coordination;
pub mod ctl;
pub mod driver;
pub mod executor;
pub mod files;
pub mod flags;
pub mod http;
pub mod local;
pub mod logging;
pub mod master;
pub mod metrics;
pub mod posix;
pub mod process;
pub mod proto;
pub mod registry;
pub mod resources;
pub mod webui;
pub mod zk;
