//! `mesos master`.

use std::ffi::OsString;
use std::process::ExitCode;

use tracing::{error, info};

use super::shell::{self, Program};
use crate::flags::{environment, start};
use crate::logging::Log;
use crate::master;
use crate::master::flags::{Flags, table};

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let flags = match start(&table(), program, args, environment(), Flags::from_values) {
        Ok(flags) => flags,
        Err(status) => return status,
    };
    let logging = flags.logging.clone();
    shell::run(Program { name: "mesos-master", logging }, |log| serve(flags, log))
}

async fn serve(flags: Flags, log: Log) -> ExitCode {
    let running = match master::start::start(flags, &log).await {
        Ok(running) => running,
        Err(error) => return shell::failed(&error),
    };
    tokio::select! {
        signal = shell::told_to_end() => {
            info!(signal, "ending");
            if let Some(withdrawal) = running.withdrawal {
                withdrawal.withdraw().await;
            }
            ExitCode::SUCCESS
        }
        why = running.ended => {
            let why = why.unwrap_or_else(|_| "the master's loop is gone".to_owned());
            error!(why, "the master ends");
            ExitCode::FAILURE
        }
    }
}
