//! What an agent starts on itself: the fetcher, the process above a container's, the executors of ours.
#![expect(clippy::disallowed_methods, reason = "a command: reads what it is told from the environment")]

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tracing::{error, info};

use crate::agent::containerizer::mesos::supervisor;
use crate::agent::fetcher::{self, FetcherInfo};
use crate::executor::run::{self, Kind};
use crate::flags::common::{Level, Logging};
use crate::flags::help;
use crate::flags::load::MESOS_VERSION;
use crate::logging;
use crate::posix::user;

/// `mesos fetcher`: fetches what `MESOS_FETCHER_INFO`, or else standard input, says.
pub fn fetcher(program: &str, args: Vec<OsString>) -> ExitCode {
    if let Some(status) = takes_nothing(program, &args, "a FetcherInfo in JSON on standard input") {
        return status;
    }
    log_to_stderr(program);
    let given = std::env::var_os("MESOS_FETCHER_INFO").map(OsString::into_encoded_bytes);
    let info: FetcherInfo = match read(given) {
        Ok(info) => info,
        Err(failure) => {
            error!("Failed to parse FetcherInfo: {failure}");
            return ExitCode::FAILURE;
        }
    };
    if let Ok(text) = serde_json::to_string(&info) {
        info!("Fetcher Info: {text}");
    }
    // Started by hand as root it switches itself; the agent started it as that user already.
    if let Some(name) = &info.user
        && let Err(failure) = become_user(name)
    {
        error!("Fetcher could not switch to user '{name}': {failure}");
        return ExitCode::FAILURE;
    }
    match fetcher::program::run(&info) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn become_user(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(identity) = user::switch_to(name)? {
        nix::unistd::setgroups(&identity.groups)?;
        nix::unistd::setgid(identity.gid)?;
        nix::unistd::setuid(identity.uid)?;
    }
    Ok(())
}

/// `mesos containerizer launch`: runs what standard input says, and ends as that ends.
pub fn containerizer(program: &str, args: Vec<OsString>) -> ExitCode {
    if args.first().is_none_or(|word| word != "launch") {
        help::complain(&format!("Usage: {program} launch\n\nStarted by the agent, above a container.\n"));
        return ExitCode::FAILURE;
    }
    match read(None) {
        Ok(info) => {
            let end = supervisor::run(info);
            ExitCode::from(u8::try_from(supervisor::end_as(end)).unwrap_or(u8::MAX))
        }
        Err(failure) => {
            eprintln!("Failed to parse what to launch: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The sandbox's `stderr` is the log.
fn log_to_stderr(program: &str) {
    let logging = Logging {
        quiet: false,
        level: Level::Info,
        log_dir: None,
        buffer: Duration::ZERO,
        json: false,
        external_log_file: None,
    };
    if let Err(failure) = logging::init_at_once(program, &logging) {
        eprintln!("{failure}");
    }
}

/// `mesos executor`: runs the task that the agent sends.
pub fn executor(program: &str, args: Vec<OsString>) -> ExitCode {
    start_executor(Kind::Command, program, &args)
}

/// `mesos default-executor`: runs the groups of tasks that the agent sends.
pub fn default_executor(program: &str, args: Vec<OsString>) -> ExitCode {
    start_executor(Kind::Default, program, &args)
}

fn start_executor(kind: Kind, program: &str, args: &[OsString]) -> ExitCode {
    // 1.11 tells where its binaries are; ours is this one.
    let args: Vec<OsString> =
        args.iter().filter(|word| !word.to_string_lossy().starts_with("--launcher_dir=")).cloned().collect();
    if let Some(status) = takes_nothing(program, &args, "MESOS_SLAVE_PID and others in the environment") {
        return status;
    }
    log_to_stderr(program);
    info!("Version: {MESOS_VERSION}");
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    match std::env::current_exe() {
        Ok(binary) => run::run(kind, variables, binary),
        Err(failure) => {
            error!("Failed to find this program: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The status to end with if anything is given: help, or a refusal.
fn takes_nothing(program: &str, args: &[OsString], wants: &str) -> Option<ExitCode> {
    let first = args.first()?;
    let usage = format!("Usage: {program}\n\nStarted by the agent, with {wants}.\n");
    if first == "--help" {
        help::print(&usage);
        return Some(ExitCode::SUCCESS);
    }
    help::complain(&format!("Unknown argument '{}'.\n\n{usage}", first.to_string_lossy()));
    Some(ExitCode::FAILURE)
}

fn read<T: DeserializeOwned>(given: Option<Vec<u8>>) -> Result<T, serde_json::Error> {
    let bytes = match given {
        Some(bytes) => bytes,
        None => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(serde_json::Error::io)?;
            bytes
        }
    };
    serde_json::from_slice(&bytes)
}
