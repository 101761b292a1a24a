//! `mesos local`: a master and its agents in one process. When all serve, it prints where its master is found.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use tracing::{error, info};

use super::local_flags::{Flags, table};
use super::shell::{self, Program};
use crate::flags::{environment, help, start};
use crate::local;
use crate::logging::Log;

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let environment = Flags::environment(environment());
    let (own, passed_on) = match Flags::split(args) {
        Ok(parts) => parts,
        Err(error) => return help::refuse(program, &error),
    };
    let build = |values| Flags::from_values(values, passed_on, &environment);
    let flags = match start(&table(), program, own, environment.clone(), build) {
        Ok(flags) => flags,
        Err(status) => return status,
    };
    let logging = flags.logging.clone();
    shell::run(Program { name: "mesos-local", logging }, |log| serve(flags, log))
}

async fn serve(flags: Flags, log: Log) -> ExitCode {
    let mut cluster = match local::start(&flags, &log).await {
        Ok(cluster) => cluster,
        Err(error) => return shell::failed(&error),
    };
    // Nobody has to read it, and a closed pipe is no reason to end.
    writeln!(std::io::stdout(), "{}", cluster.address).ok();
    let status = tokio::select! {
        signal = shell::told_to_end() => {
            info!(signal, "ending");
            ExitCode::SUCCESS
        }
        why = cluster.ended() => {
            error!(why, "the local cluster ends");
            ExitCode::FAILURE
        }
    };
    cluster.leave().await;
    status
}
