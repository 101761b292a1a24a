//! The books: agents with what is held on them, frameworks, roles, and who is to be looked at next.
//!
//! Everything known by id is found once per call and then named by a small number. A *client* is a framework
//! in one role; it is what has shares, refusals and turns. A framework of which only holdings are known (its
//! agents came back before it did) has books, but no turn.
//!
//! What could lead to a grant is remembered as it happens: agents with more free than before (`Pending`),
//! clients that want more than before (`woken`). A round looks at nothing else; see `round.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use smallvec::SmallVec;
use tracing::debug;

use super::amounts::{Amounts, Kinds};
use super::arena::Arena;
use super::filters::{Deadlines, Refusals};
use super::free::{self, Free};
use super::sorter::{Dice, Sorter, Total, weight_from};
use super::{Call, Grant, Options, Role};
use crate::base::time::Time;
use crate::proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo};
use crate::resources::Resources;

/// Gives the resources of agents to frameworks, fairly. See the module's text.
#[derive(Clone, Debug)]
pub struct Allocator {
    pub(super) options: Options,
    pub(super) agents: Arena<AgentId, Agent>,
    pub(super) frameworks: Arena<FrameworkId, Framework>,
    pub(super) roles: Arena<Role, RoleBook>,
    /// By framework and role.
    pub(super) clients: Arena<(u32, u32), Client>,
    pub(super) role_sorter: Sorter,
    pub(super) total: Total,
    pub(super) kinds: Kinds,
    pub(super) excluded: BTreeSet<usize>,
    /// Any one of these is enough to be offered; none: anything is.
    pub(super) least: Vec<Amounts>,
    /// Clients with a minimum of their own.
    pub(super) own_least: usize,
    pub(super) deadlines: Deadlines,
    pub(super) rounds: u64,
    pub(super) dice: Dice,
    pub(super) whitelist: Option<BTreeSet<String>>,
    /// Agents with something pending, each once.
    pub(super) queue: Vec<u32>,
    /// Clients that take what they did not before: they are tried on every agent.
    pub(super) woken: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Agent {
    /// The registration that grants are to name.
    pub(super) registration: u64,
    pub(super) info: Arc<AgentInfo>,
    pub(super) active: bool,
    pub(super) whitelisted: bool,
    pub(super) has_gpus: bool,
    /// In another region than the master.
    pub(super) remote: bool,
    pub(super) total: Resources,
    pub(super) held: BTreeMap<u32, Resources>,
    pub(super) held_sum: Resources,
    /// More is held than there is: the agent said so itself.
    pub(super) overdrawn: bool,
    pub(super) free: Free,
    /// How often `free` has grown.
    pub(super) growth: u64,
    pub(super) refusals: Refusals,
    pub(super) pending: Pending,
    pub(super) queued: bool,
}

/// Which clients an agent has to be tried on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Pending {
    #[default]
    Nothing,
    Some(SmallVec<[u32; 4]>),
    Everyone,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Framework {
    /// None while only holdings are known.
    pub(super) info: Option<Arc<FrameworkInfo>>,
    pub(super) active: bool,
    pub(super) abilities: Abilities,
    pub(super) clients: BTreeMap<Role, u32>,
}

/// Capabilities that decide what may be offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) multi_role: bool,
    pub(super) gpus: bool,
    pub(super) regions: bool,
    pub(super) revocable: bool,
    pub(super) shared: bool,
    pub(super) refined: bool,
}

#[derive(Clone, Debug)]
pub(super) struct RoleBook {
    pub(super) sorter: Sorter,
    pub(super) clients: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) framework: u32,
    pub(super) role: u32,
    pub(super) subscribed: bool,
    pub(super) suppressed: bool,
    /// The framework's own minimum for this role.
    pub(super) least: Option<Vec<Amounts>>,
    /// Agents on which it holds something.
    pub(super) holds: BTreeSet<u32>,
    /// Agents it has refused.
    pub(super) refused: BTreeSet<u32>,
    pub(super) woken: bool,
}

