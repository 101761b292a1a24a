//! Gathers operations while a write is out, writes what they change together, and answers each in order.
//!
//! The shell asks [`Registrar::step`] what to do until there is nothing, and tells it what became of a write. A
//! write that the store could not be reached for is sent again until `--registry_store_timeout` is over, which is
//! safe: it sets records to given values, and who leads is alone in writing (stores refuse the writes of a leader
//! that was followed by another). Any other failure, or that time being over, is the end of this master, as in
//! Mesos: what was asked for may be durable or not, and the next leader reads which.
//!
//! Source: `RegistrarProcess`, registrar.cpp 1.11, which writes the whole registry each time and never tries again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Key, Operation, Outcome, Registry};
use crate::base::duration;
use crate::base::time::Time;

/// The most operations that one write makes durable. Bounds how long the last of them waits for the first.
const MOST: usize = 1000;

/// How long until a write is sent again, at first; then doubling.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What a record is from now on; none: it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub value: Option<Bytes>,
}

/// What is written together: all of it, or, where a store cannot do so, each record whole. Keys differ.
pub type Batch = Arc<[Change]>;

/// Why a store did not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached; the write may have been done nevertheless.
    Unavailable(String),
    /// There is no use in trying again: this master was deposed, or the store is broken.
    Fatal(String),
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Write this, and tell `written` what became of it.
    Write(Batch),
    /// These are durable or refused; `took` is how long the write was out.
    Answer { answers: Vec<(T, Outcome)>, took: Option<Duration> },
    /// The master must end.
    Fail(String),
}

/// `T` says who waits for an operation.
#[derive(Debug)]
pub struct Registrar<T> {
    /// Holds what is durable and what is being written.
    registry: Registry,
    /// Bytes of all its records.
    size: usize,
    /// `--registry_store_timeout`.
    patience: Duration,
    queue: VecDeque<(Operation, T)>,
    phase: Phase<T>,
}

#[derive(Debug)]
enum Phase<T> {
    Idle,
    Writing(Write<T>),
    /// The write failed, and is sent again at this time.
    Pausing(Write<T>, Time),
    /// Durable, or nothing was to be written.
    Done(Vec<(T, Outcome)>, Option<Duration>),
    Failed(String),
    /// The failure was told; nothing is done any more.
    Over,
}

#[derive(Debug)]
struct Write<T> {
    batch: Batch,
    answers: Vec<(T, Outcome)>,
    begun: Time,
    pause: Duration,
    why: Option<String>,
}

impl<T> Registrar<T> {
    /// With what a store holds.
    pub fn new(registry: Registry, patience: Duration) -> Registrar<T> {
        let size = registry.keys().iter().map(|key| registry.record_size(key)).sum();
        Registrar { registry, size, patience, queue: VecDeque::new(), phase: Phase::Idle }
    }

