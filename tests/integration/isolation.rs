//! Control groups: what holds tasks to what they were given. Needs root, and controllers that this machine lends.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, Process, get, wait_for};

const ISOLATION: &str = "--isolation=cgroups/cpu,cgroups/mem,cgroups/pids";

/// A cluster of one agent with control groups of its own; none, said out loud, where it cannot have them.
struct Held {
    cluster: Cluster,
    root: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        // An agent that is killed leaves its groups to the next one.
        self.cluster.agents.iter_mut().for_each(Process::kill);
        for top in tops() {
            let root = top.join(&self.root);
            for group in
                fs::read_dir(&root).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir())
            {
                let procs = fs::read_to_string(group.path().join("cgroup.procs")).unwrap_or_default();
                for pid in procs.lines().filter_map(|line| line.parse().ok()) {
                    let _ =
                        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
                }
                let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
                while fs::remove_dir(group.path()).is_err() && std::time::Instant::now() < end {
                    std::thread::yield_now();
                }
            }
            let _ = fs::remove_dir(root);
        }
    }
}

/// The tops of all hierarchies.
fn tops() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let is_group = |line: &&str| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup"));
    mounts.lines().filter(is_group).filter_map(|line| line.split(' ').nth(1).map(PathBuf::from)).collect()
}

fn can_be_held(test: &str, root: &str) -> bool {
    let lends = |controller: &str| {
        tops().iter().any(|top| {
            let named = top
                .file_name()
                .is_some_and(|name| name.to_string_lossy().split(',').any(|n| n == controller));
            let lent = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
            let lent = lent.split_whitespace().any(|lent| lent == controller);
            let probe = top.join(root);
            (named || lent) && fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
        })
    };
    let missing: Vec<&str> =
        ["cpu", "memory", "pids"].into_iter().filter(|controller| !lends(controller)).collect();
    if !missing.is_empty() {
        eprintln!("{test}: SKIPPED, this machine lends no control groups of {}", missing.join(", "));
    }
    missing.is_empty()
}

fn held(test: &str, flags: &[&str]) -> Option<Held> {
    let root = format!("mesos-test-{}-{test}", std::process::id());
    if !can_be_held(test, &root) {
        return None;
    }
    let root_flag = format!("--cgroups_root={root}");
    let flags: Vec<&str> = [ISOLATION, root_flag.as_str()].iter().chain(flags).copied().collect();
    Some(Held { cluster: Cluster::start_with(1, &[], &flags), root })
}

impl Held {
    /// What a file of the only container says, in whatever hierarchy that has it.
    fn says(&self, file: &str) -> Option<String> {
        let groups = tops().into_iter().flat_map(|top| {
            fs::read_dir(top.join(&self.root)).into_iter().flatten().flatten().map(|entry| entry.path())
        });
        groups.map(|group| group.join(file)).find_map(|path| fs::read_to_string(path).ok())
    }

    fn groups(&self) -> usize {
        let folders = tops().into_iter().map(|top| top.join(&self.root));
        let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        entries.filter(|entry| entry.path().is_dir()).count()
    }
}

fn ended(scheduler: &mut Scheduler, id: &str) -> Value {
    loop {
        let status = scheduler.status(id);
        if !matches!(status["state"].as_str(), Some("TASK_STARTING" | "TASK_RUNNING")) {
            return status;
        }
    }
}

#[test]
fn a_memory_hog_is_killed_with_its_story() {
    let Some(held) = held("memory", &[]) else { return };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("hog"));
    scheduler.run("hog", "head -c 400m /dev/zero | tail >/dev/null; exit $?");
    let last = ended(&mut scheduler, "hog");
    assert_eq!(
        (&last["state"], &last["reason"]),
        (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION_MEMORY")),
        "{last}"
    );
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: "), "{message}");
    assert!(message.contains("MEMORY STATISTICS"), "{message}");
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
}

#[test]
fn cpus_are_a_quota_and_limits_raise_it() {
    let Some(held) = held("cpu", &["--cgroups_enable_cfs", "--resource_monitoring_interval=0ns"]) else {
        return;
    };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("busy"));
    // 0.1 cpus of its own, and 0.1 of the executor.
    scheduler.run("busy", "while :; do :; done");
    scheduler.until("busy", "TASK_RUNNING");
    let quota = || {
        let quota = held.says("cpu.cfs_quota_us").or_else(|| held.says("cpu.max"));
        quota.and_then(|quota| quota.split_whitespace().next().map(str::to_owned)).unwrap_or_default()
    };
    assert_eq!(quota(), "20000");
    let statistics = || -> Option<Value> {
        let text = get(held.cluster.agent_ports[0], "/monitor/statistics").ok()?;
        serde_json::from_str::<Value>(&text).ok()?.get(0)?.get("statistics").cloned()
    };
    // It wants more than it gets.
    wait_for("the kernel to hold it back", || {
        statistics()?["cpus_nr_throttled"].as_u64().filter(|count| *count > 0)
    });
    assert!(statistics().is_some_and(|statistics| statistics["mem_total_bytes"].as_u64() > Some(0)));
    scheduler.kill("busy");
    scheduler.until("busy", "TASK_KILLED");
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));

    let offer = scheduler.offer();
    let limits = json!({"cpus": {"value": 2.0}, "mem": {"value": "Infinity"}});
    let task = with(command_task("limited", &offer, "sleep 1000"), json!({"limits": limits}));
    scheduler.launch(&offer, &[task]);
    scheduler.until("limited", "TASK_RUNNING");
    assert_eq!(quota(), "210000");
    let bound =
        held.says("memory.max").unwrap_or_else(|| held.says("memory.limit_in_bytes").unwrap_or_default());
    assert!(
        bound.trim() == "max" || bound.trim().parse::<u64>().is_ok_and(|bytes| bytes > 1 << 50),
        "{bound}"
    );
}

#[test]
fn processes_are_counted_and_die_together() {
    let Some(held) = held("pids", &["--cgroups_pids_max=60"]) else { return };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("many"));
    // Each goes off into a session of its own.
    let line =
        "sh -c 'i=0; while [ $i -lt 500 ]; do i=$((i+1)); (setsid sleep 1000 &); done'; while :; do :; done";
    scheduler.run("many", line);
    let refused = || {
        let events = held.says("pids.events")?;
        let count = events.split_whitespace().last()?.parse::<u64>().ok()?;
        (count > 0).then_some(())
    };
    wait_for("a fork to be refused", refused);
    let there = held.says("pids.current").and_then(|count| count.trim().parse::<u64>().ok());
    assert!(there.is_none_or(|count| count <= 60), "{there:?}");
    scheduler.teardown();
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
}

/// What 1.11 has and we have not is told apart from what nobody has.
#[test]
fn isolators_that_are_not_there_are_refused_by_name() {
    for (isolation, why) in [
        ("cgroups/cpu,linux/seccomp", "isolator 'linux/seccomp' is not there yet"),
        ("magic", "there is no isolator 'magic'"),
    ] {
        let refused =
            crate::support::mesos(&["slave", "--master=127.0.0.1:1", &format!("--isolation={isolation}")]);
        assert!(refused.status == Some(1) && refused.err.contains(why), "{}", refused.err);
    }
}
