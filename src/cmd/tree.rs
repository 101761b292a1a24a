//! Every command as clap knows them: what shell completions and man pages are made from.

use clap::{Arg, ArgAction, Command, ValueHint};

use super::{COMMANDS, ctl, execute_flags, local_flags};
use crate::flags::load::MESOS_VERSION;
use crate::flags::{Flag, Kind, Support, Table};
use crate::{agent, master};

/// `mesos` with the commands that people start. Not for parsing: tables are parsed by `flags`.
pub fn tree() -> Command {
    let mut tree = Command::new("mesos")
        .version(MESOS_VERSION)
        .about("A cluster manager: offers the resources of many machines to frameworks")
        .subcommand_required(true)
        .disable_help_subcommand(true);
    for command in COMMANDS {
        let Some(about) = command.about else { continue };
        let about = about.trim_end_matches('.');
        let subcommand = match command.name {
            "ctl" => ctl::command("mesos ctl").name("ctl").display_name("mesos-ctl").mut_subcommand(
                "execute",
                |execute| {
                    let about = execute.get_about().cloned().unwrap_or_default();
                    of_table("execute", &execute_flags::table()).about(about)
                },
            ),
            "registry" => super::registry::command(),
            "zk" => super::zk::command().mut_subcommand("serve", |serve| {
                let about = serve.get_about().cloned().unwrap_or_default();
                of_table("serve", &super::zk::table()).about(about)
            }),
            "completions" => super::completions::command(),
            name => match table(name) {
                Some(table) => of_table(name, &table).about(about),
                None => Command::new(name).about(about),
            },
        };
        tree = tree.subcommand(subcommand.visible_aliases(command.aliases.iter().copied()));
    }
    tree
}

fn table(name: &str) -> Option<Table> {
    Some(match name {
        "master" => master::flags::table(),
        "slave" => agent::flags::table(),
        "local" => local_flags::table(),
        "execute" => execute_flags::table(),
        _ => return None,
    })
}

fn of_table(name: &'static str, table: &Table) -> Command {
    // `help` is clap's own, and is among the rows.
    let mut command = Command::new(name).disable_version_flag(true).disable_help_flag(true);
    for row in table.rows() {
        command = command.arg(of_row(row));
        if row.kind == Kind::Bool && !matches!(row.name, "help" | "version") {
            let no: &'static str = Box::leak(format!("no-{}", row.name).into_boxed_str());
            let help = format!("The opposite of --{}", row.name);
            command = command.arg(Arg::new(no).long(no).action(ArgAction::SetTrue).help(help));
        }
    }
    command
}

fn of_row(row: &'static Flag) -> Arg {
    let mut help = row.help.trim_end().to_owned();
    for old in row.old {
        help.push_str(&format!("\nOld name: --{old}."));
    }
    match row.support {
        Support::Works => {}
        Support::Harmless(why) => help.push_str(&format!("\nAccepted and ignored: {why}.")),
        Support::Absent(what) => help.push_str(&format!("\nCannot be set yet: {what}.")),
    }
    let short = help.lines().next().unwrap_or_default().to_owned();
    let arg = Arg::new(row.name).long(row.name).help(short).long_help(help);
    if row.kind == Kind::Bool {
        return arg.action(ArgAction::SetTrue);
    }
    let hint = if row.kind == Kind::Path { ValueHint::AnyPath } else { ValueHint::Unknown };
    let arg = arg.value_name("VALUE").value_hint(hint);
    row.default.map_or(arg.clone(), |default| arg.default_value(default))
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_no_fault() {
        super::tree().debug_assert();
    }
}
