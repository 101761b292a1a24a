//! A registry in ZooKeeper, beside the election: `--registry=zookeeper`.
//!
//! | znode | is |
//! |---|---|
//! | `PATH/registry/fence` | written by each leader that takes the registry; its version is in every write's check |
//! | `PATH/registry/records/3f/agents%2Fm-S1` | a record, below one of 256 parents, told by a hash of its key |
//!
//! So neither a node nor a list of children comes near ZooKeeper's limit of 1 MB with 50,000 agents. A write is a
//! `multi` that begins with a check of the fence: it is done whole, or refused whole when another has led since.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::runtime::Handle;
use tokio::time::timeout;
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error as ZkError, MultiWriteError};

use super::fenced::Fenced;
use super::{Error, Record};
use crate::coordination::url::Place;
use crate::coordination::zookeeper::{acls, is_refusal, make_path};
use crate::registry::Change;

/// What of a key is written otherwise in a node's name.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Requests under way at once while everything is read.
const AT_ONCE: usize = 128;

/// How long one request may take before the ensemble counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(10);

/// Attempts of one write whose nodes are other than we thought.
const ATTEMPTS: usize = 4;

/// A session's way to the registry. Leaders have it in the session that they lead by.
pub struct ZooKeeper {
    runtime: Handle,
    client: Client,
    place: Place,
    acls: Vec<Acl>,
    /// `PATH/registry`.
    root: String,
    /// The fence's version that lets us write; none before `load`.
    fence: Option<i32>,
    /// Keys that have a node.
    known: HashSet<String>,
    /// A write may have been done or not.
    in_doubt: bool,
}

impl ZooKeeper {
    pub fn new(runtime: Handle, client: Client, place: Place) -> ZooKeeper {
        let (acls, root) = (acls(&place), format!("{}/registry", place.path));
        let known = HashSet::new();
        ZooKeeper { runtime, client, place, acls, root, fence: None, known, in_doubt: false }
    }

    fn node(&self, key: &str) -> String {
        format!("{}/records/{:02x}/{}", self.root, shard(key), utf8_percent_encode(key, ENCODED))
    }

    /// What a failed request means.
    fn failed(&self, error: &ZkError) -> Error {
        let (place, why) = (self.name(), error.to_string());
        match error {
            // A session's end is the end of its leadership.
            ZkError::SessionExpired | ZkError::ClientClosed => Error::Deposed { place },
            error if is_refusal(error) => Error::Refused { place, why },
            ZkError::MarshallingError | ZkError::QuotaExceeded => Error::Refused { place, why },
            _ => Error::Unavailable { place, why },
        }
    }

