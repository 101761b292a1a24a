//! Files of masters and agents, through their `/files` endpoints.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;

use super::Ctl;
use super::args::{Place, Span, Which};
use super::client::{Request, Server, content_length};
use super::error::Error;
use super::find::{self, Want};
use super::print::{raw, remark};
use super::progress::Progress;
use super::units::{items, text};

/// Bytes asked for at once; what is answered may be less.
const PIECE: u64 = 64 << 10;

/// Between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(300);

/// Between two questions whether the task has ended.
const TASK_PAUSE: Duration = Duration::from_secs(2);

/// How long a file is asked for again while its agent does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file or directory behind a virtual path.
pub struct Remote<'a> {
    pub server: Server<'a>,
    pub path: String,
    /// "file x of task 'y'", for sentences.
    title: String,
    /// Whose sandbox it is in; its end is the end of the file.
    owner: Option<Owner<'a>>,
}

struct Owner<'a> {
    master: Server<'a>,
    framework: String,
    task: String,
}

impl Owner<'_> {
    /// A task that the master has forgotten has ended; a master that does not answer says nothing.
    fn has_ended(&self) -> bool {
        let query = [("framework_id", self.framework.as_str()), ("task_id", self.task.as_str())];
        find::tasks(&self.master, &query).is_ok_and(|tasks| {
            !tasks.iter().any(|task| text(task, "id") == self.task && !find::has_ended(task))
        })
    }
}

impl Ctl {
    /// A file below the sandbox of the task that is meant.
    pub fn of_task(&self, which: &Which, file: &str) -> Result<Remote<'_>, Error> {
        let master = self.master()?;
        let task = self.task(&master, which, Want::Latest)?;
        let (framework, id) = find::task_id(&task);
        let agents = find::agents(&master)?;
        let Some(agent) = agents.iter().find(|agent| text(agent, "id") == text(&task, "slave_id")) else {
            return Err(Error::NotFound(format!(
                "Task '{id}' ran on agent {}, which is not registered now: its files cannot be read.",
                text(&task, "slave_id")
            )));
        };
        let server = self.agent_server(&master, agent)?;
        let state = server.own_json("state")?;
        let Some(sandbox) = sandbox(&state, &task) else {
            return Err(Error::NotFound(format!(
                "{} has no sandbox of task '{id}' any more, or not yet.",
                server.capital_name()
            )));
        };
        let path = match file.trim_matches('/') {
            "" => sandbox,
            file => format!("{sandbox}/{file}"),
        };
        let title = format!("file '{}' in the sandbox of task '{id}'", file.trim_matches('/'));
        let owner = Owner { framework: framework.to_owned(), task: id.to_owned(), master };
        Ok(Remote { server, path, title, owner: Some(owner) })
    }

    /// What the arguments of `ctl files` name.
    pub fn place(&self, place: &Place) -> Result<Remote<'_>, Error> {
        let virtual_path = || {
            match (&place.first, &place.second) {
            (Some(path), None) => Ok(path.clone()),
            _ => Err(Error::NotFound(
                "Expected one virtual path, like /slave/log. `mesos ctl files ls --agent=AGENT` or --on-master \
                 without a path lists them."
                    .to_owned(),
            )),
        }
        };
        if place.on_master {
            return Ok(Remote::at(self.master()?, virtual_path()?));
        }
        if let Some(word) = &place.agent {
            let path = virtual_path()?;
            let master = self.master()?;
            let agents = find::agents(&master)?;
            let server = self.agent_server(&master, find::agent(word, &agents)?)?;
            return Ok(Remote::at(server, path));
        }
        let Some(task) = place.first.clone() else {
            return Err(Error::NotFound(
                "Whose files? Name a task, or --agent=AGENT or --on-master.".to_owned(),
            ));
        };
        let which = Which { task, framework: place.framework.clone() };
        self.of_task(&which, place.second.as_deref().unwrap_or_default())
    }
}

