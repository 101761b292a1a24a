//! Values without behaviour of their own: times, durations, sizes, addresses, ends of processes.
//!
//! Absent on purpose: clocks (a shell reads the clock and passes `Time` in) and ids
//! (they are the protobuf messages of `proto`, used as they are).

pub mod build;
pub mod bytes;
pub mod duration;
pub mod end;
pub mod time;
pub mod timers;
pub mod upid;
pub mod uuid;
