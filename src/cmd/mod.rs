//! The commands of the one binary, one file each: flags, build, run, exit status.
//!
//! A command is one row of [`COMMANDS`]. It is started as `mesos <name> …` or, through a link, as
//! `mesos-<name> …`; either way its process is called `mesos-<name>`, so that `killall mesos-master` works.

pub mod completions;
pub mod ctl;
pub mod execute;
pub mod execute_flags;
#[cfg(test)]
mod golden;
pub mod helpers;
pub mod local;
pub mod local_flags;
pub mod master;
pub mod registry;
pub mod shell;
pub mod slave;
pub mod tree;
pub mod zk;

use std::ffi::{CString, OsString};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::flags::help;
use crate::flags::load::MESOS_VERSION;

/// One command.
pub struct Command {
    pub name: &'static str,
    /// Other names, with a link `mesos-<alias>` each.
    pub aliases: &'static [&'static str],
    /// None for what agents start on themselves and packages are made with: help does not list it.
    pub about: Option<&'static str>,
    /// Gets the program's name as the user wrote it, for help and refusals, and the arguments after it.
    pub run: fn(&str, Vec<OsString>) -> ExitCode,
}

/// Every command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "master",
        aliases: &[],
        about: Some("Offers the resources of agents to frameworks."),
        run: master::run,
    },
    Command {
        name: "slave",
        aliases: &["agent"],
        about: Some("Runs the tasks of frameworks on this machine."),
        run: slave::run,
    },
    Command {
        name: "local",
        aliases: &[],
        about: Some("A master and its agents in one process, to try things."),
        run: local::run,
    },
    Command {
        name: "execute",
        aliases: &[],
        about: Some("Runs one command as a task and follows it to its end."),
        run: execute::run,
    },
    Command {
        name: "ctl",
        aliases: &[],
        about: Some("Asks a cluster, and tells it: tasks, logs, files, metrics and more."),
        run: ctl::run,
    },
    Command {
        name: "registry",
        aliases: &[],
        about: Some("Shows, restores and moves what a master remembers."),
        run: registry::run,
    },
    Command { name: "zk", aliases: &[], about: Some("A ZooKeeper for those who have none."), run: zk::run },
    Command {
        name: "completions",
        aliases: &[],
        about: Some("Prints what a shell needs to complete commands and flags."),
        run: completions::run,
    },
    Command { name: "man", aliases: &[], about: None, run: completions::man },
    Command { name: "executor", aliases: &[], about: None, run: helpers::executor },
    Command { name: "default-executor", aliases: &[], about: None, run: helpers::default_executor },
    Command { name: "fetcher", aliases: &[], about: None, run: helpers::fetcher },
    Command { name: "containerizer", aliases: &[], about: None, run: helpers::containerizer },
];

/// Runs the command that argv[0] or else the first argument names.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let mut argv = argv.into_iter();
    let program = argv.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some((command, name)) = program.strip_prefix("mesos-").and_then(find) {
        name_process(name);
        return (command.run)(&program, argv.collect());
    }
    let word = argv.next().map(|word| word.to_string_lossy().into_owned());
    match word.as_deref() {
        Some("help") => match argv.next() {
            Some(name) => help_of(&name.to_string_lossy()),
            None => print_usage(),
        },
        Some("--help" | "-h") => print_usage(),
        Some("version" | "--version") => {
            help::print(&format!("mesos {MESOS_VERSION}\n"));
            ExitCode::SUCCESS
        }
        Some(word) => match find(word) {
            Some((command, name)) => {
                name_process(name);
                (command.run)(&format!("mesos {name}"), argv.collect())
            }
            None => refuse(&format!("'{word}' is not a command")),
        },
        None => refuse("Expected a command"),
    }
}

/// The command of this name or alias, and the name as the command spells it.
fn find(word: &str) -> Option<(&'static Command, &'static str)> {
    COMMANDS.iter().find_map(|command| {
        let names = std::iter::once(command.name).chain(command.aliases.iter().copied());
        names.into_iter().find(|name| *name == word).map(|name| (command, name))
    })
}

/// `killall` and `ps` go by this name; the kernel keeps 15 bytes of it. Threads inherit it.
fn name_process(name: &str) {
    if let Ok(name) = CString::new(format!("mesos-{name}")) {
        // Only a name that is no address can be refused.
        nix::sys::prctl::set_name(&name).ok();
    }
}

fn help_of(word: &str) -> ExitCode {
    match find(word) {
        Some((command, name)) => (command.run)(&format!("mesos {name}"), vec!["--help".into()]),
        None => refuse(&format!("'{word}' is not a command")),
    }
}

fn print_usage() -> ExitCode {
    help::print(&usage());
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    help::complain(&format!("{why}.\n\n{}", usage()));
    ExitCode::FAILURE
}

fn usage() -> String {
    let mut text = "Usage: mesos <command> [...]\n\nCommands:\n".to_owned();
    for command in COMMANDS {
        let Some(about) = command.about else { continue };
        let aliases: String = command.aliases.iter().map(|alias| format!(", {alias}")).collect();
        let names = format!("{}{aliases}", command.name);
        writeln!(text, "  {names:<16}{about}").expect("a String takes every text");
    }
    text.push_str("\n'mesos help <command>' lists the flags of a command.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_name_and_alias() {
        assert_eq!(find("agent").map(|(command, name)| (command.name, name)), Some(("slave", "agent")));
        assert_eq!(find("master").map(|(_, name)| name), Some("master"));
        assert!(find("mesos").is_none());
    }
}
