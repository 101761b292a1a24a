//! Where masters keep their registry: a store that is slow, out of reach or cut off in the middle of a write, and
//! that each new leader takes into possession.
//!
//! A write that fails may have been done, in part or not at all; what a master wrote before another took the store
//! into possession may arrive before that, and never after it. One beside the election serves sessions that live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mesos::base::time::Time;
use mesos::master::core as master_core;
use mesos::proto::{AgentId, MasterInfo};
use mesos::registry::{Batch, Failure, Key, Operation, Registry, Step};
use rand::RngExt;

use crate::ensemble::Voter;
use crate::setup;
use crate::world::{Item, Plant, World};

/// As `--registry_fetch_timeout` is unless said otherwise, and how long until it is tried again.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

/// What outlives masters.
#[derive(Default)]
pub struct Store {
    pub records: BTreeMap<String, Bytes>,
    /// The master that has it.
    owner: u64,
    pub out_of_reach: bool,
    pub slow: bool,
    /// Agents that were told that they are admitted, and those whose record was taken away since.
    told: BTreeSet<AgentId>,
    removed: BTreeSet<String>,
}

impl Store {
    pub fn heal(&mut self) {
        self.out_of_reach = false;
        self.slow = false;
    }

    fn read(&self) -> Registry {
        let records = self.records.iter().map(|(key, bytes)| (key.clone(), bytes.clone()));
        Registry::from_records(records).expect("what was written is read")
    }

    /// A new leader takes it, and reads what is there.
    pub fn take(&mut self, life: u64) -> Registry {
        self.owner = life;
        let registry = self.read();
        for agent in &self.told {
            self.has(&registry, agent);
        }
        registry
    }

    /// Nothing that an agent was told is lost.
    fn has(&self, registry: &Registry, agent: &AgentId) {
        let there = registry.admitted.contains_key(agent)
            || registry.unreachable.contains_key(agent)
            || registry.gone.contains_key(agent)
            || self.removed.contains(&Key::Agent(agent.clone()).to_string());
        assert!(there, "agent {agent} was told that it is admitted, and the registry has lost it");
    }

    /// An agent is told that it is admitted.
    pub fn told(&mut self, agent: &AgentId) {
        self.has(&self.read(), agent);
        self.told.insert(agent.clone());
    }

    /// A new leader notes that it leads.
    pub fn lead(&mut self, mut registry: Registry, info: &MasterInfo) -> Registry {
        registry.apply(&Operation::Lead(info.clone().into()));
        let record = registry.record(&Key::Master).expect("just set");
        self.records.insert(Key::Master.to_string(), record);
        registry
    }
}

impl World {
    /// Elected: the registry has to be taken and read before anything else.
    pub fn elected(&mut self, index: usize) {
        let (life, until) = (self.masters[index].life, self.now + FETCH_TIMEOUT);
        self.put_to_store(Item::RegistryTake { life, until });
    }

    fn put_to_store(&mut self, item: Item) {
        // Without a fence it is the late ones that show.
        let late = self.store.slow || self.plant == Some(Plant::NoFence);
        self.put(1, if late { 15_000 } else { 40 }, item);
    }

    /// Whether a request of this master gets to the store now.
    fn reaches_store(&self, index: usize) -> bool {
        let there = self.ensemble.is_none() || self.reaches_ensemble(Voter::Master(index));
        there && !self.store.out_of_reach
    }

    /// Whether the store serves this master: its session lives.
    fn is_served(&self, index: usize) -> bool {
        let session = self.masters[index].stand.as_ref().and_then(|stand| stand.session());
        let Some(ensemble) = &self.ensemble else { return true };
        self.plant == Some(Plant::NoFence) || session.is_some_and(|session| ensemble.has(session))
    }

    /// The store is asked for what it holds.
    pub fn registry_take(&mut self, life: u64, until: Time) {
        let Some(index) = self.master_of(life) else { return };
        if !self.reaches_store(index) {
            return self.ask_store_again(index, until, Item::RegistryTake { life, until });
        }
        if !self.is_served(index) {
            self.count("leaders deposed while they read");
            return self.end_master(index, "deposed before it read the registry");
        }
        let registry = self.store.take(life);
        self.put(0, 2000, Item::RegistryTaken { life, until, registry });
    }

