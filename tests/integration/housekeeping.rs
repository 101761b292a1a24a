//! What an agent does with what its tasks leave: sandboxes go in their time, output stays within its bounds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::scheduler::{Scheduler, command_task, framework, scalar};
use crate::support::{Cluster, finished, get, wait_for};

/// The folder of an executor, below the first agent's.
fn executor(cluster: &Cluster, scheduler: &Scheduler, id: &str) -> PathBuf {
    let agents = cluster.dir.path().join("agent0/slaves");
    let agent = fs::read_dir(agents).unwrap().next().unwrap().unwrap().path();
    agent.join("frameworks").join(&scheduler.framework_id).join("executors").join(id)
}

fn gone(path: &Path) {
    wait_for(&format!("removal of {}", path.display()), || (!path.exists()).then_some(()));
}

#[test]
fn sandboxes_go_after_a_while_and_those_in_use_stay() {
    let cluster = Cluster::start_with(1, &[], &["--gc_delay=300ms", "--gc_disk_headroom=0"]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("leaving"));
    scheduler.run("running", "sleep 1000");
    scheduler.until("running", "TASK_RUNNING");
    let running = executor(&cluster, &scheduler, "running");
    scheduler.run("over", "echo something");
    scheduler.until("over", "TASK_FINISHED");
    let over = executor(&cluster, &scheduler, "over");
    gone(&over);
    assert!(running.join("runs/latest/stdout").exists());
    let numbers = || -> serde_json::Value {
        serde_json::from_str(&get(cluster.agent_ports[0], "/metrics/snapshot").unwrap()).unwrap()
    };
    wait_for("numbers", || (numbers()["gc/path_removals_succeeded"].as_f64()? >= 1.0).then_some(()));
    assert_eq!(numbers()["gc/path_removals_failed"], 0.0);
    // What is shown of it went with it.
    let shown = get(cluster.agent_ports[0], "/files/debug").unwrap();
    assert!(shown.contains("/running/") && !shown.contains("/over/"), "{shown}");
    let framework = running.parent().and_then(Path::parent).unwrap().to_owned();
    scheduler.teardown();
    gone(&framework);
    let removing = cluster.dir.path().join("agent0/removing");
    wait_for("all to be deleted", || (fs::read_dir(&removing).ok()?.count() == 0).then_some(()));
}

#[test]
fn a_full_disk_shortens_the_wait() {
    let flags = ["--gc_disk_headroom=1", "--disk_watch_interval=50ms"];
    let cluster = Cluster::start_with(1, &[], &flags);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("leaving"));
    scheduler.run("over", "echo something");
    scheduler.until("over", "TASK_FINISHED");
    gone(&executor(&cluster, &scheduler, "over"));
}

#[test]
fn what_other_agents_left_in_the_same_place_goes_too() {
    let mut cluster = Cluster::start(0);
    let left = cluster.dir.path().join("agent0/slaves/other-S0/frameworks/f/executors/e/runs/c");
    let interrupted = cluster.dir.path().join("agent0/removing/something");
    for folder in [&left, &interrupted] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("stdout"), "text").unwrap();
    }
    cluster.add_agent(0, &["--gc_delay=100ms"]);
    gone(&cluster.dir.path().join("agent0/slaves/other-S0"));
    gone(&interrupted);
}

/// A pod's tasks have sandboxes of their own, whose output is bounded as well.
#[test]
fn output_is_bounded() {
    let logger = "--container_logger=logrotate,max_stdout_size=4KB,max_stderr_size=4KB,rotate=1";
    let cluster = Cluster::start_with(1, &[], &[logger]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("talking"));
    let line = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done";
    scheduler.run("alone", line);
    scheduler.until("alone", "TASK_FINISHED");
    let alone = executor(&cluster, &scheduler, "alone").join("runs/latest");
    let offer = scheduler.offer();
    let resources = json!([scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 32.0)]);
    let executor_info = json!({"type": "DEFAULT", "executor_id": {"value": "pod"},
        "framework_id": {"value": scheduler.framework_id}, "resources": resources});
    let waiting = format!("{line}; touch done; sleep 1000");
    let group = json!({"tasks": [command_task("member", &offer, &waiting)]});
    let launch = json!({"executor": executor_info, "task_group": group});
    scheduler.accept(&offer, json!([{"type": "LAUNCH_GROUP", "launch_group": launch}]));
    scheduler.until("member", "TASK_RUNNING");
    let member = executor(&cluster, &scheduler, "pod").join("runs/latest/tasks/member");
    for sandbox in [alone, member] {
        let read = |name: &str| fs::read_to_string(sandbox.join(name)).unwrap_or_default();
        wait_for("the last line", || read("stdout").ends_with("line 2000\n").then_some(()));
        let sizes = ["stdout", "stdout.1"].map(|name| read(name).len());
        assert!(sizes.iter().all(|size| (1..=4096).contains(size)), "{sizes:?}");
        assert!(!sandbox.join("stdout.2").exists());
    }
}

/// The units that `make install` puts beside the binary name it where it is.
#[test]
fn systemd_units_are_sound() {
    let prefix = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut make = Command::new("make");
    make.args(["-s", "units"]).arg(format!("PREFIX={}", prefix.path().display())).current_dir(root);
    let made = finished(make);
    assert_eq!(made.status, Some(0), "{}", made.err);
    fs::create_dir(prefix.path().join("bin")).unwrap();
    for name in ["mesos-master", "mesos-slave"] {
        std::os::unix::fs::symlink("/bin/true", prefix.path().join("bin").join(name)).unwrap();
        let unit = prefix.path().join(format!("lib/systemd/system/{name}.service"));
        let text = fs::read_to_string(&unit).unwrap();
        let start = format!("ExecStart={}/bin/{name}\n", prefix.path().display());
        assert!(text.contains(&start), "{text}");
        if !Path::new("/usr/bin/systemd-analyze").exists() {
            eprintln!("systemd_units_are_sound: no systemd-analyze here, so {name} was only read");
            continue;
        }
        let mut verify = Command::new("/usr/bin/systemd-analyze");
        verify.args(["verify", "--man=no"]).arg(&unit);
        let verified = finished(verify);
        assert_eq!((verified.status, verified.err.as_str()), (Some(0), ""), "{}", verified.out);
    }
}
