//! Stores by name, for tools: a folder, or the URL of an ensemble.

use std::path::Path;

use tokio::runtime::Handle;

use super::{Etcd, Local, Store, ZooKeeper};
use crate::coordination::url::{Malformed, Url};
use crate::coordination::{etcd, zookeeper};

/// How long connecting may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Why there is no such store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("reading {path}")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    Url(#[from] Malformed),
    #[error("connecting to {place}: {why}")]
    Connect { place: String, why: String },
}

/// `/var/lib/mesos` is the database below that `--work_dir`; `zk://…`, `etcd://…` and `file:///path` of a file with
/// one of these are what masters are started with as `--zk`.
pub fn open(name: &str, runtime: &Handle) -> Result<Box<dyn Store>, OpenError> {
    let text = match name.strip_prefix("file://") {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| OpenError::File { path: path.to_owned(), source })?,
        None if !Url::is_ensemble(name) => return Ok(Box::new(Local::new(Path::new(name)))),
        None => name.to_owned(),
    };
    match Url::parse_ensemble(&text)? {
        Url::ZooKeeper(place) => {
            let client = runtime.block_on(zookeeper::connect(&place, PATIENCE)).map_err(|error| {
                OpenError::Connect { place: format!("zk://{place}"), why: error.to_string() }
            })?;
            Ok(Box::new(ZooKeeper::new(runtime.clone(), client, place)))
        }
        Url::Etcd(place, tls) => {
            let connected = runtime.block_on(etcd::connect(&place, tls.as_ref(), PATIENCE));
            let client = connected.map_err(|error| OpenError::Connect {
                place: format!("etcd://{place}"),
                why: error.to_string(),
            })?;
            Ok(Box::new(Etcd::new(runtime.clone(), client, place, None)))
        }
        // `parse_ensemble` gives none.
        Url::Master(_) => Ok(Box::new(Local::new(Path::new(name)))),
    }
}
