//! The journal in a file, and the little that is beside it: `paths.rs` has the places.
//!
//! `load` reads what an earlier agent left; `writer` keeps what this one says. A lock keeps a second agent away.
//! Start at `writer.rs`.
#![expect(clippy::disallowed_methods, reason = "a shell: files, and a thread that writes them")]

mod load;
mod writer;

pub use load::{LoadError, Loaded, load};
pub use writer::{Checkpointer, Durable};

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::agent::paths;

const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Held as long as the agent runs.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("opening {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("Flag 'work_dir': another agent runs in {0}; give each agent a directory of its own")]
    Taken(PathBuf),
}

/// Two agents in one directory would end each other's containers. Blocks as long as `patience` says if there is
/// one: the lock of an agent that was just killed may linger with a child of it that has not come to its exec.
pub fn lock(work_dir: &Path, patience: Duration) -> Result<Lock, LockError> {
    let path = paths::lock(work_dir);
    let open = |source| LockError::Open { path: path.clone(), source };
    fs::create_dir_all(paths::meta(work_dir)).map_err(open)?;
    let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
    let mut file = options.open(&path).map_err(open)?;
    let mut waited = Duration::ZERO;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => return Ok(Lock { _file: file }),
            Err((file, _)) if waited < patience => file,
            Err(_) => return Err(LockError::Taken(work_dir.to_owned())),
        };
        std::thread::sleep(LOCK_INTERVAL);
        waited += LOCK_INTERVAL;
    }
}

/// Makes what is in a directory durable: that a file has this name.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a file in one step, durably.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    use std::io::Write as _;

    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path.parent().unwrap_or(path))?;
    Ok(file)
}
