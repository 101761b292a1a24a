//! The durable facts of a cluster: which agents were admitted, which are unreachable or gone, and what operators
//! settled.
//!
//! `ops` says what an [`Operation`] does; `record` how a fact is written, one record each, so that an agent's
//! admission costs the same in a cluster of ten and of fifty thousand; `registrar` gathers operations while a
//! write is out; `message` is all of it as one message, which is what operators are shown. Pure, but for `store`:
//! the places that records are kept in.

pub mod message;
mod ops;
pub mod record;
mod registrar;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use crate::base::time::Time;
use crate::proto::maintenance::Schedule;
use crate::proto::quota::{QuotaConfig, QuotaInfo};
use crate::proto::{AgentId, AgentInfo, DrainInfo, MachineInfo, MasterInfo};

pub use record::Key;
pub use registrar::{Batch, Change, Failure, Registrar, Step};

/// What a registry holds. Cloning it is cheap; descriptions of agents are shared with the master's books.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Who led last.
    pub master: Option<Arc<MasterInfo>>,
    pub admitted: OrdMap<AgentId, Arc<AgentInfo>>,
    pub unreachable: OrdMap<AgentId, Time>,
    pub gone: OrdMap<AgentId, Time>,
    /// Of admitted and unreachable agents.
    pub drains: OrdMap<AgentId, Drain>,
    /// What a master must be capable of to read this registry.
    pub minimum_capabilities: BTreeSet<String>,
    // Room for what operators settle: kept, shown and moved, and not yet changed by any operation.
    /// By the name that `record::machine_name` gives them.
    pub machines: BTreeMap<String, MachineInfo>,
    pub schedules: Vec<Schedule>,
    /// By role, as the other three.
    pub quotas: BTreeMap<String, QuotaConfig>,
    /// Quotas of Mesos before 1.9.
    pub old_quotas: BTreeMap<String, QuotaInfo>,
    pub weights: BTreeMap<String, f64>,
}

impl Registry {
    /// What a master must be capable of to go on with this registry, and this one is not.
    pub fn missing_capabilities(&self, info: &MasterInfo) -> Vec<String> {
        let able: BTreeSet<&str> = info.capabilities.iter().map(|own| own.r#type().as_str_name()).collect();
        let needed = self.minimum_capabilities.iter();
        needed.filter(|needed| !able.contains(needed.as_str())).cloned().collect()
    }
}

/// An operator wants an agent empty, or without offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drain {
    pub info: Option<DrainInfo>,
    pub deactivated: bool,
}

/// One change. Each writes a bounded number of bytes, whatever the size of the cluster.
#[derive(Clone, Debug)]
pub enum Operation {
    /// This master leads from now on.
    Lead(Arc<MasterInfo>),
    Admit(Arc<AgentInfo>),
    /// The agent's description changed at its re-registration.
    Update(Arc<AgentInfo>),
    MarkUnreachable {
        agent: AgentId,
        at: Time,
    },
    MarkReachable(Arc<AgentInfo>),
    MarkGone {
        agent: AgentId,
        at: Time,
    },
    Remove(AgentId),
    /// Forget these unreachable and gone agents.
    Prune {
        unreachable: Vec<AgentId>,
        gone: Vec<AgentId>,
    },
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable now.
    Stored,
    /// It would change nothing, or contradict what is there (admitting an admitted agent).
    Refused,
}
