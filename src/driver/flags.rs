//! What the environment says to a driver: `MESOS_*` for itself and its log, `LIBPROCESS_*` for where it listens.
//!
//! Source: sched/flags.hpp, logging/flags.cpp 1.11.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::core::scheduler::Patience;
use crate::flags::common::{COORDINATION, LOGGING, Logging, one_of};
use crate::flags::{Flag, Kind, Loaded, Table, Values, load};
use crate::process::host;

/// The address is read from `LIBPROCESS_*` alone.
const ADDRESS: &[Flag] = &[
    Flag::unset("ip", Kind::Ip, "IP address to listen on"),
    Flag::with("port", Kind::Port, "0", "Port to listen on"),
    Flag::unset("advertise_ip", Kind::Ip, "IP address that others use to reach this process"),
    Flag::unset("advertise_port", Kind::Port, "Port that others use to reach this process"),
];

const DRIVER: &[Flag] = &[
    Flag::with(
        "registration_backoff_factor",
        Kind::Duration,
        "2secs",
        "The longest pause before the first retry",
    ),
    Flag::with("authenticatee", Kind::Text, "crammd5", "How to authenticate with the master")
        .check(|value| one_of(value, &["crammd5"])),
    Flag::with("authentication_backoff_factor", Kind::Duration, "1secs", "How the timeout grows"),
    Flag::with("authentication_timeout_min", Kind::Duration, "5secs", "The least time an attempt has")
        .old(&["authentication_timeout"]),
    Flag::with("authentication_timeout_max", Kind::Duration, "1mins", "The most time an attempt has"),
    Flag::unset("modules", Kind::Json, "Modules to load, in JSON.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::unset("modules_dir", Kind::Text, "Directory of files that list modules to load.")
        .absent("modules are C++ libraries and cannot be loaded here"),
];

/// What a driver runs with.
#[derive(Clone, Debug)]
pub struct Flags {
    pub patience: Patience,
    pub logging: Logging,
    /// Whether to log at all; otherwise that is the process's business.
    pub logs: bool,
    pub bind: SocketAddr,
    pub advertise_ip: Option<Ipv4Addr>,
    pub advertise_port: Option<u16>,
    pub session_timeout: Duration,
}

impl Flags {
    /// From the environment; the error is what the user is told.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Flags, String> {
        let table = Table::of(&[DRIVER, LOGGING, COORDINATION, ADDRESS]);
        let is_ours = |name: &str| match name.strip_prefix("MESOS_") {
            // MESOS_PORT and the like are for masters and agents.
            Some(flag) => {
                let flag = flag.to_lowercase();
                table.find(&flag).is_some() && !ADDRESS.iter().any(|row| row.name == flag)
            }
            None => name.starts_with("LIBPROCESS_"),
        };
        let ours = environment.iter().filter(|(name, _)| is_ours(name));
        let ours = ours.map(|(name, text)| (OsString::from(name), OsString::from(text))).collect();
        match load(&table, Vec::new(), ours).map_err(|error| error.to_string())? {
            Loaded::Run(values) => Ok(Flags::from_values(&values)),
            Loaded::Help | Loaded::Version => {
                Err("MESOS_HELP and MESOS_VERSION mean nothing here".to_owned())
            }
        }
    }

    fn from_values(values: &Values) -> Flags {
        let patience = Patience {
            registration_backoff_factor: values.duration("registration_backoff_factor"),
            authentication_backoff_factor: values.duration("authentication_backoff_factor"),
            authentication_timeout_min: values.duration("authentication_timeout_min"),
            authentication_timeout_max: values.duration("authentication_timeout_max"),
        };
        let ip = values.maybe_ip("ip").unwrap_or(Ipv4Addr::UNSPECIFIED);
        Flags {
            patience,
            logging: Logging::from_values(values),
            logs: values.bool("initialize_driver_logging"),
            bind: SocketAddr::from((ip, values.port("port"))),
            advertise_ip: values.maybe_ip("advertise_ip"),
            advertise_port: values.maybe_port("advertise_port"),
            session_timeout: values.duration("zk_session_timeout"),
        }
    }

    /// Where others reach a listener at this port. Asks the resolver, so it may wait.
    pub fn advertised(&self, port: u16) -> SocketAddr {
        let ip = match self.bind.ip() {
            std::net::IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
            _ => None,
        };
        let ip = self.advertise_ip.or(ip).unwrap_or_else(host::own_ip);
        SocketAddr::from((ip, self.advertise_port.unwrap_or(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Flags, String> {
        Flags::read(&pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn reads_what_is_for_drivers() {
        let flags = read(&[
            ("MESOS_REGISTRATION_BACKOFF_FACTOR", "100ms"),
            ("MESOS_QUIET", "1"),
            ("MESOS_IP", "not for drivers"),
            ("MESOS_PORT", "nor this"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("LIBPROCESS_IP", "127.0.0.1"),
            ("LIBPROCESS_PORT", "7000"),
            ("LIBPROCESS_ADVERTISE_PORT", "8000"),
            ("HOME", "/"),
        ])
        .expect("flags");
        assert_eq!(flags.patience.registration_backoff_factor, Duration::from_millis(100));
        assert!(flags.logging.quiet && flags.logs);
        assert_eq!(flags.bind.to_string(), "127.0.0.1:7000");
        assert_eq!(flags.advertised(7000).to_string(), "127.0.0.1:8000");
        assert_eq!(read(&[]).expect("defaults").patience, Patience::default());
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        for (name, text) in [
            ("MESOS_MODULES", "{}"),
            ("MESOS_AUTHENTICATEE", "other"),
            ("MESOS_REGISTRATION_BACKOFF_FACTOR", "soon"),
            ("LIBPROCESS_PORT", "x"),
        ] {
            assert!(read(&[(name, text)]).is_err(), "{name}");
        }
    }
}
