//! A registry in etcd, beside the election: `--registry=etcd`.
//!
//! | key | is |
//! |---|---|
//! | `PATH/registry/fence` | written by each leader that takes the registry; its revision is in every write's check |
//! | `PATH/registry/records/agents/m-S1` | a record |
//!
//! A write is a transaction that compares the revision of the fence, and that the leader's key is the one it was
//! elected by: once another leads, or the lease is over, it is refused whole.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Client, Compare, CompareOp, Error as EtcdError, GetOptions, Txn, TxnOp};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::chunks::chunks;
use super::{Error, Record, Store};
use crate::coordination::etcd::is_refusal;
use crate::coordination::url::Place;
use crate::registry::Change;

/// Changes in one transaction; etcd takes 128 operations.
const MOST: usize = 100;

/// Records in one answer while everything is read, and the bytes that they may be together.
const PAGE: i64 = 500;
const PAGE_BYTES: usize = 256 << 20;

/// How long one request may take before the cluster counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The fence's revision that lets us write; none before `load`.
    fence: Option<i64>,
}

impl Etcd {
    pub fn new(runtime: Handle, client: Client, place: Place, elected: Option<Elected>) -> Etcd {
        let root = format!("{}/registry", place.path);
        Etcd { runtime, client, place, root, elected, fence: None }
    }

    fn fence_key(&self) -> String {
        format!("{}/fence", self.root)
    }

    fn key(&self, record: &str) -> String {
        format!("{}/records/{record}", self.root)
    }

    fn failed(&self, error: &EtcdError) -> Error {
        let place = self.place();
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
            Err(_) => Err(Error::Unavailable { place: self.place(), why: "no answer in time".to_owned() }),
        }
    }

    fn still_elected(&self) -> Option<Compare> {
        let elected = self.elected.as_ref()?;
        Some(Compare::create_revision(elected.key.clone(), CompareOp::Equal, elected.create_revision))
    }

    async fn transact(&self, compares: Vec<Compare>, operations: Vec<TxnOp>) -> Result<i64, Error> {
        let mut client = self.client.clone();
        let answer = self.patiently(client.txn(Txn::new().when(compares).and_then(operations))).await?;
        if !answer.succeeded() {
            return Err(Error::Deposed { place: self.place() });
        }
        Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    async fn take(&self) -> Result<i64, Error> {
        let compares = self.still_elected().into_iter().collect();
        self.transact(compares, vec![TxnOp::put(self.fence_key(), "", None)]).await
    }

    async fn read(&self) -> Result<Vec<Record>, Error> {
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

    async fn write_chunk(&self, changes: &[Change]) -> Result<(), Error> {
        let fence = self.fence.unwrap_or(-1);
        let mut compares = vec![Compare::mod_revision(self.fence_key(), CompareOp::Equal, fence)];
        compares.extend(self.still_elected());
        let operation = |change: &Change| match &change.value {
            Some(value) => TxnOp::put(self.key(&change.key), value.to_vec(), None),
            None => TxnOp::delete(self.key(&change.key), None),
        };
        self.transact(compares, changes.iter().map(operation).collect()).await.map(drop)
    }
}

impl Store for Etcd {
    fn place(&self) -> String {
        format!("etcd://{}/registry", self.place)
    }

    fn peek(&mut self) -> Result<Vec<Record>, Error> {
        self.runtime.block_on(async {
            let records = self.read().await?;
            match records.is_empty() {
                true => Err(Error::Absent { place: self.place() }),
                false => Ok(records),
            }
        })
    }

    fn load(&mut self) -> Result<Vec<Record>, Error> {
        let (fence, records) = self.runtime.block_on(async {
            // Before anything is read, so that nothing is written by others behind it.
            let fence = self.take().await?;
            Ok::<_, Error>((fence, self.read().await?))
        })?;
        self.fence = Some(fence);
        Ok(records)
    }

    fn write(&mut self, batch: &[Change]) -> Result<(), Error> {
        self.runtime.block_on(async {
            for chunk in chunks(batch, MOST) {
                self.write_chunk(chunk).await?;
            }
            Ok(())
        })
    }
}
