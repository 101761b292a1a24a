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

fn can_be_held(test: &str, root: &str, controllers: &[&str]) -> bool {
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
    let missing: Vec<&str> = controllers.iter().copied().filter(|controller| !lends(controller)).collect();
    if !missing.is_empty() {
        eprintln!("{test}: SKIPPED, this machine lends no control groups of {}", missing.join(", "));
    }
    missing.is_empty()
}

fn held(test: &str, flags: &[&str]) -> Option<Held> {
    held_by(test, &["cpu", "memory", "pids"], ISOLATION, flags)
}

fn held_by(test: &str, controllers: &[&str], isolation: &str, flags: &[&str]) -> Option<Held> {
    let root = format!("mesos-test-{}-{test}", std::process::id());
    if !can_be_held(test, &root, controllers) {
        return None;
    }
    let root_flag = format!("--cgroups_root={root}");
    let flags: Vec<&str> = [isolation, root_flag.as_str()].iter().chain(flags).copied().collect();
    Some(Held { cluster: Cluster::start_with(1, &[], &flags), root })
}

/// Said out loud, if `make deps` could not bring it.
fn has_stress(test: &str) -> bool {
    let has = std::process::Command::new("stress-ng").arg("--version").output().is_ok();
    if !has {
        eprintln!("{test}: SKIPPED, stress-ng is not installed");
    }
    has
}

impl Held {
    /// What a file of the only container says, in whatever hierarchy that has it.
    fn says(&self, file: &str) -> Option<String> {
        let groups = tops().into_iter().flat_map(|top| {
            fs::read_dir(top.join(&self.root)).into_iter().flatten().flatten().map(|entry| entry.path())
        });
        groups.map(|group| group.join(file)).find_map(|path| fs::read_to_string(path).ok())
    }

