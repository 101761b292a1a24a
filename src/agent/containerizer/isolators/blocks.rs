//! What a container read from block devices and wrote to them (`cgroups/blkio`). Pure.
//!
//! Source: isolators/cgroups/subsystems/blkio.cpp 1.11.

use std::collections::BTreeMap;

use crate::proto::cgroup_info::blkio::{Operation, Statistics, Value, throttling};
use crate::proto::device::Number;

/// None: all of them together.
type Device = Option<(u64, u64)>;
type Counts = BTreeMap<Device, [Vec<Value>; 2]>;

/// From the files `io_serviced` and `io_service_bytes`, lines like `8:0 Read 17`, and `Total 17` of all devices.
pub fn version_one(counts: &str, bytes: &str) -> Statistics {
    let mut found = Counts::new();
    for (index, text) in [counts, bytes].into_iter().enumerate() {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (device, operation, value) = match words[..] {
                [device, operation, value] => (number(device), operation, value),
                [operation, value] => (Some(None), operation, value),
                _ => continue,
            };
            let operation = match operation {
                "Read" => Operation::Read,
                "Write" => Operation::Write,
                "Sync" => Operation::Sync,
                "Async" => Operation::Async,
                "Discard" => Operation::Discard,
                "Total" => Operation::Total,
                _ => continue,
            };
            let (Some(device), Ok(value)) = (device, value.parse()) else { continue };
            found.entry(device).or_default()[index].push(said(operation, value));
        }
    }
    statistics(found)
}

/// From `io.stat`, lines like `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
pub fn version_two(text: &str) -> Statistics {
    let mut found = Counts::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(device) = words.next().and_then(number) else { continue };
        for word in words {
            let Some((name, value)) = word.split_once('=') else { continue };
            let (index, operation) = match name {
                "rios" => (0, Operation::Read),
                "wios" => (0, Operation::Write),
                "dios" => (0, Operation::Discard),
                "rbytes" => (1, Operation::Read),
                "wbytes" => (1, Operation::Write),
                "dbytes" => (1, Operation::Discard),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                found.entry(device).or_default()[index].push(said(operation, value));
            }
        }
    }
    statistics(found)
}

/// The first: whether it is one at all.
fn number(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some(Some((major.parse().ok()?, minor.parse().ok()?)))
}

fn said(operation: Operation, value: u64) -> Value {
    Value { op: Some(operation as i32), value: Some(value) }
}

fn statistics(found: Counts) -> Statistics {
    let throttling = found.into_iter().map(|(device, [io_serviced, io_service_bytes])| {
        let device = device.map(|(major_number, minor_number)| Number { major_number, minor_number });
        throttling::Statistics { device, io_serviced, io_service_bytes }
    });
    Statistics { throttling: throttling.collect(), ..Statistics::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_say_the_same() {
        let one = version_one("8:0 Read 3\n8:0 Write 4\n", "8:0 Read 1\n8:0 Write 2\n");
        let two = version_two("8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
        assert_eq!(one, two);
        assert_eq!(one.throttling[0].io_serviced[1].value, Some(4));
        let all = version_one("Total 7\n", "Total 9\n").throttling;
        assert_eq!((&all[0].device, all[0].io_service_bytes[0].value), (&None, Some(9)));
        assert_eq!(version_two("noise"), Statistics::default());
    }
}
