//! `/flags`: every flag that has a value, as a text.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::Values;
use super::values::Entry;
use crate::proto::Flag;

/// Name to text. A flag that was set by its old name is shown by it, as in Mesos; a value that may hold
/// a password is shown as the file it came from, or without user and password.
/// Source: `Master::Http::__flags`, http.cpp 1.11.
pub fn texts(values: &Values) -> BTreeMap<&'static str, String> {
    // Clients take the presence of `zk` for a cluster with several masters.
    let shown = values.entries.values().filter(|entry| !(entry.row.is_absent() && text(entry).is_empty()));
    shown.map(|entry| (entry.name, text(entry))).collect()
}

/// The body of `/flags`, also found inside `/state`: `{"flags": {"port": "5050", ...}}`.
pub fn flags(values: &Values) -> serde_json::Value {
    let texts = texts(values).into_iter().map(|(name, text)| (name.to_owned(), text.into()));
    json!({ "flags": texts.collect::<Map<_, _>>() })
}

/// The same as the v1 API has it.
pub fn messages(values: &Values) -> Vec<Flag> {
    let texts = texts(values).into_iter();
    texts.map(|(name, value)| Flag { name: name.to_owned(), value: Some(value) }).collect()
}

fn text(entry: &Entry) -> String {
    match (entry.row.secret, &entry.file) {
        (false, _) => entry.value.to_string(),
        (true, Some(file)) => file.clone(),
        (true, None) => without_password(&entry.value.to_string()),
    }
}

/// `zk://user:password@host/path` without what stands before the `@`.
fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => text.to_owned(),
    }
}
