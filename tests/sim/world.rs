//! A whole cluster in one thread: one master that stands alone or several that elect a leader, each with its
//! allocator; agents, executors, schedulers, the ensemble, and the wires between them. `step` takes the next thing
//! that happens, lets the core it concerns decide, and performs the effects by putting more things on the agenda.
//!
//! Each party's side of it is in a file of its own: `masters.rs`, `elections.rs`, `agents.rs`, `clients.rs`, `mail.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use mesos::agent::core as agent_core;
use mesos::base::time::Time;
use mesos::master::core as master_core;
use mesos::proto::message::Message;
use mesos::proto::{ContainerId, FrameworkId, TaskId};
use rand::RngExt;

use crate::disk::Disk;
use crate::elections::Stand;
use crate::ensemble::Ensemble;
use crate::executors::Container;
pub use crate::items::{Item, Plant};
use crate::masters::Master;
use crate::net::{Agenda, Net};
use crate::registry::Store;
use crate::scheduler::Scheduler;

pub struct AgentNode {
    pub state: Option<agent_core::State>,
    pub life: u64,
    pub address: SocketAddr,
    /// Its detector; none where one master stands alone.
    pub stand: Option<Stand>,
    pub containers: BTreeMap<ContainerId, Container>,
    pub disk: Disk,
    /// Counts the ids it had.
    pub identity: u64,
    /// Cpus that it has got since it was made.
    pub extra: u32,
}

/// An executor told its agent how a task ended.
pub struct End {
    pub agent: usize,
    pub life: u64,
    pub framework: FrameworkId,
    pub task: TaskId,
    pub uuid: Bytes,
    /// Of the agent at that time.
    pub identity: u64,
    /// The agent said that it was taken.
    pub taken: bool,
}

/// Whose core was asked last, and so has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    Nobody,
    Master(usize),
    Agent(usize),
}

pub struct World {
    pub now: Time,
    pub net: Net,
    pub agenda: Agenda<Item>,
    pub masters: Vec<Master>,
    /// None where one master stands alone.
    pub ensemble: Option<Ensemble>,
    /// The node by which the last one to act was elected.
    pub last_term: u64,
    pub store: Store,
    pub agents: Vec<AgentNode>,
    pub schedulers: Vec<Scheduler>,
    pub plant: Option<Plant>,
    pub steps: u64,
    pub touched: Touched,
    pub ends: Vec<End>,
    /// What has happened, by what it is called.
    pub counts: BTreeMap<&'static str, u64>,
    /// Lives of masters so far; also makes ids of streams and replies unique.
    pub lives: u64,
    serial: u64,
    /// The scheduler that asked and the life of the master it asked, by reply id of the latter.
    pub asked: BTreeMap<master_core::ReplyId, (usize, u64)>,
    /// The container that asked, by reply id of its agent.
    pub asked_agent: BTreeMap<agent_core::ReplyId, (usize, ContainerId)>,
    /// Masters, and the agents and drivers whose connection with them holds messages that the wire did not take.
    pub stalled: BTreeSet<(usize, crate::net::Node)>,
    pub trace: Vec<String>,
}

pub fn master_address(index: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + index as u8)), 5050)
}

/// The master that has this address.
pub fn master_at(address: SocketAddr) -> Option<usize> {
    (0..MASTERS).find(|index| master_address(*index) == address)
}

/// The most there are.
const MASTERS: usize = 3;

fn agent_address(index: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, index as u8)), 5051)
}

impl World {
    pub fn new(seed: u64, plant: Option<Plant>) -> World {
        let mut net = Net::new(seed);
        let schedulers = net.rng.random_range(1..=4);
        let agents = net.rng.random_range(1..=4);
        let masters = if net.chance(500) { 1 } else { net.rng.random_range(2..=MASTERS) };
        let timeout = net.millis(2000, 10_000);
        let mut world = World {
            now: Time(1_700_000_000_000_000_000),
            agenda: Agenda::new(),
            masters: (0..masters).map(|_| Master::default()).collect(),
            ensemble: (masters > 1).then(|| Ensemble::new(timeout)),
            last_term: 0,
            store: Store::default(),
            agents: vec![],
            schedulers: vec![],
            plant,
            steps: 0,
            touched: Touched::Nobody,
            ends: vec![],
            counts: BTreeMap::new(),
            lives: 0,
            serial: 0,
            asked: BTreeMap::new(),
            asked_agent: BTreeMap::new(),
            stalled: BTreeSet::new(),
            trace: vec![],
            net,
        };
        for index in 0..schedulers {
            let mut scheduler = Scheduler::new(index, &mut world.net.rng);
            if world.net.chance(300) {
                scheduler.driver = Some(world.new_driver(index));
            }
            world.schedulers.push(scheduler);
        }
        world.count(if masters > 1 { "clusters of several masters" } else { "clusters of one master" });
        for index in 0..masters {
            world.start_master(index);
        }
        for index in 0..agents {
            let address = agent_address(index);
            let containers = BTreeMap::new();
            let node = AgentNode {
                state: None,
                life: 0,
                address,
                stand: None,
                containers,
                disk: Disk::default(),
                identity: 0,
                extra: 0,
            };
            world.agents.push(node);
            world.start_agent(index);
        }
        for scheduler in 0..schedulers {
            world.put(0, 2000, Item::Connect { scheduler });
            world.put(500, 3000, Item::Act { scheduler });
        }
        world
    }

