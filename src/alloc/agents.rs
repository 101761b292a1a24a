//! Agents come, change and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::filters::Refusals;
use super::free::{self, Free};
use super::hierarchical::{Agent, Allocator, Pending, Scope};
use crate::proto::{AgentId, AgentInfo, FrameworkId};
use crate::resources::Resources;

impl Allocator {
    pub(super) fn add_agent(
        &mut self,
        id: AgentId,
        info: Arc<AgentInfo>,
        total: Resources,
        held: &[(FrameworkId, Resources)],
    ) -> u32 {
        if let Some(agent) = self.agents.find(&id) {
            self.update_agent(agent, info, total);
            if let Some(books) = self.agents.get_mut(agent) {
                books.active = true;
            }
            for (framework, resources) in held {
                self.hold_missing(framework, agent, resources);
            }
            self.look_at(agent);
            return agent;
        }
        let agent = self.agents.insert(
            id,
            Agent {
                registration: 0,
                active: true,
                whitelisted: self.whitelist.as_ref().is_none_or(|hosts| hosts.contains(&info.hostname)),
                has_gpus: false,
                remote: false,
                info: Arc::new(AgentInfo::default()),
                total: Resources::default(),
                held: BTreeMap::new(),
                held_sum: Resources::default(),
                overdrawn: false,
                free: Free::default(),
                growth: 0,
                refusals: Refusals::default(),
                pending: Pending::Nothing,
                queued: false,
            },
        );
        self.set_agent(agent, info, total);
        for (framework, resources) in held {
            self.hold_told(framework, agent, resources);
        }
        self.look_at(agent);
        agent
    }

    pub(super) fn update_agent(
        &mut self,
        agent: u32,
        info: Arc<AgentInfo>,
        total: Resources,
    ) -> Option<Scope> {
        let books = self.agents.get(agent)?;
        if books.total == total && (Arc::ptr_eq(&books.info, &info) || *books.info == *info) {
            return None;
        }
        // A framework that refused the agent for what it lacked has no other way to learn of the change.
        if books.info.attributes != info.attributes {
            self.forget_refusals_on(agent);
        }
        self.set_agent(agent, info, total);
        self.look_at(agent);
        Some(Scope::Agent(agent))
    }

    /// Writes down what the agent is and has.
    fn set_agent(&mut self, agent: u32, info: Arc<AgentInfo>, total: Resources) {
        let Some(books) = self.agents.get_mut(agent) else { return };
        let region = info.domain.as_ref().and_then(|d| d.fault_domain.as_ref()).map(|f| &f.region.name);
        books.remote = region.is_some() && region != self.options.region.as_ref();
        books.whitelisted = self.whitelist.as_ref().is_none_or(|hosts| hosts.contains(&info.hostname));
        books.info = info;
        let before = free::amounts(&books.total, &mut self.kinds);
        let after = free::amounts(&total, &mut self.kinds);
        books.has_gpus = after.get(self.kinds.number("gpus")) > 0;
        books.overdrawn = !total.contains(&books.held_sum);
        books.total = total;
        if before != after {
            self.total.amounts.subtract(&before);
            self.total.amounts.add(&after);
            self.total.version += 1;
        }
        self.count_free(agent, true);
    }

    pub(super) fn remove_agent(&mut self, agent: u32) {
        let held: Vec<(u32, Resources)> = match self.agents.get_mut(agent) {
            Some(books) => std::mem::take(&mut books.held).into_iter().collect(),
            None => return,
        };
        self.forget_refusals_on(agent);
        for (client, resources) in held {
            self.charge(client, &resources, false);
            if let Some(books) = self.clients.get_mut(client) {
                books.holds.remove(&agent);
            }
            self.settle_client(client);
        }
        if let Some((_, books)) = self.agents.remove(agent) {
            let amounts = free::amounts(&books.total, &mut self.kinds);
            self.total.amounts.subtract(&amounts);
            self.total.version += 1;
        }
    }
}
