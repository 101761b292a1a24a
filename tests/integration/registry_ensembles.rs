//! A registry in a real ZooKeeper and a real etcd: written whole, read by the next leader, refused to the last one.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use mesos::registry::Change;
use mesos::registry::store::{Error, Store, open};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::ensembles::Ensemble;
use crate::support::{DEADLINE, Process, free_port, get, mesos, wait_for};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn put(number: usize, size: usize) -> Change {
    Change { key: format!("agents/m-S{number}"), value: Some(Bytes::from(vec![number as u8; size])) }
}

type Contents = BTreeMap<String, Bytes>;

fn contents(records: Vec<(String, Bytes)>) -> Contents {
    records.into_iter().collect()
}

/// Until the store is there again.
fn write(store: &mut dyn Store, batch: &[Change]) {
    wait_for("a write", || match store.write(batch) {
        Ok(()) => Some(()),
        Err(Error::Unavailable { .. }) => None,
        Err(other) => panic!("{other}"),
    });
}

fn one_writes_at_a_time(mut ensemble: Ensemble) {
    let runtime = runtime();
    let url = ensemble.url();
    let store = || open(&url, runtime.handle()).unwrap();
    let mut first = store();
    assert!(matches!(first.peek(), Err(Error::Absent { .. })));
    assert_eq!(first.load().unwrap(), []);
    // More than one transaction takes, by number and by size, and names that are no names of nodes.
    let mut batch: Vec<Change> = (0..1200).map(|number| put(number, 100)).collect();
    batch.extend((1200..1210).map(|number| put(number, 200 << 10)));
    batch.push(Change { key: "quotas/a/b%c".to_owned(), value: Some(Bytes::from_static(b"q")) });
    first.write(&batch).unwrap();
    let mut expected: Contents =
        batch.into_iter().filter_map(|change| Some((change.key, change.value?))).collect();
    assert_eq!(contents(first.peek().unwrap()), expected);

    // The next leader reads all of it, and from then on the first one's writes are refused, whole.
    let mut second = store();
    assert_eq!(contents(second.load().unwrap()), expected);
    let refused = first.write(&[put(1, 7), put(5000, 7)]);
    assert!(matches!(refused, Err(Error::Deposed { .. })), "{refused:?}");
    assert_eq!(contents(store().peek().unwrap()), expected);
    let gone = Change { key: "agents/m-S3".to_owned(), value: None };
    second.write(&[put(2, 9), gone, put(6000, 9)]).unwrap();
    expected.insert("agents/m-S2".to_owned(), Bytes::from(vec![2; 9]));
    expected.insert("agents/m-S6000".to_owned(), Bytes::from(vec![6000_usize as u8; 9]));
    expected.remove("agents/m-S3");
    assert_eq!(contents(second.peek().unwrap()), expected);

    // Without a quorum nothing is written; with one again, what is tried again is.
    let (one, other) = (0, 1);
    ensemble.kill(one);
    write(&mut *second, &[put(7000, 1)]);
    ensemble.kill(other);
    let failed = second.write(&[put(7001, 1), put(7000, 2)]);
    assert!(matches!(failed, Err(Error::Unavailable { .. })), "{failed:?}");
    ensemble.restart(one);
    ensemble.restart(other);
    ensemble.wait();
    // Its session may have ended meanwhile: then the next one has to be told of the same.
    let again = [put(7001, 1), put(7000, 2)];
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        match second.write(&again) {
            Ok(()) => break,
            Err(Error::Unavailable { .. }) if std::time::Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(Error::Deposed { .. }) => {
                second = store();
                second.load().unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
    expected.insert("agents/m-S7000".to_owned(), Bytes::from(vec![7000_usize as u8; 2]));
    expected.insert("agents/m-S7001".to_owned(), Bytes::from(vec![7001_usize as u8; 1]));
    assert_eq!(contents(store().peek().unwrap()), expected);
}

#[test]
fn zookeeper_takes_writes_of_one_leader() {
    if let Some(ensemble) = Ensemble::zookeeper("registry", 3) {
        one_writes_at_a_time(ensemble);
    }
}

#[test]
fn etcd_takes_writes_of_one_leader() {
    if let Some(ensemble) = Ensemble::etcd("registry", 3) {
        one_writes_at_a_time(ensemble);
    }
}

/// What the leader among these ports answers.
fn leaders(ports: &[u16], path: &str) -> Option<Value> {
    let state = ports.iter().find_map(|port| {
        let state: Value = serde_json::from_str(&get(*port, "/master/state").ok()?).ok()?;
        let own = state["leader_info"]["port"] == json!(*port);
        own.then_some(*port)
    })?;
    serde_json::from_str(&get(state, path).ok()?).ok()
}

fn ids(list: &Value) -> Vec<String> {
    let mut ids: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|agent| agent["id"].as_str())
        .map(str::to_owned)
        .collect();
    ids.sort();
    ids
}

/// The next leader knows the agents of the last one, which is killed.
fn agents_outlive_their_leader(ensemble: &Ensemble, kind: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let zk = format!("--zk={}", ensemble.url());
    let ports = [free_port(), free_port()];
    let start = |port: u16| {
        let port = format!("--port={port}");
        // As an existing installation passes them.
        let args = ["master", "--ip=127.0.0.1", "--hostname=localhost", &port, &zk, "--quorum=2"];
        Process::start(&[&args[..], &["--registry=replicated_log", "--zk_session_timeout=2secs"]].concat())
    };
    let mut masters: Vec<Process> = ports.iter().map(|port| start(*port)).collect();
    let master = format!("--master={}", ensemble.url());
    let mut agents: Vec<Process> = (0..2)
        .map(|index| {
            let (port, work) = (format!("--port={}", free_port()), dir.path().join(format!("agent{index}")));
            Process::start(&[
                "slave",
                "--ip=127.0.0.1",
                "--hostname=localhost",
                "--resources=cpus:1;mem:64;disk:64",
                "--registration_backoff_factor=10ms",
                &master,
                &port,
                &format!("--work_dir={}", work.display()),
            ])
        })
        .collect();
    let known = wait_for("agents", || {
        let state = leaders(&ports, "/master/state")?;
        let known = ids(&state["slaves"]);
        (known.len() == 2).then_some(known)
    });
    let flags = leaders(&ports, "/flags").unwrap();
    assert_eq!(flags["flags"]["registry"], "replicated_log", "what was said");
    let shown = leaders(&ports, "/registrar(1)/registry").unwrap();
    let leading = shown["master"]["info"]["port"].as_u64().unwrap();
    let index = ports.iter().position(|port| u64::from(*port) == leading).unwrap();
    wait_for("a word about the registry", || {
        let log = masters[index].log().join("\n");
        log.contains("there is no replicated log here; facts are kept where masters elect").then_some(())
    });
    agents[1].kill();
    masters[index].kill();
    let state = wait_for("the next leader with an agent", || {
        leaders(&ports, "/master/state").filter(|state| ids(&state["slaves"]).len() == 1)
    });
    let mut all = [ids(&state["slaves"]), ids(&state["recovered_slaves"])].concat();
    all.sort();
    assert_eq!(all, known, "one is back, the other waited for, by the ids they had");
    masters[1 - index].kill();

    // Nobody leads: what they left is dumped, moved to this machine, and there again.
    let text = |finished: crate::support::Finished| {
        assert_eq!(finished.status, Some(0), "{}", finished.err);
        finished.out
    };
    let dump = text(mesos(&["registry", "dump", &ensemble.url()]));
    let shown: Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(shown["slaves"]["slaves"].as_array().unwrap().len(), 2);
    let local = dir.path().join("moved").display().to_string();
    assert!(text(mesos(&["registry", "migrate", &ensemble.url(), &local])).contains("2 admitted"));
    assert_eq!(text(mesos(&["registry", "dump", &local])), dump);
    let refused = mesos(&["registry", "migrate", &local, &ensemble.url()]);
    assert!(refused.err.contains("is not empty") && refused.err.contains(kind), "{}", refused.err);
}

#[test]
fn agents_outlive_their_leader_in_zookeeper() {
    if let Some(ensemble) = Ensemble::zookeeper("registry", 1) {
        agents_outlive_their_leader(&ensemble, "zk://");
    }
}

#[test]
fn agents_outlive_their_leader_in_etcd() {
    if let Some(ensemble) = Ensemble::etcd("registry", 1) {
        agents_outlive_their_leader(&ensemble, "etcd://");
    }
}

/// One that was given up may get to etcd long after later ones, and must not undo them.
#[test]
fn every_write_to_etcd_moves_the_fence_that_writes_are_checked_against() {
    let Some(etcd) = Ensemble::etcd("fence", 1) else { return };
    let runtime = runtime();
    let mut store = open(&etcd.url(), runtime.handle()).unwrap();
    store.load().unwrap();
    let fence = "/mesos/registry/fence";
    let moved = || {
        let found: Value = serde_json::from_str(&etcd.etcdctl(&["get", fence, "-w", "json"])).unwrap();
        found["kvs"][0]["mod_revision"].as_i64().unwrap()
    };
    let mut last = moved();
    for size in 1..4 {
        store.write(&[put(1, size)]).unwrap();
        assert!(moved() > last, "{last}");
        last = moved();
    }
    // One of its own that it was not told of has got there meanwhile.
    let turn = etcd.etcdctl(&["get", "--print-value-only", fence]);
    etcd.etcdctl(&["put", fence, turn.trim()]);
    store.write(&[put(1, 4)]).unwrap();
    assert_eq!(
        contents(store.peek().unwrap()),
        contents(vec![("agents/m-S1".to_owned(), vec![1; 4].into())])
    );
    // One of another's.
    etcd.etcdctl(&["put", fence, "another"]);
    assert!(matches!(store.write(&[put(1, 5)]), Err(Error::Deposed { .. })));
}
