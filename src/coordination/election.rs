//! One who takes part in an election, or only looks on, as a state machine: what an ensemble tells goes in, what to
//! ask of it and what to tell others comes out.
//!
//! The rules: the member with the lowest number leads. A candidate's session counts as over once nothing that it
//! asked since `timeout` has been answered, whatever the ensemble says later; one that leads then ends for good. For
//! one that looks on, it counts from the moment the connection broke.
//!
//! Source: `GroupProcess`, `LeaderContenderProcess`, `LeaderDetectorProcess`, src/zookeeper 1.11. There a leader that
//! is paused acts until it has heard of its session's end.

use std::time::Duration;

use super::member::Member;
use crate::base::time::Time;
use crate::proto::MasterInfo;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new session began with a request sent at `asked`; it ends after `timeout` without another.
    Opened { asked: Time, timeout: Duration },
    /// Our node is there.
    Joined(Member),
    /// Who stands.
    Members(Vec<Member>),
    /// What a member's node holds; none if it is gone.
    Data(Member, Option<Vec<u8>>),
    /// A request that was sent at `asked` was answered, by those who end sessions.
    Heard { asked: Time },
    /// The connection is there, or there again.
    Connected,
    /// The connection broke; the session may live on.
    Disconnected,
    /// The session is over.
    Closed(String),
    /// The ensemble will not have us, and that will not change.
    Refused(String),
    /// The deadline has come.
    Woken,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make our node, or find the one that was made.
    Join,
    Read(Member),
    /// We may act until then, while we lead.
    Hold(Time),
    /// Begin a new session.
    Reopen,
    /// Tell who leads.
    Leader(Option<Box<MasterInfo>>),
    /// Tell that we lead, by this node.
    Elected(Member),
    /// Tell that we led, and why it is over.
    Lost(String),
    /// Tell that there is no hope.
    Failed(String),
}

#[derive(Debug)]
pub struct Election {
    candidate: bool,
    timeout: Duration,
    life: Life,
    /// The lowest first.
    members: Vec<Member>,
    own: Option<Member>,
    elected: bool,
    /// Whose data was asked for.
    asked: Option<Member>,
    /// Whether others were told of a leader.
    told: bool,
    /// It was told that we led, or that there is no hope.
    over: bool,
}

/// How sure it is that the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Connected,
    Until(Time),
    Unknown,
}

impl Election {
    /// One who stands, or only looks on.
    pub fn new(candidate: bool) -> Election {
        Election {
            candidate,
            timeout: Duration::ZERO,
            life: Life::Unknown,
            members: Vec::new(),
            own: None,
            elected: false,
            asked: None,
            told: false,
            over: false,
        }
    }

    /// When `Woken` is due.
    pub fn deadline(&self) -> Option<Time> {
        match self.life {
            Life::Until(time) if !self.over => Some(time),
            _ => None,
        }
    }

    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.life = Life::Unknown;
            self.lose("nothing was heard of its session in time", &mut out);
        }
        if self.over {
            return out;
        }
        match event {
            Event::Opened { asked, timeout } => self.opened(asked, timeout, &mut out),
            Event::Joined(member) => {
                self.own = Some(member);
                self.settle(&mut out);
            }
            Event::Members(members) => self.stand(members, &mut out),
            Event::Data(member, data) => self.fetched(&member, data, &mut out),
            Event::Heard { asked } => self.heard(now, asked, &mut out),
            Event::Connected if !self.candidate => {
                self.life = Life::Connected;
                self.settle(&mut out);
            }
            Event::Disconnected if !self.candidate && self.life == Life::Connected => {
                self.life = Life::Until(now + self.timeout);
            }
            Event::Connected | Event::Disconnected | Event::Woken => {}
            Event::Closed(why) => {
                self.lose(&why, &mut out);
                self.forget();
                if !self.over {
                    out.push(Effect::Reopen);
                }
            }
            Event::Refused(why) => {
                self.over = true;
                out.push(Effect::Failed(why));
            }
        }
        out
    }

    fn opened(&mut self, asked: Time, timeout: Duration, out: &mut Vec<Effect>) {
        self.forget();
        self.timeout = timeout;
        if self.candidate {
            self.life = Life::Until(asked + timeout);
            out.push(Effect::Join);
        } else {
            self.life = Life::Connected;
        }
    }

    fn forget(&mut self) {
        self.life = Life::Unknown;
        self.members.clear();
        self.own = None;
        self.asked = None;
    }

    /// What was asked before a pause may be answered after it; then it proves nothing.
    fn heard(&mut self, now: Time, asked: Time, out: &mut Vec<Effect>) {
        let until = asked + self.timeout;
        let known = self.deadline().unwrap_or_default();
        if !self.candidate || until <= now || until <= known {
            return;
        }
        self.life = Life::Until(until);
        if self.elected {
            out.push(Effect::Hold(until));
        } else {
            self.settle(out);
        }
    }

    fn stand(&mut self, mut members: Vec<Member>, out: &mut Vec<Effect>) {
        members.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
        self.members = members;
        if self.own.as_ref().is_some_and(|own| !self.members.contains(own)) {
            if self.elected {
                return self.lose("its node was removed", out);
            }
            self.own = None;
            out.push(Effect::Join);
        }
        self.settle(out);
    }

    /// Acts on who has the lowest number.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        if self.over || self.life == Life::Unknown {
            return;
        }
        let Some(lowest) = self.members.first() else {
            self.asked = None;
            return self.tell_nobody(out);
        };
        if self.own.as_ref() == Some(lowest) {
            if !self.elected {
                self.elected = true;
                self.asked = None;
                self.told = false;
                out.extend(self.deadline().map(Effect::Hold));
                out.push(Effect::Elected(lowest.clone()));
            }
            return;
        }
        if self.elected {
            return self.lose("another master stands before it", out);
        }
        if self.asked.as_ref() != Some(lowest) {
            self.asked = Some(lowest.clone());
            out.push(Effect::Read(lowest.clone()));
        }
    }

    fn fetched(&mut self, member: &Member, data: Option<Vec<u8>>, out: &mut Vec<Effect>) {
        if self.asked.as_ref() != Some(member) || self.elected {
            return;
        }
        match data.map(|data| member.read(&data)) {
            Some(Ok(info)) => {
                self.told = true;
                out.push(Effect::Leader(Some(Box::new(info))));
            }
            Some(Err(why)) => {
                tracing::warn!(node = member.name, why, "the leading master's node cannot be read");
                self.tell_nobody(out);
            }
            // Who stands now is on its way.
            None => self.tell_nobody(out),
        }
    }

    fn tell_nobody(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.told) {
            out.push(Effect::Leader(None));
        }
    }

    /// We do not lead any more, or do not know who does.
    fn lose(&mut self, why: &str, out: &mut Vec<Effect>) {
        if self.elected {
            self.over = true;
            out.push(Effect::Lost(why.to_owned()));
        } else {
            self.asked = None;
            self.tell_nobody(out);
        }
    }
}

#[cfg(test)]
mod tests;
