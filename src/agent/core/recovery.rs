//! An agent goes on where an earlier one ended: its id, its executors and their tasks, and what of these was not
//! acknowledged.
//!
//! Executors come back by themselves (v1) or are called (v0). No master is looked for before all are back or
//! `--executor_reregistration_timeout` is over, so that what it is told is whole.
//!
//! Source: `Slave::recover`, `_recover`, `recoverFramework`, `Framework::recoverExecutor`,
//! `reregisterExecutorTimeout`, slave.cpp 1.11. What differs: recovery is over as soon as nobody is waited for;
//! tasks whose executor had never been there are still in its queue, and are sent when it comes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tracing::{info, warn};

use super::executors::new_executor;
use super::state::{Config, Executor, ExecutorPhase, Framework, Met, Phase, Recover, State, Termination};
use super::statuses::update_task;
use super::{Effect, Effects, Timer, allowed, reconfiguration, tasks};
use crate::agent::checkpoint::{ExecutorImage, Fact, FrameworkImage, Image, PastExecutor, StreamImage};
use crate::agent::containerizer::Survivor;
use crate::agent::paths;
use crate::agent::updates::is_terminal;
use crate::base::duration;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{CheckpointedPastTask, ReconnectExecutorMessage, ShutdownExecutorMessage};
use crate::proto::task_status::Reason;
use crate::proto::{AgentInfo, ContainerId, FrameworkId, Task, TaskGroupInfo, TaskId, TaskInfo, TaskState};

type Streams = BTreeMap<TaskId, StreamImage>;

/// What an earlier agent left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    pub image: Image,
    /// The machine was started anew since: nothing of it runs.
    pub rebooted: bool,
    /// What could not be read.
    pub errors: u64,
}

