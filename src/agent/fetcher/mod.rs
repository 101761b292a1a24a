//! Brings what a command needs into its sandbox, before the command runs.
//!
//! The agent starts `mesos fetcher` for each container ([`program`]), as the task's user and with its log in
//! the sandbox, so that neither a slow server nor a hostile archive ever touches the agent. `uri` decides,
//! `download`, `ftp`, `hadoop` and `archive` do. `cache` decides what is kept for others, `store` keeps it.
//!
//! Absent on purpose: a look at whether what is cached has changed at its source; a new URI says so.
#![expect(clippy::disallowed_methods, reason = "a shell: reads and writes files, downloads")]

mod archive;
mod cache;
mod download;
mod ftp;
mod hadoop;
pub mod program;
pub mod store;
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
    /// Where the items' cached files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_directory: Option<PathBuf>,
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
    #[serde(default)]
    action: ActionName,
    /// Unless the cache is bypassed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_filename: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum ActionName {
    #[default]
    #[serde(rename = "BYPASS_CACHE")]
    Bypass,
    #[serde(rename = "DOWNLOAD_AND_CACHE")]
    Download,
    #[serde(rename = "RETRIEVE_FROM_CACHE")]
    Retrieve,
}

/// How a URI comes into the sandbox; with the name of the cache's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Past the cache.
    Bypass,
    /// Into the cache, and from there.
    Download(String),
    /// It is there.
    Retrieve(String),
}

impl Item {
    pub fn new(uri: &Uri, action: Action) -> Item {
        let (action, cache_filename) = match action {
            Action::Bypass => (ActionName::Bypass, None),
            Action::Download(name) => (ActionName::Download, Some(name)),
            Action::Retrieve(name) => (ActionName::Retrieve, Some(name)),
        };
        Item { action, cache_filename, ..Item::from(uri) }
    }

    /// `None` if a name is missing, or is none.
    fn action(&self) -> Option<Action> {
        let name = self.cache_filename.clone().filter(|name| {
            let inside = uri::inside(name.as_ref());
            inside.is_some_and(|path| path.components().count() == 1)
        });
        match self.action {
            ActionName::Bypass => Some(Action::Bypass),
            ActionName::Download => name.map(Action::Download),
            ActionName::Retrieve => name.map(Action::Retrieve),
        }
    }
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
        Item { uri, action: ActionName::Bypass, cache_filename: None }
    }
}
