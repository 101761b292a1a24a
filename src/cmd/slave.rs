//! `mesos slave`, also `mesos agent`.

use std::ffi::OsString;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::shell::{self, Program};
use crate::agent;
use crate::agent::flags::{Flags, table};
use crate::agent::run::End;
use crate::flags::{environment, start};
use crate::logging::Log;

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let flags = match start(&table(), program, args, environment(), Flags::from_values) {
        Ok(flags) => flags,
        Err(status) => return status,
    };
    let logging = flags.logging.clone();
    shell::run(Program { name: "mesos-slave", logging }, |log| serve(flags, log))
}

async fn serve(flags: Flags, log: Log) -> ExitCode {
    let running = match agent::start::start(flags, 1, &log).await {
        Ok(running) => running,
        Err(error) => return shell::failed(&error),
    };
    let mut ended = std::pin::pin!(running.ended);
    // Source: `handleSIGUSR1`, slave/main.cpp 1.11.
    let mut leave = signal(SignalKind::user_defined1()).ok();
    loop {
        let asked = async {
            match &mut leave {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = shell::told_to_end() => {
                info!(signal, "ending");
                return ExitCode::SUCCESS;
            }
            _ = asked => running.leaver.leave("Received SIGUSR1"),
            why = &mut ended => {
                let end = why.unwrap_or_else(|_| End::Failed("the agent's loop is gone".to_owned()));
                let status = if matches!(end, End::Left(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
                error!(why = end.why(), "the agent ends");
                return status;
            }
        }
    }
}
