//! Agents that fall silent: pings, broken links, the marks unreachable and gone, and how long they are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::alloc;
use crate::base::duration;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{PingSlaveMessage, ShutdownMessage};
use crate::proto::message::Message;
use crate::proto::{AgentId, TaskState, Uuid, task_status};
use crate::registry::Operation;

use super::agents::is_believed;
use super::books::{Changing, State};
use super::removal::End;
use super::removal_rate::Cause;
use super::tell::status_of;
use super::{Answer, Effect, Effects, OBSERVER, ReplyId, Then, Timer};

/// What an agent that is gone for good is told, and why its tasks end.
const GONE: &str = "Agent has been marked gone";

impl State {
    /// Pings an agent now, and looks after the answer in `--agent_ping_timeout`.
    pub(super) fn ping(&mut self, id: &AgentId, now: Time, out: &mut Effects) {
        let Some(number) = self.send_ping(id, out) else { return };
        let timer = Timer::Ping { agent: id.clone(), number };
        out.push(Effect::Wake { at: ping_after(now, self.flags.agent_ping_timeout), timer });
    }

    /// The number of the observer that asks.
    fn send_ping(&mut self, id: &AgentId, out: &mut Effects) -> Option<u64> {
        let agent = self.cluster.agent(id)?;
        let (to, connected) = (agent.pid.clone(), agent.connected);
        let watch = self.watches.get_mut(id)?;
        watch.pinged = true;
        let from = format!("{OBSERVER}({})", watch.observer).into();
        let message = Box::new(PingSlaveMessage { connected }.into());
        out.push(Effect::Send { from, to, message });
        Some(watch.observer)
    }

    /// A ping had its time. Pings go on even to an agent that is being marked: should the mark not come to be,
    /// the next one counts. Source: `SlaveObserver::timeout`, 1.11.
    pub(super) fn ping_due(&mut self, id: &AgentId, number: u64, now: Time, out: &mut Effects) {
        let most = self.flags.max_agent_ping_timeouts;
        let Some(watch) = self.watches.get_mut(id).filter(|watch| watch.observer == number) else { return };
        if watch.pinged {
            watch.timeouts += 1;
            if watch.timeouts >= most {
                self.mark_unreachable(id, Cause::Silence { observer: number }, now, out);
            }
        }
        self.ping(id, now, out);
    }

