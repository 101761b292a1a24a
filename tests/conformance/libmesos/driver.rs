//! A v0 scheduler driver in a process of its own, worked from here: that of libmesos 1.11.0 (`driver.cc`), or that of
//! our libmesos.so through its C interface (`driver.c`).

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mesos::proto;

use super::ours;
use crate::peer;
use crate::support::DEADLINE;

/// Whose driver is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Apaches,
    Ours,
}

thread_local! {
    static WHOSE: Cell<Whose> = const { Cell::new(Whose::Apaches) };
}

/// From now on, in this thread.
pub fn use_driver(whose: Whose) {
    WHOSE.set(whose);
}

fn program() -> Command {
    match WHOSE.get() {
        Whose::Apaches => peer::program("driver"),
        Whose::Ours => {
            let mut command = Command::new(ours::c_driver());
            command.env_clear().env("LIBPROCESS_IP", "127.0.0.1");
            command
        }
    }
}

/// What the functions of a driver return, and `join` in the end.
pub const RUNNING: i32 = 2;
pub const ABORTED: i32 = 3;
pub const STOPPED: i32 = 4;

/// A callback of the driver's scheduler.
#[derive(Clone, Debug)]
pub enum Called {
    Registered(proto::FrameworkId, Box<proto::MasterInfo>),
    Reregistered,
    Disconnected,
    Offer(Box<proto::Offer>),
    Rescinded(proto::OfferId),
    Update(Box<proto::TaskStatus>),
    Message { executor: proto::ExecutorId, agent: proto::AgentId, data: Vec<u8> },
    AgentLost(proto::AgentId),
    ExecutorLost { executor: proto::ExecutorId, agent: proto::AgentId, status: i32 },
    Error(String),
}

impl Called {
    fn read(words: &[&str]) -> Called {
        let bytes = |at: usize| from_hex(words[at + 1]);
        match words[0] {
            "registered" => Called::Registered(decoded(&bytes(0)), Box::new(decoded(&bytes(1)))),
            "reregistered" => Called::Reregistered,
            "disconnected" => Called::Disconnected,
            "resourceOffers" => Called::Offer(Box::new(decoded(&bytes(0)))),
            "offerRescinded" => Called::Rescinded(decoded(&bytes(0))),
            "statusUpdate" => Called::Update(Box::new(decoded(&bytes(0)))),
            "frameworkMessage" => {
                Called::Message { executor: decoded(&bytes(0)), agent: decoded(&bytes(1)), data: bytes(2) }
            }
            "slaveLost" => Called::AgentLost(decoded(&bytes(0))),
            "executorLost" => Called::ExecutorLost {
                executor: decoded(&bytes(0)),
                agent: decoded(&bytes(1)),
                status: words[3].parse().expect("a status"),
            },
            "error" => Called::Error(String::from_utf8(bytes(0)).expect("text")),
            other => panic!("no such callback: {other}"),
        }
    }
}

/// Dropped, its process is gone without a word, as if the scheduler had crashed.
pub struct Driver {
    child: Child,
    input: ChildStdin,
    said: Receiver<(String, i32)>,
    called: Receiver<Called>,
    /// Came while something else was waited for.
    offers: VecDeque<proto::Offer>,
}

impl Driver {
    /// A driver that was started but may not have registered yet.
    pub fn start(port: u16, info: &proto::FrameworkInfo, acknowledgements: &str) -> Driver {
        Driver::start_with(port, info, acknowledgements, None)
    }

    /// One that looks for its master at a place of its own: `zk://host:port/path`.
    pub fn start_at(place: &str, info: &proto::FrameworkInfo) -> Driver {
        Driver::start_by(place, info, "implicit", None)
    }

    pub fn start_with(
        port: u16,
        info: &proto::FrameworkInfo,
        acknowledgements: &str,
        credential: Option<&proto::Credential>,
    ) -> Driver {
        Driver::start_by(&format!("127.0.0.1:{port}"), info, acknowledgements, credential)
    }

    /// One of ours that starts a cluster for itself, which works in this directory.
    pub fn start_alone(dir: &Path, info: &proto::FrameworkInfo) -> Driver {
        use_driver(Whose::Ours);
        let mut command = program();
        let ours = Path::new(env!("CARGO_BIN_EXE_mesos")).parent().expect("a folder");
        command.env("PATH", format!("{}:/usr/bin:/bin", ours.display())).env("TMPDIR", dir);
        Driver::start_as(command, "local", info, "implicit", None)
    }

