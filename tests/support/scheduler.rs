//! A v1 scheduler for tests: subscribes over HTTP in JSON, keeps events as they come, makes calls.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::DEADLINE;
use super::raw::{self, Answer};

pub const PATH: &str = "/api/v1/scheduler";

/// A subscribed framework. Dropped, its connection ends, as if the scheduler had crashed.
pub struct Scheduler {
    port: u16,
    pub framework_id: String,
    pub stream_id: String,
    events: Receiver<Value>,
    /// Came while something else was waited for.
    kept: VecDeque<Value>,
    offers: VecDeque<Value>,
    heard: Arc<Mutex<Vec<Value>>>,
    stream: TcpStream,
}

/// The stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// A framework of the user that runs the tests, who fetches and runs as itself.
pub fn framework(name: &str) -> Value {
    json!({"user": user(), "name": name, "roles": ["*"], "failover_timeout": 0.0,
        "capabilities": [{"type": "MULTI_ROLE"}]})
}

/// The value with some fields of it replaced or added.
pub fn with(mut value: Value, fields: Value) -> Value {
    let (Value::Object(into), Value::Object(fields)) = (&mut value, fields) else { panic!("objects") };
    into.extend(fields);
    value
}

pub fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map_or("root".into(), |user| user.name)
}

/// A task of `cpus:0.1;mem:32` that runs a shell command.
pub fn command_task(id: &str, offer: &Value, command: &str) -> Value {
    json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)], "command": {"value": command}})
}

/// An unreserved resource, allocated to nobody: the master fills in the offer's role.
pub fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

impl Scheduler {
    /// Subscribes and waits for SUBSCRIBED.
    pub fn subscribe(port: u16, info: Value) -> Scheduler {
        Scheduler::try_subscribe(port, info).unwrap_or_else(|why| panic!("not subscribed: {why}"))
    }

    /// As `subscribe`; what the master says instead is the error.
    pub fn try_subscribe(port: u16, info: Value) -> Result<Scheduler, String> {
        let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        if let Some(id) = call["subscribe"]["framework_info"].get("id").cloned() {
            call["framework_id"] = id;
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let body = call.to_string();
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
        stream
            .write_all(&raw::request("POST", PATH, &headers, body.as_bytes()))
            .map_err(|e| e.to_string())?;
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let head = read_head(&mut reader)?;
        if head.status != 200 {
            let length = head.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            let mut text = vec![0; length];
            reader.read_exact(&mut text).map_err(|e| e.to_string())?;
            return Err(format!("{} {}", head.status, String::from_utf8_lossy(&text)));
        }
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "streams are chunked");
        assert_eq!(head.header("content-type"), Some("application/json"));
        let stream_id = head.header("mesos-stream-id").ok_or("no Mesos-Stream-Id")?.to_owned();
        let (sender, events) = channel();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        std::thread::spawn(move || read_events(reader, &sender, &log));
        let (kept, offers) = (VecDeque::new(), VecDeque::new());
        let mut scheduler =
            Scheduler { port, framework_id: String::new(), stream_id, events, kept, offers, heard, stream };
        let first = scheduler.event().ok_or("the stream ended")?;
        if first["type"] != "SUBSCRIBED" {
            return Err(first.to_string());
        }
        let id = first["subscribed"]["framework_id"]["value"].as_str().ok_or("no framework id")?;
        id.clone_into(&mut scheduler.framework_id);
        scheduler.kept.push_back(first);
        Ok(scheduler)
    }

    /// Every event of the stream so far, in its order.
    pub fn heard(&self) -> Vec<Value> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// The next event off the stream; none if it ended.
    fn event(&mut self) -> Option<Value> {
        self.events.recv_timeout(DEADLINE).ok()
    }

    /// The next event, kept or to come; none if none comes in time.
    pub fn next_within(&mut self, time: Duration) -> Result<Option<Value>, Ended> {
        if let Some(event) = self.kept.pop_front() {
            return Ok(Some(event));
        }
        match self.events.recv_timeout(time) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    /// The first event that fits, kept or to come; others are kept.
    pub fn find(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.kept.iter().position(&fits) {
            return self.kept.remove(index).expect("just found");
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if fits(&event) => return event,
                Ok(event) => self.kept.push_back(event),
                Err(why) => panic!("no {what}: {why}; got {:?}", self.kept),
            }
        }
    }

    /// The next event of a type.
    pub fn next(&mut self, kind: &str) -> Value {
        self.find(kind, |event| event["type"] == kind)
    }

