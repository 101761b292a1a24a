//! Flags: one table row each, read from defaults, environment and command line.
//!
//! A row ([`Flag`]) says a flag's name, its old names, its kind, its default, its help and how far we act
//! on it; `--help`, `MESOS_*`, `/flags` and parsing all read that row. Tables live beside what they
//! configure (`master/flags.rs`, `agent/flags.rs`, `cmd/local_flags.rs`, `cmd/execute_flags.rs`), rows
//! that several programs share in [`common`].
//!
//! Start reading at [`load::load`]. Absent on purpose: a configuration file (Mesos has none).
//! Values of flags such as `--resources` stay text here: their own module reads them and reports
//! a bad one with [`Error::invalid`].
#![expect(clippy::disallowed_methods, reason = "a shell: reads the environment and `file://` values")]

mod argv;
pub mod common;
pub mod help;
pub mod json;
pub mod load;
mod value;
mod values;

pub use load::{Environment, Loaded, MESOS_VERSION, environment, given, load, start};
pub use value::Value;
pub use values::Values;

/// What a flag's value is, and so how it is read and what is expected when it cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Text,
    /// A whole number of at least zero.
    Count,
    /// 0 to 65535.
    Port,
    Float,
    /// See `base::duration`.
    Duration,
    /// See `base::bytes`.
    Bytes,
    /// An IPv4 address: like Mesos we listen on no other.
    Ip,
    /// A path to something that is used where it is: `file://` is not replaced by the file's content.
    Path,
    /// A JSON object or array, given as it is, as `file:///path` or as an absolute path.
    Json,
}

/// What a value must fulfil beyond its kind; the error says what is expected.
pub type Check = fn(&Value) -> Result<(), String>;

/// How far we act on a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Works,
    /// Any value is accepted, a warning is logged when it is not the default. The sentence says why
    /// ignoring it does no harm.
    Harmless(&'static str),
    /// Only the default is accepted. The sentence says what is not there.
    Absent(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    /// Names that earlier versions used; one of them and the new one together are an error.
    pub old: &'static [&'static str],
    /// What help says beside an old name, where that is more than a hint at the new one.
    pub old_help: Option<&'static str>,
    pub kind: Kind,
    pub default: Option<&'static str>,
    /// Lines as they are printed in the right column, without the default.
    pub help: &'static str,
    pub support: Support,
    /// What a value of the right kind must fulfil besides; the error says what is expected.
    pub check: Option<Check>,
    /// The value may hold a password: `/flags` shows where it came from, or less.
    pub secret: bool,
}

impl Flag {
    const fn new(name: &'static str, kind: Kind, default: Option<&'static str>, help: &'static str) -> Flag {
        let support = Support::Works;
        Flag { name, old: &[], old_help: None, kind, default, help, support, check: None, secret: false }
    }

    /// A flag that has a value also when nobody sets it.
    pub const fn with(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, kind, Some(default), help)
    }

    /// A flag that has no value unless somebody sets it.
    pub const fn unset(name: &'static str, kind: Kind, help: &'static str) -> Flag {
        Flag::new(name, kind, None, help)
    }

    pub const fn old(mut self, old: &'static [&'static str]) -> Flag {
        self.old = old;
        self
    }

    pub const fn old_help(mut self, help: &'static str) -> Flag {
        self.old_help = Some(help);
        self
    }

    pub const fn harmless(mut self, why: &'static str) -> Flag {
        self.support = Support::Harmless(why);
        self
    }

    pub const fn absent(mut self, what: &'static str) -> Flag {
        self.support = Support::Absent(what);
        self
    }

    pub const fn check(mut self, check: Check) -> Flag {
        self.check = Some(check);
        self
    }

    pub const fn secret(mut self) -> Flag {
        self.secret = true;
        self
    }

    /// Whether any value but the default is refused.
    pub fn is_absent(&self) -> bool {
        matches!(self.support, Support::Absent(_))
    }
}

/// The flags of one program, sorted by name.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<&'static Flag>,
    /// What help says before the list.
    about: &'static str,
}

impl Table {
    /// The rows of all parts. A name that an earlier part has is left out of a later one, so that
    /// a program can word a shared flag in its own way.
    pub fn of(parts: &[&'static [Flag]]) -> Table {
        Table::first(parts.iter().copied().flatten())
    }

    /// The rows of all tables, earlier ones before later ones as in [`Table::of`].
    pub fn union(tables: &[&Table]) -> Table {
        Table::first(tables.iter().flat_map(|table| table.rows()))
    }

    fn first(all: impl Iterator<Item = &'static Flag>) -> Table {
        let mut rows: Vec<&'static Flag> = Vec::new();
        for row in all {
            if !rows.iter().any(|known| known.name == row.name) {
                rows.push(row);
            }
        }
        rows.sort_by_key(|row| row.name);
        Table { rows, about: "" }
    }

    pub fn about(mut self, about: &'static str) -> Table {
        self.about = about;
        self
    }

    pub fn rows(&self) -> impl Iterator<Item = &'static Flag> {
        self.rows.iter().copied()
    }

    /// The row that has this name, new or old, and the name as the row spells it.
    pub fn find(&self, name: &str) -> Option<(&'static Flag, &'static str)> {
        self.rows().find_map(|row| {
            let names = std::iter::once(row.name).chain(row.old.iter().copied());
            names.into_iter().find(|known| *known == name).map(|known| (row, known))
        })
    }
}

/// Why flags cannot be used. Each sentence names the flag and what is expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("Unknown flag '{flag}'{}", .similar.as_ref().map(|s| format!(": did you mean '{s}'?")).unwrap_or_default())]
    Unknown { flag: String, similar: Option<String> },
    #[error("Unexpected argument '{0}': expected flags of the form --name=value")]
    Stray(String),
    #[error("Flag '{0}' is given more than once")]
    Repeated(String),
    #[error("Flag '{new}' is given twice, as '{new}' and by its old name '{old}': expected one of them")]
    BothNames { new: &'static str, old: &'static str },
    #[error("Flag '{0}' has no value: expected --{0}=VALUE")]
    NoValue(String),
    #[error("Flag '{0}' is not a boolean: expected --{0}=VALUE, not --no-{0}")]
    NotBoolean(String),
    #[error("Flag 'no-{0}' takes no value: expected --no-{0} or --{0}=false")]
    NegatedWithValue(String),
    #[error("Flag '{name}': {why}")]
    Invalid { name: String, why: String },
    #[error("Flag '{name}' cannot be set to '{value}': {what}")]
    Absent { name: String, value: String, what: &'static str },
    #[error("{0}")]
    Contradiction(String),
    #[error("{0}")]
    Arguments(String),
}

impl Error {
    /// A value that the flag's own module refuses: `Flag 'resources': <why>`.
    pub fn invalid(name: &str, why: impl std::fmt::Display) -> Error {
        Error::Invalid { name: name.to_owned(), why: why.to_string() }
    }
}
