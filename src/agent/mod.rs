//! The agent: runs executors for frameworks on one machine and tells the master of them.
//!
//! `core` decides, `updates` keeps status updates until they are acknowledged, `checkpoint` keeps what the next
//! agent must know, `containerizer` and `fetcher` run executors, `gc` removes what they leave, `view` answers reads,
//! `http` and `run` do the I/O. Start reading at `start.rs`, which puts it together, then `run.rs`, then
//! `core/mod.rs`.

pub mod checkpoint;
pub mod containerizer;
pub mod core;
pub mod detect;
mod detector;
pub mod fetcher;
pub mod flags;
pub mod gc;
pub mod http;
pub mod metrics;
pub mod paths;
pub mod pressure;
pub mod run;
pub mod sandboxes;
pub mod start;
pub mod streams;
pub mod updates;
pub mod view;
