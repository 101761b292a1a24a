//! `events`: what happens, as the master's `/events` tells it in server-sent events.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::ctl::Ctl;
use crate::ctl::args::Format;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::print::{line, raw};
use crate::ctl::units::harmless;

/// One event; its lines may come in any order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: String,
    kind: String,
    data: String,
}

impl Event {
    /// Takes one line; gives the event that it completes.
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(self);
            return (!event.data.is_empty() || !event.kind.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.to_owned(),
            "event" => self.kind = value.to_owned(),
            "data" if self.data.is_empty() => self.data = value.to_owned(),
            "data" => self.data = format!("{}\n{value}", self.data),
            // A comment (it keeps the connection alive), or a field that says nothing to people.
            _ => {}
        }
        None
    }

    fn write(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table => line(&format!("{:>8}  {:<20}  {}", self.id, harmless(&self.kind), self.short())),
            Format::Wide => {
                line(&format!("{:>8}  {:<20}  {}", self.id, harmless(&self.kind), harmless(&self.data)))
            }
            Format::Json => line(&self.value().to_string()),
            Format::Yaml => {
                let text = yaml_serde::to_string(&[self.value()]);
                raw(text.map_err(|error| Error::Failed(format!("Cannot write this: {error}.")))?.as_bytes())
            }
            Format::Name => line(&harmless(&self.id)),
        }
    }

    fn value(&self) -> Value {
        let data = serde_json::from_str(&self.data).unwrap_or_else(|_| Value::String(self.data.clone()));
        serde_json::json!({"id": self.id, "event": self.kind, "data": data})
    }

    /// The ids and the state that the data names.
    fn short(&self) -> String {
        let Ok(data) = serde_json::from_str::<Value>(&self.data) else { return harmless(&self.data) };
        let mut found = Vec::new();
        collect(&data, &mut found);
        harmless(&found.join("  "))
    }
}

/// What of an event's data fits a line, by field name, wherever it stands.
const SHOWN: [&str; 6] = ["task_id", "framework_id", "agent_id", "slave_id", "state", "hostname"];

fn collect(value: &Value, found: &mut Vec<String>) {
    let Some(fields) = value.as_object() else { return };
    for (name, field) in fields {
        let text = field.as_str().or_else(|| field.get("value").and_then(Value::as_str));
        match text {
            Some(text) if SHOWN.contains(&name.as_str()) => {
                let said = format!("{name}={text}");
                if !found.contains(&said) {
                    found.push(said);
                }
            }
            _ => collect(field, found),
        }
    }
}

pub fn follow(ctl: &Ctl, since: Option<&str>, filters: &[(String, String)]) -> Result<(), Error> {
    let master = ctl.master()?;
    let query: Vec<(&str, &str)> =
        filters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Request::get("/events").query(&query).header("accept", "text/event-stream");
    let request = match since {
        Some(id) => request.header("last-event-id", id),
        None => request,
    };
    let response = master.stream(&request).map_err(|error| match error {
        Error::NotThere(_) => Error::NotThere(format!("{} has no event stream.", master.capital_name())),
        error => error,
    })?;
    let mut event = Event::default();
    for line in BufReader::new(response.into_body().into_reader()).split(b'\n') {
        let line = line.map_err(|error| master.broken(&error))?;
        let line = String::from_utf8_lossy(&line);
        if let Some(event) = event.take(line.trim_end_matches('\r')) {
            event.write(ctl.output.format)?;
        }
    }
    Err(Error::Unreachable(format!(
        "{} ended the stream of events. Go on behind the last one with --since=ID.",
        master.capital_name()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together() {
        let mut event = Event::default();
        let lines = [": hello", "", "id: 7", "event: TASK_UPDATED", "data: {\"a\":", "data: 1}", ""];
        let taken: Vec<Event> = lines.iter().filter_map(|line| event.take(line)).collect();
        let expected = Event { id: "7".into(), kind: "TASK_UPDATED".into(), data: "{\"a\":\n1}".into() };
        assert_eq!(taken, [expected]);
        assert_eq!(taken[0].value()["data"]["a"], 1);
    }

    #[test]
    fn a_line_names_what_it_is_about() {
        let data = r#"{"task_updated": {"status": {"task_id": {"value": "t"}, "state": "TASK_RUNNING"}, "state": "TASK_RUNNING"}}"#;
        let event = Event { data: data.to_owned(), ..Event::default() };
        let short = event.short();
        assert!(short.contains("task_id=t") && short.matches("TASK_RUNNING").count() == 1, "{short}");
    }
}
