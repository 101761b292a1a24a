//! Who holds what on which agent, in the agents' books and the sorters alike.
//!
//! Inside the books resources carry no allocation role: the client that holds them is one.

use smallvec::SmallVec;
use tracing::debug;

use super::Role;
use super::free::{self, Free};
use super::hierarchical::{Allocator, Client};
use crate::proto::FrameworkId;
use crate::resources::Resources;

impl Allocator {
    /// The resources by role of allocation. What names none belongs to `unmarked`, or else to the framework's only
    /// role, or to `*`.
    pub(super) fn by_role(
        &self,
        framework: u32,
        unmarked: Option<Role>,
        resources: &Resources,
    ) -> SmallVec<[(Role, Resources); 1]> {
        let only = || {
            let roles = self.frameworks.get(framework).map(|f| &f.clients)?;
            roles.keys().next().filter(|_| roles.len() == 1).cloned()
        };
        free::by_allocation_role(resources, unmarked.or_else(only).unwrap_or_else(|| "*".into()))
    }

    /// The agent or the master says that the framework holds these; taken as it is.
    pub(super) fn hold_told(&mut self, id: &FrameworkId, agent: u32, resources: &Resources) {
        let framework = self.framework(id);
        for (role, resources) in self.by_role(framework, None, resources) {
            let client = self.client(framework, &role);
            self.hold(agent, client, &resources);
            self.settle_client(client);
        }
        self.settle_framework(framework);
    }

    /// The framework holds at least these: what the books lack is added.
    pub(super) fn hold_missing(&mut self, id: &FrameworkId, agent: u32, resources: &Resources) {
        let framework = self.framework(id);
        for (role, resources) in self.by_role(framework, None, resources) {
            let client = self.client(framework, &role);
            let known = self.agents.get(agent).and_then(|books| books.held.get(&client));
            let missing = match known {
                Some(known) => free::less(&resources, known),
                None => resources,
            };
            self.hold(agent, client, &missing);
            self.settle_client(client);
        }
        self.settle_framework(framework);
    }

    /// `resources` carry no allocation role; the client is one.
    pub(super) fn hold(&mut self, agent: u32, client: u32, resources: &Resources) {
        let (Some(books), Some(holder)) = (self.agents.get_mut(agent), self.clients.get_mut(client)) else {
            return;
        };
        if resources.is_empty() {
            return;
        }
        books.held.entry(client).or_default().add(resources);
        books.held_sum.add(resources);
        books.overdrawn = !books.total.contains(&books.held_sum);
        holder.holds.insert(agent);
        self.charge(client, resources, true);
        self.count_free(agent, false);
    }

    /// Gives back at most what the client holds; the agent is looked at again.
    pub(super) fn release(&mut self, agent: u32, client: u32, resources: &Resources) {
        let Some(books) = self.agents.get_mut(agent) else { return };
        let Some(held) = books.held.get_mut(&client) else {
            debug!(agent, client, "resources recovered that are not held");
            return;
        };
        let given = free::common(held, resources);
        if given.is_empty() {
            return;
        }
        held.subtract(&given);
        let nothing_left = held.is_empty();
        if nothing_left {
            books.held.remove(&client);
        }
        books.held_sum.subtract(&given);
        books.overdrawn = !books.total.contains(&books.held_sum);
        self.charge(client, &given, false);
        self.count_free(agent, true);
        self.look_at(agent);
        if nothing_left {
            if let Some(holder) = self.clients.get_mut(client) {
                holder.holds.remove(&agent);
            }
            self.settle_client(client);
        }
    }

    /// Tells both sorters what the client has more or less.
    pub(super) fn charge(&mut self, client: u32, resources: &Resources, more: bool) {
        let amounts = free::amounts(resources, &mut self.kinds);
        let Some(&Client { framework, role, .. }) = self.clients.get(client) else { return };
        let (Some(id), Some(name)) = (self.frameworks.key(framework), self.roles.key(role).cloned()) else {
            return;
        };
        let Some(book) = self.roles.get_mut(role) else { return };
        if more {
            book.sorter.allocated(&id.value, &amounts);
            self.role_sorter.allocated(&name, &amounts);
        } else {
            book.sorter.unallocated(&id.value, &amounts);
            self.role_sorter.unallocated(&name, &amounts);
        }
    }

    /// What is free follows from what there is and what is held.
    pub(super) fn count_free(&mut self, agent: u32, grown: bool) {
        if let Some(books) = self.agents.get_mut(agent) {
            books.free = Free::new(free::less(&books.total, &books.held_sum), &mut self.kinds);
            books.growth += u64::from(grown);
        }
    }
}
