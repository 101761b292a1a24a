//! Rows that master, agent and `mesos local` share, and the structs they are read into.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Error, Flag, Kind, Value, Values};

/// Help, version and logging.
pub const LOGGING: &[Flag] = &[
    Flag::with("help", Kind::Bool, "false", "Prints this help message"),
    Flag::with("version", Kind::Bool, "false", "Prints the version and ends."),
    Flag::with("quiet", Kind::Bool, "false", "Disable logging to stderr"),
    Flag::unset(
        "log_dir",
        Kind::Text,
        "Location to put log files (no default, nothing\n\
         is written to disk unless specified;\n\
         does not affect logging to stderr)",
    ),
    Flag::with("logbufsecs", Kind::Count, "0", "How many seconds to buffer log messages for"),
    Flag::with(
        "logging_level",
        Kind::Text,
        "INFO",
        "The least severe lines that are logged: INFO, WARNING or ERROR.\n\
         With --quiet this concerns the files in --log_dir only.",
    )
    .check(one_of_levels),
    Flag::with(
        "log_format",
        Kind::Text,
        "glog",
        "How lines of the log are written: glog, or json for one JSON object a line.",
    )
    .check(|value| one_of(value, &["glog", "json"])),
    Flag::with(
        "initialize_driver_logging",
        Kind::Bool,
        "true",
        "Whether drivers of schedulers and executors log like master and agent do.",
    )
    .harmless("no driver of Mesos' own runs in this process"),
    Flag::unset(
        "external_log_file",
        Kind::Text,
        "A log file that somebody else writes (journald, syslog) and that the web UI\n\
         shows in place of the one in --log_dir.",
    ),
];

/// Where to listen and what to tell others.
pub const ADDRESS: &[Flag] = &[
    Flag::unset("ip", Kind::Ip, "IP address to listen on"),
    Flag::unset(
        "ip_discovery_command",
        Kind::Text,
        "A shell command that prints the IP address to listen on.\n\
         Cannot be used together with --ip.",
    ),
    Flag::unset(
        "advertise_ip",
        Kind::Ip,
        "IP address that others use to reach this process, where it differs\n\
         from the one it listens on.",
    ),
    Flag::unset(
        "advertise_port",
        Kind::Port,
        "Port that others use to reach this process, where it differs\n\
         from the one it listens on.",
    ),
    Flag::unset(
        "hostname",
        Kind::Text,
        "Host name to tell others. Found from the IP address when not set,\n\
         or the IP address itself with --no-hostname_lookup.",
    ),
    Flag::with(
        "hostname_lookup",
        Kind::Bool,
        "true",
        "Whether the host name is looked up when --hostname is not set.",
    ),
    Flag::unset(
        "domain",
        Kind::Json,
        "The fault domain of this machine:\n\
         {\"fault_domain\": {\"region\": {\"name\": \"r\"}, \"zone\": {\"name\": \"z\"}}}",
    )
    .check(fault_domain),
];

/// How leaders are found.
pub const COORDINATION: &[Flag] = &[Flag::with(
    "zk_session_timeout",
    Kind::Duration,
    "10secs",
    "How long a session with ZooKeeper, or a lease of etcd, outlives silence.",
)
.check(session_timeout)];

/// What neither master nor agent can do yet, or ever will.
pub const ABSENT: &[Flag] = &[
    Flag::with(
        "authenticate_http_readonly",
        Kind::Bool,
        "false",
        "Whether read-only HTTP endpoints ask for credentials.",
    )
    .absent("authentication is not there yet"),
    Flag::with(
        "authenticate_http_readwrite",
        Kind::Bool,
        "false",
        "Whether HTTP endpoints that change something ask for credentials.",
    )
    .absent("authentication is not there yet"),
    Flag::with("http_authenticators", Kind::Text, "basic", "How HTTP requests are authenticated.")
        .absent("authentication is not there yet"),
    Flag::unset("acls", Kind::Json, "Who may do what, as the ACLs message in JSON.")
        .absent("authorization is not there yet"),
    Flag::unset("firewall_rules", Kind::Json, "HTTP endpoints that are switched off, in JSON.")
        .absent("endpoints cannot be switched off yet"),
    Flag::unset("hooks", Kind::Text, "Names of hook modules.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::unset("modules", Kind::Json, "Modules to load, in JSON.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::unset("modules_dir", Kind::Text, "Directory of files that list modules to load.")
        .absent("modules are C++ libraries and cannot be loaded here"),
    Flag::with("memory_profiling", Kind::Bool, "false", "Whether /memory-profiler can profile the heap.")
        .absent("there is no heap profiler"),
];

/// How and where to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    pub quiet: bool,
    pub level: Level,
    pub log_dir: Option<PathBuf>,
    /// How long INFO lines may be held back before they are written to the files.
    pub buffer: Duration,
    /// One JSON object a line in place of glog's lines.
    pub json: bool,
    /// Shown under `/master/log` or `/slave/log` in place of the one in `log_dir`.
    pub external_log_file: Option<PathBuf>,
}

