//! `mesos zk`: a ZooKeeper for those who have none, and a look into any.
//!
//! `serve` is a server; the others are a client by hand, of whatever `--zk` names.

mod act;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub use self::serve::table;
use super::shell;
use crate::flags::help;

/// A ZooKeeper for those who have none, and a look into any.
#[derive(Debug, Parser)]
#[command(name = "zk", disable_version_flag = true, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    /// Where to look: zk://host:port,host:port/path; the path is that of a command that names none.
    /// leader and masters also look at etcd://host:port,…/path
    #[arg(long, global = true, value_name = "URL", default_value = "zk://localhost:2181")]
    #[arg(env = "MESOS_ZK", hide_env_values = true)]
    zk: String,

    /// How long a server may take to answer, as 500ms, 10secs, 1mins
    #[arg(long, global = true, value_name = "DURATION", default_value = "10secs", value_parser = duration)]
    timeout: Duration,

    #[command(subcommand)]
    what: What,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::base::duration::parse(text).map_err(|error| error.to_string())
}

/// How what was found is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves ZooKeeper's client protocol; `serve --help` lists its flags
    Serve,
    /// Lists the names below a node
    Ls { path: Option<String> },
    /// Prints what a node holds
    Get { path: Option<String> },
    /// Prints a node's numbers
    Stat { path: Option<String> },
    /// Shows all nodes below one
    Tree { path: Option<String> },
    /// Prints a line for each change of a node, or below it, until it is ended
    Watch {
        path: Option<String>,
        /// Also all nodes below
        #[arg(short, long)]
        recursive: bool,
        /// Ends after so many changes
        #[arg(long, value_name = "CHANGES")]
        count: Option<u64>,
    },
    /// Makes a node, and those above it, and prints its path
    Create {
        path: String,
        #[arg(default_value = "")]
        data: String,
        /// Its name goes on with the next number of its parent
        #[arg(short, long)]
        sequential: bool,
    },
    /// Writes a node
    Set {
        path: String,
        data: String,
        /// Only if this is its version
        #[arg(long)]
        version: Option<i32>,
    },
    /// Removes a node
    Rm {
        path: String,
        /// And all below it
        #[arg(short, long)]
        recursive: bool,
    },
    /// Prints the master that leads
    Leader {
        #[arg(short, long, default_value = "text")]
        output: Format,
    },
    /// Prints all masters that stand, the one that leads first
    Masters {
        #[arg(short, long, default_value = "text")]
        output: Format,
    },
}

/// The command line under the name that the user wrote.
pub fn command() -> clap::Command {
    Cli::command()
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    if args.first().is_some_and(|word| word == "serve") {
        return serve::run(&format!("{program} serve"), args[1..].to_vec());
    }
    let cli = match shell::line(command().display_name(program), program, args, Cli::from_arg_matches) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(act::perform(cli)),
        Err(error) => Err(format!("starting threads: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            help::complain(&format!("{why}\n"));
            ExitCode::FAILURE
        }
    }
}
