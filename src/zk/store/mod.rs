//! Where the tree is kept: in memory alone, or in a file.
//!
//! A store takes records, as the core names them, and has them when it says so. Reading is done once, at the start.

mod file;

use std::path::PathBuf;

use bytes::Bytes;

use super::core::records::{HEAD, Head};
use super::core::tree::Tree;
use super::core::turn::Key;

/// Where to keep the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Memory,
    /// A folder.
    File(PathBuf),
}

impl Place {
    /// Reads what `--store` says: `memory`, `file:///folder`.
    pub fn parse(text: &str) -> Result<Place, String> {
        match text.trim() {
            "memory" => Ok(Place::Memory),
            text => match text.strip_prefix("file://") {
                Some(path) if path.starts_with('/') => Ok(Place::File(path.into())),
                _ => Err(format!("expected memory or file:///folder, got '{text}'")),
            },
        }
    }
}

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing} {place}")]
    Io { doing: &'static str, place: String, source: std::io::Error },
    #[error("{place} is used by another process")]
    InUse { place: String },
    #[error("{place} is damaged: {why}")]
    Damaged { place: String, why: String },
}

/// A store that is open.
pub enum Store {
    Memory,
    File(file::File),
}

impl Store {
    /// Opens a store, and reads the tree that it holds.
    pub fn open(place: &Place) -> Result<(Store, Tree), Error> {
        match place {
            Place::Memory => Ok((Store::Memory, Tree::new())),
            Place::File(folder) => {
                let file = file::File::open(folder)?;
                let tree = Tree::load(file.read()?);
                let tree = tree.map_err(|error| file.damaged(format!("a record cannot be read: {error}")))?;
                Ok((Store::File(file), tree))
            }
        }
    }

    /// For logs: where it is, and what that means for who relies on it.
    pub fn describe(&self) -> String {
        match self {
            Store::Memory => "memory: nothing is kept when this process ends".to_owned(),
            Store::File(file) => format!("{}: on this machine alone", file.place()),
        }
    }

    /// Has these records when it returns. Blocks.
    pub fn write(&mut self, records: &[(Key, Option<Bytes>)], head: &Head) -> Result<(), Error> {
        match self {
            Store::Memory => Ok(()),
            // What the last change told of is of use to other front ends only.
            Store::File(file) => {
                let head = Head { zxid: head.zxid, triggers: Vec::new() };
                let records = records.iter().map(|(key, record)| (key.name(), record.clone()));
                file.write(records.chain([(HEAD.to_owned(), Some(head.write()))]))
            }
        }
    }
}
