//! What a master leaves where it stands: the nodes that Apache Mesos' clients read.

use super::{Masters, SESSION};
use crate::support::ensembles::Ensemble;
use mesos::base::duration;
use mesos::coordination::url::Url;
use mesos::coordination::{Report, detect, detect_once, zookeeper};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn nodes_are_as_apache_mesos_makes_them() {
    let Some(ensemble) = Ensemble::zookeeper("nodes", 1) else { return };
    let masters = Masters::start(&ensemble, 2, &[]);
    let leader = masters.leader();
    runtime().block_on(async {
        let Ok(Url::ZooKeeper(place)) = Url::parse(&masters.url) else { panic!("an ensemble") };
        let client = zookeeper::connect(&place, duration::parse(SESSION).unwrap()).await.unwrap();
        let mut names = loop {
            let names = client.list_children("/mesos").await.unwrap();
            if names.len() == 2 {
                break names;
            }
        };
        names.sort();
        assert_eq!(names, ["json.info_0000000000", "json.info_0000000001"]);
        let (data, stat) = client.get_data(&format!("/mesos/{}", names[0])).await.unwrap();
        assert_ne!(stat.ephemeral_owner, 0);
        let info: serde_json::Value = serde_json::from_slice(&data).unwrap();
        let port = masters.port(leader);
        assert_eq!(
            (&info["port"], &info["ip"], &info["hostname"]),
            (&port.into(), &16_777_343.into(), &"localhost".into())
        );
        assert_eq!(info["pid"], format!("master@127.0.0.1:{port}"));
        assert_eq!((&info["address"]["ip"], &info["address"]["port"]), (&"127.0.0.1".into(), &port.into()));
        assert!(info["id"].is_string() && info["version"].is_string());
    });
}

#[test]
fn leaders_of_every_age_are_found() {
    use prost::Message as _;
    use zookeeper_client::{Acls, CreateMode};
    let Some(ensemble) = Ensemble::zookeeper("ages", 1) else { return };
    runtime().block_on(async {
        let url = Url::parse(&ensemble.url()).unwrap();
        let Url::ZooKeeper(place) = &url else { panic!("an ensemble") };
        let session = duration::parse(SESSION).unwrap();
        let client = zookeeper::connect(place, session).await.unwrap();
        zookeeper::make_path(&client, place, "/mesos").await.unwrap();
        let info = mesos::proto::MasterInfo {
            id: "old".to_owned(),
            ip: 16_777_343,
            port: 5050,
            pid: Some("master@127.0.0.1:5050".to_owned()),
            ..Default::default()
        };
        let mut reports = detect(&url, session);
        let mut told = async || match reports.recv().await {
            Some(Report::Leader(leader)) => leader.map(|leader| leader.pid.unwrap_or_default()),
            _ => panic!("a leader or none"),
        };
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        // What is no master's node is passed over.
        let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.create("/mesos/log_replicas", b"", &plain).await.unwrap();
        for (prefix, data) in
            [("/mesos/info_", info.encode_to_vec()), ("/mesos/", b"master@127.0.0.1:5050".to_vec())]
        {
            let (_, number) = client.create(prefix, &data, &options).await.unwrap();
            assert_eq!(told().await.as_deref(), Some("master@127.0.0.1:5050"), "{prefix}");
            let once = detect_once(&url, session).await.unwrap();
            assert_eq!(once.port, 5050);
            client.delete(&format!("{prefix}{number}"), None).await.unwrap();
            assert_eq!(told().await, None, "{prefix}");
        }
    });
}
