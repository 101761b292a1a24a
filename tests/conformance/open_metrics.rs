//! `/metrics` as the reference parser of OpenMetrics, that of the Python client of Prometheus, reads it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::raw;
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, cache_dir, wait_for};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/openmetrics")
}

fn python() -> PathBuf {
    let output =
        Command::new(here().join("setup")).arg(cache_dir("openmetrics")).output().expect("setup runs");
    assert!(output.status.success(), "openmetrics setup: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

struct Samples(Vec<(String, Value, f64)>);

impl Samples {
    fn read(python: &Path, port: u16) -> Samples {
        let answer = raw::exchange(port, &raw::get("/metrics")).answer();
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").expect("a type");
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let mut parser = Command::new(python)
            .arg(here().join("parse.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python runs");
        parser.stdin.take().expect("a pipe").write_all(&answer.body).expect("python reads");
        let output = parser.wait_with_output().expect("python ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Samples(serde_json::from_slice(&output.stdout).expect("samples"))
    }

    /// The value of the one sample that has these labels.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |of: &Value| labels.iter().all(|(label, value)| of[label] == *value);
        let mut found = self.0.iter().filter(|(of, with, _)| of == name && fits(with));
        let first = found.next()?.2;
        assert!(found.next().is_none(), "{name} {labels:?} is there twice");
        Some(first)
    }
}

#[test]
fn the_reference_parser_reads_master_and_agent() {
    let python = python();
    let cluster = Cluster::start(1);
    let odd = "quotes \" and \\ lines\nand /";
    let mut scheduler = Scheduler::subscribe(cluster.port, framework(odd));
    scheduler.run("steady", "sleep 1000");
    scheduler.until("steady", "TASK_RUNNING");
    let master = wait_for("a round", || {
        let samples = Samples::read(&python, cluster.port);
        let quantile = [("quantile", "0.99")];
        samples.value("mesos_allocator_mesos_allocation_run_ms_percentile", &quantile).map(|_| samples)
    });
    let id = scheduler.framework_id.as_str();
    let of = [("framework", odd), ("framework_id", id)];
    assert_eq!(master.value("mesos_master_framework_subscribed", &of), Some(1.0));
    assert_eq!(master.value("mesos_master_framework_calls_total", &[of[1], ("type", "accept")]), Some(1.0));
    let running = [of[1], ("state", "task_running")];
    assert_eq!(master.value("mesos_master_framework_tasks", &running), Some(1.0));
    assert_eq!(master.value("mesos_master_tasks_running", &[]), Some(1.0));
    assert_eq!(master.value("mesos_master_tasks_lost_total", &[]), Some(0.0));
    assert!(
        master.value("mesos_master_resource_capacity", &[("resource", "cpus"), ("revocable", "false")])
            > None
    );

    let agent = Samples::read(&python, cluster.agent_ports[0]);
    assert_eq!(agent.value("mesos_slave_registered", &[]), Some(1.0));
    let of = [("framework_id", id), ("executor_id", "steady")];
    assert!(agent.value("mesos_slave_container_mem_rss_bytes", &of) > Some(0.0));
    assert!(agent.value("mesos_slave_container_processes", &of) >= Some(1.0));
    assert!(agent.value("mesos_slave_container_cpus_limit", &of) > Some(0.0));
    assert!(agent.value("mesos_slave_container_cpus_user_seconds_total", &of) >= Some(0.0));
}
