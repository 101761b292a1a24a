//! Stores beside an election: what they have in common.

use tokio::runtime::Handle;

use super::chunks::chunks;
use super::{Error, Record, Store};
use crate::registry::Change;

/// An ensemble's registry behind a fence that each leader moves when it takes the registry, and that every write is
/// checked against. Requests are made one after the other.
pub(super) trait Fenced: Send {
    /// Changes that one transaction may have.
    const MOST: usize;

    /// Where requests are made.
    fn runtime(&self) -> Handle;

    fn name(&self) -> String;

    /// Moves the fence, so that nobody who did so before can write any more.
    async fn take(&mut self) -> Result<(), Error>;

    /// All records. `Absent` if nobody ever took it.
    async fn read(&mut self) -> Result<Vec<Record>, Error>;

    /// One transaction: done whole, or refused whole. Only after `take`.
    async fn transact(&mut self, changes: &[Change]) -> Result<(), Error>;
}

impl<T: Fenced> Store for T {
    fn place(&self) -> String {
        self.name()
    }

    fn peek(&mut self) -> Result<Vec<Record>, Error> {
        self.runtime().block_on(self.read())
    }

    fn load(&mut self) -> Result<Vec<Record>, Error> {
        self.runtime().block_on(async {
            // Before anything is read, so that nothing is written by others behind it.
            self.take().await?;
            self.read().await
        })
    }

    fn write(&mut self, batch: &[Change]) -> Result<(), Error> {
        self.runtime().block_on(async {
            for chunk in chunks(batch, T::MOST) {
                self.transact(chunk).await?;
            }
            Ok(())
        })
    }
}
