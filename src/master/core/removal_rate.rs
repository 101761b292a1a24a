//! How fast agents may become unreachable: `--agent_removal_rate_limit`.
//!
//! Marks are that far apart, in the order in which they were wanted, and each is looked at again when its turn
//! comes: the agent may be back. Source: `process::RateLimiter`, `SlaveObserver`, 1.11.

use std::collections::VecDeque;

use crate::base::duration;
use crate::base::time::Time;
use crate::proto::AgentId;

use super::books::State;
use super::{Effect, Effects, Timer};

/// Why an agent is to become unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It left pings unanswered, under this number of its registration.
    Silence { observer: u64 },
    /// It did not come back after its so-manieth disconnection.
    Disconnection { number: u64 },
    /// It did not come back to a new leader.
    Failover,
}

/// Marks that wait for their turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Removals {
    /// Not before this time. Meaningless without a limit.
    next: Time,
    waiting: VecDeque<(AgentId, Cause)>,
}

impl State {
    /// Marks an agent unreachable, now or when its turn comes.
    pub(super) fn mark_unreachable(&mut self, id: &AgentId, cause: Cause, now: Time, out: &mut Effects) {
        let silent = matches!(cause, Cause::Silence { .. });
        if silent && self.watches.get(id).is_some_and(|watch| watch.marking) {
            return;
        }
        self.count("slave_unreachable_scheduled");
        let Some(interval) = self.flags.agent_removal_interval else {
            return self.begin_unreachable(id, &self.reason(cause), now, out);
        };
        if self.removals.waiting.is_empty() && now >= self.removals.next {
            self.removals.next = now + interval;
            return self.begin_unreachable(id, &self.reason(cause), now, out);
        }
        tracing::info!(agent = %id, why = self.reason(cause), "agent becomes unreachable when the rate allows it");
        if silent && let Some(watch) = self.watches.get_mut(id) {
            watch.marking = true;
        }
        if self.removals.waiting.is_empty() {
            out.push(Effect::Wake { at: self.removals.next, timer: Timer::Removal });
        }
        self.removals.waiting.push_back((id.clone(), cause));
    }

    /// The next mark's turn has come. One that is not wanted any more gives its turn to the next.
    pub(super) fn removal_due(&mut self, now: Time, out: &mut Effects) {
        // The timer of a turn that somebody else has taken meanwhile.
        if now < self.removals.next {
            return;
        }
        let interval = self.flags.agent_removal_interval.unwrap_or_default();
        while let Some((id, cause)) = self.removals.waiting.pop_front() {
            if !self.still_applies(&id, cause) {
                tracing::info!(agent = %id, "agent is back, and not marked unreachable");
                self.count("slave_unreachable_canceled");
                continue;
            }
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.marking = false;
            }
            self.removals.next = now + interval;
            self.begin_unreachable(&id, &self.reason(cause), now, out);
            break;
        }
        if !self.removals.waiting.is_empty() {
            out.push(Effect::Wake { at: self.removals.next, timer: Timer::Removal });
        }
    }

    /// A silent agent has answered.
    pub(super) fn cancel_silence(&mut self, id: &AgentId) {
        let before = self.removals.waiting.len();
        self.removals.waiting.retain(|(own, cause)| own != id || !matches!(cause, Cause::Silence { .. }));
        if self.removals.waiting.len() < before {
            tracing::info!(agent = %id, "agent answers again, and is not marked unreachable");
            self.count("slave_unreachable_canceled");
        }
    }

    pub(super) fn still_applies(&self, id: &AgentId, cause: Cause) -> bool {
        match cause {
            Cause::Silence { observer } => {
                self.watches.get(id).is_some_and(|watch| watch.observer == observer && watch.marking)
            }
            Cause::Disconnection { number } => {
                let disconnected = self.cluster.agent(id).is_some_and(|agent| !agent.connected);
                let current = self.watches.get(id).is_some_and(|watch| watch.disconnections == number);
                disconnected && current
            }
            // One that is on its way back, or out, has a change under way.
            Cause::Failover => self.cluster.recovered.contains_key(id) && !self.changing.contains_key(id),
        }
    }

    fn reason(&self, cause: Cause) -> String {
        let time = duration::format(self.flags.agent_reregister_timeout);
        match cause {
            Cause::Silence { .. } => "health check timed out".to_owned(),
            Cause::Disconnection { .. } => {
                format!("agent did not reregister within {time} after disconnecting")
            }
            Cause::Failover => format!("did not reregister within {time} after master failover"),
        }
    }
}
