//! The leading master, as a function of (state, event, now) that gives effects.
//!
//! Absent on purpose: sockets, clocks, disks. `handle` routes an event to the file that owns it and does
//! nothing else. Start at `agents.rs`.

mod accept;
mod agents;
mod authentication;
mod books;
mod drivers;
mod frameworks;
pub mod happenings;
pub mod invariants;
mod liveness;
pub(super) mod offers;
mod reconcile;
mod removal;
mod removal_rate;
mod reregister;
mod returning;
mod schedulers;
pub mod state;
mod tasks;
mod tell;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::alloc;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage};
use crate::proto::message::Message;
use crate::proto::{AgentId, AgentInfo, FrameworkId, OfferId, TaskId, scheduler};
use crate::registry;

pub use books::State;
pub use happenings::Happening;
pub use invariants::check;

/// A subscriber's event stream over HTTP; also the `Mesos-Stream-Id`.
pub type StreamId = Arc<str>;

/// A request that waits for its answer; the shell keeps the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// What happened. Everything the core learns comes in as one of these.
#[derive(Debug)]
pub enum Event {
    /// A libprocess message to `to` ("master", "slave-observer(7)"). `from` is what the sender claims;
    /// `peer` is where its connection comes from, the only thing it cannot forge.
    Message {
        from: Upid,
        peer: SocketAddr,
        to: Arc<str>,
        message: Box<Message>,
    },
    /// A linked address went away: its connection ended or could not be opened.
    Exited(SocketAddr),
    /// SUBSCRIBE over HTTP. The shell has made the stream; the core accepts or refuses by `Effect::Reply`.
    Subscribe {
        reply: ReplyId,
        stream: StreamId,
        call: Box<scheduler::Call>,
    },
    /// Any other v1 scheduler call, with the stream id the client sent.
    Call {
        reply: ReplyId,
        stream: Option<StreamId>,
        call: Box<scheduler::Call>,
    },
    /// The client of a stream is gone, or read too slowly.
    StreamClosed(StreamId),
    /// An operator's change.
    Operate {
        reply: ReplyId,
        operation: Operate,
    },
    /// Somebody follows what happens from now on; the answer says from when.
    Follow {
        reply: ReplyId,
    },
    /// One of those follows no more.
    Unfollow,
    /// The allocator's answer.
    Granted(Vec<alloc::Grant>),
    /// An operation on the registry is durable, or was refused as it changes nothing.
    Stored {
        then: Then,
        done: registry::Outcome,
    },
    /// `--whitelist`, read again. `None`: everybody.
    Whitelist(Option<std::collections::BTreeSet<String>>),
    Timer(Timer),
}

impl Event {
    /// Whether what views show may be another after it. Not so: what only passes through, and what is counted.
    pub fn may_show(&self) -> bool {
        match self {
            // Pings and what becomes of them are the watch's; an agent that fell silent goes by `Stored`.
            Event::Message { to, .. } => !to.starts_with(OBSERVER),
            Event::Timer(timer) => !timer.is_passing(),
            Event::Follow { .. } | Event::Unfollow | Event::Whitelist(_) => false,
            Event::Exited(_)
            | Event::Subscribe { .. }
            | Event::Call { .. }
            | Event::StreamClosed(_)
            | Event::Operate { .. }
            | Event::Granted(_)
            | Event::Stored { .. } => true,
        }
    }
}

/// What an operator asks for over `/teardown` and the like.
#[derive(Debug)]
pub enum Operate {
    Teardown(FrameworkId),
    Kill { framework: FrameworkId, task: TaskId },
    MarkAgentGone(AgentId),
}

/// Where a handler goes on once its write is durable.
#[derive(Clone, Debug)]
pub enum Then {
    Admitted {
        from: Upid,
        /// The agent as the registry has it.
        info: Arc<AgentInfo>,
        registration: Box<RegisterSlaveMessage>,
    },
    /// The agent was unreachable, unknown, or is back for the first time since this master leads.
    Readmitted {
        from: Upid,
        info: Arc<AgentInfo>,
        registration: Box<ReregisterSlaveMessage>,
    },
    /// A registered agent came back with another description.
    Updated {
        from: Upid,
        info: Arc<AgentInfo>,
        registration: Box<ReregisterSlaveMessage>,
    },
    Unreachable {
        agent: AgentId,
        at: Time,
        why: String,
    },
    Removed {
        agent: AgentId,
        why: String,
    },
    Gone {
        agent: AgentId,
        at: Time,
        reply: ReplyId,
    },
    Pruned {
        unreachable: Vec<AgentId>,
        gone: Vec<AgentId>,
    },
}

/// What the core wants to be woken for. Never cancelled: a handler recognises a stale one by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// `--allocation_interval`.
    Allocate,
    /// An agent's next ping is due, or its last one went unanswered.
    Ping { agent: AgentId, number: u64 },
    /// `--agent_reregister_timeout` of a disconnected agent.
    Reregister { agent: AgentId, number: u64 },
    /// `failover_timeout` of a disconnected framework.
    Failover { framework: FrameworkId, number: u64 },
    /// `--offer_timeout`.
    Offer(OfferId),
    /// A client takes too long to authenticate.
    Authentication(u64),
    /// A HEARTBEAT to a subscribed scheduler is due.
    Heartbeat { framework: FrameworkId, stream: StreamId },
    /// `--agent_removal_rate_limit`: the next agent may become unreachable.
    Removal,
    /// `--registry_gc_interval`.
    Prune,
    /// `--agent_reregister_timeout` after the election: agents of the registry that are not back are unreachable.
    Recovered,
}