    /// What is durable, with what is being written.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Bytes of all its records.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many operations wait for a write to begin.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub fn submit(&mut self, operation: Operation, waiter: T) {
        self.queue.push_back((operation, waiter));
    }

    /// What became of the write that is out. Of one that is not, nothing is heard.
    pub fn written(&mut self, result: Result<(), Failure>, now: Time) {
        let Phase::Writing(mut write) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        self.phase = match result {
            Ok(()) => Phase::Done(write.answers, Some(now.since(write.begun))),
            Err(Failure::Fatal(why)) => Phase::Failed(format!("Failed to update registry: {why}")),
            Err(Failure::Unavailable(why)) => {
                let at = now + write.pause;
                write.pause *= 2;
                write.why = Some(why);
                Phase::Pausing(write, at)
            }
        };
    }

    /// When `step` has to be asked again, if nothing else happens.
    pub fn next_wake(&self) -> Option<Time> {
        match &self.phase {
            Phase::Writing(write) => Some(write.begun + self.patience),
            Phase::Pausing(write, at) => Some((*at).min(write.begun + self.patience)),
            Phase::Idle | Phase::Done(..) | Phase::Failed(_) | Phase::Over => None,
        }
    }

    /// What to do now, once; none: nothing until something happens.
    pub fn step(&mut self, now: Time) -> Option<Step<T>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let (phase, step) = match phase {
            Phase::Writing(write) | Phase::Pausing(write, _) if now >= write.begun + self.patience => {
                (Phase::Over, Some(Step::Fail(self.too_late(write.why.as_deref()))))
            }
            Phase::Pausing(write, at) if now >= at => {
                let batch = write.batch.clone();
                (Phase::Writing(write), Some(Step::Write(batch)))
            }
            Phase::Done(answers, took) => (Phase::Idle, Some(Step::Answer { answers, took })),
            Phase::Failed(why) => (Phase::Over, Some(Step::Fail(why))),
            Phase::Idle if !self.queue.is_empty() => self.begin(now),
            other => (other, None),
        };
        self.phase = phase;
        step
    }

    fn too_late(&self, why: Option<&str>) -> String {
        let time = duration::format(self.patience);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("Failed to update registry: Failed to perform store within {time}{why}")
    }

    /// Applies what waits; what that changes is one write.
    fn begin(&mut self, now: Time) -> (Phase<T>, Option<Step<T>>) {
        let count = self.queue.len().min(MOST);
        let mut touched: BTreeSet<Key> = BTreeSet::new();
        let mut answers = Vec::with_capacity(count);
        for (operation, waiter) in self.queue.drain(..count) {
            let keys = operation.keys();
            let size = |registry: &Registry| keys.iter().map(|key| registry.record_size(key)).sum::<usize>();
            let before = size(&self.registry);
            let outcome = self.registry.apply(&operation);
            if outcome == Outcome::Stored {
                self.size = self.size + size(&self.registry) - before;
                touched.extend(keys);
            }
            answers.push((waiter, outcome));
        }
        if touched.is_empty() {
            return (Phase::Idle, Some(Step::Answer { answers, took: None }));
        }
        let change = |key: &Key| Change { key: key.to_string(), value: self.registry.record(key) };
        let batch: Batch = touched.iter().map(change).collect();
        let write = Write { batch: batch.clone(), answers, begun: now, pause: FIRST_PAUSE, why: None };
        (Phase::Writing(write), Some(Step::Write(batch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::AgentInfo;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn admit(id: &str) -> Operation {
        let info = AgentInfo { id: Some(id.into()), hostname: "h".to_owned(), ..AgentInfo::default() };
        Operation::Admit(info.into())
    }

    fn registrar() -> Registrar<u32> {
        Registrar::new(Registry::default(), PATIENCE)
    }

    fn write(step: Option<Step<u32>>) -> Vec<String> {
        match step {
            Some(Step::Write(batch)) => batch.iter().map(|change| change.key.clone()).collect(),
            other => panic!("no write: {other:?}"),
        }
    }

    fn answers(step: Option<Step<u32>>) -> Vec<(u32, Outcome)> {
        match step {
            Some(Step::Answer { answers, .. }) => answers,
            other => panic!("no answers: {other:?}"),
        }
    }

    #[test]
    fn what_comes_while_a_write_is_out_goes_together() {
        let (mut registrar, now) = (registrar(), Time(1_000_000_000));
        assert_eq!(registrar.step(now), None);
        registrar.submit(admit("S1"), 1);
        assert_eq!(write(registrar.step(now)), ["agents/S1"]);
        for (id, waiter) in [("S2", 2), ("S1", 3), ("S3", 4)] {
            registrar.submit(admit(id), waiter);
        }
        assert_eq!(registrar.step(now), None, "one write at a time");
        assert_eq!(registrar.queued(), 3);
        registrar.written(Ok(()), now);
        assert_eq!(answers(registrar.step(now)), [(1, Outcome::Stored)]);
        assert_eq!(write(registrar.step(now)), ["agents/S2", "agents/S3"]);
        registrar.written(Ok(()), now);
        let all = answers(registrar.step(now));
        let again: Registrar<u32> = Registrar::new(registrar.registry().clone(), PATIENCE);
        assert!(registrar.size() == again.size() && registrar.size() > 30, "{}", registrar.size());
        assert_eq!(all, [(2, Outcome::Stored), (3, Outcome::Refused), (4, Outcome::Stored)]);
        assert_eq!((registrar.step(now), registrar.next_wake()), (None, None));
    }

    #[test]
    fn one_record_is_written_once_and_as_it_ends() {
        let (mut registrar, now) = (registrar(), Time(1));
        registrar.submit(admit("S1"), 1);
        registrar.submit(Operation::Remove("S1".into()), 2);
        let Some(Step::Write(batch)) = registrar.step(now) else { panic!("no write") };
        assert_eq!(*batch, [Change { key: "agents/S1".to_owned(), value: None }]);
    }

    #[test]
    fn what_changes_nothing_is_answered_without_a_write() {
        let (mut registrar, now) = (registrar(), Time(1));
        registrar.submit(Operation::Remove("S1".into()), 1);
        assert_eq!(answers(registrar.step(now)), [(1, Outcome::Refused)]);
    }

    #[test]
    fn an_unreachable_store_is_tried_again_until_its_time_is_over() {
        let (mut registrar, mut now) = (registrar(), Time(1_000_000_000));
        let began = now;
        registrar.submit(admit("S1"), 1);
        let first = write(registrar.step(now));
        let mut writes = 1;
        loop {
            registrar.written(Err(Failure::Unavailable("no quorum".to_owned())), now);
            assert_eq!(registrar.step(now), None, "not at once");
            now = registrar.next_wake().expect("it waits");
            match registrar.step(now) {
                Some(Step::Write(batch)) => {
                    assert_eq!(batch[0].key, first[0]);
                    writes += 1;
                }
                Some(Step::Fail(why)) => {
                    let expected =
                        "Failed to update registry: Failed to perform store within 20secs: no quorum";
                    assert_eq!(why, expected);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(now.since(began), PATIENCE);
        assert!((5..20).contains(&writes), "{writes}");
        registrar.submit(admit("S2"), 2);
        assert_eq!(registrar.step(now), None, "nothing is done any more");
    }

    #[test]
    fn a_silent_or_broken_store_is_the_end() {
        let (mut registrar, now) = (registrar(), Time(1_000_000_000));
        registrar.submit(admit("S1"), 1);
        write(registrar.step(now));
        let late = registrar.next_wake().expect("a deadline");
        assert_eq!(late, now + PATIENCE);
        assert!(matches!(registrar.step(late), Some(Step::Fail(_))));

        let mut registrar: Registrar<u32> = Registrar::new(Registry::default(), PATIENCE);
        registrar.submit(admit("S1"), 1);
        write(registrar.step(now));
        registrar.written(Err(Failure::Fatal("deposed".to_owned())), now);
        assert_eq!(registrar.step(now), Some(Step::Fail("Failed to update registry: deposed".to_owned())));
    }

    #[test]
    fn a_write_is_bounded() {
        let (mut registrar, now) = (registrar(), Time(1));
        for number in 0..2 * MOST as u32 + 1 {
            registrar.submit(admit(&format!("S{number}")), number);
        }
        let mut sizes = vec![];
        while registrar.queued() > 0 {
            sizes.push(write(registrar.step(now)).len());
            registrar.written(Ok(()), now);
            answers(registrar.step(now));
        }
        assert_eq!(sizes, [MOST, MOST, 1]);
    }
}
