//! How much of the time somebody waits for a resource: of the machine, and of containers that have control groups.
//!
//! Kernels since 4.20 tell it in `/proc/pressure`, and in each control group of version 2. What is not told is left
//! out, and not zero. Source: Linux, Documentation/accounting/psi.rst.

#![expect(clippy::disallowed_methods, reason = "a shell: it reads /proc and control groups")]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Of the machine.
pub const MACHINE: &str = "/proc/pressure";

/// Shares of the time in percent, over the last so many seconds, and the sum of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    pub avg10: f32,
    pub avg60: f32,
    pub avg300: f32,
    pub total_usecs: u64,
}

/// When some of those that want the resource wait for it, and when all do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Waiting {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Share>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<Waiting>,
}

/// As the machine has it.
pub fn of_machine() -> Pressure {
    read(|name| Path::new(MACHINE).join(name))
}

/// As a control group has it, by its folder.
pub fn of_group(folder: &Path) -> Pressure {
    read(|name| folder.join(format!("{name}.pressure")))
}

fn read(file: impl Fn(&str) -> PathBuf) -> Pressure {
    let of = |name| fs::read_to_string(file(name)).ok().map(|text| waiting(&text));
    Pressure { cpu: of("cpu"), memory: of("memory"), io: of("io") }
}

fn waiting(text: &str) -> Waiting {
    let share = |name| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
        let record = procfs::parse_pressure_record(line).ok()?;
        let (avg10, avg60, avg300) = (record.avg10, record.avg60, record.avg300);
        Some(Share { avg10, avg60, avg300, total_usecs: record.total })
    };
    Waiting { some: share("some"), full: share("full") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_tells() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put(
            "cpu.pressure",
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=17\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        );
        // Kernels before 5.13 tell the first line only; what cannot be read says nothing.
        put("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=2.00 total=4\n");
        put("io.pressure", "some avg10=x\n");
        let found = of_group(folder.path());
        let some = Share { avg10: 1.5, avg60: 0.25, avg300: 0.0, total_usecs: 17 };
        assert_eq!(found.cpu.unwrap().some, Some(some));
        assert_eq!(found.cpu.unwrap().full.unwrap().total_usecs, 0);
        assert_eq!(found.memory.unwrap().full, None);
        assert_eq!(found.io, Some(Waiting::default()));
        assert_eq!(of_group(Path::new("/nowhere")), Pressure::default());
        let json = serde_json::to_value(found.memory).unwrap();
        assert_eq!(json["some"]["total_usecs"], 4);
        assert_eq!(serde_json::to_value(Pressure::default()).unwrap(), serde_json::json!({}));
    }
}
