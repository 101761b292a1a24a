//! Files that a role shows over HTTP: its log and the sandboxes, under names of its choosing.
//!
//! A role attaches a file or directory to a virtual path ([`Files::attach`]) and binds the endpoints once
//! ([`handlers::bind`]); clients name virtual paths only. Nothing outside what is attached can be reached,
//! neither by `..` nor by a link: the real path found must lie below the attached one.
//!
//! Absent on purpose: who may read what (authorization is not there yet). Start reading here, then
//! `handlers.rs`.
//!
//! Source: src/files/files.cpp 1.11.

pub mod browse;
pub mod download;
pub mod handlers;
pub mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use http::StatusCode;

use crate::http::error::HttpError;
use crate::proto;

/// What is attached where. Cheap to clone; clones share the map.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Virtual path without a slash at its end, to the real path without links.
    attached: Arc<RwLock<BTreeMap<String, PathBuf>>>,
}

/// A file that could not be attached.
#[derive(Debug, thiserror::Error)]
#[error("attaching {path}")]
pub struct AttachError {
    path: PathBuf,
    source: io::Error,
}

impl Files {
    /// Shows a file or directory under a virtual path, in place of what was there.
    ///
    /// Links in `real` are followed now, once: `runs/latest` stays what it is at this time. Reads the disk.
    pub fn attach(&self, real: &Path, virtual_path: &str) -> Result<(), AttachError> {
        let error = |source| AttachError { path: real.to_owned(), source };
        let found = real.canonicalize().map_err(error)?;
        nix::unistd::access(&found, nix::unistd::AccessFlags::R_OK).map_err(|errno| error(errno.into()))?;
        self.attached.write().unwrap_or_else(PoisonError::into_inner).insert(cleaned(virtual_path), found);
        Ok(())
    }

    pub fn detach(&self, virtual_path: &str) {
        self.attached.write().unwrap_or_else(PoisonError::into_inner).remove(&cleaned(virtual_path));
    }

    /// Every virtual path with its real one.
    pub fn all(&self) -> BTreeMap<String, PathBuf> {
        self.attached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a virtual directory holds, as the v1 API has it. Reads the disk.
    pub fn list(&self, virtual_path: &str) -> Result<Vec<proto::FileInfo>, HttpError> {
        Ok(browse::messages(&self.resolve(virtual_path)?, virtual_path))
    }

    /// Size of a file and a piece of it, as [`read::read`]. Reads the disk.
    pub fn read(
        &self,
        virtual_path: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(u64, Vec<u8>), HttpError> {
        read::read(&self.resolve(virtual_path)?, offset, length)
    }

    /// The longest attached path that `virtual_path` starts with, and what follows it.
    fn find(&self, virtual_path: &str) -> Option<(PathBuf, String)> {
        let attached = self.attached.read().unwrap_or_else(PoisonError::into_inner);
        let mut prefix = virtual_path;
        loop {
            if let Some(real) = attached.get(prefix) {
                let rest = virtual_path[prefix.len()..].trim_start_matches('/');
                return Some((real.clone(), rest.to_owned()));
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }

    /// The real path behind a virtual one: 404 if there is none, 400 if it leads out. Reads the disk.
    fn resolve(&self, virtual_path: &str) -> Result<PathBuf, Missing> {
        let (root, rest) = self.find(&cleaned(virtual_path)).ok_or(Missing::Unknown)?;
        if rest.is_empty() {
            return Ok(root);
        }
        let path = root.join(&rest);
        // Before the disk is touched, so that nobody learns what exists elsewhere.
        if !stays_below(Path::new(&rest)) {
            return Err(Missing::Outside(path));
        }
        match path.canonicalize() {
            Ok(found) if found.starts_with(&root) => Ok(found),
            Ok(_) => Err(Missing::Outside(path)),
            // Below a file there is nothing, which is no mistake in the asking.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Missing::Unknown)
            }
            Err(error) => Err(Missing::Unreadable(path, error)),
        }
    }
}

/// Why a virtual path leads nowhere.
#[derive(Debug)]
enum Missing {
    Unknown,
    Outside(PathBuf),
    Unreadable(PathBuf, io::Error),
}

impl From<Missing> for HttpError {
    fn from(missing: Missing) -> HttpError {
        match missing {
            Missing::Unknown => HttpError::new(StatusCode::NOT_FOUND, ""),
            Missing::Outside(path) => {
                HttpError::bad_request(format!("'{}' is inaccessible.\n", path.display()))
            }
            Missing::Unreadable(path, error) => HttpError::bad_request(format!(
                "Failed to determine canonical path of '{}': {error}.\n",
                path.display()
            )),
        }
    }
}

/// A virtual path as the map has it: no doubled slashes, none at the end, no `file://`.
fn cleaned(path: &str) -> String {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let mut out = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if !out.is_empty() || path.starts_with('/') {
            out.push('/');
        }
        out.push_str(part);
    }
    out
}

/// Whether no `..` climbs above the start, links aside.
fn stays_below(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}
