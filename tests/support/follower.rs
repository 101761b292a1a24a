//! Those who follow a master's events: by SUBSCRIBE of the operator API, and at `/events`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use mesos::http::recordio::Decoder;
use serde_json::Value;

use super::DEADLINE;
use super::raw;

/// A subscriber; its events come as JSON also if they were sent in protobuf.
pub struct Follower {
    events: Receiver<Value>,
    pub seen: Vec<Value>,
    _stream: TcpStream,
}

/// One event of `/events`: `id`, `event` and `data`, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<Value>,
}

/// A reader of `/events`.
pub struct Listener {
    reader: BufReader<Chunks>,
    /// The last id that came with an event or a comment.
    pub last_id: Option<String>,
    _stream: TcpStream,
}

fn open(port: u16, request: &[u8]) -> (TcpStream, BufReader<TcpStream>) {
    let mut stream = raw::connect(port);
    stream.write_all(request).expect("sent");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(reader.read_until(b'\n', &mut head).expect("read"), 0, "closed without an answer");
    }
    let answer = raw::parse(&head, true, false).expect("a head");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&head));
    (stream, reader)
}

/// A SUBSCRIBE as it is sent.
pub fn subscription(accept: &str) -> Vec<u8> {
    let headers = [("Content-Type", "application/json"), ("Accept", accept)];
    raw::request("POST", "/api/v1", &headers, br#"{"type":"SUBSCRIBE"}"#)
}

impl Follower {
    pub fn subscribe(port: u16, accept: &str) -> Follower {
        let (stream, reader) = open(port, &subscription(accept));
        let is_json = accept == "application/json";
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let mut chunks = Chunks::new(reader);
            let mut decoder = Decoder::new(1 << 30);
            while let Some(chunk) = chunks.next_chunk() {
                decoder.push(&chunk);
                while let Some(record) = decoder.next_record().expect("RecordIO") {
                    if sender.send(event(&record, is_json)).is_err() {
                        return;
                    }
                }
            }
        });
        Follower { events, seen: Vec::new(), _stream: stream }
    }

    /// The next event; none if the stream has ended.
    pub fn next(&mut self) -> Option<Value> {
        let event = match self.events.recv_timeout(DEADLINE) {
            Ok(event) => event,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
            Err(timeout) => panic!("no event: {timeout}; got {:?}", self.seen),
        };
        self.seen.push(event.clone());
        Some(event)
    }

    /// Reads until an event fits, which is returned.
    pub fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended: {:?}", self.seen));
            if fits(&event) {
                return event;
            }
        }
    }

    /// Reads until a task is in this state.
    pub fn until_task(&mut self, task: &str, state: &str) {
        self.until(|event| {
            let update = &event["task_updated"];
            update["status"]["task_id"]["value"] == task && update["state"] == state
        });
    }

    /// What was seen, in short: `TASK_UPDATED steady TASK_RUNNING`.
    pub fn names(&self) -> Vec<String> {
        self.seen.iter().map(name).collect()
    }
}

fn event(record: &[u8], is_json: bool) -> Value {
    if is_json {
        return serde_json::from_slice(record).expect("JSON");
    }
    let event: mesos::proto::master::Event = mesos::proto::check::decode(record).expect("an event");
    serde_json::from_slice(&mesos::proto::json::to_json(&event, mesos::proto::Spelling::V1)).expect("JSON")
}

/// An event in short.
pub fn name(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or("?");
    let detail = match kind {
        "TASK_ADDED" => event["task_added"]["task"]["task_id"]["value"].as_str().map(str::to_owned),
        "TASK_UPDATED" => {
            let status = &event["task_updated"]["status"];
            let task = status["task_id"]["value"].as_str();
            task.map(|task| format!("{task} {}", status["state"].as_str().unwrap_or("?")))
        }
        _ => None,
    };
    detail.map_or(kind.to_owned(), |detail| format!("{kind} {detail}"))
}

impl Listener {
    pub fn open(port: u16, query: &str, last_id: Option<&str>) -> Listener {
        Listener::at(port, &format!("/events{query}"), last_id)
    }

    /// Of another stream of the same form.
    pub fn at(port: u16, path: &str, last_id: Option<&str>) -> Listener {
        let mut headers = vec![("Accept", "text/event-stream"), ("Accept-Encoding", "gzip")];
        headers.extend(last_id.map(|id| ("Last-Event-ID", id)));
        let request = raw::request("GET", path, &headers, b"");
        let (stream, reader) = open(port, &request);
        let reader = BufReader::new(Chunks::new(reader));
        Listener { reader, last_id: None, _stream: stream }
    }

    /// The next block that is an event; comments are read on the way.
    pub fn next(&mut self) -> Sent {
        loop {
            let sent = self.block();
            if sent.data.is_some() {
                return sent;
            }
        }
    }

    /// Id and name of the next event, without a look at its data; none if the stream has ended.
    pub fn next_name(&mut self) -> Option<(String, String)> {
        let (mut id, mut name, mut line) = (None, None, Vec::new());
        loop {
            line.clear();
            if self.reader.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            let text = |prefix: &[u8]| {
                let text = line.strip_prefix(prefix)?.trim_ascii_end();
                Some(String::from_utf8(text.to_vec()).expect("text"))
            };
            id = text(b"id: ").or(id);
            name = text(b"event: ").or(name);
            if line == b"\n"
                && let (Some(id), Some(name)) = (id.take(), name.take())
            {
                return Some((id, name));
            }
        }
    }

    /// The next block of lines, an event or a comment.
    pub fn block(&mut self) -> Sent {
        let mut sent = Sent::default();
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).expect("read"), 0, "the stream ended");
            match line.trim_end_matches('\n').split_once(": ") {
                None => break,
                Some(("id", id)) => sent.id = Some(id.to_owned()),
                Some(("event", name)) => sent.event = Some(name.to_owned()),
                Some(("data", data)) => sent.data = Some(serde_json::from_str(data).expect("JSON")),
                Some(("", _)) => {}
                Some(_) => panic!("a strange line: {line}"),
            }
        }
        self.last_id = sent.id.clone().or(self.last_id.take());
        sent
    }
}

/// The body of a chunked answer.
pub struct Chunks {
    reader: BufReader<TcpStream>,
    rest: VecDeque<u8>,
}

impl Chunks {
    fn new(reader: BufReader<TcpStream>) -> Chunks {
        reader.get_ref().set_read_timeout(None).expect("a socket");
        Chunks { reader, rest: VecDeque::new() }
    }

    fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok().filter(|size| *size > 0)?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            let chunk = self.next_chunk().unwrap_or_default();
            self.rest.extend(chunk);
        }
        self.rest.read(buffer)
    }
}

/// Reads what is left of a connection until it ends, without looking at it.
pub fn ends(mut stream: TcpStream) -> bool {
    let end = Instant::now() + DEADLINE;
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let mut buffer = vec![0; 1 << 20];
    while Instant::now() < end {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !raw::is_timeout(&error),
        }
    }
    false
}
