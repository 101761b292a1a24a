//! `mesos ctl`: what operators ask of a cluster, from a terminal or a script.
//!
//! A client like any other: it uses only what masters and agents serve over HTTP, so Apache Mesos 1.11 answers it
//! too. `args` is the command line, `commands` has one file per subject, `client` talks, `find` says which task,
//! agent or framework is meant, `print` writes tables and documents.
//!
//! Absent on purpose: credentials for masters and agents, which are still to come.
//! Start reading at [`run`].
#![expect(clippy::disallowed_methods, reason = "a shell: reads clock, environment and files, starts threads")]

pub mod address;
pub mod args;
pub mod client;
mod commands;
mod error;
mod files;
mod find;
mod print;
mod progress;
mod units;

use std::ffi::OsString;
use std::time::Duration;

use crate::coordination::url::Url;
use crate::coordination::{detect_once, member};
use address::{Address, Whereabouts};
use args::{Cli, Command};
use client::{Client, Server};
pub use error::{Error, UNREACHABLE, USAGE};
use print::Output;

/// What every command has at hand.
pub struct Ctl {
    client: Client,
    cli_master: Whereabouts,
    pub output: Output,
}

/// How long an ensemble may take to name the leader.
const DETECTION: Duration = Duration::from_millis(2500);

/// The master that leads, as the ensemble has it.
fn elected(url: &Url) -> Result<Address, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Failed(format!("Starting the look-up failed: {error}")))?;
    let info = runtime.block_on(detect_once(url, DETECTION));
    runtime.shutdown_background();
    let info = info.map_err(|why| Error::Unreachable(format!("No leading master: {why}.")))?;
    let authority = member::authority_of(&info);
    authority.parse().map_err(|why| Error::Failed(format!("The leading master's address: {why}")))
}

/// What remains for the caller.
pub enum Done {
    Success,
    /// `mesos execute` with these arguments, for the leading master.
    Execute(Vec<OsString>),
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<Done, Error> {
    let output = Output::of(cli.options.output, cli.options.no_header);
    let ctl = Ctl { client: Client::new(cli.options.timeout), cli_master: cli.options.master, output };
    if let Command::Execute { args } = cli.command {
        return ctl.execute(args).map(Done::Execute);
    }
    match commands::run(&ctl, cli.command) {
        // A reader that has seen enough (`| head`) is no failure.
        Ok(()) | Err(Error::Closed) => Ok(Done::Success),
        Err(error) => Err(error),
    }
}

impl Ctl {
    /// The leading master, found by asking the one that was named.
    pub fn master(&self) -> Result<Server<'_>, Error> {
        match &self.cli_master {
            Whereabouts::Master(address) => self.client.leader(address),
            Whereabouts::Ensemble(url) => self.client.leader(&elected(url)?),
        }
    }

    fn execute(&self, mut args: Vec<OsString>) -> Result<Vec<OsString>, Error> {
        let text = |arg: &OsString| arg.to_string_lossy().into_owned();
        let own = args.iter().map(text).any(|arg| {
            matches!(arg.as_str(), "--help" | "--version" | "--master") || arg.starts_with("--master=")
        });
        if !own {
            args.insert(0, format!("--master={}", self.master()?.address()).into());
        }
        Ok(args)
    }
}
