//! What all facts come to, and the fewest facts that come to the same.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Fact;
use crate::agent::updates::is_terminal;
use crate::proto::internal::{
    CheckpointedAcknowledgement, CheckpointedConnection, CheckpointedExecutor, CheckpointedFramework,
    CheckpointedPast, CheckpointedPastTask, CheckpointedRun, CheckpointedStream, CheckpointedTasks,
    StatusUpdate,
};
use crate::proto::{AgentInfo, ExecutorId, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskStatus};

/// How much of the past is kept. The core keeps no more of it either.
const PAST_FRAMEWORKS: usize = 50;
const PAST_EXECUTORS: usize = 150;
const PAST_TASKS: usize = 200;

/// How many acknowledged uuids of a task are kept, to know an update that comes again.
const ACKNOWLEDGED: usize = 1000;

/// An agent as its disk knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Its id is set.
    pub agent: Option<AgentInfo>,
    /// How many processes were this agent after the first one.
    pub lives: u64,
    pub frameworks: BTreeMap<FrameworkId, FrameworkImage>,
    /// Oldest first.
    pub past_frameworks: VecDeque<FrameworkImage>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkImage {
    pub info: FrameworkInfo,
    pub pid: Option<String>,
    pub executors: BTreeMap<ExecutorId, ExecutorImage>,
    pub streams: BTreeMap<TaskId, StreamImage>,
    /// Oldest first.
    pub past_executors: VecDeque<PastExecutor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorImage {
    pub executor: CheckpointedExecutor,
    /// It was there once; its pid if it is a v0 one.
    pub connected: Option<Option<String>>,
    /// In the order they came; a group is one entry.
    pub tasks: Vec<CheckpointedTasks>,
    /// Oldest first.
    pub past_tasks: VecDeque<CheckpointedPastTask>,
}

/// Told of to the end.
#[derive(Clone, Debug, PartialEq)]
pub struct PastExecutor {
    pub executor: CheckpointedExecutor,
    pub tasks: VecDeque<CheckpointedPastTask>,
}

/// The updates of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamImage {
    pub acknowledged: VecDeque<Bytes>,
    /// Of consecutive ones with the same state only the last.
    pub statuses: Vec<TaskStatus>,
    pub pending: VecDeque<StatusUpdate>,
}

impl StreamImage {
    fn knows(&self, uuid: Option<&Bytes>) -> bool {
        let known = uuid.is_some_and(|uuid| self.acknowledged.contains(uuid));
        known || self.pending.iter().any(|update| update.uuid.as_ref() == uuid)
    }
}

impl Image {
    /// Takes the next fact. False if it fits nothing that is here: what it builds upon was lost.
    pub fn apply(&mut self, fact: Fact) -> bool {
        match fact {
            Fact::Agent(agent) => self.agent = Some(*agent),
            Fact::Framework(framework) => return self.framework(*framework),
            Fact::FrameworkGone(id) => return self.framework_gone(&id),
            Fact::Executor(executor) => return self.executor(*executor),
            Fact::Connected(connected) => return self.connected(*connected),
            Fact::ExecutorGone(run) => return self.executor_gone(&run),
            Fact::Tasks(tasks) => return self.tasks(*tasks),
            Fact::Update(update) => return self.update(*update),
            Fact::Acknowledged(acknowledged) => return self.acknowledged(&acknowledged),
            Fact::Stream(stream) => return self.stream(*stream),
            Fact::Past(past) => return self.past(*past),
            Fact::Lives(lives) => self.lives = lives,
            Fact::Left => *self = Image::default(),
        }
        true
    }

    fn framework(&mut self, framework: CheckpointedFramework) -> bool {
        let CheckpointedFramework { info, pid } = framework;
        let Some(id) = info.id.clone() else { return false };
        if let Some(known) = self.frameworks.get_mut(&id) {
            known.info = info;
            known.pid = pid;
            return true;
        }
        // One that was here before goes on with its past.
        let past = self.past_frameworks.iter().position(|past| past.info.id.as_ref() == Some(&id));
        let past = past.and_then(|at| self.past_frameworks.remove(at));
        let past_executors = past.map(|past| past.past_executors).unwrap_or_default();
        let (executors, streams) = Default::default();
        self.frameworks.insert(id, FrameworkImage { info, pid, executors, streams, past_executors });
        true
    }

