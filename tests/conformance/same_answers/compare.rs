//! What differs between two answers, and whether that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::support::raw::Answer;

/// One difference, as a row of `differences.md` without its reason.
#[derive(Debug)]
pub struct Difference {
    request: String,
    what: String,
    theirs: String,
    ours: String,
}

impl Difference {
    pub fn new(request: &str, what: &str, theirs: &str, ours: &str) -> Difference {
        let cell = |text: &str| text.replace('|', "/").replace('\n', " ").trim().to_owned();
        Difference { request: cell(request), what: cell(what), theirs: cell(theirs), ours: cell(ours) }
    }

    fn cells(&self) -> [&str; 4] {
        [&self.request, &self.what, &self.theirs, &self.ours]
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} |", self.cells().join(" | "))
    }
}

/// The rows of the list below one heading. In a cell `*` stands for any text.
pub struct Known {
    rows: Vec<[String; 4]>,
}

impl Known {
    pub fn read(list: &str, heading: &str) -> Known {
        let section = list
            .split("\n## ")
            .find(|section| section.lines().next().is_some_and(|title| title.trim() == heading))
            .unwrap_or_else(|| panic!("differences.md has no section {heading}"));
        let rows = section
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                let [request, what, theirs, ours, why] = cells[..] else {
                    panic!("a row has five cells: {line}");
                };
                assert!(!why.is_empty(), "a row says why: {line}");
                [request, what, theirs, ours].map(str::to_owned)
            })
            .collect();
        Known { rows }
    }

    pub fn covers(&self, one: &Difference) -> bool {
        self.rows.iter().any(|row| fits(row, one))
    }

    /// Rows that say of nothing found.
    pub fn idle(&self, found: &[Difference]) -> Vec<String> {
        let idle = self.rows.iter().filter(|row| !found.iter().any(|one| fits(row, one)));
        idle.map(|row| row.join(" | ")).collect()
    }
}

fn fits(row: &[String; 4], one: &Difference) -> bool {
    row.iter().zip(one.cells()).all(|(pattern, text)| matches(pattern, text))
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|index| text.is_char_boundary(index) && matches(rest, &text[index..]))
        }),
    }
}

/// Says alike what each side says of ids and ports of its own.
type Blank<'a> = &'a dyn Fn(&str) -> String;

pub fn answers(request: &str, theirs: (&Answer, Blank), ours: (&Answer, Blank)) -> Vec<Difference> {
    let mut found = heads(request, theirs, ours);
    if theirs.0.status != ours.0.status {
        return found;
    }
    match (json_of(theirs), json_of(ours)) {
        (Some(their_json), Some(our_json)) => found.extend(shapes(request, &their_json, &our_json)),
        _ => {
            let (theirs, ours) = (theirs.1(&theirs.0.text()), ours.1(&ours.0.text()));
            if theirs != ours {
                found.push(Difference::new(request, "body", &theirs, &ours));
            }
        }
    }
    found
}

/// Status and headers.
pub fn heads(request: &str, theirs: (&Answer, Blank), ours: (&Answer, Blank)) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what: &str, theirs: String, ours: String| {
        if theirs != ours {
            found.push(Difference::new(request, what, &theirs, &ours));
        }
    };
    compare("status", theirs.0.status.to_string(), ours.0.status.to_string());
    for name in header_names(theirs.0).union(&header_names(ours.0)) {
        // Lengths and dates are each side's own.
        let value = |side: (&Answer, Blank)| match side.0.header(name) {
            None => "-".to_owned(),
            Some(_) if matches!(name.as_str(), "content-length" | "date" | "mesos-stream-id") => {
                "…".to_owned()
            }
            Some(value) => side.1(value),
        };
        compare(&format!("header {name}"), value(theirs), value(ours));
    }
    found
}

fn header_names(answer: &Answer) -> BTreeSet<String> {
    answer.headers.iter().map(|(name, _)| name.clone()).collect()
}

fn json_of(side: (&Answer, Blank)) -> Option<Value> {
    if side.0.header("content-type") == Some("application/x-protobuf") {
        return serde_json::from_str(&side.1(&of_protobuf(&side.0.body)?)).ok();
    }
    let text = side.1(&side.0.text());
    let json = match side.0.header("content-type")? {
        "application/json" => &text,
        "text/javascript" => text.strip_prefix("callback(")?.strip_suffix(')')?,
        _ => return None,
    };
    serde_json::from_str(json).ok()
}

/// The JSON of an answer in protobuf. A master's and an agent's differ; the wrong one fails or comes to nothing.
fn of_protobuf(bytes: &[u8]) -> Option<String> {
    fn json<M: prost::Message + prost::Name + Default>(bytes: &[u8]) -> Option<String> {
        let message = mesos::proto::check::decode::<M>(bytes).ok()?;
        String::from_utf8(mesos::proto::json::to_json(&message, mesos::proto::Spelling::V1)).ok()
    }
    json::<mesos::proto::master::Response>(bytes).or_else(|| json::<mesos::proto::agent::Response>(bytes))
}

/// Keys that only one side has, and types that differ.
pub fn shapes(request: &str, theirs: &Value, ours: &Value) -> Vec<Difference> {
    let (mut their_types, mut our_types) = (BTreeMap::new(), BTreeMap::new());
    walk("", theirs, &mut their_types);
    walk("", ours, &mut our_types);
    let paths: BTreeSet<&String> = their_types.keys().chain(our_types.keys()).collect();
    let mut found: Vec<Difference> = Vec::new();
    let mut cut: Option<String> = None;
    for path in paths {
        // What is below a key that is missing is missing too.
        if cut.as_ref().is_some_and(|cut| path.starts_with(cut.as_str())) {
            continue;
        }
        let say = |types: &BTreeMap<String, BTreeSet<&'static str>>| {
            types
                .get(path)
                .map_or("-".to_owned(), |types| types.iter().copied().collect::<Vec<_>>().join("+"))
        };
        let (theirs, ours) = (say(&their_types), say(&our_types));
        if theirs != ours {
            cut = (theirs == "-" || ours == "-").then(|| format!("{path}/"));
            found.push(Difference::new(request, &format!("key {path}"), &theirs, &ours));
        }
    }
    found
}

/// The types found at each path; the elements of an array share one. Whole numbers written without and with
/// a fraction are two types, as they are to many a client.
fn walk(path: &str, value: &Value, types: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    types.entry(path.to_owned()).or_default().insert(name);
    match value {
        Value::Array(elements) => elements.iter().for_each(|one| walk(&format!("{path}/[]"), one, types)),
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(key, one)| walk(&format!("{path}/{}", key.replace('/', ".")), one, types));
        }
        _ => {}
    }
}
