//! Brings what a command needs into its sandbox, before the command runs.
//!
//! The agent starts `mesos fetcher` for each container ([`program`]), as the task's user and with its log in
//! the sandbox, so that neither a slow server nor a hostile archive ever touches the agent. `uri` decides,
//! `download` and `archive` do.
//!
//! Absent as yet, and refused with a sentence: what the Hadoop client would fetch (`hdfs:`, `s3:`, …), `ftp:`.
//! The cache is ignored, with a warning.
#![expect(clippy::disallowed_methods, reason = "a shell: reads and writes files, downloads")]

mod archive;
mod download;
pub mod program;
pub mod uri;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::proto::command_info::Uri;

/// What the fetcher is told, as JSON on its standard input or in `MESOS_FETCHER_INFO`.
///
/// Source: `FetcherInfo`, fetcher.proto 1.11.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetcherInfo {
    pub sandbox_directory: PathBuf,
    #[serde(default)]
    pub items: Vec<Item>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where relative paths begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frameworks_home: Option<PathBuf>,
    /// How long a download may stand still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<Nanoseconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nanoseconds {
    pub nanoseconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub uri: ItemUri,
}

/// `CommandInfo.URI` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemUri {
    pub value: String,
    #[serde(default)]
    pub executable: bool,
    #[serde(default = "yes")]
    pub extract: bool,
    #[serde(default)]
    pub cache: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<String>,
}

fn yes() -> bool {
    true
}

impl From<&Uri> for Item {
    fn from(uri: &Uri) -> Item {
        let uri = ItemUri {
            value: uri.value.clone(),
            executable: uri.executable(),
            extract: uri.extract(),
            cache: uri.cache(),
            output_file: uri.output_file.clone(),
        };
        Item { uri }
    }
}
