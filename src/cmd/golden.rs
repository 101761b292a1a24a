//! What users see of the flags is held by files: `MESOS_BLESS=1` rewrites the golden ones.
#![expect(clippy::disallowed_methods, reason = "tests read files and the environment")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::flags::{Table, help};
use crate::{agent, master};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> String {
    let path = fixture(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("reading {}: {e}", path.display()))
}

fn is_golden(name: &str, text: &str) {
    if std::env::var_os("MESOS_BLESS").is_some() {
        std::fs::write(fixture(name), text).expect("writing a golden file");
    }
    assert_eq!(read(name), text, "{name} differs; MESOS_BLESS=1 rewrites it");
}

#[test]
fn help_is_golden() {
    for (table, program) in [
        (master::flags::table(), "mesos-master"),
        (agent::flags::table(), "mesos-slave"),
        (super::local_flags::table(), "mesos-local"),
        (super::execute_flags::table(), "mesos-execute"),
    ] {
        is_golden(&format!("golden/{program}-help.txt"), &help::usage(&table, program));
    }
}

/// `mesos ctl --help` and that of each of its commands, as wide as a page.
#[test]
fn the_help_of_ctl_is_golden() {
    fn write(command: &mut clap::Command, text: &mut String) {
        let help = command.clone().term_width(100).render_long_help();
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        text.push_str(&format!("$ {name} --help\n{help}\n"));
        for subcommand in command.get_subcommands_mut() {
            write(subcommand, text);
        }
    }
    let mut command = super::ctl::command("mesos ctl");
    command.build();
    let mut text = String::new();
    write(&mut command, &mut text);
    let lines = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    is_golden("golden/mesos-ctl-help.txt", &lines);
}

/// Every flag of a help text, with the lines of its right column.
fn flags_of(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut flags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    let column = text.lines().find_map(|line| {
        let name_ends = line.find("=VALUE")? + "=VALUE".len();
        Some(name_ends + line[name_ends..].find(|c| c != ' ')?)
    });
    let column = column.expect("a flag with a value");
    for line in text.lines().skip_while(|line| !line.starts_with("  --")) {
        let (left, right) = line.split_at(column.min(line.len()));
        if left.starts_with("  --") {
            current = left.trim().to_owned();
        }
        flags.entry(current.clone()).or_default().push(right.to_owned());
    }
    flags
}

/// Checkpoints are written since Mesos 0.15, and always since 0.22.
const OTHER_DEFAULTS: &[(&str, &str, &str)] = &[("--[no-]checkpoint", "(default: false)", "(default: true)")];

/// Name, text and default of every flag that the tutorial shows; ours may say more after it.
#[test]
fn the_tutorials_flags_are_there() {
    for (table, program) in [(master::flags::table(), "mesos-master"), (agent::flags::table(), "mesos-slave")]
    {
        let ours = flags_of(&help::usage(&table, program));
        let theirs = flags_of(&read(&format!("tutorial/{program}-help.txt")));
        assert!(theirs.len() > 15, "{theirs:?}");
        for (flag, lines) in theirs {
            let our_lines = ours.get(&flag).unwrap_or_else(|| panic!("{program} has no {flag}"));
            let (before, now) = OTHER_DEFAULTS
                .iter()
                .find(|(name, ..)| *name == flag)
                .map_or(("(default: ", "(default: "), |(_, before, now)| (*before, *now));
            let same =
                our_lines.iter().zip(&lines).all(|(a, b)| a.trim_end() == b.trim_end().replace(before, now));
            assert!(same && our_lines.len() >= lines.len(), "{flag}: {lines:#?}\nis here {our_lines:#?}");
        }
    }
}

fn knows(table: &Table, name: &str) {
    for line in read(name).lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let new = words.next().expect("a name");
        let (row, _) = table.find(new).unwrap_or_else(|| panic!("{name}: no flag '{new}'"));
        for old in words {
            assert!(row.old.contains(&old), "{name}: '{old}' is no old name of '{new}'");
        }
    }
}

#[test]
fn every_flag_of_mesos_is_known() {
    knows(&master::flags::table(), "surface/flags-master.txt");
    knows(&agent::flags::table(), "surface/flags-agent.txt");
}

/// A row whose default its own kind or check refuses would keep the program from starting.
#[test]
fn every_default_is_accepted() {
    master::flags::Flags::for_tests();
    agent::flags::Flags::for_tests(Path::new("/tmp"));
}
