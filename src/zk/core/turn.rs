//! Changes of the tree, each whole or not at all.
//!
//! The order of what is looked at decides which refusal a client hears, and is ZooKeeper's.
//!
//! Source: `PrepRequestProcessor.pRequest2Txn`, `DataTree.createNode`, `deleteNode`, 3.8.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::tree::{Node, Session, Tree};
use super::{access, paths};
use crate::zk::wire::{Change, Id, Op, Outcome, Path, Refusal, Reply, perms};

/// What of the tree has a record of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Node(Path),
    Session(i64),
}

/// Something that watches may wait for. A created or deleted node changes its parent's children as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub change: Change,
    pub path: Path,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub session: i64,
    pub ids: &'a [Id],
}

/// Changes that are being made. What they touch gathers here.
#[derive(Debug)]
pub struct Turn {
    pub tree: Tree,
    /// Milliseconds since 1970.
    pub now: i64,
    pub touched: BTreeSet<Key>,
    pub triggers: Vec<Trigger>,
}

/// Bits of a create's flags that are known; others are containers and nodes with a time to live.
const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
const KINDS: std::ops::RangeInclusive<i32> = 0..=6;

impl Turn {
    pub fn new(tree: Tree, now: i64) -> Turn {
        Turn { tree, now, touched: BTreeSet::new(), triggers: Vec::new() }
    }

    /// All of these, or none. `most` records may be touched by a turn.
    pub fn make(&mut self, caller: Caller<'_>, ops: &[Op], is_multi: bool, most: usize) -> Reply {
        let before = (self.tree.clone(), self.touched.clone(), self.triggers.len());
        self.tree.zxid += 1;
        let mut done = Vec::with_capacity(ops.len());
        for op in ops {
            let outcome = self.apply(caller, op).and_then(|outcome| {
                let fits = self.touched.len() <= most;
                if fits { Ok(outcome) } else { Err(Refusal::Marshalling) }
            });
            match outcome {
                Ok(outcome) => done.push(outcome),
                Err(refusal) => {
                    (self.tree, self.touched) = (before.0, before.1);
                    self.triggers.truncate(before.2);
                    return if is_multi {
                        refused(ops.len(), done.len(), refusal)
                    } else {
                        Reply::Refused(refusal)
                    };
                }
            }
        }
        if is_multi {
            return Reply::Multi(done.into_iter().map(Ok).collect());
        }
        Reply::Done(match done.pop() {
            Some(Outcome::Set(stat)) => Outcome::Stat(stat),
            Some(Outcome::Deleted | Outcome::Checked) | None => Outcome::Nothing,
            Some(outcome) => outcome,
        })
    }

    fn apply(&mut self, caller: Caller<'_>, op: &Op) -> Result<Outcome, Refusal> {
        match op {
            Op::Create { path, data, acl, flags, with_stat } => {
                if !KINDS.contains(flags) {
                    return Err(Refusal::BadArguments);
                }
                if flags & !(EPHEMERAL | SEQUENTIAL) != 0 {
                    return Err(Refusal::Unimplemented);
                }
                if path.is_empty() {
                    return Err(Refusal::Marshalling);
                }
                let above = paths::parent(path);
                if !path.contains('/') || path.contains('\0') {
                    return Err(Refusal::BadArguments);
                }
                let acl = access::settled(acl, caller.ids)?;
                let parent = match path.as_ref() {
                    "/" => return Err(Refusal::NodeExists),
                    _ => self.tree.get(above).ok_or(Refusal::NoNode)?,
                };
                access::may(&parent.acl, perms::CREATE, caller.ids)?;
                let path = match flags & SEQUENTIAL {
                    0 => path.clone(),
                    _ => format!("{path}{:010}", parent.creates).into(),
                };
                if !paths::is_valid(&path) {
                    return Err(Refusal::BadArguments);
                }
                if self.tree.get(&path).is_some() {
                    return Err(Refusal::NodeExists);
                }
                if parent.owner != 0 {
                    return Err(Refusal::NoChildrenForEphemerals);
                }
                let owner = if flags & EPHEMERAL == 0 { 0 } else { caller.session };
                let node = Node::new(data.clone(), acl.into(), owner, self.tree.zxid, self.now);
                let stat = node.stat();
                self.insert(path.clone(), node);
                Ok(if *with_stat { Outcome::Made(path, stat) } else { Outcome::Path(path) })
            }
            Op::Delete { path, version } => {
                if path.is_empty() {
                    return Err(Refusal::Marshalling);
                }
                if !path.contains('/') || path.contains('\0') || path.as_ref() == "/" {
                    return Err(Refusal::BadArguments);
                }
                let parent = self.tree.get(paths::parent(path)).ok_or(Refusal::NoNode)?;
                access::may(&parent.acl, perms::DELETE, caller.ids)?;
                let node = self.tree.get(path).ok_or(Refusal::NoNode)?;
                is_version(node.version, *version)?;
                if !node.children.is_empty() {
                    return Err(Refusal::NotEmpty);
                }
                self.remove(path);
                Ok(Outcome::Deleted)
            }
            Op::SetData { path, data, version } => {
                let node = self.allowed(path, perms::WRITE, caller)?;
                is_version(node.version, *version)?;
                let (zxid, now) = (self.tree.zxid, self.now);
                let node = self.changed(path);
                (node.data, node.mzxid, node.mtime) = (data.clone(), zxid, now);
                node.version = next(node.version);
                let stat = node.stat();
                self.triggers.push(Trigger { change: Change::Data, path: path.clone() });
                Ok(Outcome::Set(stat))
            }
            Op::SetAcl { path, acl, version } => {
                if !paths::is_valid(path) {
                    return Err(Refusal::BadArguments);
                }
                let acl: Arc<[_]> = access::settled(acl, caller.ids)?.into();
                let node = self.allowed(path, perms::ADMIN, caller)?;
                is_version(node.aversion, *version)?;
                let node = self.changed(path);
                node.acl = acl;
                node.aversion = next(node.aversion);
                Ok(Outcome::Stat(node.stat()))
            }
            Op::Check { path, version } => {
                let node = self.allowed(path, perms::READ, caller)?;
                is_version(node.version, *version)?;
                Ok(Outcome::Checked)
            }
        }
    }

