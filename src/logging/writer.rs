//! Writes lines in a thread of its own, many in one go: who logs in the middle of a decision never waits for a
//! disk or a slow terminal.
//!
//! Lines are written within [`GATHER`]; ERROR lines, and all before them, before `push` comes back, and so all
//! of those who log between the lines of somebody else ([`Sinks::at_once`]); all before the process ends, unless a
//! signal ends it. While nothing can be written [`MOST`] bytes wait, and what comes then is counted and lost.
//!
//! With `--logbufsecs` INFO lines reach their file that much later, or with the next worse line; stderr has them
//! at once. Source: `FLAGS_logbufsecs` and `FLAGS_logbuflevel`, glog.

use std::io::{self, Write as _};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::file::LogFiles;
use super::line::Severity;

/// How long lines gather, so that a busy process writes a hundred times a second and not for every line.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes that may wait.
const MOST: usize = 16 << 20;

/// The longest that the end of the process waits for a log that cannot be written.
const LAST: Duration = Duration::from_secs(2);

/// Bytes held back for the files at most.
const HELD: usize = 1 << 20;

/// Where lines go.
pub struct Sinks {
    pub stderr: bool,
    pub files: Option<LogFiles>,
    pub least: Severity,
    /// For executors, whose lines stand among those of their tasks.
    pub at_once: bool,
    /// `--logbufsecs`.
    pub buffer: Duration,
}

/// What the files get later.
#[derive(Default)]
struct Held {
    text: Vec<u8>,
    lines: Vec<(Severity, usize)>,
    /// When it is to be written.
    due: Option<Instant>,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Where each line ends in `text`.
    lines: Vec<(Severity, usize)>,
    lost: u64,
    /// Lines that were taken and are not written yet.
    writing: bool,
    /// Lines are held back for the files.
    held: bool,
    urgent: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Something waits.
    wake: Condvar,
    /// Nothing waits any more.
    done: Condvar,
}

/// Takes lines. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
    at_once: bool,
}

/// What is flushed when the process ends.
static LATEST: OnceLock<Writer> = OnceLock::new();

extern "C" fn at_exit() {
    if let Some(writer) = LATEST.get() {
        writer.flush(LAST);
    }
}

