//! The values that a program runs with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Flag, Kind, Support, Value};

/// One flag that has a value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub row: &'static Flag,
    pub value: Value,
    /// The name under which it was set, or the row's name.
    pub name: &'static str,
    /// Who set it, none for the default.
    pub source: Option<String>,
    /// The `file://` that the value was read from.
    pub file: Option<String>,
}

/// Flags that have a value, by name. Getters are typed; asking for a flag that the table has not, or has
/// with another kind, is a mistake of the program and ends it.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub(super) entries: BTreeMap<&'static str, Entry>,
    pub(super) warnings: Vec<String>,
}

macro_rules! getters {
    ($($variant:ident $type:ty, $get:ident, $maybe:ident;)*) => {$(
        #[doc = concat!("The value of a flag with a default, of kind `", stringify!($variant), "`.")]
        pub fn $get(&self, name: &str) -> $type {
            self.$maybe(name).unwrap_or_else(|| panic!("flag '{name}' has no value and no default"))
        }

        #[doc = concat!("The value of a flag of kind `", stringify!($variant), "`, if it has one.")]
        pub fn $maybe(&self, name: &str) -> Option<$type> {
            match self.value(name)? {
                Value::$variant(value) => Some(value.clone()),
                other => panic!("flag '{name}' is no {}: {other:?}", stringify!($variant)),
            }
        }
    )*};
}

impl Values {
    getters! {
        Bool bool, bool, maybe_bool;
        Count u64, count, maybe_count;
        Port u16, port, maybe_port;
        Float f64, float, maybe_float;
        Duration Duration, duration, maybe_duration;
        Bytes u64, bytes, maybe_bytes;
        Ip Ipv4Addr, ip, maybe_ip;
        Json serde_json::Value, json, maybe_json;
    }

    /// The value of a flag, if it has one.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.entries.get(name).map(|entry| &entry.value)
    }

    /// Text or path; an empty one counts as none, as it does where `(default: )` is shown.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) | Value::Path(text) => (!text.is_empty()).then(|| text.clone()),
            other => panic!("flag '{name}' is no text: {other:?}"),
        }
    }

    /// The items of a comma-separated text; without blanks around them and without empty ones.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// Like [`Values::list`], none when the flag has no value.
    pub fn set(&self, name: &str) -> Option<BTreeSet<String>> {
        self.text(name)?;
        Some(self.list(name).into_iter().collect())
    }

    /// Whether somebody set the flag; false when it has its default.
    pub fn is_set(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.source.is_some())
    }

    /// Gives a flag without a value the one that the program found for it, for `/flags`.
    pub fn settle(&mut self, row: &'static Flag, value: Value) {
        let entry = Entry { row, value, name: row.name, source: None, file: None };
        self.entries.entry(row.name).or_insert(entry);
    }

    /// Changes the value of a flag that has one, for `/flags`; somebody set it, from now on.
    pub fn replace(&mut self, name: &str, value: Value) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.value = value;
            entry.file = None;
            entry.source = Some("program".to_owned());
        }
    }

    /// What to log once logging works: old names used, values not acted on.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Something the operator should know of the flags taken together.
    pub fn warn(&mut self, sentence: String) {
        self.warnings.push(sentence);
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        if entry.source.is_some() {
            if entry.name != entry.row.name {
                let (old, new) = (entry.name, entry.row.name);
                self.warnings.push(format!("flag '{old}' is an old name of '{new}'"));
            }
            let nothing_new = Values::is_nothing_new(entry.row, &entry.value);
            if let (Support::Harmless(why), false) = (entry.row.support, nothing_new) {
                self.warnings.push(format!("flag '{}' is accepted and ignored: {why}", entry.name));
            }
        }
        self.entries.insert(entry.row.name, entry);
    }

    /// Whether a value says no more than the flag's default does.
    pub(super) fn is_nothing_new(row: &Flag, value: &Value) -> bool {
        match row.default {
            Some(text) => Value::parse(row.kind, text).as_ref() == Ok(value),
            None => {
                matches!((row.kind, value), (Kind::Text | Kind::Path, Value::Text(t) | Value::Path(t)) if t.is_empty())
            }
        }
    }
}
