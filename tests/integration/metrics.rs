//! Numbers that follow what happens in a cluster.

use serde_json::{Value, json};

use crate::help::is_golden;
use crate::support::raw::{self, Answer};
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, wait_for};

fn ask(port: u16, path: &str) -> Answer {
    raw::exchange(port, &raw::get(path)).answer()
}

fn metrics(port: u16) -> Value {
    ask(port, "/metrics/snapshot").json()
}

#[test]
fn a_framework_is_counted_by_what_it_says_and_is_told() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("counted"));
    scheduler.run("short", "true");
    scheduler.until("short", "TASK_FINISHED");
    let offer = scheduler.offer();
    scheduler.decline(&offer, 3600.0);
    assert_eq!(scheduler.call(json!({"type": "SUPPRESS"})).status, 202);
    let of = |name: &str| format!("master/frameworks/counted/{}/{name}", scheduler.framework_id);
    let shown = metrics(cluster.port);
    for (name, value) in [
        ("subscribed", 1.0),
        ("calls/subscribe", 1.0),
        ("calls/accept", 1.0),
        ("calls/decline", 1.0),
        ("calls/suppress", 1.0),
        ("calls/kill", 0.0),
        ("events/subscribed", 1.0),
        ("events/heartbeat", 1.0),
        ("offers/accepted", 1.0),
        ("offers/declined", 1.0),
        ("operations/launch", 1.0),
        ("operations", 1.0),
        ("tasks/active/task_running", 0.0),
        ("tasks/terminal/task_finished", 1.0),
        ("roles/*/suppressed", 1.0),
    ] {
        assert_eq!(shown[of(name)], value, "{name}");
    }
    assert!(shown[of("offers/sent")].as_f64() >= Some(2.0));
    assert!(shown[of("events/update")].as_f64() >= Some(2.0));
    // The declined resources are refused for an hour.
    wait_for("the refusal", || {
        (metrics(cluster.port)["allocator/mesos/offer_filters/roles/*/active"] == 1.0).then_some(())
    });
    let shown = metrics(cluster.port);
    assert_eq!(shown["allocator/mesos/roles/*/shares/dominant"], 0.0);
    assert!(shown["allocator/mesos/allocation_runs"].as_f64() > Some(1.0));
    assert!(shown["registrar/state_store_ms"].is_number());
    scheduler.teardown();
    wait_for("the end", || (metrics(cluster.port)[of("subscribed")] == 0.0).then_some(()));
    assert_eq!(metrics(cluster.port)[of("calls/teardown")], 1.0);
}

#[test]
fn without_numbers_of_each_framework() {
    let cluster = Cluster::start_with(1, &["--publish_per_framework_metrics=false"], &[]);
    let _scheduler = Scheduler::subscribe(cluster.port, framework("private"));
    let shown = metrics(cluster.port);
    let names = shown.as_object().unwrap().keys();
    assert_eq!(names.filter(|name| name.starts_with("master/frameworks/")).count(), 0);
    assert_eq!(shown["master/frameworks_active"], 1.0);
}

#[test]
fn a_timeout_is_a_time() {
    let cluster = Cluster::start(0);
    for good in ["5secs", "0ns", "1.5mins"] {
        assert_eq!(ask(cluster.port, &format!("/metrics/snapshot?timeout={good}")).status, 200, "{good}");
    }
    for bad in ["x", "5", "5parsecs", "-", ""] {
        let answer = ask(cluster.port, &format!("/metrics/snapshot?timeout={bad}"));
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().starts_with(&format!("Invalid timeout '{bad}': ")), "{}", answer.text());
    }
}

/// Names are gained on purpose and never lost by accident: dashboards and alarms go by them.
#[test]
fn names_are_golden() {
    let cluster = Cluster::start(1);
    for (port, name) in [(cluster.port, "master"), (cluster.agent_ports[0], "agent")] {
        let shown = metrics(port);
        // Timers have a last time and percentiles once they were used.
        let names = shown.as_object().unwrap().keys().filter(|name| !name.contains("_ms"));
        let text: String = names.map(|name| format!("{name}\n")).collect();
        is_golden(&format!("surface/metrics-{name}.txt"), &text);
    }
}
