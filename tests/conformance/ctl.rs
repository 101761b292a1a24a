//! `mesos ctl` against the real Apache Mesos 1.11.0 master, with an agent of ours below it.

use crate::peer;
use crate::support::{Cluster, Finished, Process, mesos, wait_for};

fn ctl(cluster: &Cluster, line: &str) -> Finished {
    let master = format!("--master={}", cluster.address());
    let words: Vec<&str> =
        ["ctl", "--timeout=30secs", &master].into_iter().chain(line.split_whitespace()).collect();
    mesos(&words)
}

#[test]
fn ctl_asks_the_real_master() {
    if !peer::available("ctl") {
        return;
    }
    let cluster = peer::cluster(1, &[], &[]);
    // Not too short a task: the real master counts none that has ended before its RUNNING is acknowledged, since
    // the update that it learns of the end from (by `latest_state`) is not that of the end.
    let done = ctl(&cluster, "execute --name=hello --command=pwd;sleep${IFS}1 --resources=cpus:0.1;mem:32");
    assert_eq!(done.status, Some(0), "{done:?}");
    let master = format!("--master={}", cluster.address());
    let mut framework = Process::start(&[
        "execute",
        &master,
        "--name=steady",
        "--command=sleep 1000",
        "--resources=cpus:0.1;mem:32",
    ]);
    wait_for("the task", || {
        ctl(&cluster, "tasks --state=running -o name").out.contains("steady").then_some(())
    });
    // A master counts a task among the finished when its end is acknowledged.
    wait_for("the finished task", || ctl(&cluster, "state").out.contains("1 finished").then_some(()));

    for (line, parts) in [
        ("state", &["1.11.0", "1 active, 0 inactive", "1 running", "1 finished", "cpus", "0.1"][..]),
        ("state -o json", &["\"leader\"", "\"elected_time\""]),
        ("frameworks --all", &["active", "completed", "mesos-execute instance"]),
        ("agents -o wide", &["-S0", "active", "0.1/4", "127.0.0.1:"]),
        ("tasks --all", &["hello", "finished", "steady", "running"]),
        ("roles", &["*", "0.1"]),
        ("offers", &["FRAMEWORK"]),
        ("ps", &["steady", "MEM USED"]),
        ("top --once", &["1 agents", "1 running"]),
        ("metrics master/slaves_active", &["1"]),
        ("flags role_sorter", &["drf"]),
        ("version", &["1.11.0", "04bc7ee1984d86fbb0bd782ccc69ce44c13ae4b9"]),
        ("health", &["is healthy"]),
        ("logs hello", &["/executors/hello/runs/"]),
        ("files ls hello", &["stdout", "stderr"]),
        ("flags work_dir --agent=S0", &["agent0"]),
        ("logging toggle --level=1 --duration=10secs", &["level 1"]),
        ("logging level", &["level"]),
    ] {
        let done = ctl(&cluster, line);
        assert_eq!(done.status, Some(0), "ctl {line}: {done:?}");
        for part in parts {
            assert!(done.out.contains(part), "ctl {line}: no {part:?} in\n{}", done.out);
        }
    }
    for (line, part) in [("kill steady", "teardown"), ("events", "no event stream")] {
        let done = ctl(&cluster, line);
        assert!(done.status == Some(5) && done.err.contains(part), "ctl {line}: {done:?}");
    }
    let done = ctl(&cluster, "teardown 0001");
    assert_eq!(done.status, Some(0), "{done:?}");
    wait_for("no framework", || ctl(&cluster, "frameworks -o name").out.is_empty().then_some(()));
    framework.kill();
}
