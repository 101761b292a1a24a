//! Real clients, unmodified, against our binary; our agent and our answers beside the real master.

#![allow(clippy::disallowed_methods, reason = "tests start processes")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod ctl;
mod elections;
mod emulated_agents;
mod hadoop;
mod java;
mod libmesos;
mod mesos_framework;
mod mesos_go;
mod metrics;
mod old_drivers;
mod open_metrics;
mod peer;
mod pymesos;
mod recovery;
mod same_answers;
mod spark;
mod under_a_real_master;
mod zookeeper;