/// Which agents a round looks at.
pub(super) enum Scope {
    Agent(u32),
    All,
}

impl Allocator {
    pub fn new(options: Options) -> Allocator {
        let mut kinds = Kinds::default();
        let excluded: BTreeSet<usize> =
            options.fair_sharing_excluded_resource_names.iter().map(|name| kinds.number(name)).collect();
        let least = options.min_allocatable_resources.iter().map(|l| free::least(l, &mut kinds)).collect();
        let mut allocator = Allocator {
            agents: Arena::default(),
            frameworks: Arena::default(),
            roles: Arena::default(),
            clients: Arena::default(),
            role_sorter: Sorter::new(options.role_sorter, excluded.clone()),
            total: Total { version: 1, ..Total::default() },
            kinds,
            excluded,
            least,
            own_least: 0,
            deadlines: Deadlines::default(),
            rounds: 0,
            dice: Dice::seed_from_u64(options.seed),
            whitelist: None,
            queue: Vec::new(),
            woken: Vec::new(),
            options,
        };
        let weights = allocator.options.weights.clone();
        allocator.set_weights(&weights);
        allocator
    }

    /// Takes one call in; what is granted because of it comes out. What it names and the books do not know
    /// changes nothing.
    pub fn handle(&mut self, call: Call, now: Time) -> Vec<Grant> {
        match self.apply(call, now) {
            Some(scope) => self.round(scope, now),
            None => Vec::new(),
        }
    }

    /// Changes the books; a scope if a round is due at once. Others wait for the next tick.
    fn apply(&mut self, call: Call, now: Time) -> Option<Scope> {
        match call {
            Call::AddFramework { id, info, suppressed, active, held } => {
                self.add_framework(&id, info, &suppressed, active, &held);
                active.then_some(Scope::All)
            }
            Call::UpdateFramework { id, info, suppressed } => {
                self.update_framework(self.known_framework(&id)?, info, &suppressed);
                None
            }
            Call::RemoveFramework { id } => {
                self.remove_framework(self.known_framework(&id)?);
                None
            }
            Call::ActivateFramework { id } => {
                self.set_framework_active(self.known_framework(&id)?, true);
                Some(Scope::All)
            }
            Call::DeactivateFramework { id } => {
                self.set_framework_active(self.known_framework(&id)?, false);
                None
            }
            Call::AddAgent { id, number, info, total, held } => {
                let agent = self.add_agent(id, info, total, &held);
                if let Some(books) = self.agents.get_mut(agent) {
                    books.registration = number;
                }
                Some(Scope::Agent(agent))
            }
            Call::RemoveAgent { id } => {
                self.remove_agent(self.known_agent(&id)?);
                None
            }
            Call::UpdateAgent { id, info, total } => self.update_agent(self.known_agent(&id)?, info, total),
            Call::ActivateAgent { id } => {
                let agent = self.known_agent(&id)?;
                self.agents.get_mut(agent)?.active = true;
                self.look_at(agent);
                Some(Scope::Agent(agent))
            }
            Call::DeactivateAgent { id } => {
                let agent = self.known_agent(&id)?;
                self.agents.get_mut(agent)?.active = false;
                None
            }
            Call::Recover { framework, agent, role, resources, refuse } => {
                let (framework, agent) = (self.known_framework(&framework)?, self.known_agent(&agent)?);
                for (role, resources) in self.by_role(framework, role, &resources) {
                    let Some(client) =
                        self.frameworks.get(framework).and_then(|f| f.clients.get(&role).copied())
                    else {
                        debug!(%role, "resources recovered from a role that holds none");
                        continue;
                    };
                    // The refusal first: with its last resources a client may be gone.
                    if let Some(time) = refuse {
                        self.refuse(client, agent, resources.clone(), time, now);
                    }
                    self.release(agent, client, &resources);
                }
                None
            }
            Call::Hold { framework, agent, resources } => {
                let agent = self.known_agent(&agent)?;
                self.hold_told(&framework, agent, &resources);
                None
            }
            Call::Revive { framework, roles } => {
                for client in self.clients_in(self.known_framework(&framework)?, &roles) {
                    self.revive(client);
                }
                Some(Scope::All)
            }
            Call::Suppress { framework, roles } => {
                for client in self.clients_in(self.known_framework(&framework)?, &roles) {
                    if let Some(books) = self.clients.get_mut(client) {
                        books.suppressed = true;
                    }
                    self.list_client(client);
                }
                None
            }
            // A hint, and Mesos does not take it either.
            Call::Request { .. } => None,
            Call::Whitelist(hosts) => {
                self.set_whitelist(hosts);
                None
            }
            Call::Weights(weights) => {
                self.set_weights(&weights);
                None
            }
            Call::Tick => Some(Scope::All),
        }
    }

