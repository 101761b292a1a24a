//! The files of the cache, and who may use them meanwhile.
//!
//! A fetch takes a `Lease` for all its URIs at once: what is there is held, what is missing is its own to
//! bring, what others are bringing is waited for. Leases only ever wait for older ones, so that they cannot
//! wait for each other. One that is dropped before `keep` leaves nothing half fetched behind.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::{info, warn};

use super::Action;
use super::cache::{Cache, Found, Key};
use crate::posix::user::Identity;

/// What can be fetched again, kept below one directory. It begins empty with each start of an agent.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    cache: Mutex<Cache>,
    /// Something came, or will not come.
    changed: watch::Sender<()>,
}

/// A fetch's part of the cache.
#[derive(Debug)]
pub struct Lease {
    store: Arc<Store>,
    /// Where the files are.
    pub directory: PathBuf,
    /// One for each URI, in their order.
    pub actions: Vec<Action>,
    /// Held, by the names of their files.
    held: Vec<(Key, String)>,
    /// Of these, to be brought by this fetch.
    own: Vec<(Key, String)>,
}

/// What a URI comes to while a lease is taken.
enum Part {
    Bypass,
    Hold(String),
    Bring(String),
    Wait,
}

impl Store {
    /// The cache of the agent that works in `work_dir`, below the folder that all agents of a machine may
    /// share. Empties it: nobody knows any more what is in the files.
    pub fn open(shared: &Path, work_dir: &Path, limit: u64) -> io::Result<Store> {
        let own: String = work_dir.to_string_lossy().trim_matches('/').replace('/', "_");
        let directory =
            shared.join(own.chars().rev().take(200).collect::<Vec<_>>().iter().rev().collect::<String>());
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Store { directory, cache: Mutex::new(Cache::new(limit)), changed: watch::Sender::new(()) })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may be kept, and that are.
    pub fn sizes(&self) -> (u64, u64) {
        let cache = self.cache();
        (cache.limit(), cache.used())
    }

    fn user_directory(&self, user: Option<&str>) -> PathBuf {
        user.map_or_else(|| self.directory.clone(), |user| self.directory.join(user))
    }

    /// For these URIs, of which those with `true` are to come through the cache. `sizes` finds out how large
    /// those will be that this fetch has to bring; what it does not know goes past the cache.
    pub async fn lease(
        self: &Arc<Store>,
        uris: &[(String, bool)],
        user: Option<&str>,
        owner: Option<&Identity>,
        sizes: impl AsyncFnOnce(Vec<String>) -> Vec<Option<u64>>,
    ) -> Lease {
        let key = |uri: &String| Key { user: user.map(str::to_owned), uri: uri.clone() };
        let directory = self.user_directory(user);
        let mut lease = Lease { store: self.clone(), directory, actions: vec![], held: vec![], own: vec![] };
        if !uris.iter().any(|(_, cached)| *cached) {
            lease.actions = vec![Action::Bypass; uris.len()];
            return lease;
        }
        let mut parts: Vec<Part> = uris
            .iter()
            .map(|(uri, cached)| if *cached { lease.take(&key(uri)) } else { Part::Bypass })
            .collect();
        let missing: Vec<String> = lease.own.iter().map(|(key, _)| key.uri.clone()).collect();
        if !missing.is_empty() {
            let known = match make_directory(&lease.directory, owner) {
                Ok(()) => sizes(missing).await,
                Err(error) => {
                    warn!(path = %lease.directory.display(), %error, "the fetcher cache cannot be used");
                    Vec::new()
                }
            };
            lease.claim(known);
        }
        for (part, (uri, _)) in parts.iter_mut().zip(uris) {
            if matches!(part, Part::Wait) {
                *part = lease.wait(&key(uri)).await;
            }
        }
        lease.actions = parts.into_iter().map(|part| lease.action(part)).collect();
        lease
    }

    fn remove(&self, files: Vec<(Key, String)>) {
        for (key, name) in files {
            let path = self.user_directory(key.user.as_deref()).join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(path = %path.display(), %error, "a file of the fetcher cache stays");
                }
                _ => {}
            }
        }
    }
}

impl Lease {
    /// Holds what is there, begins what is missing.
    fn take(&mut self, key: &Key) -> Part {
        if let Some((_, name)) = self.own.iter().find(|(own, _)| own == key) {
            return Part::Bring(name.clone());
        }
        let mut cache = self.store.cache();
        let found = match cache.find(key) {
            Found::Ready { name, bytes } => {
                let size = fs::metadata(self.directory.join(&name)).map(|metadata| metadata.len());
                if size.is_ok_and(|size| size == bytes) {
                    cache.hold(key);
                    self.held.push((key.clone(), name.clone()));
                    return Part::Hold(name);
                }
                warn!(uri = key.uri, name, "a file of the fetcher cache was changed or removed");
                cache.forget(key);
                Found::Missing
            }
            found => found,
        };
        if found == Found::Coming {
            return Part::Wait;
        }
        let name = cache.begin(key);
        self.own.push((key.clone(), name.clone()));
        Part::Bring(name)
    }