    async fn patiently<T>(&self, request: impl Future<Output = Result<T, ZkError>>) -> Result<T, Error> {
        match timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.failed(&ZkError::Timeout)),
        }
    }

    /// Another may have made it meanwhile.
    async fn make(&self, node: &str) -> Result<(), Error> {
        let options = CreateMode::Persistent.with_acls(Acls::new(&self.acls));
        let made = async {
            match self.client.create(node, &[], &options).await {
                Ok(_) | Err(ZkError::NodeExists) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.patiently(made).await
    }

    async fn read_nodes(&self) -> Result<Vec<Record>, Error> {
        let records = format!("{}/records", self.root);
        // This member of the ensemble may lag behind what others have taken in.
        self.patiently(self.client.sync(&self.place.path)).await?;
        let shards = match timeout(PATIENCE, self.client.list_children(&records)).await {
            Ok(Err(ZkError::NoNode)) => return Err(Error::Absent { place: self.name() }),
            Ok(Err(error)) => return Err(self.failed(&error)),
            Ok(Ok(shards)) => shards,
            Err(_) => return Err(self.failed(&ZkError::Timeout)),
        };
        let lists = stream::iter(shards)
            .map(|shard| {
                let parent = format!("{records}/{shard}");
                async move {
                    let names = self.patiently(self.client.list_children(&parent)).await?;
                    Ok(names.into_iter().map(|name| (format!("{parent}/{name}"), name)).collect::<Vec<_>>())
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<Result<Vec<(String, String)>, Error>>>()
            .await;
        let nodes: Vec<_> = lists.into_iter().collect::<Result<Vec<_>, Error>>()?.concat();
        let records = stream::iter(nodes)
            .map(|(node, name)| async move {
                let (data, _) = self.patiently(self.client.get_data(&node)).await?;
                let key = percent_decode_str(&name).decode_utf8_lossy().into_owned();
                Ok((key, Bytes::from(data)))
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<Result<Record, Error>>>()
            .await;
        records.into_iter().collect()
    }

    /// Which of these have a node, asked anew.
    async fn look(&mut self, changes: &[Change]) -> Result<(), Error> {
        self.patiently(self.client.sync(&self.place.path)).await?;
        for change in changes {
            let there = self.patiently(self.client.check_stat(&self.node(&change.key))).await?.is_some();
            if there {
                self.known.insert(change.key.clone());
            } else {
                self.known.remove(&change.key);
            }
        }
        Ok(())
    }

    async fn multi(&self, changes: &[Change]) -> Result<(), MultiWriteError> {
        let fence = self.fence.ok_or(ZkError::BadVersion)?;
        let options = CreateMode::Persistent.with_acls(Acls::new(&self.acls));
        let mut writer = self.client.new_multi_writer();
        writer.add_check_version(&format!("{}/fence", self.root), fence)?;
        let mut count = 0;
        for change in changes {
            let (node, known) = (self.node(&change.key), self.known.contains(&change.key));
            match &change.value {
                Some(value) if known => writer.add_set_data(&node, value, None)?,
                Some(value) => writer.add_create(&node, value, &options)?,
                None if known => writer.add_delete(&node, None)?,
                None => continue,
            }
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        match timeout(PATIENCE, writer.commit()).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(ZkError::Timeout.into()),
        }
    }
}

impl Fenced for ZooKeeper {
    const MOST: usize = 500;

    fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    fn name(&self) -> String {
        format!("zk://{}/registry", self.place)
    }

    async fn take(&mut self) -> Result<(), Error> {
        let records = format!("{}/records", self.root);
        self.patiently(make_path(&self.client, &self.place, &records)).await?;
        let there = self.patiently(self.client.list_children(&records)).await?;
        for shard in (0..=u8::MAX).map(|shard| format!("{shard:02x}")) {
            if !there.contains(&shard) {
                self.make(&format!("{records}/{shard}")).await?;
            }
        }
        let fence = format!("{}/fence", self.root);
        self.make(&fence).await?;
        self.fence = Some(self.patiently(self.client.set_data(&fence, &[], None)).await?.version);
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Record>, Error> {
        let records = self.read_nodes().await?;
        self.known = records.iter().map(|(key, _)| key.clone()).collect();
        Ok(records)
    }

    async fn transact(&mut self, changes: &[Change]) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if self.in_doubt {
                self.look(changes).await?;
            }
            match self.multi(changes).await {
                Ok(()) => {
                    for change in changes {
                        match change.value {
                            Some(_) => self.known.insert(change.key.clone()),
                            None => self.known.remove(&change.key),
                        };
                    }
                    self.in_doubt = false;
                    return Ok(());
                }
                Err(MultiWriteError::OperationFailed { index: 0, source }) => {
                    return Err(match source {
                        ZkError::BadVersion | ZkError::NoNode => Error::Deposed { place: self.name() },
                        other => self.failed(&other),
                    });
                }
                Err(MultiWriteError::OperationFailed {
                    source: ZkError::NodeExists | ZkError::NoNode,
                    ..
                }) => self.in_doubt = true,
                Err(MultiWriteError::OperationFailed { source, .. }) => return Err(self.failed(&source)),
                Err(MultiWriteError::RequestFailed { source }) => {
                    self.in_doubt = true;
                    return Err(self.failed(&source));
                }
            }
        }
        let why = "its nodes change while we write".to_owned();
        Err(Error::Unavailable { place: self.name(), why })
    }
}

/// Which parent a key is below: FNV-1a, folded. Part of the format.
fn shard(key: &str) -> u8 {
    let hash =
        key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hash = hash ^ (hash >> 16);
    (hash ^ (hash >> 8)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_spread_over_their_parents() {
        let mut counts = [0_usize; 256];
        for number in 0..50_000 {
            let key = format!("agents/0f9cf5ac-3bd4-4d73-a8e2-0f9ee2d5e8a5-S{number}");
            counts[usize::from(shard(&key))] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 100 && *most < 400, "{least} to {most}");
        // The format: others must find what we wrote.
        assert_eq!((shard("master"), shard("agents/S1")), (203, 224));
    }

    #[test]
    fn names_of_nodes_are_names() {
        let name = utf8_percent_encode("quotas/a/b c", ENCODED).to_string();
        assert_eq!(name, "quotas%2Fa%2Fb%20c");
        assert_eq!(percent_decode_str(&name).decode_utf8_lossy(), "quotas/a/b c");
    }
}
