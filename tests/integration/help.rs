//! The help pages as the tutorial walks through them, and what those are told who ask wrongly: held by golden files,
//! which `make bless` writes anew.

use std::path::Path;

use serde_json::Value;

use crate::support::Cluster;
use crate::support::raw::{self, Answer, request};

fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    raw::exchange(port, &request(method, path, headers, b"")).answer()
}

fn get(port: u16, path: &str) -> Answer {
    send(port, "GET", path, &[])
}

/// Compares with the golden file of that name, or writes it if `MESOS_BLESS` is set.
pub fn is_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("MESOS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let line = golden.lines().zip(text.lines()).position(|(golden, text)| golden != text);
    assert!(golden == text, "{name} differs, first in line {line:?}; `make bless` writes it anew:\n{text}");
}

/// Every page of a process's port, one after the other.
fn book(port: u16) -> String {
    let index = get(port, "/help").text();
    let mut book = index.clone();
    let all = get(port, "/help?format=json").json();
    for process in all["processes"].as_array().expect("processes") {
        let id = process["id"].as_str().expect("an id");
        assert!(index.contains(&format!("> [/{id}][{id}]\n")), "{id} is in the index");
        let page = get(port, &format!("/help/{id}"));
        assert_eq!(page.header("content-type"), Some("text/x-markdown"));
        book += &format!("\n{}", page.text());
        assert_eq!(get(port, &format!("/help/{id}?format=json")).json(), *process);
        for endpoint in process["endpoints"].as_array().expect("endpoints") {
            let name = endpoint["name"].as_str().expect("a name");
            let page = get(port, &format!("/help/{id}{name}"));
            let text = if name == "/" { endpoint["text"].as_str().unwrap().to_owned() } else { page.text() };
            assert_eq!(endpoint["text"], text.as_str(), "{id}{name}");
            book += &format!("\n{text}");
        }
    }
    book
}

#[test]
fn every_page_of_master_and_agent_is_golden() {
    let cluster = Cluster::start(1);
    is_golden("golden/help-master.md", &book(cluster.port));
    is_golden("golden/help-agent.md", &book(cluster.agent_ports[0]));
}

