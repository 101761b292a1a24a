//! Grants become offers; offers are declined, rescinded, and time out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::alloc::{self, Grant, Role};
use crate::base::time::Time;
use crate::proto::framework_info::capability::Type as FrameworkCapability;
use crate::proto::scheduler::{self, call, event};
use crate::proto::{self, AgentId, Filters, FrameworkId, OfferId, Url, resource};
use crate::resources::{Resources, roles};

use super::books::State;
use super::state::{Agent, Framework, Offer};
use super::{Effect, Effects, Timer};

/// Seconds for which declined resources are not offered again, unless the scheduler says otherwise.
/// Source: `Filters.refuse_seconds`, mesos.proto.
const REFUSE_SECS: u64 = 5;

/// The longest filter. Source: hierarchical.cpp 1.11.
const MOST_REFUSED: Duration = Duration::from_secs(365 * 24 * 3600);

impl State {
    /// The allocator's round, checked against the present, since the allocator decided on the past.
    ///
    /// Source: `Master::offer`, 1.11: one offer for each agent and role, one event for each framework.
    pub(super) fn granted(&mut self, grants: Vec<Grant>, now: Time, out: &mut Effects) {
        let mut events: BTreeMap<FrameworkId, Vec<proto::Offer>> = BTreeMap::new();
        for grant in grants {
            if let Some((framework, offer)) = self.offer(grant, now, out) {
                events.entry(framework).or_default().push(offer);
            }
        }
        for (framework, offers) in events {
            let count = offers.len() as u64;
            tracing::info!(framework = %framework, count, "sending offers");
            let event = scheduler::Event {
                r#type: Some(event::Type::Offers as i32),
                offers: Some(event::Offers { offers }),
                ..Default::default()
            };
            self.count_offers(&framework, count, |traffic| &mut traffic.offers_sent);
            self.tell(&framework, event, out);
        }
    }

    fn offer(&mut self, grant: Grant, now: Time, out: &mut Effects) -> Option<(FrameworkId, proto::Offer)> {
        let Grant { framework, role, agent, number, resources } = grant;
        // The allocator forgot the holdings of a framework or of an agent's registration that is over.
        let known = self.watches.get(&agent).is_some_and(|watch| watch.observer == number);
        if !known {
            tracing::debug!(%framework, %agent, "grant for a registration that is no more");
            return None;
        }
        let id = self.next_offer_id();
        let (Some(taker), Some(on)) = (self.cluster.framework(&framework), self.cluster.agent(&agent)) else {
            tracing::debug!(%framework, %agent, "grant for a framework that is no more");
            return None;
        };
        let may = taker.active && taker.connected && taker.roles.contains(&role) && on.active;
        if !may || !on.free().contains(&resources) {
            tracing::info!(%framework, %agent, "returning resources, they cannot be offered any more");
            give_back(&framework, &agent, Some(role), resources, None, out);
            return None;
        }
        let offer = Offer::new(id.clone(), framework.clone(), agent, role, resources, now);
        let message = offer_message(&offer, taker, on);
        self.add_offer(offer);
        if let Some(timeout) = self.flags.offer_timeout {
            out.push(Effect::Wake { at: now + timeout, timer: Timer::Offer(id) });
        }
        Some((framework, message))
    }

    /// Source: `Master::decline`, 1.11. Only the framework's own offers: Mesos takes back those of others too.
    pub(super) fn decline(&mut self, framework: &FrameworkId, decline: &call::Decline, out: &mut Effects) {
        self.count("messages_decline_offers");
        let refuse = refused_for(decline.filters.as_ref());
        let mut declined = 0;
        for id in &decline.offer_ids {
            match self.cluster.offers.get(id) {
                Some(offer) if offer.framework == *framework => {
                    declined += 1;
                    self.discard(id, refuse, out);
                }
                _ => tracing::warn!(%framework, offer = %id, "declined offer is no longer valid"),
            }
        }
        self.count_offers(framework, declined, |traffic| &mut traffic.offers_declined);
    }

    /// Takes an offer back and tells the scheduler.
    pub(super) fn rescind(&mut self, id: &OfferId, out: &mut Effects) {
        if let Some(offer) = self.take_offer(id) {
            self.tell_rescinded(&offer, out);
            give_back_offer(&offer, None, out);
        }
    }

    pub(super) fn tell_rescinded(&mut self, offer: &Offer, out: &mut Effects) {
        let event = scheduler::Event {
            r#type: Some(event::Type::Rescind as i32),
            rescind: Some(event::Rescind { offer_id: offer.id.clone() }),
            ..Default::default()
        };
        self.tell(&offer.framework, event, out);
        self.count_offers(&offer.framework, 1, |traffic| &mut traffic.offers_rescinded);
    }

    /// Takes an offer back without a word.
    pub(super) fn discard(&mut self, id: &OfferId, refuse: Option<Duration>, out: &mut Effects) {
        if let Some(offer) = self.take_offer(id) {
            give_back_offer(&offer, refuse, out);
        }
    }

    /// The allocator may grant these again; to this framework only after `refuse`.
    pub(super) fn recover(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: Resources,
        refuse: Option<Duration>,
        out: &mut Effects,
    ) {
        if !resources.is_empty() {
            give_back(framework, agent, None, resources, refuse, out);
        }
    }

