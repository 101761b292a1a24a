//! What happened lately, for all who follow.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;

/// How much is kept. JSON and framing come on top, for what somebody read so.
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

/// Segments at the end at which most followers are.
const RECENT: usize = 8;

/// The last segments, without a gap between them.
#[derive(Debug)]
pub struct Log {
    limits: Limits,
    segments: VecDeque<Arc<Segment>>,
    entries: usize,
    bytes: usize,
    /// The number that follows the last one.
    next: u64,
}

/// What a reader finds.
#[derive(Debug)]
pub enum Found {
    /// The one that has what follows, and maybe what was before.
    Segment(Arc<Segment>),
    Nothing,
    /// The log begins further on.
    Lost,
}

impl Log {
    pub fn new(limits: Limits) -> Log {
        Log { limits, segments: VecDeque::new(), entries: 0, bytes: 0, next: 1 }
    }

    /// The number of the first entry, or of the one to come.
    pub fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first())
    }

    /// The log begins anew at this number: what was before it is not told.
    pub fn begin(&mut self, number: u64) {
        self.segments.clear();
        (self.entries, self.bytes, self.next) = (0, 0, number);
    }

    /// Appends entries. If numbers are left out before them, the log begins with them.
    pub fn push(&mut self, segment: Segment) {
        if segment.first() != self.next {
            self.begin(segment.first());
        }
        self.next = segment.last() + 1;
        self.entries += segment.len();
        self.bytes += segment.bytes();
        self.segments.push_back(segment.into());
        if let Some(passed) = self.segments.iter().rev().nth(RECENT) {
            passed.forget_chosen();
        }
        // One that is larger than the bound must still pass.
        while self.segments.len() > 1
            && (self.entries > self.limits.entries || self.bytes > self.limits.bytes)
        {
            if let Some(oldest) = self.segments.pop_front() {
                self.entries -= oldest.len();
                self.bytes -= oldest.bytes();
            }
        }
    }

    /// Whether everything after this number is here, or still to come.
    pub fn remembers(&self, number: u64) -> bool {
        number.checked_add(1).is_some_and(|after| self.first() <= after && after <= self.next)
    }

    /// The entries after this number, as many as are read at once.
    pub fn after(&self, number: u64) -> Found {
        let wanted = number + 1;
        if wanted < self.first() {
            return Found::Lost;
        }
        let place = self.segments.partition_point(|segment| segment.last() < wanted);
        self.segments.get(place).map_or(Found::Nothing, |segment| Found::Segment(segment.clone()))
    }
}
