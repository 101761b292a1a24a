//! `mesos completions`: what a shell needs to complete commands and flags. `mesos man`: manual pages.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

use super::COMMANDS;
use super::shell;
use super::tree::tree;
use crate::flags::help;

pub fn command() -> Command {
    let shells = PossibleValuesParser::new(["bash", "zsh", "fish"]);
    Command::new("completions")
        .about("Prints what a shell needs to complete commands and flags")
        .after_help(
            "bash:  mesos completions bash > /etc/bash_completion.d/mesos\n\
             zsh:   mesos completions zsh > \"${fpath[1]}/_mesos\"\n\
             fish:  mesos completions fish > ~/.config/fish/completions/mesos.fish",
        )
        .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(shells).help("The shell"))
}

fn man_command() -> Command {
    Command::new("man").about("Writes a manual page for each command: how packages are made").arg(
        Arg::new("dir")
            .long("dir")
            .value_name("DIRECTORY")
            .required(true)
            .value_hint(ValueHint::DirPath)
            .help("Where to; made if it is not there"),
    )
}

/// The value of the one argument, or the status to end with.
fn one_value(command: Command, program: &str, args: Vec<OsString>, name: &str) -> Result<String, ExitCode> {
    shell::line(command, program, args, |matches| {
        Ok(matches.get_one::<String>(name).cloned().unwrap_or_default())
    })
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let shell = match one_value(command(), program, args, "shell") {
        Ok(shell) => shell,
        Err(status) => return status,
    };
    let shell = match shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut tree(), "mesos", &mut text);
    help::print(&with_links(shell, &String::from_utf8_lossy(&text)));
    ExitCode::SUCCESS
}

/// What commands are also called: `mesos-ctl` for `mesos ctl`.
fn links() -> impl Iterator<Item = String> {
    let started = COMMANDS.iter().filter(|command| command.about.is_some() && command.name != "completions");
    let names = started.flat_map(|command| [command.name].into_iter().chain(command.aliases.iter().copied()));
    names.map(|name| format!("mesos-{name}"))
}

/// Completes a link as the command that it stands for.
fn with_links(shell: Shell, text: &str) -> String {
    let names = links().collect::<Vec<_>>();
    match shell {
        Shell::Zsh => {
            let head = format!("#compdef mesos {}", names.join(" "));
            let text = text.replacen("#compdef mesos", &head, 1).replacen("_mesos() {", ZSH_LINK, 1);
            text.replacen("compdef _mesos mesos\n", &format!("compdef _mesos mesos {}\n", names.join(" ")), 1)
        }
        Shell::Fish => {
            let line = |name: &String| format!("complete -c {name} -w '{}'\n", name.replacen('-', " ", 1));
            text.to_owned() + &names.iter().map(line).collect::<String>()
        }
        _ => format!(
            "{text}{BASH_LINK}complete -F _mesos_link -o bashdefault -o default {}\n",
            names.join(" ")
        ),
    }
}

const BASH_LINK: &str = r#"
_mesos_link() {
    local name="${1##*/}"
    COMP_WORDS=(mesos "${name#mesos-}" "${COMP_WORDS[@]:1}")
    COMP_CWORD=$((COMP_CWORD + 1))
    _mesos mesos "$2" "$3"
}
"#;

const ZSH_LINK: &str = r#"_mesos() {
    if [[ "$service" == mesos-* ]]; then
        words=(mesos "${service#mesos-}" "${(@)words[2,-1]}")
        (( CURRENT += 1 ))
        local service=mesos
    fi
"#;

pub fn man(program: &str, args: Vec<OsString>) -> ExitCode {
    let dir = match one_value(man_command(), program, args, "dir") {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    match write_pages(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            help::complain(&format!("Cannot write manual pages to {dir}: {error}.\n"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a command: makes the directory that it was told")]
fn write_pages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(tree(), dir)?;
    // `man mesos-agent` shows the page of mesos-slave.
    for command in COMMANDS.iter().filter(|command| command.about.is_some()) {
        for alias in command.aliases {
            let there = format!(".so man1/mesos-{}.1\n", command.name);
            std::fs::write(dir.join(format!("mesos-{alias}.1")), there)?;
        }
    }
    Ok(())
}
