//! One line: `I1122 19:46:31.123456 12345 agents.rs:12] agent registered agent=S0`; or, with `--log_format=json`,
//! `{"time":"2026-11-22T19:46:31.123456Z","level":"INFO",…,"message":"agent registered","agent":"S0"}`.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use serde_json::{Map, Value};
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

/// The whole line as one JSON object, with its newline. Time is UTC, whatever the machine's zone is. A field that is
/// called as one of the object's own has `_` behind its name.
pub fn json(severity: Severity, event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let file = metadata.file().unwrap_or("?");
    let mut object = Map::new();
    object.insert("time".to_owned(), utc(SystemTime::now()).into());
    // Verbose lines say what they are; glog has no word for them.
    let level = match *metadata.level() {
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
        _ => severity.name(),
    };
    object.insert("level".to_owned(), level.into());
    object.insert("thread".to_owned(), nix::unistd::gettid().as_raw().into());
    object.insert("file".to_owned(), file.rsplit('/').next().unwrap_or(file).into());
    object.insert("line".to_owned(), metadata.line().unwrap_or(0).into());
    object.insert("message".to_owned(), "".into());
    event.record(&mut JsonFields(&mut object));
    let mut line = Value::Object(object).to_string();
    line.push('\n');
    line
}

/// `2026-11-22T19:46:31.123456Z`.
fn utc(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or(0);
    // SAFETY: an all-zero `tm` is a valid one; gmtime_r only writes to the one it is given.
    let utc = unsafe {
        let mut utc = std::mem::zeroed::<libc::tm>();
        libc::gmtime_r(&raw const seconds, &raw mut utc);
        utc
    };
    let (year, month, day) = (utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
    let (hour, minute, second, micros) = (utc.tm_hour, utc.tm_min, utc.tm_sec, since.subsec_micros());
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Fields as members, numbers and truths as such, everything else as text.
struct JsonFields<'a>(&'a mut Map<String, Value>);

impl JsonFields<'_> {
    fn set(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            name @ ("time" | "level" | "thread" | "file" | "line") => format!("{name}_"),
            name => name.to_owned(),
        };
        self.0.insert(name, value);
    }
}

impl Visit for JsonFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        self.set(field, text.into());
    }
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
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.push_str(text);
            return Ok(());
        }
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
    fn moments_in_utc() {
        let at = |millis| utc(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_790_000_000_250), "2026-09-21T14:13:20.250000Z");
    }

    #[test]
    fn one_entry_is_one_line() {
        let mut text = String::new();
        write!(Tame(&mut text), "a\nE1122 forged\x1b[0m\t\u{e9}").unwrap();
        assert_eq!(text, "a\\nE1122 forged\\u{1b}[0m\\t\u{e9}");
    }
}
