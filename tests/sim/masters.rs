//! Masters and their allocators, and what becomes of their effects. One that stands alone leads at once; of several
//! the elected one does, once it has read the registry.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use mesos::agent::core as agent_core;
use mesos::alloc::{Allocator, Call as AllocCall, Grant};
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::TaskState;
use mesos::registry::{Registrar, Registry};

use crate::elections::Stand;
use crate::ensemble::Voter;
use crate::follower::Follower;
use crate::net::Node;
use crate::setup;
use crate::world::{Item, Plant, Touched, World, master_address};

/// A process that may lead.
#[derive(Default)]
pub struct Master {
    /// Of its process, or of its last one.
    pub life: u64,
    pub up: bool,
    /// While it leads and has read the registry.
    pub core: Option<MasterNode>,
    /// None for one that stands alone.
    pub stand: Option<Stand>,
    pub pause: Option<Pause>,
    /// The next effects of its core leave only after such a pause.
    pub stumbles: Option<u64>,
    /// Came while the registry was being read.
    early: Vec<Item>,
}

/// Its process is stopped, and its connections hold.
#[derive(Default)]
pub struct Pause {
    waiting: Vec<Item>,
    /// Decided before, and on their way out.
    leaving: master_core::Effects,
}

/// The core of a leader, with what belongs to it.
pub struct MasterNode {
    pub state: master_core::State,
    pub registrar: Registrar<master_core::Then>,
    pub allocator: Allocator,
    pub life: u64,
    pub links: BTreeSet<SocketAddr>,
    pub follower: Follower,
}

impl World {
    /// A process starts: alone it leads, else it stands for election.
    pub fn start_master(&mut self, index: usize) {
        if self.masters[index].up {
            return;
        }
        let alone = self.ensemble.is_none();
        if alone && self.store.out_of_reach {
            self.count("masters waited for their store");
            return self.put(1000, 5000, Item::MasterReturns { master: index });
        }
        self.lives += 1;
        let life = self.lives;
        self.masters[index] = Master { life, up: true, ..Master::default() };
        self.note(|| format!("master {index} starts its life {life}"));
        if !alone {
            return self.stand(Voter::Master(index));
        }
        let registry = self.store.take(life);
        let registry = self.store.lead(registry, &setup::master_info(index, life));
        self.begin(index, registry);
        for agent in 0..self.agents.len() {
            self.leader_seen(agent);
        }
    }

    /// The registry is read: it leads from here on.
    pub fn begin(&mut self, index: usize, registry: Registry) {
        let life = self.masters[index].life;
        let (mut state, mut effects) = setup::master(index, life, &registry, self.now);
        let registrar = Registrar::new(registry, setup::STORE_TIMEOUT);
        let reply = master_core::ReplyId(u64::MAX);
        master_core::handle(&mut state, master_core::Event::Follow { reply }, self.now, &mut effects);
        effects.retain(|effect| !matches!(effect, master_core::Effect::Reply { .. }));
        let allocator = setup::allocator(life);
        self.note(|| format!("master {index} begins to lead"));
        let (links, follower) = (BTreeSet::new(), Follower::default());
        let core = MasterNode { state, registrar, allocator, life, links, follower };
        self.masters[index].core = Some(core);
        self.master_effects(index, effects);
        for item in std::mem::take(&mut self.masters[index].early) {
            self.agenda.put(self.now, item);
        }
        if self.ensemble.is_some() {
            self.count("leaders");
            for scheduler in 0..self.schedulers.len() {
                self.put(0, 20_000, Item::Follow { scheduler, life });
            }
        }
    }

    pub fn master_of(&self, life: u64) -> Option<usize> {
        self.masters.iter().position(|master| master.up && master.life == life)
    }

    pub fn core_of(&self, life: u64) -> Option<&MasterNode> {
        self.masters[self.master_of(life)?].core.as_ref()
    }

    /// Who leads, as far as it knows itself.
    pub fn leading(&self) -> Option<usize> {
        let fit = |index: &usize| self.masters[*index].core.is_some() && self.holds(*index);
        (0..self.masters.len()).find(fit)
    }

    /// Whether it may act, by its own lease.
    fn holds(&self, index: usize) -> bool {
        let stand = self.masters[index].stand.as_ref();
        stand.is_none_or(|stand| stand.lease.holds_at(self.now))
    }

    pub fn may_act(&self, index: usize) -> bool {
        self.plant == Some(Plant::IgnoreLease) || self.holds(index)
    }

