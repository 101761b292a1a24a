//! Who is offered what.
//!
//! The allocator keeps its own books: what each agent has, what of it is held by which framework in which
//! role (offered or in use alike), who wants offers. It hears of changes by `Call`s and answers with
//! `Grant`s; the master turns a grant into offers, or gives it back by `Call::Recover` if it came too late.
//!
//! Pure: no clock, no chance of its own (`random` sorters draw from a seeded generator in the state).
//! In the master it runs in its own thread, so a round never holds up a registration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo};
use crate::resources::Resources;

pub type Role = Arc<str>;

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
    UpdateFramework { id: FrameworkId, info: Arc<FrameworkInfo>, suppressed: BTreeSet<Role> },
    RemoveFramework { id: FrameworkId },
    /// Connected again: gets offers. Its filters are forgotten.
    ActivateFramework { id: FrameworkId },
    /// Disconnected: gets none, keeps what it holds.
    DeactivateFramework { id: FrameworkId },
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
    RemoveAgent { id: AgentId },
    /// The total changed (re-registration with other resources).
    UpdateAgent { id: AgentId, info: Arc<AgentInfo>, total: Resources },
    ActivateAgent { id: AgentId },
    DeactivateAgent { id: AgentId },
    /// Resources come back: declined, rescinded, of ended tasks, or of a stale grant.
    /// `refuse` filters (framework, agent) for offers no larger than these resources.
    Recover { framework: FrameworkId, agent: AgentId, resources: Resources, refuse: Option<Duration> },
    /// An agent reported tasks of `framework` the books do not have (it came back with them).
    Hold { framework: FrameworkId, agent: AgentId, resources: Resources },
    /// REVIVE: forget filters and suppression, in `roles` or in all when empty.
    Revive { framework: FrameworkId, roles: BTreeSet<Role> },
    Suppress { framework: FrameworkId, roles: BTreeSet<Role> },
    /// REQUEST: a hint; no promise.
    Request { framework: FrameworkId },
    /// Hostnames that may be offered; `None` means all.
    Whitelist(Option<BTreeSet<String>>),
    Weights(BTreeMap<Role, f64>),
    /// `--allocation_interval` has passed.
    Tick,
}

/// Resources of one agent for one framework in one role; `resources` carry their allocation role.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub framework: FrameworkId,
    pub role: Role,
    pub agent: AgentId,
    /// That of the agent's `AddAgent`.
    pub number: u64,
    pub resources: Resources,
}
