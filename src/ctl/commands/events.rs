//! `events`: what happens, as the master's `/events` tells it in server-sent events.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ctl::Ctl;
use crate::ctl::args::Format;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::find;
use crate::ctl::print::{line, raw, remark};
use crate::ctl::units::{harmless, text};

/// Between two attempts to reach a master again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a master that went away is looked for; the next one may have to be elected.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: String,
    kind: String,
    data: String,
}

/// Puts events together from lines. Its id is the last one seen, also where no event came with it.
#[derive(Debug, Default)]
struct Parser {
    event: Event,
}

impl Parser {
    /// Takes one line; gives the event that it completes.
    fn take(&mut self, line: &str) -> Option<Event> {
        let event = &mut self.event;
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut event.kind), std::mem::take(&mut event.data));
            return (!data.is_empty()).then(|| Event { id: event.id.clone(), kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = value.to_owned(),
            "event" => event.kind = value.to_owned(),
            "data" if event.data.is_empty() => event.data = value.to_owned(),
            "data" => event.data = format!("{}\n{value}", event.data),
            // A comment (it keeps the connection alive), or a field that says nothing to people.
            _ => {}
        }
        None
    }
}

impl Event {
    /// Where it stands, without the name of the master that counts.
    fn number(&self) -> &str {
        self.id.rsplit(':').next().unwrap_or_default()
    }

    fn write(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table => {
                line(&harmless(&format!("{:>6}  {:<17}  {}", self.number(), self.kind, self.short())))
            }
            Format::Wide => line(&harmless(&format!("{}  {:<17}  {}", self.id, self.kind, self.data))),
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
        let Ok(data) = serde_json::from_str::<Value>(&self.data) else { return self.data.clone() };
        let mut found = Vec::new();
        collect(&data, &mut found);
        found.sort_unstable();
        found.dedup();
        let found: Vec<String> =
            found.iter().map(|(place, text)| format!("{}={text}", SHOWN[*place])).collect();
        found.join("  ")
    }
}

/// What of an event's data fits a line, by field name, wherever it stands; in this order.
const SHOWN: [&str; 10] = [
    "state",
    "task_id",
    "id",
    "name",
    "hostname",
    "framework_id",
    "agent_id",
    "slave_id",
    "reason",
    "message",
];

/// Texts, and ids in objects of their own, by their place in `SHOWN`.
fn collect<'a>(value: &'a Value, found: &mut Vec<(usize, &'a str)>) {
    let Some(fields) = value.as_object() else { return };
    for (name, field) in fields {
        let text = field.as_str().or_else(|| field.get("value").and_then(Value::as_str));
        match text.zip(SHOWN.iter().position(|shown| shown == name)) {
            Some((text, place)) => found.push((place, text)),
            None => collect(field, found),
        }
    }
}

type Stream = BufReader<ureq::BodyReader<'static>>;

/// What to follow.
pub struct Choice {
    pub since: Option<String>,
    pub types: Option<String>,
    pub framework: Option<String>,
    pub agent: Option<String>,
    pub task: Option<String>,
}

/// A master that ends the stream, or is followed by another one, is asked again for what came after the last event.
pub fn follow(ctl: &Ctl, choice: Choice) -> Result<(), Error> {
    let query = query(ctl, &choice)?;
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut parser = Parser::default();
    parser.event.id = choice.since.unwrap_or_default();
    let mut stream = connect(ctl, &query, &parser.event.id)?;
    loop {
        let why = read(stream, &mut parser, ctl.output.format)?;
        remark(&format!("{why} Trying again."));
        stream = connect_again(ctl, &query, &parser.event.id)?;
    }
}

/// The master wants whole ids.
fn query(ctl: &Ctl, choice: &Choice) -> Result<Vec<(&'static str, String)>, Error> {
    let mut query = Vec::new();
    query.extend(choice.types.clone().map(|types| ("types", types)));
    query.extend(choice.task.clone().map(|task| ("task", task)));
    if let Some(word) = &choice.framework {
        let answer = ctl.master()?.own_json("frameworks")?;
        query.push(("framework", text(find::framework(word, &answer)?, "id").to_owned()));
    }
    if let Some(word) = &choice.agent {
        let agents = find::agents(&ctl.master()?)?;
        query.push(("agent", text(find::agent(word, &agents)?, "id").to_owned()));
    }
    Ok(query)
}

fn connect(ctl: &Ctl, query: &[(&str, &str)], last: &str) -> Result<Stream, Error> {
    let master = ctl.master()?;
    let mut request = Request::get("/events").query(query).header("accept", "text/event-stream");
    if !last.is_empty() {
        request = request.header("last-event-id", last);
    }
    let response = master.open(&request).map_err(|error| match error {
        Error::NotThere(_) => Error::NotThere(format!("{} has no event stream.", master.capital_name())),
        error => error,
    })?;
    Ok(BufReader::new(response.into_body().into_reader()))
}

fn connect_again(ctl: &Ctl, query: &[(&str, &str)], last: &str) -> Result<Stream, Error> {
    let since = Instant::now();
    loop {
        std::thread::sleep(PAUSE);
        match connect(ctl, query, last) {
            Err(Error::Unreachable(_)) if since.elapsed() < PATIENCE => {}
            done => return done,
        }
    }
}

/// Writes what comes until the stream ends; why it did.
fn read(stream: Stream, parser: &mut Parser, format: Format) -> Result<String, Error> {
    for line in stream.split(b'\n') {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Ok(format!("The stream of events broke: {error}.")),
        };
        let line = String::from_utf8_lossy(&line);
        if let Some(event) = parser.take(line.trim_end_matches('\r')) {
            event.write(format)?;
        }
    }
    Ok("The master ended the stream of events.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together() {
        let mut parser = Parser::default();
        let lines =
            [": hello", "id: m:6", "", "id: m:7", "event: TASK_UPDATED", "data: {\"a\":", "data: 1}", ""];
        let taken: Vec<Event> = lines.iter().filter_map(|line| parser.take(line)).collect();
        let expected = Event { id: "m:7".into(), kind: "TASK_UPDATED".into(), data: "{\"a\":\n1}".into() };
        assert_eq!(taken, [expected]);
        assert_eq!((taken[0].number(), &taken[0].value()["data"]["a"]), ("7", &1.into()));
        // A place without an event is where to go on.
        assert!(parser.take("id: m:9").is_none() && parser.take("").is_none());
        assert_eq!(parser.event.id, "m:9");
    }

    #[test]
    fn a_line_names_what_it_is_about() {
        let data = r#"{"task_updated": {"status": {"task_id": {"value": "t"}, "state": "TASK_RUNNING"}, "state": "TASK_RUNNING"}}"#;
        let event = Event { data: data.to_owned(), ..Event::default() };
        let short = event.short();
        assert_eq!(short, "state=TASK_RUNNING  task_id=t");
    }
}
