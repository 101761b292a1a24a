//! Reads what an earlier agent left.
//!
//! Source: `state::recover`, slave/state.cpp 1.11.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::super::Image;
use super::super::journal::{self, Unreadable};
use crate::agent::paths;

/// What could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    pub image: Image,
    /// The machine was started anew since.
    pub rebooted: bool,
    /// What could not be read, each told in the log.
    pub errors: u64,
}

/// The agent must not start on what it found, for `--strict` forbids to lose any of it.
#[derive(Debug, thiserror::Error)]
#[error(
    "Failed to recover the agent from '{path}': {why}\n\
     To go on with all of it that can be read, start the agent with --no-strict.\n\
     To start as a new agent, which ends what ran under the old one: rm -f '{latest}'"
)]
pub struct LoadError {
    path: PathBuf,
    why: String,
    latest: PathBuf,
}

/// The state of the latest agent in this directory, as far as it can be read; `strict`: or why not all of it can.
/// `boot` is the machine's present boot.
pub fn load(work_dir: &Path, strict: bool, boot: Option<&str>) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded { rebooted: rebooted(work_dir, boot), ..Loaded::default() };
    let latest = paths::latest_agent(work_dir);
    let refused = |path: &Path, why: String| LoadError { path: path.to_owned(), why, latest: latest.clone() };
    // A loss that is allowed for, or not.
    let mut lost = |path: &Path, why: String| {
        if strict {
            return Err(refused(path, why));
        }
        warn!(path = %path.display(), why, "cannot recover all of what an earlier agent left");
        loaded.errors += 1;
        Ok(())
    };
    let path = latest.join(paths::CHECKPOINT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // No agent was here, or it was killed before it was registered.
            return Ok(loaded);
        }
        Err(error) => {
            lost(&path, error.to_string())?;
            return Ok(loaded);
        }
    };
    let reading = match journal::read(&bytes) {
        Ok(reading) => reading,
        // Its tasks may be running: nothing is to be lost of what can be read by another version.
        Err(why @ Unreadable::Later(_)) => return Err(refused(&path, why.to_string())),
        Err(why) => {
            lost(&path, why.to_string())?;
            return Ok(loaded);
        }
    };
    for (from, to) in &reading.damaged {
        lost(&path, format!("bytes {from} to {to} are damaged"))?;
    }
    if let Some(from) = reading.torn {
        // Written while the agent or its machine died: nobody relies on it.
        info!(path = %path.display(), from, bytes = bytes.len() - from, "the last record is torn, and left out");
    }
    let facts = reading.facts.len();
    for fact in reading.facts {
        let shown = format!("{fact:?}");
        if !loaded.image.apply(fact) {
            warn!(fact = %shown.chars().take(200).collect::<String>(), "a fact fits nothing; left out");
        }
    }
    if loaded.image.agent.is_none() && facts > 0 {
        loaded.errors += 1;
        let why = "it does not say which agent it is of".to_owned();
        if strict {
            return Err(refused(&path, why));
        }
        warn!(path = %path.display(), why, "starting as a new agent");
        loaded.image = Image::default();
    }
    if let Some(agent) = &loaded.image.agent {
        let (id, frameworks) = (agent.id.clone().unwrap_or_default(), loaded.image.frameworks.len());
        info!(%id, facts, frameworks, rebooted = loaded.rebooted, "read what an earlier agent left");
    }
    Ok(loaded)
}

/// A file that holds no boot id says nothing: processes are known by more than this.
fn rebooted(work_dir: &Path, boot: Option<&str>) -> bool {
    let path = paths::boot_id(work_dir);
    let Ok(text) = fs::read_to_string(&path) else { return false };
    let text = text.trim();
    if text.len() != boot.map_or(0, str::len) || !text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        warn!(path = %path.display(), "no boot id in it");
        return false;
    }
    Some(text) != boot
}
