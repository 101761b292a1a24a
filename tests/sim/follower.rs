//! One who follows what happens from the master's first moment, and believes it: at any time what was told adds
//! up to the cluster as it is.

use std::collections::{BTreeMap, BTreeSet};

use mesos::master::core::Happening;
use mesos::master::core::state::Cluster;
use mesos::proto::{AgentId, FrameworkId, TaskId, TaskState};

#[derive(Default)]
pub struct Follower {
    agents: BTreeSet<AgentId>,
    frameworks: BTreeSet<FrameworkId>,
    tasks: BTreeMap<(FrameworkId, TaskId), TaskState>,
    /// What was told that cannot be.
    wrong: Option<String>,
}

impl Follower {
    pub fn hear(&mut self, happening: Happening) {
        let shown = format!("{happening:?}");
        let fits = match happening {
            Happening::Opened => true,
            Happening::AgentAdded { agent, .. } => self.agents.insert(agent.id.clone()),
            Happening::AgentRemoved(id) => self.agents.remove(&id),
            Happening::FrameworkAdded(framework) => self.frameworks.insert(framework.id.clone()),
            Happening::FrameworkUpdated(framework) => self.frameworks.contains(&framework.id),
            Happening::FrameworkRemoved(framework) => {
                self.tasks.retain(|(of, _), _| *of != framework.id);
                self.frameworks.remove(&framework.id)
            }
            // One that was unreachable is added anew.
            Happening::TaskAdded(task) => {
                self.tasks.insert((task.framework.clone(), task.id.clone()), task.state);
                self.frameworks.contains(&task.framework)
            }
            Happening::TaskUpdated(update) => {
                let key = (update.framework, update.status.task_id);
                self.tasks.insert(key, update.state).is_some()
            }
        };
        if !fits {
            self.wrong.get_or_insert(shown);
        }
    }

    pub fn check(&self, cluster: &Cluster) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(format!("a follower was told what cannot be: {wrong}"));
        }
        if !cluster.agents.keys().eq(&self.agents) {
            let there: Vec<_> = cluster.agents.keys().collect();
            return Err(format!("a follower knows agents {:?} of {there:?}", self.agents));
        }
        if !cluster.frameworks.keys().eq(&self.frameworks) {
            let there: Vec<_> = cluster.frameworks.keys().collect();
            return Err(format!("a follower knows frameworks {:?} of {there:?}", self.frameworks));
        }
        for framework in cluster.frameworks.values() {
            for task in framework.tasks.values().chain(framework.unreachable_tasks.values()) {
                let told = self.tasks.get(&(framework.id.clone(), task.id.clone()));
                if told != Some(&task.state) {
                    let (id, state) = (&task.id, task.state);
                    return Err(format!(
                        "a follower was told that task {id} is {told:?}, and it is {state:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
