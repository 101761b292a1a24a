//! The durable facts of a cluster: which agents were admitted, which are unreachable or gone.
//!
//! `ops` says what an `Operation` does; a store (`store`) makes it durable and answers with an `Outcome`.

mod ops;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::time::Time;
use crate::proto::{AgentId, AgentInfo};

/// What a registry holds.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub admitted: BTreeMap<AgentId, Arc<AgentInfo>>,
    pub unreachable: BTreeMap<AgentId, Time>,
    pub gone: BTreeMap<AgentId, Time>,
}

/// One change. Each writes a bounded number of bytes, whatever the size of the cluster.
#[derive(Clone, Debug)]
pub enum Operation {
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
