//! The drivers that frameworks and executors written on libmesos have, as functions of (state, event, now) that
//! give effects.
//!
//! A driver has two sides. What its user calls are methods of the core, each of which gives the driver's status;
//! what it hears are events, and what it tells its user are effects, [`Effect::Tell`]. Absent on purpose: sockets,
//! threads, clocks, and waiting. Start at `scheduler.rs`.
//!
//! Source: sched/sched.cpp and exec/exec.cpp 1.11.

pub mod executor;
pub mod scheduler;
mod subscription;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::Message;

/// Where a driver is in its life; the numbers are those of `mesos.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    NotStarted = 1,
    Running = 2,
    Aborted = 3,
    Stopped = 4,
}

impl Status {
    /// What starting gives, and whether there is something to start.
    fn start(&mut self) -> bool {
        let starts = *self == Status::NotStarted;
        if starts {
            *self = Status::Running;
        }
        starts
    }

    /// What stopping gives: an aborted driver stops too, and says once more that it was aborted. None if there is
    /// nothing to stop.
    fn stop(&mut self) -> Option<Status> {
        let was = *self;
        match was {
            Status::Running => *self = Status::Stopped,
            Status::Aborted => {
                *self = Status::Stopped;
                return Some(Status::Aborted);
            }
            Status::NotStarted | Status::Stopped => return None,
        }
        Some(Status::Stopped)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another master leads, or none that is known.
    LeaderSeen(Option<Upid>),
    /// Nobody will ever tell who leads.
    NoDetection(String),
    /// `from` is none if the sender's own word was no address.
    Received {
        from: Option<Upid>,
        message: Box<Message>,
    },
    /// A linked connection is gone.
    Exited(SocketAddr),
    Timer(Timer),
}

/// What a core wants to be woken for. Never cancelled: a stale one is known by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// SUBSCRIBE has to be repeated; the next pause is at most `backoff`.
    Subscribe { attempt: u64, backoff: Duration },
    /// An authentication took too long; the next one may take `patience`.
    Authenticate { attempt: u64, patience: Duration },
    /// The agent has been away for too long.
    Recovery { connection: u64 },
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<Callback> {
    Send {
        from: Upid,
        to: Upid,
        message: Message,
    },
    /// Keep a connection to this address; `Exited` tells of its end.
    Link(SocketAddr),
    /// The same on a new socket: the old one may be half open.
    Relink(SocketAddr),
    Wake {
        at: Time,
        timer: Timer,
    },
    /// To the user, after what was told before it; then the core's `told`.
    Tell(Callback),
    /// After this time the whole process group of this process is killed, whatever else happens.
    KillGroup {
        after: Duration,
    },
}

pub type Effects<Callback> = Vec<Effect<Callback>>;

/// Either of the drivers, for the loop that runs it.
pub trait Core {
    type Callback;

    fn handle(&mut self, now: Time, event: Event, out: &mut Effects<Self::Callback>);

    /// Whether this is still to be told: a driver that ended falls silent, though it may say why it ended.
    fn tells(&self, callback: &Self::Callback) -> bool;

    /// The user has been told, and came back.
    fn told(&mut self, callback: &Self::Callback, out: &mut Effects<Self::Callback>);

    /// Stops without a word to anybody, as after an exception out of a callback.
    fn abort(&mut self, out: &mut Effects<Self::Callback>) -> Status;

    fn status(&self) -> Status;
}
