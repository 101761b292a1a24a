//! Frameworks come, change and go; each of their roles is a client.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Role;
use super::amounts::Amounts;
use super::free;
use super::hierarchical::{Abilities, Allocator, Client, Framework, RoleBook};
use super::sorter::Sorter;
use crate::proto::framework_info::capability::Type as Capability;
use crate::proto::{AgentId, FrameworkId, FrameworkInfo};
use crate::resources::{Quantities, Resources};

impl Allocator {
    pub(super) fn add_framework(
        &mut self,
        id: &FrameworkId,
        info: Arc<FrameworkInfo>,
        suppressed: &BTreeSet<Role>,
        active: bool,
        held: &[(AgentId, Resources)],
    ) {
        let framework = self.framework(id);
        self.update_framework(framework, info, suppressed);
        self.set_framework_active(framework, active);
        for (agent, resources) in held {
            if let Some(agent) = self.agents.find(agent) {
                self.hold_missing(id, agent, resources);
            }
        }
    }

    pub(super) fn update_framework(
        &mut self,
        framework: u32,
        info: Arc<FrameworkInfo>,
        suppressed: &BTreeSet<Role>,
    ) {
        let Some(books) = self.frameworks.get_mut(framework) else { return };
        let abilities = Abilities::of(&info);
        let changed = books.abilities != abilities;
        books.abilities = abilities;
        books.info = Some(info.clone());
        let roles = roles_of(&info);
        let old: Vec<(Role, u32)> =
            books.clients.iter().map(|(role, &client)| (role.clone(), client)).collect();
        for (role, client) in old {
            if !roles.contains(&role) {
                self.unsubscribe(client);
            }
        }
        for role in &roles {
            let client = self.client(framework, role);
            let least = self.own_least_in(&info, role);
            let Some(books) = self.clients.get_mut(client) else { continue };
            books.subscribed = true;
            let wants_again = std::mem::replace(&mut books.suppressed, suppressed.contains(role))
                && !suppressed.contains(role);
            let other_least = books.least != least;
            self.own_least += usize::from(least.is_some());
            self.own_least -= usize::from(books.least.is_some());
            books.least = least;
            if wants_again {
                self.forget_refusals_of(client);
            }
            if changed {
                self.weigh_refusals_again(client);
            }
            self.list_client(client);
            if changed || other_least {
                self.wake(client);
            }
        }
        self.settle_framework(framework);
    }

    /// All it holds is free again, and nothing of it stays.
    pub(super) fn remove_framework(&mut self, framework: u32) {
        let Some(books) = self.frameworks.get_mut(framework) else { return };
        books.active = false;
        books.info = None;
        let clients: Vec<u32> = books.clients.values().copied().collect();
        for client in clients {
            let Some(books) = self.clients.get_mut(client) else { continue };
            // Kept until everything is released, whatever `release` thinks of it.
            let agents: Vec<u32> = books.holds.iter().copied().collect();
            self.list_client(client);
            for agent in agents {
                let held = self.agents.get(agent).and_then(|books| books.held.get(&client)).cloned();
                if let Some(held) = held {
                    self.release(agent, client, &held);
                }
            }
            self.unsubscribe(client);
        }
        self.settle_framework(framework);
    }

    /// Connected or not. What it refused was refused by a scheduler that is gone.
    pub(super) fn set_framework_active(&mut self, framework: u32, active: bool) {
        let Some(books) = self.frameworks.get_mut(framework) else { return };
        if books.info.is_none() {
            return;
        }
        books.active = active;
        let clients: Vec<u32> = books.clients.values().copied().collect();
        for client in clients {
            if self.forget_refusals_of(client) {
                self.wake(client);
            }
            self.list_client(client);
        }
    }

    /// REVIVE in one role.
    pub(super) fn revive(&mut self, client: u32) {
        if self.forget_refusals_of(client) {
            self.wake(client);
        }
        if let Some(books) = self.clients.get_mut(client) {
            books.suppressed = false;
        }
        self.list_client(client);
    }

    /// The framework's clients in these roles; in all it has subscribed to when none are named.
    pub(super) fn clients_in(&self, framework: u32, roles: &BTreeSet<Role>) -> Vec<u32> {
        let Some(books) = self.frameworks.get(framework) else { return Vec::new() };
        let named = |role: &Role| roles.is_empty() || roles.contains(role);
        let subscribed = |client: &u32| self.clients.get(*client).is_some_and(|books| books.subscribed);
        books
            .clients
            .iter()
            .filter(|(role, client)| named(role) && subscribed(client))
            .map(|(_, &c)| c)
            .collect()
    }

    /// Keeps its place in the order of turns: it has one if it can be offered anything.
    pub(super) fn list_client(&mut self, client: u32) {
        let Some(books) = self.clients.get(client) else { return };
        let (framework, role) = (books.framework, books.role);
        let wants = books.subscribed && !books.suppressed;
        let Some(id) = self.frameworks.key(framework) else { return };
        let active = wants && self.frameworks.get(framework).is_some_and(|books| books.active);
        let (Some(name), Some(book)) = (self.roles.key(role).cloned(), self.roles.get_mut(role)) else {
            return;
        };
        if book.sorter.set_active(&id.value, active) {
            let role_active = book.sorter.has_active();
            self.role_sorter.set_active(&name, role_active);
            if active {
                self.wake(client);
            }
        }
    }

