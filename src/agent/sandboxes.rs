//! Shows sandboxes under `/files`: under their real path, its `latest`, and a path that names no directory of
//! this machine.
//!
//! Source: `Framework::addExecutor`, slave.cpp 1.11.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::containerizer::{Launch, Report, Survivor};
use super::paths;
use crate::files::Files;
use crate::proto::ContainerId;

/// The sandboxes of one agent. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sandboxes {
    files: Files,
    /// Of containers that were launched and not heard of since.
    expected: Arc<Mutex<HashMap<ContainerId, Sandbox>>>,
}

struct Sandbox {
    directory: PathBuf,
    shown: String,
}

impl Sandboxes {
    pub fn new(files: Files) -> Sandboxes {
        Sandboxes { files, expected: Arc::default() }
    }

    /// The containerizer makes the directory; `heard` shows it.
    pub fn expect(&self, launch: &Launch) {
        let shown = paths::virtual_latest(&launch.framework, &launch.executor);
        self.insert(&launch.container, Sandbox { directory: launch.directory.clone(), shown });
    }

    /// As `expect`, for a container that an earlier agent launched.
    pub fn expect_again(&self, survivor: &Survivor) {
        let shown = paths::virtual_latest(&survivor.framework, &survivor.executor);
        self.insert(&survivor.container, Sandbox { directory: survivor.directory.clone(), shown });
    }

    fn insert(&self, container: &ContainerId, sandbox: Sandbox) {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.insert(container.clone(), sandbox);
    }

    /// The first report of a container means that its sandbox is there, or will never be. Reads the disk.
    pub fn heard(&self, report: &Report) {
        let (Report::Launched { container, .. }
        | Report::Failed { container, .. }
        | Report::Limited { container, .. }
        | Report::Terminated { container, .. }) = report;
        let sandbox = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        let Some(Sandbox { directory, shown }) = sandbox else { return };
        let latest = paths::latest(&directory);
        for path in [&*directory.to_string_lossy(), &*latest.to_string_lossy(), &*shown] {
            if let Err(error) = self.files.attach(&directory, path) {
                warn!(%error, path, "a sandbox is not shown");
            }
        }
    }
}
