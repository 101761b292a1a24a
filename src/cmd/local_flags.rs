//! The flags of `mesos local`: its own, and those of master and agents, which it passes on.
//!
//! Source: local/flags.hpp, local/main.cpp 1.11. There only the environment reached master and agents.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::agent;
use crate::coordination::url::{Place, Server, Url};
use crate::flags::common::{self, Logging};
use crate::flags::{Environment, Error, Flag, Kind, Loaded, Table, Value, Values, given, load};
use crate::master;

const LOCAL: &[Flag] = &[
    Flag::with("num_slaves", Kind::Count, "1", "Number of agents").check(not_too_many),
    Flag::with("port", Kind::Port, "5050", "Port of the master to listen on"),
    Flag::unset("ip", Kind::Ip, "IP address to listen on"),
    Flag::with(
        "work_dir",
        Kind::Text,
        "/tmp/mesos/work",
        "Directory of the work directories: agents/0/work, agents/0/run and so on.",
    ),
    Flag::with(
        "zk",
        Kind::Bool,
        "false",
        "Starts a ZooKeeper in this process, as 'mesos zk serve' in memory is one. The master is elected\n\
         through it, at zk://127.0.0.1:2181/mesos (see --ip, --zk_port), where agents, frameworks and\n\
         masters beside this one find it. It ends with this process.",
    ),
    Flag::with("zk_port", Kind::Port, "2181", "Port of the ZooKeeper of --zk to listen on"),
];

pub fn table() -> Table {
    Table::of(&[LOCAL, common::LOGGING]).about(
        "Launches a master and its agents in a single process.\n\
         Flags of mesos-master and mesos-slave are passed on to them.",
    )
}

/// What a local cluster runs with.
#[derive(Clone, Debug)]
pub struct Flags {
    pub num_slaves: u64,
    pub work_dir: PathBuf,
    pub logging: Logging,
    /// Where a ZooKeeper is to listen, through which the master is elected; none: the master leads at once.
    pub zk: Option<SocketAddr>,
    pub master: master::flags::Flags,
    /// What the agents have in common; see [`Flags::agent`].
    agent: agent::flags::Flags,
}

impl Flags {
    /// What of an environment concerns a local cluster: its ZooKeeper is its own, whatever others use.
    pub fn environment(mut environment: Environment) -> Environment {
        environment.retain(|(name, _)| !name.eq_ignore_ascii_case("MESOS_ZK"));
        environment
    }

    /// The arguments for `local` itself, and those for master and agents.
    pub fn split(args: Vec<OsString>) -> Result<(Vec<OsString>, PassedOn), Error> {
        if args.iter().any(|arg| arg == "--help" || arg == "--version") {
            return Ok((args, PassedOn::default()));
        }
        let (own, masters, agents) = (table(), master::flags::table(), agent::flags::table());
        let mut parts = (Vec::new(), PassedOn::default());
        for (name, text) in given(&[&own, &masters, &agents], args)? {
            let arg = || OsString::from(format!("--{name}={text}"));
            if name == "master" {
                return Err(Error::invalid(name, "agents of a local cluster have its master"));
            }
            if name == "zk" && Url::is_ensemble(&text) {
                return Err(Error::invalid(name, "a local cluster has a ZooKeeper of its own, or none"));
            }
            if own.find(name).is_some() {
                parts.0.push(arg());
            } else {
                masters.find(name).is_some().then(|| parts.1.master.push(arg()));
                agents.find(name).is_some().then(|| parts.1.agent.push(arg()));
            }
        }
        Ok(parts)
    }

    pub fn from_values(
        values: Values,
        mut passed_on: PassedOn,
        environment: &Environment,
    ) -> Result<Flags, Error> {
        let work_dir = values.text("work_dir").unwrap_or_default();
        let work_dir = std::path::absolute(work_dir).map_err(|e| Error::invalid("work_dir", e))?;
        let mut add = |name: &str, for_master: String, for_agent: String| {
            passed_on.master.push(format!("--{name}={for_master}").into());
            passed_on.agent.push(format!("--{name}={for_agent}").into());
        };
        let path = |name: &str| work_dir.join(name).display().to_string();
        add("work_dir", path("master"), path("agents"));
        add("port", values.port("port").to_string(), "0".to_owned());
        if let Some(ip) = values.maybe_ip("ip") {
            add("ip", ip.to_string(), ip.to_string());
        }
        for row in common::LOGGING.iter().filter(|row| values.is_set(row.name)) {
            if let Some(value) = values.value(row.name) {
                add(row.name, value.to_string(), value.to_string());
            }
        }
        let ip = values.maybe_ip("ip").unwrap_or(Ipv4Addr::LOCALHOST);
        let zk = values.bool("zk").then(|| SocketAddr::new(ip.into(), values.port("zk_port")));
        if zk.is_some() {
            // Replaced by where the ZooKeeper listens, which is not known yet.
            passed_on.master.push("--zk=zk://127.0.0.1:2181/mesos".into());
        }
        // Agents are new ones each time, so there is nobody to remember for a master that is alone.
        let chosen = |arg: &OsString| arg.to_string_lossy().starts_with("--registry=");
        let is_chosen = passed_on.master.iter().any(chosen)
            || environment.iter().any(|(name, _)| name == "MESOS_REGISTRY");
        if !is_chosen && zk.is_none() {
            passed_on.master.push("--registry=in_memory".into());
        }
        // Replaced by the address that the master listens on, which is not known yet.
        passed_on.agent.push("--master=127.0.0.1:5050".into());
        Ok(Flags {
            num_slaves: values.count("num_slaves"),
            logging: Logging::from_values(&values),
            zk,
            master: master::flags::Flags::from_values(run(
                master::flags::table(),
                passed_on.master,
                environment,
            )?)?,
            agent: agent::flags::Flags::from_values(run(
                agent::flags::table(),
                passed_on.agent,
                environment,
            )?)?,
            work_dir,
        })
    }

