//! What an agent keeps on its disk, so that the next one goes on where it was killed.
//!
//! The agent's core says what it wants kept as [`Fact`]s, one after the other; an [`Image`] is what they come
//! to, and a restarted core begins with one. `journal` writes facts as bytes and reads what a crash, or worse,
//! has left of them. `disk` is the shell: it keeps a journal in a file, and says when it is durable.
//!
//! All facts are in one file in the order in which they were told: what is durable is always a beginning of what
//! was said, and many facts cost one fsync.
//!
//! Absent on purpose: what a fact means to the agent (`core/recovery.rs`). Start at `fact.rs`.

pub mod disk;
mod fact;
mod image;
pub mod journal;
#[cfg(test)]
mod tests;

pub use fact::Fact;
pub use image::{ExecutorImage, FrameworkImage, Image, PastExecutor, StreamImage};
