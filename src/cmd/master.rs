//! `mesos master`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::flags::{environment, help, start};
use crate::master::flags::{Flags, table};

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    match start(&table(), program, args, environment(), Flags::from_values) {
        Ok(_flags) => {
            help::complain("This build cannot run a master yet.\n");
            ExitCode::FAILURE
        }
        Err(status) => status,
    }
}
