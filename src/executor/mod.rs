//! The executors that Mesos ships: `mesos-executor` runs the one task of a framework that brings no executor
//! of its own, `mesos-default-executor` runs groups of tasks.
//!
//! `core` decides, `link` talks to the agent over the v1 executor API, `processes` runs tasks, `probes` looks at
//! them for their checks, `run` is the loop. Absent as yet: container images, nested containers (the tasks of a
//! group are processes of the default executor). Start reading at `core/mod.rs`.
#![expect(clippy::disallowed_methods, reason = "a shell, but for `core`: processes, files, sockets, clock")]

pub mod core;
mod environment;
mod link;
mod probes;
pub mod processes;
pub mod run;
