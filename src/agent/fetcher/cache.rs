//! Which fetched files are kept, and for whom: the bookkeeping of the cache. Pure; `store` keeps the files.
//!
//! A file belongs to a URI and a user: nobody runs what another user could have written. Room is claimed before
//! a download begins, and made by dropping what was least recently used and is not in use right now.
//!
//! Source: `FetcherProcess::Cache`, fetcher.cpp 1.11. There a file that is larger than announced stays until
//! it has been copied; so it does here.

use std::collections::{BTreeMap, HashMap};

use super::uri;

/// So many characters of a file's name are its URI's, for whoever looks.
const NAME_PART: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// `None`: whoever the agent is.
    pub user: Option<String>,
    pub uri: String,
}

/// What is known of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The file of that name, of so many bytes.
    Ready {
        name: String,
        bytes: u64,
    },
    /// Somebody is fetching it.
    Coming,
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes do not fit into the {limit} of the fetcher cache, {in_use} of which are in use")]
pub struct NoRoom {
    pub wanted: u64,
    pub limit: u64,
    pub in_use: u64,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// As claimed, and later as it is.
    bytes: u64,
    ready: bool,
    /// How many containers read it, or wait for it.
    holders: u32,
    last_use: u64,
}

#[derive(Debug)]
pub struct Cache {
    limit: u64,
    used: u64,
    entries: HashMap<Key, Entry>,
    /// By last use, the oldest first.
    order: BTreeMap<u64, Key>,
    uses: u64,
    files: u64,
}

impl Cache {
    /// `limit` in bytes; nothing is kept with 0.
    pub fn new(limit: u64) -> Cache {
        Cache { limit, used: 0, entries: HashMap::new(), order: BTreeMap::new(), uses: 0, files: 0 }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes claimed or there.
    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn find(&self, key: &Key) -> Found {
        match self.entries.get(key) {
            None => Found::Missing,
            Some(entry) if entry.ready => Found::Ready { name: entry.name.clone(), bytes: entry.bytes },
            Some(_) => Found::Coming,
        }
    }

    /// Somebody is going to fetch what is missing; the name that its file is to have. It is held.
    pub fn begin(&mut self, key: &Key) -> String {
        self.files += 1;
        let name = format!("c{}-{}", self.files, shortened(&key.uri));
        let entry = Entry { name: name.clone(), bytes: 0, ready: false, holders: 1, last_use: 0 };
        self.entries.insert(key.clone(), entry);
        self.touch(key);
        name
    }

    /// It is in use until `release`.
    pub fn hold(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.holders += 1;
        }
        self.touch(key);
    }

    /// What was held under that name; it may have been forgotten, and the URI fetched anew, since.
    pub fn release(&mut self, key: &Key, name: &str) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.name == name) {
            entry.holders = entry.holders.saturating_sub(1);
        }
    }

    fn touch(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        self.order.remove(&entry.last_use);
        self.uses += 1;
        entry.last_use = self.uses;
        self.order.insert(self.uses, key.clone());
    }

    /// Room for what is being fetched. What is returned has been dropped, and its files are to be removed.
    pub fn claim(&mut self, key: &Key, bytes: u64) -> Result<Vec<(Key, String)>, NoRoom> {
        let refused = |in_use| NoRoom { wanted: bytes, limit: self.limit, in_use };
        let mut used = self.used;
        let mut victims = Vec::new();
        for old in self.order.values() {
            if used.saturating_add(bytes) <= self.limit {
                break;
            }
            let Some(entry) = self.entries.get(old) else { continue };
            if entry.ready && entry.holders == 0 {
                used -= entry.bytes;
                victims.push(old.clone());
            }
        }
        if used.saturating_add(bytes) > self.limit {
            return Err(refused(used));
        }
        let dropped =
            victims.into_iter().filter_map(|old| self.forget(&old).map(|name| (old, name))).collect();
        if let Some(entry) = self.entries.get_mut(key) {
            self.used += bytes - entry.bytes.min(bytes);
            entry.bytes = bytes;
        }
        Ok(dropped)
    }

    /// It has come, with so many bytes. False if it is larger than the room claimed for it, and was dropped:
    /// its file is to be removed.
    pub fn complete(&mut self, key: &Key, bytes: u64) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        if bytes > entry.bytes {
            self.forget(key);
            return false;
        }
        self.used -= entry.bytes - bytes;
        entry.bytes = bytes;
        entry.ready = true;
        true
    }

    /// It did not come, or is not there any more. The name of its file, of which something may be there.
    pub fn forget(&mut self, key: &Key) -> Option<String> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.last_use);
        self.used -= entry.bytes;
        Some(entry.name)
    }
}