    fn start_by(
        master: &str,
        info: &proto::FrameworkInfo,
        acknowledgements: &str,
        credential: Option<&proto::Credential>,
    ) -> Driver {
        Driver::start_as(program(), master, info, acknowledgements, credential)
    }

    fn start_as(
        mut command: Command,
        master: &str,
        info: &proto::FrameworkInfo,
        acknowledgements: &str,
        credential: Option<&proto::Credential>,
    ) -> Driver {
        command.args([master.to_owned(), hex(info), acknowledgements.to_owned()]);
        command.args(credential.map(hex));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the driver starts");
        let (say, said) = channel();
        let (call, called) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || sort(lines.map_while(Result::ok), &say, &call));
        let input = child.stdin.take().expect("piped");
        let mut driver = Driver { child, input, said, called, offers: VecDeque::new() };
        assert_eq!(driver.say("start", &[]), RUNNING);
        driver
    }

    /// Calls a function of the driver; gives the status that it returns.
    pub fn say(&mut self, name: &str, arguments: &[String]) -> i32 {
        let line = [&[name.to_owned()], arguments].concat().join(" ");
        writeln!(self.input, "{line}").expect("the driver lives");
        let (said, status) = self.said.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{name} hangs"));
        assert_eq!(said, name);
        status
    }

    /// The next callback.
    pub fn next(&mut self) -> Called {
        self.called.recv_timeout(DEADLINE).expect("another callback")
    }

    /// The next callback, if it comes in this time.
    pub fn next_within(&mut self, time: Duration) -> Option<Called> {
        self.called.recv_timeout(time).ok()
    }

    /// The next callback that has nothing to do with offers, which may come at any time and are kept.
    pub fn next_news(&mut self) -> Called {
        loop {
            match self.next() {
                Called::Offer(offer) => self.offers.push_back(*offer),
                Called::Rescinded(id) => self.offers.retain(|offer| offer.id != id),
                news => return news,
            }
        }
    }

    /// Whatever has been called by now.
    pub fn so_far(&mut self) -> Vec<Called> {
        self.called.try_iter().collect()
    }

    pub fn registered(&mut self) -> proto::FrameworkId {
        match self.next_news() {
            Called::Registered(id, _) => id,
            other => panic!("{other:?} instead of a registration"),
        }
    }

    pub fn offer(&mut self) -> proto::Offer {
        if let Some(offer) = self.offers.pop_front() {
            return offer;
        }
        match self.next() {
            Called::Offer(offer) => *offer,
            Called::Rescinded(_) => self.offer(),
            other => panic!("{other:?} instead of an offer"),
        }
    }

    /// The next update, which must be this one.
    pub fn status(&mut self, task: &str, state: proto::TaskState) -> proto::TaskStatus {
        match self.next_news() {
            Called::Update(status) if status.task_id.value == task && status.state() == state => *status,
            other => panic!("{other:?} instead of {} of {task}", state.as_str_name()),
        }
    }

    /// The state in the next update, and the reason.
    pub fn next_state(&mut self) -> (proto::TaskState, Option<i32>) {
        match self.next_news() {
            Called::Update(status) => (status.state(), status.reason),
            other => panic!("{other:?} instead of an update"),
        }
    }

    pub fn error(&mut self) -> String {
        match self.next_news() {
            Called::Error(why) => why,
            other => panic!("{other:?} instead of an error"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sort(lines: impl Iterator<Item = String>, say: &Sender<(String, i32)>, call: &Sender<Called>) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        // The driver may outlive whoever listens by a moment.
        let _ = match words[..] {
            ["said", name, status] => {
                say.send((name.to_owned(), status.parse().expect("a status"))).map_err(drop)
            }
            ["called", ..] => call.send(Called::read(&words[1..])).map_err(drop),
            _ => panic!("the driver said {line}"),
        };
    }
}

/// A message as an argument.
pub fn hex(message: &impl prost::Message) -> String {
    hex_bytes(&message.encode_to_vec())
}

pub fn hex_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Messages as one argument.
pub fn hex_list<M: prost::Message>(messages: &[M]) -> String {
    if messages.is_empty() {
        return "-".to_owned();
    }
    messages.iter().map(hex).collect::<Vec<_>>().join(",")
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = if hex == "-" { "" } else { hex };
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn decoded<M: prost::Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what libmesos encoded")
}