    /// A number of a file that has one for each name.
    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.says(file)?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Processes of whatever task, by what its sandbox is called in their environment.
    fn processes(&self) -> usize {
        let work_dir = self.cluster.work_dir(0).display().to_string();
        let sandbox = format!("MESOS_SANDBOX={work_dir}");
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environments.filter(|text| String::from_utf8_lossy(text).contains(&sandbox)).count()
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
fn a_real_memory_hog_is_killed_and_told_so() {
    if !has_stress("stress-memory") {
        return;
    }
    let Some(held) = held("stress-memory", &[]) else { return };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("hog"));
    // It starts another worker for each that is killed.
    scheduler.run("hog", "exec stress-ng --quiet --vm 1 --vm-bytes 400M --vm-populate --timeout 100");
    let last = ended(&mut scheduler, "hog");
    let why = (&last["state"], &last["reason"]);
    assert_eq!(why, (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION_MEMORY")), "{last}");
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 64MB"), "{message}");
    let limited = &last["limitation"]["resources"][0];
    assert!(limited["name"] == "mem" && limited["scalar"]["value"] == 64.0, "{last}");
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
    assert_eq!(held.processes(), 0);
}

/// What the kernel counted: processor time against periods that passed. How long that took by a clock is the machine's
/// affair.
#[test]
fn a_cpu_hog_gets_its_quota_and_no_more() {
    if !has_stress("stress-cpu") {
        return;
    }
    let Some(held) = held("stress-cpu", &["--cgroups_enable_cfs"]) else { return };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("hog"));
    // 0.1 cpus of its own, and 0.1 of the executor.
    scheduler.run("hog", "exec stress-ng --quiet --cpu 2 --timeout 100");
    scheduler.until("hog", "TASK_RUNNING");
    const QUOTA: u64 = 20_000_000;
    let used = || match held.field("cpu.stat", "usage_usec") {
        Some(micros) => Some(micros * 1000),
        None => held.says("cpuacct.usage")?.trim().parse::<u64>().ok(),
    };
    // Within one period: what was used in it already is at most one quota too much.
    let counted = || -> Option<(u64, u64, u64)> {
        let before = held.field("cpu.stat", "nr_periods")?;
        let (used, throttled) = (used()?, held.field("cpu.stat", "nr_throttled")?);
        (held.field("cpu.stat", "nr_periods")? == before).then_some((before, throttled, used))
    };
    let first =
        wait_for("the kernel to hold it back", || counted().filter(|(_, throttled, _)| *throttled > 3));
    let last = wait_for("some seconds of it", || counted().filter(|(_, count, _)| *count > first.1 + 60));
    let (periods, throttled, used) = (last.0 - first.0, last.1 - first.1, last.2 - first.2);
    eprintln!("{used} ns in {periods} periods, in {throttled} of which it was held back: {QUOTA} ns each");
    assert!(used as f64 <= (periods * QUOTA) as f64 * 1.05, "more than its quota");
    assert!(used as f64 >= (throttled * QUOTA) as f64 * 0.95, "held back below its quota");
    scheduler.teardown();
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
}

/// Twice forked, in sessions of their own, and faster than anybody could count them.
#[test]
fn a_fork_bomb_stays_inside_and_dies() {
    if !has_stress("stress-fork") {
        return;
    }
    for launcher in ["linux", "posix"] {
        let flag = format!("--launcher={launcher}");
        let test = format!("stress-fork-{launcher}");
        let Some(held) = held(&test, &["--cgroups_pids_max=80", &flag]) else { return };
        let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("bomb"));
        let bomb = "setsid stress-ng --quiet --daemon 4 --fork 2 --timeout 300 & \
                    bomb() { (setsid sleep 1000 &); bomb | bomb & }; bomb; while :; do sleep 1; done";
        scheduler.run("bomb", bomb);
        wait_for("a fork to be refused", || held.field("pids.events", "max").filter(|count| *count > 0));
        let there = held.says("pids.current").and_then(|count| count.trim().parse::<u64>().ok());
        assert!(there.is_none_or(|count| count <= 80), "{there:?}");
        scheduler.kill("bomb");
        scheduler.until("bomb", "TASK_KILLED");
        wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
        assert_eq!(held.processes(), 0, "{launcher}");
    }
}

/// The controllers that version 2 lends here, and what each of its groups can do: be killed at once, tell of pressure.
#[test]
fn groups_of_version_two_hold_too() {
    const ISOLATORS: [(&str, &str); 6] = [
        ("cpu", "cgroups/cpu"),
        ("memory", "cgroups/mem"),
        ("pids", "cgroups/pids"),
        ("cpuset", "cgroups/cpuset"),
        ("io", "cgroups/blkio"),
        ("hugetlb", "cgroups/hugetlb"),
    ];
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let two = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let Some(top) = two.and_then(|line| line.split(' ').nth(1)) else {
        return eprintln!("version-two: SKIPPED, no control groups of version 2 are mounted");
    };
    let lent = fs::read_to_string(format!("{top}/cgroup.controllers")).unwrap_or_default();
    let lends = |controller: &str| lent.split_whitespace().any(|lent| lent == controller);
    let (here, not): (Vec<_>, Vec<_>) = ISOLATORS.into_iter().partition(|(controller, _)| lends(controller));
    for (controller, isolator) in not {
        eprintln!("version-two: SKIPPED {isolator}, this machine lends no controller {controller} there");
    }
    if here.is_empty() {
        return;
    }
    let controllers: Vec<&str> = here.iter().map(|(controller, _)| *controller).collect();
    let isolators: Vec<&str> = here.iter().map(|(_, isolator)| *isolator).collect();
    let isolation = format!("--isolation={}", isolators.join(","));
    let hierarchy = format!("--cgroups_hierarchy={top}");
    let flags = [hierarchy.as_str(), "--launcher=linux"];
    let Some(held) = held_by("version-two", &controllers, &isolation, &flags) else { return };
    let mut scheduler = Scheduler::subscribe(held.cluster.port, framework("two"));
    scheduler.run("two", "(setsid sh -c 'setsid sleep 1000 & sleep 1000' &); sleep 1000");
    scheduler.until("two", "TASK_RUNNING");
    let lines = |file: &str| held.says(file).map_or(0, |text| text.lines().count());
    wait_for("all of its processes in there", || (lines("cgroup.procs") >= 5).then_some(()));
    let given = held.says("cgroup.controllers").unwrap_or_default();
    assert!(controllers.iter().all(|name| given.split_whitespace().any(|given| given == *name)), "{given}");
    if fs::exists("/proc/pressure/cpu").unwrap_or_default() {
        let pressure = get(held.cluster.agent_ports[0], "/monitor/pressure").unwrap();
        let pressure: Value = serde_json::from_str(&pressure).unwrap();
        assert_eq!(pressure["executors"].as_array().map(Vec::len), Some(1), "{pressure}");
    }
    scheduler.kill("two");
    scheduler.until("two", "TASK_KILLED");
    wait_for("the end of its groups", || (held.groups() == 0).then_some(()));
    assert_eq!(held.processes(), 0);
}

#[test]
fn devices_are_those_that_were_allowed() {
    let isolation = "--isolation=cgroups/cpuset,cgroups/blkio,cgroups/devices,cgroups/mem";
    let controllers = ["cpuset", "blkio", "devices", "memory"];
    let allowed = |path: &str| {
        let list = json!({"allowed_devices": [{"device": {"path": path}, "access": {"read": true}}]});
        format!("--allowed_devices={list}")
    };
    for (name, device, line) in [
        ("devices-usual", "/dev/null", "head -c 1 /dev/urandom >/dev/null && ! dd if=/dev/kmsg count=1"),
        ("devices-more", "/dev/kmsg", "dd if=/dev/kmsg count=1 bs=8192 && ! echo a >/dev/kmsg"),
    ] {
        let flags = [allowed(device)];
        let flags = [flags[0].as_str(), "--resource_monitoring_interval=0ns"];
        let Some(held) = held_by(name, &controllers, isolation, &flags) else { return };
        let mut scheduler = Scheduler::subscribe(held.cluster.port, framework(name));
        let groups = format!("test $(grep -c ':/{}/' /proc/self/cgroup) -ge 4", held.root);
        scheduler.run(
            "looks",
            &format!("{groups} && {line} && dd if=/dev/zero of=f bs=1M count=4 oflag=direct && sleep 1000"),
        );
        let statistics = || -> Option<Value> {
            let text = get(held.cluster.agent_ports[0], "/monitor/statistics").ok()?;
            let blocks =
                serde_json::from_str::<Value>(&text).ok()?.get(0)?["statistics"]["blkio_statistics"].clone();
            // How much is for the kernel to know: without a bound on a device, some count nothing.
            let counted = blocks["throttling"].as_array().is_some_and(|all| !all.is_empty());
            counted.then_some(blocks)
        };
        wait_for("what its devices counted", statistics);
        scheduler.teardown();
    }
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
        ("cgroups/cpu,network/cni", "isolator 'network/cni' is not there yet"),
        ("disk/xfs", "isolator 'disk/xfs' is not there yet"),
        ("docker/runtime,filesystem/linux", "isolator 'docker/runtime' is not there yet"),
        ("disk/du,disk/du", "Duplicate entries found in --isolation flag"),
        ("volume/host_path", "'filesystem/linux' isolator must be used"),
        ("linux/seccomp", "Missing required `--seccomp_config_dir` flag"),
        ("magic", "there is no isolator 'magic'"),
    ] {
        let refused =
            crate::support::mesos(&["slave", "--master=127.0.0.1:1", &format!("--isolation={isolation}")]);
        assert!(refused.status == Some(1) && refused.err.contains(why), "{}", refused.err);
    }
}
