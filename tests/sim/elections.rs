//! Elections: the core that decides, for each master that stands and each agent that looks on, and what becomes of
//! its effects. It does what `zookeeper.rs` and `etcd.rs` of the product do: asks until it is answered.

use std::time::Duration;

use mesos::agent::core as agent_core;
use mesos::base::time::Time;
use mesos::coordination::election::{Effect, Election, Event};
use mesos::coordination::lease::Lease;
use mesos::coordination::member;

use crate::ensemble::{Ask, Reply, Voter};
use crate::net::Node;
use crate::setup;
use crate::world::{Item, World, master_at};

/// One who stands or looks on, in one life of its process.
pub struct Stand {
    election: Election,
    /// None while one is being opened.
    session: Option<u64>,
    /// Until when a leader may act.
    pub lease: Lease,
    /// The number of the node by which it leads.
    pub term: Option<u64>,
    connected: bool,
    /// Who stands is being asked for, and something has changed since.
    listing: bool,
    changed: bool,
    /// Who leads, as was told last.
    told: Option<usize>,
    /// When it will be woken at the latest.
    woken: Option<Time>,
}

impl Stand {
    fn new(candidate: bool) -> Stand {
        Stand {
            election: Election::new(candidate),
            session: None,
            lease: Lease::lapsed(),
            term: None,
            connected: false,
            listing: false,
            changed: false,
            told: None,
            woken: None,
        }
    }

    pub fn session(&self) -> Option<u64> {
        self.session
    }
}

/// A step of somebody's way to the ensemble and back.
pub enum Step {
    /// The voter sends it.
    Ask(Ask),
    /// It gets there.
    Arrive {
        asked: Time,
        ask: Ask,
    },
    /// The answer gets back.
    Answer {
        asked: Time,
        ask: Ask,
        reply: Reply,
    },
    /// A watch tells that others stand.
    Changed,
    Wake,
}

impl Step {
    /// It is on its way, or at the ensemble.
    pub fn is_on_its_way(&self) -> bool {
        matches!(self, Step::Arrive { .. })
    }
}

impl World {
    pub fn stand(&mut self, voter: Voter) {
        let candidate = matches!(voter, Voter::Master(_));
        *self.place(voter) = Some(Stand::new(candidate));
        self.ask(voter, 0, 20, Ask::Open);
    }

    fn place(&mut self, voter: Voter) -> &mut Option<Stand> {
        match voter {
            Voter::Master(index) => &mut self.masters[index].stand,
            Voter::Agent(index) => &mut self.agents[index].stand,
        }
    }

    fn life_of(&self, voter: Voter) -> u64 {
        match voter {
            Voter::Master(index) => self.masters[index].life,
            Voter::Agent(index) => self.agents[index].life,
        }
    }

    /// Whether something can pass between it and the ensemble now.
    pub fn reaches_ensemble(&self, voter: Voter) -> bool {
        let node = match voter {
            Voter::Master(index) => Node::Master(index),
            Voter::Agent(index) => Node::Agent(index),
        };
        !self.net.is_cut(node, Node::Ensemble) && self.ensemble.as_ref().is_some_and(|it| it.quorum)
    }

    fn ask(&mut self, voter: Voter, from_ms: u64, to_ms: u64, ask: Ask) {
        let life = self.life_of(voter);
        let session = self.place(voter).as_ref().and_then(|stand| stand.session);
        self.put(from_ms, to_ms, Item::Election { voter, life, session, step: Step::Ask(ask) });
    }

    fn takes(&mut self) -> Duration {
        let slow = self.ensemble.as_ref().is_some_and(|it| it.slow);
        if slow { self.net.millis(100, 6000) } else { self.net.millis(0, 20) }
    }

