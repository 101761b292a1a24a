//! Real processes, real sockets, things killed: one file per part.
#![allow(clippy::disallowed_methods, reason = "tests start processes, read clocks and files")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of cases are long")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod checks;
mod confinement;
mod containers;
mod ctl;
mod endpoints;
mod events;
mod execute;
mod executors;
mod flags;
mod frameworks;
mod help;
mod high_availability;
mod housekeeping;
mod isolation;
mod logging;
mod metrics;
mod operators;
mod overview;
mod profiler;
mod recovery;
mod registry;
mod registry_ensembles;
mod rest;
mod v0_executors;
mod wire;
mod zookeeper;
mod zookeeper_histories;
