//! Flags as an operator meets them: the process that does not start says which flag, and what it expected.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Cluster, Process, binary, binary_path, finished, free_port, get, mesos, wait_for};

/// Arguments, and what the sentence must hold.
const REFUSED: &[(&str, &[&str])] = &[
    ("master --nonsense", &["--nonsense"]),
    ("master --nonsense=1", &["nonsense"]),
    ("master --ports=5050", &["ports"]),
    ("master --port", &["port"]),
    ("master --no-port", &["port", "boolean"]),
    ("master --port=x", &["'port'", "0 to 65535", "'x'"]),
    ("master --port=70000", &["'port'", "0 to 65535"]),
    ("master --port=-1", &["'port'"]),
    ("master --ip=1.2.3", &["'ip'", "IPv4"]),
    ("master --ip=localhost", &["'ip'"]),
    ("master --quiet=maybe", &["'quiet'", "true or false"]),
    ("master --allocation_interval=5", &["'allocation_interval'", "secs"]),
    ("master --allocation_interval=-5secs", &["'allocation_interval'"]),
    ("master --allocation_interval=0secs", &["'allocation_interval'"]),
    ("master --offer_timeout=soon", &["'offer_timeout'"]),
    ("master --agent_ping_timeout=100hrs", &["'agent_ping_timeout'"]),
    ("master --max_agent_ping_timeouts=0", &["'max_agent_ping_timeouts'"]),
    ("master --agent_reregister_timeout=1secs", &["'agent_reregister_timeout'", "10mins"]),
    (
        "master --slave_ping_timeout=15secs --agent_ping_timeout=15secs",
        &["slave_ping_timeout", "agent_ping_timeout"],
    ),
    ("master --user_sorter=best", &["'user_sorter'", "drf"]),
    ("master --framework_sorter=best", &["'framework_sorter'", "drf"]),
    ("master --weights=a=-1", &["'weights'"]),
    ("master --weights=a=0", &["'weights'"]),
    ("master --weights=a", &["'weights'"]),
    ("master --weights=/a=1", &["'weights'"]),
    ("master --weights=a=1,a=2", &["'weights'"]),
    ("master --roles=/a", &["'roles'"]),
    ("master --roles=a,..", &["'roles'"]),
    ("master --min_allocatable_resources=cpus", &["'min_allocatable_resources'"]),
    ("master --registry=elsewhere", &["'registry'", "in_memory"]),
    ("master --registry=local", &["--registry=local", "--work_dir"]),
    ("master --recovery_agent_removal_limit=101%", &["'recovery_agent_removal_limit'", "100%"]),
    ("master --agent_removal_rate_limit=1", &["'agent_removal_rate_limit'", "1/10mins"]),
    ("master --agent_removal_rate_limit=0/10mins", &["'agent_removal_rate_limit'", "1/10mins"]),
    ("master --agent_removal_rate_limit=1/soon", &["'agent_removal_rate_limit'", "1/10mins"]),
    ("master --zk=zk://a", &["'zk'", "expected a path"]),
    ("master --authenticate_frameworks", &["'authenticate_frameworks'"]),
    ("master --whitelist=/nowhere/at/all", &["'whitelist'"]),
    ("master extra", &["'extra'"]),
    ("master --cluster=file:///nowhere/at/all", &["'cluster'", "/nowhere/at/all"]),
    ("slave", &["'master'", "host:port"]),
    ("slave --master=nonsense", &["'master'", "host:port"]),
    ("slave --master=a:b:c", &["'master'"]),
    ("slave --master=127.0.0.1:0", &["'master'"]),
    ("slave --master=zk://u:p4ss@a", &["'master'", "expected a path", "u:…@a"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus:x", &["'resources'", "x"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus:-1", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus:nan", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus:inf", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=ports:[5-1]", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=ports:[5-", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=cpus(/x):1", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --resources=[{}]", &["'resources'"]),
    ("slave --master=127.0.0.1:5050 --attributes=rack", &["'attributes'"]),
    ("slave --master=127.0.0.1:5050 --default_role=/x", &["'default_role'"]),
    ("slave --master=127.0.0.1:5050 --isolation=magic", &["'isolation'", "magic"]),
    ("slave --master=127.0.0.1:5050 --isolation=network/cni", &["'isolation'", "network/cni"]),
    ("slave --master=127.0.0.1:5050 --recover=sometimes", &["'recover'"]),
    ("slave --master=127.0.0.1:5050 --gc_delay=1", &["'gc_delay'"]),
    ("slave --master=127.0.0.1:5050 --work_dir=/proc/nowhere", &["'work_dir'", "/proc/nowhere"]),
    ("agent --masters=127.0.0.1:5050", &["masters"]),
    ("local --num_slaves=-1", &["'num_slaves'"]),
    ("local --num_slaves=many", &["'num_slaves'"]),
    ("local --master=127.0.0.1:1", &["'master'"]),
    ("local --nonsense", &["--nonsense"]),
    ("execute --name=n --command=c", &["'master'"]),
    ("execute --master=127.0.0.1:1 --command=c", &["'name'"]),
    ("execute --master=127.0.0.1:1 --name=n", &["'command'"]),
    ("execute --master=127.0.0.1:1 --name=n --command=c --env=[]", &["'env'"]),
    ("execute --master=127.0.0.1:1 --name=n --command=c --resources=cpus:x", &["'resources'"]),
    ("execute --master=127.0.0.1:1 --task={} --name=n", &["'name'"]),
    ("execute --master=127.0.0.1:1 --task={}", &["'task'"]),
    ("execute --master=127.0.0.1:1 --task={", &["'task'"]),
    ("nonsense", &["'nonsense'"]),
    ("", &["command"]),
];

#[test]
fn what_is_wrong_is_named() {
    let mut failures = Vec::new();
    for (args, parts) in REFUSED {
        let done = mesos(&args.split_whitespace().collect::<Vec<_>>());
        let sentence = done.err.lines().next().unwrap_or_default();
        let says = parts.iter().all(|part| sentence.contains(part));
        if done.status != Some(1) || !says || !done.out.is_empty() || done.err.contains("panicked") {
            failures.push(format!("{args}: {:?} {:.300}", done.status, done.err));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn help_and_version_end_well() {
    for (args, part) in [
        (&["--help"][..], "mesos <command> [...]"),
        (&["help"], "mesos <command> [...]"),
        (&["master", "--help"], "--allocation_interval=VALUE"),
        (&["slave", "--help"], "--executor_registration_timeout=VALUE"),
        (&["agent", "--help"], "--executor_registration_timeout=VALUE"),
        (&["local", "--help"], "--num_slaves=VALUE"),
        (&["execute", "--help"], "--command=VALUE"),
        (&["master", "--help", "--nonsense"], "--allocation_interval=VALUE"),
        (&["master", "--version"], "mesos 1.11.0"),
        (&["slave", "--version"], "mesos 1.11.0"),
        (&["--version"], "mesos 1.11.0"),
    ] {
        let done = mesos(args);
        assert_eq!(done.status, Some(0), "{args:?}: {}", done.err);
        assert!(done.out.contains(part) || done.err.contains(part), "{args:?}: {}{}", done.out, done.err);
    }
}

/// The flags of a process, as it tells them.
fn flags_of(port: u16) -> serde_json::Value {
    let text = wait_for("/flags", || get(port, "/flags").ok());
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    all["flags"].clone()
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let port = free_port().to_string();
    let environment = [
        ("MESOS_CLUSTER", "from the environment"),
        ("MESOS_ALLOCATION_INTERVAL", "300ms"),
        ("MESOS_QUIET", "true"),
        ("MESOS_PORT", "1"),
        ("MESOS_NONSENSE", "is nobody's"),
        ("MESOS_USER_SORTER", "drf"),
    ];
    let port_flag = format!("--port={port}");
    let args = ["master", "--ip=127.0.0.1", &port_flag, "--cluster=from=the line", "--no-quiet"];
    let _master = Process::start_with(&args, &environment);
    let flags = flags_of(port.parse().expect("a port"));
    assert_eq!(flags["cluster"], "from=the line");
    assert_eq!(flags["allocation_interval"], "300ms");
    assert_eq!(flags["quiet"], "false");
    assert_eq!(flags["port"], port);
}

#[test]
fn a_bad_environment_is_refused_as_well() {
    for (name, value, part) in [
        ("MESOS_PORT", "x", "port"),
        ("MESOS_ALLOCATION_INTERVAL", "fast", "allocation_interval"),
        ("MESOS_ZK", "host:5050", "zk"),
    ] {
        let mut command = binary();
        command.arg("master").env(name, value);
        let done = finished(command);
        assert_eq!(done.status, Some(1), "{name}");
        let sentence = done.err.lines().next().unwrap_or_default().to_lowercase();
        assert!(sentence.contains(part), "{name}: {sentence}");
    }
}

#[test]
fn values_may_be_in_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("cluster");
    fs::write(&file, "of a file\n").expect("a file");
    let port = free_port();
    let args = [
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--cluster=file://{}", file.display()),
    ];
    let _master = Process::start(&args);
    let flags = flags_of(port);
    assert_eq!(flags["cluster"].as_str().map(str::trim), Some("of a file"));
}

#[test]
fn port_0_is_chosen_and_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let master = Process::start(&["master", "--ip=127.0.0.1", "--port=0"]);
    let port = wait_for("the chosen port", || told_port(&master.log()));
    get(port, "/health").expect("health on the port told");
    let args = [
        "slave".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--port=0".to_owned(),
        format!("--master=127.0.0.1:{port}"),
        format!("--work_dir={}", dir.path().display()),
    ];
    let agent = Process::start(&args);
    let port = wait_for("the chosen port", || told_port(&agent.log()));
    get(port, "/health").expect("health on the port told");
}

/// The port behind the first `127.0.0.1:` of a log, if it is not 0.
fn told_port(log: &[String]) -> Option<u16> {
    log.iter().find_map(|line| {
        let rest = line.split("127.0.0.1:").nth(1)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|port| *port != 0)
    })
}

#[test]
fn a_taken_port_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let port_flag = format!("--port={port}");
    let done = mesos(&["master", "--ip=127.0.0.1", &port_flag]);
    assert_eq!(done.status, Some(1), "{}", done.err);
    assert!(done.err.contains(&port) && !done.err.contains("panicked"), "{}", done.err);
    // An address that is not of this machine.
    let done = mesos(&["master", "--ip=203.0.113.7", "--port=0"]);
    assert_eq!(done.status, Some(1), "{}", done.err);
    assert!(done.err.contains("203.0.113.7") && !done.err.contains("panicked"), "{}", done.err);
}

