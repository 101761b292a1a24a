//! Logs as operators of Mesos know them: glog's lines on stderr and in `--log_dir`.
//!
//! [`init`] is called once by a command, before anything is logged. The verbosity can be raised while running
//! ([`Log::set_verbosity`], `/logging/toggle`): 0 shows what is worth an operator's while, 1 and 2 add `debug`
//! lines, 3 and more `trace` lines.
//!
//! Lines are written by a thread of their own (`writer.rs`), at once but for some milliseconds. Absent on
//! purpose: rotation (glog has none by default either).
//!
//! Source: src/logging/logging.cpp and glog.

#![expect(clippy::disallowed_methods, reason = "a shell: it reads the clock and writes log files")]

mod file;
mod line;
pub mod toggle;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::flags::common::{Level, Logging};
use file::LogFiles;
use line::Severity;
use writer::{Sinks, Writer};

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("creating the log directory {path}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("creating a log file in {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("starting the thread that writes the log")]
    Thread(#[source] io::Error),
    #[error("logging has begun already")]
    Twice,
}

/// The log that runs. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    /// Least severe lines that are written at verbosity 0.
    least: Severity,
    verbosity: AtomicU32,
    /// That of the start, which toggles return to.
    original: u32,
    json: bool,
    /// Counts changes of it, so that an earlier way back does not undo a later one.
    changes: AtomicU64,
    writer: Writer,
    /// What `/master/log` shows.
    shown: Option<PathBuf>,
}

/// Begins to log, under the program's name (`mesos-master`), as the flags say.
pub fn init(program: &str, flags: &Logging) -> Result<Log, LogError> {
    begin(program, flags, false)
}

/// As `init`, each line written when it is logged: for those who share stderr with the tasks they run.
pub fn init_at_once(program: &str, flags: &Logging) -> Result<Log, LogError> {
    begin(program, flags, true)
}

fn begin(program: &str, flags: &Logging, at_once: bool) -> Result<Log, LogError> {
    let least = match flags.level {
        Level::Info => Severity::Info,
        Level::Warning => Severity::Warning,
        Level::Error => Severity::Error,
    };
    let files =
        flags.log_dir.as_deref().map(|dir| start_files(dir, program, least, flags.json)).transpose()?;
    let original = std::env::var("GLOG_v").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let link = flags.log_dir.as_deref().map(|dir| dir.join(format!("{program}.{}", least.name())));
    let writer = Writer::start(Sinks { stderr: !flags.quiet, files, least, at_once, buffer: flags.buffer })
        .map_err(LogError::Thread)?;
    let log = Log {
        shared: Arc::new(Shared {
            least,
            verbosity: AtomicU32::new(original),
            original,
            json: flags.json,
            changes: AtomicU64::new(0),
            writer,
            shown: flags.external_log_file.clone().or(link),
        }),
    };
    let subscriber = tracing_subscriber::registry().with(GlogLayer { log: log.clone() });
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(log)
}

/// The directory is made if need be, and the file of the least level at once: it is shown over HTTP.
fn start_files(dir: &Path, program: &str, least: Severity, json: bool) -> Result<LogFiles, LogError> {
    let path = || dir.to_owned();
    std::fs::create_dir_all(dir).map_err(|source| LogError::Directory { path: path(), source })?;
    let mut files = LogFiles::new(dir, program);
    if json {
        files = files.without_heading();
    }
    files.open(least).map_err(|source| LogError::File { path: path(), source })?;
    Ok(files)
}

impl Log {
    /// The file to attach as `/master/log` or `/slave/log`, if there is one.
    pub fn shown_file(&self) -> Option<&Path> {
        self.shared.shown.as_deref()
    }

    /// That of the start: `GLOG_v`, as for everything that logs by glog.
    pub fn original_verbosity(&self) -> u32 {
        self.shared.original
    }

    pub fn verbosity(&self) -> u32 {
        self.shared.verbosity.load(Ordering::Relaxed)
    }

    pub fn set_verbosity(&self, verbosity: u32) {
        self.shared.verbosity.store(verbosity, Ordering::Relaxed);
        // Each log statement remembers whether it is on.
        tracing::callsite::rebuild_interest_cache();
    }

    /// As `set_verbosity`; what comes back names this change for `undo_verbosity`.
    fn change_verbosity(&self, verbosity: u32) -> u64 {
        let change = self.shared.changes.fetch_add(1, Ordering::Relaxed) + 1;
        self.set_verbosity(verbosity);
        change
    }

    /// Back to that of the start, unless another change came after this one.
    fn undo_verbosity(&self, change: u64) -> bool {
        let last = self.shared.changes.load(Ordering::Relaxed) == change;
        if last {
            self.set_verbosity(self.shared.original);
        }
        last
    }

    fn filter(&self) -> LevelFilter {
        match (self.verbosity(), self.shared.least) {
            (0, Severity::Info) => LevelFilter::INFO,
            (0, Severity::Warning) => LevelFilter::WARN,
            (0, Severity::Error) => LevelFilter::ERROR,
            (1..=2, _) => LevelFilter::DEBUG,
            (3.., _) => LevelFilter::TRACE,
        }
    }
}

/// Takes what is logged by `tracing`.
struct GlogLayer {
    log: Log,
}

impl<S: Subscriber> Layer<S> for GlogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.log.filter() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.log.filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.log.filter())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let severity = Severity::of(*event.metadata().level());
        let line = match self.log.shared.json {
            true => line::json(severity, event),
            false => line::format(severity, event),
        };
        self.log.shared.writer.push(severity, line.as_bytes());
    }
}
