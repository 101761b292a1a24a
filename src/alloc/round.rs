//! One round: agents with something new are gone through, and what is free on each is given to those whose
//! turn it is.
//!
//! What a client was not given before it is not given now, unless the agent has more free, the client's
//! refusal has ended, or the client wants more than before: being too small, filtered or unfit all stay true
//! of anything smaller. So a round looks at agents that grew (for everyone), at pairs whose refusal ended,
//! and at woken clients (on all agents); an idle cluster's tick looks at nothing.
//!
//! Coarse-grained as in Mesos: the first client in turn takes all of the agent that it may have. Source:
//! `__generateOffers`, hierarchical.cpp 1.11.

use std::borrow::Cow;

use rand::seq::SliceRandom;
use smallvec::SmallVec;

use super::amounts::{Amounts, Kinds};
use super::free::{self, Free};
use super::hierarchical::{Agent, Allocator, Client, Framework, Pending, Scope};
use super::{Grant, Role};
use crate::base::time::Time;
use crate::resources::Resources;

/// What one agent gives in this round.
type Gifts = SmallVec<[(u32, Resources); 2]>;

impl Allocator {
    pub(super) fn round(&mut self, scope: Scope, now: Time) -> Vec<Grant> {
        self.rounds += 1;
        self.expire(now);
        let mut candidates = self.candidates(scope);
        if candidates.is_empty() {
            return Vec::new();
        }
        let mut grants = Vec::new();
        // Before this comes the stage of quota guarantees, once there are quotas.
        self.fair_share_stage(&mut candidates, &mut grants);
        grants
    }

    /// The agents to look at. What is pending on them stays there for the stage to take.
    fn candidates(&mut self, scope: Scope) -> Vec<u32> {
        match scope {
            Scope::Agent(agent) => vec![agent],
            Scope::All => {
                let woken = std::mem::take(&mut self.woken);
                for client in woken {
                    let Some(books) = self.clients.get_mut(client) else { continue };
                    if std::mem::replace(&mut books.woken, false) && books.subscribed && !books.suppressed {
                        self.look_everywhere(client);
                    }
                }
                self.take_queue()
            }
        }
    }

    /// The client is pending on every agent that has enough to offer.
    fn look_everywhere(&mut self, client: u32) {
        let agents: Vec<u32> = self
            .agents
            .iter()
            .filter(|(_, agent)| self.is_offerable(agent))
            .map(|(number, _)| number)
            .collect();
        for agent in agents {
            self.look_again(agent, client);
        }
    }

    fn is_offerable(&self, agent: &Agent) -> bool {
        agent.active
            && agent.whitelisted
            && !agent.free.all.is_empty()
            && (self.own_least > 0 || suffices(&agent.free.amounts, &self.least))
    }

    /// All that is free, to whose turn it is.
    fn fair_share_stage(&mut self, candidates: &mut [u32], grants: &mut Vec<Grant>) {
        self.role_sorter.refresh(&self.total);
        candidates.shuffle(&mut self.dice);
        for &agent in candidates.iter() {
            let Some(books) = self.agents.get_mut(agent) else { continue };
            let pending = std::mem::take(&mut books.pending);
            if !self.agents.get(agent).is_some_and(|books| self.is_offerable(books)) {
                continue;
            }
            let gifts = match pending {
                Pending::Nothing => continue,
                Pending::Everyone => self.give_to_everyone(agent),
                Pending::Some(clients) => self.give_to_some(agent, clients),
            };
            for (client, resources) in gifts {
                self.grant(agent, client, resources, grants);
            }
        }
    }

    /// Roles in turn, and in each its frameworks in turn. The order is that before the agent's first gift:
    /// only gifts to other agents move a client.
    fn give_to_everyone(&mut self, agent: u32) -> Gifts {
        let mut gifts = Gifts::new();
        let Allocator {
            role_sorter,
            roles,
            agents,
            clients,
            frameworks,
            total,
            dice,
            least,
            options,
            kinds,
            ..
        } = self;
        let Some(books) = agents.get_mut(agent) else { return gifts };
        let mut left: Option<Free> = None;
        let mut rules = Rules { least, filter_gpus: options.filter_gpu_resources, kinds };
        for role in role_sorter.turns(dice) {
            if left.as_ref().is_some_and(|left| left.all.is_empty()) {
                break;
            }
            let (Some(name), Some(book)) = (roles.key(role).cloned(), roles.get_mut(role)) else { continue };
            book.sorter.refresh(total);
            for client in book.sorter.turns(dice) {
                let (Some(holder), Some(framework)) =
                    (clients.get(client), clients.get(client).and_then(|c| frameworks.get(c.framework)))
                else {
                    continue;
                };
                if let Some(gift) = rules.gift(books, left.as_ref(), &name, client, holder, framework) {
                    left = Some(left.as_ref().unwrap_or(&books.free).without(&gift, rules.kinds));
                    gifts.push((client, gift));
                }
            }
        }
        gifts
    }

