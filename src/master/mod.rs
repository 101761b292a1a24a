//! The master: `core` decides, `view` answers reads, `http` and `run` do the I/O.
//!
//! Start reading at `start.rs`, which puts it together, then `run.rs`, then `core`.

pub mod allocator;
pub mod core;
mod engine;
pub mod events;
pub mod feed;
pub mod flags;
pub mod http;
pub mod metrics;
pub mod registrar;
pub mod run;
pub mod seat;
pub mod start;
pub mod streams;
pub mod validate;
pub mod view;

#[cfg(test)]
mod tests;
