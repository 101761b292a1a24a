//! What keeps containers apart beyond control groups: namespaces, volumes, powers, system calls, disks, ports. Needs
//! root.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, is_terminal, scalar, with};
use crate::support::{Cluster, mesos, wait_for};

/// An agent with these isolators; none, said out loud, if this is not root.
fn confined(test: &str, flags: &[&str]) -> Option<Cluster> {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("{test}: SKIPPED, only root can confine");
        return None;
    }
    Some(Cluster::start_with(1, &[], flags))
}

/// How a task of this line ended in a container that is described so.
fn ended(scheduler: &mut Scheduler, id: &str, line: &str, described: &Value) -> Value {
    let offer = scheduler.offer();
    let task = with(command_task(id, &offer, line), json!({"container": described}));
    scheduler.launch(&offer, &[task]);
    last(scheduler, id)
}

fn last(scheduler: &mut Scheduler, id: &str) -> Value {
    loop {
        let status = scheduler.status(id);
        if is_terminal(status["state"].as_str().unwrap_or_default()) {
            return status;
        }
    }
}

fn output(cluster: &Cluster) -> String {
    fn find(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_name().to_str() {
                Some("stdout" | "stderr") => *all += &fs::read_to_string(entry.path()).unwrap_or_default(),
                _ if entry.file_type().is_ok_and(|kind| kind.is_dir()) => find(&entry.path(), all),
                _ => {}
            }
        }
    }
    let mut all = String::new();
    find(&cluster.work_dir(0), &mut all);
    all
}

#[track_caller]
fn finished(cluster: &Cluster, status: &Value) {
    assert_eq!(status["state"], "TASK_FINISHED", "{status}\n{}", output(cluster));
}

const ALL: &str = "--isolation=filesystem/linux,namespaces/pid,namespaces/ipc,linux/capabilities,linux/nnp,\
                   linux/seccomp,posix/rlimits,volume/host_path,volume/sandbox_path";