    fn framework_gone(&mut self, id: &FrameworkId) -> bool {
        let Some(mut framework) = self.frameworks.remove(id) else { return false };
        for (_, executor) in std::mem::take(&mut framework.executors) {
            framework.remember(executor);
        }
        framework.streams.clear();
        remember(&mut self.past_frameworks, framework, PAST_FRAMEWORKS);
        true
    }

    fn executor(&mut self, executor: CheckpointedExecutor) -> bool {
        let run = &executor.run;
        let Some(framework) = self.frameworks.get_mut(&run.framework_id) else { return false };
        let id = run.executor_id.clone();
        let (connected, tasks, past_tasks) = Default::default();
        framework.executors.insert(id, ExecutorImage { executor, connected, tasks, past_tasks });
        true
    }

    fn run(&mut self, run: &CheckpointedRun) -> Option<&mut ExecutorImage> {
        let executor = self.frameworks.get_mut(&run.framework_id)?.executors.get_mut(&run.executor_id)?;
        Some(executor).filter(|executor| executor.executor.run.container_id == run.container_id)
    }

    fn connected(&mut self, connected: CheckpointedConnection) -> bool {
        let executor = self.run(&connected.run);
        executor.map(|executor| executor.connected = Some(connected.pid)).is_some()
    }

    fn executor_gone(&mut self, run: &CheckpointedRun) -> bool {
        if self.run(run).is_none() {
            return false;
        }
        let Some(framework) = self.frameworks.get_mut(&run.framework_id) else { return false };
        let gone = framework.executors.remove(&run.executor_id);
        gone.map(|executor| framework.remember(executor)).is_some()
    }

    fn tasks(&mut self, tasks: CheckpointedTasks) -> bool {
        self.run(&tasks.run).map(|executor| executor.tasks.push(tasks)).is_some()
    }

    fn update(&mut self, update: StatusUpdate) -> bool {
        let Some(framework) = self.frameworks.get_mut(&update.framework_id) else { return false };
        let stream = framework.streams.entry(update.status.task_id.clone()).or_default();
        if stream.knows(update.uuid.as_ref()) {
            return false;
        }
        if stream.statuses.last().is_some_and(|last| last.state == update.status.state) {
            stream.statuses.pop();
        }
        stream.statuses.push(update.status.clone());
        stream.pending.push_back(update);
        true
    }

    fn acknowledged(&mut self, acknowledged: &CheckpointedAcknowledgement) -> bool {
        let CheckpointedAcknowledgement { framework_id, task_id, uuid } = acknowledged;
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return false };
        let Some(stream) = framework.streams.get_mut(task_id) else { return false };
        if stream.pending.front().and_then(|first| first.uuid.as_ref()) != Some(uuid) {
            return false;
        }
        let Some(update) = stream.pending.pop_front() else { return false };
        remember(&mut stream.acknowledged, uuid.clone(), ACKNOWLEDGED);
        if is_terminal(update.status.state)
            && let Some(stream) = framework.streams.remove(task_id)
        {
            framework.complete(task_id, stream);
        }
        true
    }

    fn stream(&mut self, stream: CheckpointedStream) -> bool {
        let CheckpointedStream { framework_id, task_id, acknowledged, statuses, pending } = stream;
        let Some(framework) = self.frameworks.get_mut(&framework_id) else { return false };
        let stream = StreamImage { acknowledged: acknowledged.into(), statuses, pending: pending.into() };
        framework.streams.insert(task_id, stream);
        true
    }

    fn past(&mut self, past: CheckpointedPast) -> bool {
        let CheckpointedPast { executor, tasks, executor_gone } = past;
        if executor_gone.unwrap_or(false) {
            let Some(framework) = self.frameworks.get_mut(&executor.run.framework_id) else { return false };
            let past = PastExecutor { executor, tasks: tasks.into() };
            remember(&mut framework.past_executors, past, PAST_EXECUTORS);
            return true;
        }
        self.run(&executor.run).map(|executor| executor.past_tasks = tasks.into()).is_some()
    }

    /// What comes to this image when it is applied to an empty one.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.agent.iter().cloned().map(Box::new).map(Fact::Agent).collect();
        facts.extend((self.lives > 0).then_some(Fact::Lives(self.lives)));
        for framework in &self.past_frameworks {
            framework.tell(&mut facts);
            facts.extend(framework.info.id.clone().map(Fact::FrameworkGone));
        }
        for framework in self.frameworks.values() {
            framework.tell(&mut facts);
        }
        facts
    }
}

