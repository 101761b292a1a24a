//! What agents say while their return is being stored.
//!
//! A write of the registry may take a while, and tasks and executors end meanwhile: an agent that asks again tells
//! what it runs by then, and that counts. Apache Mesos drops it, and goes on with what the agent said first.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::master::validate;
use crate::proto::internal::{ExitedExecutorMessage, ReregisterSlaveMessage};
use crate::proto::{AgentId, AgentInfo};

use super::Effects;
use super::books::{Changing, State};
use super::reregister::is_overtaken;
use super::tasks::MOST_EXITED;

impl State {
    /// A re-registration, while the one before it is being stored.
    pub(super) fn said_meanwhile(&mut self, id: AgentId, from: Upid, message: ReregisterSlaveMessage) {
        let returning = self.returning.entry(id.clone()).or_default();
        let kept = returning.latest.as_ref().and_then(|(_, kept)| kept.attempt);
        if is_overtaken(message.attempt, kept) {
            return;
        }
        returning.latest = Some((from, Box::new(message)));
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.left = false;
        }
    }

    /// An executor's end, which its agent says once: by what it said before, the executor would be taken in.
    pub(super) fn exited_meanwhile(&mut self, from: &Upid, message: &ExitedExecutorMessage) {
        let ExitedExecutorMessage { agent_id: agent, framework_id: framework, executor_id, .. } = message;
        if self.changing.get(agent) != Some(&Changing::Reregistering) {
            return;
        }
        let exited = &mut self.returning.entry(agent.clone()).or_default().exited;
        if exited.len() >= MOST_EXITED {
            exited.pop_front();
        }
        exited.push_back((from.clone(), framework.clone(), executor_id.clone()));
    }

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
        let meanwhile = info.id.as_ref().and_then(|id| self.returning.remove(id)).unwrap_or_default();
        let later = meanwhile.latest.filter(|(_, later)| !is_overtaken(later.attempt, registration.attempt));
        let (mut message, again) = match later {
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
        // Nothing starts on an agent that is not registered, so that none of them runs again.
        let by_it = meanwhile.exited.iter().filter(|(by, ..)| *by == from);
        let exited: BTreeSet<_> = by_it.map(|(_, framework, id)| (Some(framework), id)).collect();
        message
            .executor_infos
            .retain(|info| !exited.contains(&(info.framework_id.as_ref(), &info.executor_id)));
        match known {
            true => self.updated(from, info, message, now, out),
            false => self.readmitted(from, info, message, now, out),
        }
        if let Some((from, message)) = again {
            self.reregister(from, *message, now, out);
        }
    }
}
