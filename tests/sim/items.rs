//! What may be on the agenda, and the faults that are put in on purpose.

use std::sync::Arc;

use mesos::agent::containerizer::Exit;
use mesos::agent::core as agent_core;
use mesos::alloc::Call as AllocCall;
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::message::Message;
use mesos::proto::{ContainerId, scheduler};
use mesos::registry::{Batch, Failure, Registry};

use crate::elections;
use crate::ensemble::Voter;
use crate::executors::Input;

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
    /// A leader acts though its lease is over.
    IgnoreLease,
    /// The registry's store takes writes of whoever led once.
    NoFence,
    /// The disks of agents say that they wrote, and did not.
    LoseCheckpoints,
}

pub enum Item {
    /// For the master that was running when it was put here.
    Master {
        life: u64,
        event: master_core::Event,
    },
    /// Off the wire, for whichever master runs there.
    MasterMail {
        master: usize,
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
    /// A leader's request to take the store into possession gets there, its answer back, the note of who leads there,
    /// and the answer back; all before this time.
    RegistryTake {
        life: u64,
        until: Time,
    },
    RegistryTaken {
        life: u64,
        until: Time,
        registry: Registry,
    },
    RegistryLead {
        life: u64,
        until: Time,
        registry: Registry,
    },
    RegistryLed {
        life: u64,
        registry: Registry,
    },
    StoreHeals,
    /// Somebody's way to the ensemble and back, in this life of its process and this session.
    Election {
        voter: Voter,
        life: u64,
        session: Option<u64>,
        step: elections::Step,
    },
    /// The ensemble looks at a session.
    SessionEnds {
        session: u64,
    },
    /// A stopped master goes on.
    Resume {
        life: u64,
    },
    /// A scheduler hears that the master of this life leads.
    Follow {
        scheduler: usize,
        life: u64,
    },
    /// The ensemble gets well.
    EnsembleHeals,
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
    /// An agent's disk has written what waited.
    DiskWritten {
        agent: usize,
        life: u64,
    },
    MasterReturns {
        master: usize,
    },
    /// The connections between master and agent are found to be broken.
    LinkBreaks {
        master: usize,
        agent: usize,
    },
    /// That between master and driver is.
    DriverLinkBreaks {
        master: usize,
        scheduler: usize,
    },
    Chaos,
}