impl FrameworkImage {
    /// A task has ended, and whoever is to know it does.
    fn complete(&mut self, task: &TaskId, stream: StreamImage) {
        for executor in self.executors.values_mut() {
            for batch in &mut executor.tasks {
                let at = batch.tasks.iter().position(|there| there.task_id == *task);
                let Some(info) = at.map(|at| batch.tasks.remove(at)) else { continue };
                let past = CheckpointedPastTask { info: without_data(info), statuses: stream.statuses };
                remember(&mut executor.past_tasks, past, PAST_TASKS);
                executor.tasks.retain(|batch| !batch.tasks.is_empty());
                return;
            }
        }
    }

    /// What is left of its tasks ended with it.
    fn remember(&mut self, executor: ExecutorImage) {
        let ExecutorImage { executor, tasks, past_tasks: mut past, .. } = executor;
        for info in tasks.into_iter().flat_map(|batch| batch.tasks) {
            let stream = self.streams.get(&info.task_id);
            let statuses = stream.map(|stream| stream.statuses.clone()).unwrap_or_default();
            remember(&mut past, CheckpointedPastTask { info: without_data(info), statuses }, PAST_TASKS);
        }
        remember(&mut self.past_executors, PastExecutor { executor, tasks: past }, PAST_EXECUTORS);
    }

    fn tell(&self, facts: &mut Vec<Fact>) {
        let framework = CheckpointedFramework { info: self.info.clone(), pid: self.pid.clone() };
        facts.push(Fact::Framework(Box::new(framework)));
        for past in &self.past_executors {
            facts.push(Fact::Past(Box::new(CheckpointedPast {
                executor: past.executor.clone(),
                tasks: past.tasks.iter().cloned().collect(),
                executor_gone: Some(true),
            })));
        }
        for executor in self.executors.values() {
            executor.tell(facts);
        }
        let Some(framework_id) = &self.info.id else { return };
        for (task_id, stream) in &self.streams {
            facts.push(Fact::Stream(Box::new(CheckpointedStream {
                framework_id: framework_id.clone(),
                task_id: task_id.clone(),
                acknowledged: stream.acknowledged.iter().cloned().collect(),
                statuses: stream.statuses.clone(),
                pending: stream.pending.iter().cloned().collect(),
            })));
        }
    }
}

impl ExecutorImage {
    fn tell(&self, facts: &mut Vec<Fact>) {
        let run = &self.executor.run;
        facts.push(Fact::Executor(Box::new(self.executor.clone())));
        if let Some(pid) = &self.connected {
            let connected = CheckpointedConnection { run: run.clone(), pid: pid.clone() };
            facts.push(Fact::Connected(Box::new(connected)));
        }
        facts.extend(self.tasks.iter().cloned().map(Box::new).map(Fact::Tasks));
        if !self.past_tasks.is_empty() {
            facts.push(Fact::Past(Box::new(CheckpointedPast {
                executor: self.executor.clone(),
                tasks: self.past_tasks.iter().cloned().collect(),
                executor_gone: None,
            })));
        }
    }
}

fn remember<T>(past: &mut VecDeque<T>, new: T, most: usize) {
    past.push_back(new);
    if past.len() > most {
        past.pop_front();
    }
}

/// Nobody reads the data of a task that has ended, and it may be large.
fn without_data(mut info: TaskInfo) -> TaskInfo {
    info.data = None;
    if let Some(executor) = &mut info.executor {
        executor.data = None;
    }
    info
}
