//! `mesos local`: a master and its agents in one process.

use std::ffi::OsString;
use std::process::ExitCode;

use super::local_flags::{Flags, table};
use crate::flags::{environment, help, start};

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let environment = environment();
    let (own, passed_on) = match Flags::split(args) {
        Ok(parts) => parts,
        Err(error) => return help::refuse(program, &error),
    };
    let build = |values| Flags::from_values(values, passed_on, &environment);
    match start(&table(), program, own, environment.clone(), build) {
        Ok(_flags) => {
            help::complain("This build cannot run a local cluster yet.\n");
            ExitCode::FAILURE
        }
        Err(status) => status,
    }
}