    pub fn election_step(&mut self, voter: Voter, life: u64, session: Option<u64>, step: Step) {
        if let Step::Arrive { asked, ask } = step {
            return self.arrives(voter, life, session, asked, ask);
        }
        // What an older process or session asked is of no interest any more.
        if self.life_of(voter) != life || self.place(voter).as_ref().is_none_or(|it| it.session != session) {
            return;
        }
        match step {
            Step::Ask(ask) if !self.reaches_ensemble(voter) => {
                self.lost_touch(voter);
                self.ask(voter, 100, 1500, ask);
            }
            Step::Ask(ask) => {
                let at = self.now + self.takes();
                let step = Step::Arrive { asked: self.now, ask };
                self.agenda.put(at, Item::Election { voter, life, session, step });
            }
            Step::Answer { ask, .. } if !self.reaches_ensemble(voter) => {
                self.lost_touch(voter);
                self.ask(voter, 100, 1500, ask);
            }
            Step::Answer { asked, reply, .. } => self.replied(voter, asked, reply),
            Step::Changed => self.list(voter),
            Step::Wake => self.feed(voter, Event::Woken),
            Step::Arrive { .. } => {}
        }
    }

    /// One list after the other, as an answer that is overtaken by a later one would be believed.
    fn list(&mut self, voter: Voter) {
        let stand = self.place(voter).as_mut().expect("it listens");
        if std::mem::replace(&mut stand.listing, true) {
            stand.changed = true;
        } else {
            self.ask(voter, 0, 1, Ask::List);
        }
    }

    fn lost_touch(&mut self, voter: Voter) {
        let stand = self.place(voter).as_mut().expect("it asked");
        if std::mem::replace(&mut stand.connected, false) {
            self.feed(voter, Event::Disconnected);
        }
    }

    fn arrives(&mut self, voter: Voter, life: u64, session: Option<u64>, asked: Time, ask: Ask) {
        if !self.reaches_ensemble(voter) {
            return self.put(100, 2000, Item::Election { voter, life, session, step: Step::Ask(ask) });
        }
        let now = self.now;
        let who = (voter, life, session.unwrap_or_default());
        let reply = self.changing_nodes(|ensemble| ensemble.answer(now, who, &ask));
        if let Reply::Opened(session) = reply {
            self.agenda.put(now, Item::SessionEnds { session });
        }
        let at = now + self.takes();
        self.agenda
            .put(at, Item::Election { voter, life, session, step: Step::Answer { asked, ask, reply } });
    }

    /// Lets watches know if something changes in the ensemble.
    pub fn changing_nodes<T>(&mut self, change: impl FnOnce(&mut crate::ensemble::Ensemble) -> T) -> T {
        let ensemble = self.ensemble.as_mut().expect("masters are elected");
        let before = ensemble.numbers();
        let value = change(ensemble);
        if ensemble.numbers() != before {
            for (session, told) in ensemble.watchers() {
                let at = self.now + self.takes();
                let (voter, life) = (told.voter, told.life);
                let session = Some(session);
                self.agenda.put(at, Item::Election { voter, life, session, step: Step::Changed });
            }
        }
        value
    }

    pub fn session_ends(&mut self, session: u64) {
        let now = self.now;
        self.changing_nodes(|ensemble| ensemble.look_at(now, session));
        let ends = self.ensemble.as_ref().and_then(|ensemble| ensemble.ends(session));
        match ends {
            Some(at) => self.agenda.put(at, Item::SessionEnds { session }),
            None => self.count("sessions ended"),
        }
    }

