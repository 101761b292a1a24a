//! Checks and health checks of tasks, all the way from a scheduler to what is looked at.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, scalar, with};
use crate::support::{Cluster, Process, free_port, wait_for};

/// Answers every request with the status that the number says at that time.
fn serve(status: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let is_path = request[..read].starts_with(b"GET /health?x=1 ");
            let status = if is_path { status.load(Ordering::SeqCst) } else { 404 };
            let _ = write!(stream, "HTTP/1.1 {status} It\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

/// Looks at once, and then 20 times a second.
fn eager(check: Value) -> Value {
    with(json!({"delay_seconds": 0.0, "interval_seconds": 0.05}), check)
}

fn launch(scheduler: &mut Scheduler, id: &str, command: &str, checks: Value) {
    let offer = scheduler.offer();
    let task = with(command_task(id, &offer, command), checks);
    scheduler.launch(&offer, &[task]);
}

/// The first status that fits; those before it are let pass.
fn until(scheduler: &mut Scheduler, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = scheduler.status(id);
        if fits(&status) {
            return status;
        }
        let state = status["state"].as_str().unwrap_or_default().to_owned();
        assert!(["TASK_STARTING", "TASK_RUNNING"].contains(&&*state), "{status}");
    }
}

#[test]
fn a_task_tells_its_health_and_what_its_check_finds() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("checked"));
    let marker = cluster.dir.path().join("healthy");
    fs::write(&marker, "").unwrap();
    let served = Arc::new(AtomicU16::new(200));
    let port = serve(served.clone());
    let checks = json!({
        "health_check": eager(json!({"type": "COMMAND", "consecutive_failures": 2, "grace_period_seconds": 0.0,
            "command": {"value": "test -e $MARKER && echo looked >&2",
                "environment": {"variables": [{"name": "MARKER", "value": marker.to_str().unwrap()}]}}})),
        "check": eager(json!({"type": "HTTP", "http": {"port": port, "path": "/health?x=1"}})),
    });
    launch(&mut scheduler, "t", "sleep 1000", checks);
    let first = scheduler.status("t");
    assert_eq!(first["check_status"], json!({"type": "HTTP", "http": {}}), "{first}");
    let both = until(&mut scheduler, "t", |status| {
        status["healthy"] == true && status["check_status"]["http"]["status_code"] == 200
    });
    assert_eq!(both["state"], "TASK_RUNNING");
    served.store(503, Ordering::SeqCst);
    let status = until(&mut scheduler, "t", |status| status["check_status"]["http"]["status_code"] == 503);
    assert_eq!(
        (&status["reason"], &status["healthy"]),
        (&json!("REASON_TASK_CHECK_STATUS_UPDATED"), &json!(true))
    );
    let shown = |cluster: &Cluster| {
        let task = cluster.json("/state")?["frameworks"][0]["tasks"][0].clone();
        let last = task["statuses"].as_array()?.last()?.clone();
        (last["healthy"] == true && task["health_check"]["type"] == "COMMAND").then_some(())
    };
    wait_for("health in /state", || shown(&cluster));
    fs::remove_file(&marker).unwrap();
    let status = until(&mut scheduler, "t", |status| status["healthy"] == false);
    assert_eq!(status["reason"], "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED");
    let last = until(&mut scheduler, "t", |status| status["state"] == "TASK_KILLED");
    assert_eq!(
        (&last["healthy"], &last["check_status"]),
        (&json!(false), &json!({"type": "HTTP", "http": {}}))
    );
}

#[test]
fn what_a_check_starts_does_not_outlive_its_time() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("slow"));
    let pid = cluster.dir.path().join("pid");
    let line = format!("echo $$ >{}; sleep 1000 & wait", pid.display());
    let slow = eager(json!({"type": "COMMAND", "command": {"value": line}, "timeout_seconds": 0.3,
        "consecutive_failures": 1, "grace_period_seconds": 0.0}));
    launch(&mut scheduler, "slow", "sleep 1000", json!({"health_check": slow}));
    let last = until(&mut scheduler, "slow", |status| status["state"] == "TASK_KILLED");
    assert_eq!(last["healthy"], false);
    let pid = fs::read_to_string(pid).unwrap();
    wait_for("end of the check", || (!Path::new(&format!("/proc/{}", pid.trim())).exists()).then_some(()));
}

#[test]
fn ports_are_tried() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("ports"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = free_port();
    let checks = json!({
        "check": eager(json!({"type": "TCP", "tcp": {"port": closed}})),
        "health_check": eager(json!({"type": "TCP", "tcp": {"port": open}, "consecutive_failures": 1,
            "grace_period_seconds": 0.0})),
    });
    launch(&mut scheduler, "t", "sleep 1000", checks);
    let both = until(&mut scheduler, "t", |status| {
        status["healthy"] == true && status["check_status"]["tcp"]["succeeded"] == false
    });
    assert_eq!(both["state"], "TASK_RUNNING");
    drop(listener);
    until(&mut scheduler, "t", |status| status["state"] == "TASK_KILLED");
}

/// A certificate that nobody signed is good enough.
#[test]
fn pages_come_over_tls_too() {
    let cluster = Cluster::start(1);
    let dir = cluster.dir.path();
    let new =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -keyout key -out cert";
    let made = Command::new("openssl").args(new.split(' ')).current_dir(dir).output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("pages_come_over_tls_too: SKIPPED, openssl is not to be had on this machine");
        return;
    }
    let port = free_port();
    let mut server = Command::new("openssl");
    server
        .args(["s_server", "-www", "-key", "key", "-cert", "cert", "-accept"])
        .arg(format!("127.0.0.1:{port}"));
    server.current_dir(dir);
    let _server = Process::of(server, "openssl".to_owned());
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("tls"));
    let check = eager(json!({"type": "HTTP", "http": {"port": port, "path": "/", "scheme": "https"}}));
    launch(&mut scheduler, "t", "sleep 1000", json!({"health_check": check}));
    until(&mut scheduler, "t", |status| status["healthy"] == true);
}

#[test]
fn a_group_is_checked_where_its_tasks_are() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("pods"));
    let offer = scheduler.offer();
    let health = eager(json!({"type": "COMMAND", "consecutive_failures": 1, "grace_period_seconds": 1000.0,
        "command": {"value": "test \"$MESOS_TASK_ID\" = a && test -e mine"}}));
    let checked = with(
        command_task(
            "a",
            &offer,
            "touch mine; while [ ! -e ../../go ]; do sleep 0.02; done; rm mine; sleep 1000",
        ),
        json!({"health_check": health}),
    );
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pod"},
        "framework_id": {"value": scheduler.framework_id}, "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 32.0)]});
    let group = json!({"tasks": [checked, command_task("b", &offer, "sleep 1000")]});
    scheduler.accept(
        &offer,
        json!([{"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": group}}]),
    );
    until(&mut scheduler, "a", |status| status["healthy"] == true);
    let sandbox = crate::execute::find(&cluster, "pod", "stdout");
    fs::write(sandbox.with_file_name("go"), "").unwrap();
    let a = until(&mut scheduler, "a", |status| status["state"] == "TASK_KILLED");
    let b = until(&mut scheduler, "b", |status| status["state"] == "TASK_KILLED");
    assert_eq!((&a["healthy"], &b["healthy"]), (&json!(false), &json!(false)));
}
