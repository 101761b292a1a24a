//! Where a registry's records are kept: in memory, in a file of this machine, in ZooKeeper or etcd.
//!
//! A store knows keys and bytes, and nothing of agents. It waits, so it has a thread (`writer`), where one thing
//! is done after the other. Start reading at [`Store`].

#![expect(clippy::disallowed_methods, reason = "a shell: threads, clocks and disks")]

mod chunks;
mod error;
mod etcd;
mod fenced;
mod local;
#[cfg(test)]
mod local_tests;
mod memory;
mod open;
mod writer;
mod zookeeper;

use bytes::Bytes;

use super::Change;

pub use error::Error;
pub use etcd::{Elected, Etcd};
pub use local::Local;
pub use memory::Memory;
pub use open::{OpenError, open};
pub use writer::{Patience, Writer};
pub use zookeeper::ZooKeeper;

/// A record: its key, as `agents/<id>`, and its bytes.
pub type Record = (String, Bytes);

/// A place for one registry.
pub trait Store: Send {
    /// What it is called in the log.
    fn place(&self) -> String;

    /// All records, as they are. Whose registry it is keeps it.
    fn peek(&mut self) -> Result<Vec<Record>, Error>;

    /// Takes it into possession, so that nobody who did so before can write any more, and reads all records.
    fn load(&mut self) -> Result<Vec<Record>, Error>;

    /// Writes the batch; it is durable when this returns. Only after `load`.
    fn write(&mut self, batch: &[Change]) -> Result<(), Error>;

    /// Whether `write` never waits, so that it needs no thread.
    fn is_instant(&self) -> bool {
        false
    }
}
