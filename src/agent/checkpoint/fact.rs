//! One thing that must not be forgotten.

use crate::proto::internal::{
    CheckpointRecord, CheckpointedAcknowledgement, CheckpointedConnection, CheckpointedExecutor,
    CheckpointedFramework, CheckpointedPast, CheckpointedRun, CheckpointedStream, CheckpointedTasks,
    StatusUpdate,
};
use crate::proto::{AgentInfo, FrameworkId};

/// In the order of a life. `Stream` and `Past` stand for many others, when a journal is written anew.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    Agent(Box<AgentInfo>),
    Framework(Box<CheckpointedFramework>),
    FrameworkGone(FrameworkId),
    Executor(Box<CheckpointedExecutor>),
    Connected(Box<CheckpointedConnection>),
    ExecutorGone(CheckpointedRun),
    Tasks(Box<CheckpointedTasks>),
    Update(Box<StatusUpdate>),
    Acknowledged(CheckpointedAcknowledgement),
    Stream(Box<CheckpointedStream>),
    Past(Box<CheckpointedPast>),
    /// A process has started as this agent, which so many were before.
    Lives(u64),
    /// The agent leaves its cluster for good: nothing of it is to be found again. Never in a journal.
    Left,
}

impl Fact {
    /// None for what no journal has.
    pub(super) fn record(&self) -> Option<CheckpointRecord> {
        let mut record = CheckpointRecord::default();
        match self.clone() {
            Fact::Agent(agent) => record.agent = Some(*agent),
            Fact::Framework(framework) => record.framework = Some(*framework),
            Fact::FrameworkGone(id) => record.framework_gone = Some(id),
            Fact::Executor(executor) => record.executor = Some(*executor),
            Fact::Connected(connection) => record.connected = Some(*connection),
            Fact::ExecutorGone(run) => record.executor_gone = Some(run),
            Fact::Tasks(tasks) => record.tasks = Some(*tasks),
            Fact::Update(update) => record.update = Some(*update),
            Fact::Acknowledged(acknowledged) => record.acknowledged = Some(acknowledged),
            Fact::Stream(stream) => record.stream = Some(*stream),
            Fact::Past(past) => record.past = Some(*past),
            Fact::Lives(lives) => record.lives = Some(lives),
            Fact::Left => return None,
        }
        Some(record)
    }

    /// None for a record of a kind that this version does not know.
    pub(super) fn of(record: CheckpointRecord) -> Option<Fact> {
        let CheckpointRecord { agent, framework, framework_gone, executor, connected, .. } = record;
        let CheckpointRecord { executor_gone, tasks, update, acknowledged, stream, past, lives, .. } = record;
        None.or_else(|| agent.map(Box::new).map(Fact::Agent))
            .or_else(|| framework.map(Box::new).map(Fact::Framework))
            .or_else(|| framework_gone.map(Fact::FrameworkGone))
            .or_else(|| executor.map(Box::new).map(Fact::Executor))
            .or_else(|| connected.map(Box::new).map(Fact::Connected))
            .or_else(|| executor_gone.map(Fact::ExecutorGone))
            .or_else(|| tasks.map(Box::new).map(Fact::Tasks))
            .or_else(|| update.map(Box::new).map(Fact::Update))
            .or_else(|| acknowledged.map(Fact::Acknowledged))
            .or_else(|| stream.map(Box::new).map(Fact::Stream))
            .or_else(|| past.map(Box::new).map(Fact::Past))
            .or_else(|| lives.map(Fact::Lives))
    }
}
