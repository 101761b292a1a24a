//! Keeps status updates until they are acknowledged: one stream per task, its updates in the order they
//! came, one of them under way at a time, sent again until its acknowledgement is there.
//!
//! An update is taken, kept (on a disk, where the framework wants that), and only then sent; its acknowledgement
//! is taken, kept, and only then the next one is sent. Whoever calls says what is kept.
//!
//! Pure: `now` is an argument, and what is to be sent is handed back as `Forward`s. Absent on purpose: what
//! an update means to a task, and disks. Start at `stream.rs`.
//!
//! Source: `TaskStatusUpdateManagerProcess`, slave/task_status_update_manager.cpp 1.11.

mod stream;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::time::Time;
use crate::proto::internal::StatusUpdate;
use crate::proto::{FrameworkId, TaskId};

use stream::Stream;
pub use stream::{RETRY_MAX, RETRY_MIN, Refused, Taken, is_terminal};

/// An update to send to the master now, and when to ask `retry` about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    pub update: StatusUpdate,
    pub retry: Time,
    /// Names this sending: `retry` with an older number does nothing.
    pub number: u64,
}

/// What an acknowledgement did.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledged {
    /// It was that of a terminal update: the task has nothing more to say.
    pub terminated: bool,
    pub next: Option<Forward>,
}

/// The streams of all tasks of this agent.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    streams: BTreeMap<FrameworkId, BTreeMap<TaskId, Stream>>,
    /// No master to send to: updates are taken and wait.
    paused: bool,
    /// Counts sendings.
    number: u64,
}

impl Updates {
    /// Nothing is sent until `resume`.
    pub fn paused() -> Updates {
        Updates { paused: true, ..Updates::default() }
    }

    /// The updates of a task as an earlier agent left them: the uuids that were acknowledged, oldest first, and
    /// the updates that were not.
    pub fn restore(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        acknowledged: impl IntoIterator<Item = Bytes>,
        pending: impl IntoIterator<Item = StatusUpdate>,
    ) {
        let tasks = self.streams.entry(framework.clone()).or_default();
        tasks.insert(task.clone(), Stream::restored(acknowledged, pending));
    }

    /// Takes an update; it must have a uuid. A new one is to be kept.
    pub fn take(&mut self, update: StatusUpdate) -> Taken {
        let tasks = self.streams.entry(update.framework_id.clone()).or_default();
        tasks.entry(update.status.task_id.clone()).or_default().take(update)
    }

    /// `take` goes on here: the update with this uuid is kept.
    pub fn kept(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: &Bytes,
    ) -> Option<Forward> {
        let stream = self.streams.get_mut(framework)?.get_mut(task)?;
        if !stream.kept(uuid) || self.paused {
            return None;
        }
        self.number += 1;
        stream.forward(now, self.number)
    }

    /// The framework has seen the update with this uuid, which is to be kept.
    pub fn acknowledging(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: &Bytes,
    ) -> Result<(), Refused> {
        let tasks = self.streams.get_mut(framework).ok_or(Refused::NoStream)?;
        tasks.get_mut(task).ok_or(Refused::NoStream)?.acknowledging(uuid)
    }

    /// `acknowledging` goes on here: it is kept that the framework has seen the update with this uuid.
    pub fn acknowledge(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        uuid: &Bytes,
    ) -> Result<Acknowledged, Refused> {
        let tasks = self.streams.get_mut(framework).ok_or(Refused::NoStream)?;
        let stream = tasks.get_mut(task).ok_or(Refused::NoStream)?;
        let terminated = stream.acknowledge(uuid)?;
        if terminated {
            tasks.remove(task);
            if tasks.is_empty() {
                self.streams.remove(framework);
            }
            return Ok(Acknowledged { terminated, next: None });
        }
        if self.paused {
            return Ok(Acknowledged { terminated, next: None });
        }
        self.number += 1;
        Ok(Acknowledged { terminated, next: stream.forward(now, self.number) })
    }