/// The least severe lines that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Logging {
    pub fn from_values(values: &Values) -> Logging {
        let level = match values.text("logging_level").as_deref() {
            Some("WARNING") => Level::Warning,
            Some("ERROR") => Level::Error,
            _ => Level::Info,
        };
        Logging {
            quiet: values.bool("quiet"),
            level,
            log_dir: values.text("log_dir").map(PathBuf::from),
            buffer: Duration::from_secs(values.count("logbufsecs")),
            json: values.text("log_format").as_deref() == Some("json"),
            external_log_file: values.text("external_log_file").map(PathBuf::from),
        }
    }
}

/// Where to listen and what to tell others. What is none is for the caller to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// None: every address; a process then advertises the one that its host name stands for.
    pub ip: Option<Ipv4Addr>,
    /// 0: any free port.
    pub port: u16,
    pub advertise_ip: Option<Ipv4Addr>,
    pub advertise_port: Option<u16>,
    pub hostname: Option<String>,
    /// Whether a `hostname` of none is looked up, or is the advertised ip.
    pub hostname_lookup: bool,
}

impl Address {
    /// Runs `--ip_discovery_command` if there is one.
    pub fn from_values(values: &Values) -> Result<Address, Error> {
        let mut ip = values.maybe_ip("ip");
        if let Some(command) = values.text("ip_discovery_command") {
            if ip.is_some() {
                let both = "Flags 'ip' and 'ip_discovery_command' are both set: expected one of them";
                return Err(Error::Contradiction(both.to_owned()));
            }
            ip = Some(discover(&command).map_err(|why| Error::invalid("ip_discovery_command", why))?);
        }
        Ok(Address {
            ip,
            port: values.port("port"),
            advertise_ip: values.maybe_ip("advertise_ip"),
            advertise_port: values.maybe_port("advertise_port"),
            hostname: values.text("hostname"),
            hostname_lookup: values.bool("hostname_lookup"),
        })
    }
}

fn discover(command: &str) -> Result<Ipv4Addr, String> {
    let run = Command::new("/bin/sh").args(["-c", command]).output();
    let output = run.map_err(|e| format!("starting '{command}': {e}"))?;
    if !output.status.success() {
        return Err(format!("'{command}' ended with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let text = text.trim();
    text.parse().map_err(|_| format!("expected that '{command}' prints an IPv4 address, got '{text}'"))
}

/// Where a machine stands: `--domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultDomain {
    pub region: String,
    pub zone: String,
}

impl FaultDomain {
    pub fn from_values(values: &Values) -> Option<FaultDomain> {
        values.maybe_json("domain").and_then(|json| FaultDomain::read(&json))
    }

    fn read(json: &serde_json::Value) -> Option<FaultDomain> {
        let name = |what: &str| json.pointer(&format!("/fault_domain/{what}/name"))?.as_str();
        Some(FaultDomain { region: name("region")?.to_owned(), zone: name("zone")?.to_owned() })
    }
}

/// Ensembles have bounds of their own, within these.
fn session_timeout(value: &Value) -> Result<(), String> {
    const RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86400);
    match value {
        Value::Duration(time) if !RANGE.contains(time) => {
            Err(format!("expected 100ms to 1days, got '{value}'"))
        }
        _ => Ok(()),
    }
}

fn fault_domain(value: &Value) -> Result<(), String> {
    match value {
        Value::Json(json) if FaultDomain::read(json).is_some() => Ok(()),
        _ => Err("expected a fault domain with names of a region and a zone: \
                  {\"fault_domain\": {\"region\": {\"name\": \"r\"}, \"zone\": {\"name\": \"z\"}}}"
            .to_owned()),
    }
}

/// A check for texts: one of these words.
pub fn one_of(value: &Value, words: &[&str]) -> Result<(), String> {
    let text = value.to_string();
    match words.contains(&text.as_str()) {
        true => Ok(()),
        false => Err(format!("expected {}, got '{text}'", words.join(" or "))),
    }
}

fn one_of_levels(value: &Value) -> Result<(), String> {
    one_of(value, &["INFO", "WARNING", "ERROR"])
}