    /// The flags of the master, with the ZooKeeper that listens here, if there is one.
    pub fn master(&self, zk: Option<&Url>) -> master::flags::Flags {
        let mut flags = self.master.clone();
        if let Some(zk) = zk {
            flags.values.replace("zk", Value::Text(zk.to_string()));
            flags.zk = Some(zk.clone());
        }
        flags
    }

    /// The flags of one agent of the cluster.
    pub fn agent(&self, index: u64, master: Url) -> agent::flags::Flags {
        let directory = self.work_dir.join("agents").join(index.to_string());
        let mut flags = self.agent.clone();
        flags.values.replace("master", Value::Text(master.to_string()));
        flags.master = master;
        let mut place = |name: &str, path: &Path| {
            flags.values.replace(name, Value::Text(path.display().to_string()));
            path.to_owned()
        };
        flags.work_dir = place("work_dir", &directory.join("work"));
        flags.runtime_dir = place("runtime_dir", &directory.join("run"));
        flags
    }
}

/// Where masters are elected through a ZooKeeper that listens here.
pub fn ensemble(listening: SocketAddr) -> Url {
    let ip = if listening.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listening.ip() };
    let servers = vec![Server { host: ip.to_string(), port: listening.port() }];
    Url::ZooKeeper(Place { servers, path: "/mesos".to_owned(), credentials: None })
}

/// The arguments that are meant for the master and for the agents; some for both.
#[derive(Clone, Debug, Default)]
pub struct PassedOn {
    master: Vec<OsString>,
    agent: Vec<OsString>,
}

fn run(table: Table, args: Vec<OsString>, environment: &Environment) -> Result<Values, Error> {
    match load(&table, args, environment.clone())? {
        Loaded::Run(values) => Ok(values),
        Loaded::Help | Loaded::Version => {
            Err(Error::Contradiction("expected flags to run with, not help or version".to_owned()))
        }
    }
}

/// All agents are threads of one process, with a port each.
fn not_too_many(value: &Value) -> Result<(), String> {
    match value {
        Value::Count(0..=1000) => Ok(()),
        other => Err(format!("expected 0 to 1000, got '{other}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(args: &[&str], environment: &[(&str, &str)]) -> Result<Flags, Error> {
        let environment = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let environment = Flags::environment(environment);
        let (own, passed_on) = Flags::split(args.iter().map(OsString::from).collect())?;
        match load(&table(), own, environment.clone())? {
            Loaded::Run(values) => Flags::from_values(values, passed_on, &environment),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn passes_flags_on() {
        let flags = local(
            &[
                "--num_slaves=2",
                "--work_dir=/w",
                "--allocation_interval=100ms",
                "--resources=cpus:2",
                "--quiet",
            ],
            &[("MESOS_CLUSTER", "mine"), ("MESOS_WORK_DIR", "/elsewhere"), ("MESOS_MASTER", "zk://a/b")],
        )
        .expect("flags");
        assert_eq!(flags.num_slaves, 2);
        assert_eq!(flags.master.cluster.as_deref(), Some("mine"));
        assert_eq!(flags.master.allocation_interval.as_millis(), 100);
        assert_eq!((flags.master.address.port, flags.master.logging.quiet), (5050, true));
        let master = Url::parse("127.0.0.1:7000").expect("an address");
        let agent = flags.agent(1, master);
        assert_eq!(agent.resources.as_deref(), Some("cpus:2"));
        assert_eq!(agent.work_dir, Path::new("/w/agents/1/work"));
        assert_eq!((agent.master.to_string().as_str(), agent.address.port), ("127.0.0.1:7000", 0));
        let shown = crate::flags::json::texts(&agent.values);
        assert_eq!(shown["runtime_dir"], "/w/agents/1/run");
        assert_eq!(shown["master"], "127.0.0.1:7000");
    }

    #[test]
    fn a_zookeeper_of_its_own() {
        let environment = [("MESOS_ZK", "zk://elsewhere/mesos")];
        let alone = local(&[], &environment).expect("flags");
        assert_eq!((alone.zk, alone.master.zk), (None, None));
        let flags = local(&["--zk", "--zk_port=0"], &environment).expect("flags");
        assert_eq!(flags.zk.map(|zk| zk.to_string()).as_deref(), Some("127.0.0.1:0"));
        assert_eq!(flags.master.registry, master::flags::RegistryPlace::Ensemble);
        let url = ensemble("0.0.0.0:7000".parse().expect("an address"));
        let master = flags.master(Some(&url));
        assert_eq!(crate::flags::json::texts(&master.values)["zk"], "zk://127.0.0.1:7000/mesos");
        assert_eq!(master.zk, Some(url));
        let Err(refusal) = local(&["--zk=zk://elsewhere/mesos"], &[]) else { panic!("it took it") };
        assert!(refusal.to_string().contains("of its own"), "{refusal}");
    }

    #[test]
    fn refuses_what_neither_knows() {
        assert!(matches!(local(&["--nonsense=1"], &[]), Err(Error::Unknown { .. })));
        assert!(matches!(local(&["--master=127.0.0.1:1"], &[]), Err(Error::Invalid { .. })));
        assert!(matches!(local(&["--registry=elsewhere"], &[]), Err(Error::Invalid { .. })));
        assert!(matches!(local(&["--num_slaves=1001"], &[]), Err(Error::Invalid { .. })));
    }
}
