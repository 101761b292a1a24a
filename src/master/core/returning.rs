//! What agents say while their return is being stored.
//!
//! A write of the registry may take a while, and tasks and executors end meanwhile: an agent that asks again tells
//! what it runs by then, and that counts. Apache Mesos drops it, and goes on with what the agent said first.

use std::sync::Arc;

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::master::validate;
use crate::proto::AgentInfo;
use crate::proto::internal::ReregisterSlaveMessage;

use super::Effects;
use super::books::State;
use super::reregister::is_overtaken;

impl State {
    /// `reregister` goes on here: the registry holds the agent, which was in the books then (`known`) or not. Of what
    /// it said meanwhile the latest counts; if that describes it otherwise than the registry does now, or comes from
    /// elsewhere, it is a return of its own.
    pub(super) fn returned(
        &mut self,
        known: bool,
        (from, info): (Upid, Arc<AgentInfo>),
        registration: ReregisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        let later = info.id.as_ref().and_then(|id| self.returning.remove(id));
        let later = later.filter(|(_, later)| !is_overtaken(later.attempt, registration.attempt));
        let (message, again) = match later {
            Some((later_from, later)) if later_from == from && later.agent == *info => {
                match validate::agent::reregistration(&later) {
                    Ok(()) => (*later, None),
                    Err(why) => {
                        self.drop_message(&from, "re-registration", &why);
                        (registration, None)
                    }
                }
            }
            again => (registration, again),
        };
        let left = info.id.as_ref().and_then(|id| self.watches.get(id)).is_some_and(|watch| watch.left);
        if let Some(id) = info.id.as_ref().filter(|_| known && left) {
            // It asks again if it lives; there may be another process at its address by now.
            tracing::info!(agent = %id, "its connection ended while its return was stored");
            self.changing.remove(id);
            return;
        }
        match known {
            true => self.updated(from, info, message, now, out),
            false => self.readmitted(from, info, message, now, out),
        }
        if let Some((from, message)) = again {
            self.reregister(from, *message, now, out);
        }
    }
}
