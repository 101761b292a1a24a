//! The updates of one task.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::Forward;
use crate::base::time::Time;
use crate::proto::TaskState;
use crate::proto::internal::StatusUpdate;

/// The wait before an update is sent a second time; it doubles from then on.
/// Source: `STATUS_UPDATE_RETRY_INTERVAL_MIN`, slave/constants.hpp 1.11.
pub const RETRY_MIN: Duration = Duration::from_secs(10);

/// The longest wait between two sendings.
pub const RETRY_MAX: Duration = Duration::from_secs(600);

/// How many acknowledged uuids are remembered to know a duplicate.
const REMEMBERED: usize = 1000;

/// What became of an update that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    New,
    /// It is here, or was acknowledged. `kept`: it can be told to be taken.
    Again {
        kept: bool,
    },
}

/// Why an acknowledgement was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no update of this task waits for one")]
    NoStream,
    #[error("it came a second time")]
    Duplicate,
    #[error("another update is the one under way")]
    Unexpected,
}

#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The first one is under way, if it is kept already.
    pending: VecDeque<Pending>,
    /// The acknowledgement of the first one has come, and is being kept.
    acknowledging: bool,
    received: FxHashSet<Bytes>,
    /// Oldest first.
    acknowledged: VecDeque<Bytes>,
    wait: Duration,
    number: u64,
}

#[derive(Clone, Debug)]
struct Pending {
    update: StatusUpdate,
    /// Durable, where that is asked for: it may be sent and told to be taken.
    kept: bool,
}

impl Pending {
    fn is(&self, uuid: &Bytes) -> bool {
        self.update.uuid.as_ref() == Some(uuid)
    }
}

impl Stream {
    /// As an earlier agent left it. What was kept is durable.
    pub fn restored(
        acknowledged: impl IntoIterator<Item = Bytes>,
        pending: impl IntoIterator<Item = StatusUpdate>,
    ) -> Stream {
        let mut stream = Stream::default();
        for update in pending {
            stream.received.insert(update.uuid.clone().unwrap_or_default());
            stream.pending.push_back(Pending { update, kept: true });
        }
        for uuid in acknowledged {
            stream.received.insert(uuid.clone());
            stream.acknowledged.push_back(uuid);
        }
        stream
    }

    pub fn take(&mut self, update: StatusUpdate) -> Taken {
        let uuid = update.uuid.clone().unwrap_or_default();
        if self.received.insert(uuid.clone()) {
            self.pending.push_back(Pending { update, kept: false });
            return Taken::New;
        }
        match self.pending.iter().find(|pending| pending.is(&uuid)) {
            Some(pending) if !pending.kept => Taken::Again { kept: false },
            _ => Taken::Again { kept: true },
        }
    }

    /// Whether it is the first one, and so to be sent.
    pub fn kept(&mut self, uuid: &Bytes) -> bool {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.is(uuid)) {
            pending.kept = true;
        }
        self.pending.front().is_some_and(|first| first.is(uuid))
    }

    pub fn is_being_kept(&self, uuid: &Bytes) -> bool {
        self.pending.iter().any(|pending| pending.is(uuid) && !pending.kept)
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// The first update is acknowledged; `acknowledge` follows once that is kept.
    pub fn acknowledging(&mut self, uuid: &Bytes) -> Result<(), Refused> {
        match self.pending.front() {
            Some(first) if first.is(uuid) && first.kept && !self.acknowledging => {
                self.acknowledging = true;
                Ok(())
            }
            Some(first) if first.is(uuid) && first.kept => Err(Refused::Duplicate),
            _ if self.acknowledged.contains(uuid) => Err(Refused::Duplicate),
            _ => Err(Refused::Unexpected),
        }
    }

    /// Whether it was that of a terminal update.
    pub fn acknowledge(&mut self, uuid: &Bytes) -> Result<bool, Refused> {
        if !self.pending.front().is_some_and(|first| first.is(uuid)) {
            return Err(Refused::Unexpected);
        }
        let Some(Pending { update, .. }) = self.pending.pop_front() else { return Err(Refused::Unexpected) };
        self.acknowledging = false;
        self.acknowledged.push_back(uuid.clone());
        if self.acknowledged.len() > REMEMBERED
            && let Some(oldest) = self.acknowledged.pop_front()
        {
            self.received.remove(&oldest);
        }
        Ok(is_terminal(update.status.state))
    }

    /// The first update, as a first sending.
    pub fn forward(&mut self, now: Time, number: u64) -> Option<Forward> {
        self.wait = RETRY_MIN;
        self.send(now, number)
    }

    /// The first update, after its retry time.
    pub fn again(&mut self, now: Time, number: u64) -> Option<Forward> {
        self.wait = (self.wait * 2).min(RETRY_MAX);
        self.send(now, number)
    }

    fn send(&mut self, now: Time, number: u64) -> Option<Forward> {
        let first = self.pending.front().filter(|first| first.kept && !self.acknowledging)?;
        let update = first.update.clone();
        self.number = number;
        Some(Forward { update, retry: now + self.wait, number })
    }
}

/// Whether a task in this state has ended. Source: `isTerminalState`, common/protobuf_utils.cpp 1.11.
pub fn is_terminal(state: i32) -> bool {
    use TaskState::*;
    match TaskState::try_from(state) {
        Ok(TaskFinished | TaskFailed | TaskKilled | TaskLost | TaskError | TaskDropped | TaskGone) => true,
        Ok(TaskGoneByOperator) => true,
        Ok(TaskStaging | TaskStarting | TaskRunning | TaskKilling | TaskUnreachable | TaskUnknown)
        | Err(_) => false,
    }
}
