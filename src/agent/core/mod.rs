//! The agent, as a function of (state, event, now) that gives effects.
//!
//! Absent on purpose: sockets, clocks, disks, processes. `handle` routes an event to the file that owns it
//! and does nothing else. Start at `registration.rs`; a task then goes through `tasks.rs`, `executors.rs`
//! and `statuses.rs`.

mod allowed;
mod calls;
mod checkpoint;
mod command;
mod environment;
mod executors;
mod frameworks;
pub mod invariants;
mod messages;
mod reconfiguration;
mod recovery;
mod registration;
pub mod state;
mod statuses;
mod subscribe;
mod tasks;
#[cfg(test)]
mod tests;
mod v0;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::agent::checkpoint::Fact;
use crate::agent::containerizer::isolators::limits::Allowed;
use crate::agent::containerizer::{Launch, Report, Survivor};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::message::Message;
use crate::proto::{ContainerId, FrameworkId, TaskId, executor};
pub use checkpoint::Then;
pub use recovery::{Recovered, Refused};
pub use registration::CAPABILITIES;
pub use state::State;
pub use tasks::describe;

/// An executor's event stream over HTTP; the shell makes it up.
pub type StreamId = Arc<str>;

/// A request that waits for its answer; the shell keeps the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// The master that leads, as a detector reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub pid: Upid,
    /// Shown in `/state`; empty if the detector does not tell.
    pub hostname: String,
}

/// What happened. Everything the core learns comes in as one of these.
#[derive(Debug)]
pub enum Event {
    /// Who leads now; `None`: nobody.
    LeaderSeen(Option<Leader>),
    /// A libprocess message to this agent. `from` is what the sender claims; `peer` is where its connection
    /// comes from, the only thing it cannot forge.
    Message {
        from: Upid,
        peer: SocketAddr,
        message: Box<Message>,
    },
    /// A linked address went away: its connection ended or could not be opened.
    Exited(SocketAddr),
    /// SUBSCRIBE of an executor over HTTP. The shell has made the stream; the core accepts or refuses by
    /// `Effect::Reply`.
    Subscribe {
        reply: ReplyId,
        stream: StreamId,
        call: Box<executor::Call>,
    },
    /// Any other v1 executor call.
    Call {
        reply: ReplyId,
        call: Box<executor::Call>,
    },
    /// The client of a stream is gone, or read too slowly.
    StreamClosed(StreamId),
    /// The containerizer's word on a container.
    Report(Report),
    /// The facts that went with this are durable.
    Saved(Then),
    Timer(Timer),
    /// The agent is to leave the cluster for good (SIGUSR1, or `mesos local` ends): it unregisters, its
    /// executors are destroyed, then it exits.
    Shutdown(String),
}

/// What the core wants to be woken for. Never cancelled: a handler recognises a stale one by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The connection to the leader ended: who leads now?
    Detect { number: u64 },
    /// The next registration attempt.
    Register { number: u64 },
    /// The master has not pinged for too long.
    Ping { number: u64 },
    /// `--executor_registration_timeout`, from the container's launch.
    ExecutorRegistration { container: ContainerId },
    /// `--executor_reregistration_timeout`, from the agent's start: who is not back is not waited for.
    ExecutorReregistration,
    /// A v0 executor that is not back is called once more.
    Reconnect { container: ContainerId },
    /// `--executor_shutdown_grace_period`, from the SHUTDOWN event.
    ExecutorShutdown { container: ContainerId },
    /// A status update went unacknowledged.
    Retry { framework: FrameworkId, task: TaskId, number: u64 },
    /// A HEARTBEAT to a subscribed executor is due.
    Heartbeat { stream: StreamId },
}

/// What the shell has to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// A libprocess message from this agent's own pid, over the link or a connection of its own.
    Send {
        to: Upid,
        message: Box<Message>,
    },
    /// Keep a connection to this address and tell when it ends.
    Link(SocketAddr),
    /// Ask the detector once more; the answer is `LeaderSeen`, also if nothing changed.
    Detect,
    /// An event on an executor's stream, encoded in the client's content type.
    Stream {
        stream: StreamId,
        event: Box<executor::Event>,
    },
    CloseStream(StreamId),
    /// The answer to a request.
    Reply {
        reply: ReplyId,
        answer: Answer,
    },
    /// Keep these facts, in the order of all such effects; `Saved` follows if it is waited for.
    Checkpoint {
        facts: Vec<Fact>,
        then: Option<Then>,
    },
    /// Find the containers of an earlier agent: their fates come back as `Report`s. Others are killed.
    Recover(Vec<Survivor>),
    /// Start a container; its fate comes back as `Report`s.
    Launch(Box<Launch>),
    /// A container may use this from now on.
    Update {
        container: ContainerId,
        allowed: Allowed,
    },
    /// Kill everything in a container; `Report::Terminated` follows.
    Destroy(ContainerId),
    /// What is in this folder has ended: it is to be removed some time.
    Collect(PathBuf),
    Wake {
        at: Time,
        timer: Timer,
    },
    /// The agent process must end, with this sentence.
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
    /// 400: the request means nothing, with the sentence.
    BadRequest(String),
    /// 403.
    Forbidden(String),
    /// 501: known, and not yet here.
    NotImplemented(String),
    /// 503: try again later.
    Unavailable(String),
}

impl State {
    /// The one way in. Calls are made in the order of events, with a `now` that never goes back.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Effects) {
        match event {
            Event::LeaderSeen(leader) => self.leader_seen(now, leader, out),
            Event::Message { from, peer, message } => self.message(now, &from, peer, *message, out),
            Event::Exited(address) => self.exited(now, address, out),
            Event::Subscribe { reply, stream, call } => self.subscribe(now, reply, stream, *call, out),
            Event::Call { reply, call } => self.call(now, reply, *call, out),
            Event::StreamClosed(stream) => self.stream_closed(&stream),
            Event::Report(report) => self.report(now, report, out),
            Event::Saved(then) => self.go_on(now, then, out),
            Event::Timer(timer) => self.timer(now, timer, out),
            Event::Shutdown(why) => self.leave(now, why, out),
        }
    }

    fn timer(&mut self, now: Time, timer: Timer, out: &mut Effects) {
        match timer {
            Timer::Detect { number } => self.detect_again(number, out),
            Timer::Register { number } => self.register(now, number, out),
            Timer::Ping { number } => self.ping_timeout(number, out),
            Timer::ExecutorRegistration { container } => self.registration_timeout(&container, out),
            Timer::ExecutorReregistration => self.reregistration_timeout(now, out),
            Timer::Reconnect { container } => self.reconnect_again(now, container, out),
            Timer::ExecutorShutdown { container } => self.shutdown_timeout(&container, out),
            Timer::Retry { framework, task, number } => self.retry(now, &framework, &task, number, out),
            Timer::Heartbeat { stream } => self.heartbeat(now, stream, out),
        }
    }
}
