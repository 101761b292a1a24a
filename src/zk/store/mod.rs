//! Where the tree is kept: in memory alone, in a file, or in etcd for several front ends.
//!
//! A store takes records, as the core names them, and has them when it says so. Reading is done once, at the start.

pub mod etcd;
mod file;
mod members;

use std::path::PathBuf;

use super::core::tree::Tree;
use crate::coordination::url::{self, Tls, Url};

/// Where to keep the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Memory,
    /// A folder.
    File(PathBuf),
    Etcd(url::Place, Option<Tls>),
}

impl Place {
    /// Reads what `--store` says: `memory`, `file:///folder`, `etcd://host:port,…/path`.
    pub fn parse(text: &str) -> Result<Place, String> {
        match text.trim() {
            "memory" => Ok(Place::Memory),
            text if text.starts_with("etcd://") || text.starts_with("etcds://") => {
                match Url::parse_ensemble(text).map_err(|error| error.to_string())? {
                    Url::Etcd(place, tls) => Ok(Place::Etcd(place, tls)),
                    _ => Err("expected etcd://host:port,…/path".to_owned()),
                }
            }
            text => match text.strip_prefix("file://") {
                Some(path) if path.starts_with('/') => Ok(Place::File(path.into())),
                _ => Err(format!("expected memory, file:///folder or etcd://host:port,…/path, got '{text}'")),
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
    #[error("{place} is out of reach: {why}")]
    Unavailable { place: String, why: String },
}

/// A store that is open.
pub enum Store {
    Memory,
    File(file::File),
    Etcd(Box<etcd::Etcd>),
}

impl Store {
    /// Opens a store, and reads the tree that it holds, and which sessions are over as the store knows it.
    pub async fn open(place: &Place) -> Result<(Store, Tree, Vec<i64>), Error> {
        match place {
            Place::Memory => Ok((Store::Memory, Tree::new(), Vec::new())),
            Place::Etcd(place, tls) => {
                let (etcd, tree, over) = etcd::Etcd::open(place, tls.as_ref()).await?;
                Ok((Store::Etcd(Box::new(etcd)), tree, over))
            }
            Place::File(folder) => {
                let (file, records) = tokio::task::block_in_place(|| {
                    let file = file::File::open(folder)?;
                    let records = file.read()?;
                    Ok::<_, Error>((file, records))
                })?;
                let tree = Tree::load(records);
                let tree = tree.map_err(|error| file.damaged(format!("a record cannot be read: {error}")))?;
                Ok((Store::File(file), tree, Vec::new()))
            }
        }
    }

    /// For logs: where it is, and what that means for who relies on it.
    pub fn describe(&self) -> String {
        match self {
            Store::Memory => "memory: nothing is kept when this process ends".to_owned(),
            Store::File(file) => format!("{}: on this machine alone", file.place()),
            Store::Etcd(etcd) => etcd.place(),
        }
    }
}
