//! The command line of `mesos ctl`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::address::Whereabouts;

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  refused or failed; the sentence on standard error says why
  2  the command line cannot be understood
  3  the master or agent cannot be reached, or does not answer in time
  4  no such task, agent, framework or file, or several fit
  5  this master or agent has no such endpoint (it is an older or another Mesos)

Ids may be shortened as long as one thing alone fits: the beginning of an id, the part behind its
last dash ('S0', '0003'), an agent's hostname or a framework's name.";

/// Asks a Mesos cluster, and tells it.
#[derive(Debug, Parser)]
#[command(name = "ctl", after_help = EXIT_STATUS, max_term_width = 100, version = crate::flags::load::MESOS_VERSION)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Any master as host:port, or where masters elect their leader: zk://…, etcd://… or file://…
    #[arg(long, global = true, value_name = "ADDRESS", default_value = "localhost:5050")]
    #[arg(env = "MESOS_MASTER", hide_env_values = true)]
    pub master: Whereabouts,

    /// How long a master or agent may take before it counts as dead, as 500ms, 10secs, 1mins
    #[arg(long, global = true, value_name = "DURATION", default_value = "2500ms", value_parser = duration)]
    pub timeout: Duration,

    /// How to write what was found
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: Format,

    /// Leave out the line that names a table's columns
    #[arg(long, global = true)]
    pub no_header: bool,
}

/// How lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The columns that matter most, cut to the terminal's width
    Table,
    /// All columns, not cut
    Wide,
    /// As the master or agent says it
    Json,
    /// The same in YAML
    Yaml,
    /// Ids alone, one a line
    Name,
}

/// Whom to ask, where that need not be the master.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Ask this agent in place of the master: its id or hostname
    #[arg(long, value_name = "AGENT", value_parser = NonEmptyStringValueParser::new())]
    pub agent: Option<String>,
}

/// Which task is meant.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Id of a task, or the beginning of one
    #[arg(value_name = "TASK", value_parser = NonEmptyStringValueParser::new())]
    pub task: String,

    /// Only tasks of this framework: its id or name
    #[arg(long, value_name = "FRAMEWORK")]
    pub framework: Option<String>,
}

/// How much of a log, and whether to wait for more.
#[derive(Args, Clone, Copy, Debug)]
pub struct Span {
    /// Go on with what is added, until the task has ended or Ctrl-C
    #[arg(short, long)]
    pub follow: bool,

    /// Begin so many lines before the end
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub lines: Option<usize>,
}

