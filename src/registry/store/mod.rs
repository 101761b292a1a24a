//! Where a registry is kept. A store applies operations in the order given and tells of each when it is durable.

mod memory;

pub use memory::Memory;

use super::{Operation, Outcome, Registry};

/// Called once, when the operation is durable or refused, from any thread; must not wait.
pub type Done = Box<dyn FnOnce(Outcome) + Send>;

/// A place for one registry.
pub trait Store: Send {
    /// What it holds; asked once, by a master that begins to lead.
    fn load(&mut self) -> Registry;

    /// Queues an operation behind those before it; never waits.
    fn submit(&mut self, operation: Operation, done: Done);
}