impl Timer {
    fn is_passing(&self) -> bool {
        matches!(
            self,
            Timer::Allocate | Timer::Ping { .. } | Timer::Heartbeat { .. } | Timer::Prune | Timer::Removal
        )
    }
}

/// What the shell has to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// A libprocess message, from `from` (a receiver id of ours) over the link or a connection of its own.
    Send {
        from: Arc<str>,
        to: Upid,
        message: Box<Message>,
    },
    /// Keep a connection to this address and tell when it ends.
    Link(SocketAddr),
    /// An event on a v1 stream. The shell encodes it once per stream, in the client's content type.
    Stream {
        stream: StreamId,
        event: Box<scheduler::Event>,
    },
    CloseStream(StreamId),
    /// The answer to a request.
    Reply {
        reply: ReplyId,
        answer: Answer,
    },
    Store {
        operation: registry::Operation,
        then: Then,
    },
    Alloc(alloc::Call),
    /// For those who follow what happens. There is none of it as long as nobody does.
    Publish(Box<Happening>),
    Wake {
        at: Time,
        timer: Timer,
    },
    /// This master must not go on.
    Exit(String),
}

pub type Effects = Vec<Effect>;

/// What a client is told of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 and the stream follows (SUBSCRIBE).
    Subscribed,
    /// 202: the call was taken.
    Accepted,
    /// 200 with nothing to say.
    Ok,
    /// 400: the request means nothing, with the sentence.
    BadRequest(String),
    /// 403.
    Forbidden(String),
    /// 404.
    NotFound(String),
    /// 501: known, and not yet here.
    NotImplemented(String),
    /// 503: not now, ask again.
    Unavailable(String),
}

/// The one way in: what happened, and what is to be done about it.
pub fn handle(state: &mut State, event: Event, now: Time, out: &mut Effects) {
    match event {
        Event::Message { from, peer, to, message } => {
            if to.starts_with(OBSERVER) {
                state.observed(&from, peer, &to, &message);
            } else if to.starts_with(SESSION) {
                state.authentication(&from, peer, &to, &message, now, out);
            } else {
                state.message(from, peer, *message, now, out);
            }
        }
        Event::Exited(address) => {
            state.agents_exited(address, now, out);
            state.drivers_exited(address, now, out);
        }
        Event::Subscribe { reply, stream, call } => state.subscribe_stream(reply, stream, *call, now, out),
        Event::Call { reply, stream, call } => state.stream_call(reply, stream, *call, now, out),
        Event::StreamClosed(stream) => state.stream_closed(&stream, now, out),
        Event::Operate { reply, operation: Operate::Teardown(framework) } => {
            state.operator_teardown(reply, &framework, now, out);
        }
        Event::Operate { reply, operation: Operate::Kill { framework, task } } => {
            state.operator_kill(reply, &framework, task, out);
        }
        Event::Operate { reply, operation: Operate::MarkAgentGone(agent) } => {
            state.mark_gone(reply, agent, now, out);
        }
        Event::Follow { reply } => state.follow(reply, out),
        Event::Unfollow => state.unfollow(),
        Event::Granted(grants) => state.granted(grants, now, out),
        Event::Stored { then, done } => stored(state, then, done, now, out),
        Event::Whitelist(hosts) => out.push(Effect::Alloc(alloc::Call::Whitelist(hosts))),
        Event::Timer(timer) => woken(state, timer, now, out),
    }
    state.publish(out);
}

fn stored(state: &mut State, then: Then, done: registry::Outcome, now: Time, out: &mut Effects) {
    match then {
        Then::Admitted { from, info, registration } => {
            state.admitted(from, info, *registration, done, now, out);
        }
        Then::Readmitted { from, info, registration } => {
            state.returned(false, (from, info), *registration, now, out);
        }
        Then::Updated { from, info, registration } => {
            state.returned(true, (from, info), *registration, now, out);
        }
        Then::Unreachable { agent, at, why } => state.unreachable(&agent, at, &why, now, out),
        Then::Removed { agent, why } => state.removed(&agent, &why, now, out),
        Then::Gone { agent, at, reply } => state.gone(&agent, at, reply, now, out),
        Then::Pruned { unreachable, gone } => state.pruned(&unreachable, &gone),
    }
}

fn woken(state: &mut State, timer: Timer, now: Time, out: &mut Effects) {
    match timer {
        Timer::Allocate => {
            out.push(Effect::Alloc(alloc::Call::Tick));
            out.push(Effect::Wake { at: now + state.flags.allocation_interval, timer: Timer::Allocate });
        }
        Timer::Ping { agent, number } => state.ping_due(&agent, number, now, out),
        Timer::Reregister { agent, number } => state.reregister_late(&agent, number, now, out),
        Timer::Failover { framework, number } => state.failover_late(&framework, number, now, out),
        Timer::Authentication(number) => state.authentication_late(number),
        Timer::Offer(offer) => state.rescind(&offer, out),
        Timer::Heartbeat { framework, stream } => state.heartbeat(framework, stream, now, out),
        Timer::Prune => state.prune(now, out),
        Timer::Removal => state.removal_due(now, out),
        Timer::Recovered => state.recovery_over(now, out),
    }
}

/// Receivers that pongs go to, before their number in parentheses.
const OBSERVER: &str = "slave-observer";

/// Receivers that clients which authenticate answer to, before their number in parentheses.
const SESSION: &str = "crammd5-authenticator-session";
