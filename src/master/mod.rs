//! The master: `core` decides, `view` answers reads, `http` and `run` do the I/O.

pub mod core;
pub mod flags;
pub mod validate;
