//! What readers of REST endpoints go by besides the body: tags of what they have already.

use crate::support::raw::{self, Answer, request};
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, mesos, wait_for};

const TAGGED: [&str; 7] =
    ["/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles", "/state?jsonp=f"];

fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    raw::exchange(port, &request(method, path, headers, b"")).answer()
}

fn tag(port: u16, path: &str) -> String {
    let answer = send(port, "GET", path, &[]);
    assert_eq!(answer.status, 200, "{path}");
    answer.header("etag").unwrap_or_else(|| panic!("{path} has no tag")).to_owned()
}

fn known(port: u16, path: &str, tags: &str) -> Answer {
    send(port, "GET", path, &[("If-None-Match", tags)])
}

fn rounds(port: u16) -> f64 {
    let metrics = send(port, "GET", "/metrics/snapshot", &[]).json();
    metrics["allocator/mesos/allocation_runs"].as_f64().unwrap_or_default()
}

#[test]
fn an_agent_does_not_send_again_what_did_not_change() {
    let cluster = Cluster::start(1);
    let (master, agent) = (cluster.port, cluster.agent_ports[0]);
    for path in ["/state", "/slave(1)/state", "/state.json"] {
        // What follows its registration may still change it.
        let same = wait_for("an agent at rest", || {
            let before = tag(agent, path);
            let same = known(agent, path, &before);
            (same.status == 304).then_some((same, before))
        });
        assert_eq!((same.0.body.len(), same.0.header("etag")), (0, Some(same.1.as_str())));
        assert_eq!(known(agent, path, "\"other\"").status, 200);
    }
    let before = tag(agent, "/state");
    let mut scheduler = Scheduler::subscribe(master, framework("news"));
    scheduler.run("t", "true");
    let running = wait_for("news", || {
        let answer = known(agent, "/state", &before);
        (answer.status == 200).then(|| tag(agent, "/state"))
    });
    assert_ne!(running, before);
    scheduler.until("t", "TASK_FINISHED");
    wait_for("the task's end", || {
        let state = send(agent, "GET", "/state", &[]).json();
        (state["completed_frameworks"].as_array().is_some_and(|all| !all.is_empty())).then_some(())
    });
    assert_eq!(known(agent, "/state", &running).status, 200);
}

#[test]
fn agents_that_stay_away_are_listed() {
    let flags = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=1"];
    let mut cluster = Cluster::start_with(2, &flags, &[]);
    cluster.agents[1].kill();
    let agents = || {
        let asked = mesos(&["ctl", &format!("--master={}", cluster.address()), "agents", "--no-header"]);
        assert_eq!(asked.status, Some(0), "{asked:?}");
        asked.out
    };
    wait_for("an unreachable agent", || agents().contains("unreachable").then_some(()));
    let states: Vec<String> = agents()
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.ends_with("e")))
        .map(str::to_owned)
        .collect();
    assert_eq!(states, ["active", "unreachable"]);
    let slaves = cluster.json("/slaves").expect("JSON");
    assert_eq!(slaves["slaves"].as_array().map(Vec::len), Some(1));
    assert!(slaves["unreachable_slaves"][0]["unreachable_time"].as_f64().is_some_and(|time| time > 1e9));
}

#[test]
fn weights_are_shown() {
    let cluster = Cluster::start_with(0, &["--weights=gold=3,plain=0.5"], &[]);
    let shown = send(cluster.port, "GET", "/weights", &[]).json();
    let expected = serde_json::json!([{"role": "gold", "weight": 3.0}, {"role": "plain", "weight": 0.5}]);
    assert_eq!(shown, expected);
    let refused = send(cluster.port, "PUT", "/weights", &[]);
    assert_eq!(refused.status, 501);
    assert!(refused.text().contains("still to come"), "{}", refused.text());
    assert_eq!(send(cluster.port, "GET", "/weights?jsonp=f", &[]).text().get(..2), Some("f("));
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let cluster = Cluster::start(1);
    let port = cluster.port;
    let before = TAGGED.map(|path| tag(port, path));
    // The master goes on working, which is not to be seen.
    let begun = rounds(port);
    wait_for("rounds", || (rounds(port) >= begun + 3.0).then_some(()));
    for (path, tag) in TAGGED.iter().zip(&before) {
        for tags in [tag.clone(), format!("\"other\", {tag}"), tag.trim_start_matches("W/").to_owned()] {
            let answer = known(port, path, &tags);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {tags}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{path}");
        }
        for tags in ["\"other\"", "nonsense", "", "W/\"\""] {
            assert_eq!(known(port, path, tags).status, 200, "{path} {tags}");
        }
        let head = send(port, "HEAD", path, &[("If-None-Match", tag)]);
        assert_eq!(head.status, 304, "HEAD {path}");
    }
    let mut scheduler = Scheduler::subscribe(port, framework("news"));
    for (path, tag) in TAGGED.iter().zip(&before) {
        let answer = known(port, path, tag);
        assert_eq!(answer.status, 200, "{path} after news");
        assert_ne!(answer.header("etag"), Some(tag.as_str()), "{path}");
    }
    let offer = scheduler.offer();
    let offered = tag(port, "/state");
    scheduler.decline(&offer, 3600.0);
    wait_for("the offer's end", || (known(port, "/state", &offered).status == 200).then_some(()));
}

#[test]
fn a_tag_is_of_one_master() {
    let (first, second) = (Cluster::start(0), Cluster::start(0));
    let tag = tag(first.port, "/state");
    assert_eq!(known(second.port, "/state", &tag).status, 200);
}
