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

/// The environment of this process.
pub fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// Loads flags and builds what the program runs with; or says on stdout or stderr why the program ends
/// here, and with which status.
pub fn start<F>(
    table: &Table,
    program: &str,
    args: Vec<OsString>,
    environment: Environment,
    build: impl FnOnce(Values) -> Result<F, Error>,
) -> Result<F, ExitCode> {
    let values = match load(table, args, environment) {
        Ok(Loaded::Run(values)) => values,
        Ok(Loaded::Help) => {
            help::print(&help::usage(table, program));
            return Err(ExitCode::SUCCESS);
        }
        Ok(Loaded::Version) => {
            help::print(&format!("mesos {MESOS_VERSION}\n"));
            return Err(ExitCode::SUCCESS);
        }
        Err(error) => return Err(help::refuse(program, &error)),
    };
    build(values).map_err(|error| help::refuse(program, &error))
}

/// What a command line gives, by the names as given, to flags of any of these tables.
pub fn given(tables: &[&Table], args: Vec<OsString>) -> Result<BTreeMap<&'static str, String>, Error> {
    argv::parse(&Table::union(tables), args)
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

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    const ROWS: &[Flag] = &[
        Flag::with("port", Kind::Port, "5050", "Port"),
        Flag::unset("ip", Kind::Ip, "Address"),
        Flag::with("new_time", Kind::Duration, "1mins", "Time").old(&["old_time"]),
        Flag::with("quiet", Kind::Bool, "false", "Quiet"),
        Flag::with("help", Kind::Bool, "false", "Help"),
        Flag::with("idle", Kind::Duration, "1mins", "Idle").harmless("nothing waits"),
        Flag::unset("acls", Kind::Json, "ACLs").absent("authorization is not there yet"),
        Flag::with("zk", Kind::Text, "", "ZooKeeper").secret().absent("ZooKeeper is not there yet"),
        Flag::unset("master", Kind::Text, "Master").secret(),
        Flag::unset("whitelist", Kind::Path, "List"),
        Flag::unset("domain", Kind::Json, "Domain"),
    ];

    fn run(args: &[&str], environment: &[(&str, &str)]) -> Result<Values, Error> {
        let environment = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        match load(&Table::of(&[ROWS]), args.iter().map(Into::into).collect(), environment)? {
            Loaded::Run(values) => Ok(values),
            other => panic!("{other:?}"),
        }
    }

    fn refused(args: &[&str], environment: &[(&str, &str)]) -> String {
        run(args, environment).expect_err("a refusal").to_string()
    }

    #[test]
    fn later_layers_win() {
        assert_eq!(run(&[], &[]).expect("values").port("port"), 5050);
        let libprocess = ("LIBPROCESS_PORT", "1");
        assert_eq!(run(&[], &[libprocess]).expect("values").port("port"), 1);
        let mesos = ("MESOS_PORT", "2");
        assert_eq!(run(&[], &[mesos, libprocess]).expect("values").port("port"), 2);
        let values = run(&["--PORT=3"], &[mesos, libprocess]).expect("values");
        assert_eq!(values.port("port"), 3);
        assert!(values.is_set("port") && !values.is_set("quiet"));
        assert_eq!(run(&["--port", "4"], &[]).expect("values").port("port"), 4);
    }

    #[test]
    fn the_environment_keeps_what_is_not_ours() {
        let values =
            run(&[], &[("MESOS_quiet", "1"), ("MESOS_TASK_ID", "x"), ("PORT", "7")]).expect("values");
        assert!(values.bool("quiet"));
        assert_eq!(values.port("port"), 5050);
        assert_eq!(
            refused(&[], &[("MESOS_PORT", "x")]),
            "Flag 'port': expected a port from 0 to 65535, got 'x'"
        );
        assert!(refused(&[], &[("LIBPROCESS_IP", "x")]).starts_with("Environment variable 'LIBPROCESS_IP'"));
        assert!(refused(&[], &[("LIBPROCESS_SSL_ENABLED", "true")]).contains("TLS is not there yet"));
    }

    #[test]
    fn booleans_are_written_four_ways() {
        for (arg, expected) in
            [("--quiet", true), ("--quiet=true", true), ("--no-quiet", false), ("--quiet=false", false)]
        {
            assert_eq!(
                run(&[arg], &[("MESOS_QUIET", "true")]).expect("values").bool("quiet"),
                expected,
                "{arg}"
            );
        }
    }

    #[test]
    fn refusals_name_the_flag() {
        for (args, expected) in [
            (&["--prot=1"][..], "Unknown flag '--prot': did you mean '--port'?"),
            (&["--no-nonsense"], "Unknown flag '--no-nonsense'"),
            (&["stray"], "Unexpected argument 'stray': expected flags of the form --name=value"),
            (&["-x"], "Unexpected argument '-x': expected flags of the form --name=value"),
            (&["--quiet", "stray"], "Unexpected argument 'stray': expected flags of the form --name=value"),
            (&["--port=1", "--port=2"], "Flag 'port' is given more than once"),
            (&["--quiet", "--no-quiet"], "Flag 'quiet' is given more than once"),
            (&["--port"], "Flag 'port' has no value: expected --port=VALUE"),
            (&["--port", "--quiet"], "Flag 'port' has no value: expected --port=VALUE"),
            (&["--port="], "Flag 'port': expected a port from 0 to 65535, got ''"),
            (&["--no-port"], "Flag 'port' is not a boolean: expected --port=VALUE, not --no-port"),
            (&["--no-quiet=true"], "Flag 'no-quiet' takes no value: expected --no-quiet or --quiet=false"),
            (&["--quiet=maybe"], "Flag 'quiet': expected true or false, got 'maybe'"),
            (&["--acls={}"], "Flag 'acls' cannot be set to '{}': authorization is not there yet"),
            (&["--zk=zk://u:p@h/m"], "Flag 'zk' cannot be set to '…': ZooKeeper is not there yet"),
        ] {
            assert_eq!(refused(args, &[]), expected, "{args:?}");
        }
    }

    #[test]
    fn old_names_work_alone() {
        let values = run(&["--old_time=5secs"], &[]).expect("values");
        assert_eq!(values.duration("new_time").as_secs(), 5);
        assert_eq!(values.warnings(), ["flag 'old_time' is an old name of 'new_time'"]);
        assert_eq!(json::texts(&values)["old_time"], "5secs");
        let both = "Flag 'new_time' is given twice, as 'new_time' and by its old name 'old_time': \
                    expected one of them";
        assert_eq!(refused(&["--old_time=5secs", "--new_time=5secs"], &[]), both);
        assert_eq!(refused(&["--new_time=5secs"], &[("MESOS_OLD_TIME", "5secs")]), both);
    }

    #[test]
    fn what_is_not_acted_on_warns_or_is_refused() {
        assert!(run(&["--idle=60secs", "--zk="], &[]).expect("values").warnings().is_empty());
        let values = run(&["--idle=2mins"], &[]).expect("values");
        assert_eq!(values.warnings(), ["flag 'idle' is accepted and ignored: nothing waits"]);
    }

    #[test]
    fn values_are_read_from_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).expect("writing a file");
            path.display().to_string()
        };
        let (port, json) = (file("port", "77\n"), file("json", "{\"a\": [1]}"));
        let master = file("master", "zk://u:p@host/mesos\n");
        let values = run(
            &[
                &format!("--port=file://{port}"),
                &format!("--domain={json}"),
                &format!("--master=file://{master}"),
                &format!("--whitelist=file://{port}"),
            ],
            &[],
        )
        .expect("values");
        assert_eq!(values.port("port"), 77);
        assert_eq!(values.json("domain")["a"][0], 1);
        assert_eq!(values.text("master").as_deref(), Some("zk://u:p@host/mesos"));
        assert_eq!(values.text("whitelist"), Some(format!("file://{port}")));
        let shown = json::texts(&values);
        assert_eq!(shown["master"], format!("file://{master}"));
        assert_eq!((shown["port"].as_str(), shown["domain"].as_str()), ("77", "{\"a\":[1]}"));
        assert!(
            refused(&["--port=file:///nowhere"], &[]).starts_with("Flag 'port': reading file '/nowhere'")
        );
    }

    #[test]
    fn flags_are_shown_without_passwords() {
        let values = run(&["--master=zk://user:word@host:1/m"], &[]).expect("values");
        let shown = json::flags(&values);
        assert_eq!(shown["flags"]["master"], "zk://host:1/m");
        assert_eq!(shown["flags"]["new_time"], "1mins");
        assert_eq!(shown["flags"].get("ip"), None);
    }

    #[test]
    fn help_comes_first() {
        let table = Table::of(&[ROWS]);
        for args in [&["--help"][..], &["--nonsense", "--help"], &["--help=true"]] {
            let args = args.iter().map(Into::into).collect();
            assert!(matches!(load(&table, args, Vec::new()), Ok(Loaded::Help)));
        }
    }
}