#[test]
fn a_container_sees_and_may_only_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "of the host").unwrap();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "archMap": [], "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "args": [], "includes": {}, "excludes": {}}]});
    fs::write(folder.path().join("no-folders.json"), profile.to_string()).unwrap();
    let profiles = format!("--seccomp_config_dir={}", folder.path().display());
    let bounding =
        r#"--bounding_capabilities={"capabilities": ["CHOWN", "DAC_OVERRIDE", "KILL", "NET_RAW"]}"#;
    let flags = [ALL, &profiles, "--seccomp_profile_name=no-folders.json", bounding];
    let Some(cluster) = confined("a_container_sees", &flags) else { return };
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("confined"));
    let own_ipc = fs::read_link("/proc/self/ns/ipc").unwrap();
    let line = format!(
        "set -ex; test $(ls -d /proc/[0-9]* | wc -l) -lt 12; test $(cat /proc/1/comm) != systemd; \
         test \"$(readlink /proc/self/ns/ipc)\" != '{}'; test $(df -k /dev/shm | awk 'END {{print $2}}') = 4096; \
         test \"$(cat host/file)\" = 'of the host'; ! touch host/other; \
         touch /mnt/own; test -f scratch/own; \
         test $(ulimit -n) = 77; test $(ulimit -Hn) = 99; \
         grep '^NoNewPrivs:.1$' /proc/self/status; grep '^Seccomp:.2$' /proc/self/status; ! mkdir refused; \
         grep '^CapEff:.0000000000000003$' /proc/self/status; grep '^CapBnd:.0000000000000003$' /proc/self/status",
        own_ipc.display()
    );
    let described = json!({"type": "MESOS",
        "volumes": [
            {"mode": "RO", "container_path": "host", "host_path": shown.display().to_string()},
            {"mode": "RW", "container_path": "/mnt",
             "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "scratch"}}}],
        "rlimit_info": {"rlimits": [{"type": "RLMT_NOFILE", "soft": 77, "hard": 99}]},
        "linux_info": {"ipc_mode": "PRIVATE", "shm_size": 4,
            "effective_capabilities": {"capabilities": ["CHOWN", "DAC_OVERRIDE"]},
            "bounding_capabilities": {"capabilities": ["CHOWN", "DAC_OVERRIDE"]}}});
    finished(&cluster, &ended(&mut scheduler, "inside", &line, &described));
    assert!(!Path::new("/mnt/own").exists(), "what is mounted inside is not seen outside");

    let unconfined = json!({"type": "MESOS", "linux_info": {"seccomp": {"unconfined": true}}});
    finished(&cluster, &ended(&mut scheduler, "unconfined", "mkdir allowed", &unconfined));
    for (id, described, why) in [
        (
            "missing",
            json!({"volumes": [{"mode": "RW", "container_path": "a", "host_path": "/no/such"}]}),
            "does not exist",
        ),
        (
            "climbing",
            json!({"volumes": [{"mode": "RW", "container_path": "../a", "host_path": "/etc"}]}),
            "not below the sandbox",
        ),
        (
            "mighty",
            json!({"linux_info": {"effective_capabilities": {"capabilities": ["SYS_ADMIN"]}}}),
            "only '{CHOWN",
        ),
        ("profile", json!({"linux_info": {"seccomp": {"profile_name": "none.json"}}}), "none.json"),
        (
            "image",
            json!({"mesos": {"image": {"type": "DOCKER", "docker": {"name": "a"}}}}),
            "images are not there yet",
        ),
    ] {
        let last = ended(&mut scheduler, id, "true", &with(json!({"type": "MESOS"}), described));
        let message = last["message"].as_str().unwrap_or_default();
        assert!(last["state"] == "TASK_FAILED" && message.contains(why), "{id}: {last}");
    }
}

/// A file system of the test's own, which tells others what is mounted below it.
struct Shared {
    folder: tempfile::TempDir,
}

impl Shared {
    fn new() -> Shared {
        use nix::mount::{MsFlags, mount};
        let folder = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        mount(None::<&str>, folder.path(), None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        Shared { folder }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for path in [self.folder.path().join("inner"), self.folder.path().to_owned()] {
            let _ = nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

#[test]
fn mounts_go_both_ways_where_that_is_asked_for() {
    let test = "mounts_go_both_ways";
    let Some(cluster) = confined(test, &["--isolation=filesystem/linux"]) else { return };
    let shared = Shared::new();
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("mounts"));
    let volume = |mode: &str, path: &Path| {
        let source =
            json!({"type": "HOST_PATH", "host_path": {"path": path, "mount_propagation": {"mode": mode}}});
        json!({"type": "MESOS", "volumes": [{"mode": "RW", "container_path": "volume", "source": source}]})
    };
    let line = "set -e; mkdir -p volume/inner; mount -t tmpfs none volume/inner; touch volume/inner/there";
    let there = shared.folder.path().join("inner/there");
    finished(
        &cluster,
        &ended(&mut scheduler, "one-way", line, &volume("HOST_TO_CONTAINER", shared.folder.path())),
    );
    assert!(!there.exists());
    finished(&cluster, &ended(&mut scheduler, "both", line, &volume("BIDIRECTIONAL", shared.folder.path())));
    assert!(there.exists());
    if let Some(alone) = not_shared() {
        let last = ended(&mut scheduler, "alone", "true", &volume("BIDIRECTIONAL", &alone));
        let message = last["message"].as_str().unwrap_or_default();
        assert!(message.contains("because it is not under a shared mount"), "{last}");
    }
}

/// A mount of this machine that tells nobody anything, if it has one.
fn not_shared() -> Option<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let alone = mounts.lines().find(|line| line.contains(" - proc ") && !line.contains(" shared:"))?;
    alone.split(' ').nth(4).map(Into::into)
}

/// Programs that change their user would believe what it puts over the machine's own files.
#[test]
fn who_mounts_over_the_machine_gets_no_new_powers() {
    let Some(cluster) = confined("who_mounts_over", &["--isolation=filesystem/linux", "--switch_user"])
    else {
        return;
    };
    crate::support::open_to_all(cluster.dir.path());
    let mut scheduler =
        Scheduler::subscribe(cluster.port, with(framework("nobody"), json!({"user": "nobody"})));
    let described = |at: &str, path: &str| json!({"type": "MESOS", "volumes": [{"mode": "RW", "container_path": at, "host_path": path}]});
    let over = "set -ex; touch /mnt/own; test -O own/own; grep '^NoNewPrivs:.1$' /proc/self/status";
    finished(&cluster, &ended(&mut scheduler, "over", over, &described("/mnt", "own")));
    let inside = "set -ex; test -f etc/passwd; test -O etc/.. ; grep '^NoNewPrivs:.0$' /proc/self/status";
    finished(&cluster, &ended(&mut scheduler, "inside", inside, &described("etc", "/etc")));
}

/// Also where powers and filters come without `no_new_privs`, and the task is somebody else's.
#[test]
fn a_task_of_another_user_is_filtered_too() {
    let folder = tempfile::tempdir().unwrap();
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": names_of_calls(), "action": "SCMP_ACT_ALLOW"}]});
    fs::write(folder.path().join("most"), profile.to_string()).unwrap();
    let profiles = format!("--seccomp_config_dir={}", folder.path().display());
    let bounding = r#"--bounding_capabilities={"capabilities": ["CHOWN", "NET_RAW"]}"#;
    let isolation = "--isolation=linux/seccomp,linux/capabilities";
    let flags = [isolation, &profiles, "--seccomp_profile_name=most", bounding, "--switch_user"];
    let Some(cluster) = confined("a_task_of_another_user", &flags) else { return };
    crate::support::open_to_all(cluster.dir.path());
    let mut scheduler =
        Scheduler::subscribe(cluster.port, with(framework("nobody"), json!({"user": "nobody"})));
    let line = "set -ex; test $(id -un) = nobody; ! mkdir refused; touch allowed; \
                grep '^CapEff:.0000000000000000$' /proc/self/status; grep '^CapBnd:.0000000000002001$' /proc/self/status";
    finished(&cluster, &ended(&mut scheduler, "nobody", line, &json!({"type": "MESOS"})));
}

/// All that a shell and an executor need, and folders not.
fn names_of_calls() -> Vec<&'static str> {
    syscalls_but(&["mkdir", "mkdirat"])
}

fn syscalls_but(without: &[&str]) -> Vec<&'static str> {
    syscalls::Sysno::iter().map(|call| call.name()).filter(|name| !without.contains(name)).collect()
}

#[test]
fn nothing_is_left_of_a_container_with_a_pid_namespace() {
    let flags = ["--isolation=namespaces/pid", "--launcher=posix"];
    let Some(cluster) = confined("nothing_is_left", &flags) else { return };
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("forks"));
    let mark = format!("{}.4711", std::process::id());
    let left = || {
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
        let told = all.filter_map(|path| fs::read(path).ok());
        let sleeps =
            told.filter(|line| line.starts_with(b"sleep\0") && line[6..].starts_with(mark.as_bytes()));
        sleeps.count()
    };
    let line = format!("(setsid sh -c '(setsid sleep {mark}1 &)' &); setsid sleep {mark}2 & sleep {mark}3");
    scheduler.run("forks", &line);
    scheduler.until("forks", "TASK_RUNNING");
    wait_for("all of its processes", || (left() == 3).then_some(()));
    scheduler.kill("forks");
    scheduler.until("forks", "TASK_KILLED");
    wait_for("their end", || (left() == 0).then_some(()));
}

