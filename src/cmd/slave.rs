//! `mesos slave`, also `mesos agent`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::agent::flags::{Flags, table};
use crate::flags::{environment, help, start};

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    match start(&table(), program, args, environment(), Flags::from_values) {
        Ok(_flags) => {
            help::complain("This build cannot run an agent yet.\n");
            ExitCode::FAILURE
        }
        Err(status) => status,
    }
}
