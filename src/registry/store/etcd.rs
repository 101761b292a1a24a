//! A registry in etcd, beside the election: `--registry=etcd`.
//!
//! | key | is |
//! |---|---|
//! | `PATH/registry/fence` | whose turn it is to write, by a name drawn for it; written anew with every write |
//! | `PATH/registry/records/agents/m-S1` | a record |
//!
//! A write is a transaction that compares the revision of the fence, and that the leader's key is the one it was
//! elected by: once another leads, or the lease is over, it is refused whole. Each moves the fence, so that one which
//! was given up, and gets to the cluster after all when later ones are done, is refused too. (ZooKeeper keeps the order
//! of a session's requests by itself.)

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Client, Compare, CompareOp, Error as EtcdError, GetOptions, Txn, TxnOp};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::fenced::Fenced;
use super::{Error, Record};
use crate::coordination::etcd::is_refusal;
use crate::coordination::url::Place;
use crate::registry::Change;

/// Records in one answer while everything is read, and the bytes that they may be together.
const PAGE: i64 = 500;
const PAGE_BYTES: usize = 256 << 20;

/// How long one request may take before the cluster counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(10);

/// Attempts of one write behind one of ours of which we have not heard.
const ATTEMPTS: usize = 4;

/// By which key a leader was elected, and the revision that made it.
pub struct Elected {
    pub key: String,
    pub create_revision: i64,
}

pub struct Etcd {
    runtime: Handle,
    client: Client,
    place: Place,
    /// `PATH/registry`.
    root: String,
    /// None for who is no master: a tool.
    elected: Option<Elected>,
    /// What the fence holds as long as it is our turn; unlike any other's.
    turn: String,
    /// The fence's revision, as far as we know; none before `take`.
    fence: Option<i64>,
}

impl Etcd {
    pub fn new(runtime: Handle, client: Client, place: Place, elected: Option<Elected>) -> Etcd {
        let root = format!("{}/registry", place.path);
        let turn = uuid::Uuid::new_v4().to_string();
        Etcd { runtime, client, place, root, elected, turn, fence: None }
    }

    fn fence_key(&self) -> String {
        format!("{}/fence", self.root)
    }

    fn key(&self, record: &str) -> String {
        format!("{}/records/{record}", self.root)
    }

    fn failed(&self, error: &EtcdError) -> Error {
        let place = self.name();
        let why = match error {
            EtcdError::GRpcStatus(status) => status.message().to_owned(),
            other => other.to_string(),
        };
        match is_refusal(error) {
            true => Error::Refused { place, why },
            false => Error::Unavailable { place, why },
        }
    }

    async fn patiently<T>(&self, request: impl Future<Output = Result<T, EtcdError>>) -> Result<T, Error> {
        match timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(Error::Unavailable { place: self.name(), why: "no answer in time".to_owned() }),
        }
    }

    fn still_elected(&self) -> Option<Compare> {
        let elected = self.elected.as_ref()?;
        Some(Compare::create_revision(elected.key.clone(), CompareOp::Equal, elected.create_revision))
    }

    /// Makes these changes and moves the fence, if all of this holds; gives the fence's revision, or none.
    async fn commit(&self, compares: Vec<Compare>, changes: Vec<TxnOp>) -> Result<Option<i64>, Error> {
        let mut client = self.client.clone();
        let move_fence = TxnOp::put(self.fence_key(), self.turn.as_str(), None);
        let operations: Vec<TxnOp> = changes.into_iter().chain([move_fence]).collect();
        let answer = self.patiently(client.txn(Txn::new().when(compares).and_then(operations))).await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        Ok(answer.succeeded().then_some(revision))
    }

    /// Where the fence is now, if it is our turn still.
    async fn our_turn(&self) -> Result<Option<i64>, Error> {
        let mut client = self.client.clone();
        let found = self.patiently(client.get(self.fence_key(), None)).await?;
        let ours = found.kvs().first().filter(|fence| fence.value() == self.turn.as_bytes());
        Ok(ours.map(etcd_client::KeyValue::mod_revision))
    }

    async fn read_keys(&self) -> Result<Vec<Record>, Error> {
        let prefix = self.key("");
        // The key behind all that begin so: '/' and the next character.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let (mut from, mut revision, mut records) = (prefix.clone().into_bytes(), 0, Vec::new());
        let mut client = self.client.kv_client().max_decoding_message_size(PAGE_BYTES);
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let page = self.patiently(client.get(from, Some(options))).await?;
            revision = match revision {
                0 => page.header().map_or(0, etcd_client::ResponseHeader::revision),
                known => known,
            };
            for found in page.kvs() {
                let key =
                    String::from_utf8_lossy(found.key().strip_prefix(prefix.as_bytes()).unwrap_or_default());
                records.push((key.into_owned(), Bytes::copy_from_slice(found.value())));
            }
            match page.kvs().last() {
                Some(last) if page.more() => from = [last.key(), b"\0"].concat(),
                _ => return Ok(records),
            }
        }
    }
}

impl Fenced for Etcd {
    /// etcd takes 128 operations; one moves the fence.
    const MOST: usize = 100;

    fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    fn name(&self) -> String {
        format!("etcd://{}/registry", self.place)
    }

    async fn take(&mut self) -> Result<(), Error> {
        let compares = self.still_elected().into_iter().collect();
        let taken = self.commit(compares, Vec::new()).await?;
        self.fence = Some(taken.ok_or_else(|| Error::Deposed { place: self.name() })?);
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Record>, Error> {
        let records = self.read_keys().await?;
        match records.is_empty() && self.fence.is_none() {
            true => Err(Error::Absent { place: self.name() }),
            false => Ok(records),
        }
    }

    /// One that is done twice is done once: it sets keys to given values, and nobody else writes.
    async fn transact(&mut self, changes: &[Change]) -> Result<(), Error> {
        let place = self.name();
        let deposed = || Error::Deposed { place: place.clone() };
        for _ in 0..ATTEMPTS {
            let fence = self.fence.ok_or_else(deposed)?;
            let mut compares = vec![Compare::mod_revision(self.fence_key(), CompareOp::Equal, fence)];
            compares.extend(self.still_elected());
            let operation = |change: &Change| match &change.value {
                Some(value) => TxnOp::put(self.key(&change.key), value.to_vec(), None),
                None => TxnOp::delete(self.key(&change.key), None),
            };
            if let Some(moved) = self.commit(compares, changes.iter().map(operation).collect()).await? {
                self.fence = Some(moved);
                return Ok(());
            }
            // Moved by one of ours that we gave up, perhaps.
            match self.our_turn().await? {
                Some(moved) if moved != fence => self.fence = Some(moved),
                _ => return Err(deposed()),
            }
        }
        let why = "writes that were given up come in while we write".to_owned();
        Err(Error::Unavailable { place: self.name(), why })
    }
}