/// The virtual path of a task's sandbox, as its agent's `/state` has it.
///
/// An executor may have run several times; the one whose container the task was in is meant. Tasks of the default
/// executor have sandboxes of their own below that executor's.
fn sandbox(agent: &Value, task: &Value) -> Option<String> {
    let (framework, id) = find::task_id(task);
    let container = items(task, "statuses")
        .iter()
        .rev()
        .find_map(|status| status.pointer("/container_status/container_id"));
    let parent = container.and_then(|id| id.pointer("/parent/value")).and_then(Value::as_str);
    let container = parent.or(container.and_then(|id| id.get("value")).and_then(Value::as_str));
    let name = match text(task, "executor_id") {
        "" => id,
        executor => executor,
    };
    let frameworks = ["frameworks", "completed_frameworks"].into_iter().flat_map(|list| items(agent, list));
    let executors: Vec<&Value> = frameworks
        .filter(|known| text(known, "id") == framework)
        .flat_map(|known| {
            ["executors", "completed_executors"].into_iter().flat_map(|list| items(known, list))
        })
        .filter(|executor| text(executor, "id") == name)
        .collect();
    let holds = |executor: &&&Value| {
        ["tasks", "queued_tasks", "completed_tasks"]
            .into_iter()
            .any(|list| items(executor, list).iter().any(|task| text(task, "id") == id))
    };
    let by_container = executors.iter().find(|executor| container == Some(text(executor, "container")));
    let executor = by_container.or_else(|| executors.iter().find(holds)).or(executors.first())?;
    let directory = text(executor, "directory").trim_end_matches('/');
    if directory.is_empty() {
        return None;
    }
    let own = parent.is_some() || text(executor, "type") == "DEFAULT";
    Some(if own { format!("{directory}/tasks/{id}") } else { directory.to_owned() })
}

/// The answer of `/files/read`. Its data may be any bytes, also such as no text has.
#[derive(Deserialize)]
struct Piece {
    data: Bytes,
    offset: u64,
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct AnyBytes;
        impl Visitor<'_> for AnyBytes {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(AnyBytes)
    }
}