/// The agent must not start like this, with what changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl State {
    /// An agent that goes on as `recovered`, if there is an agent in it that this one may follow.
    pub fn recover(
        config: Config,
        mut info: AgentInfo,
        recovered: Recovered,
        now: Time,
        seed: u64,
        out: &mut Effects,
    ) -> Result<State, Refused> {
        let Recovered { image, rebooted, errors } = recovered;
        let Image { agent: previous, lives, frameworks, past_frameworks } = image;
        let mut followed = true;
        if let Some(previous) = &previous {
            info.id.clone_from(&previous.id);
            if let Err(why) = reconfiguration::compare(config.reconfiguration_policy, previous, &info) {
                if !rebooted {
                    return Err(Refused(why));
                }
                // With the machine its resources may have changed, and nothing runs that would depend on them.
                warn!(why, "the machine was rebooted; starting as a new agent");
                info.id = None;
                followed = false;
                out.push(Effect::Checkpoint { facts: vec![Fact::Left], then: None });
            } else if *previous != info {
                let fact = Fact::Agent(Box::new(info.clone()));
                out.push(Effect::Checkpoint { facts: vec![fact], then: None });
            }
        }
        let mut state = State::new(config, info, now, seed);
        if previous.is_some() && followed {
            state.registration.lives = lives + 1;
            out.push(Effect::Checkpoint { facts: vec![Fact::Lives(lives + 1)], then: None });
        }
        state.node.counters.recovery_errors = errors;
        if followed {
            state.restore(frameworks, past_frameworks, out);
        }
        state.find_executors(now, out);
        Ok(state)
    }

    fn restore(
        &mut self,
        frameworks: impl IntoIterator<Item = (FrameworkId, FrameworkImage)>,
        past: VecDeque<FrameworkImage>,
        out: &mut Effects,
    ) {
        for image in past {
            let framework = self.restored(image);
            self.node.completed_frameworks.push_back(Arc::new(framework));
        }
        for (id, mut image) in frameworks {
            let executors = std::mem::take(&mut image.executors);
            let streams = std::mem::take(&mut image.streams);
            let mut framework = self.restored(image);
            for executor in executors.into_values() {
                let executor = self.restored_executor(&id, executor, &streams);
                let queued = executor.queued_tasks.iter().map(|task| &task.task_id);
                let others = executor.launched_tasks.keys().chain(executor.terminated_tasks.keys());
                let index = queued.chain(others).map(|task| (task.clone(), executor.id.clone()));
                framework.tasks.extend(index.collect::<Vec<_>>());
                self.containers.insert(executor.container.clone(), (id.clone(), executor.id.clone()));
                framework.executors.insert(executor.id.clone(), Arc::new(executor));
            }
            for (task, stream) in streams {
                let StreamImage { acknowledged, pending, .. } = stream;
                if pending.is_empty() && !framework.tasks.contains_key(&task) {
                    // What it belonged to could not be read.
                    continue;
                }
                self.updates.restore(&id, &task, acknowledged, pending);
            }
            info!(framework = %id, executors = framework.executors.len(), "recovered a framework");
            self.node.frameworks.insert(id.clone(), Arc::new(framework));
            self.remove_framework_if_idle(&id, out);
        }
    }

    fn restored(&self, image: FrameworkImage) -> Framework {
        let FrameworkImage { info, pid, past_executors, .. } = image;
        let id = info.id.clone().unwrap_or_default();
        let completed = past_executors.into_iter().map(|past| Arc::new(self.restored_past(&id, past)));
        Framework {
            id: id.clone(),
            pid: pid.as_deref().and_then(super::frameworks::scheduler_pid),
            info: Arc::new(info),
            checkpoint: true,
            terminating: false,
            executors: Default::default(),
            tasks: Default::default(),
            completed_executors: completed.collect(),
        }
    }

    fn restored_past(&self, framework: &FrameworkId, past: PastExecutor) -> Executor {
        let PastExecutor { executor, tasks } = past;
        let image = ExecutorImage { executor, connected: None, tasks: Vec::new(), past_tasks: tasks };
        let executor = self.restored_executor(framework, image, &Default::default());
        Executor { phase: ExecutorPhase::Terminated, ..executor }
    }

    fn restored_executor(
        &self,
        framework: &FrameworkId,
        image: ExecutorImage,
        streams: &Streams,
    ) -> Executor {
        let ExecutorImage { executor, connected, tasks, past_tasks } = image;
        let (work_dir, agent) = (&self.node.config.work_dir, self.node.id());
        let (id, container) = (executor.run.executor_id, executor.run.container_id);
        let directory = paths::sandbox(work_dir, &agent, framework, &id, &container);
        let generated = executor.generated.unwrap_or(false);
        let mut restored = new_executor(framework.clone(), executor.info, container, directory, generated);
        restored.met = if connected.is_some() { Met::Known } else { Met::Never };
        restored.former_pid = connected.flatten().and_then(|pid| pid.parse::<Upid>().ok());
        restored.completed_tasks =
            past_tasks.into_iter().map(|past| Arc::new(completed(past, framework))).collect();
        for batch in tasks {
            let group = batch.group.unwrap_or(false) && restored.met == Met::Never;
            if group {
                let group = TaskGroupInfo { tasks: batch.tasks.clone() };
                restored.queued_groups.push_back(Arc::new(group));
            }
            for task in batch.tasks {
                restored.take_back(task, framework, streams);
            }
        }
        restored
    }

    /// Has the containers found, and waits for their executors, or ends them.
    fn find_executors(&mut self, now: Time, out: &mut Effects) {
        let mut survivors = Vec::new();
        let agent = self.node.id();
        let config = self.node.config.clone();
        for executor in self.node.frameworks.values().flat_map(|framework| framework.executors.values()) {
            let (framework, id, container) = (&executor.framework, &executor.id, &executor.container);
            survivors.push(Survivor {
                container: container.clone(),
                framework: framework.clone(),
                executor: id.clone(),
                directory: executor.directory.clone(),
                meta: paths::meta_run(&config.work_dir, &agent, framework, id, container),
                allowed: allowed::now(executor),
            });
        }
        let found: Vec<ContainerId> = survivors.iter().map(|survivor| survivor.container.clone()).collect();
        out.push(Effect::Recover(survivors));
        if config.recover == Recover::Cleanup {
            info!(executors = found.len(), "cleaning up what an earlier agent left");
            for executor in self.node.frameworks.values().flat_map(|framework| framework.executors.values()) {
                if let Some(to) = executor.former_pid.clone() {
                    let message = Box::new(ShutdownExecutorMessage::default().into());
                    out.push(Effect::Send { to, message });
                }
            }
            self.terminate(now, out);
            return;
        }
        if found.is_empty() {
            return self.recovered(now, out);
        }
        info!(executors = found.len(), "waiting for the executors of an earlier agent");
        self.node.phase = Phase::Recovering;
        self.awaited.extend(found.iter().cloned());
        let at = now + config.executor_reregistration_timeout;
        out.push(Effect::Wake { at, timer: Timer::ExecutorReregistration });
        for container in found {
            self.reconnect(now, container, out);
        }
    }

    /// Calls a v0 executor; those of v1 come by themselves.
    fn reconnect(&mut self, now: Time, container: ContainerId, out: &mut Effects) {
        let Some((_, executor)) = self.by_container(&container) else { return };
        let Some(pid) = executor.former_pid.clone() else { return };
        info!(executor = %executor.id, %pid, "calling an executor back");
        let message = Box::new(ReconnectExecutorMessage { agent_id: self.node.id() }.into());
        out.push(Effect::Send { to: pid, message });
        if let Some(interval) = self.node.config.executor_reregistration_retry_interval {
            out.push(Effect::Wake { at: now + interval, timer: Timer::Reconnect { container } });
        }
    }

    pub(super) fn reconnect_again(&mut self, now: Time, container: ContainerId, out: &mut Effects) {
        let waits = |executor: &Executor| executor.phase == ExecutorPhase::Registering;
        if self.node.phase == Phase::Recovering
            && self.by_container(&container).is_some_and(|(_, executor)| waits(executor))
        {
            self.reconnect(now, container, out);
        }
    }

    /// Who is not back now hangs: were it gone, its container would be.
    pub(super) fn reregistration_timeout(&mut self, now: Time, out: &mut Effects) {
        let timeout = self.node.config.executor_reregistration_timeout;
        for container in std::mem::take(&mut self.awaited) {
            let Some((framework, executor)) = self.by_container(&container) else { continue };
            if executor.phase != ExecutorPhase::Registering {
                continue;
            }
            let id = executor.id.clone();
            let Some(info) = self.node.framework(&framework).map(|framework| framework.info.clone()) else {
                continue;
            };
            warn!(executor = %id, %framework, ?timeout, "killing an executor that did not come back");
            if let Some(executor) = self.node.executor_mut(&framework, &id) {
                executor.phase = ExecutorPhase::Terminating;
                executor.termination = Some(Termination {
                    state: tasks::lost_or(TaskState::TaskGone, &info),
                    reason: Reason::ExecutorReregistrationTimeout,
                    message: format!("Executor did not reregister within {}", duration::format(timeout)),
                    limited: Vec::new(),
                });
            }
            out.push(Effect::Destroy(container));
        }
        self.end_recovery(now, out);
    }

    /// An executor is back, or gone.
    pub(super) fn not_awaited(&mut self, now: Time, container: &ContainerId, out: &mut Effects) {
        if self.awaited.remove(container) && self.awaited.is_empty() {
            self.end_recovery(now, out);
        }
    }

    fn end_recovery(&mut self, now: Time, out: &mut Effects) {
        if self.node.phase == Phase::Recovering {
            self.node.phase = Phase::Disconnected;
            self.recovered(now, out);
        }
    }

    /// Nothing of an earlier agent is waited for; a master may be.
    fn recovered(&mut self, now: Time, out: &mut Effects) {
        let time = now.since(self.node.started);
        self.node.counters.recovery_time = Some(time);
        info!(?time, "recovered");
        out.push(Effect::Detect);
    }
}

