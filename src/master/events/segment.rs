//! Happenings that came one after the other, encoded once for all who follow and joined, so that a follower
//! takes one piece of memory that it shares with all others.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::http::recordio;
use crate::master::core::Happening;
use crate::master::view::v1;
use crate::proto::json::of_wire;
use crate::proto::master::Event;
use crate::proto::master::event::Type;
use crate::proto::writer::Encoding;
use crate::proto::{AgentId, FrameworkId, Spelling, TaskId};

/// What a segment holds at most, in entries and in bytes of protobuf. A larger single entry still passes.
const ENTRIES: usize = 1024;
const BYTES: usize = 128 << 10;

/// Choices whose bytes are kept in a segment while most followers are at it.
const CHOICES: usize = 8;

/// What a stream looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Records, as SUBSCRIBE has them.
    Records(Encoding),
    /// Server-sent events, of those that pass.
    Sent(Filter),
}

/// Which happenings are wanted; what is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub types: Option<BTreeSet<Type>>,
    pub framework: Option<FrameworkId>,
    pub agent: Option<AgentId>,
    pub task: Option<TaskId>,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.types.as_ref().is_none_or(|types| types.contains(&entry.kind))
            && is(self.framework.as_ref(), entry.framework.as_ref())
            && is(self.agent.as_ref(), entry.agent.as_ref())
            && is(self.task.as_ref(), entry.task.as_ref())
    }
}

/// One happening.
#[derive(Debug)]
struct Entry {
    number: u64,
    kind: Type,
    framework: Option<FrameworkId>,
    agent: Option<AgentId>,
    task: Option<TaskId>,
    /// Where its protobuf is, in the joined records.
    protobuf: Range<usize>,
    /// As a server-sent event, once somebody chose it.
    sent: OnceLock<Bytes>,
}

/// Encoded entries, one behind the other.
#[derive(Clone, Debug, Default)]
struct Joined {
    bytes: Bytes,
    /// The number of each entry, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Joined {
    fn of(parts: impl Iterator<Item = (u64, Bytes)>) -> Joined {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (number, part) in parts {
            bytes.extend_from_slice(&part);
            ends.push((number, bytes.len()));
        }
        Joined { bytes: bytes.into(), ends }
    }

    /// Those after a number. Shares the memory.
    fn after(&self, number: u64) -> Bytes {
        let before = self.ends.partition_point(|(one, _)| *one <= number);
        let start = before.checked_sub(1).map_or(0, |last| self.ends[last].1);
        self.bytes.slice(start..)
    }
}

/// Entries whose numbers follow each other; at least one.
#[derive(Debug)]
pub struct Segment {
    life: String,
    entries: Vec<Entry>,
    protobuf: Joined,
    json: OnceLock<Joined>,
    sent: OnceLock<Joined>,
    chosen: Mutex<Vec<(Filter, Joined)>>,
}

impl Segment {
    /// The number of the first entry.
    pub fn first(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.number)
    }

    pub fn last(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.number)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// In protobuf.
    pub fn bytes(&self) -> usize {
        self.protobuf.bytes.len()
    }

    /// What a follower of this form who knows everything up to this number has yet to be told, joined. Encoded
    /// when the first one asks for it.
    pub fn after(&self, number: u64, form: &Form) -> Bytes {
        match form {
            Form::Records(Encoding::Protobuf) => self.protobuf.after(number),
            Form::Records(Encoding::Json) => {
                let join = || self.join(|entry| recordio::enclose(self.json(entry)).into());
                self.json.get_or_init(join).after(number)
            }
            Form::Sent(filter) if *filter == Filter::default() => {
                self.sent.get_or_init(|| self.join(|entry| self.sent(entry))).after(number)
            }
            Form::Sent(filter) => self.chosen(filter, number),
        }
    }

    fn join(&self, encode: impl Fn(&Entry) -> Bytes) -> Joined {
        Joined::of(self.entries.iter().map(|entry| (entry.number, encode(entry))))
    }

    fn json(&self, entry: &Entry) -> Vec<u8> {
        of_wire::<Event>(&self.protobuf.bytes[entry.protobuf.clone()], Spelling::V1)
    }

    /// As a server-sent event. JSON is one line.
    fn sent(&self, entry: &Entry) -> Bytes {
        let head =
            format!("id: {}\nevent: {}\ndata: ", id(&self.life, entry.number), entry.kind.as_str_name());
        [head.as_bytes(), &self.json(entry), b"\n\n"].concat().into()
    }

    fn chosen(&self, filter: &Filter, number: u64) -> Bytes {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, joined)) = chosen.iter().find(|(known, _)| known == filter) {
            return joined.after(number);
        }
        let passing = self.entries.iter().filter(|entry| filter.passes(entry));
        let joined = Joined::of(passing.map(|entry| {
            let sent = entry.sent.get_or_init(|| self.sent(entry)).clone();
            (entry.number, sent)
        }));
        let bytes = joined.after(number);
        if chosen.len() < CHOICES {
            chosen.push((filter.clone(), joined));
        }
        bytes
    }

    /// Most followers are past it: what was joined for few of them is not kept.
    pub fn forget_chosen(&self) {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }
}

/// A segment that is being filled.
#[derive(Debug)]
pub struct Building {
    entries: Vec<Entry>,
    records: Vec<u8>,
}

impl Building {
    pub fn new() -> Building {
        Building { entries: Vec::new(), records: Vec::new() }
    }

    /// Whether a happening of this number may come next.
    pub fn takes(&self, number: u64) -> bool {
        let Some(last) = self.entries.last() else { return true };
        number == last.number + 1 && self.entries.len() < ENTRIES && self.records.len() < BYTES
    }

    pub fn add(&mut self, number: u64, kind: Type, happening: &Happening) {
        let record = recordio::enclose(v1::event(happening, Encoding::Protobuf));
        let digits = record.iter().position(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let start = self.records.len() + digits;
        self.records.extend_from_slice(&record);
        self.entries.push(Entry {
            number,
            kind,
            framework: happening.framework().cloned(),
            agent: happening.agent().cloned(),
            task: happening.task().cloned(),
            protobuf: start..self.records.len(),
            sent: OnceLock::new(),
        });
    }

    /// None if nothing was added. `life` names the log.
    pub fn finish(self, life: &str) -> Option<Segment> {
        self.entries.first()?;
        let ends = self.entries.iter().map(|entry| (entry.number, entry.protobuf.end)).collect();
        let protobuf = Joined { bytes: self.records.into(), ends };
        Some(Segment {
            life: life.to_owned(),
            entries: self.entries,
            protobuf,
            json: OnceLock::new(),
            sent: OnceLock::new(),
            chosen: Mutex::default(),
        })
    }
}

/// What a client gives back to go on behind a happening.
pub fn id(life: &str, number: u64) -> String {
    format!("{life}:{number}")
}
