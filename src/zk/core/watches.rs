//! Who waits for which change.
//!
//! A watch is a connection's: it tells once, unless it is a persistent one, and ends with the connection. Clients
//! that come back say which they had.
//!
//! Source: `WatchManager`, `DataTree.setWatches`, 3.8.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::paths;
use super::turn::Trigger;
use crate::zk::wire::{Change, Path};

/// A connection, by a number that is never given twice.
pub type ConnId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Of a node: made, removed, written.
    Data,
    /// Of what is directly below it, and of its removal.
    Children,
    /// All of a node, and not just once.
    Persistent,
    /// The nodes below as well, without what `Children` tells.
    Recursive,
}

impl Kind {
    fn is_once(self) -> bool {
        matches!(self, Kind::Data | Kind::Children)
    }
}

#[derive(Debug, Default)]
pub struct Watches {
    by_path: HashMap<Path, BTreeSet<(Kind, ConnId)>>,
    by_conn: HashMap<ConnId, HashSet<(Kind, Path)>>,
    /// Whether any is recursive, for which every path above is looked up.
    recursive: usize,
}

impl Watches {
    pub fn add(&mut self, conn: ConnId, kind: Kind, path: Path) {
        if self.by_path.entry(path.clone()).or_default().insert((kind, conn)) {
            self.recursive += usize::from(kind == Kind::Recursive);
            self.by_conn.entry(conn).or_default().insert((kind, path));
        }
    }

    pub fn remove(&mut self, conn: ConnId, kind: Kind, path: &Path) {
        let Some(waiting) = self.by_path.get_mut(path) else { return };
        if !waiting.remove(&(kind, conn)) {
            return;
        }
        if waiting.is_empty() {
            self.by_path.remove(path);
        }
        self.recursive -= usize::from(kind == Kind::Recursive);
        if let Some(all) = self.by_conn.get_mut(&conn) {
            all.remove(&(kind, path.clone()));
            if all.is_empty() {
                self.by_conn.remove(&conn);
            }
        }
    }

    pub fn has(&self, conn: ConnId, kind: Kind, path: &Path) -> bool {
        self.by_path.get(path).is_some_and(|waiting| waiting.contains(&(kind, conn)))
    }

    /// Of a connection that ended.
    pub fn forget(&mut self, conn: ConnId) {
        for (kind, path) in self.by_conn.remove(&conn).unwrap_or_default() {
            self.recursive -= usize::from(kind == Kind::Recursive);
            if let Some(waiting) = self.by_path.get_mut(&path) {
                waiting.remove(&(kind, conn));
                if waiting.is_empty() {
                    self.by_path.remove(&path);
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.by_conn.values().map(HashSet::len).sum()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_conn.is_empty()
    }

    /// Who is told what of a change, in the order in which it is told.
    pub fn fire(&mut self, trigger: &Trigger) -> Vec<(ConnId, Change, Path)> {
        let mut told = Vec::new();
        let own: &[Kind] = match trigger.change {
            Change::Children => &[],
            Change::Deleted => &[Kind::Data, Kind::Children, Kind::Persistent],
            Change::Created | Change::Data => &[Kind::Data, Kind::Persistent],
        };
        self.tell(&trigger.path, trigger.change, own, true, &mut told);
        if matches!(trigger.change, Change::Created | Change::Deleted) && trigger.path.as_ref() != "/" {
            let above: Path = paths::parent(&trigger.path).into();
            self.tell(&above, Change::Children, &[Kind::Children, Kind::Persistent], false, &mut told);
        }
        told
    }

    fn tell(
        &mut self,
        path: &Path,
        change: Change,
        kinds: &[Kind],
        recursive: bool,
        told: &mut Vec<(ConnId, Change, Path)>,
    ) {
        let mut heard: BTreeSet<ConnId> = BTreeSet::new();
        let waiting = self.by_path.get(path).map(|all| all.iter().copied().collect::<Vec<_>>());
        for (kind, conn) in waiting.unwrap_or_default() {
            if !kinds.contains(&kind) {
                continue;
            }
            heard.insert(conn);
            if kind.is_once() {
                self.remove(conn, kind, path);
            }
        }
        if recursive && self.recursive > 0 {
            let mut above = path.as_ref();
            while !above.is_empty() {
                let waiting = self.by_path.get(above).into_iter().flatten();
                heard.extend(waiting.filter(|(kind, _)| *kind == Kind::Recursive).map(|(_, conn)| *conn));
                above = paths::parent(above);
            }
        }
        told.extend(heard.into_iter().map(|conn| (conn, change, path.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fire(watches: &mut Watches, change: Change, path: &str) -> Vec<(ConnId, Change, String)> {
        let told = watches.fire(&Trigger { change, path: path.into() });
        told.into_iter().map(|(conn, change, path)| (conn, change, path.to_string())).collect()
    }

    #[test]
    fn a_watch_tells_once() {
        let mut watches = Watches::default();
        watches.add(1, Kind::Data, "/a".into());
        watches.add(1, Kind::Data, "/a".into());
        watches.add(2, Kind::Children, "/".into());
        let told = fire(&mut watches, Change::Created, "/a");
        assert_eq!(told, [(1, Change::Created, "/a".to_owned()), (2, Change::Children, "/".to_owned())]);
        assert!(fire(&mut watches, Change::Deleted, "/a").is_empty());
        assert!(watches.is_empty() && watches.by_path.is_empty());
    }

    #[test]
    fn a_removal_is_told_once_to_who_watches_both() {
        let mut watches = Watches::default();
        watches.add(1, Kind::Data, "/a".into());
        watches.add(1, Kind::Children, "/a".into());
        assert_eq!(fire(&mut watches, Change::Deleted, "/a"), [(1, Change::Deleted, "/a".to_owned())]);
        assert!(watches.is_empty());
    }

    #[test]
    fn persistent_ones_stay() {
        let mut watches = Watches::default();
        watches.add(1, Kind::Persistent, "/a".into());
        watches.add(2, Kind::Recursive, "/a".into());
        for _ in 0..2 {
            let told = fire(&mut watches, Change::Created, "/a/b");
            assert_eq!(
                told,
                [(2, Change::Created, "/a/b".to_owned()), (1, Change::Children, "/a".to_owned())]
            );
        }
        assert_eq!(fire(&mut watches, Change::Data, "/a").len(), 2);
        watches.remove(2, Kind::Recursive, &"/a".into());
        watches.forget(1);
        assert!(watches.is_empty() && watches.recursive == 0);
    }
}