    /// The one thing that elections are for: who acts is alone, and nobody acts after one that was elected later.
    fn acts_alone(&mut self, index: usize) {
        let Some(term) = self.masters[index].stand.as_ref().and_then(|stand| stand.term) else { return };
        assert!(term >= self.last_term, "master {index} acts by node {term} after node {}", self.last_term);
        self.last_term = term;
        let other = (0..self.masters.len())
            .find(|other| *other != index && self.masters[*other].core.is_some() && self.holds(*other));
        assert!(other.is_none(), "masters {index} and {other:?} may act at once");
    }

    /// A process ends by itself, and is started again.
    pub fn end_master(&mut self, index: usize, why: &str) {
        if self.masters[index].up {
            self.note(|| format!("master {index} ends: {why}"));
            self.count("masters ended by themselves");
            self.kill_master(index);
            self.put(100, 20_000, Item::MasterReturns { master: index });
        }
    }

    pub fn kill_master(&mut self, index: usize) {
        let life = self.masters[index].life;
        if !std::mem::take(&mut self.masters[index].up) {
            return;
        }
        let led = self.masters[index].core.is_some();
        self.masters[index] = Master { life, ..Master::default() };
        self.count(if led { "leaders died" } else { "standbys died" });
        self.asked.retain(|_, (_, of)| *of != life);
        self.note(|| format!("master {index} dies"));
        for scheduler in 0..self.schedulers.len() {
            self.master_is_gone(scheduler, index);
        }
        for agent in 0..self.agents.len() {
            self.agent_later(agent, 0, 20, agent_core::Event::Exited(master_address(index)));
        }
    }

    /// Stops a process; its sessions run out, and nobody is told.
    pub fn pause_master(&mut self, index: usize, from_ms: u64, to_ms: u64) {
        let master = &mut self.masters[index];
        if master.up && master.pause.is_none() {
            master.pause = Some(Pause::default());
            let life = master.life;
            self.count("masters paused");
            self.note(|| format!("master {index} is stopped"));
            self.put(from_ms, to_ms, Item::Resume { life });
        }
    }

    /// It goes on where it was stopped, and finds what came meanwhile.
    pub fn resume_master(&mut self, index: usize) {
        let Some(pause) = self.masters[index].pause.take() else { return };
        self.note(|| format!("master {index} goes on"));
        if !pause.leaving.is_empty() {
            self.count("effects that left late");
            self.master_effects(index, pause.leaving);
        }
        for item in pause.waiting {
            self.agenda.put(self.now, item);
        }
    }

    /// Keeps what reaches a process that is stopped, or that still reads the registry.
    pub fn kept_for_later(&mut self, item: Item) -> Option<Item> {
        let index = match &item {
            Item::Master { life, .. }
            | Item::Allocator { life, .. }
            | Item::RegistryWritten { life, .. }
            | Item::RegistryTaken { life, .. }
            | Item::RegistryLed { life, .. }
            | Item::RegistryWake { life } => self.master_of(*life),
            Item::MasterMail { master, .. } => Some(*master),
            Item::Election { voter: Voter::Master(index), step, .. } if !step.is_on_its_way() => Some(*index),
            _ => None,
        };
        let Some(master) = index.map(|index| &mut self.masters[index]) else { return Some(item) };
        if let Some(pause) = &mut master.pause {
            pause.waiting.push(item);
            return None;
        }
        let elected = master.core.is_none() && master.stand.as_ref().is_some_and(|it| it.term.is_some());
        if elected && matches!(item, Item::MasterMail { .. }) {
            master.early.push(item);
            return None;
        }
        Some(item)
    }

    pub fn master_event(&mut self, index: usize, event: master_core::Event) {
        if self.masters[index].core.is_none() {
            return;
        }
        if !self.may_act(index) {
            return self.end_master(index, "its lease is over");
        }
        self.acts_alone(index);
        self.note(|| format!("master {index} <- {event:?}"));
        self.touched = match event {
            master_core::Event::Timer(
                master_core::Timer::Allocate | master_core::Timer::Heartbeat { .. },
            ) => Touched::Nobody,
            _ => Touched::Master(index),
        };
        let mut effects = vec![];
        let now = self.now;
        let Some(core) = self.masters[index].core.as_mut() else { return };
        master_core::handle(&mut core.state, event, now, &mut effects);
        if let Some(ms) = self.masters[index].stumbles.take() {
            self.pause_master(index, ms, ms);
            let pause = self.masters[index].pause.as_mut().expect("just stopped");
            pause.leaving = effects;
            self.touched = Touched::Nobody;
            return;
        }
        self.master_effects(index, effects);
    }

