//! One line: `I1122 19:46:31.123456 12345 agents.rs:12] agent registered agent=S0`.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// How bad it is. glog has a fourth, FATAL, with which the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Error];

    /// Verbose lines count as INFO, as glog's do.
    pub fn of(level: Level) -> Severity {
        match level {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            _ => Severity::Info,
        }
    }

    /// As in the names of log files.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        }
    }
}

/// Local date and time.
pub struct Moment {
    pub year: i32,
    pub month: i32,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    pub micros: u32,
}

impl Moment {
    pub fn now() -> Moment {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = libc::time_t::try_from(now.as_secs()).unwrap_or(0);
        // SAFETY: an all-zero `tm` is a valid one; localtime_r only writes to the one it is given.
        let local = unsafe {
            let mut local = std::mem::zeroed::<libc::tm>();
            libc::localtime_r(&raw const seconds, &raw mut local);
            local
        };
        Moment {
            year: local.tm_year + 1900,
            month: local.tm_mon + 1,
            day: local.tm_mday,
            hour: local.tm_hour,
            minute: local.tm_min,
            second: local.tm_sec,
            micros: now.subsec_micros(),
        }
    }
}

/// The whole line with its newline.
pub fn format(severity: Severity, event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let file = metadata.file().unwrap_or("?");
    let file = file.rsplit('/').next().unwrap_or(file);
    let line = metadata.line().unwrap_or(0);
    let mut out = String::with_capacity(160);
    let letter = &severity.name()[..1];
    let Moment { month, day, hour, minute, second, micros, .. } = Moment::now();
    let thread = nix::unistd::gettid();
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "{letter}{month:02}{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} {thread:>5} {file}:{line}]"
    );
    let mut fields = Fields { message: String::new(), others: String::new() };
    event.record(&mut fields);
    out.push_str(&fields.message);
    out.push_str(&fields.others);
    out.push('\n');
    out
}

/// The message first, then the fields in their order, each with a space in front.
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(Tame(&mut self.message), " {value:?}")
        } else {
            write!(Tame(&mut self.others), " {}={value:?}", field.name())
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(Tame(&mut self.others), " {}={value}", field.name());
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(Tame(&mut self.others), ": {error}");
            cause = error.source();
        }
    }
}

/// Escapes what would break the line: names and texts come from anybody, and one entry is one line.
struct Tame<'a>(&'a mut String);

impl fmt::Write for Tame<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_is_one_line() {
        let mut text = String::new();
        write!(Tame(&mut text), "a\nE1122 forged\x1b[0m\t\u{e9}").unwrap();
        assert_eq!(text, "a\\nE1122 forged\\u{1b}[0m\\t\u{e9}");
    }
}
