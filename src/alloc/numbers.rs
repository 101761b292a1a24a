//! What operators are shown of the books, by role.

use std::collections::BTreeMap;

use super::Role;
use super::hierarchical::Allocator;

/// As they are now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Refusals in force; each role that frameworks have subscribed to is there.
    pub refusals: BTreeMap<Role, u64>,
    /// The part of the cluster that a role holds of what it holds most of, divided by its weight; 0 to 1 at
    /// weight 1. Of roles shared out by dominant share alone.
    pub dominant_shares: BTreeMap<Role, f64>,
}

impl Allocator {
    /// Rounds so far, also those that found nothing to look at.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Costs a step for each client and each agent that it has refused.
    pub fn numbers(&self) -> Numbers {
        let mut refusals: BTreeMap<Role, u64> = BTreeMap::new();
        for (number, client) in self.clients.iter() {
            let Some(role) = self.roles.key(client.role) else { continue };
            let on = |agent: &u32| self.agents.get(*agent).map_or(0, |agent| agent.refusals.count(number));
            *refusals.entry(role.clone()).or_insert(0) += client.refused.iter().map(on).sum::<u64>();
        }
        let share = |role: &Role| Some((role.clone(), self.role_sorter.dominant_share(role, &self.total)?));
        let dominant_shares = refusals.keys().filter_map(share).collect();
        Numbers { refusals, dominant_shares }
    }
}
