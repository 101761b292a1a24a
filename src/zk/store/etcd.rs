//! A tree in etcd, which several front ends share: each has it whole, and writes it in turn.
//!
//! | key | is |
//! |---|---|
//! | `PATH/r/head` | the last change; every write compares its revision, so that writes follow each other |
//! | `PATH/r/n/a/b`, `PATH/r/s…` | nodes and sessions, as the core names their records |
//! | `PATH/l/00000000000000ff` | a session's lease, with the front end that its client is at |
//!
//! A write that comes too late is refused whole; the front end learns what it missed from its watch, and tries again.
//! One whose answer is lost is found again by its name in the head, or made impossible by moving the head.
//!
//! A session is over when its lease is. What is sent to a client is sent only while the lease is known to last longer
//! than the client's timeout from then on ([`Etcd::vouches`]): a front end that lost touch with etcd falls silent, and
//! no client believes in a session that others saw end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd_client::{
    Client, Compare, CompareOp, Error as EtcdError, EventType, GetOptions, LeaseGrantOptions, PutOptions,
    Txn, TxnOp, WatchOptions,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Error;
use super::members::Members;
use crate::coordination::url::{Place, Tls};
use crate::zk::core::records::{HEAD, Head, Records};
use crate::zk::core::tree::Tree;
use crate::zk::core::turn::Key;

/// Records of one write; etcd takes 128 operations, and a session's record comes with its lease.
pub const MOST: usize = 60;

/// How long one request may take, and before what failed is tried again.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);

/// Records in one answer while everything is read.
const PAGE: i64 = 500;

/// What happened in etcd.
#[derive(Debug)]
pub enum News {
    /// A change, whoever made it.
    Changed { revision: i64, records: Records, head: Head },
    /// A session's lease is over.
    Over(i64),
    /// A session has gone to another front end.
    Moved(i64),
    /// The watch cannot go on.
    Lost(String),
}

/// What became of a write.
pub enum Written {
    Done,
    /// Others were first. If a change of this name comes, it is this write all the same.
    Behind(Arc<str>),
}

/// A session's lease.
struct Lease {
    nudge: mpsc::Sender<()>,
    /// When it was last asked for that it was given, milliseconds since the start.
    kept: Arc<AtomicU64>,
    asked: u64,
    timeout_ms: u64,
    /// Whether its key is there, which tells others where the session is.
    is_placed: bool,
}

pub struct Etcd {
    members: Arc<Members>,
    root: String,
    /// This front end.
    name: String,
    writes: u64,
    /// The revision of the head that this front end knows; 0 before the first write.
    pub revision: i64,
    news: mpsc::Receiver<News>,
    leases: HashMap<i64, Lease>,
    started: Instant,
}

/// How long a lease is, seconds: longer than the timeout by what keeping it may take.
fn ttl(timeout_ms: i32) -> i64 {
    i64::from(timeout_ms) / 750 + 2
}

impl Etcd {
    /// Connects, and reads all there is; with the sessions whose leases are over.
    pub async fn open(place: &Place, tls: Option<&Tls>) -> Result<(Etcd, Tree, Vec<i64>), Error> {
        let fail = |why: String| Error::Unavailable { place: format!("etcd://{place}"), why };
        let members = Members::connect(place, tls).await.map_err(|error| fail(error.to_string()))?;
        let root = place.path.clone();
        let mut tried = 1;
        let all = loop {
            let member = members.one().await;
            match timeout(PATIENCE * 3, read(&member.client, &root)).await {
                Ok(Ok(all)) => break all,
                Ok(Err(error)) if tried == place.servers.len() => return Err(fail(error.to_string())),
                Err(_) if tried == place.servers.len() => return Err(fail("no answer in time".to_owned())),
                _ => members.failed(&member).await,
            }
            tried += 1;
        };
        let members = Arc::new(members);
        let prefix = format!("{root}/r/");
        let mut records = Vec::new();
        let (mut revision, mut leases) = (0, Vec::new());
        for (key, value, modified) in all.0 {
            if let Some(name) = key.strip_prefix(&prefix) {
                if name == HEAD {
                    revision = modified;
                }
                records.push((name.to_owned(), value));
            } else if let Some(id) = lease_of(&key, &root) {
                leases.push(id);
            }
        }
        let damaged = |error| Error::Damaged { place: format!("etcd://{place}"), why: format!("{error}") };
        let tree = Tree::load(records).map_err(damaged)?;
        let over = tree.sessions().map(|(id, _)| id).filter(|id| !leases.contains(id)).collect();
        let name = uuid::Uuid::new_v4().to_string();
        let (sender, news) = mpsc::channel(1024);
        tokio::spawn(follow(members.clone(), root.clone(), name.clone(), all.1, sender));
        let etcd = Etcd {
            members,
            root,
            name,
            writes: 0,
            revision,
            news,
            leases: HashMap::new(),
            started: Instant::now(),
        };
        Ok((etcd, tree, over))
    }

