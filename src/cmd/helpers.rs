//! What an agent starts on itself: the fetcher, the process above a container's, the executors of ours.
#![expect(clippy::disallowed_methods, reason = "a command: reads what it is told from the environment")]

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tracing::{error, info};

use crate::agent::containerizer::logger;
use crate::agent::containerizer::mesos::{init, supervisor};
use crate::agent::fetcher::{self, FetcherInfo};
use crate::base::duration;
use crate::executor::run::{self, Kind, Options};
use crate::flags::common::{Level, Logging};
use crate::flags::help;
use crate::flags::load::MESOS_VERSION;
use crate::logging;
use crate::posix::user;

/// `mesos fetcher`: fetches what `MESOS_FETCHER_INFO`, or else standard input, says. With `--sizes` it prints
/// instead how large the items are, as a JSON array.
pub fn fetcher(program: &str, mut args: Vec<OsString>) -> ExitCode {
    let asks_sizes = args.first().is_some_and(|word| word == "--sizes");
    if asks_sizes {
        args.remove(0);
    }
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
    if !asks_sizes && let Ok(text) = serde_json::to_string(&info) {
        info!("Fetcher Info: {text}");
    }
    // Started by hand as root it switches itself; the agent started it as that user already.
    if let Some(name) = &info.user
        && let Err(failure) = become_user(name)
    {
        error!("Fetcher could not switch to user '{name}': {failure}");
        return ExitCode::FAILURE;
    }
    if asks_sizes {
        println!("{}", serde_json::json!(fetcher::program::sizes(&info)));
        return ExitCode::SUCCESS;
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

/// `mesos containerizer launch`: runs what standard input says, and ends as that ends. `init` is started by it.
pub fn containerizer(program: &str, args: Vec<OsString>) -> ExitCode {
    let word = args.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if word != "launch" && word != "init" {
        help::complain(&format!(
            "Usage: {program} launch|init\n\nStarted by the agent, above a container.\n"
        ));
        return ExitCode::FAILURE;
    }
    let failed = |failure| {
        eprintln!("Failed to parse what to launch: {failure}");
        ExitCode::FAILURE
    };
    if word == "init" {
        return match read(None) {
            Ok(info) => ExitCode::from(u8::try_from(init::run(&info)).unwrap_or(u8::MAX)),
            Err(failure) => failed(failure),
        };
    }
    match read(None) {
        Ok(info) => {
            let end = supervisor::run(info);
            ExitCode::from(u8::try_from(supervisor::end_as(end)).unwrap_or(u8::MAX))
        }
        Err(failure) => failed(failure),
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
    let (options, args) = executor_flags(args);
    if let Some(status) = takes_nothing(program, &args, "MESOS_SLAVE_PID and others in the environment") {
        return status;
    }
    log_to_stderr(program);
    info!("Version: {MESOS_VERSION}");
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    match std::env::current_exe() {
        Ok(binary) => run::run(kind, variables, binary, options),
        Err(failure) => {
            error!("Failed to find this program: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What the agent says of its own flags, and what else is there.
fn executor_flags(args: &[OsString]) -> (Options, Vec<OsString>) {
    let mut options = Options::default();
    let fetching = &mut options.fetching;
    let mut others = Vec::new();
    for word in args {
        let text = word.to_string_lossy();
        match text.split_once('=') {
            // 1.11 tells where its binaries are; ours is this one.
            Some(("--launcher_dir", _)) => {}
            Some(("--frameworks_home", value)) => fetching.frameworks_home = Some(value.to_owned()),
            Some(("--hadoop_home", value)) => fetching.hadoop_home = Some(value.to_owned()),
            Some(("--fetcher_stall_timeout", value)) if duration::parse(value).is_ok() => {
                fetching.stall_timeout = duration::parse(value).ok();
            }
            Some(("--container_logger", value)) if logger::parse(value).is_ok() => {
                options.rotation = logger::parse(value).ok().flatten();
            }
            _ => others.push(word.clone()),
        }
    }
    (options, others)
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
