//! The command line, parsed by a clap command that is built from the table.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Error, Flag, Kind, Table};

/// Reads `--name=value`, `--name`, `--no-name` (and `--name value`, which Mesos does not know).
/// The result has one value for each name that was given, new or old.
pub fn parse(table: &Table, args: Vec<OsString>) -> Result<BTreeMap<&'static str, String>, Error> {
    let args: Vec<OsString> = args.into_iter().map(lower_name).collect();
    let matches = command(table).try_get_matches_from(args).map_err(|e| explain(table, &e))?;
    let mut given = BTreeMap::new();
    for row in table.rows() {
        for name in names(row) {
            if let Some(text) = value(row, name, &matches)? {
                given.insert(name, text);
            }
        }
    }
    Ok(given)
}

fn names(row: &'static Flag) -> impl Iterator<Item = &'static str> {
    std::iter::once(row.name).chain(row.old.iter().copied())
}

fn negated(name: &str) -> String {
    format!("no-{name}")
}

fn command(table: &Table) -> Command {
    let mut command =
        Command::new("mesos").no_binary_name(true).disable_help_flag(true).disable_version_flag(true);
    for row in table.rows() {
        for name in names(row) {
            let arg = Arg::new(name).long(name).action(ArgAction::Set);
            if row.kind == Kind::Bool {
                command = command.arg(arg.num_args(0..=1).require_equals(true).default_missing_value("true"));
                let no = Arg::new(negated(name)).long(negated(name)).action(ArgAction::Set);
                command = command.arg(no.num_args(0..=1).require_equals(true).default_missing_value(""));
            } else {
                command = command.arg(arg.num_args(1));
            }
        }
    }
    command
}

fn value(row: &'static Flag, name: &'static str, matches: &ArgMatches) -> Result<Option<String>, Error> {
    let get = |id: &str| {
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        given.then(|| matches.get_one::<String>(id).cloned().unwrap_or_default())
    };
    let plain = get(name);
    if row.kind != Kind::Bool {
        return Ok(plain);
    }
    match (plain, get(&negated(name))) {
        (Some(_), Some(_)) => Err(Error::Repeated(name.to_owned())),
        (None, Some(text)) if text.is_empty() => Ok(Some("false".to_owned())),
        (None, Some(_)) => Err(Error::NegatedWithValue(name.to_owned())),
        (plain, None) => Ok(plain),
    }
}

/// Names may be written in capitals; values stay as they are.
fn lower_name(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text.starts_with("--") => {
            let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
            OsString::from(name.to_ascii_lowercase() + value)
        }
        _ => arg,
    }
}

/// clap's refusal in one sentence of ours.
fn explain(table: &Table, error: &clap::Error) -> Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let name = arg.trim_start_matches('-').split(['=', ' ']).next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument if !arg.starts_with("--") => Error::Stray(arg),
        ErrorKind::UnknownArgument => {
            let plain = name.strip_prefix("no-").unwrap_or(&name);
            match table.find(plain) {
                Some((_, known)) => Error::NotBoolean(known.to_owned()),
                None => {
                    Error::Unknown { flag: format!("--{name}"), similar: context(ContextKind::SuggestedArg) }
                }
            }
        }
        ErrorKind::ArgumentConflict => Error::Repeated(name),
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::WrongNumberOfValues => {
            Error::NoValue(name)
        }
        ErrorKind::InvalidUtf8 => Error::Arguments("A flag's value is not UTF-8 text".to_owned()),
        ErrorKind::TooManyValues => Error::Stray(context(ContextKind::InvalidValue).unwrap_or(arg)),
        _ => Error::Arguments(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}