    pub fn master_later(&mut self, index: usize, from_ms: u64, to_ms: u64, event: master_core::Event) {
        if let Some(life) = self.masters[index].core.as_ref().map(|core| core.life) {
            self.put(from_ms, to_ms, Item::Master { life, event });
        }
    }

    pub fn master_exited(&mut self, index: usize, address: SocketAddr) {
        self.master_later(index, 0, 50, master_core::Event::Exited(address));
    }

    fn deciding(&mut self, index: usize) -> &mut MasterNode {
        self.masters[index].core.as_mut().expect("it just decided")
    }

    fn master_effects(&mut self, index: usize, effects: master_core::Effects) {
        use master_core::Effect;
        for effect in effects {
            self.note(|| format!("master {index} -> {effect:?}"));
            match effect {
                Effect::Send { from, to, message } => {
                    let from = Upid::new(&from, master_address(index));
                    self.mail_from_master(index, from, &to, message);
                }
                Effect::Link(address) => {
                    self.deciding(index).links.insert(address);
                    let down = self.agents.iter().any(|a| a.address == address && a.state.is_none());
                    if down {
                        self.master_exited(index, address);
                    }
                }
                Effect::Stream { stream, event } => {
                    if let Some(scheduler) = self.listener(&stream) {
                        let at = self.stream_time(index, scheduler);
                        self.agenda.put(at, Item::Stream { scheduler, stream, event });
                    }
                }
                Effect::CloseStream(stream) => {
                    if let Some(scheduler) = self.listener(&stream) {
                        let at = self.stream_time(index, scheduler);
                        self.agenda.put(at, Item::StreamEnded { scheduler, stream });
                    }
                }
                Effect::Reply { reply, answer } => self.answered(reply, answer),
                Effect::Store { operation, then } => {
                    self.deciding(index).registrar.submit(operation, then);
                }
                Effect::Alloc(call) => self.tell_allocator(index, call),
                Effect::Wake { at, timer } => {
                    let life = self.deciding(index).life;
                    let event = master_core::Event::Timer(timer);
                    self.agenda.put(at.max(self.now), Item::Master { life, event });
                }
                Effect::Publish(happening) => {
                    self.deciding(index).follower.hear(*happening);
                }
                Effect::Exit(sentence) => panic!("the master wants to end: {sentence}"),
            }
        }
        self.registry_steps(index);
    }

    fn tell_allocator(&mut self, index: usize, call: AllocCall) {
        let life = self.deciding(index).life;
        let call = match (self.plant, call) {
            (Some(Plant::DoubleTotals), AllocCall::AddAgent { id, number, info, mut total, held }) => {
                let once = total.clone();
                total += &once;
                AllocCall::AddAgent { id, number, info, total, held }
            }
            (Some(Plant::LoseRecovered), AllocCall::Recover { .. }) if self.net.chance(50) => return,
            (_, call) => call,
        };
        self.agenda.put(self.now, Item::Allocator { life, call });
    }

    pub fn allocator_call(&mut self, life: u64, call: AllocCall) {
        let now = self.now;
        let Some(index) = self.master_of(life) else { return };
        let Some(core) = self.masters[index].core.as_mut() else { return };
        let look = !matches!(call, AllocCall::Tick) && self.steps.is_multiple_of(16);
        let grants: Vec<Grant> = core.allocator.handle(call, now);
        if look && let Err(why) = core.allocator.check() {
            panic!("allocator: {why}");
        }
        if !grants.is_empty() {
            self.agenda.put(now, Item::Master { life, event: master_core::Event::Granted(grants) });
        }
    }

    fn listener(&self, stream: &Arc<str>) -> Option<usize> {
        self.schedulers.iter().position(|s| s.stream.as_ref() == Some(stream))
    }

    /// A stream is one connection: late perhaps, but in order.
    pub fn stream_time(&mut self, master: usize, scheduler: usize) -> Time {
        let weather = std::mem::take(&mut self.net.weather);
        let at = self.net.arrivals(Node::Master(master), Node::Scheduler(scheduler), self.now);
        self.net.weather = weather;
        at.first().copied().unwrap_or(self.now)
    }

    /// How tasks end, for the tally.
    pub fn tally(&mut self, state: TaskState) {
        self.count(match state {
            TaskState::TaskFinished => "finished",
            TaskState::TaskFailed => "failed",
            TaskState::TaskKilled => "killed",
            TaskState::TaskLost => "lost",
            TaskState::TaskError => "error",
            TaskState::TaskDropped => "dropped",
            TaskState::TaskGone | TaskState::TaskGoneByOperator => "gone",
            TaskState::TaskUnreachable => "unreachable",
            TaskState::TaskRunning => "running",
            _ => return,
        });
    }
}