impl<'a> Remote<'a> {
    fn at(server: Server<'a>, path: String) -> Remote<'a> {
        let title = format!("virtual path {path}");
        Remote { server, path, title, owner: None }
    }

    fn not_there(&self) -> Error {
        let list =
            "`mesos ctl files ls` with the same arguments but without the last name lists what is there.";
        Error::NotFound(format!("{} has no {}. {list}", self.server.capital_name(), self.title))
    }

    fn found(&self, error: Error) -> Error {
        if matches!(error, Error::NotThere(_)) { self.not_there() } else { error }
    }

    fn read(&self, offset: &str, length: &str) -> Result<Piece, Error> {
        let query = [("path", self.path.as_str()), ("offset", offset), ("length", length)];
        let request = Request::get("/files/read").query(&query);
        let body = self.server.bytes(&request).map_err(|error| self.found(error))?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::Failed(format!(
                "What {} answers to /files/read is no piece of a file: {error}.",
                self.server.name()
            ))
        })
    }

    /// Bytes of the file as it is now.
    fn size(&self) -> Result<u64, Error> {
        self.read("-1", "0").map(|piece| piece.offset)
    }

    fn piece(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        self.read(&offset.to_string(), &length.to_string()).map(|piece| piece.data.0)
    }

    /// The entries of a directory.
    pub fn list(&self) -> Result<Vec<Value>, Error> {
        let query = [("path", self.path.as_str())];
        let listing = self
            .server
            .json(&Request::get("/files/browse").query(&query))
            .map_err(|error| self.found(error))?;
        let Value::Array(entries) = listing else {
            return Err(Error::Failed(format!("What {} answers is no listing.", self.server.name())));
        };
        Ok(entries)
    }

    /// The whole file, piece by piece, to `to`. Shows how far it is if `watched`.
    pub fn copy(&self, to: &mut dyn FnMut(&[u8]) -> Result<(), Error>, watched: bool) -> Result<u64, Error> {
        let query = [("path", self.path.as_str())];
        let request = Request::get("/files/download").query(&query);
        let response = self.server.open(&request).map_err(|error| self.found(error))?;
        let total = content_length(&response);
        let mut progress = watched.then(|| Progress::bytes(total, "copied"));
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; PIECE as usize];
        let mut copied = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    to(&buffer[..count])?;
                    copied += count as u64;
                    if let Some(progress) = &mut progress {
                        progress.add(count as u64);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.server.broken(&error)),
            }
        }
        match total {
            Some(total) if copied < total => Err(Error::Failed(format!(
                "Only {copied} of {total} bytes came from {}.",
                self.server.name()
            ))),
            _ => Ok(copied),
        }
    }

    /// To standard output: all or the last lines, and what is added if that is wanted.
    pub fn write(&self, span: Span) -> Result<(), Error> {
        if !span.follow && span.lines.is_none() {
            return self.copy(&mut raw, false).map(drop);
        }
        let start = match span.lines {
            Some(lines) => self.start_of(lines)?,
            None => 0,
        };
        let end = self.write_from(start)?;
        if span.follow { self.follow(end) } else { Ok(()) }
    }

    /// Writes from this byte to the present end, which is given.
    fn write_from(&self, mut offset: u64) -> Result<u64, Error> {
        loop {
            let data = self.piece(offset, PIECE)?;
            if data.is_empty() {
                return Ok(offset);
            }
            raw(&data)?;
            offset += data.len() as u64;
        }
    }

    /// Where the last so many lines begin. A last line without an end counts.
    fn start_of(&self, lines: usize) -> Result<u64, Error> {
        let size = self.size()?;
        let mut before = size;
        let mut missing = lines;
        while missing > 0 && before > 0 {
            let from = before.saturating_sub(PIECE);
            let mut data = self.piece(from, before - from)?;
            // An answer may be shorter than asked for.
            while (data.len() as u64) < before - from {
                let more = self.piece(from + data.len() as u64, before - from - data.len() as u64)?;
                if more.is_empty() {
                    break;
                }
                data.extend(more);
            }
            for (index, _) in data.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                let after = from + index as u64 + 1;
                // The end of the last line begins none.
                if after == size {
                    continue;
                }
                missing -= 1;
                if missing == 0 {
                    return Ok(after);
                }
            }
            before = from;
        }
        Ok(if lines == 0 { size } else { 0 })
    }

    /// Writes what is added, until the task has ended. A file that became shorter is read from its start.
    fn follow(&self, mut offset: u64) -> Result<(), Error> {
        let mut asked = Instant::now();
        let mut silent_since: Option<Instant> = None;
        let mut last_look = false;
        loop {
            match self.added(offset) {
                Ok(end) => {
                    silent_since = None;
                    let quiet = end == offset;
                    offset = end;
                    if quiet && last_look {
                        return Ok(());
                    }
                }
                Err(Error::Unreachable(why)) => {
                    if silent_since.is_none() {
                        remark(&format!("{why} Trying again."));
                    }
                    if silent_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(Error::Unreachable(why));
                    }
                }
                // The sandbox of a task that has ended may be removed meanwhile.
                Err(Error::NotFound(_)) if last_look => return Ok(()),
                Err(error) => return Err(error),
            }
            if let Some(owner) = self.owner.as_ref().filter(|_| asked.elapsed() > TASK_PAUSE && !last_look) {
                last_look = owner.has_ended();
                asked = Instant::now();
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn added(&self, offset: u64) -> Result<u64, Error> {
        let end = self.write_from(offset)?;
        if end == offset && self.size()? < offset {
            remark(&format!("{} became shorter: from its start again.", self.path));
            return self.write_from(0);
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_may_hold_any_bytes() {
        let piece: Piece =
            serde_json::from_slice(b"{\"data\":\"\xa9\\n\\\"\",\"offset\":7}").expect("a piece");
        assert_eq!((piece.data.0.as_slice(), piece.offset), (&b"\xa9\n\""[..], 7));
    }

    #[test]
    fn sandboxes_are_found() {
        let executor = |id: &str, container: &str| json!({"id": id, "container": container, "directory": format!("/w/{container}")});
        let agent = json!({
            "frameworks": [{"id": "f", "executors": [
                executor("t", "c2"),
                {"id": "d", "type": "DEFAULT", "container": "c3", "directory": "/w/c3"},
            ], "completed_executors": [executor("t", "c1")]}],
            "completed_frameworks": [{"id": "g", "completed_executors": [executor("custom", "c4")]}],
        });
        let task = |framework: &str, id: &str, executor: &str, container: Value| {
            json!({"id": id, "framework_id": framework, "executor_id": executor,
                "statuses": [{"container_status": {"container_id": container}}]})
        };
        for (task, expected) in [
            (task("f", "t", "", json!({"value": "c1"})), Some("/w/c1")),
            (task("f", "t", "", json!({"value": "c2"})), Some("/w/c2")),
            (task("f", "t", "", json!(null)), Some("/w/c2")),
            (task("f", "n", "d", json!({"value": "x", "parent": {"value": "c3"}})), Some("/w/c3/tasks/n")),
            (task("g", "u", "custom", json!(null)), Some("/w/c4")),
            (task("g", "u", "", json!(null)), None),
        ] {
            assert_eq!(sandbox(&agent, &task).as_deref(), expected, "{task}");
        }
    }
}