impl Writer {
    pub fn start(sinks: Sinks) -> io::Result<Writer> {
        let writer = Writer { shared: Arc::default(), at_once: sinks.at_once };
        let shared = writer.shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            let (mut sinks, mut held) = (sinks, Held::default());
            loop {
                shared.gather(held.due);
                let (text, lines, lost, urgent) = shared.take();
                sinks.write(&mut held, &text, &lines, lost, urgent);
                shared.written(held.due.is_some());
            }
        })?;
        if LATEST.set(writer.clone()).is_ok() {
            // SAFETY: the handler only takes locks that the writing thread gives back, and not for ever.
            unsafe { libc::atexit(at_exit) };
        }
        Ok(writer)
    }

    pub fn push(&self, severity: Severity, line: &[u8]) {
        let mut waiting = self.shared.lock();
        if waiting.text.len() + line.len() > MOST {
            waiting.lost += 1;
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.text.extend_from_slice(line);
        let end = waiting.text.len();
        waiting.lines.push((severity, end));
        drop(waiting);
        if first {
            self.shared.wake.notify_one();
        }
        if severity == Severity::Error || self.at_once {
            self.flush(LAST);
        }
    }

    /// Waits until everything pushed so far is written, but not longer than this.
    pub fn flush(&self, longest: Duration) {
        let mut waiting = self.shared.lock();
        waiting.urgent = true;
        self.shared.wake.notify_one();
        let busy = |waiting: &mut Waiting| !waiting.lines.is_empty() || waiting.writing || waiting.held;
        // Too late is as good as done: there is nowhere to say so.
        drop(self.shared.done.wait_timeout_while(waiting, longest, busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first line, but not longer than what is held back can wait, and then a little for more.
    fn gather(&self, due: Option<Instant>) {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.urgent;
        let waiting = match due {
            None => self.wake.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let longest = due.saturating_duration_since(Instant::now());
                let waited = self.wake.wait_timeout_while(waiting, longest, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if waiting.lines.is_empty() {
            return;
        }
        drop(self.wake.wait_timeout_while(waiting, GATHER, |waiting| !waiting.urgent));
    }

    fn take(&self) -> (Vec<u8>, Vec<(Severity, usize)>, u64, bool) {
        let mut waiting = self.lock();
        waiting.writing = true;
        let urgent = mem::take(&mut waiting.urgent);
        let lost = mem::take(&mut waiting.lost);
        (mem::take(&mut waiting.text), mem::take(&mut waiting.lines), lost, urgent)
    }

    fn written(&self, held: bool) {
        let mut waiting = self.lock();
        waiting.writing = false;
        waiting.held = held;
        if waiting.lines.is_empty() && !held {
            self.done.notify_all();
        }
    }
}

impl Sinks {
    /// A log that cannot be written is no reason to stop: there is nowhere to say so.
    fn write(&mut self, held: &mut Held, text: &[u8], lines: &[(Severity, usize)], lost: u64, urgent: bool) {
        if self.stderr {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(text);
            if lost > 0 {
                let _ = writeln!(stderr, "{lost} lines of the log were lost");
            }
        }
        let Some(files) = &mut self.files else { return };
        held.lines.extend(lines.iter().map(|(severity, end)| (*severity, held.text.len() + end)));
        held.text.extend_from_slice(text);
        let now = Instant::now();
        let due = *held.due.get_or_insert(now + self.buffer) <= now;
        let worse = lines.iter().any(|(severity, _)| *severity > Severity::Info);
        if !(due || worse || urgent || held.text.len() > HELD || held.lines.is_empty()) {
            return;
        }
        let Held { text, lines, .. } = mem::take(held);
        let mut start = 0;
        // Runs of one severity go out together.
        for run in lines.chunk_by(|one, next| one.0 == next.0) {
            let Some((severity, end)) = run.last().copied() else { continue };
            files.write(severity, self.least, &text[start..end]);
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinks(dir: &std::path::Path, buffer: Duration) -> Sinks {
        let files = Some(LogFiles::new(dir, "mesos-test"));
        Sinks { stderr: false, files, least: Severity::Info, at_once: false, buffer }
    }

    #[test]
    fn lines_are_held_back_until_a_worse_one_or_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::start(sinks(dir.path(), Duration::from_secs(3600))).unwrap();
        let text = || std::fs::read_to_string(dir.path().join("mesos-test.INFO")).unwrap_or_default();
        let held = || loop {
            let waiting = writer.shared.lock();
            if waiting.lines.is_empty() && !waiting.writing {
                break waiting.held;
            }
            drop(waiting);
            thread::yield_now();
        };
        writer.push(Severity::Info, b"one\n");
        assert!(held() && !text().contains("one"), "{}", text());
        writer.push(Severity::Warning, b"two\n");
        assert!(!held() && text().ends_with("one\ntwo\n"), "{}", text());
        writer.push(Severity::Info, b"three\n");
        assert!(held());
        writer.flush(LAST);
        assert!(!held() && text().ends_with("two\nthree\n"), "{}", text());
    }

    #[test]
    fn lines_are_held_back_no_longer_than_said() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::start(sinks(dir.path(), Duration::from_millis(50))).unwrap();
        writer.push(Severity::Info, b"one\n");
        let end = Instant::now() + Duration::from_secs(20);
        let text = || std::fs::read_to_string(dir.path().join("mesos-test.INFO")).unwrap_or_default();
        while !text().ends_with("one\n") {
            assert!(Instant::now() < end, "the line was never written");
            thread::yield_now();
        }
    }

    #[test]
    fn lines_arrive_in_order_and_errors_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::start(sinks(dir.path(), Duration::ZERO)).unwrap();
        for number in 0..1000 {
            writer.push(Severity::Info, format!("line {number}\n").as_bytes());
        }
        writer.push(Severity::Error, b"bad\n");
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let info = text("mesos-test.INFO");
        let said: Vec<&str> = info.lines().skip(3).collect();
        let expected: Vec<String> =
            (0..1000).map(|number| format!("line {number}")).chain(["bad".to_owned()]).collect();
        assert_eq!(said, expected);
        assert!(text("mesos-test.ERROR").ends_with("bad\n"));
        writer.push(Severity::Info, b"last\n");
        writer.flush(LAST);
        assert!(text("mesos-test.INFO").ends_with("last\n"));
    }
}
