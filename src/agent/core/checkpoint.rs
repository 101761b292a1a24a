//! What must be durable before it goes on.
//!
//! A framework that asks for it (`FrameworkInfo.checkpoint`) has kept what an agent must know to go on after a
//! restart: a task before its executor hears of it, an update before its executor is told that it was taken and
//! before the master hears of it, an acknowledgement before what follows from it. Of any other framework nothing
//! is kept, and everything goes on at once.

use bytes::Bytes;

use super::state::{Executor, State};
pub use super::statuses::Origin;
use super::{Effect, Effects};
use crate::agent::checkpoint::Fact;
use crate::agent::containerizer::Launch;
use crate::base::time::Time;
use crate::proto::internal::CheckpointedRun;
use crate::proto::{FrameworkId, TaskId};

/// Where a handler goes on once its facts are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Tasks are there, perhaps with a new executor.
    Took {
        run: CheckpointedRun,
        launch: Option<Box<Launch>>,
        tasks: Vec<TaskId>,
    },
    /// An executor is there for the first time.
    Met(CheckpointedRun),
    Updated {
        framework: FrameworkId,
        task: TaskId,
        uuid: Bytes,
        origin: Origin,
    },
    /// The framework has heard an update.
    Heard {
        framework: FrameworkId,
        task: TaskId,
        uuid: Bytes,
    },
    /// The agent has left its cluster, with this sentence.
    Exit(String),
}

impl State {
    /// Whether facts of this framework are kept.
    pub(super) fn keeps(&self, framework: &FrameworkId) -> bool {
        self.node.framework(framework).is_some_and(|framework| framework.checkpoint)
    }

    /// Keeps a fact that nothing waits for; what is kept later is not durable before it.
    pub(super) fn note(&self, framework: &FrameworkId, fact: impl FnOnce() -> Fact, out: &mut Effects) {
        if self.keeps(framework) {
            out.push(Effect::Checkpoint { facts: vec![fact()], then: None });
        }
    }

    /// Keeps facts of a framework, and goes on once they are durable.
    pub(super) fn keep(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        facts: impl FnOnce() -> Vec<Fact>,
        then: Then,
        out: &mut Effects,
    ) {
        if self.keeps(framework) {
            out.push(Effect::Checkpoint { facts: facts(), then: Some(then) });
        } else {
            self.go_on(now, then, out);
        }
    }

    pub(super) fn go_on(&mut self, now: Time, then: Then, out: &mut Effects) {
        match then {
            Then::Took { run, launch, tasks } => self.took(now, &run, launch, &tasks, out),
            Then::Met(run) => self.met(now, &run, out),
            Then::Updated { framework, task, uuid, origin } => {
                self.updated(now, &framework, &task, &uuid, &origin, out);
            }
            Then::Heard { framework, task, uuid } => self.heard(now, &framework, &task, &uuid, out),
            Then::Exit(why) => out.push(Effect::Exit(why)),
        }
    }

    /// The agent ends, and the next one here is a new one.
    pub(super) fn exit(&self, why: &str, out: &mut Effects) {
        if self.node.config.checkpoint && self.node.info.id.is_some() {
            let then = Some(Then::Exit(why.to_owned()));
            out.push(Effect::Checkpoint { facts: vec![Fact::Left], then });
        } else {
            out.push(Effect::Exit(why.to_owned()));
        }
    }

    /// The executor of this run, if it is still this run that it is in.
    pub(super) fn executor_in(&mut self, run: &CheckpointedRun) -> Option<&mut Executor> {
        let executor = self.node.executor_mut(&run.framework_id, &run.executor_id)?;
        Some(executor).filter(|executor| executor.container == run.container_id)
    }
}

impl Executor {
    pub(super) fn run(&self) -> CheckpointedRun {
        CheckpointedRun {
            framework_id: self.framework.clone(),
            executor_id: self.id.clone(),
            container_id: self.container.clone(),
        }
    }
}
