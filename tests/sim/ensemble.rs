//! The ensemble that masters elect their leader through, as ZooKeeper and etcd are one to their clients: sessions that
//! end when nothing is heard of them, nodes that go with them, numbers that only grow, and watches that tell once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos::base::time::Time;
use mesos::coordination::member::{LABEL, Member};

/// Who has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voter {
    Master(usize),
    Agent(usize),
}

/// What is asked of it. Each may be asked again when its answer was lost.
#[derive(Clone, Debug)]
pub enum Ask {
    Open,
    /// Makes the node of this session, or finds it.
    Join(Vec<u8>),
    Read(Member),
    /// Who stands; tells once when that changes.
    List,
    /// Nothing but that we live.
    Beat,
    /// Takes the session's node away.
    Withdraw,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Opened(u64),
    /// There is no such session any more.
    Gone,
    Joined(Member),
    Data(Member, Option<Vec<u8>>),
    Members(Vec<Member>),
    Heard,
    Withdrawn,
}

pub struct Ensemble {
    /// Of every session.
    pub timeout: Duration,
    /// Without one nothing is answered, and no session ends.
    pub quorum: bool,
    /// Requests and answers take their time.
    pub slow: bool,
    sessions: BTreeMap<u64, Session>,
    nodes: BTreeMap<u64, Node>,
    watching: BTreeSet<u64>,
    next_session: u64,
    next_number: u64,
}

#[derive(Clone, Copy)]
pub struct Session {
    pub voter: Voter,
    /// Of the voter's process.
    pub life: u64,
    ends: Time,
}

struct Node {
    session: u64,
    data: Vec<u8>,
}

impl Ensemble {
    pub fn new(timeout: Duration) -> Ensemble {
        Ensemble {
            timeout,
            quorum: true,
            slow: false,
            sessions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            watching: BTreeSet::new(),
            next_session: 1,
            next_number: 0,
        }
    }

    pub fn has(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// A request has got here.
    pub fn answer(&mut self, now: Time, (voter, life, session): (Voter, u64, u64), ask: &Ask) -> Reply {
        if let Ask::Open = ask {
            let session = self.next_session;
            self.next_session += 1;
            self.sessions.insert(session, Session { voter, life, ends: now + self.timeout });
            return Reply::Opened(session);
        }
        match self.sessions.get_mut(&session) {
            Some(known) => known.ends = now + self.timeout,
            None => return Reply::Gone,
        }
        match ask {
            Ask::Open | Ask::Beat => Reply::Heard,
            Ask::Join(data) => Reply::Joined(self.join(session, data)),
            Ask::Read(member) => {
                let found = self.nodes.get(&member.number);
                Reply::Data(member.clone(), found.map(|node| node.data.clone()))
            }
            Ask::List => {
                self.watching.insert(session);
                Reply::Members(self.nodes.keys().map(|number| member(*number)).collect())
            }
            Ask::Withdraw => {
                self.nodes.retain(|_, node| node.session != session);
                Reply::Withdrawn
            }
        }
    }

    fn join(&mut self, session: u64, data: &[u8]) -> Member {
        if let Some((number, _)) = self.nodes.iter().find(|(_, node)| node.session == session) {
            return member(*number);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.nodes.insert(number, Node { session, data: data.to_vec() });
        member(number)
    }

    /// When a session has to be looked at; none: it is over.
    pub fn ends(&self, session: u64) -> Option<Time> {
        self.sessions.get(&session).map(|session| session.ends)
    }

    /// Ends a session whose time has come. Nobody's does as long as there is no quorum.
    pub fn look_at(&mut self, now: Time, session: u64) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        if !self.quorum {
            known.ends = now + self.timeout;
        } else if known.ends <= now {
            self.end(session);
        }
    }

    pub fn end(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.watching.remove(&session);
        self.nodes.retain(|_, node| node.session != session);
    }

    /// Somebody removes the node of one that stands behind others. (Who removes the leader's has deposed it, and
    /// it does not know yet.)
    pub fn remove_last(&mut self) {
        if self.nodes.len() > 1 {
            self.nodes.pop_last();
        }
    }

    /// What tells whether anything changed that watches tell of.
    pub fn numbers(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Who has to be told of a change, once.
    pub fn watchers(&mut self) -> Vec<(u64, Session)> {
        let watching = std::mem::take(&mut self.watching);
        let known = |session: u64| Some((session, *self.sessions.get(&session)?));
        watching.into_iter().filter_map(known).collect()
    }
}

fn member(number: u64) -> Member {
    Member { number, name: format!("{LABEL}{number:010}") }
}