    /// The time of a `Forward` has come: once more, unless it was acknowledged or sent again since.
    pub fn retry(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        task: &TaskId,
        number: u64,
    ) -> Option<Forward> {
        if self.paused {
            return None;
        }
        let stream = self.streams.get_mut(framework)?.get_mut(task)?;
        if stream.number() != number {
            return None;
        }
        self.number += 1;
        stream.again(now, self.number)
    }

    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// There is a master: the first update of every stream is sent at once.
    pub fn resume(&mut self, now: Time) -> Vec<Forward> {
        self.paused = false;
        let streams = self.streams.values_mut().flat_map(BTreeMap::values_mut);
        let number = &mut self.number;
        streams
            .filter_map(|stream| {
                *number += 1;
                stream.forward(now, *number)
            })
            .collect()
    }

    /// As `resume`, for one framework, which is back.
    pub fn resume_framework(&mut self, now: Time, framework: &FrameworkId) -> Vec<Forward> {
        if self.paused {
            return Vec::new();
        }
        let number = &mut self.number;
        let Some(tasks) = self.streams.get_mut(framework) else { return Vec::new() };
        tasks
            .values_mut()
            .filter_map(|stream| {
                *number += 1;
                stream.forward(now, *number)
            })
            .collect()
    }

    /// Forgets everything of a framework that will not acknowledge any more.
    pub fn cleanup(&mut self, framework: &FrameworkId) {
        self.streams.remove(framework);
    }

    /// Whether updates of this framework wait for their acknowledgement.
    pub fn awaits(&self, framework: &FrameworkId) -> bool {
        self.streams.contains_key(framework)
    }

    /// Whether updates of this task wait for their acknowledgement.
    pub fn awaits_task(&self, framework: &FrameworkId, task: &TaskId) -> bool {
        self.streams.get(framework).is_some_and(|tasks| tasks.contains_key(task))
    }

    /// Whether this update was taken, and is not kept yet.
    pub fn is_being_kept(&self, framework: &FrameworkId, task: &TaskId, uuid: &Bytes) -> bool {
        let stream = self.streams.get(framework).and_then(|tasks| tasks.get(task));
        stream.is_some_and(|stream| stream.is_being_kept(uuid))
    }

    /// How many updates wait for their acknowledgement, all tasks together.
    pub fn pending(&self) -> usize {
        self.streams.values().flat_map(BTreeMap::values).map(Stream::pending).sum()
    }

