//! A whole cluster in one thread: one master with its allocator, agents, executors, schedulers, and the
//! wires between them. `step` takes the next thing that happens, lets the core it concerns decide, and
//! performs the effects by putting more things on the agenda.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesos::agent::containerizer::{Exit, Report};
use mesos::agent::core as agent_core;
use mesos::alloc::{Allocator, Call as AllocCall, Grant};
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::message::Message;
use mesos::proto::{ContainerId, TaskId, TaskState, executor, scheduler, task_status};
use mesos::registry::Registry;
use rand::RngExt;

use crate::executors::{Container, Wish};
use crate::net::{Agenda, Net, Node};
use crate::scheduler::Scheduler;
use crate::setup;

/// A fault put in on purpose, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The allocator believes each agent has twice what it has.
    DoubleTotals,
    /// Terminal status updates of agents never leave them.
    SwallowTerminalUpdates,
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
    Agent {
        agent: usize,
        life: u64,
        event: agent_core::Event,
    },
    AgentMail {
        agent: usize,
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
    /// A scheduler connects.
    Connect {
        scheduler: usize,
    },
    /// A scheduler does something of its own accord.
    Act {
        scheduler: usize,
    },
    /// An event on an executor's stream.
    Executor {
        agent: usize,
        container: ContainerId,
        event: Box<executor::Event>,
    },
    ExecutorConnects {
        agent: usize,
        container: ContainerId,
    },
    TaskEnds {
        agent: usize,
        container: ContainerId,
        task: TaskId,
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
    Chaos,
}

pub struct MasterNode {
    pub state: master_core::State,
    pub allocator: Allocator,
    pub life: u64,
    pub links: BTreeSet<SocketAddr>,
}

pub struct AgentNode {
    pub state: Option<agent_core::State>,
    pub life: u64,
    pub address: SocketAddr,
    pub containers: BTreeMap<ContainerId, Container>,
}

pub struct World {
    pub now: Time,
    pub net: Net,
    pub agenda: Agenda<Item>,
    pub master: Option<MasterNode>,
    pub registry: Registry,
    pub agents: Vec<AgentNode>,
    pub schedulers: Vec<Scheduler>,
    pub plant: Option<Plant>,
    pub steps: u64,
    /// Lives of masters so far; also makes ids of streams and replies unique.
    lives: u64,
    serial: u64,
    /// Who asked, by reply id of the master.
    asked: BTreeMap<master_core::ReplyId, usize>,
    /// The container that asked, by reply id of its agent.
    asked_agent: BTreeMap<agent_core::ReplyId, (usize, ContainerId)>,
    /// Agents whose connection holds messages that the wire did not take.
    stalled: BTreeSet<usize>,
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
        let schedulers = net.rng.random_range(1..=3);
        let agents = net.rng.random_range(1..=4);
        let mut world = World {
            now: Time(1_700_000_000_000_000_000),
            agenda: Agenda::new(),
            master: None,
            registry: Registry::default(),
            agents: vec![],
            schedulers: vec![],
            plant,
            steps: 0,
            lives: 0,
            serial: 0,
            asked: BTreeMap::new(),
            asked_agent: BTreeMap::new(),
            stalled: BTreeSet::new(),
            trace: vec![],
            net,
        };
        for index in 0..schedulers {
            world.schedulers.push(Scheduler::new(index, &mut world.net.rng));
        }
        world.start_master();
        for index in 0..agents {
            let address = agent_address(index);
            world.agents.push(AgentNode { state: None, life: 0, address, containers: BTreeMap::new() });
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

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.capacity() > 0 {
            if self.trace.len() == self.trace.capacity() {
                self.trace.drain(..self.trace.len() / 2);
            }
            let line = format!("{:.3} {}", self.now.as_secs_f64() - 1.7e9, line());
            self.trace.push(line);
        }
    }

    pub fn record(&mut self) {
        self.trace = Vec::with_capacity(20_000);
    }

    /// Takes the next thing that happens. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some((at, item)) = self.agenda.take() else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        match item {
            Item::Master { life, event } => {
                if self.master.as_ref().is_some_and(|m| m.life == life) {
                    self.master_event(event);
                }
            }
            Item::MasterMail { from, to, message } => {
                if self.master.is_some() {
                    let peer = from.address;
                    self.master_event(master_core::Event::Message { from, peer, to, message });
                }
            }
            Item::Allocator { life, call } => self.allocator_call(life, call),
            Item::Agent { agent, life, event } => {
                if self.agents[agent].life == life {
                    self.agent_event(agent, event);
                }
            }
            Item::AgentMail { agent, from, message } => {
                let peer = from.address;
                self.agent_event(agent, agent_core::Event::Message { from, peer, message });
            }
            Item::Stream { scheduler, stream, event } => self.scheduler_hears(scheduler, &stream, *event),
            Item::StreamEnded { scheduler, stream } => {
                let known = &mut self.schedulers[scheduler];
                if known.stream.as_ref() == Some(&stream) {
                    known.stream = None;
                    known.subscribed = false;
                    self.put(10, 3000, Item::Connect { scheduler });
                }
            }
            Item::Connect { scheduler } => self.connect(scheduler),
            Item::Act { scheduler } => self.act(scheduler),
            Item::Executor { agent, container, event } => self.executor_hears(agent, &container, &event),
            Item::ExecutorConnects { agent, container } => self.executor_connects(agent, &container),
            Item::TaskEnds { agent, container, task } => self.task_ends(agent, &container, &task),
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
            Item::Chaos => crate::chaos::strike(self),
        }
        true
    }

    // --- the master ---

    pub fn start_master(&mut self) {
        self.lives += 1;
        let life = self.lives;
        let (state, effects) = setup::master(life, &self.registry, self.now);
        let allocator = setup::allocator(life);
        self.note(|| format!("master {life} starts"));
        self.master = Some(MasterNode { state, allocator, life, links: BTreeSet::new() });
        self.master_effects(effects);
        for agent in 0..self.agents.len() {
            self.leader_seen(agent);
        }
    }

    pub fn kill_master(&mut self) {
        let Some(master) = self.master.take() else { return };
        let life = master.life;
        self.note(|| format!("master {life} dies"));
        for scheduler in 0..self.schedulers.len() {
            if let Some(stream) = self.schedulers[scheduler].stream.clone() {
                self.put(0, 20, Item::StreamEnded { scheduler, stream });
            }
        }
        for agent in 0..self.agents.len() {
            self.agent_later(agent, 0, 20, agent_core::Event::Exited(master_address()));
        }
    }

    fn master_event(&mut self, event: master_core::Event) {
        self.note(|| format!("master <- {event:?}"));
        let mut effects = vec![];
        let now = self.now;
        let Some(master) = self.master.as_mut() else { return };
        master_core::handle(&mut master.state, event, now, &mut effects);
        self.master_effects(effects);
    }

    fn master_later(&mut self, from_ms: u64, to_ms: u64, event: master_core::Event) {
        if let Some(life) = self.master.as_ref().map(|m| m.life) {
            self.put(from_ms, to_ms, Item::Master { life, event });
        }
    }

    fn master_effects(&mut self, effects: master_core::Effects) {
        use master_core::Effect;
        for effect in effects {
            self.note(|| format!("master -> {effect:?}"));
            match effect {
                Effect::Send { from, to, message } => {
                    let from = Upid::new(&from, master_address());
                    self.mail_to_agent(from, &to, message);
                }
                Effect::Link(address) => {
                    let master = self.master.as_mut().expect("it just decided");
                    master.links.insert(address);
                    let down = self.agents.iter().any(|a| a.address == address && a.state.is_none());
                    if down {
                        self.master_exited(address);
                    }
                }
                Effect::Stream { stream, event } => {
                    let listener = self.listener(&stream);
                    if let Some(scheduler) = listener {
                        let at = self.stream_time(scheduler);
                        self.agenda.put(at, Item::Stream { scheduler, stream, event });
                    }
                }
                Effect::CloseStream(stream) => {
                    if let Some(scheduler) = self.listener(&stream) {
                        let at = self.stream_time(scheduler);
                        self.agenda.put(at, Item::StreamEnded { scheduler, stream });
                    }
                }
                Effect::Reply { reply, answer } => self.answered(reply, answer),
                Effect::Store { operation, then } => {
                    let done = self.registry.apply(&operation);
                    self.master_later(1, 40, master_core::Event::Stored { then, done });
                }
                Effect::Alloc(call) => {
                    let life = self.master.as_ref().expect("it just decided").life;
                    let call = match (self.plant, call) {
                        (
                            Some(Plant::DoubleTotals),
                            AllocCall::AddAgent { id, number, info, total, held },
                        ) => {
                            let mut total = total;
                            total += &total.clone();
                            AllocCall::AddAgent { id, number, info, total, held }
                        }
                        (_, call) => call,
                    };
                    self.agenda.put(self.now, Item::Allocator { life, call });
                }
                Effect::Wake { at, timer } => {
                    let life = self.master.as_ref().expect("it just decided").life;
                    let event = master_core::Event::Timer(timer);
                    self.agenda.put(at.max(self.now), Item::Master { life, event });
                }
                Effect::Exit(sentence) => panic!("the master wants to end: {sentence}"),
            }
        }
    }

    fn listener(&self, stream: &Arc<str>) -> Option<usize> {
        self.schedulers.iter().position(|s| s.stream.as_ref() == Some(stream))
    }

    /// A stream is one connection: late perhaps, but in order.
    fn stream_time(&mut self, scheduler: usize) -> Time {
        let weather = std::mem::take(&mut self.net.weather);
        let at = self.net.arrivals(Node::Master, Node::Scheduler(scheduler), self.now);
        self.net.weather = weather;
        at.first().copied().unwrap_or(self.now)
    }

    fn allocator_call(&mut self, life: u64, call: AllocCall) {
        let now = self.now;
        let grants: Vec<Grant> = match self.master.as_mut() {
            Some(master) if master.life == life => master.allocator.handle(call, now),
            _ => return,
        };
        if !grants.is_empty() {
            self.agenda.put(now, Item::Master { life, event: master_core::Event::Granted(grants) });
        }
    }

    fn master_exited(&mut self, address: SocketAddr) {
        self.master_later(0, 50, master_core::Event::Exited(address));
    }

    // --- agents ---

    pub fn start_agent(&mut self, agent: usize) {
        let node = &mut self.agents[agent];
        node.life += 1;
        let (state, effects) = setup::agent(agent, node.life, node.address, self.now);
        node.state = Some(state);
        self.note(|| format!("agent {agent} starts"));
        self.agent_effects(agent, effects);
        self.leader_seen(agent);
    }

    /// The agent process and, since nothing is checkpointed, all its executors die.
    pub fn kill_agent(&mut self, agent: usize) {
        let node = &mut self.agents[agent];
        if node.state.take().is_none() {
            return;
        }
        node.life += 1;
        node.containers.clear();
        let address = node.address;
        self.note(|| format!("agent {agent} dies"));
        if self.master.as_ref().is_some_and(|m| m.links.contains(&address)) {
            self.master_exited(address);
        }
    }

    fn leader_seen(&mut self, agent: usize) {
        let leader = self.master.as_ref().map(|_| agent_core::Leader {
            pid: Upid::new("master", master_address()),
            hostname: "master".to_owned(),
        });
        self.agent_later(agent, 1, 100, agent_core::Event::LeaderSeen(leader));
    }

    fn agent_later(&mut self, agent: usize, from_ms: u64, to_ms: u64, event: agent_core::Event) {
        let life = self.agents[agent].life;
        self.put(from_ms, to_ms, Item::Agent { agent, life, event });
    }

    fn agent_event(&mut self, agent: usize, event: agent_core::Event) {
        self.note(|| format!("agent {agent} <- {event:?}"));
        let mut effects = vec![];
        let now = self.now;
        let Some(state) = self.agents[agent].state.as_mut() else { return };
        state.handle(now, event, &mut effects);
        self.agent_effects(agent, effects);
    }

    fn agent_effects(&mut self, agent: usize, effects: agent_core::Effects) {
        use agent_core::Effect;
        for effect in effects {
            self.note(|| format!("agent {agent} -> {effect:?}"));
            match effect {
                Effect::Send { to, message } => self.mail_to_master(agent, &to, message),
                Effect::Link(_) => {
                    if self.master.is_none() {
                        self.agent_later(agent, 0, 50, agent_core::Event::Exited(master_address()));
                    }
                }
                Effect::Detect => self.leader_seen(agent),
                Effect::Stream { stream, event } => {
                    let found = self.agents[agent]
                        .containers
                        .iter()
                        .find(|(_, c)| c.stream.as_ref() == Some(&stream));
                    if let Some(container) = found.map(|(id, _)| id.clone()) {
                        // Loopback: quick and in order, for equal times keep their order.
                        let at = self.now + Duration::from_millis(1);
                        self.agenda.put(at, Item::Executor { agent, container, event });
                    }
                }
                Effect::CloseStream(stream) => {
                    for container in self.agents[agent].containers.values_mut() {
                        if container.stream.as_ref() == Some(&stream) {
                            container.stream = None;
                        }
                    }
                }
                Effect::Reply { reply, answer } => {
                    if let Some((agent, container)) = self.asked_agent.remove(&reply) {
                        let fine =
                            matches!(answer, agent_core::Answer::Subscribed | agent_core::Answer::Accepted);
                        let alive = self.agents[agent].containers.get(&container).is_some_and(|c| c.alive);
                        if !fine && alive {
                            self.note(|| format!("executor in {} was refused: {answer:?}", container.value));
                        }
                    }
                }
                Effect::Launch(launch) => {
                    let container = launch.container.clone();
                    self.agents[agent].containers.insert(container.clone(), Container::new(*launch));
                    if self.net.chance(30) {
                        self.agents[agent].containers.remove(&container);
                        let report = Report::Failed {
                            container,
                            reason: task_status::Reason::ContainerLaunchFailed,
                            message: "the simulated fetch failed".to_owned(),
                        };
                        self.agent_later(agent, 1, 500, agent_core::Event::Report(report));
                    } else {
                        let report = Report::Launched { container: container.clone(), pid: 1 };
                        self.agent_later(agent, 1, 5, agent_core::Event::Report(report));
                        self.put(6, 800, Item::ExecutorConnects { agent, container });
                    }
                }
                Effect::Destroy(container) => {
                    let exit = Exit::Destroyed;
                    self.put(1, 300, Item::ExecutorDies { agent, container, exit });
                }
                Effect::Wake { at, timer } => {
                    let life = self.agents[agent].life;
                    let event = agent_core::Event::Timer(timer);
                    self.agenda.put(at.max(self.now), Item::Agent { agent, life, event });
                }
                Effect::Exit(_) => {
                    self.kill_agent(agent);
                    self.put(1000, 5000, Item::AgentReturns { agent });
                }
            }
        }
    }

    // --- executors ---

    fn executor_connects(&mut self, agent: usize, container: &ContainerId) {
        self.serial += 1;
        let stream: Arc<str> = format!("executor-{}", self.serial).into();
        let reply = agent_core::ReplyId(self.serial);
        let Some(found) = self.agents[agent].containers.get_mut(container) else { return };
        if !found.alive {
            return;
        }
        found.stream = Some(stream.clone());
        let call = Box::new(found.subscribe());
        self.asked_agent.insert(reply, (agent, container.clone()));
        self.agent_event(agent, agent_core::Event::Subscribe { reply, stream, call });
    }

    fn executor_hears(&mut self, agent: usize, container: &ContainerId, event: &executor::Event) {
        let rng = &mut self.net.rng;
        let Some(found) = self.agents[agent].containers.get_mut(container) else { return };
        if !found.alive {
            return;
        }
        let wishes = found.hear(event, || rng.random());
        for wish in wishes {
            match wish {
                Wish::Say(call) => self.executor_says(agent, container, call),
                Wish::EndLater(task) => {
                    self.put(200, 30_000, Item::TaskEnds { agent, container: container.clone(), task });
                }
                Wish::Exit(code) => {
                    let exit = Exit::Code(code);
                    self.put(1, 1000, Item::ExecutorDies { agent, container: container.clone(), exit });
                }
            }
        }
    }

    fn executor_says(&mut self, agent: usize, container: &ContainerId, call: executor::Call) {
        self.serial += 1;
        let reply = agent_core::ReplyId(self.serial);
        self.asked_agent.insert(reply, (agent, container.clone()));
        let event = agent_core::Event::Call { reply, call: Box::new(call) };
        // Calls of one executor keep their order: one connection on loopback.
        let life = self.agents[agent].life;
        self.agenda.put(self.now + Duration::from_millis(1), Item::Agent { agent, life, event });
    }

    fn task_ends(&mut self, agent: usize, container: &ContainerId, task: &TaskId) {
        let uuid = self.net.rng.random();
        let state = match self.net.chance(200) {
            true => TaskState::TaskFailed,
            false => TaskState::TaskFinished,
        };
        let Some(found) = self.agents[agent].containers.get_mut(container) else { return };
        if !found.alive || !found.tasks.contains_key(task) {
            return;
        }
        let call = found.report(task, state, uuid);
        self.executor_says(agent, container, call);
    }

    pub fn executor_dies(&mut self, agent: usize, container: &ContainerId, exit: Exit) {
        let Some(found) = self.agents[agent].containers.get_mut(container) else { return };
        if !std::mem::replace(&mut found.alive, false) {
            return;
        }
        let stream = found.stream.take();
        self.agents[agent].containers.remove(container);
        self.note(|| format!("container {} on agent {agent} ends", container.value));
        if let Some(stream) = stream {
            self.agent_later(agent, 0, 2, agent_core::Event::StreamClosed(stream));
        }
        let report = Report::Terminated { container: container.clone(), exit };
        self.agent_later(agent, 2, 20, agent_core::Event::Report(report));
    }

    // --- schedulers ---

    fn connect(&mut self, scheduler: usize) {
        let known = &self.schedulers[scheduler];
        if known.dead || known.stream.is_some() {
            return;
        }
        if self.master.is_none() || self.net.is_cut(Node::Master, Node::Scheduler(scheduler)) {
            self.put(500, 2000, Item::Connect { scheduler });
            return;
        }
        self.serial += 1;
        let stream: Arc<str> = format!("stream-{}", self.serial).into();
        let reply = master_core::ReplyId(self.serial);
        let known = &mut self.schedulers[scheduler];
        known.stream = Some(stream.clone());
        known.subscribed = false;
        known.open_offers.clear();
        let call = Box::new(known.subscribe());
        self.asked.insert(reply, scheduler);
        self.master_later(0, 20, master_core::Event::Subscribe { reply, stream, call });
    }

    fn answered(&mut self, reply: master_core::ReplyId, answer: master_core::Answer) {
        use master_core::Answer;
        let Some(scheduler) = self.asked.remove(&reply) else { return };
        match answer {
            Answer::Subscribed | Answer::Accepted | Answer::Ok => {}
            other => self.note(|| format!("scheduler {scheduler} was refused: {other:?}")),
        }
    }

    fn scheduler_hears(&mut self, scheduler: usize, stream: &Arc<str>, event: scheduler::Event) {
        if self.schedulers[scheduler].stream.as_ref() != Some(stream) {
            return;
        }
        let calls = self.schedulers[scheduler].hear(event, &mut self.net.rng);
        for call in calls {
            self.scheduler_says(scheduler, call);
        }
    }

    fn act(&mut self, scheduler: usize) {
        if self.schedulers[scheduler].quiet {
            return;
        }
        self.put(500, 4000, Item::Act { scheduler });
        if !self.schedulers[scheduler].subscribed {
            return;
        }
        let calls = self.schedulers[scheduler].act(&mut self.net.rng);
        for call in calls {
            self.scheduler_says(scheduler, call);
        }
    }

    /// A call is an HTTP request of its own; in bad weather it may never arrive.
    pub fn scheduler_says(&mut self, scheduler: usize, call: scheduler::Call) {
        let known = &self.schedulers[scheduler];
        if known.dead || !known.subscribed {
            return;
        }
        let stream = known.stream.clone();
        self.serial += 1;
        let reply = master_core::ReplyId(self.serial);
        let arrivals = self.net.arrivals(Node::Scheduler(scheduler), Node::Master, self.now);
        let Some(at) = arrivals.first().copied() else { return };
        let Some(life) = self.master.as_ref().map(|m| m.life) else { return };
        self.asked.insert(reply, scheduler);
        let event = master_core::Event::Call { reply, stream, call: Box::new(call) };
        self.agenda.put(at, Item::Master { life, event });
    }

    /// The scheduler's connection breaks; it will come back under its id.
    pub fn break_stream(&mut self, scheduler: usize) {
        if let Some(stream) = self.schedulers[scheduler].stream.take() {
            self.schedulers[scheduler].subscribed = false;
            self.master_later(0, 20, master_core::Event::StreamClosed(stream));
            self.put(10, 5000, Item::Connect { scheduler });
        }
    }

    // --- mail ---

    fn mail_to_agent(&mut self, from: Upid, to: &Upid, message: Box<Message>) {
        let Some(agent) = self.agents.iter().position(|a| a.address == to.address) else { return };
        let arrivals = self.net.arrivals(Node::Master, Node::Agent(agent), self.now);
        self.lost_on_the_way(agent, arrivals.is_empty());
        for at in arrivals {
            let item = Item::AgentMail { agent, from: from.clone(), message: message.clone() };
            self.agenda.put(at, item);
        }
    }

    fn mail_to_master(&mut self, agent: usize, to: &Upid, message: Box<Message>) {
        if to.address != master_address() || self.swallowed(&message) {
            return;
        }
        let from = Upid::new("slave(1)", self.agents[agent].address);
        let arrivals = self.net.arrivals(Node::Agent(agent), Node::Master, self.now);
        self.lost_on_the_way(agent, arrivals.is_empty());
        for at in arrivals {
            let item = Item::MasterMail { from: from.clone(), to: to.id.clone(), message: message.clone() };
            self.agenda.put(at, item);
        }
    }

    fn swallowed(&self, message: &Message) -> bool {
        self.plant == Some(Plant::SwallowTerminalUpdates)
            && matches!(message, Message::StatusUpdate(m)
                if crate::checks::is_terminal(m.update.status.state()))
    }

    /// TCP loses nothing while it holds: a message that was lost means a connection that is broken, and both
    /// ends find out, at once or when the wire carries something again.
    fn lost_on_the_way(&mut self, agent: usize, lost: bool) {
        if !lost {
            return;
        }
        if self.net.is_cut(Node::Master, Node::Agent(agent)) {
            self.stalled.insert(agent);
        } else {
            self.put(0, 3000, Item::LinkBreaks { agent });
        }
    }

    /// Wires work again; connections that stalled meanwhile turn out broken.
    pub fn heal(&mut self) {
        self.net.heal();
        for agent in std::mem::take(&mut self.stalled) {
            self.put(0, 1000, Item::LinkBreaks { agent });
        }
    }

    /// The connection between master and agent breaks; both ends learn of it.
    pub fn break_link(&mut self, agent: usize) {
        let address = self.agents[agent].address;
        self.agent_later(agent, 0, 200, agent_core::Event::Exited(master_address()));
        self.master_exited(address);
    }
}

impl World {
    /// Faults end: everybody comes back, wires work, schedulers launch no more.
    pub fn calm_down(&mut self) {
        self.heal();
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
