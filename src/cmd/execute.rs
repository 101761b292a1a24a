//! `mesos execute`: runs one command as a task and follows it to its end.

use std::ffi::OsString;
use std::process::ExitCode;

use super::execute_flags::{Flags, table};
use crate::flags::{help, start};

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    // The command line only, as in Mesos: inside a task `MESOS_*` belongs to the executor.
    match start(&table(), program, args, Vec::new(), Flags::from_values) {
        Ok(_flags) => {
            help::complain("This build cannot run a task yet.\n");
            ExitCode::FAILURE
        }
        Err(status) => status,
    }
}
