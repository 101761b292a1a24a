//! `mesos ctl`: asks a cluster, and tells it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::execute;
use crate::ctl::args::Cli;
use crate::ctl::{self, Done};
use crate::flags::help;

/// The command line under the name that the user wrote.
pub fn command(program: &str) -> clap::Command {
    Cli::command().bin_name(program).display_name(program)
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let cli = command(program)
        .no_binary_name(true)
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout; a reader that went away is no failure.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { ctl::USAGE } else { 0 });
        }
    };
    match ctl::run(cli) {
        Ok(Done::Success) => ExitCode::SUCCESS,
        Ok(Done::Execute(args)) => execute::run(&format!("{program} execute"), args),
        Err(error) => {
            help::complain(&format!("{error}\n"));
            ExitCode::from(error.exit_status())
        }
    }
}