impl Executor {
    /// A task as its updates left it; one that was never sent to the executor is in its queue.
    fn take_back(&mut self, info: TaskInfo, framework: &FrameworkId, streams: &Streams) {
        let id = info.task_id.clone();
        if self.met == Met::Never {
            self.queued_tasks.push_back(Arc::new(info));
        } else {
            let task = tasks::describe(&info, TaskState::TaskStaging, framework);
            self.launched_tasks.insert(id.clone(), Arc::new(task));
        }
        let Some(stream) = streams.get(&id) else { return };
        for status in &stream.statuses {
            if let Err(why) = update_task(self, status) {
                warn!(task = %id, why, "a status of a recovered task is not remembered");
            }
        }
        let known = self.launched_tasks.get_mut(&id);
        let Some(task) = known.or_else(|| self.terminated_tasks.get_mut(&id)) else { return };
        let task = Arc::make_mut(task);
        // What the master was told last, as far as that is known.
        let told = stream.pending.front().map(|update| (update.status.state, update.uuid.clone()));
        let heard = || {
            let uuid = stream.acknowledged.back()?;
            let status = stream.statuses.iter().find(|status| status.uuid.as_ref() == Some(uuid))?;
            Some((status.state, status.uuid.clone()))
        };
        if let Some((state, uuid)) = told.or_else(heard) {
            task.status_update_state = Some(state);
            task.status_update_uuid = uuid;
        }
    }
}

fn completed(past: CheckpointedPastTask, framework: &FrameworkId) -> Task {
    let CheckpointedPastTask { info, statuses } = past;
    let last = statuses.last();
    let ended = last.is_some_and(|last| is_terminal(last.state));
    let state = last.filter(|_| ended).and_then(|last| TaskState::try_from(last.state).ok());
    // One that is not known to have ended, ended with its framework.
    let mut task = tasks::describe(&info, state.unwrap_or(TaskState::TaskKilled), framework);
    task.statuses = statuses;
    task
}