    /// The framework's number; one that is not known yet gets books without a turn.
    pub(super) fn framework(&mut self, id: &FrameworkId) -> u32 {
        match self.frameworks.find(id) {
            Some(known) => known,
            None => self.frameworks.insert(id.clone(), Framework::default()),
        }
    }

    /// The client of a framework in a role, made if it is missing.
    pub(super) fn client(&mut self, framework: u32, role: &Role) -> u32 {
        if let Some(&known) = self.frameworks.get(framework).and_then(|books| books.clients.get(role)) {
            return known;
        }
        let number = match self.roles.find(role) {
            Some(known) => known,
            None => {
                let sorter = Sorter::new(self.options.framework_sorter, self.excluded.clone());
                let number = self.roles.insert(role.clone(), RoleBook { sorter, clients: 0 });
                self.role_sorter.add(role, number);
                number
            }
        };
        let client = self.clients.insert(
            (framework, number),
            Client {
                framework,
                role: number,
                subscribed: false,
                suppressed: false,
                least: None,
                holds: BTreeSet::new(),
                refused: BTreeSet::new(),
                woken: false,
            },
        );
        let id = self.frameworks.key(framework).map(|id| id.value.clone()).unwrap_or_default();
        if let Some(book) = self.roles.get_mut(number) {
            book.clients += 1;
            book.sorter.add(&id, client);
        }
        if let Some(books) = self.frameworks.get_mut(framework) {
            books.clients.insert(role.clone(), client);
        }
        client
    }

    fn unsubscribe(&mut self, client: u32) {
        self.forget_refusals_of(client);
        if let Some(books) = self.clients.get_mut(client) {
            books.subscribed = false;
            books.suppressed = false;
            self.own_least -= usize::from(books.least.take().is_some());
        }
        self.list_client(client);
        self.settle_client(client);
    }

    /// Ends a client that neither wants nor holds anything.
    pub(super) fn settle_client(&mut self, client: u32) {
        if self.clients.get(client).is_none_or(|books| books.subscribed || !books.holds.is_empty()) {
            return;
        }
        self.forget_refusals_of(client);
        let Some((_, Client { framework, role, .. })) = self.clients.remove(client) else { return };
        let id = self.frameworks.key(framework).map(|id| id.value.clone()).unwrap_or_default();
        let name = self.roles.key(role).cloned().unwrap_or_else(|| "*".into());
        if let Some(books) = self.frameworks.get_mut(framework) {
            books.clients.remove(&name);
        }
        if let Some(book) = self.roles.get_mut(role) {
            book.sorter.remove(&id);
            book.clients -= 1;
            if book.clients == 0 {
                self.roles.remove(role);
                self.role_sorter.remove(&name);
            }
        }
        self.settle_framework(framework);
    }

    /// Ends the books of a framework that is not subscribed and holds nothing.
    pub(super) fn settle_framework(&mut self, framework: u32) {
        if self
            .frameworks
            .get(framework)
            .is_some_and(|books| books.info.is_none() && books.clients.is_empty())
        {
            self.frameworks.remove(framework);
        }
    }

    /// The framework's minimum for offers in this role, if it set one.
    fn own_least_in(&mut self, info: &FrameworkInfo, role: &Role) -> Option<Vec<Amounts>> {
        let set = info.offer_filters.get(&**role)?.min_allocatable_resources.as_ref()?;
        // The master has refused what is no quantity; if it has not, it asks for nothing.
        let least = set.quantities.iter().map(|q| {
            free::least(&Quantities::from_proto(&q.quantities).unwrap_or_default(), &mut self.kinds)
        });
        Some(least.collect())
    }
}

impl Abilities {
    fn of(info: &FrameworkInfo) -> Abilities {
        let has = |c: Capability| info.capabilities.iter().any(|found| found.r#type == Some(c as i32));
        Abilities {
            multi_role: has(Capability::MultiRole),
            gpus: has(Capability::GpuResources),
            regions: has(Capability::RegionAware),
            revocable: has(Capability::RevocableResources),
            shared: has(Capability::SharedResources),
            refined: has(Capability::ReservationRefinement),
        }
    }
}

/// `roles` counts for MULTI_ROLE frameworks only, `role` for the others only.
fn roles_of(info: &FrameworkInfo) -> BTreeSet<Role> {
    if Abilities::of(info).multi_role {
        return info.roles.iter().map(|role| Role::from(role.as_str())).collect();
    }
    #[expect(deprecated, reason = "frameworks without MULTI_ROLE still name their role here")]
    let role = info.role.as_deref().unwrap_or("*");
    BTreeSet::from([Role::from(role)])
}