#[test]
fn a_browser_walks_through_pages() {
    let cluster = Cluster::start(0);
    let browser = [("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];
    let page = |path: &str| {
        let answer = send(cluster.port, "GET", path, &browser);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert_eq!(answer.header("vary"), Some("Accept"));
        answer.text()
    };
    // Links are relative to the page, as the tutorial's reader clicks on them.
    assert!(page("/help").contains(r#"<a href="help/logging">/logging</a>"#));
    assert!(page("/help/logging").contains(r#"<a href="logging/toggle">/logging/toggle</a>"#));
    let toggle = page("/help/logging/toggle");
    assert!(toggle.starts_with("<!DOCTYPE html>") && toggle.contains("<title>"), "{toggle}");
    assert!(toggle.contains("Sets the logging verbosity level for a specified duration."));
    assert!(toggle.contains("<h3>USAGE") && !toggle.contains("###"), "{toggle}");
    for accept in ["*/*", "text/*", "application/json", "text/html;q=0", "text/markdown"] {
        let answer = send(cluster.port, "GET", "/help", &[("Accept", accept)]);
        assert_eq!(answer.header("content-type"), Some("text/x-markdown"), "{accept}");
    }
    assert_eq!(get(cluster.port, "/help?format=pdf").status, 400);
}

/// Features that this page promises: each path of Mesos 0.15 and 1.11 is served, or says what it waits for.
#[test]
fn every_endpoint_of_mesos_is_known() {
    let cluster = Cluster::start(1);
    let master = "/ /health /redirect /stats.json /state.json /roles.json /master/health /master/stats.json /tasks.json \
        /files/browse.json /files/read.json /files/download.json /files/debug.json /logging/toggle /help \
        /profiler/stop /statistics/snapshot.json /statistics/series.json /system/stats.json \
        /metrics/snapshot /registrar(1)/registry /slaves /state-summary /teardown /maintenance/schedule \
        /maintenance/status /machine/up /machine/down /reserve /unreserve /frameworks /flags /version /quota \
        /create-volumes /destroy-volumes /weights /api/v1 /api/v1/scheduler /allocator/offer_constraints_debug";
    let agent = "/health /stats.json /state.json /slave(1)/state.json /monitor/statistics.json /files/browse.json \
        /logging/toggle /help /profiler/stop /system/stats.json /metrics/snapshot /flags /version \
        /containers /api/v1 /api/v1/executor /api/v1/resource_provider /containerizer/debug /slave(1)/stats.json";
    for (port, paths) in [(cluster.port, master), (cluster.agent_ports[0], agent)] {
        for path in paths.split_whitespace() {
            let answer = get(port, path);
            assert!(
                matches!(answer.status, 200 | 307 | 400 | 405 | 501),
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
            if answer.status >= 400 {
                assert!(answer.text().len() > 10, "{path} says nothing");
            }
        }
    }
}

#[test]
fn numbers_of_old() {
    let cluster = Cluster::start(1);
    let has = |stats: &Value, names: &str| {
        names.split_whitespace().for_each(|name| assert!(!stats[name].is_null(), "{name} of {stats}"));
    };
    let stats = get(cluster.port, "/master/stats.json").json();
    has(
        &stats,
        "uptime elected total_schedulers active_schedulers activated_slaves deactivated_slaves staged_tasks \
         started_tasks finished_tasks killed_tasks failed_tasks lost_tasks valid_status_updates \
         invalid_status_updates outstanding_offers cpus_total mem_used disk_percent",
    );
    assert_eq!((&stats["activated_slaves"], &stats["elected"]), (&Value::from(1.0), &Value::from(1.0)));
    let stats = get(cluster.agent_ports[0], "/slave(1)/stats.json").json();
    has(
        &stats,
        "uptime total_frameworks staged_tasks started_tasks finished_tasks killed_tasks failed_tasks lost_tasks \
         valid_status_updates invalid_status_updates recovery_errors",
    );
    assert_eq!(stats["registered"], "1");
}

/// What is wrong, in a sentence; below it nothing that changes from run to run.
#[test]
fn refusals_are_golden() {
    let cluster = Cluster::start(1);
    let mut text = String::new();
    let asked = [
        (
            cluster.port,
            "GET /nothing;GET /master/nothing;GET /help/nothing;GET /help/logging/nothing;GET /help?format=pdf;\
             GET /tasks?limit=-1;GET /tasks?offset=x;GET /state?jsonp=a(b);GET /teardown;POST /teardown;POST /kill;\
             DELETE /api/v1;GET /api/v1/scheduler;POST /api/v1;POST /events;GET /events?types=NONSENSE;\
             GET /logging/toggle?level=3;GET /logging/toggle?duration=1mins;GET /logging/toggle?level=-1&duration=1mins;\
             GET /logging/toggle?level=x&duration=1mins;GET /logging/toggle?level=1&duration=soon;\
             GET /metrics/snapshot?timeout=soon;POST /metrics;GET /files/browse;GET /files/browse?path=/nothing;\
             GET /files/read;GET /files/read?path=/nothing;GET /files/read?path=/x&offset=y;GET /files/download;\
             POST /reserve;GET /reserve;DELETE /quota;PUT /weights;POST /weights;POST /maintenance/schedule;\
             POST /maintenance/status;POST /machine/up;\
             POST /create-volumes;POST /registrar(1)/nothing;GET /allocator/offer_constraints_debug;\
             GET /statistics/snapshot.json;GET /profiler/stop",
        ),
        (
            cluster.agent_ports[0],
            "GET /slave(1)/nothing;GET /slave(2)/state;GET /api/v1;GET /api/v1/executor;POST /api/v1/executor;\
             GET /api/v1/resource_provider;POST /api/v1/resource_provider;GET /containerizer/debug",
        ),
    ];
    for (port, requests) in asked {
        for line in requests.split(';') {
            let (method, path) = line.split_once(' ').expect("a method and a path");
            let answer = send(port, method, path, &[]);
            let allow = answer.header("allow").map(|allow| format!(" Allow: {allow}")).unwrap_or_default();
            text += &format!("{line}\n    {}{allow} {}\n", answer.status, answer.text().trim_end());
        }
    }
    is_golden("golden/refusals.txt", &text);
}