    pub fn place(&self) -> String {
        format!("etcd, at {}", self.root)
    }

    /// What has happened; waits for it.
    pub async fn news(&mut self) -> News {
        self.news.recv().await.unwrap_or_else(|| News::Lost("the watch ended".to_owned()))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lease_key(&self, id: i64) -> String {
        format!("{}/l/{id:016x}", self.root)
    }

    /// Writes behind the head that is known. Tries until etcd has answered.
    pub async fn write(
        &mut self,
        records: &[(Key, Option<Bytes>)],
        head: &Head,
        timeouts: &[(i64, i32)],
    ) -> Written {
        self.writes += 1;
        let by: Arc<str> = format!("{} {}", self.name, self.writes).into();
        let mut operations = Vec::new();
        for (key, record) in records {
            let name = format!("{}/r/{}", self.root, key.name());
            operations.push(match record {
                Some(record) => TxnOp::put(name, record.to_vec(), None),
                None => TxnOp::delete(name, None),
            });
            if let Key::Session(id) = key {
                match record {
                    Some(_) if self.leases.get(id).is_some_and(|lease| lease.is_placed) => {}
                    Some(_) => {
                        // One that came too late has its lease already, and is not late once more for that.
                        if !self.leases.contains_key(id) {
                            let timeout_ms =
                                timeouts.iter().find(|(of, _)| of == id).map_or(0, |(_, ms)| *ms);
                            self.grant(*id, timeout_ms).await;
                        }
                        let with = PutOptions::new().with_lease(*id);
                        operations.push(TxnOp::put(self.lease_key(*id), self.name.as_str(), Some(with)));
                    }
                    None => {
                        self.leases.remove(id);
                        operations.push(TxnOp::delete(self.lease_key(*id), None));
                    }
                }
            }
        }
        let head = Head { by: by.clone(), ..head.clone() };
        operations.push(TxnOp::put(self.head_key(), head.write().to_vec(), None));
        let known = self.revision;
        match self.commit(known, operations).await {
            Some(Some(revision)) => {
                self.revision = revision;
                Written::Done
            }
            Some(None) => Written::Behind(by),
            None => {
                self.fence(known).await;
                Written::Behind(by)
            }
        }
    }

    /// What was written holds where these sessions are.
    pub fn placed(&mut self, records: &[(Key, Option<Bytes>)]) {
        for (key, _) in records {
            if let Key::Session(id) = key
                && let Some(lease) = self.leases.get_mut(id)
            {
                lease.is_placed = true;
            }
        }
    }

    fn head_key(&self) -> String {
        format!("{}/r/{HEAD}", self.root)
    }

    /// The new revision if the head was the known one; none within if it was not; none if there was no answer.
    async fn commit(&self, known: i64, operations: Vec<TxnOp>) -> Option<Option<i64>> {
        let unmoved = match known {
            0 => Compare::create_revision(self.head_key(), CompareOp::Equal, 0),
            known => Compare::mod_revision(self.head_key(), CompareOp::Equal, known),
        };
        let transaction = Txn::new().when([unmoved]).and_then(operations);
        let answer = self.ask("writing to etcd", async |mut client| client.txn(transaction).await).await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        Some(answer.succeeded().then_some(revision))
    }

    /// One attempt of a request. None if it failed, or had no answer in time; the next goes to another member.
    async fn ask<T>(
        &self,
        doing: &str,
        request: impl AsyncFnOnce(Client) -> Result<T, EtcdError>,
    ) -> Option<T> {
        let member = self.members.one().await;
        let why = match timeout(PATIENCE, request(member.client.clone())).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(why, server = %member.server, "{doing}");
        self.members.failed(&member).await;
        None
    }

    async fn head_found(&self, doing: &str) -> Option<etcd_client::GetResponse> {
        self.ask(doing, async |mut client| client.get(self.head_key(), None).await).await
    }

    /// Moves the head, so that a write whose answer is lost is done already, or never.
    async fn fence(&self, known: i64) {
        loop {
            if let Some(found) = self.head_found("looking for a write without an answer").await {
                let head = found.kvs().first();
                if head.map_or(0, etcd_client::KeyValue::mod_revision) != known {
                    return;
                }
                let value =
                    head.map_or_else(|| Head::default().write().to_vec(), |head| head.value().to_vec());
                let Ok(head) = Head::read(value.into()) else { return };
                let head = Head { triggers: Vec::new(), by: "a fence".into(), ..head };
                let put = TxnOp::put(self.head_key(), head.write().to_vec(), None);
                if self.commit(known, vec![put]).await.is_some() {
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The head's revision as etcd has it now.
    pub async fn latest(&self) -> i64 {
        loop {
            if let Some(found) = self.head_found("asking etcd for the last change").await {
                return found.kvs().first().map_or(0, etcd_client::KeyValue::mod_revision);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn grant(&mut self, id: i64, timeout_ms: i32) {
        let asked = self.now();
        let options = LeaseGrantOptions::new().with_id(id);
        let grant =
            async |mut client: Client| match client.lease_grant(ttl(timeout_ms), Some(options.clone())).await
            {
                // An earlier attempt, of which we have not heard.
                Err(EtcdError::GRpcStatus(status)) if status.message().contains("already exists") => Ok(()),
                granted => granted.map(drop),
            };
        while self.ask("asking etcd for a lease", grant).await.is_none() {
            tokio::time::sleep(AGAIN).await;
        }
        self.hold(id, timeout_ms, asked, false);
    }

    fn hold(&mut self, id: i64, timeout_ms: i32, asked: u64, is_placed: bool) {
        let (nudge, nudged) = mpsc::channel(1);
        let kept = Arc::new(AtomicU64::new(asked));
        tokio::spawn(keep(self.members.clone(), id, nudged, kept.clone(), self.started));
        let timeout_ms = u64::try_from(timeout_ms).unwrap_or_default();
        self.leases.insert(id, Lease { nudge, kept, asked, timeout_ms, is_placed });
    }

    /// Takes a session over from another front end, or goes on with it. False if its lease is over.
    pub async fn adopt(&mut self, id: i64, timeout_ms: i32) -> bool {
        let asked = self.now();
        let with = PutOptions::new().with_lease(id);
        let kept = async |mut client: Client| {
            let (mut keeper, mut answers) = client.lease_keep_alive(id).await?;
            keeper.keep_alive().await?;
            let lasts = answers.message().await?.is_some_and(|answer| answer.ttl() > 0);
            if lasts {
                client.put(self.lease_key(id), self.name.as_str(), Some(with)).await?;
            }
            Ok(lasts)
        };
        let lasts = self.ask("taking a session over", kept).await.unwrap_or(false);
        if lasts {
            self.hold(id, timeout_ms, asked, true);
        }
        lasts
    }

    pub fn forget(&mut self, id: i64) {
        self.leases.remove(&id);
    }

    /// A session was heard of.
    pub fn heard(&mut self, id: i64) {
        let now = self.now();
        if let Some(lease) = self.leases.get_mut(&id)
            && now >= lease.asked + lease.timeout_ms / 8
        {
            lease.asked = now;
            // One that is under way is as good.
            let _ = lease.nudge.try_send(());
        }
    }

    /// Whether the lease is known to last longer than the client's timeout from now on.
    pub fn vouches(&self, id: i64) -> bool {
        self.leases.get(&id).is_none_or(|lease| {
            let timeout_ms = i32::try_from(lease.timeout_ms).unwrap_or(i32::MAX);
            let lasts = u64::try_from(ttl(timeout_ms)).unwrap_or_default() * 1000;
            lease.kept.load(Ordering::Relaxed) + lasts >= self.now() + lease.timeout_ms
        })
    }
}

/// Keeps a lease each time it is nudged, until nobody can.
async fn keep(
    members: Arc<Members>,
    id: i64,
    mut nudged: mpsc::Receiver<()>,
    kept: Arc<AtomicU64>,
    started: Instant,
) {
    'stream: loop {
        let member = members.one().await;
        let mut client = member.client.clone();
        let Ok(Ok((mut keeper, mut answers))) = timeout(PATIENCE, client.lease_keep_alive(id)).await else {
            members.failed(&member).await;
            if nudged.recv().await.is_none() {
                return;
            }
            continue;
        };
        while nudged.recv().await.is_some() {
            let asked = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let answer = async {
                keeper.keep_alive().await?;
                answers.message().await
            };
            match timeout(PATIENCE, answer).await {
                Ok(Ok(Some(answer))) if answer.ttl() > 0 => kept.store(asked, Ordering::Relaxed),
                // The watch tells that it is over.
                Ok(Ok(Some(_))) => return,
                _ => {
                    members.failed(&member).await;
                    continue 'stream;
                }
            }
        }
        return;
    }
}

fn lease_of(key: &str, root: &str) -> Option<i64> {
    let id = key.strip_prefix(root)?.strip_prefix("/l/")?;
    u64::from_str_radix(id, 16).ok().map(u64::cast_signed)
}

/// A key, what it holds, and when that was written.
type Found = (String, Bytes, i64);

/// All there is, and the revision at which it was so.
async fn read(client: &Client, root: &str) -> Result<(Vec<Found>, i64), EtcdError> {
    let mut client = client.clone();
    // The key behind all that begin so: '/' and the next character.
    let (mut from, end) = (format!("{root}/").into_bytes(), format!("{root}0"));
    let (mut all, mut revision) = (Vec::new(), 0);
    loop {
        let mut options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
        if revision != 0 {
            options = options.with_revision(revision);
        }
        let found = client.get(from.clone(), Some(options)).await?;
        if revision == 0 {
            revision = found.header().map_or(0, etcd_client::ResponseHeader::revision);
        }
        for found in found.kvs() {
            let key = String::from_utf8_lossy(found.key()).into_owned();
            all.push((key, Bytes::copy_from_slice(found.value()), found.mod_revision()));
        }
        match found.kvs().last() {
            Some(last) if found.more() => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok((all, revision)),
        }
    }
}

/// Tells of all changes from a revision on.
async fn follow(members: Arc<Members>, root: String, name: String, read: i64, news: mpsc::Sender<News>) {
    let mut seen = read;
    loop {
        let options = WatchOptions::new().with_prefix().with_start_revision(seen + 1);
        let member = members.one().await;
        let watching =
            timeout(PATIENCE, member.client.clone().watch(format!("{root}/"), Some(options))).await;
        if let Ok(Ok(mut watch)) = watching {
            while let Ok(Some(message)) = watch.message().await {
                if message.compact_revision() > seen {
                    let _ = news.send(News::Lost("etcd has forgotten what was missed".to_owned())).await;
                    return;
                }
                if message.canceled() {
                    break;
                }
                for (revision, item) in told(message.events(), &root, &name) {
                    seen = revision.max(seen);
                    if news.send(item).await.is_err() {
                        return;
                    }
                }
            }
        }
        if news.is_closed() {
            return;
        }
        tracing::debug!(server = %member.server, "the watch of etcd broke; watching again");
        members.failed(&member).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the events of a watch mean; all of one revision come together.
fn told(events: &[etcd_client::Event], root: &str, name: &str) -> Vec<(i64, News)> {
    let prefix = format!("{root}/r/");
    let mut all: Vec<(i64, News)> = Vec::new();
    let mut changes: std::collections::BTreeMap<i64, (Records, Head)> = Default::default();
    for event in events {
        let Some(kv) = event.kv() else { continue };
        let key = String::from_utf8_lossy(kv.key()).into_owned();
        let value = (event.event_type() == EventType::Put).then(|| Bytes::copy_from_slice(kv.value()));
        if let Some(record) = key.strip_prefix(&prefix) {
            let change = changes.entry(kv.mod_revision()).or_default();
            if record == HEAD {
                if let Some(Ok(head)) = value.map(Head::read) {
                    change.1 = head;
                }
            } else if let Some(key) = Key::of(record) {
                change.0.push((key, value));
            }
        } else if let Some(id) = lease_of(&key, root) {
            match value {
                None => all.push((kv.mod_revision(), News::Over(id))),
                Some(owner) if owner != name.as_bytes() => all.push((kv.mod_revision(), News::Moved(id))),
                Some(_) => {}
            }
        }
    }
    all.extend(
        changes
            .into_iter()
            .map(|(revision, (records, head))| (revision, News::Changed { revision, records, head })),
    );
    all.sort_by_key(|(revision, _)| *revision);
    all
}
