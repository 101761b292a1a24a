//! Where masters keep their registry: a store that is slow, out of reach or cut off in the middle of a write.
//!
//! A write that fails may have been done, in part or not at all; what a master wrote before another took the store
//! into possession may arrive before that, and never after it.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesos::master::core as master_core;
use mesos::proto::MasterInfo;
use mesos::registry::{Batch, Failure, Key, Operation, Registry, Step};
use rand::RngExt;

use crate::world::{Item, Plant, World};

/// What outlives masters.
#[derive(Default)]
pub struct Store {
    pub records: BTreeMap<String, Bytes>,
    /// The master that has it.
    owner: u64,
    pub out_of_reach: bool,
    pub slow: bool,
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

    /// A new leader takes it, and notes so.
    pub fn take(&mut self, life: u64, info: &MasterInfo) -> Registry {
        self.owner = life;
        let mut registry = self.read();
        registry.apply(&Operation::Lead(info.clone().into()));
        let record = registry.record(&Key::Master).expect("just set");
        self.records.insert(Key::Master.to_string(), record);
        registry
    }
}

impl World {
    /// What the registrar of the master wants done.
    pub fn registry_steps(&mut self) {
        loop {
            let now = self.now;
            let Some(master) = self.master.as_mut() else { return };
            let life = master.life;
            let Some(step) = master.registrar.step(now) else { break };
            match step {
                Step::Write(batch) => {
                    let most = if self.store.slow { 15_000 } else { 40 };
                    self.put(1, most, Item::RegistryWrite { life, batch });
                }
                Step::Answer { answers, .. } => {
                    let believed = master.registrar.registry();
                    assert!(*believed == self.store.read(), "what was acknowledged is not what is stored");
                    for (then, done) in answers {
                        let event = master_core::Event::Stored { then, done };
                        self.agenda.put(now, Item::Master { life, event });
                    }
                }
                Step::Fail(why) => {
                    self.note(|| format!("master {life} ends: {why}"));
                    self.count("masters gave up");
                    self.kill_master();
                    self.put(100, 20_000, Item::MasterReturns);
                    return;
                }
            }
        }
        let wake = self.master.as_ref().and_then(|master| Some((master.life, master.registrar.next_wake()?)));
        if let Some((life, at)) = wake {
            self.agenda.put(at, Item::RegistryWake { life });
        }
    }

    /// A write has got to the store.
    pub fn registry_write(&mut self, life: u64, batch: &Batch) {
        let result = if self.store.owner != life {
            self.count("writes refused");
            Err(Failure::Fatal("deposed".to_owned()))
        } else if self.store.out_of_reach {
            self.count("writes failed");
            let kept = self.net.rng.random_range(0..=batch.len());
            self.keep(batch, kept);
            Err(Failure::Unavailable("out of reach".to_owned()))
        } else {
            self.count("writes");
            if self.plant != Some(Plant::LoseWrites) {
                self.keep(batch, batch.len());
            }
            Ok(())
        };
        self.put(0, 5, Item::RegistryWritten { life, result });
    }

    fn keep(&mut self, batch: &Batch, count: usize) {
        for change in batch.iter().take(count) {
            match &change.value {
                Some(value) => drop(self.store.records.insert(change.key.clone(), value.clone())),
                None => drop(self.store.records.remove(&change.key)),
            }
        }
    }

    pub fn registry_written(&mut self, life: u64, result: Result<(), Failure>) {
        let now = self.now;
        if let Some(master) = self.master.as_mut().filter(|master| master.life == life) {
            master.registrar.written(result, now);
            self.registry_steps();
        }
    }
}