/// Where files are: the sandbox of a task, or the virtual paths of an agent or master.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Id of a task, or the beginning of one; not with --agent or --on-master
    #[arg(value_name = "TASK", value_parser = NonEmptyStringValueParser::new())]
    pub first: Option<String>,

    /// Path below the task's sandbox; with --agent or --on-master a virtual path like /slave/log
    #[arg(value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub second: Option<String>,

    /// Only tasks of this framework: its id or name
    #[arg(long, value_name = "FRAMEWORK")]
    pub framework: Option<String>,

    /// A virtual path of this agent: its id or hostname
    #[arg(long, value_name = "AGENT", conflicts_with = "on_master")]
    pub agent: Option<String>,

    /// A virtual path of the master
    #[arg(long)]
    pub on_master: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the cluster: its master, how much of it is in use, and by how many
    ///
    /// With -o json or yaml: the master's whole state.
    State,
    /// List frameworks
    Frameworks {
        /// Also those that have ended
        #[arg(short, long)]
        all: bool,
    },
    /// List agents
    Agents,
    /// List tasks
    Tasks {
        /// Also those that have ended
        #[arg(short, long)]
        all: bool,
        /// Only tasks of this framework: its id or name
        #[arg(long, value_name = "FRAMEWORK")]
        framework: Option<String>,
        /// Only tasks on this agent: its id or hostname
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Only tasks in this state, as running or TASK_RUNNING
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
    },
    /// List roles
    Roles,
    /// List the offers that frameworks hold
    Offers,
    /// List tasks that run, with what their executors use
    Ps,
    /// Follow how busy the cluster is
    ///
    /// Keys: a agents, f frameworks, t tasks, q the end.
    Top {
        /// Write one picture and end
        #[arg(long)]
        once: bool,
        /// What to list
        #[arg(long, value_name = "WHAT", default_value = "agents")]
        by: By,
        /// How often to look again
        #[arg(long, value_name = "DURATION", default_value = "2secs", value_parser = duration)]
        every: Duration,
    },
    /// Show metrics
    Metrics {
        /// Only names that contain this
        pattern: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show the flags that a master or agent runs with
    Flags {
        /// Only names that contain this
        pattern: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show which version a master or agent is
    Version {
        #[command(flatten)]
        target: Target,
    },
    /// Ask whether a master or agent is well
    Health {
        #[command(flatten)]
        target: Target,
    },
    /// Follow what happens in the cluster, until Ctrl-C
    ///
    /// Goes on by itself when the master ends the stream or another one leads.
    Events {
        /// Go on behind this event: an id as -o wide or json writes it
        #[arg(long, value_name = "ID")]
        since: Option<String>,
        /// Only these types, with commas, as TASK_UPDATED,AGENT_REMOVED
        #[arg(long, value_name = "TYPES")]
        types: Option<String>,
        /// Only of this framework and its tasks: its id or name
        #[arg(long, value_name = "FRAMEWORK")]
        framework: Option<String>,
        /// Only of this agent and the tasks on it: its id or hostname
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Only of tasks of this id
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
    },
    /// Write what a task wrote, also when it has ended
    Logs {
        #[command(flatten)]
        which: Which,
        /// stdout, stderr or another file of the sandbox
        #[arg(value_name = "FILE", default_value = "stdout")]
        file: String,
        #[command(flatten)]
        span: Span,
    },
    /// Write the log of the master or of an agent
    Log {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        span: Span,
    },
    /// Look at the files of a task, an agent or the master
    #[command(subcommand)]
    Files(Files),
    /// Change how much a master or agent logs
    #[command(subcommand)]
    Logging(Logging),
    /// Kill a task; its framework is told so
    ///
    /// Apache Mesos has no such endpoint: there only the framework can kill its task.
    Kill {
        #[command(flatten)]
        which: Which,
        /// Wait until the task has ended
        #[arg(long)]
        wait: bool,
    },
    /// End a framework and all its tasks
    Teardown {
        /// Id of a framework, or its beginning or end
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        framework: String,
    },
    /// Run one command as a task and follow it to its end: `mesos execute` for this master
    #[command(disable_help_flag = true)]
    Execute {
        /// Flags of mesos execute; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAG")]
        args: Vec<OsString>,
    },
}

/// What `top` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    Agents,
    Frameworks,
    Tasks,
}

#[derive(Debug, Subcommand)]
pub enum Files {
    /// List a directory
    Ls {
        #[command(flatten)]
        place: Place,
    },
    /// Write a file
    Cat {
        #[command(flatten)]
        place: Place,
    },
    /// Write the end of a file
    Tail {
        #[command(flatten)]
        place: Place,
        /// Go on with what is added, until the task has ended or Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// Begin so many lines before the end
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
        lines: usize,
    },
    /// Copy a file to this machine
    Get {
        #[command(flatten)]
        place: Place,
        /// File or directory to write to; the file's own name below the current directory if not said
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Logging {
    /// Log more for a while; the usual level returns by itself
    Toggle {
        /// 0 is the usual one, 3 logs everything
        #[arg(long, value_name = "LEVEL")]
        level: u32,
        /// How long it lasts, as 10secs, 15mins
        #[arg(long, value_name = "DURATION", default_value = "1mins", value_parser = duration)]
        duration: Duration,
        #[command(flatten)]
        target: Target,
    },
    /// Show the present level
    Level {
        #[command(flatten)]
        target: Target,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = crate::base::duration::parse(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("expected more than zero".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn execute_keeps_its_flags() {
        let cli =
            Cli::try_parse_from(["ctl", "--master=h:1", "execute", "--name=n", "--command=ls -l", "--help"]);
        let cli = cli.expect("a command line");
        assert_eq!(cli.options.master, "h:1".parse().unwrap());
        let Command::Execute { args } = cli.command else { panic!("{cli:?}") };
        assert_eq!(args, ["--name=n", "--command=ls -l", "--help"]);
    }
}
