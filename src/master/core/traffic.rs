//! What each scheduler said and was told, counted: the numbers below `master/frameworks/`.
//!
//! Counted where it happens, one small map entry each; a framework is forgotten with its last trace, when it is
//! no longer among the completed ones. Source: `FrameworkMetrics`, master/metrics.hpp 1.11.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::books::State;
use crate::proto::scheduler::{call, event};
use crate::proto::{FrameworkId, TaskState, offer};

/// Counts by the number of an enum's value; what never happened is not there.
pub type Counts = BTreeMap<i32, u64>;

/// The numbers of one framework since this master leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By `scheduler::call::Type`, also those of v0 drivers.
    pub calls: Counts,
    /// By `scheduler::event::Type`, also those that v0 drivers get as messages.
    pub events: Counts,
    /// By `offer::operation::Type`.
    pub operations: Counts,
    /// Tasks that ended, by `TaskState`.
    pub ended: Counts,
    pub offers_sent: u64,
    pub offers_accepted: u64,
    pub offers_declined: u64,
    pub offers_rescinded: u64,
}

fn add(counts: &mut Counts, kind: i32) {
    *counts.entry(kind).or_insert(0) += 1;
}

impl State {
    fn traffic(&mut self, id: &FrameworkId) -> Option<&mut Traffic> {
        // One that is unknown has nothing to be counted for; completed ones are as they were.
        if !self.cluster.frameworks.contains_key(id) {
            return None;
        }
        // The first time alone takes a copy of the id.
        if !self.cluster.traffic.contains_key(id) {
            self.cluster.traffic.insert(id.clone(), Arc::default());
        }
        self.cluster.traffic.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn count_call(&mut self, id: &FrameworkId, kind: call::Type) {
        if let Some(traffic) = self.traffic(id) {
            add(&mut traffic.calls, kind as i32);
        }
    }

    pub(super) fn count_event(&mut self, id: &FrameworkId, kind: event::Type) {
        if let Some(traffic) = self.traffic(id) {
            add(&mut traffic.events, kind as i32);
        }
    }

    pub(super) fn count_operation(&mut self, id: &FrameworkId, kind: offer::operation::Type) {
        if let Some(traffic) = self.traffic(id) {
            add(&mut traffic.operations, kind as i32);
        }
    }

    pub(super) fn count_ended(&mut self, id: &FrameworkId, state: TaskState) {
        if let Some(traffic) = self.traffic(id) {
            add(&mut traffic.ended, state as i32);
        }
    }

    /// Counts offers by `which` of the counters: `state.count_offers(id, 1, |traffic| &mut traffic.offers_sent)`.
    pub(super) fn count_offers(
        &mut self,
        id: &FrameworkId,
        count: u64,
        which: impl FnOnce(&mut Traffic) -> &mut u64,
    ) {
        if let Some(traffic) = self.traffic(id) {
            *which(traffic) += count;
        }
    }
}
