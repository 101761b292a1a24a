//! What is to be removed, and when. Pure.
//!
//! Source: gc.cpp and `Slave::age`, `Slave::_checkDiskUsage`, slave.cpp 1.11.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::time::Time;

#[derive(Debug)]
pub struct Schedule {
    /// `--gc_delay`.
    delay: Duration,
    /// `--gc_disk_headroom`: from 0 to 1.
    headroom: f64,
    due: BTreeSet<(Time, PathBuf)>,
    times: HashMap<PathBuf, Time>,
}

impl Schedule {
    pub fn new(delay: Duration, headroom: f64) -> Schedule {
        Schedule { delay, headroom, due: BTreeSet::new(), times: HashMap::new() }
    }

    /// What ended then is to go a delay later; instead of what was said of it before.
    pub fn add(&mut self, path: PathBuf, ended: Time) {
        self.keep(&path);
        let at = ended + self.delay;
        self.due.insert((at, path.clone()));
        self.times.insert(path, at);
    }

    /// It is in use again; whether it was to go.
    pub fn keep(&mut self, path: &Path) -> bool {
        match self.times.remove(path) {
            Some(at) => self.due.remove(&(at, path.to_owned())),
            None => false,
        }
    }

    pub fn knows(&self, path: &Path) -> bool {
        self.times.contains_key(path)
    }

    /// How many are to go.
    pub fn pending(&self) -> usize {
        self.due.len()
    }

    /// When the next one goes.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What goes now, the longest ended first.
    pub fn take_due(&mut self, now: Time) -> Vec<PathBuf> {
        let mut taken = Vec::new();
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, path)) = self.due.pop_first()
        {
            self.times.remove(&path);
            taken.push(path);
        }
        taken
    }

    /// How old what has ended may become with so much of the disk used, from 0 to 1.
    pub fn allowed_age(&self, usage: f64) -> Duration {
        let part = (1.0 - self.headroom - usage).clamp(0.0, 1.0);
        Duration::try_from_secs_f64(self.delay.as_secs_f64() * part).unwrap_or(self.delay)
    }

    /// What is older than may be with so much of the disk used goes now.
    pub fn take_old(&mut self, now: Time, usage: f64) -> Vec<PathBuf> {
        self.take_due(now + self.delay.saturating_sub(self.allowed_age(usage)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn paths(texts: &[&str]) -> Vec<PathBuf> {
        texts.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn all_goes_in_its_time() {
        let mut schedule = Schedule::new(Duration::from_secs(10), 0.1);
        schedule.add("/b".into(), at(1));
        schedule.add("/a".into(), at(2));
        assert_eq!((schedule.next(), schedule.pending()), (Some(at(11)), 2));
        assert!(schedule.take_due(at(10)).is_empty());
        assert_eq!(schedule.take_due(at(12)), paths(&["/b", "/a"]));
        assert_eq!((schedule.next(), schedule.pending()), (None, 0));
    }

    #[test]
    fn what_is_used_again_stays_and_what_ends_again_waits_anew() {
        let mut schedule = Schedule::new(Duration::from_secs(10), 0.1);
        schedule.add("/a".into(), at(0));
        schedule.add("/b".into(), at(0));
        assert!(schedule.keep(Path::new("/a")) && !schedule.keep(Path::new("/a")));
        schedule.add("/b".into(), at(5));
        assert!(schedule.take_due(at(14)).is_empty());
        assert_eq!(schedule.take_due(at(15)), paths(&["/b"]));
    }

    #[test]
    fn a_full_disk_shortens_the_delay() {
        let mut schedule = Schedule::new(WEEK, 0.1);
        assert_eq!(schedule.allowed_age(0.9), Duration::ZERO);
        assert_eq!(schedule.allowed_age(1.0), Duration::ZERO);
        let half = schedule.allowed_age(0.4);
        assert!((half.as_secs_f64() - WEEK.as_secs_f64() / 2.0).abs() < 1.0);
        schedule.add("/old".into(), at(0));
        schedule.add("/new".into(), at(300_000));
        // 302,400 seconds are half a week.
        assert_eq!(schedule.take_old(at(302_500), 0.4), paths(&["/old"]));
        assert_eq!(schedule.take_old(at(302_500), 0.95), paths(&["/new"]));
    }
}
