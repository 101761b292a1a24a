//! The layers: defaults, `LIBPROCESS_*`, `MESOS_*`, command line; the later one wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};

use super::values::Entry;
use super::{Error, Flag, Kind, Support, Table, Value, Values, argv, help};

/// The version of Mesos that we stand for, as tools parse it.
pub const MESOS_VERSION: &str = "1.11.0";

/// Variables that libprocess reads, and the flags whose defaults they are.
const LIBPROCESS: [(&str, &str); 4] = [
    ("LIBPROCESS_IP", "ip"),
    ("LIBPROCESS_PORT", "port"),
    ("LIBPROCESS_ADVERTISE_IP", "advertise_ip"),
    ("LIBPROCESS_ADVERTISE_PORT", "advertise_port"),
];

/// Variables that ask for TLS, by their present and their old name.
const SSL: [&str; 2] = ["LIBPROCESS_SSL_ENABLED", "SSL_ENABLED"];

/// The most that is read from a `file://` value.
const FILE_LIMIT: u64 = 16 << 20;

/// The process's environment, or one that a test makes up.
pub type Environment = Vec<(OsString, OsString)>;

/// What the command line asks for.
#[derive(Debug)]
pub enum Loaded {
    Run(Values),
    Help,
    Version,
}

/// One layer, as figment wants it. Its own `Env` would read numbers, arrays and dictionaries out of
/// the texts; ours stay texts until the row's kind is known.
struct Layer {
    name: &'static str,
    values: BTreeMap<&'static str, String>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let values = self.values.iter();
        let dict: Dict = values.map(|(name, text)| ((*name).to_owned(), text.clone().into())).collect();
        Ok(Profile::Default.collect(dict))
    }
}

/// Loads flags, or says on stdout and stderr why the program ends here, and with which status.
pub fn start(table: &Table, program: &str, args: Vec<OsString>) -> Result<Values, ExitCode> {
    match load(table, args, std::env::vars_os().collect()) {
        Ok(Loaded::Run(values)) => Ok(values),
        Ok(Loaded::Help) => {
            help::print(&help::usage(table, program));
            Err(ExitCode::SUCCESS)
        }
        Ok(Loaded::Version) => {
            help::print(&format!("mesos {MESOS_VERSION}\n"));
            Err(ExitCode::SUCCESS)
        }
        Err(error) => Err(help::refuse(program, &error)),
    }
}

/// Reads every layer and every value, and refuses what the table does not allow.
pub fn load(table: &Table, args: Vec<OsString>, environment: Environment) -> Result<Loaded, Error> {
    // Asked for help, nothing else matters, not even an unknown flag beside it.
    for (word, answer) in [("--help", Loaded::Help), ("--version", Loaded::Version)] {
        if args.iter().any(|arg| arg == word) {
            return Ok(answer);
        }
    }
    refuse_ssl(&environment)?;
    let mut names = BTreeMap::new();
    let defaults = table.rows().filter_map(|row| Some((row.name, row.default?.to_owned()))).collect();
    let given = from_environment(table, &environment)?;
    let from_environment = canonical(table, given, &mut names)?;
    let from_argv = canonical(table, argv::parse(table, args)?, &mut names)?;
    let figment = Figment::new()
        .merge(Layer { name: "default", values: defaults })
        .merge(Layer { name: "LIBPROCESS", values: from_libprocess(table, &environment)? })
        .merge(Layer { name: "environment", values: from_environment })
        .merge(Layer { name: "command line", values: from_argv });
    let texts: BTreeMap<String, String> =
        figment.extract().map_err(|e| Error::Arguments(format!("Flags cannot be read: {e}")))?;

    let mut values = Values::default();
    for row in table.rows() {
        let Some(text) = texts.get(row.name) else { continue };
        let source = figment.find_metadata(row.name).map(|metadata| metadata.name.to_string());
        let source = source.filter(|name| name != "default");
        let name = names.get(row.name).copied().unwrap_or(row.name);
        values.insert(read(row, name, text, source)?);
    }
    let asked = |name: &str| table.find(name).is_some() && values.maybe_bool(name) == Some(true);
    match (asked("help"), asked("version")) {
        (true, _) => Ok(Loaded::Help),
        (_, true) => Ok(Loaded::Version),
        _ => Ok(Loaded::Run(values)),
    }
}

