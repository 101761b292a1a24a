//! What a framework has refused, and until when.
//!
//! A refusal belongs to one framework in one role (a client) and one agent, and holds for offers that are
//! no larger than what was refused. Each agent keeps its refusals; their deadlines are in one ordered set,
//! so that passing time costs by what expires.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::debug;

use super::hierarchical::Allocator;
use crate::base::time::Time;
use crate::resources::Resources;

/// Longer refusals are cut to this. Source: `recoverResources`, hierarchical.cpp 1.11.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Refusals kept per client and agent. Forgetting one costs an offer too many, keeping all costs memory
/// without end when what is free has another shape each time.
const MOST: usize = 16;

#[derive(Clone, Debug)]
struct Refusal {
    client: u32,
    refused: Resources,
    expires: Time,
    serial: u64,
    /// The agent's growth at which this last held: what is free has only shrunk since, so it still holds.
    held_at: Option<u64>,
}

/// The refusals that concern one agent, by client.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Vec<Refusal>);

/// When refusals end, the earliest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    set: BTreeSet<(Time, u64, u32, u32)>,
    serial: u64,
}

impl Refusals {
    fn of(&self, client: u32) -> std::ops::Range<usize> {
        let start = self.0.partition_point(|r| r.client < client);
        start..start + self.0[start..].partition_point(|r| r.client == client)
    }

    /// Those of a client.
    pub(super) fn count(&self, client: u32) -> u64 {
        self.of(client).len() as u64
    }

    /// Has the client refused these resources? `growth` counts the agent's gains of free resources.
    pub(super) fn block(&mut self, client: u32, growth: u64, resources: &Resources) -> bool {
        let range = self.of(client);
        let refusals = &mut self.0[range];
        if refusals.iter().any(|r| r.held_at == Some(growth)) {
            return true;
        }
        match refusals.iter_mut().find(|r| r.refused.contains(resources)) {
            Some(refusal) => {
                refusal.held_at = Some(growth);
                true
            }
            None => false,
        }
    }
}

impl Deadlines {
    /// Refusals in force.
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }
}

impl Allocator {
    /// The client declined `refused` on this agent, for `time` from now.
    pub(super) fn refuse(&mut self, client: u32, agent: u32, refused: Resources, time: Duration, now: Time) {
        if time.is_zero() {
            return;
        }
        // Never shorter than the interval: else it could be over before the next round looks at it
        // (MESOS-4302).
        let expires = now + time.min(LONGEST).max(self.options.allocation_interval);
        let (Some(books), Some(held)) = (self.agents.get_mut(agent), self.clients.get_mut(client)) else {
            return;
        };
        let refusals = &mut books.refusals;
        let range = refusals.of(client);
        let covered =
            refusals.0[range.clone()].iter().any(|r| r.expires >= expires && r.refused.contains(&refused));
        if covered {
            return;
        }
        let mut kept: Vec<Refusal> = refusals.0.drain(range.clone()).collect();
        kept.retain(|r| {
            let keep = r.expires > expires || !refused.contains(&r.refused);
            if !keep {
                self.deadlines.set.remove(&(r.expires, r.serial, agent, client));
            }
            keep
        });
        if kept.len() >= MOST {
            let soonest = (0..kept.len()).min_by_key(|&n| (kept[n].expires, kept[n].serial)).unwrap_or(0);
            let gone = kept.swap_remove(soonest);
            self.deadlines.set.remove(&(gone.expires, gone.serial, agent, client));
        }
        self.deadlines.serial += 1;
        let serial = self.deadlines.serial;
        self.deadlines.set.insert((expires, serial, agent, client));
        kept.push(Refusal { client, refused, expires, serial, held_at: None });
        refusals.0.splice(range.start..range.start, kept);
        held.refused.insert(agent);
        debug!(client, agent, ?time, "resources refused");
    }

    /// Ends what is over; the agents concerned are looked at again for those clients.
    ///
    /// A refusal still holds at its very end: a round at that moment was due before it, as in Mesos.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(expires, serial, agent, client)) = self.deadlines.set.first() {
            if expires >= now {
                return;
            }
            self.deadlines.set.pop_first();
            if let Some(books) = self.agents.get_mut(agent) {
                books.refusals.0.retain(|r| r.serial != serial);
                if books.refusals.of(client).is_empty()
                    && let Some(held) = self.clients.get_mut(client)
                {
                    held.refused.remove(&agent);
                }
                self.look_again(agent, client);
            }
        }
    }

    /// The client takes back all its refusals. True if there were any.
    pub(super) fn forget_refusals_of(&mut self, client: u32) -> bool {
        let agents = match self.clients.get_mut(client) {
            Some(client) => std::mem::take(&mut client.refused),
            None => return false,
        };
        for &agent in &agents {
            let Some(books) = self.agents.get_mut(agent) else { continue };
            let range = books.refusals.of(client);
            for r in books.refusals.0.drain(range) {
                self.deadlines.set.remove(&(r.expires, r.serial, agent, client));
            }
        }
        !agents.is_empty()
    }

    /// The client may be offered more than before; whether its refusals still hold is asked anew.
    pub(super) fn weigh_refusals_again(&mut self, client: u32) {
        let Some(agents) = self.clients.get(client).map(|books| &books.refused) else { return };
        for &agent in agents {
            let Some(books) = self.agents.get_mut(agent) else { continue };
            let range = books.refusals.of(client);
            books.refusals.0[range].iter_mut().for_each(|r| r.held_at = None);
        }
    }

    /// The agent is gone, or not what was refused any more.
    pub(super) fn forget_refusals_on(&mut self, agent: u32) {
        let Some(books) = self.agents.get_mut(agent) else { return };
        for r in std::mem::take(&mut books.refusals.0) {
            self.deadlines.set.remove(&(r.expires, r.serial, agent, r.client));
            if let Some(client) = self.clients.get_mut(r.client) {
                client.refused.remove(&agent);
            }
        }
    }
}
