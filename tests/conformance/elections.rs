//! Leaders found through ZooKeeper: ours by pymesos, kazoo and libmesos (`libmesos/elections.rs`), a real Apache Mesos
//! master by our agent and ctl.

use std::process::Command;

use mesos::base::duration;
use mesos::coordination::url::Url;
use mesos::coordination::zookeeper;
use serde_json::Value;
use zookeeper_client::{Acls, CreateMode};

use crate::support::ensembles::Ensemble;
use crate::support::raw::{exchange, post};
use crate::support::{Cluster, Process, finished, free_port, get, wait_for};
use crate::{peer, pymesos};

pub const ZK_SESSION: &str = "2secs";

/// A master with one agent, and one that stands behind it.
pub struct Pair {
    pub cluster: Cluster,
    pub standby: u16,
    _standby: Process,
}

impl Pair {
    pub fn start(ensemble: &Ensemble, session: &str) -> Pair {
        let (zk, master) = (format!("--zk={}", ensemble.url()), format!("--master={}", ensemble.url()));
        let session = format!("--zk_session_timeout={session}");
        let flags = [zk.as_str(), session.as_str(), "--registry=in_memory"];
        let cluster = Cluster::start_with(1, &flags, &[&master]);
        let standby = free_port();
        let mut args =
            vec!["master", "--ip=127.0.0.1", "--hostname=localhost", "--allocation_interval=200ms"];
        let port = format!("--port={standby}");
        args.push(&port);
        args.extend(flags);
        let process = Process::start(&args);
        wait_for("a second master", || get(standby, "/health").ok());
        wait_for("a standby", || {
            let answer = exchange(standby, &crate::support::raw::get("/master/redirect"));
            (answer.status() == 307).then_some(())
        });
        Pair { cluster, standby, _standby: process }
    }

    /// Kills the leader and waits until the other leads, with the agent.
    pub fn fail_over(&mut self) {
        self.cluster.master.kill();
        wait_for("the agent at the next leader", || {
            let slaves: Value = serde_json::from_str(&get(self.standby, "/slaves").ok()?).ok()?;
            (slaves["slaves"].as_array()?.len() == 1).then_some(())
        });
    }
}

#[test]
fn pymesos_follows_the_leader() {
    let Some(ensemble) = Ensemble::zookeeper("pymesos through ZooKeeper", 1) else { return };
    let mut pair = Pair::start(&ensemble, ZK_SESSION);
    let mut scheduler = pymesos::start(&pair.cluster.address(), "moves", &ensemble.url());
    wait_for("a task of pymesos", || {
        assert!(scheduler.running(), "it ended too early");
        scheduler.log().iter().any(|line| line == "ready").then_some(())
    });
    pair.fail_over();
    wait_for("the end of pymesos", || (!scheduler.running()).then_some(()));
    assert_eq!(scheduler.terminate(), Some(0));
}

#[test]
fn kazoo_reads_what_a_leader_left() {
    let Some(ensemble) = Ensemble::zookeeper("kazoo", 1) else { return };
    let pair = Pair::start(&ensemble, ZK_SESSION);
    let script = r#"
import json, sys
from kazoo.client import KazooClient
zk = KazooClient(sys.argv[1], read_only=True)
zk.start(timeout=20)
names = sorted(name for name in zk.get_children("/mesos") if name.startswith("json.info_"))
infos = [json.loads(zk.get("/mesos/" + name)[0].decode("utf-8")) for name in names]
zk.stop()
print(json.dumps([infos[0]["address"]["ip"], infos[0]["address"]["port"], infos[1]["port"], infos[0]["pid"]]))
"#;
    let mut command = Command::new(pymesos::python());
    command.args(["-c", script, &ensemble.servers()]);
    let done = finished(command);
    assert_eq!(done.status, Some(0), "{done:?}");
    let found: Value = serde_json::from_str(&done.out).expect("json");
    let (leader, standby) = (pair.cluster.port, pair.standby);
    assert_eq!(
        found,
        serde_json::json!(["127.0.0.1", leader, standby, format!("master@127.0.0.1:{leader}")])
    );
}

/// The package's master stands alone, so what it says of itself is put where it would put it.
#[test]
fn our_agent_and_ctl_find_a_real_master() {
    if !peer::available("a real master through ZooKeeper") {
        return;
    }
    let Some(ensemble) = Ensemble::zookeeper("a real master through ZooKeeper", 1) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let master = peer::master(port, &dir.path().join("master"), &[]);
    wait_for("the real master", || get(port, "/health").ok());
    let info = wait_for("what it says of itself", || {
        let call = post("/api/v1", "application/json", br#"{"type":"GET_MASTER"}"#);
        let answer = exchange(port, &call);
        (answer.status() == 200).then(|| answer.answer())?.json()["get_master"]["master_info"]
            .as_object()
            .cloned()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let session = runtime.block_on(async {
        let Ok(Url::ZooKeeper(place)) = Url::parse(&ensemble.url()) else { panic!("an ensemble") };
        let client = zookeeper::connect(&place, duration::parse("4secs").unwrap()).await.unwrap();
        zookeeper::make_path(&client, &place, "/mesos").await.unwrap();
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let data = serde_json::to_vec(&info).unwrap();
        client.create("/mesos/json.info_", &data, &options).await.unwrap();
        client
    });
    let place = format!("--master={}", ensemble.url());
    let cluster = Cluster::under(master, port, dir, 1, &[&place]);
    let done = crate::support::mesos(&["ctl", &place, "-o", "json", "agents"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let agents: Value = serde_json::from_str(&done.out).expect("json");
    assert!(agents.to_string().contains(&cluster.agent_ports[0].to_string()), "{agents}");
    pymesos::play_on(&cluster, "finish");
    drop(session);
}

/// avmesos 0.4.2 and mesoshttp 0.4.2 off the package index: v1 schedulers that look for the leader in ZooKeeper, take
/// whichever master they find first, and go where that sends them.
#[test]
fn v1_schedulers_in_python_find_the_leader() {
    let Some(ensemble) = Ensemble::zookeeper("avmesos", 1) else { return };
    let pair = Pair::start(&ensemble, ZK_SESSION);
    let folder = crate::support::cache_dir("python-v1");
    let ready = folder.join("ready");
    if !ready.exists() {
        let mut command = Command::new(pymesos::python());
        command.args(["-m", "pip", "install", "-q", "--upgrade", "--target"]).arg(&folder);
        let done = finished({
            command.args(["avmesos==0.4.2", "mesoshttp==0.4.2"]);
            command
        });
        assert_eq!(done.status, Some(0), "{done:?}");
        std::fs::write(ready, "").expect("a file");
    }
    let script = r#"
import importlib, os, sys, threading
client = importlib.import_module(sys.argv[1] + ".client")
mesos = client.MesosClient(mesos_urls=["zk://" + sys.argv[2] + "/mesos"], frameworkName=sys.argv[1], frameworkUser="nobody")
def offered(offers):
    print(mesos.get_master_info()["port"])
    sys.stdout.flush()
    os._exit(0)
mesos.on(client.MesosClient.OFFERS, offered)
mesos.register()
"#;
    for library in ["avmesos", "mesoshttp"] {
        let mut command = Command::new(pymesos::python());
        command.env("PYTHONPATH", &folder).args(["-c", script, library, &ensemble.servers()]);
        let done = finished(command);
        assert_eq!(done.status, Some(0), "{library}: {done:?}");
        assert_eq!(done.out.trim(), pair.cluster.port.to_string(), "{library}: {}", done.err);
    }
}
