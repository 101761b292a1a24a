//! What must hold of the books after every call.

use std::collections::BTreeMap;

use super::amounts::Amounts;
use super::free;
use super::hierarchical::Allocator;
use crate::resources::Resources;

impl Allocator {
    /// Do the books agree with themselves? Slow; for tests and simulation.
    pub fn check(&self) -> Result<(), String> {
        let mut kinds = self.kinds.clone();
        let mut total = Amounts::default();
        let mut holdings: BTreeMap<u32, Amounts> = BTreeMap::new();
        for (number, agent) in self.agents.iter() {
            let id = self.agents.key(number).map(|id| id.value.as_str()).unwrap_or_default();
            total.add(&free::amounts(&agent.total, &mut kinds));
            let mut sum = Resources::default();
            for (client, held) in &agent.held {
                sum.add(held);
                holdings.entry(*client).or_default().add(&free::amounts(held, &mut kinds));
                let holder = self.clients.get(*client).ok_or(format!("{id}: held by nobody"))?;
                if held.is_empty() || !holder.holds.contains(&number) {
                    return Err(format!("{id}: holder does not know what it holds"));
                }
            }
            if sum != agent.held_sum {
                return Err(format!("{id}: holdings do not add up"));
            }
            if !agent.overdrawn && !agent.total.contains(&sum) {
                return Err(format!("{id}: more is held than there is"));
            }
            if agent.free.all != free::less(&agent.total, &sum) {
                return Err(format!("{id}: free is not what is left"));
            }
        }
        if total != self.total.amounts {
            return Err("agents do not add up to the total".to_owned());
        }
        self.check_clients(&holdings)
    }

    fn check_clients(&self, holdings: &BTreeMap<u32, Amounts>) -> Result<(), String> {
        let mut by_role: BTreeMap<u32, Amounts> = BTreeMap::new();
        let none = Amounts::default();
        for (number, client) in self.clients.iter() {
            let framework = self.frameworks.key(client.framework).ok_or("a client without framework")?;
            let book = self.roles.get(client.role).ok_or("a client without role")?;
            let held = holdings.get(&number).unwrap_or(&none);
            by_role.entry(client.role).or_default().add(held);
            if book.sorter.held(&framework.value) != Some(held) {
                return Err(format!("{framework}: its sorter counts otherwise"));
            }
            if !client.subscribed && client.holds.is_empty() {
                return Err(format!("{framework}: a client without reason to be"));
            }
        }
        for (number, book) in self.roles.iter() {
            let name = self.roles.key(number).ok_or("a role without name")?;
            if self.role_sorter.held(name) != by_role.get(&number) || book.clients == 0 {
                return Err(format!("role {name}: its sorter counts otherwise"));
            }
        }
        Ok(())
    }
}