    fn allowed(&self, path: &Path, perm: i32, caller: Caller<'_>) -> Result<&Node, Refusal> {
        if !paths::is_valid(path) {
            return Err(Refusal::BadArguments);
        }
        let node = self.tree.get(path).ok_or(Refusal::NoNode)?;
        access::may(&node.acl, perm, caller.ids)?;
        Ok(node)
    }

    fn changed(&mut self, path: &Path) -> &mut Node {
        self.touched.insert(Key::Node(path.clone()));
        self.tree.change(path).expect("it was looked at")
    }

    fn insert(&mut self, path: Path, node: Node) {
        let above: Path = paths::parent(&path).into();
        let zxid = self.tree.zxid;
        self.tree.put(path.clone(), node);
        let parent = self.changed(&above);
        parent.creates = parent.creates.wrapping_add(1);
        parent.pzxid = zxid;
        self.touched.insert(Key::Node(path.clone()));
        self.triggers.push(Trigger { change: Change::Created, path });
    }

    fn remove(&mut self, path: &Path) {
        let above: Path = paths::parent(path).into();
        let zxid = self.tree.zxid;
        self.tree.remove(path);
        self.changed(&above).pzxid = zxid;
        self.touched.insert(Key::Node(path.clone()));
        self.triggers.push(Trigger { change: Change::Deleted, path: path.clone() });
    }

    /// A session begins, or goes on with another timeout.
    pub fn open(&mut self, id: i64, session: Session) {
        self.tree.zxid += 1;
        self.tree.put_session(id, session);
        self.touched.insert(Key::Session(id));
    }

    /// A session ends, and its nodes with it; false if more than `most` records would be touched by that, and only
    /// some of its nodes have gone yet.
    pub fn close(&mut self, id: i64, most: usize) -> bool {
        let Some(session) = self.tree.session(id) else { return true };
        let room = most.saturating_sub(self.touched.len()) / 2;
        let ephemerals: Vec<Path> = session.ephemerals.iter().take(room).cloned().collect();
        let is_all = ephemerals.len() == session.ephemerals.len();
        self.tree.zxid += 1;
        for path in &ephemerals {
            self.remove(path);
        }
        if is_all {
            self.tree.remove_session(id);
            self.touched.insert(Key::Session(id));
        }
        is_all
    }
}

/// What each of a refused multi's operations hears.
fn refused(count: usize, at: usize, refusal: Refusal) -> Reply {
    let error = |index: usize| match index.cmp(&at) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => refusal as i32,
        std::cmp::Ordering::Greater => Refusal::RuntimeInconsistency as i32,
    };
    Reply::Multi((0..count).map(|index| Err(error(index))).collect())
}

fn is_version(is: i32, expected: i32) -> Result<(), Refusal> {
    if expected == -1 || expected == is { Ok(()) } else { Err(Refusal::BadVersion) }
}

/// The version behind one; -1 means any, so it is left out.
fn next(version: i32) -> i32 {
    match version.wrapping_add(1) {
        -1 => 0,
        next => next,
    }
}
