//! What each operation does to a registry. Pure, so that stores of every kind and simulation agree.
//!
//! Source: master/registry_operations.cpp 1.11.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::Entry;

use super::{Key, Operation, Outcome, Registry};
use crate::proto::{AgentId, AgentInfo};

impl Operation {
    /// The keys whose records it may change.
    pub fn keys(&self) -> Vec<Key> {
        let of = |info: &AgentInfo| info.id.clone().map(Key::Agent).into_iter().collect();
        match self {
            Operation::Lead(_) => vec![Key::Master],
            Operation::Admit(info) | Operation::Update(info) | Operation::MarkReachable(info) => of(info),
            Operation::MarkUnreachable { agent, .. }
            | Operation::MarkGone { agent, .. }
            | Operation::Remove(agent) => vec![Key::Agent(agent.clone())],
            Operation::Prune { unreachable, gone } => {
                unreachable.iter().chain(gone).cloned().map(Key::Agent).collect()
            }
        }
    }
}

impl Registry {
    /// Changes the registry, or leaves it as it is and refuses.
    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        let changed = match operation {
            Operation::Lead(info) => {
                self.master = Some(info.clone());
                true
            }
            Operation::Admit(info) => self.admit(info),
            Operation::Update(info) => match info.id.as_ref().and_then(|id| self.admitted.get_mut(id)) {
                Some(admitted) => {
                    *admitted = info.clone();
                    true
                }
                None => false,
            },
            Operation::MarkUnreachable { agent, at } => {
                // Only what is admitted can get lost.
                let known = self.admitted.remove(agent).is_some();
                known && self.unreachable.insert(agent.clone(), *at).is_none()
            }
            // The agent may have been forgotten meanwhile (`Prune`): then this admits it again.
            Operation::MarkReachable(info) => match &info.id {
                Some(id) if !self.gone.contains_key(id) => {
                    self.unreachable.remove(id);
                    self.admitted.insert(id.clone(), info.clone()).is_none()
                }
                _ => false,
            },
            Operation::MarkGone { agent, at } => {
                let admitted = self.admitted.remove(agent).is_some();
                self.drains.remove(agent);
                let known = self.unreachable.remove(agent).is_some() || admitted;
                known && self.gone.insert(agent.clone(), *at).is_none()
            }
            Operation::Remove(agent) => {
                let known = self.admitted.remove(agent).is_some();
                if known {
                    self.drains.remove(agent);
                }
                known
            }
            Operation::Prune { unreachable, gone } => {
                let forget = |agents: &[AgentId], from: &mut OrdMap<AgentId, _>| {
                    agents.iter().filter(|agent| from.remove(*agent).is_some()).count() > 0
                };
                let some_unreachable = forget(unreachable, &mut self.unreachable);
                for agent in unreachable.iter().filter(|agent| !self.admitted.contains_key(*agent)) {
                    self.drains.remove(agent);
                }
                forget(gone, &mut self.gone) || some_unreachable
            }
        };
        if changed { Outcome::Stored } else { Outcome::Refused }
    }

    fn admit(&mut self, info: &Arc<AgentInfo>) -> bool {
        let Some(id) = &info.id else { return false };
        if self.gone.contains_key(id) || self.unreachable.contains_key(id) {
            return false;
        }
        match self.admitted.entry(id.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(info.clone());
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Time;

    fn info(id: &str) -> Arc<AgentInfo> {
        Arc::new(AgentInfo { id: Some(id.into()), hostname: "h".to_owned(), ..AgentInfo::default() })
    }

    #[test]
    fn an_agents_life() {
        let mut registry = Registry::default();
        let mut apply = |operation| registry.apply(&operation);
        let agent = || AgentId::from("S0");
        assert_eq!(apply(Operation::Update(info("S0"))), Outcome::Refused);
        assert_eq!(apply(Operation::Admit(info("S0"))), Outcome::Stored);
        assert_eq!(apply(Operation::Admit(info("S0"))), Outcome::Refused);
        assert_eq!(apply(Operation::Update(info("S0"))), Outcome::Stored);
        assert_eq!(apply(Operation::MarkUnreachable { agent: agent(), at: Time(1) }), Outcome::Stored);
        assert_eq!(apply(Operation::MarkUnreachable { agent: agent(), at: Time(2) }), Outcome::Refused);
        assert_eq!(apply(Operation::MarkReachable(info("S0"))), Outcome::Stored);
        assert_eq!(apply(Operation::MarkReachable(info("S0"))), Outcome::Refused);
        assert_eq!(apply(Operation::MarkGone { agent: agent(), at: Time(3) }), Outcome::Stored);
        assert_eq!(apply(Operation::Admit(info("S0"))), Outcome::Refused);
        assert_eq!(apply(Operation::MarkReachable(info("S0"))), Outcome::Refused);
        let prune = Operation::Prune { unreachable: vec![], gone: vec![agent()] };
        assert_eq!(apply(prune.clone()), Outcome::Stored);
        assert_eq!(apply(prune), Outcome::Refused);
        assert_eq!(apply(Operation::Remove(agent())), Outcome::Refused);
        assert_eq!(apply(Operation::Admit(Arc::default())), Outcome::Refused);
    }
}
