//! What nobody should send. Each case is bytes and what must come back; around every case the state of master
//! and agent must stay as it was, and both must answer `/health` all the while.
//!
//! The cases are those that ended, hung or changed Apache Mesos 1.11, and their neighbours.

mod bodies;
mod calls;
mod files;
mod generated;
mod large;
mod messages;
mod requests;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::raw::{self, Outcome};
use crate::support::{Cluster, wait_for};

/// Health must be answered within this whatever else is going on: the bar of `bad input` as the project sets it.
const HEALTH: Duration = Duration::from_secs(2);

/// The most memory that a process may ever have had.
const MEMORY: u64 = 1 << 30;

/// Who gets the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    Master,
    Agent,
}

/// What must come back.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// 4xx with a sentence.
    Refused,
    /// As `Refused`, or 501 with a sentence, which is Mesos' word for a call that is known and not served.
    NotServed,
    /// This status, and this in the body.
    Says(u16, &'static str),
    /// This status with or without a body.
    Status(u16),
    /// No HTTP: 4xx, or closed without a word.
    NotHttp,
    /// Anything but a 5xx and silence: it is harmless, and HTTP or Mesos' clients may want it answered.
    Harmless,
}

impl Expect {
    fn verdict(self, outcome: &Outcome) -> Result<(), String> {
        let answer = match outcome {
            Outcome::Silent => return Err("neither answered nor closed".to_owned()),
            Outcome::Closed => {
                return match self {
                    Expect::NotHttp | Expect::Harmless => Ok(()),
                    _ => Err("closed without an answer".to_owned()),
                };
            }
            Outcome::Answered(answer) => answer,
        };
        let (status, text) = (answer.status, answer.text());
        let fine = match self {
            Expect::Refused => (400..500).contains(&status) && text.len() > 10,
            Expect::NotServed => ((400..500).contains(&status) || status == 501) && text.len() > 10,
            Expect::Says(code, part) => status == code && text.contains(part),
            Expect::Status(code) => status == code,
            Expect::NotHttp => (400..500).contains(&status),
            Expect::Harmless => (200..500).contains(&status),
        };
        if fine { Ok(()) } else { Err(format!("answered {status}: {}", shortened(&text))) }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}

struct Case {
    name: String,
    to: To,
    bytes: Vec<u8>,
    expect: Expect,
}

fn case(name: impl Into<String>, to: To, bytes: Vec<u8>, expect: Expect) -> Case {
    Case { name: name.into(), to, bytes, expect }
}

/// A cluster of one agent that is being watched.
struct Target {
    cluster: Cluster,
    stop: Arc<AtomicBool>,
    watch: Option<JoinHandle<Watched>>,
    failures: Vec<String>,
}

/// How `/health` was answered meanwhile.
#[derive(Debug, Default)]
struct Watched {
    count: usize,
    worst: Duration,
    wrong: Option<String>,
}

impl Target {
    fn start() -> Target {
        Target::start_with(&[])
    }

    fn start_with(master_flags: &[&str]) -> Target {
        let cluster = Cluster::start_with(1, master_flags, &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let (until, ports) = (stop.clone(), [cluster.port, cluster.agent_ports[0]]);
        let watch = std::thread::spawn(move || watch(&until, ports));
        Target { cluster, stop, watch: Some(watch), failures: Vec::new() }
    }

    fn port(&self, to: To) -> u16 {
        match to {
            To::Master => self.cluster.port,
            To::Agent => self.cluster.agent_ports[0],
        }
    }

    /// Everything that either tells about itself.
    fn states(&self) -> [Value; 2] {
        let state = |to| raw::exchange(self.port(to), &raw::get("/state")).answer().json();
        [state(To::Master), state(To::Agent)]
    }

    fn send(&self, to: To, bytes: &[u8]) -> Outcome {
        raw::exchange(self.port(to), bytes)
    }

    /// Notes what was wrong; a test tells of all its cases at once.
    fn note(&mut self, name: &str, verdict: Result<(), String>) {
        if let Err(why) = verdict {
            self.failures.push(format!("{name}: {why}"));
        }
    }

    fn play(&mut self, cases: Vec<Case>) {
        let mut before = self.states();
        for case in cases {
            let outcome = self.send(case.to, &case.bytes);
            self.note(&case.name, case.expect.verdict(&outcome));
            self.unchanged(&case.name, &mut before);
        }
    }

    /// Nothing in the state is other than before, or it is noted, once.
    fn unchanged(&mut self, name: &str, before: &mut [Value; 2]) {
        let after = self.states();
        for (was, is) in before.iter().zip(&after) {
            if was != is {
                self.failures.push(format!("{name}: changed the state: {}", difference("", was, is)));
            }
        }
        *before = after;
    }

    /// The end of a test: processes alive, memory bounded, health answered in time, no case failed.
    fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let watched = self.watch.take().expect("watched").join().expect("the watch itself is sound");
        for process in self.cluster.agents.iter_mut().chain([&mut self.cluster.master]) {
            if !process.running() {
                self.failures.push(format!("{} has ended", process.pid()));
            }
            let peak = peak_memory(process.pid());
            if peak > MEMORY {
                self.failures.push(format!("{} had {} MiB", process.pid(), peak >> 20));
            }
        }
        if let Some(wrong) = watched.wrong {
            self.failures.push(format!("health: {wrong}"));
        }
        if watched.worst > HEALTH {
            self.failures.push(format!("health was answered after {:?}", watched.worst));
        }
        assert!(watched.count > 1, "health was hardly asked for");
        assert!(
            self.failures.is_empty(),
            "{} answered badly:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(until: &AtomicBool, ports: [u16; 2]) -> Watched {
    let mut watched = Watched::default();
    // At least one round, however soon the test is over.
    loop {
        for port in ports {
            let start = Instant::now();
            let outcome = raw::exchange(port, &raw::get("/health"));
            watched.count += 1;
            watched.worst = watched.worst.max(start.elapsed());
            if outcome.status() != 200 && !until.load(Ordering::Relaxed) {
                watched.wrong.get_or_insert(format!("port {port}: {outcome:?}"));
            }
        }
        if until.load(Ordering::Relaxed) {
            return watched;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The most resident memory that a process has had, in bytes; 0 if it is gone.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The first place where two JSON values differ.
fn difference(at: &str, was: &Value, is: &Value) -> String {
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let mut differing = keys.filter(|key| a.get(*key) != b.get(*key));
            let key = differing.next().expect("they differ");
            let none = Value::Null;
            difference(&format!("{at}/{key}"), a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let index = (0..a.len()).find(|&i| a[i] != b[i]).expect("they differ");
            difference(&format!("{at}/{index}"), &a[index], &b[index])
        }
        _ => format!("{at} was {}, is {}", shortened(&was.to_string()), shortened(&is.to_string())),
    }
}

/// Waits until the master's view of itself stays the same, as it does once offers are out.
fn settled(target: &Target) -> [Value; 2] {
    let mut last = target.states();
    wait_for("a state that stays", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = target.states();
        let same = now == last;
        last = now;
        same.then_some(())
    });
    last
}
