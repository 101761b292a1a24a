//! How far long work has come: on standard error, only on a terminal, only when it takes long.

use std::io::Read;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is done within this time needs no picture.
const QUIET: Duration = Duration::from_millis(700);

/// Shows nothing until work has lasted a while.
pub struct Progress {
    bar: ProgressBar,
    since: Instant,
    shown: bool,
}

impl Progress {
    /// So many things to do: "asked 12 of 100 agents".
    pub fn count(total: u64, doing: &str, of_what: &str) -> Progress {
        Progress::new(Some(total), &format!("{doing} {{pos}} of {{len}} {of_what} {{wide_bar}}"))
    }

    /// Bytes; of how many, if that is known.
    pub fn bytes(total: Option<u64>, what: &str) -> Progress {
        let what = what.replace(['{', '}'], "");
        match total {
            Some(_) => Progress::new(
                total,
                &format!("{what} {{bytes}} of {{total_bytes}} {{wide_bar}} {{bytes_per_sec}}"),
            ),
            None => Progress::new(total, &format!("{{spinner}} {what} {{bytes}} {{bytes_per_sec}}")),
        }
    }

    fn new(total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { bar, since: Instant::now(), shown: false }
    }

    pub fn add(&mut self, amount: u64) {
        self.bar.inc(amount);
        if !self.shown && self.since.elapsed() > QUIET {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A reader that shows how far it is.
pub struct Received<R> {
    reader: R,
    progress: Progress,
}

impl<R: Read> Received<R> {
    pub fn new(reader: R, total: Option<u64>, from: &str) -> Received<R> {
        Received { reader, progress: Progress::bytes(total, &format!("from {from}:")) }
    }
}

impl<R: Read> Read for Received<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}