    fn known_framework(&self, id: &FrameworkId) -> Option<u32> {
        let known = self.frameworks.find(id);
        if known.is_none() {
            debug!(framework = %id, "call for an unknown framework ignored");
        }
        known
    }

    fn known_agent(&self, id: &AgentId) -> Option<u32> {
        let known = self.agents.find(id);
        if known.is_none() {
            debug!(agent = %id, "call for an unknown agent ignored");
        }
        known
    }

    /// The agent is tried on everyone in the next round that covers it.
    pub(super) fn look_at(&mut self, agent: u32) {
        if let Some(books) = self.agents.get_mut(agent) {
            books.pending = Pending::Everyone;
            if !std::mem::replace(&mut books.queued, true) {
                self.queue.push(agent);
            }
        }
    }

    /// The agent is tried on this client in the next round that covers it.
    pub(super) fn look_again(&mut self, agent: u32, client: u32) {
        let Some(books) = self.agents.get_mut(agent) else { return };
        match &mut books.pending {
            Pending::Everyone => {}
            Pending::Some(clients) => clients.push(client),
            Pending::Nothing => books.pending = Pending::Some(SmallVec::from_slice(&[client])),
        }
        if !std::mem::replace(&mut books.queued, true) {
            self.queue.push(agent);
        }
    }

    /// The client is tried on every agent in the next round that covers all.
    pub(super) fn wake(&mut self, client: u32) {
        if let Some(books) = self.clients.get_mut(client)
            && !std::mem::replace(&mut books.woken, true)
        {
            self.woken.push(client);
        }
    }

    /// Empties the queue of agents to look at.
    pub(super) fn take_queue(&mut self) -> Vec<u32> {
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain(|&agent| {
            self.agents.get_mut(agent).is_some_and(|books| std::mem::replace(&mut books.queued, false))
        });
        queue
    }

    fn set_weights(&mut self, weights: &BTreeMap<Role, f64>) {
        for (role, &weight) in weights {
            match weight_from(weight) {
                Some(weight) => self.role_sorter.set_weight(role, weight),
                None => debug!(%role, weight, "weight ignored: not a positive number"),
            }
        }
    }

    fn set_whitelist(&mut self, hosts: Option<BTreeSet<String>>) {
        self.whitelist = hosts;
        let numbers: Vec<u32> = self.agents.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let Some(agent) = self.agents.get_mut(number) else { continue };
            let listed = self.whitelist.as_ref().is_none_or(|hosts| hosts.contains(&agent.info.hostname));
            if listed != std::mem::replace(&mut agent.whitelisted, listed) && listed {
                self.look_at(number);
            }
        }
    }
}

impl Allocator {
    /// What is free on an agent, by the books.
    pub fn free(&self, agent: &AgentId) -> Option<&Resources> {
        Some(&self.agents.get(self.agents.find(agent)?)?.free.all)
    }

    /// Refusals in force.
    pub fn refusals(&self) -> usize {
        self.deadlines.len()
    }
}