/// The start and the end of the file's own name.
fn shortened(uri: &str) -> String {
    let name = uri::basename(uri.trim_start()).unwrap_or_default();
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= 2 * NAME_PART {
        return name.to_owned();
    }
    let (start, end) = (&characters[..NAME_PART], &characters[characters.len() - NAME_PART..]);
    start.iter().chain(&['_']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Key {
        Key { user: None, uri: format!("http://h/{uri}") }
    }

    /// Fetched, and used by nobody.
    fn kept(cache: &mut Cache, uri: &str, bytes: u64) -> Vec<String> {
        let key = key(uri);
        let name = cache.begin(&key);
        let dropped = cache.claim(&key, bytes).unwrap();
        assert!(cache.complete(&key, bytes));
        cache.release(&key, &name);
        dropped.into_iter().map(|(key, _)| key.uri.replace("http://h/", "")).collect()
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut cache = Cache::new(10);
        assert_eq!(kept(&mut cache, "a", 4), [""; 0]);
        assert_eq!(kept(&mut cache, "b", 4), [""; 0]);
        cache.hold(&key("a"));
        let Found::Ready { name, bytes: 4 } = cache.find(&key("a")) else { panic!() };
        cache.release(&key("a"), &name);
        assert_eq!(kept(&mut cache, "c", 3), ["b"]);
        assert_eq!(kept(&mut cache, "d", 10), ["a", "c"]);
        assert_eq!((cache.used(), cache.find(&key("a"))), (10, Found::Missing));
    }

    #[test]
    fn what_is_in_use_stays_too() {
        let mut cache = Cache::new(10);
        kept(&mut cache, "a", 6);
        cache.hold(&key("a"));
        cache.begin(&key("b"));
        assert_eq!(cache.claim(&key("b"), 5), Err(NoRoom { wanted: 5, limit: 10, in_use: 6 }));
        assert_eq!(cache.claim(&key("b"), 4), Ok(vec![]));
        // One that is still coming is nobody's victim either.
        cache.begin(&key("c"));
        assert!(cache.claim(&key("c"), 7).is_err());
        assert_eq!(cache.find(&key("b")), Found::Coming);
        cache.forget(&key("b"));
        assert_eq!(cache.used(), 6);
    }

    #[test]
    fn sizes_are_corrected() {
        let mut cache = Cache::new(10);
        cache.begin(&key("a"));
        cache.claim(&key("a"), 8).unwrap();
        assert!(cache.complete(&key("a"), 5));
        assert_eq!(cache.used(), 5);
        cache.begin(&key("b"));
        cache.claim(&key("b"), 1).unwrap();
        assert!(!cache.complete(&key("b"), 2), "it is larger than announced");
        assert_eq!((cache.used(), cache.find(&key("b"))), (5, Found::Missing));
        assert!(Cache::new(0).claim(&key("a"), 1).is_err());
    }

    #[test]
    fn users_do_not_share() {
        let mut cache = Cache::new(10);
        kept(&mut cache, "a", 1);
        let other = Key { user: Some("nobody".to_owned()), ..key("a") };
        assert_eq!(cache.find(&other), Found::Missing);
    }

    #[test]
    fn a_release_of_what_was_forgotten_is_nothing() {
        let mut cache = Cache::new(10);
        let old = cache.begin(&key("a"));
        cache.forget(&key("a"));
        cache.begin(&key("a"));
        cache.claim(&key("a"), 10).unwrap();
        assert!(cache.complete(&key("a"), 10));
        cache.release(&key("a"), &old);
        cache.begin(&key("b"));
        assert!(cache.claim(&key("b"), 1).is_err(), "the new one is still held");
    }

    #[test]
    fn files_are_named_after_their_uri() {
        let mut cache = Cache::new(10);
        assert_eq!(cache.begin(&key("dir/a.tgz")), "c1-a.tgz");
        assert_eq!(cache.begin(&key("a-very-long-name-of-a-file.tar.gz")), "c2-a-very-lon_ile.tar.gz");
    }
}