#[test]
fn a_disk_is_not_filled_beyond_its_quota() {
    let flags =
        ["--isolation=disk/du", "--enforce_container_disk_quota", "--container_disk_watch_interval=100ms"];
    let cluster = Cluster::start_with(1, &[], &flags);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("full"));
    let offer = scheduler.offer();
    let resources = json!([scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 8.0)]);
    let line = "dd if=/dev/zero of=big bs=1M count=24 2>/dev/null; sleep 1000";
    let task = with(command_task("full", &offer, line), json!({"resources": resources}));
    scheduler.launch(&offer, &[task]);
    let last = last(&mut scheduler, "full");
    assert_eq!(
        (&last["state"], &last["reason"]),
        (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION_DISK"))
    );
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Disk usage (") && message.ends_with(") exceeds quota (8MB)"), "{message}");
    let limited = &last["limitation"]["resources"][0];
    assert!(limited["name"] == "disk" && limited["scalar"]["value"] == 8.0, "{last}");
}

#[test]
fn who_listens_on_ports_of_others_is_ended() {
    let flags =
        ["--isolation=network/ports", "--enforce_container_ports", "--container_ports_watch_interval=100ms"];
    let cluster = Cluster::start_with(1, &[], &flags);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("ports"));
    let line = "exec python3 -c 'import socket, time; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); \
                s.listen(); time.sleep(1000)'";
    scheduler.run("listens", line);
    let last = last(&mut scheduler, "listens");
    assert_eq!(
        (&last["state"], &last["reason"]),
        (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION"))
    );
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.contains(" is listening on unallocated port(s): ["), "{message}");
    assert_eq!(last["limitation"]["resources"][0]["name"], "ports", "{last}");
}

#[test]
fn flags_of_isolators_are_read_at_the_start() {
    for (flag, why) in [
        (
            r#"--allowed_devices={"allowed_devices": [{"device": {"path": "/etc"}, "access": {"read": true}}]}"#,
            "is no device",
        ),
        (r#"--bounding_capabilities={"capabilities": ["FLY"]}"#, "FLY"),
        (r#"--effective_capabilities={"caps": []}"#, "expected JSON like"),
        ("--container_ports_isolated_range=all", "expected ports"),
        ("--launcher=windows", "windows"),
    ] {
        let refused = mesos(&["slave", "--master=127.0.0.1:1", flag]);
        assert!(refused.status == Some(1) && refused.err.contains(why), "{flag}: {}", refused.err);
    }
}
