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
    /// The first one is under way.
    pending: VecDeque<StatusUpdate>,
    received: FxHashSet<Bytes>,
    /// Oldest first.
    acknowledged: VecDeque<Bytes>,
    wait: Duration,
    number: u64,
}

impl Stream {
    /// False for an update that is here already, or was acknowledged.
    pub fn take(&mut self, update: StatusUpdate) -> bool {
        let uuid = update.uuid.clone().unwrap_or_default();
        if !self.received.insert(uuid) {
            return false;
        }
        self.pending.push_back(update);
        true
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it was that of a terminal update.
    pub fn acknowledge(&mut self, uuid: &Bytes) -> Result<bool, Refused> {
        let first = self.pending.front().and_then(|update| update.uuid.as_ref());
        if first != Some(uuid) {
            return Err(match self.acknowledged.contains(uuid) {
                true => Refused::Duplicate,
                false => Refused::Unexpected,
            });
        }
        let Some(update) = self.pending.pop_front() else { return Err(Refused::Unexpected) };
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
        let update = self.pending.front()?.clone();
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
