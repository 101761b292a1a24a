//! When sessions are over that nothing was heard of.

use std::collections::{BTreeSet, HashMap};

/// Milliseconds since the server began.
type Moment = u64;

#[derive(Debug, Default)]
pub struct Deadlines {
    /// The timeout of each session, and when it was last heard of.
    sessions: HashMap<i64, (u64, Moment)>,
    /// When to look at a session: not later than it may be over.
    looks: BTreeSet<(Moment, i64)>,
}

impl Deadlines {
    pub fn begin(&mut self, session: i64, timeout_ms: i32, now: Moment) {
        let timeout = u64::try_from(timeout_ms).unwrap_or_default();
        if self.sessions.insert(session, (timeout, now)).is_none_or(|(before, _)| timeout < before) {
            self.looks.insert((now + timeout, session));
        }
    }

    pub fn heard(&mut self, session: i64, now: Moment) {
        if let Some((_, heard)) = self.sessions.get_mut(&session) {
            *heard = now;
        }
    }

    pub fn end(&mut self, session: i64) {
        // Its looks find nothing.
        self.sessions.remove(&session);
    }

    /// Those that are over; they are until `end`.
    pub fn over(&mut self, now: Moment) -> Vec<i64> {
        let mut over = Vec::new();
        let mut later = Vec::new();
        while let Some(&(at, session)) = self.looks.first()
            && at <= now
        {
            self.looks.pop_first();
            let Some(&(timeout, heard)) = self.sessions.get(&session) else { continue };
            if heard + timeout <= now {
                over.push(session);
                // If the round is dropped, or has no room for it.
                later.push((now + 1, session));
            } else {
                later.push((heard + timeout, session));
            }
        }
        self.looks.extend(later);
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard_stays() {
        let mut deadlines = Deadlines::default();
        deadlines.begin(1, 100, 0);
        deadlines.begin(2, 100, 0);
        deadlines.heard(1, 60);
        assert!(deadlines.over(99).is_empty());
        assert_eq!(deadlines.over(100), [2]);
        deadlines.end(2);
        assert!(deadlines.over(159).is_empty());
        assert_eq!(deadlines.over(160), [1]);
        assert_eq!(deadlines.over(161), [1], "until it was ended");
        deadlines.end(1);
        assert!(deadlines.over(1000).is_empty());
        // Comes back with a shorter timeout.
        deadlines.begin(3, 1000, 0);
        deadlines.begin(3, 10, 5);
        assert_eq!(deadlines.over(15), [3]);
    }
}