/// `MESOS_NAME` and `MESOS_name` of flags that the table knows; others belong to somebody else.
/// Source: `FlagsBase::extract`, stout 1.11.
fn from_environment(
    table: &Table,
    environment: &Environment,
) -> Result<BTreeMap<&'static str, String>, Error> {
    let mut given = BTreeMap::new();
    for (key, text) in environment {
        let Some(name) = key.to_str().and_then(|key| key.strip_prefix("MESOS_")) else { continue };
        let name = name.to_ascii_lowercase();
        let (plain, negated) = match name.strip_prefix("no-") {
            Some(plain) => (plain, true),
            None => (name.as_str(), false),
        };
        let Some((row, known)) = table.find(plain) else { continue };
        let text = utf8(known, text)?;
        match (negated, row.kind, text.as_str()) {
            (false, _, _) => given.insert(known, text),
            (true, Kind::Bool, "") => given.insert(known, "false".to_owned()),
            (true, Kind::Bool, _) => return Err(Error::NegatedWithValue(known.to_owned())),
            (true, _, _) => return Err(Error::NotBoolean(known.to_owned())),
        };
    }
    Ok(given)
}

fn from_libprocess(
    table: &Table,
    environment: &Environment,
) -> Result<BTreeMap<&'static str, String>, Error> {
    let mut given = BTreeMap::new();
    for (key, text) in environment {
        let Some((variable, name)) = LIBPROCESS.iter().find(|(variable, _)| key == variable) else {
            continue;
        };
        let Some((row, name)) = table.find(name) else { continue };
        let text = utf8(name, text)?;
        if let Err(why) = Value::parse(row.kind, &text) {
            return Err(Error::Contradiction(format!("Environment variable '{variable}': {why}")));
        }
        given.insert(name, text);
    }
    Ok(given)
}

fn refuse_ssl(environment: &Environment) -> Result<(), Error> {
    for variable in SSL {
        let on = |(key, value): &(OsString, OsString)| key == variable && (value == "1" || value == "true");
        if environment.iter().any(on) {
            let what = "TLS is not there yet; unset it to talk plain HTTP";
            return Err(Error::Contradiction(format!("Environment variable '{variable}' is set: {what}")));
        }
    }
    Ok(())
}

fn utf8(name: &str, text: &OsString) -> Result<String, Error> {
    text.to_str().map(str::to_owned).ok_or_else(|| Error::invalid(name, "expected UTF-8 text"))
}

/// The same values under the rows' names. Old and new name together are refused, in one layer or two:
/// which of them was meant cannot be known.
fn canonical(
    table: &Table,
    given: BTreeMap<&'static str, String>,
    names: &mut BTreeMap<&'static str, &'static str>,
) -> Result<BTreeMap<&'static str, String>, Error> {
    let mut values = BTreeMap::new();
    for (name, text) in given {
        let (row, name) = table.find(name).expect("the layer holds only names of the table");
        if let Some(known) = names.insert(row.name, name).filter(|known| *known != name) {
            let old = if known == row.name { name } else { known };
            return Err(Error::BothNames { new: row.name, old });
        }
        values.insert(row.name, text);
    }
    Ok(values)
}

/// One value: its file, its kind, its checks, and whether we can do what it asks for.
fn read(row: &'static Flag, name: &'static str, text: &str, source: Option<String>) -> Result<Entry, Error> {
    let file = match row.kind {
        Kind::Path => None,
        Kind::Json if text.starts_with('/') => Some(text),
        _ => text.strip_prefix("file://"),
    };
    let content = match file {
        Some(path) => read_file(path).map_err(|why| Error::invalid(name, why))?,
        None => text.to_owned(),
    };
    let value = Value::parse(row.kind, &content).map_err(|why| Error::invalid(name, why))?;
    if let (Support::Absent(what), false) = (row.support, Values::is_nothing_new(row, &value)) {
        // As it was given: not the file's content, which may be long or secret.
        let value = if row.secret { "…".to_owned() } else { text.to_owned() };
        return Err(Error::Absent { name: name.to_owned(), value, what });
    }
    if let Some(check) = row.check {
        check(&value).map_err(|why| Error::invalid(name, why))?;
    }
    let file = file.map(|path| format!("file://{path}"));
    Ok(Entry { row, value, name, source, file })
}

/// The content of a file without the line ends at its end, which editors add and no value means.
fn read_file(path: &str) -> Result<String, String> {
    let fail = |e: std::io::Error| format!("reading file '{path}': {e}");
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut content = String::new();
    let length = file.take(FILE_LIMIT + 1).read_to_string(&mut content).map_err(fail)?;
    if length as u64 > FILE_LIMIT {
        return Err(format!("file '{path}' has more than {FILE_LIMIT} bytes"));
    }
    content.truncate(content.trim_end_matches(['\n', '\r']).len());
    Ok(content)
}
