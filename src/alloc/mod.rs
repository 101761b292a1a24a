//! Who is offered what.
//!
//! The allocator keeps its own books: what each agent has, what of it is held by which framework in which
//! role (offered or in use alike), who wants offers. It hears of changes by `Call`s and answers with
//! `Grant`s; the master turns a grant into offers, or gives it back by `Call::Recover` if it came too late.
//!
//! Pure: no clock, no chance of its own (all draws are from a seeded generator in the state).
//! In the master it runs in its own thread, so a round never holds up a registration.
//!
//! Start at `hierarchical.rs` (the books and what each call does to them), then `round.rs` (how free
//! resources are given out) and `sorter` (whose turn it is). Absent as yet: quota, offer constraints,
//! changes of reservations, shared and inverse offers; `round` names the stage where quota comes in, and
//! roles are a tree in the sorter already.

mod agents;
mod amounts;
mod arena;
mod clients;
mod filters;
mod free;
mod hierarchical;
mod holdings;
mod invariants;
mod numbers;
mod round;
#[cfg(test)]
mod scenario_tests;
mod sorter;
#[cfg(test)]
mod torture_tests;

pub use hierarchical::Allocator;
pub use numbers::Numbers;
pub use sorter::Policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo};
use crate::resources::{Quantities, Resources};

pub use crate::resources::Role;

/// How an allocator is to work; the flags of the master.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far apart the ticks are. Refusals last at least as long.
    pub allocation_interval: Duration,
    /// `--role_sorter`, earlier `--user_sorter`.
    pub role_sorter: Policy,
    pub framework_sorter: Policy,
    /// By role, positive; 1 where nothing is said.
    pub weights: BTreeMap<Role, f64>,
    pub fair_sharing_excluded_resource_names: BTreeSet<String>,
    /// An agent with less free than each of these is not offered. Empty: anything is offered.
    pub min_allocatable_resources: Vec<Quantities>,
    /// Agents with GPUs are for frameworks with GPU_RESOURCES alone.
    pub filter_gpu_resources: bool,
    /// The master's region; agents of another are for frameworks with REGION_AWARE alone.
    pub region: Option<String>,
    /// Of everything left to chance.
    pub seed: u64,
}

impl Default for Options {
    /// The defaults of the flags. Source: master/constants.hpp 1.11.
    fn default() -> Options {
        let least = Quantities::parse("cpus:0.01").into_iter().chain(Quantities::parse("mem:32"));
        Options {
            allocation_interval: Duration::from_secs(1),
            role_sorter: Policy::Drf,
            framework_sorter: Policy::Drf,
            weights: BTreeMap::new(),
            fair_sharing_excluded_resource_names: BTreeSet::new(),
            min_allocatable_resources: least.collect(),
            filter_gpu_resources: true,
            region: None,
            seed: 0,
        }
    }
}

/// What the allocator is told. The order of calls is the order of the master's decisions.
#[derive(Clone, Debug)]
pub enum Call {
    /// A framework (re)subscribed. `held` is what it holds already, known from agents that came back first.
    AddFramework {
        id: FrameworkId,
        info: Arc<FrameworkInfo>,
        suppressed: BTreeSet<Role>,
        active: bool,
        held: Vec<(AgentId, Resources)>,
    },
    /// New roles, capabilities or filters of a known framework.
    UpdateFramework {
        id: FrameworkId,
        info: Arc<FrameworkInfo>,
        suppressed: BTreeSet<Role>,
    },
    RemoveFramework {
        id: FrameworkId,
    },
    /// Connected again: gets offers. Its filters are forgotten.
    ActivateFramework {
        id: FrameworkId,
    },
    /// Disconnected: gets none, keeps what it holds.
    DeactivateFramework {
        id: FrameworkId,
    },
    /// An agent (re)registered with its total; `held` is what tasks on it use, by framework.
    /// `number` is of this registration: a grant carries it back, so that one computed before the agent went
    /// and came back is known as stale.
    AddAgent {
        id: AgentId,
        number: u64,
        info: Arc<AgentInfo>,
        total: Resources,
        held: Vec<(FrameworkId, Resources)>,
    },
    RemoveAgent {
        id: AgentId,
    },
    /// The total changed (re-registration with other resources).
    UpdateAgent {
        id: AgentId,
        info: Arc<AgentInfo>,
        total: Resources,
    },
    ActivateAgent {
        id: AgentId,
    },
    DeactivateAgent {
        id: AgentId,
    },
    /// Resources come back: declined, rescinded, of ended tasks, or of a stale grant. `role` is that of resources
    /// without allocation role; `None`: the framework's only one, or `*`.
    /// `refuse` filters (framework, agent) for offers no larger than these resources.
    Recover {
        framework: FrameworkId,
        agent: AgentId,
        role: Option<Role>,
        resources: Resources,
        refuse: Option<Duration>,
    },
    /// An agent reported tasks of `framework` the books do not have (it came back with them).
    Hold {
        framework: FrameworkId,
        agent: AgentId,
        resources: Resources,
    },
    /// REVIVE: forget filters and suppression, in `roles` or in all when empty.
    Revive {
        framework: FrameworkId,
        roles: BTreeSet<Role>,
    },
    Suppress {
        framework: FrameworkId,
        roles: BTreeSet<Role>,
    },
    /// REQUEST: a hint; no promise.
    Request {
        framework: FrameworkId,
    },
    /// Hostnames that may be offered; `None` means all.
    Whitelist(Option<BTreeSet<String>>),
    Weights(BTreeMap<Role, f64>),
    /// `--allocation_interval` has passed.
    Tick,
}

/// Resources of one agent for one framework in one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub framework: FrameworkId,
    pub role: Role,
    pub agent: AgentId,
    /// That of the agent's `AddAgent`.
    pub number: u64,
    /// Without allocation role; `role` is it.
    pub resources: Resources,
}
