//! For frameworks written with this crate: the v1 scheduler client, and the framework of `mesos execute`.
//!
//! `execute` is pure: an event in, steps out. `session` talks to the master. Start reading at `execute.rs`.

pub mod execute;
pub mod session;
