//! Brings a container's URIs into its sandbox: `mesos fetcher`, as the task's user, with the cache's help.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::sandbox::Output;
use super::{Settings, Shared};
use crate::agent::containerizer::Launch;
use crate::agent::fetcher::store::Lease;
use crate::agent::fetcher::{Action, FetcherInfo, Item, Nanoseconds, uri};
use crate::base::end::End;
use crate::posix::start::{self, Tie};
use crate::posix::tree::Doomed;
use crate::posix::user::Identity;

#[derive(Debug, thiserror::Error)]
pub enum FetchFailure {
    #[error("Could not fetch: {0}")]
    Uri(#[from] uri::UriError),
    #[error("Failed to execute mesos-fetcher: {0}")]
    Start(io::Error),
    #[error("Failed to fetch all URIs for container '{container}': {end}")]
    Failed { container: String, end: End },
}

/// Whose files are fetched, and where what is said about it goes.
pub struct Fetch<'a> {
    pub settings: &'a Settings,
    pub launch: &'a Launch,
    pub output: &'a Output,
    pub identity: Option<Identity>,
}

/// All of them; dropped before, what it started is killed and what it began to cache is forgotten.
pub async fn fetch(shared: &Shared, fetch: Fetch<'_>) -> Result<(), FetchFailure> {
    if fetch.launch.command.uris.is_empty() {
        return Ok(());
    }
    let fetched = fetch.all().await;
    let counter = if fetched.is_ok() { &shared.fetches.succeeded } else { &shared.fetches.failed };
    counter.increment();
    fetched
}

impl Fetch<'_> {
    async fn all(&self) -> Result<(), FetchFailure> {
        self.can_be_fetched().inspect_err(|error| {
            use std::io::Write;
            // Whoever opens the sandbox to see why finds it there, as with a fetch that failed.
            let _ = writeln!(&self.output.stderr, "Could not fetch: {error}");
        })?;
        let lease = self.lease().await;
        let through_cache = lease.actions.iter().any(|action| *action != Action::Bypass);
        let actions = self.launch.command.uris.iter().zip(&lease.actions);
        let info = FetcherInfo {
            items: actions.map(|(uri, action)| Item::new(uri, action.clone())).collect(),
            cache_directory: through_cache.then(|| lease.directory.clone()),
            ..self.info()
        };
        let stdout = self.output.stdout.try_clone().map_err(FetchFailure::Start)?;
        let mut fetcher = self.start(&[], stdout.into(), &info).await.map_err(FetchFailure::Start)?;
        let doomed = Doomed::of(fetcher.id());
        let status = fetcher.wait().await.map_err(FetchFailure::Start)?;
        doomed.spare();
        match End::from(status) {
            end if end.is_success() => {
                lease.keep();
                Ok(())
            }
            end => Err(FetchFailure::Failed { container: self.launch.container.value.clone(), end }),
        }
    }

    /// Whether every URI, and every file that it is to become, has a meaning.
    fn can_be_fetched(&self) -> Result<(), uri::UriError> {
        for uri in &self.launch.command.uris {
            uri::target(&uri.value, uri.output_file.as_deref())?;
            uri::place(&uri.value, self.settings.frameworks_home.as_deref())?;
        }
        Ok(())
    }

    async fn lease(&self) -> Lease {
        let uris: Vec<(String, bool)> =
            self.launch.command.uris.iter().map(|uri| (uri.value.clone(), uri.cache())).collect();
        let user = self.launch.user.as_deref();
        let sizes = async |missing: Vec<String>| self.sizes(&missing).await;
        self.settings.fetcher_cache.lease(&uris, user, self.identity.as_ref(), sizes).await
    }

    /// What the fetcher finds out; nothing where it fails, which it says in the sandbox.
    async fn sizes(&self, missing: &[String]) -> Vec<Option<u64>> {
        let uris = &self.launch.command.uris;
        let of = |value: &String| uris.iter().find(|uri| uri.value == *value).map(Item::from);
        let info = FetcherInfo { items: missing.iter().filter_map(of).collect(), ..self.info() };
        let Ok(fetcher) = self.start(&["--sizes"], Stdio::piped(), &info).await else { return Vec::new() };
        let doomed = Doomed::of(fetcher.id());
        let output = fetcher.wait_with_output().await;
        doomed.spare();
        output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
    }

    fn info(&self) -> FetcherInfo {
        let timeout = u64::try_from(self.settings.fetcher_stall_timeout.as_nanos()).unwrap_or(u64::MAX);
        FetcherInfo {
            sandbox_directory: self.launch.directory.clone(),
            items: Vec::new(),
            cache_directory: None,
            user: self.launch.user.clone(),
            frameworks_home: self.settings.frameworks_home.clone(),
            stall_timeout: Some(Nanoseconds { nanoseconds: timeout }),
        }
    }

    async fn start(&self, arguments: &[&str], stdout: Stdio, info: &FetcherInfo) -> io::Result<Child> {
        let mut command = std::process::Command::new(&self.settings.program);
        command.arg0("mesos-fetcher").args(arguments).env_clear().envs(start::for_fetchers());
        // By this an agent finds it that comes after one that was killed.
        command.env("MESOS_DIRECTORY", &self.launch.directory);
        if let Some(home) = &self.settings.hadoop_home {
            command.env("HADOOP_HOME", OsString::from(home));
        }
        let stderr = self.output.stderr.try_clone()?;
        command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).current_dir("/");
        start::detach(&mut command, self.identity.clone(), Tie::None);
        let mut fetcher = Command::from(command).spawn()?;
        if let Some(mut stdin) = fetcher.stdin.take() {
            // One that ended already says why in its exit status.
            let _ = stdin.write_all(&serde_json::to_vec(info)?).await;
        }
        Ok(fetcher)
    }
}
