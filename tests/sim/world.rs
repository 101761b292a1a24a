//! A whole cluster in one thread: one master with its allocator, agents, executors, schedulers, and the
//! wires between them. `step` takes the next thing that happens, lets the core it concerns decide, and
//! performs the effects by putting more things on the agenda.
//!
//! Each party's side of it is in a file of its own: `masters.rs`, `agents.rs`, `clients.rs`, `mail.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use mesos::agent::containerizer::Exit;
use mesos::agent::core as agent_core;
use mesos::alloc::{Allocator, Call as AllocCall};
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::message::Message;
use mesos::proto::{ContainerId, FrameworkId, TaskId, scheduler};
use mesos::registry::{Batch, Failure, Registrar};
use rand::RngExt;

use crate::executors::{Container, Input};
use crate::follower::Follower;
use crate::net::{Agenda, Net};
use crate::registry::Store;
use crate::scheduler::Scheduler;

/// A fault put in on purpose, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The allocator believes each agent has twice what it has.
    DoubleTotals,
    /// Now and then what is free again does not get back to the allocator.
    LoseRecovered,
    /// Terminal status updates of agents never leave them.
    SwallowTerminalUpdates,
    /// No agent hears that a framework is over.
    LoseShutdowns,
    /// A launch that comes a second time runs a second time.
    RunTwice,
    /// The registry's store says that it wrote, and did not.
    LoseWrites,
}

pub enum Item {
    /// For the master that was running when it was put here.
    Master {
        life: u64,
        event: master_core::Event,
    },
    /// Off the wire, for whichever master runs.
    MasterMail {
        from: Upid,
        to: Arc<str>,
        message: Box<Message>,
    },
    Allocator {
        life: u64,
        call: AllocCall,
    },
    /// A write gets to the registry's store.
    RegistryWrite {
        life: u64,
        batch: Batch,
    },
    RegistryWritten {
        life: u64,
        result: Result<(), Failure>,
    },
    /// The master's registrar has to be asked again.
    RegistryWake {
        life: u64,
    },
    StoreHeals,
    Agent {
        agent: usize,
        life: u64,
        event: agent_core::Event,
    },
    /// An agent's detector tells who leads.
    Detected {
        agent: usize,
        life: u64,
    },
    AgentMail {
        agent: usize,
        /// The master that sent it.
        life: u64,
        from: Upid,
        message: Box<Message>,
    },
    /// An event on a scheduler's stream.
    Stream {
        scheduler: usize,
        stream: Arc<str>,
        event: Box<scheduler::Event>,
    },
    StreamEnded {
        scheduler: usize,
        stream: Arc<str>,
    },
    /// For a v0 driver, by the pid it has if it is still the same.
    DriverMail {
        life: u64,
        scheduler: usize,
        to: Upid,
        message: Box<Message>,
    },
    /// A scheduler connects.
    Connect {
        scheduler: usize,
    },
    /// A scheduler does something of its own accord.
    Act {
        scheduler: usize,
    },
    Container {
        agent: usize,
        container: ContainerId,
        input: Input,
    },
    ExecutorDies {
        agent: usize,
        container: ContainerId,
        exit: Exit,
    },
    AgentReturns {
        agent: usize,
    },
    MasterReturns,
    /// The connections between master and agent are found to be broken.
    LinkBreaks {
        agent: usize,
    },
    /// That between master and driver is.
    DriverLinkBreaks {
        scheduler: usize,
    },
    Chaos,
}

pub struct MasterNode {
    pub state: master_core::State,
    pub registrar: Registrar<master_core::Then>,
    pub allocator: Allocator,
    pub life: u64,
    pub links: BTreeSet<SocketAddr>,
    pub follower: Follower,
}

pub struct AgentNode {
    pub state: Option<agent_core::State>,
    pub life: u64,
    pub address: SocketAddr,
    pub containers: BTreeMap<ContainerId, Container>,
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
}

/// Whose core was asked last, and so has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    Nobody,
    Master,
    Agent(usize),
}

pub struct World {
    pub now: Time,
    pub net: Net,
    pub agenda: Agenda<Item>,
    pub master: Option<MasterNode>,
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
    /// Who asked, by reply id of the master.
    pub asked: BTreeMap<master_core::ReplyId, usize>,
    /// The container that asked, by reply id of its agent.
    pub asked_agent: BTreeMap<agent_core::ReplyId, (usize, ContainerId)>,
    /// Agents and drivers whose connection holds messages that the wire did not take.
    pub stalled: BTreeSet<crate::net::Node>,
    pub trace: Vec<String>,
}

pub fn master_address() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5050)
}

fn agent_address(index: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, index as u8)), 5051)
}

impl World {
    pub fn new(seed: u64, plant: Option<Plant>) -> World {
        let mut net = Net::new(seed);
        let schedulers = net.rng.random_range(1..=4);
        let agents = net.rng.random_range(1..=4);
        let mut world = World {
            now: Time(1_700_000_000_000_000_000),
            agenda: Agenda::new(),
            master: None,
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
        world.start_master();
        for index in 0..agents {
            let address = agent_address(index);
            let containers = BTreeMap::new();
            world.agents.push(AgentNode { state: None, life: 0, address, containers, extra: 0 });
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
        match item {
            Item::Master { life, event } => {
                if self.master.as_ref().is_some_and(|m| m.life == life) {
                    self.master_event(event);
                }
            }
            Item::MasterMail { from, to, message } => {
                let peer = from.address;
                self.master_event(master_core::Event::Message { from, peer, to, message });
            }
            Item::Allocator { life, call } => self.allocator_call(life, call),
            Item::RegistryWrite { life, batch } => self.registry_write(life, &batch),
            Item::RegistryWritten { life, result } => self.registry_written(life, result),
            Item::RegistryWake { life } => {
                if self.master.as_ref().is_some_and(|master| master.life == life) {
                    self.registry_steps();
                }
            }
            Item::StoreHeals => self.store.heal(),
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
                    && self.master.as_ref().is_some_and(|master| master.life != life) => {}
            Item::AgentMail { agent, from, message, .. } => {
                let peer = from.address;
                self.agent_event(agent, agent_core::Event::Message { from, peer, message });
            }
            Item::Stream { scheduler, stream, event } => self.stream_event(scheduler, &stream, *event),
            Item::StreamEnded { scheduler, stream } => self.stream_ended(scheduler, &stream),
            Item::DriverMail { life, scheduler, to, message } => {
                // What a master that is no more had sent ends with its connections.
                if self.master.as_ref().is_some_and(|m| m.life == life) {
                    self.driver_hears(scheduler, &to, *message);
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
            Item::MasterReturns => {
                if self.master.is_none() {
                    self.start_master();
                }
            }
            Item::LinkBreaks { agent } => self.break_link(agent),
            Item::DriverLinkBreaks { scheduler } => self.break_driver_link(scheduler),
            Item::Chaos => crate::chaos::strike(self),
        }
        true
    }

    /// Faults end: everybody comes back, wires work, schedulers launch no more.
    pub fn calm_down(&mut self) {
        self.heal();
        self.store.heal();
        self.agenda.remove_if(|item| matches!(item, Item::Chaos));
        for scheduler in &mut self.schedulers {
            scheduler.quiet = true;
        }
        self.put(100, 500, Item::MasterReturns);
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
