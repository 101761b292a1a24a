//! The ports that processes listen on (`network/ports`).
//!
//! Source: isolators/network/ports.cpp 1.11.

use std::collections::{BTreeMap, BTreeSet};

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

use crate::proto::{Resource, value};
use crate::resources::{self, Ranges};

/// The ports of all sockets that listen, by inode.
pub fn listening() -> BTreeMap<u64, u16> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flatten().flatten();
    let listens = entries.filter(|entry| entry.state == TcpState::Listen);
    listens.map(|entry| (entry.inode, entry.local_address.port())).collect()
}

/// Those of them that these processes have open.
pub fn of(pids: &BTreeSet<i32>, listening: &BTreeMap<u64, u16>) -> BTreeSet<u16> {
    let files = pids.iter().filter_map(|pid| Process::new(*pid).and_then(|process| process.fd()).ok());
    let targets = files.flatten().flatten().map(|file| file.target);
    let ports = targets.filter_map(|target| match target {
        FDTarget::Socket(inode) => listening.get(&inode).copied(),
        _ => None,
    });
    ports.collect()
}

/// Those that nobody gave, among those that are looked at (`None`: all).
pub fn not_given(ports: &BTreeSet<u16>, given: &Ranges, looked_at: Option<&Ranges>) -> Ranges {
    let one = |port: u16| Ranges::new([(port.into(), port.into())]).unwrap_or_default();
    let within = |port: &&u16| looked_at.is_none_or(|ranges| ranges.contains(&one(**port)));
    let open = ports.iter().filter(within).map(|port| (u64::from(*port), u64::from(*port)));
    let mut open = Ranges::new(open).unwrap_or_default();
    open.subtract(given);
    open
}

/// `[31000-32000,33000-33000]`, as resources are written.
pub fn parse(text: &str) -> Result<Ranges, String> {
    let wrong = || format!("expected ports like [31000-32000], not '{text}'");
    let value = resources::parse::value(text).map_err(|_| wrong())?;
    let ranges = Ranges::from_proto(&value.ranges.ok_or_else(wrong)?).map_err(|why| why.to_string())?;
    let are_ports = ranges.iter().all(|(_, end)| u16::try_from(end).is_ok());
    if are_ports { Ok(ranges) } else { Err(wrong()) }
}

/// As a resource.
pub fn resource(ports: &Ranges) -> Resource {
    Resource {
        name: "ports".to_owned(),
        r#type: value::Type::Ranges as i32,
        ranges: Some(ports.to_proto()),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ports_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = BTreeSet::from([std::process::id() as i32]);
        assert!(of(&own, &listening()).contains(&port));
        assert!(!of(&BTreeSet::from([1]), &listening()).contains(&port));
    }

    #[test]
    fn ports_are_given_or_not_looked_at() {
        let ports = BTreeSet::from([80, 81, 31_000, 31_005]);
        let given = parse("[31000-31002]").unwrap();
        let shown = |looked_at: Option<&str>| {
            let looked_at = looked_at.map(|text| parse(text).unwrap());
            not_given(&ports, &given, looked_at.as_ref()).to_string()
        };
        assert_eq!(shown(None), "[80-81, 31005-31005]");
        assert_eq!(shown(Some("[31000-32000]")), "[31005-31005]");
        assert!(["1-2", "[a]", "[1-70000]", "5"].iter().all(|text| parse(text).is_err()));
    }
}