    /// Every event of a type that came so far or within the time given; none are waited for beyond it.
    pub fn all_within(&mut self, kind: &str, time: Duration) -> Vec<Value> {
        let end = Instant::now() + time;
        while let Ok(event) = self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.kept.push_back(event);
        }
        let (found, kept): (Vec<Value>, Vec<Value>) =
            self.kept.drain(..).partition(|event| event["type"] == kind);
        self.kept = kept.into();
        found
    }

    /// Waits for the end of the stream; events before it are kept.
    pub fn ends(&mut self) {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => self.kept.push_back(event),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the stream goes on: {:?}", self.kept),
            }
        }
    }

    /// The next offer that nobody took yet.
    pub fn offer(&mut self) -> Value {
        if self.offers.is_empty() {
            let event = self.next("OFFERS");
            self.offers.extend(event["offers"]["offers"].as_array().expect("offers").iter().cloned());
        }
        self.offers.pop_front().expect("an OFFERS event has offers")
    }

    /// An offer that nobody took yet and that holds, if one comes in time.
    pub fn offer_within(&mut self, time: Duration) -> Option<Value> {
        for event in self.all_within("OFFERS", time) {
            self.offers.extend(event["offers"]["offers"].as_array().expect("offers").iter().cloned());
        }
        for event in self.all_within("RESCIND", Duration::ZERO) {
            self.offers.retain(|offer| offer["id"] != event["rescind"]["offer_id"]);
        }
        self.offers.pop_front()
    }

    /// Every status that came so far or comes in time, each acknowledged if it asks for that.
    pub fn statuses(&mut self, time: Duration, mut heard: impl FnMut(&Value)) {
        for event in self.all_within("UPDATE", time) {
            let status = &event["update"]["status"];
            self.acknowledge(status);
            heard(status);
        }
    }

    fn acknowledge(&self, status: &Value) {
        if status.get("uuid").is_some() {
            self.accepted(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": status["agent_id"],
                "task_id": status["task_id"], "uuid": status["uuid"]}}));
        }
    }

    /// Makes a call; its type and body as given, framework and stream filled in.
    pub fn call(&self, call: Value) -> Answer {
        let call = with(call, json!({"framework_id": {"value": self.framework_id}}));
        self.call_bytes("application/json", call.to_string().as_bytes())
    }

    /// As `call`, of a master that may be gone: the status of its answer, 0 if there is none.
    pub fn try_call(&self, call: Value) -> u16 {
        let call = with(call, json!({"framework_id": {"value": self.framework_id}})).to_string();
        let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", &self.stream_id)];
        raw::try_exchange(self.port, &raw::request("POST", PATH, &headers, call.as_bytes())).status()
    }

    pub fn call_bytes(&self, content_type: &str, body: &[u8]) -> Answer {
        let headers = [("Content-Type", content_type), ("Mesos-Stream-Id", &self.stream_id)];
        raw::exchange(self.port, &raw::request("POST", PATH, &headers, body)).answer()
    }

    fn accepted(&self, call: Value) {
        let answer = self.call(call);
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// ACCEPT of one offer with these operations; what is left may come back at once.
    pub fn accept(&self, offer: &Value, operations: Value) {
        self.accepted(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
            "operations": operations, "filters": {"refuse_seconds": 0.0}}}));
    }

    pub fn launch(&self, offer: &Value, tasks: &[Value]) {
        self.accept(offer, json!([{"type": "LAUNCH", "launch": {"task_infos": tasks}}]));
    }

    /// Takes the next offer and runs a command on it. Returns the offer.
    pub fn run(&mut self, id: &str, command: &str) -> Value {
        let offer = self.offer();
        self.launch(&offer, &[command_task(id, &offer, command)]);
        offer
    }

    pub fn decline(&self, offer: &Value, refuse_seconds: f64) {
        self.accepted(json!({"type": "DECLINE", "decline": {"offer_ids": [offer["id"]],
            "filters": {"refuse_seconds": refuse_seconds}}}));
    }

    /// No offers from now on; those that it has are given back.
    pub fn suppress(&mut self) {
        self.accepted(json!({"type": "SUPPRESS"}));
        while let Some(offer) = self.offer_within(Duration::from_millis(200)) {
            self.decline(&offer, 0.0);
        }
    }

    pub fn kill(&self, task: &str) {
        self.accepted(json!({"type": "KILL", "kill": {"task_id": {"value": task}}}));
    }

    pub fn teardown(&self) {
        self.accepted(json!({"type": "TEARDOWN"}));
    }

    /// The next status of a task, acknowledged if it asks for that.
    pub fn status(&mut self, task: &str) -> Value {
        let event = self.find(&format!("update of {task}"), |event| {
            event["type"] == "UPDATE" && event["update"]["status"]["task_id"]["value"] == task
        });
        let status = event["update"]["status"].clone();
        self.acknowledge(&status);
        status
    }

    /// Follows a task until it is in this state; the statuses before are returned too, this one last.
    pub fn until(&mut self, task: &str, state: &str) -> Vec<Value> {
        let mut statuses = Vec::new();
        loop {
            let status = self.status(task);
            let reached = status["state"] == state;
            let over = is_terminal(status["state"].as_str().unwrap_or_default());
            statuses.push(status);
            if reached {
                return statuses;
            }
            assert!(!over, "{task} never reached {state}: {statuses:?}");
        }
    }

    /// Ends the connection without a word, as a crash does.
    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.hang_up();
    }
}

pub fn is_terminal(state: &str) -> bool {
    !matches!(state, "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING" | "TASK_UNREACHABLE")
}

fn read_head(reader: &mut impl BufRead) -> Result<Answer, String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).map_err(|e| e.to_string())? == 0 {
            return Err("closed without an answer".to_owned());
        }
    }
    raw::parse(&head, true, false).ok_or_else(|| String::from_utf8_lossy(&head).into_owned())
}

/// Hands on every record; each must fill one chunk of the body, and be JSON on one line.
fn read_events(mut reader: impl BufRead, sender: &Sender<Value>, heard: &Mutex<Vec<Value>>) -> Option<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok().filter(|size| *size > 0)?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        let newline = chunk.iter().position(|byte| *byte == b'\n').expect("a record's length");
        let length: usize = std::str::from_utf8(&chunk[..newline]).ok()?.parse().expect("a decimal length");
        let record = &chunk[newline + 1..];
        assert_eq!(record.len(), length, "one record a chunk");
        assert!(!record.contains(&b'\n'), "JSON on one line");
        let event: Value = serde_json::from_slice(record).expect("an event is JSON");
        heard.lock().expect("not poisoned").push(event.clone());
        sender.send(event).ok()?;
    }
}
