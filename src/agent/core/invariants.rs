//! What must hold after every event. Simulation and tests ask.

use super::state::{Connection, Executor, ExecutorPhase, Framework, Phase, State};

/// The first thing that does not hold, as a sentence.
pub fn check(state: &State) -> Result<(), String> {
    state.check()
}

impl State {
    fn check(&self) -> Result<(), String> {
        let node = &self.node;
        if node.phase == Phase::Running && (node.leader.is_none() || node.info.id.is_none()) {
            return Err("registered without a leader or an id".to_owned());
        }
        if !self.updates.is_consistent() {
            return Err("a framework has update streams, and none".to_owned());
        }
        for (id, framework) in &node.frameworks {
            if *id != framework.id {
                return Err(format!("framework {id} is kept as another"));
            }
            self.check_framework(framework)?;
        }
        for (container, (framework, executor)) in &self.containers {
            let there = node.executor(framework, executor);
            if there.is_none_or(|there| there.container != *container) {
                return Err(format!("container {} has lost its executor", container.value));
            }
        }
        for (stream, (framework, executor)) in &self.streams {
            let there = node.executor(framework, executor);
            if there.is_none_or(|there| there.connection != Connection::Http(stream.clone())) {
                return Err(format!("stream {stream} has lost its executor"));
            }
        }
        Ok(())
    }

    fn check_framework(&self, framework: &Framework) -> Result<(), String> {
        let id = &framework.id;
        if framework.executors.is_empty() && (framework.terminating || !self.updates.awaits(id)) {
            return Err(format!("framework {id} is idle and still here"));
        }
        if framework.terminating && self.updates.awaits(id) {
            return Err(format!("framework {id} is terminating and awaits acknowledgements"));
        }
        let mut tasks = 0;
        for executor in framework.executors.values() {
            self.check_executor(framework, executor)?;
            tasks +=
                executor.queued_tasks.len() + executor.launched_tasks.len() + executor.terminated_tasks.len();
        }
        if tasks != framework.tasks.len() {
            return Err(format!(
                "framework {id} has {tasks} tasks and {} in its index",
                framework.tasks.len()
            ));
        }
        Ok(())
    }

    fn check_executor(&self, framework: &Framework, executor: &Executor) -> Result<(), String> {
        let id = &executor.id;
        let queued = executor.queued_tasks.iter().map(|task| &task.task_id);
        let launched = executor.launched_tasks.keys().chain(executor.terminated_tasks.keys());
        if let Some(task) = queued.chain(launched).find(|task| framework.tasks.get(*task) != Some(id)) {
            return Err(format!("task {task} of executor {id} is not in the index"));
        }
        let has_container = self.containers.contains_key(&executor.container);
        if has_container == (executor.phase == ExecutorPhase::Terminated) {
            return Err(format!(
                "executor {id} is {:?}, its container there: {has_container}",
                executor.phase
            ));
        }
        if executor.phase == ExecutorPhase::Terminated {
            if !executor.queued_tasks.is_empty() || !executor.launched_tasks.is_empty() {
                return Err(format!("executor {id} has ended and some of its tasks have not"));
            }
            if executor.terminated_tasks.is_empty() {
                return Err(format!("executor {id} has nothing left to say and is still here"));
            }
        }
        for task in executor.terminated_tasks.keys() {
            if !framework.terminating && !self.updates.awaits_task(&framework.id, task) {
                return Err(format!("task {task} has ended and nobody waits for its acknowledgement"));
            }
        }
        Ok(())
    }
}
