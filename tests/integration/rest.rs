//! What readers of REST endpoints go by besides the body: tags of what they have already.

use crate::support::raw::{self, Answer, request};
use crate::support::scheduler::{Scheduler, framework};
use crate::support::{Cluster, wait_for};

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
