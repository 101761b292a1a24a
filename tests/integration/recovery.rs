//! Agents that are killed with -9 and started again, with tasks that run on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mesos::agent::paths;
use rand::RngExt;
use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, Process, get, wait_for};

/// Runs until the sandbox has a file `end`, or is gone.
const WAITS: &str = "while [ -e stdout ] && [ ! -e end ]; do sleep 0.05; done";

fn checkpointed(name: &str) -> Value {
    let capabilities = json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]);
    with(
        framework(name),
        json!({"checkpoint": true, "failover_timeout": 1000.0, "capabilities": capabilities}),
    )
}

fn agent_state(cluster: &Cluster) -> Option<Value> {
    serde_json::from_str(&get(cluster.agent_ports[0], "/state").ok()?).ok()
}

/// The id that the agent is registered by.
fn registered(cluster: &Cluster) -> String {
    wait_for("the agent", || {
        let slaves = cluster.json("/slaves")?;
        let active: Vec<_> = slaves["slaves"].as_array()?.iter().filter(|s| s["active"] == true).collect();
        let state = agent_state(cluster)?;
        let id = state["id"].as_str().filter(|id| !id.is_empty())?;
        // Not the one that was just killed.
        let metrics = get(cluster.agent_ports[0], "/metrics/snapshot").ok()?.replace('\\', "");
        let connected = metrics.contains("\"slave/registered\":1.0");
        (active.len() == 1 && active[0]["id"] == id && connected).then(|| id.to_owned())
    })
}

fn sandbox(cluster: &Cluster) -> std::path::PathBuf {
    let state = agent_state(cluster).expect("a state");
    let executor = &state["frameworks"][0]["executors"][0];
    executor["directory"].as_str().expect("a sandbox").into()
}

fn link(path: &Path) -> String {
    fs::read_link(path).expect("a link").file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_task_runs_on_while_its_agent_is_away() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("stays"));
    scheduler.run("steady", WAITS);
    scheduler.until("steady", "TASK_RUNNING");
    let id = registered(&cluster);
    let work_dir = cluster.work_dir(0);
    assert_eq!(link(&paths::latest_agent(&work_dir)), id);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(fs::read_to_string(paths::boot_id(&work_dir)).unwrap(), boot.trim());
    let sandbox = sandbox(&cluster);

    cluster.restart_agent(0, &[]);
    assert_eq!(registered(&cluster), id, "it keeps its id");
    let state = agent_state(&cluster).unwrap();
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING", "{executor}");
    let url = format!("/files/browse?path={}", sandbox.display());
    assert!(get(cluster.agent_ports[0], &url).unwrap().contains("stdout"), "its sandbox is shown");

    // What happens while no agent is there is told by the next one.
    cluster.agents[0].kill();
    fs::write(sandbox.join("end"), "").unwrap();
    cluster.restart_agent(0, &[]);
    let last = scheduler.until("steady", "TASK_FINISHED").pop().unwrap();
    assert_eq!(last["source"], "SOURCE_EXECUTOR");
    assert_eq!(registered(&cluster), id);

    // And it takes new ones.
    let offer = wait_for("an offer that holds", || scheduler.offer_within(Duration::from_millis(100)));
    scheduler.launch(&offer, &[command_task("again", &offer, "true")]);
    scheduler.until("again", "TASK_FINISHED");
    let metrics = get(cluster.agent_ports[0], "/metrics/snapshot").unwrap();
    assert!(metrics.contains("recovery_time_secs"), "{metrics}");
}

#[test]
fn a_group_runs_on_and_the_rest_does_not() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("group"));
    let mut brief = Scheduler::subscribe(cluster.port, framework("brief"));
    let offer = scheduler.offer();
    let tasks = ["one", "two"].map(|id| command_task(id, &offer, WAITS));
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pod"},
        "framework_id": {"value": scheduler.framework_id}, "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 32}}]});
    let group = json!({"executor": executor, "task_group": {"tasks": tasks}});
    scheduler.accept(&offer, json!([{"type": "LAUNCH_GROUP", "launch_group": group}]));
    scheduler.until("one", "TASK_RUNNING");
    scheduler.until("two", "TASK_RUNNING");
    brief.run("gone", WAITS);
    brief.until("gone", "TASK_RUNNING");

    cluster.restart_agent(0, &[]);
    // Of a framework that does not ask for it nothing is kept.
    let status = brief.status("gone");
    assert_eq!((&status["state"], &status["reason"]), (&json!("TASK_LOST"), &json!("REASON_RECONCILIATION")));
    registered(&cluster);
    scheduler.kill("one");
    scheduler.until("one", "TASK_KILLED");
    scheduler.until("two", "TASK_KILLED");
}

