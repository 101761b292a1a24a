//! A ZooKeeper server, for those who have none: `mesos zk serve`, and `mesos local --zk`.
//!
//! It serves the client protocol of ZooKeeper 3.4 to 3.8. The core (`core/`, with `jute.rs` and `wire/` for the bytes)
//! decides; `store/` keeps what must last; `connection.rs` has a client's socket, `run.rs` is the loop around them, and
//! `words.rs` answers the four-letter words.
//!
//! Absent on purpose: an ensemble of its own (several front ends share an etcd instead), containers and nodes with a
//! time to live, quotas, SASL and TLS, and the admin server.
#![expect(clippy::disallowed_methods, reason = "a shell: sockets, clocks and disks")]

pub mod connection;
pub mod core;
pub mod jute;
pub mod run;
pub mod store;
pub mod wire;
mod words;
