//! `mesos ctl`: asks a cluster, and tells it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::{execute, shell};
use crate::ctl::args::Cli;
use crate::ctl::{self, Done};
use crate::flags::help;

/// The command line under the name that the user wrote.
pub fn command(program: &str) -> clap::Command {
    Cli::command().bin_name(program).display_name(program)
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let cli = match shell::line(command(program), program, args, Cli::from_arg_matches) {
        Ok(cli) => cli,
        Err(status) => return status,
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
