//! Real clients, unmodified, against our binary.

#![allow(clippy::disallowed_methods, reason = "tests start processes")]

#[path = "../support/mod.rs"]
mod support;

mod mesos_framework;
mod pymesos;
