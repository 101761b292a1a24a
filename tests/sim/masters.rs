//! The master and its allocator, and what becomes of their effects.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use mesos::agent::core as agent_core;
use mesos::alloc::{Call as AllocCall, Grant};
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::TaskState;
use mesos::registry::Registrar;

use crate::follower::Follower;
use crate::net::Node;
use crate::setup;
use crate::world::{Item, MasterNode, Plant, Touched, World, master_address};

impl World {
    pub fn start_master(&mut self) {
        if self.store.out_of_reach {
            self.count("masters waited for their store");
            return self.put(1000, 5000, Item::MasterReturns);
        }
        self.lives += 1;
        let life = self.lives;
        let registry = self.store.take(life, &setup::master_info(life));
        let (mut state, mut effects) = setup::master(life, &registry, self.now);
        let registrar = Registrar::new(registry, setup::STORE_TIMEOUT);
        let reply = master_core::ReplyId(u64::MAX);
        master_core::handle(&mut state, master_core::Event::Follow { reply }, self.now, &mut effects);
        effects.retain(|effect| !matches!(effect, master_core::Effect::Reply { .. }));
        let allocator = setup::allocator(life);
        self.note(|| format!("master {life} starts"));
        self.master = Some(MasterNode {
            state,
            registrar,
            allocator,
            life,
            links: BTreeSet::new(),
            follower: Follower::default(),
        });
        self.master_effects(effects);
        for agent in 0..self.agents.len() {
            self.leader_seen(agent);
        }
    }

    pub fn kill_master(&mut self) {
        let Some(master) = self.master.take() else { return };
        let life = master.life;
        self.count("masters died");
        self.asked.clear();
        self.note(|| format!("master {life} dies"));
        for scheduler in 0..self.schedulers.len() {
            self.master_is_gone(scheduler);
        }
        for agent in 0..self.agents.len() {
            self.agent_later(agent, 0, 20, agent_core::Event::Exited(master_address()));
        }
    }

    pub fn master_event(&mut self, event: master_core::Event) {
        if self.master.is_none() {
            return;
        }
        self.note(|| format!("master <- {event:?}"));
        self.touched = match event {
            master_core::Event::Timer(
                master_core::Timer::Allocate | master_core::Timer::Heartbeat { .. },
            ) => Touched::Nobody,
            _ => Touched::Master,
        };
        let mut effects = vec![];
        let now = self.now;
        let Some(master) = self.master.as_mut() else { return };
        master_core::handle(&mut master.state, event, now, &mut effects);
        self.master_effects(effects);
    }

    pub fn master_later(&mut self, from_ms: u64, to_ms: u64, event: master_core::Event) {
        if let Some(life) = self.master.as_ref().map(|m| m.life) {
            self.put(from_ms, to_ms, Item::Master { life, event });
        }
    }

    pub fn master_exited(&mut self, address: SocketAddr) {
        self.master_later(0, 50, master_core::Event::Exited(address));
    }

    fn master_effects(&mut self, effects: master_core::Effects) {
        use master_core::Effect;
        for effect in effects {
            self.note(|| format!("master -> {effect:?}"));
            match effect {
                Effect::Send { from, to, message } => {
                    let from = Upid::new(&from, master_address());
                    self.mail_from_master(from, &to, message);
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
                    if let Some(scheduler) = self.listener(&stream) {
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
                    let master = self.master.as_mut().expect("it just decided");
                    master.registrar.submit(operation, then);
                }
                Effect::Alloc(call) => self.tell_allocator(call),
                Effect::Wake { at, timer } => {
                    let life = self.master.as_ref().expect("it just decided").life;
                    let event = master_core::Event::Timer(timer);
                    self.agenda.put(at.max(self.now), Item::Master { life, event });
                }
                Effect::Publish(happening) => {
                    self.master.as_mut().expect("it just decided").follower.hear(*happening);
                }
                Effect::Exit(sentence) => panic!("the master wants to end: {sentence}"),
            }
        }
        self.registry_steps();
    }

    fn tell_allocator(&mut self, call: AllocCall) {
        let life = self.master.as_ref().expect("it just decided").life;
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
        let grants: Vec<Grant> = match self.master.as_mut() {
            Some(master) if master.life == life => {
                let look = !matches!(call, AllocCall::Tick) && self.steps.is_multiple_of(16);
                let grants = master.allocator.handle(call, now);
                if look && let Err(why) = master.allocator.check() {
                    panic!("allocator: {why}");
                }
                grants
            }
            _ => return,
        };
        if !grants.is_empty() {
            self.agenda.put(now, Item::Master { life, event: master_core::Event::Granted(grants) });
        }
    }

    fn listener(&self, stream: &Arc<str>) -> Option<usize> {
        self.schedulers.iter().position(|s| s.stream.as_ref() == Some(stream))
    }

    /// A stream is one connection: late perhaps, but in order.
    pub fn stream_time(&mut self, scheduler: usize) -> Time {
        let weather = std::mem::take(&mut self.net.weather);
        let at = self.net.arrivals(Node::Master, Node::Scheduler(scheduler), self.now);
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