    /// A message to `slave-observer(N)`: only the pong of its agent is one.
    pub(super) fn observed(&mut self, from: &Upid, peer: SocketAddr, to: &str, message: &Message) {
        let number = to.strip_prefix(OBSERVER).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        let agent = number.and_then(|number| self.agent_by_observer(number.parse().ok()?)).cloned();
        let is_pong = matches!(message, Message::PongAgent(_));
        let Some(id) = agent.filter(|id| is_pong && is_believed(from, peer) && self.is_from_agent(from, id))
        else {
            return self.drop_message(from, message.name(), "it is no pong of a registered agent");
        };
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.timeouts = 0;
            watch.pinged = false;
            if std::mem::take(&mut watch.marking) {
                self.cancel_silence(&id);
            }
        }
    }

    /// The link to this address broke. Its agents get no offers until they come back, which they do when a ping
    /// tells them that they are disconnected.
    ///
    /// Their tasks stay, also those of frameworks that do not checkpoint: Mesos declares those lost here although
    /// most of them run on (MESOS-7911); if the agent restarted without them, it says so when it is back.
    pub(super) fn agents_exited(&mut self, address: SocketAddr, now: Time, out: &mut Effects) {
        for id in self.agents_at(address) {
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.left = true;
            }
            if self.cluster.agent(&id).is_some_and(|agent| agent.connected) {
                tracing::info!(agent = %id, %address, "agent disconnected");
                self.agent_disconnected(&id, now, out);
            }
        }
    }

    fn agent_disconnected(&mut self, id: &AgentId, now: Time, out: &mut Effects) {
        self.deactivate_agent(id, out);
        if let Some(agent) = self.agent_mut(id) {
            agent.connected = false;
        }
        let Some(watch) = self.watches.get_mut(id) else { return };
        watch.disconnections += 1;
        let timer = Timer::Reregister { agent: id.clone(), number: watch.disconnections };
        out.push(Effect::Wake { at: now + self.flags.agent_reregister_timeout, timer });
    }

    /// At the address of a connected agent another process registered, or this one once did and the words are old.
    /// Whoever is there is told that it is disconnected, so that it comes back with what it has.
    ///
    /// Mesos gives the new process the old one's id and goes on believing in the old one's tasks, until the link to it
    /// breaks; which it does not for a master that was held up and has linked to the new process only.
    pub(super) fn doubt_agent(&mut self, id: &AgentId, version: Option<Uuid>, now: Time, out: &mut Effects) {
        self.agent_disconnected(id, now, out);
        if let Some(watch) = self.watches.get_mut(id) {
            watch.resource_version = version;
            // It counts anew.
            watch.attempt = None;
        }
        self.send_ping(id, out);
    }

    fn deactivate_agent(&mut self, id: &AgentId, out: &mut Effects) {
        let Some(agent) = self.agent_mut(id) else { return };
        agent.active = false;
        let offers = agent.offers.clone();
        out.push(Effect::Alloc(alloc::Call::DeactivateAgent { id: id.clone() }));
        for offer in offers {
            self.rescind(&offer, out);
        }
    }

    /// A disconnected agent had `--agent_reregister_timeout` to come back; it may answer pings and still hang.
    pub(super) fn reregister_late(&mut self, id: &AgentId, number: u64, now: Time, out: &mut Effects) {
        let cause = Cause::Disconnection { number };
        if self.still_applies(id, cause) {
            self.mark_unreachable(id, cause, now, out);
        }
    }

    /// Agents of the registry had their time to come back to a new leader. If too many did not, it is this master
    /// that may be wrong, or its network: it ends, and an operator looks.
    ///
    /// Source: `Master::recoveredSlavesTimeout`, 1.11.
    pub(super) fn recovery_over(&mut self, now: Time, out: &mut Effects) {
        let (late, expected) = (self.cluster.recovered.len(), self.expected.max(1));
        let (part, limit) = (late as f64 / expected as f64, self.flags.recovery_agent_removal_limit);
        if part > limit {
            let time = duration::format(self.flags.agent_reregister_timeout);
            return out.push(Effect::Exit(format!(
                "Post-recovery agent removal limit exceeded! After {time} there were {late} ({}%) agents \
                 recovered from the registry that did not reregister. The configured removal limit is {}%. \
                 Please investigate or increase this limit to proceed further",
                part * 100.0,
                limit * 100.0,
            )));
        }
        let late: Vec<AgentId> = self.cluster.recovered.keys().cloned().collect();
        for id in late {
            if self.still_applies(&id, Cause::Failover) {
                self.mark_unreachable(&id, Cause::Failover, now, out);
            }
        }
    }

    /// Source: `Master::markUnreachable`, 1.11.
    pub(super) fn begin_unreachable(&mut self, id: &AgentId, why: &str, now: Time, out: &mut Effects) {
        if let Some(changing) = self.changing.get(id) {
            tracing::warn!(agent = %id, ?changing, "not marking agent unreachable, another change of it is stored");
            self.count("slave_unreachable_canceled");
            return;
        }
        tracing::info!(agent = %id, why, "marking agent unreachable");
        self.count("slave_unreachable_completed");
        self.changing.insert(id.clone(), Changing::Unreachable);
        out.push(Effect::Store {
            operation: Operation::MarkUnreachable { agent: id.clone(), at: now },
            then: Then::Unreachable { agent: id.clone(), at: now, why: why.to_owned() },
        });
    }

    /// `begin_unreachable` goes on here: the registry has the mark.
    pub(super) fn unreachable(&mut self, id: &AgentId, at: Time, why: &str, now: Time, out: &mut Effects) {
        self.changing.remove(id);
        self.count("slave_removals");
        self.count("slave_removals/reason_unhealthy");
        self.cluster.unreachable.insert(id.clone(), at);
        tracing::info!(agent = %id, why, "marked agent unreachable");
        if self.cluster.recovered.remove(id).is_some() {
            self.count("recovery_slave_removals");
            self.tell_lost(id, out);
        } else {
            self.lose_agent(id, End::Unreachable(at), why, now, out);
        }
    }

    /// An operator says that an agent will never be back. Source: `Http::_markAgentGone`, 1.11.
    pub(super) fn mark_gone(&mut self, reply: ReplyId, id: AgentId, now: Time, out: &mut Effects) {
        let cluster = &self.cluster;
        let busy = self.changing.get(&id).map(|changing| match changing {
            Changing::Gone => format!("Agent '{id}' is already being transitioned to gone"),
            Changing::Removing => format!("Agent '{id}' is being transitioned to removed"),
            Changing::Unreachable => format!("Agent '{id}' is being transitioned to unreachable"),
            Changing::Reregistering => format!("Agent '{id}' is reregistering"),
        });
        let known = cluster.agents.contains_key(&id)
            || cluster.recovered.contains_key(&id)
            || cluster.unreachable.contains_key(&id);
        let answer = match busy {
            _ if cluster.gone.contains_key(&id) => Answer::Ok,
            Some(why) => Answer::Unavailable(why),
            None if !known => Answer::NotFound(format!("Agent '{id}' not found")),
            None => {
                self.changing.insert(id.clone(), Changing::Gone);
                out.push(Effect::Store {
                    operation: Operation::MarkGone { agent: id.clone(), at: now },
                    then: Then::Gone { agent: id, at: now, reply },
                });
                return;
            }
        };
        out.push(Effect::Reply { reply, answer });
    }

    /// `mark_gone` goes on here. Source: `Master::markGone`, 1.11.
    pub(super) fn gone(&mut self, id: &AgentId, at: Time, reply: ReplyId, now: Time, out: &mut Effects) {
        self.changing.remove(id);
        self.cluster.gone.insert(id.clone(), at);
        self.cluster.recovered.remove(id);
        self.cluster.unreachable.remove(id);
        if self.cluster.agents.contains_key(id) {
            self.send_agent(id, ShutdownMessage { message: Some(GONE.to_owned()) }, out);
            self.lose_agent(id, End::Gone, GONE, now, out);
        } else {
            self.end_unreachable_tasks(id, now, out);
        }
        out.push(Effect::Reply { reply, answer: Answer::Ok });
    }

    /// Tasks that were unreachable with an agent are gone with it.
    fn end_unreachable_tasks(&mut self, id: &AgentId, now: Time, out: &mut Effects) {
        for (owner, task) in self.unreachable_on(id) {
            let Some(task) = self.take_unreachable_task(&owner, &task) else { continue };
            let Some(framework) = self.cluster.framework(&owner) else { continue };
            let (state, reason) = if framework.is_partition_aware() {
                (TaskState::TaskGoneByOperator, task_status::Reason::AgentRemovedByOperator)
            } else {
                (TaskState::TaskLost, task_status::Reason::AgentRemoved)
            };
            let mut task = Arc::unwrap_or_clone(task);
            let status = status_of(&task, state, reason, GONE, now);
            let is_news = task.note(&status, state);
            self.note_status(&owner, &task.agent, &status, task.state, is_news);
            self.complete_task(Arc::new(task));
            self.tell_status(&owner, status, out);
        }
    }

    /// Forgets unreachable and gone agents beyond `--registry_max_agent_count` and `--registry_max_agent_age`.
    /// Source: `Master::doRegistryGc`, 1.11.
    pub(super) fn prune(&mut self, now: Time, out: &mut Effects) {
        out.push(Effect::Wake { at: now + self.flags.registry_gc_interval, timer: Timer::Prune });
        let (most, age) = (self.flags.registry_max_agent_count as usize, self.flags.registry_max_agent_age);
        let old = |agents: &imbl::OrdMap<AgentId, Time>| -> Vec<AgentId> {
            let mut by_time: Vec<_> = agents.iter().map(|(id, at)| (*at, id)).collect();
            by_time.sort();
            let excess = by_time.len().saturating_sub(most);
            let is_old =
                |(index, (at, _)): &(usize, (Time, &AgentId))| *index < excess || now.since(*at) > age;
            by_time.into_iter().enumerate().filter(is_old).map(|(_, (_, id))| id.clone()).collect()
        };
        let unreachable: Vec<AgentId> =
            old(&self.cluster.unreachable).into_iter().filter(|id| !self.changing.contains_key(id)).collect();
        let gone = old(&self.cluster.gone);
        if unreachable.is_empty() && gone.is_empty() {
            return;
        }
        out.push(Effect::Store {
            operation: Operation::Prune { unreachable: unreachable.clone(), gone: gone.clone() },
            then: Then::Pruned { unreachable, gone },
        });
    }

    /// `prune` goes on here. Tasks of forgotten agents are unknown from now on.
    pub(super) fn pruned(&mut self, unreachable: &[AgentId], gone: &[AgentId]) {
        for id in unreachable {
            if self.cluster.unreachable.remove(id).is_some() {
                for (framework, task) in self.unreachable_on(id) {
                    self.take_unreachable_task(&framework, &task);
                }
            }
        }
        for id in gone {
            self.cluster.gone.remove(id);
        }
        tracing::info!(unreachable = unreachable.len(), gone = gone.len(), "forgot agents of the registry");
    }
}

/// When to ping next: up to a hundredth late, and at most 100 ms, so that the pings of thousands of agents leave in
/// bursts and the master sleeps in between. Each waking of a sleeping thread costs more than a ping.
fn ping_after(now: Time, timeout: Duration) -> Time {
    let grid = (timeout / 100).clamp(Duration::from_nanos(1), Duration::from_millis(100));
    let at = now + timeout;
    Time(at.0.next_multiple_of(u64::from(grid.subsec_nanos())))
}