    /// Whether every stream holds something that is not acknowledged or a task that goes on.
    pub fn is_consistent(&self) -> bool {
        self.streams.values().all(|tasks| !tasks.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{TaskState, TaskStatus};

    fn update(task: &str, uuid: u8, state: TaskState) -> StatusUpdate {
        StatusUpdate {
            framework_id: "f".into(),
            status: TaskStatus { task_id: task.into(), state: state as i32, ..TaskStatus::default() },
            uuid: Some(Bytes::from(vec![uuid; 16])),
            ..StatusUpdate::default()
        }
    }

    fn uuid(byte: u8) -> Bytes {
        Bytes::from(vec![byte; 16])
    }

    /// Both halves, where nothing has to be waited for.
    impl Updates {
        fn update(&mut self, now: Time, update: StatusUpdate) -> Option<Forward> {
            let (task, uuid) = (update.status.task_id.clone(), update.uuid.clone()?);
            match self.take(update) {
                Taken::New => self.kept(now, &"f".into(), &task, &uuid),
                Taken::Again { .. } => None,
            }
        }

        fn acknowledged(&mut self, now: Time, task: &TaskId, uuid: &Bytes) -> Result<Acknowledged, Refused> {
            self.acknowledging(&"f".into(), task, uuid)?;
            self.acknowledge(now, &"f".into(), task, uuid)
        }
    }

    #[test]
    fn one_at_a_time_in_order() {
        let (now, f, t) = (Time(0), FrameworkId::from("f"), TaskId::from("t"));
        let mut updates = Updates::default();
        let first = updates.update(now, update("t", 1, TaskState::TaskRunning)).unwrap();
        assert_eq!(first.retry, now + RETRY_MIN);
        assert_eq!(updates.update(now, update("t", 2, TaskState::TaskFinished)), None);
        assert_eq!(updates.update(now, update("t", 2, TaskState::TaskFinished)), None);
        // Another task does not wait for this one.
        assert!(updates.update(now, update("u", 3, TaskState::TaskRunning)).is_some());

        assert_eq!(updates.acknowledged(now, &t, &uuid(2)), Err(Refused::Unexpected));
        let acknowledged = updates.acknowledged(now, &t, &uuid(1)).unwrap();
        assert!(!acknowledged.terminated);
        assert_eq!(acknowledged.next.unwrap().update.uuid, Some(uuid(2)));
        assert_eq!(updates.acknowledged(now, &t, &uuid(1)), Err(Refused::Duplicate));
        // What was acknowledged is not taken again.
        assert_eq!(updates.update(now, update("t", 1, TaskState::TaskRunning)), None);
        assert!(updates.acknowledged(now, &t, &uuid(2)).unwrap().terminated);
        assert_eq!(updates.acknowledged(now, &t, &uuid(2)), Err(Refused::NoStream));
        assert!(!updates.awaits_task(&f, &t));
    }

    #[test]
    fn nothing_is_sent_before_it_is_kept() {
        let (now, f, t) = (Time(0), FrameworkId::from("f"), TaskId::from("t"));
        let mut updates = Updates::default();
        assert_eq!(updates.take(update("t", 1, TaskState::TaskRunning)), Taken::New);
        assert_eq!(updates.take(update("t", 2, TaskState::TaskFinished)), Taken::New);
        assert_eq!(updates.take(update("t", 2, TaskState::TaskFinished)), Taken::Again { kept: false });
        assert_eq!(updates.resume(now), []);
        assert_eq!(updates.acknowledging(&f, &t, &uuid(1)), Err(Refused::Unexpected));
        assert_eq!(updates.kept(now, &f, &t, &uuid(1)).unwrap().update.uuid, Some(uuid(1)));

        // What is acknowledged is not sent again, and the next one not before that is kept.
        assert_eq!(updates.acknowledging(&f, &t, &uuid(1)), Ok(()));
        assert_eq!(updates.acknowledging(&f, &t, &uuid(1)), Err(Refused::Duplicate));
        assert_eq!(updates.resume(now), []);
        assert_eq!(updates.kept(now, &f, &t, &uuid(2)), None);
        let next = updates.acknowledge(now, &f, &t, &uuid(1)).unwrap().next.unwrap();
        assert_eq!(next.update.uuid, Some(uuid(2)));
        assert_eq!(updates.take(update("t", 2, TaskState::TaskFinished)), Taken::Again { kept: true });
    }

    #[test]
    fn what_an_earlier_agent_left_goes_on() {
        let (now, f, t) = (Time(0), FrameworkId::from("f"), TaskId::from("t"));
        let mut updates = Updates::paused();
        let pending = [update("t", 2, TaskState::TaskRunning), update("t", 3, TaskState::TaskFinished)];
        updates.restore(&f, &t, [uuid(1)], pending);
        assert_eq!(updates.take(update("t", 1, TaskState::TaskStarting)), Taken::Again { kept: true });
        assert_eq!(updates.take(update("t", 3, TaskState::TaskFinished)), Taken::Again { kept: true });
        assert_eq!(updates.resume(now)[0].update.uuid, Some(uuid(2)));
        assert_eq!(updates.acknowledged(now, &t, &uuid(1)), Err(Refused::Duplicate));
        let next = updates.acknowledged(now, &t, &uuid(2)).unwrap().next.unwrap();
        assert_eq!(next.update.uuid, Some(uuid(3)));
    }

    #[test]
    fn retries_double_up_to_ten_minutes() {
        let (mut now, f, t) = (Time(0), FrameworkId::from("f"), TaskId::from("t"));
        let mut updates = Updates::default();
        let mut sent = updates.update(now, update("t", 1, TaskState::TaskRunning)).unwrap();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(sent.retry.since(now).as_secs());
            now = sent.retry;
            let stale = sent.number;
            sent = updates.retry(now, &f, &t, sent.number).unwrap();
            assert_eq!(updates.retry(now, &f, &t, stale), None);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    }

    #[test]
    fn paused_until_there_is_a_master() {
        let now = Time(0);
        let mut updates = Updates::paused();
        assert_eq!(updates.update(now, update("t", 1, TaskState::TaskRunning)), None);
        assert_eq!(updates.update(now, update("t", 2, TaskState::TaskFinished)), None);
        let sent = updates.resume(now);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].update.uuid, Some(uuid(1)));
        updates.pause();
        assert_eq!(updates.retry(sent[0].retry, &"f".into(), &"t".into(), sent[0].number), None);
        updates.cleanup(&"f".into());
        assert_eq!(updates.resume(now), []);
    }
}