#[test]
fn links_are_commands() {
    let dir = tempfile::tempdir().expect("a folder");
    let link = |name: &str| {
        let path = dir.path().join(name);
        symlink(binary_path(), &path).expect("a link");
        path
    };
    for (name, part) in [
        ("mesos-master", "--allocation_interval=VALUE"),
        ("mesos-slave", "--executor_registration_timeout=VALUE"),
        ("mesos-agent", "--executor_registration_timeout=VALUE"),
        ("mesos-local", "--num_slaves=VALUE"),
        ("mesos-execute", "--command=VALUE"),
    ] {
        let mut command = Command::new(link(name));
        command.arg("--help");
        let done = finished(command);
        assert_eq!(done.status, Some(0), "{name}: {}", done.err);
        assert!(format!("{}{}", done.out, done.err).contains(part), "{name}: {}{}", done.out, done.err);
    }
    // A name that is nobody's, as when the binary is copied elsewhere, is the command `mesos`.
    let mut command = Command::new(link("mesos-1.2.3"));
    command.args(["master", "--version"]);
    assert_eq!(finished(command).status, Some(0));
    // argv[0] alone, from nowhere.
    let mut command = Command::new(binary_path());
    command.arg0("mesos-master").arg("--version");
    assert_eq!(finished(command).status, Some(0));
}

/// `killall mesos-master` finds it, however it was started.
#[test]
fn processes_are_found_by_name() {
    let cluster = Cluster::start(1);
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).expect("a running process");
    assert_eq!(name(cluster.master.pid()).trim(), "mesos-master");
    assert_eq!(name(cluster.agents[0].pid()).trim(), "mesos-slave");
    if !Path::new("/usr/bin/killall").exists() {
        eprintln!("skipped: killall is not installed (package psmisc)");
        return;
    }
    for name in ["mesos-master", "mesos-slave"] {
        let mut command = Command::new("/usr/bin/killall");
        command.args(["-s", "0", name]);
        let done = finished(command);
        assert_eq!(done.status, Some(0), "{name}: {}", done.err);
    }
}