    /// One wrong role spoils the call. Source: `Master::revive`, 1.11.
    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &[String], out: &mut Effects) {
        self.count("messages_revive_offers");
        let Some(roles) = self.own_roles(id, "revive", roles) else { return };
        let Some(framework) = self.framework_mut(id) else { return };
        framework.suppressed.retain(|role| !roles.is_empty() && !roles.contains(role));
        out.push(Effect::Alloc(alloc::Call::Revive { framework: id.clone(), roles }));
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[String], out: &mut Effects) {
        self.count("messages_suppress_offers");
        let Some(roles) = self.own_roles(id, "suppression", roles) else { return };
        let Some(framework) = self.framework_mut(id) else { return };
        let meant = if roles.is_empty() { framework.roles.clone() } else { roles.clone() };
        framework.suppressed.extend(meant);
        out.push(Effect::Alloc(alloc::Call::Suppress { framework: id.clone(), roles }));
    }

    /// The roles of a call if they are all the framework's; `None`, and why in the log, if not.
    fn own_roles(&self, id: &FrameworkId, what: &str, names: &[String]) -> Option<BTreeSet<Role>> {
        let framework = self.cluster.framework(id)?;
        for name in names {
            let why = match roles::validate(name) {
                Err(invalid) => format!("is invalid: {invalid}"),
                Ok(()) if !framework.roles.contains(name.as_str()) => {
                    "is not one of the frameworks's subscribed roles".to_owned()
                }
                Ok(()) => continue,
            };
            tracing::warn!(framework = %id, "dropping call: {what} role '{}' {why}", name.escape_debug());
            return None;
        }
        Some(names.iter().map(|name| Role::from(name.as_str())).collect())
    }
}

fn give_back_offer(offer: &Offer, refuse: Option<Duration>, out: &mut Effects) {
    give_back(&offer.framework, &offer.agent, Some(offer.role.clone()), offer.plain.clone(), refuse, out);
}

/// The allocator may grant these again; to this framework only after `refuse`. `role` is that of resources without
/// allocation role.
fn give_back(
    framework: &FrameworkId,
    agent: &AgentId,
    role: Option<Role>,
    resources: Resources,
    refuse: Option<Duration>,
    out: &mut Effects,
) {
    let (framework, agent) = (framework.clone(), agent.clone());
    out.push(Effect::Alloc(alloc::Call::Recover { framework, agent, role, resources, refuse }));
}

/// How long the resources of an answered offer are not offered again; `None` is no filter.
/// Source: `recoverResources`, hierarchical.cpp 1.11: what makes no sense is the default.
pub(super) fn refused_for(filters: Option<&Filters>) -> Option<Duration> {
    let default = Duration::from_secs(REFUSE_SECS);
    let time = match filters.and_then(|filters| filters.refuse_seconds) {
        Some(secs) if secs > MOST_REFUSED.as_secs_f64() => MOST_REFUSED,
        Some(secs) if secs >= 0.0 => Duration::try_from_secs_f64(secs).unwrap_or(default),
        Some(_) | None => default,
    };
    Some(time).filter(|time| !time.is_zero())
}

pub(super) fn unallocated(resources: &Resources) -> Resources {
    let mut plain = resources.clone();
    plain.unallocate();
    plain
}

/// The offer as this framework understands it: without allocation roles for one of a single role, with `role` in place
/// of a stack of reservations for one that knows no refinement.
fn offer_message(offer: &Offer, framework: &Framework, agent: &Agent) -> proto::Offer {
    let allocated = framework.can(FrameworkCapability::MultiRole);
    let shown = if allocated { &offer.resources } else { &offer.plain };
    let resources = match framework.can(FrameworkCapability::ReservationRefinement) {
        true => shown.to_protos(),
        // The allocator grants no refined reservations to such a framework.
        false => shown.to_old_protos().unwrap_or_else(|_| shown.to_protos()),
    };
    described(offer, agent, resources, allocated)
}

/// An offer as the API describes it, `resources` in the reader's way of writing them; `allocated`: the reader knows
/// of more than one role.
pub(in crate::master) fn described(
    offer: &Offer,
    agent: &Agent,
    resources: Vec<proto::Resource>,
    allocated: bool,
) -> proto::Offer {
    let role = Some(offer.role.to_string());
    proto::Offer {
        id: offer.id.clone(),
        framework_id: offer.framework.clone(),
        agent_id: offer.agent.clone(),
        hostname: agent.info.hostname.clone(),
        url: Some(agent_url(agent)),
        domain: agent.info.domain.clone(),
        resources,
        attributes: agent.info.attributes.clone(),
        executor_ids: agent.executors_of(&offer.framework).cloned().collect(),
        unavailability: None,
        allocation_info: allocated.then_some(resource::AllocationInfo { role }),
    }
}

fn agent_url(agent: &Agent) -> Url {
    let address = proto::Address {
        hostname: Some(agent.info.hostname.clone()),
        ip: Some(agent.pid.address.ip().to_string()),
        port: i32::from(agent.pid.address.port()),
    };
    let path = Some(format!("/{}", agent.pid.id));
    Url { scheme: "http".to_owned(), address, path, query: Vec::new(), fragment: None }
}
