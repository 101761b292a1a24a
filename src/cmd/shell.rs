//! What commands have in common: reading their line, and of those that serve the log, the runtime, signals, the exit
//! status.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::ArgMatches;
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

use crate::ctl::USAGE;
use crate::flags::common::Logging;
use crate::flags::help;
use crate::logging::{self, Log};

/// What a line says of a command that has no table of flags, by `of`; or the status to end with, once help, the
/// version or what is wrong has been shown.
pub fn line<T>(
    command: clap::Command,
    program: &str,
    args: Vec<OsString>,
    of: impl FnOnce(&ArgMatches) -> Result<T, clap::Error>,
) -> Result<T, ExitCode> {
    let command = command.bin_name(program).no_binary_name(true);
    command.try_get_matches_from(args).and_then(|matches| of(&matches)).map_err(|error| {
        // Help goes to stdout; a reader that went away is no failure.
        error.print().ok();
        ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
    })
}

/// A command that serves.
pub struct Program {
    /// Names its log files, whatever link it was started by.
    pub name: &'static str,
    pub logging: Logging,
}

/// Starts the log and the runtime, and waits for `serve`.
pub fn run<F>(program: Program, serve: impl FnOnce(Log) -> F) -> ExitCode
where
    F: Future<Output = ExitCode>,
{
    let log = match logging::init(program.name, &program.logging) {
        Ok(log) => log,
        Err(error) => return complain(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    let status = runtime.block_on(serve(log));
    // Connections and blocking work are dropped where they are.
    runtime.shutdown_background();
    status
}

/// Returns the name of the signal that asks the process to end.
pub async fn told_to_end() -> &'static str {
    let listen = |kind| signal(kind);
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (listen(SignalKind::terminate()), listen(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Logs why a start failed, with its causes. A text of several lines is as many lines of the log, which holds each
/// on one.
pub fn failed(error: &dyn Error) -> ExitCode {
    for line in chain(error).lines() {
        error!("{line}");
    }
    ExitCode::FAILURE
}

fn complain(error: &dyn Error) -> ExitCode {
    help::complain(&format!("{}\n", chain(error)));
    ExitCode::FAILURE
}

/// An error and what caused it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