    /// The same for a few clients: nothing has changed for the others.
    fn give_to_some(&mut self, agent: u32, mut clients: SmallVec<[u32; 4]>) -> Gifts {
        clients.sort_unstable();
        clients.dedup();
        let mut gifts = Gifts::new();
        let mut left: Option<Free> = None;
        for client in self.in_turn(&clients) {
            let Some(holder) = self.clients.get(client) else { continue };
            let (Some(framework), Some(role)) =
                (self.frameworks.get(holder.framework), self.roles.key(holder.role))
            else {
                continue;
            };
            let Some(books) = self.agents.get_mut(agent) else { break };
            let filter_gpus = self.options.filter_gpu_resources;
            let mut rules = Rules { least: &self.least, filter_gpus, kinds: &mut self.kinds };
            if let Some(gift) = rules.gift(books, left.as_ref(), role, client, holder, framework) {
                left = Some(left.as_ref().unwrap_or(&books.free).without(&gift, rules.kinds));
                gifts.push((client, gift));
            }
        }
        gifts
    }

    /// These clients in order of turn, without those that have none.
    fn in_turn(&mut self, clients: &[u32]) -> Vec<u32> {
        let mut of_role: Vec<(u32, Vec<u32>)> = Vec::new();
        for &client in clients {
            let Some(books) = self.clients.get(client) else { continue };
            match of_role.iter_mut().find(|(role, _)| *role == books.role) {
                Some((_, clients)) => clients.push(client),
                None => of_role.push((books.role, vec![client])),
            }
        }
        let names: Vec<&str> =
            of_role.iter().filter_map(|(role, _)| Some(&**self.roles.key(*role)?)).collect();
        let mut ordered = Vec::with_capacity(clients.len());
        for role in self.role_sorter.turns_of(&names, &mut self.dice) {
            let (Some(book), Some((_, clients))) =
                (self.roles.get_mut(role), of_role.iter().find(|(number, _)| *number == role))
            else {
                continue;
            };
            book.sorter.refresh(&self.total);
            let ids: Vec<&str> = clients
                .iter()
                .filter_map(|c| Some(self.frameworks.key(self.clients.get(*c)?.framework)?.value.as_str()))
                .collect();
            ordered.extend(book.sorter.turns_of(&ids, &mut self.dice));
        }
        ordered
    }

    fn grant(&mut self, agent: u32, client: u32, resources: Resources, grants: &mut Vec<Grant>) {
        self.hold(agent, client, &resources);
        let (Some(holder), Some(books)) = (self.clients.get(client), self.agents.get(agent)) else { return };
        let (Some(framework), Some(role), Some(agent)) =
            (self.frameworks.key(holder.framework), self.roles.key(holder.role), self.agents.key(agent))
        else {
            return;
        };
        grants.push(Grant {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            number: books.registration,
            resources,
        });
    }
}

#[cfg(test)]
impl Allocator {
    /// A gift that a round should have made: for any client with a turn, on any agent.
    pub(super) fn missed(&self) -> Option<(String, String, Resources)> {
        let mut agents = self.agents.clone();
        let mut kinds = self.kinds.clone();
        for (number, agent) in self.agents.iter() {
            let Some(agent) = agents.get_mut(number).filter(|_| self.is_offerable(agent)) else { continue };
            for (client, holder) in self.clients.iter() {
                let framework = self.frameworks.get(holder.framework)?;
                let role = self.roles.key(holder.role)?;
                if !holder.subscribed || holder.suppressed || !framework.active {
                    continue;
                }
                let filter_gpus = self.options.filter_gpu_resources;
                let mut rules = Rules { least: &self.least, filter_gpus, kinds: &mut kinds };
                if let Some(gift) = rules.gift(agent, None, role, client, holder, framework) {
                    return Some((role.to_string(), self.agents.key(number)?.value.clone(), gift));
                }
            }
        }
        None
    }
}

/// Enough to be worth an offer?
fn suffices(amounts: &Amounts, least: &[Amounts]) -> bool {
    least.is_empty() || least.iter().any(|least| amounts.covers(least))
}

/// What decides whether a client may have what is free on an agent.
struct Rules<'a> {
    least: &'a [Amounts],
    filter_gpus: bool,
    kinds: &'a mut Kinds,
}

impl Rules<'_> {
    /// What the client is given of the agent: everything it may have, or nothing. `left` is what others have
    /// left in this round, if they took anything.
    fn gift(
        &mut self,
        agent: &mut Agent,
        left: Option<&Free>,
        role: &Role,
        client: u32,
        holder: &Client,
        framework: &Framework,
    ) -> Option<Resources> {
        let abilities = framework.abilities;
        if agent.has_gpus && self.filter_gpus && !abilities.gpus || agent.remote && !abilities.regions {
            return None;
        }
        let free = left.unwrap_or(&agent.free);
        let may = free.open_to(role, abilities);
        if may.is_empty() {
            return None;
        }
        let least = holder.least.as_deref().unwrap_or(self.least);
        let enough = match &may {
            Cow::Borrowed(_) => suffices(&free.amounts, least),
            Cow::Owned(may) => suffices(&free::amounts(may, self.kinds), least),
        };
        if !enough || agent.refusals.block(client, agent.growth, &may) {
            return None;
        }
        Some(may.into_owned())
    }
}
