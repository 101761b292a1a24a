//! A profile of a master that works, and of an agent that does not.

use crate::support::raw::{self, Answer};
use crate::support::{Cluster, wait_for};

fn get(port: u16, path: &str) -> Answer {
    raw::exchange(port, &raw::get(path)).answer()
}

#[test]
fn a_flame_graph_of_the_master() {
    let cluster = Cluster::start(1);
    let port = cluster.port;
    let refused = get(port, "/profiler/stop");
    assert_eq!((refused.status, refused.text().as_str()), (400, "Profiler not running.\n"));
    let graph = wait_for("a profile with something in it", || {
        let started = get(port, "/profiler/start");
        assert_eq!((started.status, started.text().as_str()), (200, "Profiler started.\n"));
        let refused = get(port, "/profiler/start");
        assert_eq!((refused.status, refused.text().as_str()), (400, "Profiler already started.\n"));
        (0..300).for_each(|_| assert_eq!(get(port, "/metrics/snapshot").status, 200));
        let stopped = get(port, "/profiler/stop");
        assert!(matches!(stopped.status, 200 | 404), "{}: {}", stopped.status, stopped.text());
        (stopped.status == 200).then_some(stopped)
    });
    assert_eq!(graph.header("content-type"), Some("image/svg+xml"));
    let text = graph.text();
    assert!(text.contains("<svg") && text.contains("mesos"), "{}", &text[..text.len().min(300)]);
    assert_eq!(get(port, "/profiler/stop").status, 400);
    let profile = wait_for("a profile for pprof", || {
        assert_eq!(get(port, "/profiler/start").status, 200);
        (0..300).for_each(|_| assert_eq!(get(port, "/metrics/snapshot").status, 200));
        assert_eq!(get(port, "/profiler/stop?format=text").status, 400, "it goes on");
        let stopped = get(port, "/profiler/stop?format=pprof");
        (stopped.status == 200).then_some(stopped)
    });
    assert_eq!(profile.header("content-type"), Some("application/octet-stream"));
    let profile: pprof::protos::Profile =
        pprof::protos::Message::decode(&profile.body[..]).expect("a profile");
    assert!(!profile.sample.is_empty() && profile.string_table.iter().any(|text| text.contains("mesos")));
    // It goes on as before, and so does the agent, whose profiler is another.
    assert_eq!(get(port, "/state").status, 200);
    let agent = cluster.agent_ports[0];
    assert_eq!(get(agent, "/profiler/start").status, 200);
    assert!(matches!(get(agent, "/profiler/stop").status, 200 | 404));
    assert_eq!(get(agent, "/state").status, 200);
}
