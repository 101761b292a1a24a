//! Nodes and sessions as records: a name and bytes.
//!
//! | name | value |
//! |---|---|
//! | `n/a/b` | a node: its numbers, ACL and data |
//! | `s00000000000000ff` | a session |
//! | `head` | the last change: its number, and what it told of |

use bytes::Bytes;

use super::tree::{Node, Session, Tree};
use super::turn::{Key, Trigger};
use crate::zk::jute::{Malformed, Reader, Writer};
use crate::zk::wire::{Acl, Change, Id, Path};

/// What a write holds: records by key, those without bytes are removed.
pub type Records = Vec<(Key, Option<Bytes>)>;

/// The name of the record of the last change.
pub const HEAD: &str = "head";

/// Of the form of records.
const VERSION: i32 = 1;

impl Key {
    pub fn name(&self) -> String {
        match self {
            Key::Node(path) => format!("n{path}"),
            Key::Session(id) => format!("s{id:016x}"),
        }
    }

    pub fn of(name: &str) -> Option<Key> {
        if let Some(path) = name.strip_prefix('n') {
            return Some(Key::Node(path.into()));
        }
        let id = u64::from_str_radix(name.strip_prefix('s')?, 16).ok()?;
        Some(Key::Session(id.cast_signed()))
    }
}

/// The last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub zxid: i64,
    pub triggers: Vec<Trigger>,
    /// Names the write, for a front end that has not heard what became of it.
    pub by: Path,
}

impl Default for Head {
    fn default() -> Head {
        Head { zxid: 0, triggers: Vec::new(), by: "".into() }
    }
}

impl Head {
    pub fn write(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.int(VERSION).long(self.zxid).string(&self.by).count(self.triggers.len());
        for trigger in &self.triggers {
            writer.int(trigger.change as i32).string(&trigger.path);
        }
        writer.done()
    }

    pub fn read(bytes: Bytes) -> Result<Head, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.int()?;
        let (zxid, by) = (reader.long()?, reader.string()?);
        let triggers = reader.vector(|reader| {
            let change = match reader.int()? {
                1 => Change::Created,
                2 => Change::Deleted,
                3 => Change::Data,
                _ => Change::Children,
            };
            Ok(Trigger { change, path: reader.string()? })
        })?;
        Ok(Head { zxid, triggers, by })
    }
}

impl Tree {
    /// The record of a key; none if it is to be removed.
    pub fn record(&self, key: &Key) -> Option<Bytes> {
        let mut writer = Writer::default();
        writer.int(VERSION);
        match key {
            Key::Node(path) => {
                let node = self.get(path)?;
                writer.long(node.czxid).long(node.mzxid).long(node.pzxid).long(node.ctime).long(node.mtime);
                writer.int(node.version).int(node.aversion).int(node.creates).long(node.owner);
                writer.count(node.acl.len());
                node.acl.iter().for_each(|acl| acl.write(&mut writer));
                writer.buffer(node.data.as_deref());
            }
            Key::Session(id) => {
                let session = self.session(*id)?;
                writer.int(session.timeout_ms).buffer(Some(&session.password));
            }
        }
        Some(writer.done())
    }

    /// Takes a record over; none removes it.
    pub fn take(&mut self, key: Key, record: Option<Bytes>) -> Result<(), Malformed> {
        match (key, record) {
            (Key::Node(path), None) => self.remove(&path),
            (Key::Session(id), None) => self.remove_session(id),
            (Key::Node(path), Some(record)) => {
                let node = read_node(record)?;
                self.put(path, node);
            }
            (Key::Session(id), Some(record)) => {
                let mut session = read_session(record)?;
                if let Some(old) = self.session(id) {
                    session.ephemerals = old.ephemerals.clone();
                }
                self.put_session(id, session);
            }
        }
        Ok(())
    }

    /// The tree of all its records, in any order; the one that every ZooKeeper begins with if there is none.
    pub fn load(records: impl IntoIterator<Item = (String, Bytes)>) -> Result<Tree, Malformed> {
        let (mut tree, mut nodes) = (Tree::new(), Vec::new());
        for (name, record) in records {
            match Key::of(&name) {
                _ if name == HEAD => tree.zxid = Head::read(record)?.zxid,
                // Those above come first, and sessions before what they own.
                Some(Key::Node(path)) => nodes.push((path, record)),
                Some(key) => tree.take(key, Some(record))?,
                None => {}
            }
        }
        nodes.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (path, record) in nodes {
            tree.take(Key::Node(path), Some(record))?;
        }
        Ok(tree)
    }
}

fn read_node(record: Bytes) -> Result<Node, Malformed> {
    let mut reader = Reader::new(record);
    reader.int()?;
    let (czxid, mzxid, pzxid) = (reader.long()?, reader.long()?, reader.long()?);
    let (ctime, mtime) = (reader.long()?, reader.long()?);
    let (version, aversion, creates, owner) = (reader.int()?, reader.int()?, reader.int()?, reader.long()?);
    let acl = reader.vector(|reader| {
        Ok(Acl { perms: reader.int()?, id: Id { scheme: reader.string()?, id: reader.string()? } })
    })?;
    let data = reader.buffer()?;
    // Not a part of what was read, which may be a piece of something larger.
    let data = data.map(|data| Bytes::copy_from_slice(&data));
    let node = Node::new(data, acl.into(), owner, czxid, ctime);
    Ok(Node { mzxid, pzxid, mtime, version, aversion, creates, ..node })
}

fn read_session(record: Bytes) -> Result<Session, Malformed> {
    let mut reader = Reader::new(record);
    reader.int()?;
    let timeout_ms = reader.int()?;
    let password = reader.buffer()?.unwrap_or_default();
    let password = password.as_ref().try_into().map_err(|_| Malformed::Short)?;
    Ok(Session { timeout_ms, password, ephemerals: Default::default() })
}
