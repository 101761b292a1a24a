//! libprocess on the wire: the messages Mesos processes send each other, and the HTTP served on the same port.
//!
//! A role uses it in four steps:
//!
//! 1. [`server::bind`] gives a listener; its address, or the advertised one, goes into the role's `Upid`s.
//! 2. [`server::Processes`] names the processes that live at that address and who takes their messages:
//!    `processes.add("master", inbox)`, `processes.add_family("slave-observer", inbox)` for
//!    `slave-observer(1)`, `slave-observer(2)`…. An inbox is a function that decodes an
//!    [`server::IncomingMessage`] and queues it; it runs in the connection's task, in the order sent, and
//!    off the async threads when the body is large. It must not wait.
//! 3. [`crate::http::route::Routes`] holds the ordinary endpoints: the role's own, and those of `files`,
//!    `metrics`, `logging::toggle`, [`system`] and, last, [`help`]. [`server::serve`] accepts for ever.
//! 4. [`link::Links`] sends. `send` never waits and never fails; `link` asks to be told, once, when the
//!    connection to that address ends ([`link::Exited`] on the receiver that came with the handle).
//!    Each role makes its own `Links`, also when several share a process.
//!
//! Messages are raw here, a name and bytes; `proto` knows what they mean. Absent on purpose: decoding,
//! authentication, and any notion of what a process does. Start reading at `link.rs`, and at
//! `inbound.rs` for what comes.
//!
//! Source: 3rdparty/libprocess/src/process.cpp and encoder.hpp, 1.11.

#![expect(clippy::disallowed_methods, reason = "a shell: it owns sockets, tasks and deadlines")]

pub mod background;
pub mod body;
pub mod clock;
pub mod connection;
pub mod frame;
pub mod gzip;
pub mod help;
pub mod host;
mod inbound;
pub mod link;
pub mod profiler;
pub mod server;
pub mod system;
pub mod version;

#[cfg(test)]
mod tests;
