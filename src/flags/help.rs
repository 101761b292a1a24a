//! `--help`: one flag a line, sorted, in two aligned columns.

use std::fmt::Write;
use std::io::Write as _;
use std::process::ExitCode;

use super::{Error, Flag, Kind, Support, Table};

/// Blanks between the columns.
const GAP: usize = 5;

/// The whole help text. Source: `FlagsBase::usage`, stout 0.15 and 1.11; old names have lines of their
/// own here instead of making the left column wider.
pub fn usage(table: &Table, program: &str) -> String {
    let mut lines: Vec<(String, String, String)> = Vec::new();
    for row in table.rows() {
        lines.push((row.name.to_owned(), left(row, row.name), right(row)));
        for old in row.old {
            let text = match row.old_help {
                Some(text) => with_default(text, row.default),
                None => format!("Old name of --{}.", row.name),
            };
            lines.push(((*old).to_owned(), left(row, old), text));
        }
    }
    lines.sort();
    let width = lines.iter().map(|(_, left, _)| left.len()).max().unwrap_or_default() + GAP;

    let about = if table.about.is_empty() { String::new() } else { format!("{}\n\n", table.about) };
    let mut text = format!("Usage: {program} [...]\n\n{about}Supported options:\n");
    for (_, left, right) in lines {
        let mut left = left.as_str();
        for line in right.lines() {
            let printed = format!("{left:width$}{line}");
            writeln!(text, "{}", printed.trim_end()).expect("a String takes every text");
            left = "";
        }
    }
    text
}

fn left(row: &Flag, name: &str) -> String {
    match row.kind {
        Kind::Bool => format!("  --[no-]{name}"),
        _ => format!("  --{name}=VALUE"),
    }
}

fn right(row: &Flag) -> String {
    let text = with_default(row.help, row.default);
    match row.support {
        Support::Works => text,
        Support::Harmless(why) => format!("{text}\nAccepted and ignored: {why}."),
        Support::Absent(what) if row.default.is_none() => format!("{text}\nCannot be set: {what}."),
        Support::Absent(what) => format!("{text}\nOnly the default is accepted: {what}."),
    }
}

/// A help text that ends its last line has the default on a line of its own.
fn with_default(help: &str, default: Option<&str>) -> String {
    let gap = if help.is_empty() || help.ends_with('\n') { "" } else { " " };
    match default {
        Some(default) => format!("{help}{gap}(default: {default})"),
        None => help.trim_end().to_owned(),
    }
}

/// Writes to stdout. A reader that went away (`mesos-master --help | head`) is no failure.
pub fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

/// Says on stderr why the program ends, and gives its exit status.
pub fn refuse(program: &str, error: &Error) -> ExitCode {
    let mut text = format!("{error}\n");
    let about_the_line =
        !matches!(error, Error::Invalid { .. } | Error::Absent { .. } | Error::Contradiction(_));
    if about_the_line {
        let usage =
            format!("\nUsage: {program} [...]\n\nSee `{program} --help` for a list of supported flags.\n");
        text.push_str(&usage);
    }
    complain(&text);
    ExitCode::FAILURE
}

/// Writes to stderr; that it is closed is no reason to fail otherwise.
pub fn complain(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).ok();
}