    /// Puts an item on the agenda, between so many milliseconds from now.
    pub fn put(&mut self, from_ms: u64, to_ms: u64, item: Item) {
        let at = self.now + self.net.millis(from_ms, to_ms);
        self.agenda.put(at, item);
    }

    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.capacity() > 0 {
            if self.trace.len() == self.trace.capacity() {
                self.trace.drain(..self.trace.len() / 2);
            }
            let line = format!("{:.3} {}", self.now.as_secs_f64() - 1.7e9, line());
            self.trace.push(line);
        }
    }

    pub fn record(&mut self) {
        self.trace = Vec::with_capacity(100_000);
    }

    /// Takes the next thing that happens. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some((at, item)) = self.agenda.take() else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        self.touched = Touched::Nobody;
        if let Some(item) = self.kept_for_later(item) {
            self.happens(item);
        }
        true
    }

    fn happens(&mut self, item: Item) {
        match item {
            Item::Master { life, event } => {
                if let Some(index) = self.master_of(life) {
                    self.master_event(index, event);
                }
            }
            Item::MasterMail { master, from, to, message } => {
                let peer = from.address;
                self.master_event(master, master_core::Event::Message { from, peer, to, message });
            }
            Item::Allocator { life, call } => self.allocator_call(life, call),
            Item::RegistryWrite { life, batch } => self.registry_write(life, &batch),
            Item::RegistryWritten { life, result } => self.registry_written(life, result),
            Item::RegistryWake { life } => {
                if let Some(index) = self.master_of(life) {
                    self.registry_steps(index);
                }
            }
            Item::RegistryTake { life, until } => self.registry_take(life, until),
            Item::RegistryTaken { life, until, registry } => self.registry_taken(life, until, registry),
            Item::RegistryLead { life, until, registry } => self.registry_lead(life, until, registry),
            Item::RegistryLed { life, registry } => {
                if let Some(index) = self.master_of(life) {
                    self.begin(index, registry);
                }
            }
            Item::StoreHeals => self.store.heal(),
            Item::Election { voter, life, session, step } => self.election_step(voter, life, session, step),
            Item::SessionEnds { session } => self.session_ends(session),
            Item::Resume { life } => {
                if let Some(index) = self.master_of(life) {
                    self.resume_master(index);
                }
            }
            Item::Follow { scheduler, life } => self.follow(scheduler, life),
            Item::EnsembleHeals => self.ensemble_heals(),
            Item::Agent { agent, life, event } => {
                if self.agents[agent].life == life {
                    self.agent_event(agent, event);
                }
            }
            Item::Detected { agent, life } => {
                if self.agents[agent].life == life {
                    self.detected(agent);
                }
            }
            // Of a master that is no more the rest ends with its connections. Launches and kills are delivered all
            // the same, as the worst that could happen; an agent that takes a late acknowledgement has told the next
            // master of an update that nobody will acknowledge to that one.
            Item::AgentMail { life, message, .. }
                if matches!(*message, Message::StatusUpdateAcknowledgement(_))
                    && self.core_of(life).is_none() => {}
            Item::AgentMail { agent, from, message, .. } => {
                let peer = from.address;
                self.agent_event(agent, agent_core::Event::Message { from, peer, message });
            }
            Item::Stream { scheduler, stream, event } => self.stream_event(scheduler, &stream, *event),
            Item::StreamEnded { scheduler, stream } => self.stream_ended(scheduler, &stream),
            Item::DriverMail { life, scheduler, to, message } => {
                // What a master that is no more had sent ends with its connections.
                if let Some(master) = self.master_of(life) {
                    self.driver_hears(scheduler, master, &to, *message);
                }
            }
            Item::Connect { scheduler } => self.connect(scheduler),
            Item::Act { scheduler } => self.act(scheduler),
            Item::Container { agent, container, input } => self.container_input(agent, &container, input),
            Item::ExecutorDies { agent, container, exit } => self.executor_dies(agent, &container, exit),
            Item::AgentReturns { agent } => {
                if self.agents[agent].state.is_none() {
                    self.start_agent(agent);
                }
            }
            Item::DiskWritten { agent, life } => {
                if self.agents[agent].life == life {
                    self.disk_written(agent);
                }
            }
            Item::MasterReturns { master } => self.start_master(master),
            Item::LinkBreaks { master, agent } => self.break_link(master, agent),
            Item::DriverLinkBreaks { master, scheduler } => self.break_driver_link(master, scheduler),
            Item::Chaos => crate::chaos::strike(self),
        }
    }

    pub fn ensemble_heals(&mut self) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.quorum = true;
            ensemble.slow = false;
        }
    }

    /// Faults end: everybody comes back, wires work, schedulers launch no more.
    pub fn calm_down(&mut self) {
        self.heal();
        self.store.heal();
        self.ensemble_heals();
        self.agenda.remove_if(|item| matches!(item, Item::Chaos));
        for scheduler in &mut self.schedulers {
            scheduler.quiet = true;
        }
        for master in 0..self.masters.len() {
            self.masters[master].stumbles = None;
            self.resume_master(master);
            self.put(100, 500, Item::MasterReturns { master });
        }
        for agent in 0..self.agents.len() {
            self.put(600, 2000, Item::AgentReturns { agent });
        }
    }

    /// Every scheduler asks after every task it has not seen end, one by one.
    pub fn reconcile_all(&mut self) {
        for scheduler in 0..self.schedulers.len() {
            let known = &self.schedulers[scheduler];
            let live: Vec<TaskId> = known
                .tasks
                .iter()
                .filter(|(_, task)| !task.state.is_some_and(crate::checks::is_terminal))
                .map(|(id, _)| id.clone())
                .collect();
            let call = known.reconcile(&live);
            self.scheduler_says(scheduler, call);
        }
    }
}
