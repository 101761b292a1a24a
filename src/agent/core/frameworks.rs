//! Frameworks that have work here: they come with their first task and go with their last.
//!
//! Source: `Slave::shutdownFramework`, `updateFramework`, `schedulerMessage`, `removeFramework`, `shutdown`,
//! slave.cpp 1.11.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use tracing::{info, warn};

use super::state::{ExecutorPhase, Framework, MAX_COMPLETED_FRAMEWORKS, Phase, State};
use super::{Effect, Effects};
use crate::agent::checkpoint::Fact;
use crate::agent::paths;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    CheckpointedFramework, FrameworkToExecutorMessage, UnregisterSlaveMessage, UpdateFrameworkMessage,
};
use crate::proto::{FrameworkId, FrameworkInfo, executor};

impl State {
    /// Does nothing for one that is here.
    pub(super) fn add_framework(&mut self, info: &FrameworkInfo, pid: Option<Upid>, out: &mut Effects) {
        let Some(id) = info.id.clone() else { return };
        if self.node.frameworks.contains_key(&id) {
            return;
        }
        // One that was here before goes on with its past.
        let completed = &mut self.node.completed_frameworks;
        let past = completed.iter().position(|framework| framework.id == id).map(|at| completed.remove(at));
        let framework = Framework {
            id: id.clone(),
            info: Arc::new(info.clone()),
            pid,
            checkpoint: self.node.config.checkpoint && info.checkpoint(),
            terminating: false,
            executors: OrdMap::new(),
            tasks: OrdMap::new(),
            completed_executors: past.map_or_else(Vector::new, |past| past.completed_executors.clone()),
        };
        let fact = described(&framework);
        self.node.frameworks.insert(id.clone(), Arc::new(framework));
        self.note(&id, || fact, out);
    }

    /// The master has no such framework any more.
    ///
    /// Mesos ignores this before it has (re-)registered. A master answers a re-registration with it, though, and
    /// does so once: overtaking the answer, or told to an agent that has just lost its link, it would leave a
    /// framework behind that nobody ends. What the leader says is over is over at any time.
    pub(super) fn shutdown_framework(&mut self, now: Time, id: &FrameworkId, out: &mut Effects) {
        self.end_framework(now, id, out);
    }

    fn end_framework(&mut self, now: Time, id: &FrameworkId, out: &mut Effects) {
        // Nobody acknowledges from now on.
        self.updates.cleanup(id);
        let Some(framework) = self.node.framework_mut(id) else { return };
        if framework.terminating {
            return;
        }
        info!(framework = %id, "shutting down a framework");
        framework.terminating = true;
        let executors: Vec<_> =
            framework.executors.values().map(|executor| (executor.id.clone(), executor.phase)).collect();
        for (executor, phase) in executors {
            match phase {
                ExecutorPhase::Registering | ExecutorPhase::Running => {
                    self.shut_down_executor(now, id, &executor, out);
                }
                ExecutorPhase::Terminated => self.remove_executor(id, &executor, out),
                ExecutorPhase::Terminating => {}
            }
        }
        self.remove_framework_if_idle(id, out);
    }

    /// A framework without executors goes, once all that was said of its tasks is acknowledged.
    pub(super) fn remove_framework_if_idle(&mut self, id: &FrameworkId, out: &mut Effects) {
        let Some(framework) = self.node.framework(id) else { return };
        let waits =
            self.updates.awaits(id) && !framework.terminating && self.node.phase != Phase::Terminating;
        if !framework.executors.is_empty() || waits {
            return;
        }
        self.updates.cleanup(id);
        self.note(id, || Fact::FrameworkGone(id.clone()), out);
        if let Some(framework) = self.node.frameworks.remove(id) {
            info!(framework = %id, "removed a framework");
            let path = paths::framework(&self.node.config.work_dir, &self.node.id(), id);
            out.push(Effect::Collect(path));
            self.node.completed_frameworks.push_back(framework);
            if self.node.completed_frameworks.len() > MAX_COMPLETED_FRAMEWORKS {
                self.node.completed_frameworks.pop_front();
            }
        }
        if self.node.phase == Phase::Terminating && self.node.frameworks.is_empty() {
            self.exit("every framework has ended", out);
        }
    }

    pub(super) fn update_framework(&mut self, now: Time, message: UpdateFrameworkMessage, out: &mut Effects) {
        if self.node.phase != Phase::Running {
            self.node.counters.invalid_framework_messages += 1;
            return;
        }
        let id = message.framework_id;
        let Some(framework) = self.node.framework_mut(&id).filter(|framework| !framework.terminating) else {
            return;
        };
        info!(framework = %id, "a framework changed");
        if let Some(info) = message.framework_info {
            framework.info = Arc::new(info);
        }
        framework.pid = message.pid.as_deref().and_then(scheduler_pid);
        if let Some(framework) = self.node.framework(&id) {
            self.note(&id, || described(framework), out);
        }
        // Its scheduler may be another one, which has heard nothing yet.
        for forward in self.updates.resume_framework(now, &id) {
            self.forward(Some(forward), out);
        }
    }

    /// From a scheduler to its executor.
    pub(super) fn framework_message(&mut self, message: FrameworkToExecutorMessage, out: &mut Effects) {
        let FrameworkToExecutorMessage { framework_id, executor_id, data, .. } = message;
        let framework = self.node.framework(&framework_id).filter(|framework| !framework.terminating);
        let executor = framework.and_then(|framework| framework.executors.get(&executor_id));
        let running = executor.is_some_and(|executor| executor.phase == ExecutorPhase::Running);
        if !running || self.node.phase != Phase::Running {
            warn!(executor = %executor_id, framework = %framework_id, "dropped a message: its executor does not run");
            self.node.counters.invalid_framework_messages += 1;
            return;
        }
        self.node.counters.valid_framework_messages += 1;
        let event = executor::Event {
            r#type: Some(executor::event::Type::Message as i32),
            message: Some(executor::event::Message { data }),
            ..executor::Event::default()
        };
        self.tell_executor(&framework_id, &executor_id, event, out);
    }

    /// The master wants this agent to end.
    pub(super) fn shut_down(&mut self, now: Time, why: String, out: &mut Effects) {
        warn!(why, "asked to shut down by the master");
        self.terminate(now, out);
    }

    /// This agent leaves for good, of its own will.
    pub(super) fn leave(&mut self, now: Time, why: String, out: &mut Effects) {
        info!(why, "unregistering and shutting down");
        if let Some(agent_id) = self.node.info.id.clone() {
            self.tell_master(UnregisterSlaveMessage { agent_id }, out);
        }
        self.terminate(now, out);
    }

    pub(super) fn terminate(&mut self, now: Time, out: &mut Effects) {
        if self.node.phase == Phase::Terminating {
            return;
        }
        self.node.phase = Phase::Terminating;
        if self.node.frameworks.is_empty() {
            self.exit("nothing runs here", out);
            return;
        }
        let all: Vec<_> = self.node.frameworks.keys().cloned().collect();
        for id in all {
            self.end_framework(now, &id, out);
        }
    }
}

fn described(framework: &Framework) -> Fact {
    let info = (*framework.info).clone();
    let pid = framework.pid.as_ref().map(Upid::to_string);
    Fact::Framework(Box::new(CheckpointedFramework { info, pid }))
}

/// The address of a v0 scheduler. Masters write that of a v1 one, which has none, as `@0.0.0.0:0`.
pub(super) fn scheduler_pid(text: &str) -> Option<Upid> {
    text.parse().ok().filter(|pid: &Upid| !pid.id.is_empty() && pid.address.port() != 0)
}
