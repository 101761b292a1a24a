//! `mesos zk serve`: the flags, and the server until it is told to end.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use tracing::{error, info};

use crate::cmd::shell::{self, Program};
use crate::flags::common::{self, Logging};
use crate::flags::{Error, Flag, Kind, Table, Value, Values, environment, start};
use crate::logging::Log;
use crate::zk::run::{self, Allowed, Options};
use crate::zk::store::Place;

const SERVE: &[Flag] = &[
    Flag::unset("ip", Kind::Ip, "IP address to listen on; all of this machine's unless set"),
    Flag::with("port", Kind::Port, "2181", "Port to listen on"),
    Flag::with(
        "store",
        Kind::Path,
        "memory",
        "Where nodes and sessions are kept:\n\
         memory           nowhere: they end with this process\n\
         file:///folder   on this machine; a change is on the disk before it is answered\n\
         etcd://host:port,host:port/path\n\
         \u{20}                in etcd, which several of these servers may share (etcds://…?ca=FILE for TLS)",
    )
    .check(|value| match value {
        Value::Text(text) => Place::parse(text).map(drop),
        _ => Ok(()),
    }),
    Flag::with(
        "tick_time",
        Kind::Duration,
        "2secs",
        "Sessions last two of these at least, and twenty at most, without a word from their client.",
    ),
    Flag::with(
        "four_letter_words",
        Kind::Text,
        "srvr",
        "Which of ruok, stat, srvr, mntr and cons are answered, separated by commas; * for all.",
    ),
];

/// The flags of `mesos zk serve`.
pub fn table() -> Table {
    Table::of(&[SERVE, common::LOGGING]).about("Serves ZooKeeper's client protocol, of versions 3.4 to 3.8.")
}

struct Flags {
    options: Options,
    logging: Logging,
}

impl Flags {
    fn from_values(values: Values) -> Result<Flags, Error> {
        let ip = values.maybe_ip("ip").map_or(std::net::Ipv4Addr::UNSPECIFIED, |ip| ip);
        let store = values.text("store").unwrap_or_default();
        let options = Options {
            listen: SocketAddr::new(ip.into(), values.port("port")),
            place: Place::parse(&store).map_err(|why| Error::invalid("store", why))?,
            tick: values.duration("tick_time"),
            words: Allowed::parse(&values.text("four_letter_words").unwrap_or_default()),
        };
        Ok(Flags { options, logging: Logging::from_values(&values) })
    }
}

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    let flags = match start(&table(), program, args, environment(), Flags::from_values) {
        Ok(flags) => flags,
        Err(status) => return status,
    };
    shell::run(Program { name: "mesos-zk", logging: flags.logging }, |log| until_told(flags.options, log))
}

async fn until_told(options: Options, _log: Log) -> ExitCode {
    let running = match run::start(options).await {
        Ok(running) => running,
        Err(error) => return shell::failed(&error),
    };
    tokio::select! {
        signal = shell::told_to_end() => {
            info!(signal, "ending");
            ExitCode::SUCCESS
        }
        why = running.ended => {
            let why = why.unwrap_or_else(|_| "the server's loop is gone".to_owned());
            error!(why, "the server ends");
            ExitCode::FAILURE
        }
    }
}