/// As `rm -f latest` says: the next agent is another one, and what ran under the old one is ended.
#[test]
fn containers_that_nobody_knows_are_killed() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("unknown"));
    scheduler.run("orphan", WAITS);
    scheduler.until("orphan", "TASK_RUNNING");
    let id = registered(&cluster);
    let sandbox = sandbox(&cluster);
    let ours = format!("MESOS_DIRECTORY={}", sandbox.display());
    let alive = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environments.any(|all| all.split(|byte| *byte == 0).any(|one| one == ours.as_bytes()))
    };
    assert!(alive());
    cluster.agents[0].kill();
    fs::remove_file(paths::latest_agent(&cluster.work_dir(0))).unwrap();
    cluster.restart_agent(0, &[]);
    wait_for("the end of the orphan", || (!alive()).then_some(()));
    assert_ne!(registered(&cluster), id);
    let status = scheduler.status("orphan");
    assert_eq!((&status["state"], &status["source"]), (&json!("TASK_LOST"), &json!("SOURCE_MASTER")));
}

/// As `systemctl restart` does it after the binary was replaced.
#[test]
fn tasks_run_on_through_an_upgrade() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("upgraded"));
    scheduler.run("steady", WAITS);
    scheduler.until("steady", "TASK_RUNNING");
    let id = registered(&cluster);
    let sandbox = sandbox(&cluster);
    let newer = cluster.dir.path().join("mesos-newer");
    fs::copy(crate::support::binary_path(), &newer).unwrap();
    let args = cluster.agent_args(0, cluster.agent_ports[0], &[]);
    for asked in [true, false] {
        match asked {
            true => assert_eq!(cluster.agents[0].terminate(), Some(0)),
            false => cluster.agents[0].kill(),
        }
        let mut command = std::process::Command::new(&newer);
        command.args(&args);
        cluster.agents[0] = Process::of(command, "newer".to_owned());
        assert_eq!(registered(&cluster), id);
    }
    let offer = wait_for("an offer that holds", || scheduler.offer_within(Duration::from_millis(100)));
    scheduler.launch(&offer, &[command_task("again", &offer, "true")]);
    scheduler.until("again", "TASK_FINISHED");
    fs::write(sandbox.join("end"), "").unwrap();
    scheduler.until("steady", "TASK_FINISHED");
}

/// What fetches for a container whose agent was killed would write on into a sandbox that is nobody's.
#[test]
fn a_fetcher_does_not_outlive_its_agent_for_long() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/never", listener.local_addr().unwrap());
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("fetches"));
    let offer = scheduler.offer();
    let command = json!({"value": "true", "uris": [{"value": uri, "extract": false}]});
    scheduler.launch(&offer, &[with(command_task("slow", &offer, ""), json!({"command": command}))]);
    let connection = listener.accept().unwrap().0;
    registered(&cluster);
    cluster.restart_agent(0, &[]);
    let last = scheduler.status("slow");
    assert!(last["message"].as_str().unwrap_or_default().contains("unknown container"), "{last}");
    // The kernel closes what a process had open.
    connection.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    let mut rest = Vec::new();
    let end = std::io::Read::read_to_end(&mut &connection, &mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}

fn ended(mut agent: Process) -> String {
    wait_for("the agent's end", || (!agent.running()).then_some(()));
    agent.log().join("\n")
}

#[test]
fn another_configuration_is_refused_or_added() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("configured"));
    scheduler.run("steady", WAITS);
    scheduler.until("steady", "TASK_RUNNING");
    let id = registered(&cluster);
    let more = "--resources=cpus:5;mem:2048;disk:4096;ports:[31000-32000]";
    cluster.agents[0].kill();
    let start = |cluster: &Cluster, flags: &[&str]| {
        Process::start(&cluster.agent_args(0, cluster.agent_ports[0], flags))
    };
    let log = ended(start(&cluster, &[more]));
    assert!(log.contains("Resources changed from"), "{log}");
    assert!(log.contains("--reconfiguration_policy") && log.contains("rm -f"), "{log}");

    cluster.restart_agent(0, &[more, "--reconfiguration_policy=additive"]);
    assert_eq!(registered(&cluster), id);
    wait_for("its fifth cpu", || {
        (cluster.json("/slaves")?["slaves"][0]["resources"]["cpus"] == 5.0).then_some(())
    });
    // A second agent stays out of the first one's files.
    let log = ended(start(&cluster, &["--port=0"]));
    assert!(log.contains("another agent runs in"), "{log}");

    // With --recover=cleanup all is ended, and the next agent is a new one.
    cluster.agents[0].kill();
    let log = ended(start(&cluster, &[more, "--recover=cleanup"]));
    assert!(log.contains("every framework has ended"), "{log}");
    assert!(!paths::latest_agent(&cluster.work_dir(0)).exists());
    cluster.restart_agent(0, &[]);
    assert_ne!(registered(&cluster), id);
    let status = scheduler.status("steady");
    assert_eq!((&status["state"], &status["source"]), (&json!("TASK_LOST"), &json!("SOURCE_MASTER")));
}

