//! The offers of an ACCEPT: there, the framework's own, of one agent and one role.
//!
//! Source: `validation::offer`, master/validation.cpp 1.11.

use std::collections::BTreeSet;

use crate::alloc::Role;
use crate::master::core::state::{Cluster, Offer};
use crate::proto::{AgentId, FrameworkId, OfferId};

/// Gives the agent and the role that all of them are of.
pub fn validate(
    cluster: &Cluster,
    framework: &FrameworkId,
    ids: &[OfferId],
) -> Result<(AgentId, Role), String> {
    let mut seen = BTreeSet::new();
    if let Some(id) = ids.iter().find(|id| !seen.insert(*id)) {
        return Err(format!("Duplicate offer {id} in offer list"));
    }
    let mut offers: Vec<&Offer> = Vec::new();
    for id in ids {
        let offer = cluster.offers.get(id).ok_or_else(|| format!("Offer {id} is no longer valid"))?;
        offers.push(offer);
    }
    let Some(first) = offers.first() else { return Err("No offers specified".to_owned()) };
    for offer in &offers {
        if offer.framework != *framework {
            return Err(format!(
                "Offer {} has invalid framework {} while framework {framework} is expected",
                offer.id, offer.framework
            ));
        }
    }
    for offer in &offers {
        if offer.role != first.role {
            return Err(format!(
                "Aggregated offers must be allocated to the same role. Offer {} uses role '{}' but another is \
                 using role '{}'",
                offer.id, offer.role, first.role
            ));
        }
        if offer.agent != first.agent {
            return Err(format!(
                "Aggregated offers must belong to one single agent. Offer {} uses agent {} and agent {}",
                offer.id, offer.agent, first.agent
            ));
        }
    }
    Ok((first.agent.clone(), first.role.clone()))
}