    fn ask_store_again(&mut self, index: usize, until: Time, item: Item) {
        if self.now + AGAIN >= until {
            return self.end_master(index, "the registry cannot be read in time");
        }
        self.agenda.put(self.now + AGAIN, item);
    }

    /// What it held has come, and that this master leads is to be noted there.
    pub fn registry_taken(&mut self, life: u64, until: Time, registry: Registry) {
        self.put_to_store(Item::RegistryLead { life, until, registry });
    }

    pub fn registry_lead(&mut self, life: u64, until: Time, registry: Registry) {
        let Some(index) = self.master_of(life) else { return };
        if !self.reaches_store(index) {
            return self.ask_store_again(index, until, Item::RegistryLead { life, until, registry });
        }
        if !self.is_served(index) || self.is_fenced_out(life) {
            self.count("leaders deposed while they read");
            return self.end_master(index, "deposed while it read the registry");
        }
        assert!(registry == self.store.read(), "somebody wrote behind the fence");
        let registry = self.store.lead(registry, &setup::master_info(index, life));
        self.put(0, 5, Item::RegistryLed { life, registry });
    }

    fn is_fenced_out(&self, life: u64) -> bool {
        self.store.owner != life && self.plant != Some(Plant::NoFence)
    }

    /// What the registrar of a master wants done.
    pub fn registry_steps(&mut self, index: usize) {
        loop {
            let now = self.now;
            if !self.may_act(index) {
                return self.end_master(index, "its lease is over");
            }
            let Some(core) = self.masters[index].core.as_mut() else { return };
            let life = core.life;
            let Some(step) = core.registrar.step(now) else { break };
            match step {
                Step::Write(batch) => self.put_to_store(Item::RegistryWrite { life, batch }),
                Step::Answer { answers, .. } => {
                    let believed = core.registrar.registry();
                    assert!(*believed == self.store.read(), "what was acknowledged is not what is stored");
                    for (then, done) in answers {
                        let event = master_core::Event::Stored { then, done };
                        self.agenda.put(now, Item::Master { life, event });
                    }
                }
                Step::Fail(why) => {
                    self.count("masters gave up");
                    return self.end_master(index, &why);
                }
            }
        }
        let core = self.masters[index].core.as_ref();
        if let Some((life, at)) = core.and_then(|core| Some((core.life, core.registrar.next_wake()?))) {
            self.agenda.put(at, Item::RegistryWake { life });
        }
    }

    /// A write has got to the store, if it does.
    pub fn registry_write(&mut self, life: u64, batch: &Batch) {
        let index = self.master_of(life);
        let served = index.is_some_and(|index| self.is_served(index));
        let reached = index.is_none_or(|index| self.reaches_store(index));
        let result = if self.is_fenced_out(life) || reached && index.is_some() && !served {
            self.count("writes refused");
            Err(Failure::Fatal("deposed".to_owned()))
        } else if !reached {
            self.count("writes failed");
            let kept = self.net.rng.random_range(0..=batch.len());
            self.keep(life, batch, if served { kept } else { 0 });
            Err(Failure::Unavailable("out of reach".to_owned()))
        } else {
            self.count("writes");
            if self.plant != Some(Plant::LoseWrites) {
                self.keep(life, batch, batch.len());
            }
            Ok(())
        };
        self.put(0, 5, Item::RegistryWritten { life, result });
    }

    fn keep(&mut self, life: u64, batch: &Batch, count: usize) {
        assert!(
            count == 0 || self.plant == Some(Plant::LoseWrites) || life == self.store.owner,
            "a deposed leader wrote to the registry"
        );
        for change in batch.iter().take(count) {
            if change.value.is_none() {
                self.store.removed.insert(change.key.clone());
            }
            match &change.value {
                Some(value) => drop(self.store.records.insert(change.key.clone(), value.clone())),
                None => drop(self.store.records.remove(&change.key)),
            }
        }
    }

    pub fn registry_written(&mut self, life: u64, result: Result<(), Failure>) {
        let now = self.now;
        let Some(index) = self.master_of(life) else { return };
        if let Some(core) = self.masters[index].core.as_mut() {
            core.registrar.written(result, now);
            self.registry_steps(index);
        }
    }
}
