//! What a master that does not lead answers.

use super::{Masters, beside_ours};
use crate::support::ensembles::Ensemble;
use crate::support::raw::{self, exchange, post};
use crate::support::{finished, get, wait_for};

#[test]
fn a_standby_sends_clients_to_the_leader() {
    let Some(ensemble) = Ensemble::zookeeper("standby", 1) else { return };
    let masters = Masters::start(&ensemble, 2, &[]);
    let leader = masters.leader();
    let (there, here) = (masters.port(leader), masters.port(1 - leader));
    let location = |request: &[u8]| {
        let answer = exchange(here, request).answer();
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    wait_for("the leader's name", || (location(&raw::get("/master/redirect")).0 == 307).then_some(()));
    for (path, to) in [
        ("/master/redirect", ""),
        ("/redirect", ""),
        ("/state", "/master/state"),
        ("/master/state?jsonp=x", "/master/state?jsonp=x"),
        ("/master/state-summary", "/master/state-summary"),
        ("/slaves", "/master/slaves"),
        ("/frameworks", "/master/frameworks"),
        ("/tasks?limit=1", "/master/tasks?limit=1"),
        ("/roles", "/master/roles"),
        ("/weights", "/master/weights"),
        ("/master/events", "/master/events"),
    ] {
        assert_eq!(location(&raw::get(path)), (307, format!("//localhost:{there}{to}")), "{path}");
    }
    let call = br#"{"type":"GET_STATE"}"#;
    for path in ["/master/api/v1", "/master/api/v1/scheduler", "/master/api/v1/operator", "/master/teardown"]
    {
        let answer = location(&post(path, "application/json", call));
        assert_eq!(answer, (307, format!("//localhost:{there}{path}")), "{path}");
    }
    assert_eq!(location(&raw::get("/master/redirect/more")).0, 404);
    for path in ["/health", "/flags", "/metrics/snapshot", "/version", "/", "/help"] {
        assert_eq!(exchange(here, &raw::get(path)).status(), 200, "{path}");
    }
    // Messages are for the leader, and counted.
    let sent = exchange(
        here,
        &raw::message("/master/mesos.internal.RegisterSlaveMessage", "slave(1)@127.0.0.1:1", b""),
    );
    assert_eq!(sent.status(), 202);
    let numbers: serde_json::Value = serde_json::from_str(&get(here, "/metrics/snapshot").unwrap()).unwrap();
    assert_eq!((&numbers["master/dropped_messages"], &numbers["master/elected"]), (&1.0.into(), &0.0.into()));
    let theirs: serde_json::Value = serde_json::from_str(&get(there, "/metrics/snapshot").unwrap()).unwrap();
    let names =
        |numbers: &serde_json::Value| numbers.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let missing: Vec<String> = names(&theirs)
        .into_iter()
        .filter(|name| name.starts_with("master/") && numbers.get(name).is_none())
        .collect();
    assert_eq!(missing, [""; 0], "a standby has the same numbers");
    let state: serde_json::Value = serde_json::from_str(&get(there, "/state").unwrap()).unwrap();
    assert_eq!(state["leader"], format!("master@127.0.0.1:{there}"));
    assert_eq!(state["leader_info"]["port"], there);
}

#[test]
fn ctl_and_execute_find_the_leader() {
    beside_ours("ctl", 1, |ensemble| {
        let masters = Masters::start(&ensemble, 2, &[]);
        let leader = masters.leader();
        let _agent = masters.agent();
        masters.wait_for_agent(leader);
        let file = masters.dir.path().join("where");
        std::fs::write(&file, format!("{}\n", masters.url)).unwrap();
        let standby = format!("127.0.0.1:{}", masters.port(1 - leader));
        for place in [masters.url.clone(), format!("file://{}", file.display()), standby] {
            let done = crate::support::mesos(&["ctl", &format!("--master={place}"), "-o", "json", "agents"]);
            assert_eq!(done.status, Some(0), "{place}: {done:?}");
            assert!(done.out.contains("localhost"), "{place}: {}", done.out);
        }
        let mut command = crate::support::binary();
        command.args(["execute", &format!("--master={}", masters.url), "--name=found", "--command=true"]);
        let done = finished(command);
        assert_eq!(done.status, Some(0), "{done:?}");
    });
}
