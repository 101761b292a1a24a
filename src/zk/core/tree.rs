//! The nodes, and the sessions that some of them end with: one value that is cheap to copy, so that changes can be
//! tried and dropped.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{HashMap, OrdSet};

use super::paths;
use crate::zk::wire::{Acl, Id, Path, Stat, perms};

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// None is as empty, but read as none.
    pub data: Option<Bytes>,
    pub acl: Arc<[Acl]>,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    /// Milliseconds since 1970.
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub aversion: i32,
    /// How many nodes were made below: the next sequence number.
    pub creates: i32,
    /// The session that the node ends with, or 0.
    pub owner: i64,
    /// Names. Not kept in a record: they follow from the paths.
    pub children: OrdSet<Path>,
}

impl Node {
    pub fn new(data: Option<Bytes>, acl: Arc<[Acl]>, owner: i64, zxid: i64, now: i64) -> Node {
        Node {
            data,
            acl,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: now,
            mtime: now,
            version: 0,
            aversion: 0,
            creates: 0,
            owner,
            children: OrdSet::new(),
        }
    }

    pub fn stat(&self) -> Stat {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let children = count(self.children.len());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            // What was made and what was removed. Source: `DataNode.copyStat`.
            cversion: self.creates.wrapping_mul(2).wrapping_sub(children),
            aversion: self.aversion,
            owner: self.owner,
            length: count(self.data.as_ref().map_or(0, Bytes::len)),
            children,
            pzxid: self.pzxid,
        }
    }
}

/// A client's stay, over connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub timeout_ms: i32,
    /// Proves that one is the client that began it.
    pub password: [u8; 16],
    /// Paths of nodes that end with it. Not kept in a record.
    pub ephemerals: OrdSet<Path>,
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: HashMap<Path, Arc<Node>>,
    sessions: HashMap<i64, Session>,
    /// Of the last change.
    pub zxid: i64,
}

impl Tree {
    /// With what every ZooKeeper has from its beginning.
    pub fn new() -> Tree {
        let anyone = Id { scheme: "world".into(), id: "anyone".into() };
        let open: Arc<[Acl]> = [Acl { perms: 31, id: anyone.clone() }].into();
        let readable: Arc<[Acl]> = [Acl { perms: perms::READ, id: anyone }].into();
        let mut tree = Tree::default();
        for (path, acl) in [
            ("/", &open),
            ("/zookeeper", &open),
            ("/zookeeper/config", &readable),
            ("/zookeeper/quota", &open),
        ] {
            tree.put(path.into(), Node::new(Some(Bytes::new()), acl.clone(), 0, 0, 0));
        }
        // Sequence numbers begin with 0 all the same.
        tree
    }

    pub fn get(&self, path: &str) -> Option<&Arc<Node>> {
        self.nodes.get(path)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.nodes.keys()
    }

    pub fn session(&self, id: i64) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn sessions(&self) -> impl Iterator<Item = (i64, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    pub fn put_session(&mut self, id: i64, session: Session) {
        self.sessions.insert(id, session);
    }

    pub fn remove_session(&mut self, id: i64) {
        self.sessions.remove(&id);
    }

    /// A node to be changed.
    pub fn change(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path).map(Arc::make_mut)
    }

    /// Puts a node where none is, or in the place of one, whose children stay.
    pub fn put(&mut self, path: Path, mut node: Node) {
        match self.nodes.get(&path) {
            Some(old) => {
                node.children = old.children.clone();
                if old.owner != node.owner {
                    let owner = old.owner;
                    self.disown(owner, &path);
                }
            }
            None => {
                if let Some(parent) = self.change(paths::parent(&path)) {
                    parent.children.insert(paths::name(&path).into());
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(&node.owner) {
            session.ephemerals.insert(path.clone());
        }
        self.nodes.insert(path, Arc::new(node));
    }

    pub fn remove(&mut self, path: &str) {
        let Some(node) = self.nodes.remove(path) else { return };
        self.disown(node.owner, path);
        if let Some(parent) = self.change(paths::parent(path)) {
            parent.children.remove(paths::name(path));
        }
    }

    fn disown(&mut self, owner: i64, path: &str) {
        if let Some(session) = self.sessions.get_mut(&owner) {
            session.ephemerals.remove(path);
        }
    }
}
