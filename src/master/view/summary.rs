//! `/state-summary`: agents and frameworks with how many tasks are in which state, but no task.

use std::collections::{BTreeMap, BTreeSet};

use super::{agents, frameworks};
use crate::master::core::state::{Cluster, Task};
use crate::master::flags::Flags;
use crate::proto::json::text::Object;
use crate::proto::{AgentId, FrameworkId, TaskState};

/// The states counted, in their order. Source: `ReadOnlyHandler::stateSummary` 1.11.
const STATES: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

/// Counts of one agent or framework, and who is on the other side of its tasks.
struct Tally<'a, Other> {
    counts: [u64; STATES.len()],
    others: BTreeSet<&'a Other>,
}

impl<Other> Default for Tally<'_, Other> {
    fn default() -> Self {
        Tally { counts: [0; STATES.len()], others: BTreeSet::new() }
    }
}

impl<'a, Other: Ord> Tally<'a, Other> {
    fn count(&mut self, state: TaskState, other: &'a Other) {
        if let Some(index) = STATES.iter().position(|known| *known == state) {
            self.counts[index] += 1;
        }
        self.others.insert(other);
    }

    fn write(&self, object: &mut Object<'_>, ids: &str, text: impl Fn(&Other) -> &str) {
        for (state, count) in STATES.iter().zip(self.counts) {
            object.unsigned(state.as_str_name(), count);
        }
        object.array(ids, |array| self.others.iter().for_each(|other| array.string(text(other))));
    }
}

pub fn summary(cluster: &Cluster, flags: &Flags) -> Vec<u8> {
    let mut by_agent: BTreeMap<&AgentId, Tally<'_, FrameworkId>> = BTreeMap::new();
    let mut by_framework: BTreeMap<&FrameworkId, Tally<'_, AgentId>> = BTreeMap::new();
    for framework in cluster.frameworks.values() {
        let tally = by_framework.entry(&framework.id).or_default();
        let ended = framework.unreachable_tasks.values().chain(&framework.completed_tasks);
        for task in framework.tasks.values().chain(ended) {
            let task: &Task = task;
            tally.count(task.state, &task.agent);
            by_agent.entry(&task.agent).or_default().count(task.state, &framework.id);
        }
    }
    let capacity = 1024 * (1 + cluster.agents.len() + cluster.frameworks.len());
    super::answer(capacity, |object| {
        object.string("hostname", cluster.info.hostname.as_deref().unwrap_or_default());
        if let Some(name) = &flags.cluster {
            object.string("cluster", name);
        }
        object.array("slaves", |array| {
            for agent in cluster.agents.values() {
                array.object(|object| {
                    agents::agent(object, agent);
                    let tally = by_agent.remove(&agent.id).unwrap_or_default();
                    tally.write(object, "framework_ids", |id| &id.value);
                });
            }
        });
        object.array("frameworks", |array| {
            for framework in cluster.frameworks.values() {
                array.object(|object| {
                    frameworks::summary(object, framework);
                    let tally = by_framework.remove(&framework.id).unwrap_or_default();
                    tally.write(object, "slave_ids", |id| &id.value);
                });
            }
        });
    })
}