    fn replied(&mut self, voter: Voter, asked: Time, reply: Reply) {
        let timeout = self.ensemble.as_ref().expect("it answered").timeout;
        let stand = self.place(voter).as_mut().expect("it asked");
        match reply {
            Reply::Opened(session) => {
                stand.session = Some(session);
                stand.connected = true;
                (stand.listing, stand.changed) = (false, false);
                self.feed(voter, Event::Opened { asked, timeout });
                self.list(voter);
                self.ask(voter, 0, 1, Ask::Beat);
            }
            Reply::Gone => self.feed(voter, Event::Closed("its session expired".to_owned())),
            Reply::Joined(member) => self.feed(voter, Event::Joined(member)),
            Reply::Data(member, data) => self.feed(voter, Event::Data(member, data)),
            Reply::Members(members) => {
                stand.listing = false;
                let again = std::mem::take(&mut stand.changed);
                self.feed(voter, Event::Members(members));
                if again && self.place(voter).is_some() {
                    self.list(voter);
                }
            }
            Reply::Heard => {
                if !std::mem::replace(&mut stand.connected, true) {
                    self.feed(voter, Event::Connected);
                }
                self.feed(voter, Event::Heard { asked });
                let parts = if matches!(voter, Voter::Master(_)) { 5 } else { 3 };
                let at = (asked + timeout / parts).max(self.now);
                let life = self.life_of(voter);
                let session = self.place(voter).as_ref().and_then(|stand| stand.session);
                self.agenda.put(at, Item::Election { voter, life, session, step: Step::Ask(Ask::Beat) });
            }
            Reply::Withdrawn => {}
        }
    }

    fn feed(&mut self, voter: Voter, event: Event) {
        self.note(|| format!("{voter:?} <- {event:?}"));
        let now = self.now;
        let Some(stand) = self.place(voter) else { return };
        let effects = stand.election.handle(now, event);
        for effect in effects {
            self.note(|| format!("{voter:?} -> {effect:?}"));
            self.elect(voter, effect);
        }
        let life = self.life_of(voter);
        let Some(stand) = self.place(voter) else { return };
        let (deadline, session) = (stand.election.deadline(), stand.session);
        if let Some(at) = deadline
            && stand.woken != Some(at)
        {
            stand.woken = Some(at);
            self.agenda.put(at.max(now), Item::Election { voter, life, session, step: Step::Wake });
        }
    }

    fn elect(&mut self, voter: Voter, effect: Effect) {
        let now = self.now;
        let Some(stand) = self.place(voter).as_mut() else { return };
        match (voter, effect) {
            (Voter::Master(index), Effect::Join) => {
                let data = member::written(&setup::master_info(index, self.masters[index].life));
                self.ask(voter, 0, 1, Ask::Join(data));
            }
            (_, Effect::Read(member)) => self.ask(voter, 0, 1, Ask::Read(member)),
            (_, Effect::Hold(until)) => stand.lease.hold_until(until),
            (_, Effect::Reopen) => {
                stand.session = None;
                stand.connected = false;
                self.ask(voter, 0, 200, Ask::Open);
            }
            (_, Effect::Leader(info)) => {
                let told = info.and_then(|info| master_at(member::pid_of(&info).address));
                stand.told = told;
                if let Voter::Agent(agent) = voter {
                    self.leader_is(agent, told);
                }
            }
            (Voter::Master(index), Effect::Elected(member)) => {
                stand.term = Some(member.number);
                self.elected(index);
            }
            (Voter::Master(index), Effect::Lost(why)) => {
                stand.lease.hold_until(now);
                self.end_master(index, &why);
            }
            (voter, effect) => panic!("{voter:?} is told {effect:?}"),
        }
    }

    /// The agent asks its detector once more: it hears what that knows, if somebody leads.
    pub fn detect_again(&mut self, agent: usize) {
        let told = self.agents[agent].stand.as_ref().and_then(|stand| stand.told);
        if told.is_some() {
            self.leader_is(agent, told);
        }
    }

    fn leader_is(&mut self, agent: usize, master: Option<usize>) {
        let leader = master.map(setup::leader);
        self.agent_later(agent, 0, 1, agent_core::Event::LeaderSeen(leader));
    }

    /// A master that is told to end takes its node away first.
    pub fn withdraw(&mut self, index: usize) {
        let session = self.masters[index].stand.as_ref().and_then(|stand| stand.session);
        if let (Some(session), true) = (session, self.reaches_ensemble(Voter::Master(index))) {
            let (now, life) = (self.now, self.masters[index].life);
            let who = (Voter::Master(index), life, session);
            self.masters[index].stand.as_mut().expect("it stands").lease.hold_until(now);
            self.changing_nodes(|ensemble| ensemble.answer(now, who, &Ask::Withdraw));
        }
    }
}
