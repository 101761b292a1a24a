//! `mesos registry`: shows, restores and moves what a master remembers. For masters that do not run.
#![expect(clippy::disallowed_methods, reason = "a command: reads the dump that it is told")]

use std::ffi::OsString;
use std::io::Read as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::shell;
use crate::flags::help;
use crate::proto::internal::Registry as Message;
use crate::proto::{Spelling, json};
use crate::registry::store::{self, Store};
use crate::registry::{Change, Key, Registry, message, record};

/// The largest dump that is read: a hundred times that of 50,000 agents.
const LARGEST: u64 = 4 << 30;

/// Shows, restores and moves what a master remembers.
///
/// STORE is the --work_dir of a master that keeps its registry there, or the zk:// or etcd:// URL (or file:// of a
/// file with one) that masters have as --zk. Stop the masters first.
#[derive(Debug, Parser)]
#[command(name = "registry", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints a registry as JSON, as /registrar(1)/registry shows it
    Dump {
        #[arg(value_name = "STORE")]
        store: String,
    },
    /// Fills an empty store with what dump printed, or a Mesos 1.11's /registrar(1)/registry
    Restore {
        #[arg(value_name = "STORE")]
        store: String,
        /// The JSON; - is standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: String,
    },
    /// Copies a registry into an empty store
    Migrate {
        #[arg(value_name = "FROM")]
        from: String,
        #[arg(value_name = "TO")]
        to: String,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Open(#[from] store::OpenError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("starting threads")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Unreadable(#[from] record::Unreadable),
    #[error("reading {path}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is no registry in JSON: {why}")]
    NotJson { path: String, why: String },
    #[error(transparent)]
    Contradiction(#[from] message::Contradiction),
    #[error("the registry in {place} is not empty: it has {facts} records")]
    NotEmpty { place: String, facts: usize },
}

/// The command line under the name that the user wrote.
pub fn command() -> clap::Command {
    Cli::command()
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let cli = match shell::line(command().display_name(program), program, args, Cli::from_arg_matches) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match perform(cli.what) {
        Ok(text) => {
            help::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            help::complain(&format!("{error}{}\n", cause.unwrap_or_default()));
            ExitCode::FAILURE
        }
    }
}

fn perform(what: What) -> Result<String, Refusal> {
    // For what talks to an ensemble, beside this thread, which waits for it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(Refusal::Runtime)?;
    let open = |name: &str| store::open(name, runtime.handle());
    match what {
        What::Dump { store } => {
            let registry = Registry::from_records(open(&store)?.peek()?)?;
            let text = json::to_json(&registry.to_message(), Spelling::V0);
            let shown = serde_json::from_slice::<serde_json::Value>(&text)
                .and_then(|value| serde_json::to_string_pretty(&value))
                .map_err(|error| Refusal::NotJson { path: store, why: error.to_string() })?;
            Ok(format!("{shown}\n"))
        }
        What::Restore { store, file } => {
            let text = read(&file)?;
            let wrong = |error: json::JsonError| Refusal::NotJson { path: file, why: error.to_string() };
            let message: Message = json::from_json(&text, Spelling::V0).map_err(wrong)?;
            fill(&mut *open(&store)?, &Registry::from_message(message)?)
        }
        What::Migrate { from, to } => {
            let registry = Registry::from_records(open(&from)?.peek()?)?;
            fill(&mut *open(&to)?, &registry)
        }
    }
}

fn read(file: &str) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let read = match file {
        "-" => std::io::stdin().take(LARGEST).read_to_end(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)),
    };
    let path = if file == "-" { "standard input" } else { file };
    read.map_err(|source| Refusal::Io { path: path.to_owned(), source })?;
    Ok(text)
}

/// Writes everything into a store that holds nothing, but for who led last.
fn fill(store: &mut dyn Store, registry: &Registry) -> Result<String, Refusal> {
    let held = store.load()?;
    let master = Key::Master.to_string();
    let facts = held.iter().filter(|(key, _)| *key != master).count();
    if facts > 0 {
        return Err(Refusal::NotEmpty { place: store.place(), facts });
    }
    let keys = registry.keys();
    let change = |key: &Key| Change { key: key.to_string(), value: registry.record(key) };
    let changes: Vec<Change> = keys.iter().map(change).collect();
    store.write(&changes)?;
    let counts = [
        (registry.admitted.len(), "admitted"),
        (registry.unreachable.len(), "unreachable"),
        (registry.gone.len(), "gone"),
    ];
    let counts: Vec<String> = counts.iter().map(|(count, what)| format!("{count} {what}")).collect();
    Ok(format!("{}: {} agents; {} records in all\n", store.place(), counts.join(", "), changes.len()))
}