    /// Room for what this fetch is to bring; what gets none is brought past the cache.
    fn claim(&mut self, sizes: Vec<Option<u64>>) {
        let store = self.store.clone();
        let mut sizes = sizes.into_iter();
        let mut dropped = Vec::new();
        self.own.retain(|(key, _)| {
            let size = sizes.next().flatten().filter(|size| *size > 0);
            let why = match size.map(|size| store.cache().claim(key, size)) {
                Some(Ok(victims)) => {
                    dropped.extend(victims);
                    return true;
                }
                Some(Err(no_room)) => no_room.to_string(),
                None => "its size is not known".to_owned(),
            };
            info!(uri = key.uri, why, "fetched past the cache");
            store.cache().forget(key);
            false
        });
        store.remove(dropped);
        store.changed.send_replace(());
    }

    /// Until it is there, or will not come.
    async fn wait(&mut self, key: &Key) -> Part {
        let mut changed = self.store.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let found = self.store.cache().find(key);
            match found {
                Found::Coming => {}
                Found::Missing => return Part::Bypass,
                Found::Ready { name, .. } => {
                    self.store.cache().hold(key);
                    self.held.push((key.clone(), name.clone()));
                    return Part::Hold(name);
                }
            }
            if changed.changed().await.is_err() {
                return Part::Bypass;
            }
        }
    }

    fn action(&self, part: Part) -> Action {
        match part {
            Part::Hold(name) => Action::Retrieve(name),
            Part::Bring(name) if self.own.iter().any(|(_, own)| *own == name) => Action::Download(name),
            Part::Bring(_) | Part::Bypass | Part::Wait => Action::Bypass,
        }
    }

    /// All was fetched: what this fetch brought is there for others.
    pub fn keep(mut self) {
        for (key, name) in std::mem::take(&mut self.own) {
            let size = fs::metadata(self.directory.join(&name)).map(|metadata| metadata.len());
            let mut cache = self.store.cache();
            let kept = match size {
                Ok(size) => cache.complete(&key, size),
                Err(_) => false,
            };
            if kept {
                cache.release(&key, &name);
                continue;
            }
            cache.forget(&key);
            drop(cache);
            warn!(uri = key.uri, "not kept in the fetcher cache: it is larger than announced, or gone");
            self.store.remove(vec![(key, name)]);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut cache = self.store.cache();
            for (key, name) in &self.held {
                cache.release(key, name);
            }
            for (key, _) in &self.own {
                cache.forget(key);
            }
        }
        self.store.remove(std::mem::take(&mut self.own));
        self.store.changed.send_replace(());
    }
}

/// Others pass through to their own, into which nobody else may look.
fn make_directory(directory: &Path, owner: Option<&Identity>) -> io::Result<()> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !directory.symlink_metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let Some(owner) = owner else { return Ok(()) };
    std::os::unix::fs::lchown(directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(limit: u64) -> (tempfile::TempDir, Arc<Store>) {
        let top = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(top.path(), Path::new("/work/dir"), limit).unwrap());
        (top, store)
    }

    fn uris(names: &[&str]) -> Vec<(String, bool)> {
        names.iter().map(|name| (format!("http://h/{name}"), true)).collect()
    }

    async fn lease(store: &Arc<Store>, names: &[&str], size: u64) -> Lease {
        let sizes = async |missing: Vec<String>| vec![Some(size); missing.len()];
        store.lease(&uris(names), None, None, sizes).await
    }

    fn bring(lease: &Lease) {
        for (_, name) in &lease.own {
            fs::write(lease.directory.join(name), "12345").unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_brought_is_there_for_others() {
        let (_top, store) = store(100);
        let first = lease(&store, &["a", "b", "a"], 5).await;
        let brought = |name: &str| Action::Download(name.to_owned());
        assert_eq!(first.actions, [brought("c1-a"), brought("c2-b"), brought("c1-a")]);
        bring(&first);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { lease(&store, &["b"], 5).await.actions.clone() }
        });
        first.keep();
        assert_eq!(waiting.await.unwrap(), [Action::Retrieve("c2-b".to_owned())]);
        assert_eq!(store.sizes(), (100, 10));
        // A file that somebody changed is none of ours.
        fs::write(store.directory.join("c1-a"), "other").unwrap();
        assert_eq!(lease(&store, &["a"], 5).await.actions, [Action::Retrieve("c1-a".to_owned())]);
        fs::write(store.directory.join("c1-a"), "shorter or longer").unwrap();
        assert_eq!(lease(&store, &["a"], 5).await.actions, [brought("c3-a")]);
    }

    #[tokio::test]
    async fn what_did_not_come_is_fetched_past_the_cache_by_who_waited() {
        let (_top, store) = store(100);
        let first = lease(&store, &["a"], 5).await;
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { lease(&store, &["a"], 5).await.actions.clone() }
        });
        tokio::task::yield_now().await;
        fs::write(first.directory.join("c1-a"), "12").unwrap();
        drop(first);
        assert_eq!(waiting.await.unwrap(), [Action::Bypass]);
        assert!(!store.directory.join("c1-a").exists());
        assert_eq!(store.sizes().1, 0);
    }

    #[tokio::test]
    async fn what_has_no_size_or_no_room_goes_past_the_cache() {
        let (_top, store) = store(4);
        assert_eq!(lease(&store, &["a"], 5).await.actions, [Action::Bypass]);
        assert_eq!(lease(&store, &["a"], 0).await.actions, [Action::Bypass]);
        let first = lease(&store, &["a"], 4).await;
        bring(&first);
        first.keep();
        assert_eq!(store.sizes().1, 0, "it is larger than announced");
        assert_eq!(fs::read_dir(&store.directory).unwrap().count(), 0);
    }
}
