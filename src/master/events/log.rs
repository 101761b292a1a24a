//! What happened lately, encoded once for all who follow.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::http::recordio;
use crate::master::core::Happening;
use crate::master::view::v1;
use crate::proto::json::of_wire;
use crate::proto::master::Event;
use crate::proto::master::event::Type;
use crate::proto::writer::Encoding;
use crate::proto::{AgentId, FrameworkId, Spelling, TaskId};

/// How much is kept. JSON and framing come on top, for those entries that somebody read so.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub entries: usize,
    /// Of all entries in protobuf.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 100_000, bytes: 64 << 20 }
    }
}

/// One happening, in each form that was asked for.
#[derive(Debug)]
pub struct Entry {
    pub number: u64,
    pub kind: Type,
    pub framework: Option<FrameworkId>,
    pub agent: Option<AgentId>,
    pub task: Option<TaskId>,
    protobuf: Bytes,
    /// Its id in `/events`.
    id: String,
    json_record: OnceLock<Bytes>,
    protobuf_record: OnceLock<Bytes>,
    sent_event: OnceLock<Bytes>,
}

impl Entry {
    /// `None` for a happening that is not told.
    pub fn new(number: u64, happening: &Happening, life: &str) -> Option<Entry> {
        Some(Entry {
            number,
            kind: v1::kind(happening)?,
            framework: happening.framework().cloned(),
            agent: happening.agent().cloned(),
            task: happening.task().cloned(),
            protobuf: v1::event(happening, Encoding::Protobuf).into(),
            id: id(life, number),
            json_record: OnceLock::new(),
            protobuf_record: OnceLock::new(),
            sent_event: OnceLock::new(),
        })
    }

    fn json(&self) -> Vec<u8> {
        of_wire::<Event>(&self.protobuf, Spelling::V1)
    }

    /// As a record of SUBSCRIBE's stream.
    pub fn record(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Json => self.json_record.get_or_init(|| recordio::enclose(self.json()).into()).clone(),
            Encoding::Protobuf => {
                self.protobuf_record.get_or_init(|| recordio::encode(&self.protobuf)).clone()
            }
        }
    }

    /// As a server-sent event. JSON is one line.
    pub fn sent_event(&self) -> Bytes {
        let write = || {
            let head = format!("id: {}\nevent: {}\ndata: ", self.id, self.kind.as_str_name());
            [head.as_bytes(), &self.json(), b"\n\n"].concat().into()
        };
        self.sent_event.get_or_init(write).clone()
    }
}

/// What a client gives back to go on behind a happening.
pub fn id(life: &str, number: u64) -> String {
    format!("{life}:{number}")
}

/// The last entries, without a gap between them.
#[derive(Debug)]
pub struct Log {
    limits: Limits,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number that follows the last one.
    next: u64,
}

/// What a reader finds.
#[derive(Debug)]
pub enum Found {
    Entries(Vec<Arc<Entry>>),
    Nothing,
    /// The log begins further on.
    Lost,
}

impl Log {
    pub fn new(limits: Limits) -> Log {
        Log { limits, entries: VecDeque::new(), bytes: 0, next: 1 }
    }

    /// The number of the first entry, or of the one to come.
    pub fn first(&self) -> u64 {
        self.entries.front().map_or(self.next, |entry| entry.number)
    }

    /// Appends an entry. What is not told, and numbers left out, are gaps: the log begins anew behind them.
    pub fn push(&mut self, number: u64, entry: Option<Entry>) {
        if number != self.next || entry.is_none() {
            self.entries.clear();
            self.bytes = 0;
        }
        self.next = number + 1;
        let Some(entry) = entry else { return };
        self.bytes += entry.protobuf.len();
        self.entries.push_back(entry.into());
        // One that is larger than the bound must still pass.
        while self.entries.len() > 1
            && (self.entries.len() > self.limits.entries || self.bytes > self.limits.bytes)
        {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.protobuf.len());
        }
    }

    /// Whether everything after this number is here, or still to come.
    pub fn remembers(&self, number: u64) -> bool {
        number.checked_add(1).is_some_and(|after| self.first() <= after && after <= self.next)
    }

    /// The entries after this number, as many as are read at once.
    pub fn after(&self, number: u64) -> Found {
        const AT_ONCE: usize = 256;
        const BYTES: usize = 64 << 10;
        let first = self.first();
        let Some(start) = (number + 1).checked_sub(first) else { return Found::Lost };
        let mut bytes = 0;
        let few = |entry: &&Arc<Entry>| {
            let fits = bytes < BYTES;
            bytes += entry.protobuf.len();
            fits
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.entries.len());
        let found: Vec<_> = self.entries.range(start..).take(AT_ONCE).take_while(few).cloned().collect();
        if found.is_empty() { Found::Nothing } else { Found::Entries(found) }
    }
}
