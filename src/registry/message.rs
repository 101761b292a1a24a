//! A registry as one message: what `/registrar(1)/registry` shows and `mesos registry` moves, in Mesos's form.

use std::sync::Arc;

use super::record::{machine_name, time};
use super::{Drain, Registry};
use crate::proto::internal::{Registry as Message, registry};
use crate::proto::{AgentId, WeightInfo};

/// Why a message is no registry.
#[derive(Debug, thiserror::Error)]
pub enum Contradiction {
    #[error("an admitted agent has no id")]
    NoId,
    #[error("agent {0} is there twice")]
    Twice(AgentId),
}

impl Registry {
    /// Agents that are unreachable or gone come in the order in which they became so, as Mesos keeps them.
    pub fn to_message(&self) -> Message {
        let by_time = |agents: &imbl::OrdMap<AgentId, _>| -> Vec<AgentId> {
            let mut by_time: Vec<_> = agents.iter().map(|(id, at)| (*at, id)).collect();
            by_time.sort();
            by_time.into_iter().map(|(_, id)| id.clone()).collect()
        };
        let admitted: Vec<_> = self.admitted.keys().filter_map(|id| self.admitted_message(id)).collect();
        let unreachable: Vec<_> =
            by_time(&self.unreachable).iter().filter_map(|id| self.unreachable_message(id)).collect();
        let gone: Vec<_> = by_time(&self.gone).iter().filter_map(|id| self.gone_message(id)).collect();
        let machines: Vec<_> =
            self.machines.values().map(|info| registry::Machine { info: info.clone() }).collect();
        let weight = |(role, weight): (&String, &f64)| registry::Weight {
            info: WeightInfo { weight: *weight, role: Some(role.clone()) },
        };
        let capability = |name: &String| registry::MinimumCapability { capability: name.clone() };
        let old_quotas = self.old_quotas.values().map(|info| registry::Quota { info: info.clone() });
        Message {
            master: self.master.as_deref().map(|info| registry::Master { info: info.clone() }),
            agents: (!admitted.is_empty()).then_some(registry::Agents { agents: admitted }),
            unreachable: (!unreachable.is_empty())
                .then_some(registry::UnreachableAgents { agents: unreachable }),
            gone: (!gone.is_empty()).then_some(registry::GoneAgents { agents: gone }),
            machines: (!machines.is_empty()).then_some(registry::Machines { machines }),
            schedules: self.schedules.clone(),
            quotas: old_quotas.collect(),
            quota_configs: self.quotas.values().cloned().collect(),
            weights: self.weights.iter().map(weight).collect(),
            minimum_capabilities: self.minimum_capabilities.iter().map(capability).collect(),
        }
    }

    /// Also what a Mesos 1.11 shows of its registry.
    pub fn from_message(message: Message) -> Result<Registry, Contradiction> {
        let mut registry = Registry {
            master: message.master.map(|master| Arc::new(master.info)),
            schedules: message.schedules,
            ..Registry::default()
        };
        for agent in message.agents.into_iter().flat_map(|agents| agents.agents) {
            let id = agent.info.id.clone().ok_or(Contradiction::NoId)?;
            let drain = Drain { deactivated: agent.deactivated(), info: agent.drain_info };
            registry.is_new(&id)?;
            registry.add_drain(&id, drain);
            registry.admitted.insert(id, Arc::new(agent.info));
        }
        for agent in message.unreachable.into_iter().flat_map(|agents| agents.agents) {
            let drain = Drain { deactivated: agent.deactivated(), info: agent.drain_info };
            registry.is_new(&agent.id)?;
            registry.add_drain(&agent.id, drain);
            registry.unreachable.insert(agent.id, time(agent.timestamp));
        }
        for agent in message.gone.into_iter().flat_map(|agents| agents.agents) {
            registry.is_new(&agent.id)?;
            registry.gone.insert(agent.id, time(agent.timestamp));
        }
        let machines = message.machines.into_iter().flat_map(|machines| machines.machines);
        registry.machines = machines.map(|machine| (machine_name(&machine.info.id), machine.info)).collect();
        let quotas = message.quota_configs.into_iter();
        registry.quotas = quotas.map(|config| (config.role.clone(), config)).collect();
        let old_quotas = message.quotas.into_iter();
        registry.old_quotas = old_quotas.map(|quota| (quota.info.role().to_owned(), quota.info)).collect();
        let weights = message.weights.into_iter();
        registry.weights =
            weights.map(|weight| (weight.info.role().to_owned(), weight.info.weight)).collect();
        let capabilities = message.minimum_capabilities.into_iter();
        registry.minimum_capabilities = capabilities.map(|minimum| minimum.capability).collect();
        Ok(registry)
    }

    fn is_new(&self, id: &AgentId) -> Result<(), Contradiction> {
        let known =
            self.admitted.contains_key(id) || self.unreachable.contains_key(id) || self.gone.contains_key(id);
        if known { Err(Contradiction::Twice(id.clone())) } else { Ok(()) }
    }

    fn add_drain(&mut self, id: &AgentId, drain: Drain) {
        if drain != Drain::default() {
            self.drains.insert(id.clone(), drain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Spelling, json};

    #[test]
    fn a_message_there_and_back() {
        let text = r#"{"slaves":{"slaves":[{"info":{"hostname":"a","id":{"value":"S1"}},"deactivated":true}]},"unreachable":{"slaves":[{"id":{"value":"S3"},"timestamp":{"nanoseconds":7}},{"id":{"value":"S2"},"timestamp":{"nanoseconds":9}}]},"weights":[{"info":{"weight":2.5,"role":"a"}}]}"#;
        let message: Message = json::from_json(text.as_bytes(), Spelling::V0).expect("a message");
        let registry = Registry::from_message(message.clone()).expect("a registry");
        assert_eq!(registry.to_message(), message);
        let unreachable = registry.to_message().unreachable.expect("two");
        let ids: Vec<&str> = unreachable.agents.iter().map(|agent| agent.id.value.as_str()).collect();
        assert_eq!(ids, ["S3", "S2"], "in the order in which they became so");
        let mut twice = message;
        let again = registry::GoneAgent { id: "S1".into(), ..Default::default() };
        twice.gone = Some(registry::GoneAgents { agents: vec![again] });
        assert!(matches!(Registry::from_message(twice), Err(Contradiction::Twice(_))));
    }
}