#[test]
fn a_damaged_checkpoint_is_borne_or_refused() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("damaged"));
    scheduler.run("steady", WAITS);
    scheduler.until("steady", "TASK_RUNNING");
    let id = registered(&cluster);
    cluster.agents[0].kill();
    let path = paths::latest_agent(&cluster.work_dir(0)).join(paths::CHECKPOINT);
    let whole = fs::read(&path).unwrap();
    let noisy = |at: usize| {
        let mut noisy = whole.clone();
        noisy[at] ^= 0x55;
        fs::write(&path, noisy).unwrap();
    };
    noisy(whole.len() / 2);
    let strict = Process::start(&cluster.agent_args(0, cluster.agent_ports[0], &["--strict"]));
    let log = ended(strict);
    let shown = path.display().to_string();
    for part in [shown.as_str(), "are damaged", "--no-strict", "rm -f"] {
        assert!(log.contains(part), "{log}");
    }
    // Not by default: what can be read is gone on with.
    cluster.restart_agent(0, &[]);
    registered(&cluster);
    let metrics = get(cluster.agent_ports[0], "/metrics/snapshot").unwrap().replace('\\', "");
    assert!(metrics.contains("\"slave/recovery_errors\":1.0"), "{metrics}");
    cluster.agents[0].kill();

    // Cut off in the middle of anything, it starts.
    for cut in [whole.len() - 1, whole.len() / 2, 30, 0] {
        fs::write(&path, &whole[..cut]).unwrap();
        cluster.restart_agent(0, &["--strict"]);
        let now = registered(&cluster);
        assert!(now == id || cut < 200, "cut at {cut}");
        cluster.agents[0].kill();
    }
}

/// How often an agent is killed: more with `MESOS_RECOVERY_ROUNDS=200`.
fn rounds() -> u32 {
    std::env::var("MESOS_RECOVERY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Tasks that a round adds.
const LAUNCHES: usize = 5;

/// Every task ends in one way, and its scheduler hears of it, however often the agent is killed in between.
#[test]
fn every_task_ends_once_though_its_agent_is_killed_again_and_again() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, checkpointed("stubborn"));
    let id = registered(&cluster);
    let mut rng = rand::rng();
    let mut ends = Ends::default();
    let mut launched = 0;
    for round in 0..rounds() {
        let kill_at = Instant::now() + Duration::from_millis(rng.random_range(0..1500));
        let want = launched + LAUNCHES;
        let mut killed = false;
        let deadline = Instant::now() + crate::support::DEADLINE;
        while launched < want || !killed {
            assert!(Instant::now() < deadline, "round {round}: {launched} of {want} were launched");
            if !killed && Instant::now() >= kill_at {
                cluster.restart_agent(0, &[]);
                killed = true;
            }
            if launched < want
                && let Some(offer) = scheduler.offer_within(Duration::from_millis(20))
            {
                let count = (want - launched).min(3);
                let tasks: Vec<Value> = (launched..launched + count)
                    .map(|number| {
                        let (time, code) = (number % 7, if number % 5 == 0 { 1 } else { 0 });
                        command_task(&format!("t{number}"), &offer, &format!("sleep 0.{time}; exit {code}"))
                    })
                    .collect();
                scheduler.launch(&offer, &tasks);
                launched += count;
            }
            scheduler.statuses(Duration::from_millis(20), |status| ends.heard(status));
        }
    }
    let deadline = Instant::now() + crate::support::DEADLINE;
    while ends.states.len() < launched {
        assert!(Instant::now() < deadline, "{} of {launched} tasks ended", ends.states.len());
        scheduler.statuses(Duration::from_millis(200), |status| ends.heard(status));
    }
    assert_eq!(registered(&cluster), id);
    wait_for("the agent to have heard all", || {
        let state = agent_state(&cluster)?;
        state["frameworks"].as_array()?.is_empty().then_some(())
    });
    scheduler.statuses(Duration::from_millis(500), |status| ends.heard(status));
    println!("{} rounds, {launched} tasks: {:?}", rounds(), ends.tally());
}

/// How tasks ended, by their id: the state, and the uuid of the update that said so.
#[derive(Default)]
struct Ends {
    states: BTreeMap<String, (String, String)>,
}

impl Ends {
    fn heard(&mut self, status: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (task, state) = (text(&status["task_id"]["value"]), text(&status["state"]));
        let now = (state.clone(), text(&status["uuid"]));
        let over = !matches!(
            &*state,
            "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING" | "TASK_UNREACHABLE"
        );
        match self.states.get(&task) {
            // An update whose acknowledgement was lost comes again, as itself.
            Some(before) => assert!(!over || *before == now, "{task} ended as {before:?} and {now:?}"),
            None if over => {
                assert!(self.states.insert(task, now).is_none());
            }
            None => {}
        }
    }

    fn tally(&self) -> BTreeMap<&str, usize> {
        let mut tally = BTreeMap::new();
        for (state, _) in self.states.values() {
            *tally.entry(state.as_str()).or_default() += 1;
        }
        tally
    }
}
