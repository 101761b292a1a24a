//! Schedulers come and go, and others take their place.

use std::net::TcpStream;

use mesos::proto::task_status::Reason;
use mesos::proto::{self, TaskState};

use super::driver::{ABORTED, Called, Driver, STOPPED, Whose, use_driver};
use super::{again, framework, play, registered, wait_until, wait_until_acknowledged, wait_until_removed};
use crate::peer;
use crate::support::{Cluster, Process, wait_for};

#[test]
fn a_stopped_driver_is_followed_by_another() {
    play("a_stopped_driver_is_followed_by_another", &[], |cluster| {
        let (mut first, id) = registered(cluster, "relay");
        first.run("baton", "sleep 1000");
        wait_until_acknowledged(cluster, 2);
        assert_eq!(first.say("stop", &["failover".into()]), STOPPED);
        drop(first);
        wait_until(cluster, &id, |framework| framework["connected"] == false);

        let mut second = Driver::start(cluster.port, &again("relay", &id), "implicit");
        assert_eq!(second.registered(), id);
        second.reconcile(&[]);
        second.reconciled("baton", TaskState::TaskRunning);
        second.run("another", "sleep 1000");
        second.kill("baton");
        second.status("baton", TaskState::TaskKilled);
        second.stop();
        let removed = wait_until_removed(cluster, &id);
        let tasks = removed["completed_tasks"].as_array().expect("tasks");
        assert!(tasks.iter().all(|task| task["state"] == "TASK_KILLED"), "{tasks:?}");

        let mut third = Driver::start(cluster.port, &again("relay", &id), "implicit");
        assert_eq!(third.error(), "Framework has been removed");
        assert_eq!(third.say("join", &[]), ABORTED);
    });
}

#[test]
fn a_second_driver_ousts_the_first() {
    play("a_second_driver_ousts_the_first", &[], |cluster| {
        let (mut first, id) = registered(cluster, "contended");
        first.run("prize", "sleep 1000");
        wait_until_acknowledged(cluster, 2);
        let mut second = Driver::start(cluster.port, &again("contended", &id), "implicit");
        assert_eq!(second.registered(), id);
        assert_eq!(first.error(), "Framework failed over");
        assert_eq!(first.say("join", &[]), ABORTED);
        // Its end is not the framework's, nor does its farewell count.
        first.say("stop", &["finally".into()]);
        drop(first);
        second.reconcile(&[]);
        second.reconciled("prize", TaskState::TaskRunning);
        second.stop();
        wait_until_removed(cluster, &id);
    });
}

/// Its own cluster serves it, and ends with it, though it is killed.
#[test]
fn a_driver_without_a_master_has_a_cluster_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut driver = Driver::start_alone(dir.path(), &framework("alone"));
    let port = match driver.next_news() {
        Called::Registered(_, master) => u16::try_from(master.port).expect("a port"),
        other => panic!("{other:?} instead of a registration"),
    };
    driver.run("task", "exit 0");
    driver.status("task", TaskState::TaskFinished);
    drop(driver);
    wait_for("the cluster's end", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
}

#[test]
fn an_aborted_driver_leaves_its_tasks() {
    play("an_aborted_driver_leaves_its_tasks", &[], |cluster| {
        let (mut driver, id) = registered(cluster, "aborts");
        driver.run("stays", "sleep 1000");
        wait_until_acknowledged(cluster, 2);
        assert_eq!(driver.say("abort", &[]), ABORTED);
        assert_eq!(driver.say("join", &[]), ABORTED);
        wait_until(cluster, &id, |framework| framework["active"] == false);
        let mut second = Driver::start(cluster.port, &again("aborts", &id), "implicit");
        assert_eq!(second.registered(), id);
        second.reconcile(&[]);
        second.reconciled("stays", TaskState::TaskRunning);
        second.stop();
    });
}

#[test]
fn a_driver_that_dies_has_its_failover_timeout() {
    play("a_driver_that_dies_has_its_failover_timeout", &[], |cluster| {
        let brief = proto::FrameworkInfo { failover_timeout: Some(0.5), ..framework("brief") };
        let mut driver = Driver::start(cluster.port, &brief, "implicit");
        let id = driver.registered();
        driver.run("goes", "sleep 1000");
        drop(driver);
        let removed = wait_until_removed(cluster, &id);
        assert_eq!(removed["completed_tasks"][0]["state"], "TASK_KILLED");
    });
}

/// What a framework is told that may not be, word for word.
#[test]
fn frameworks_that_may_not_be() {
    let flags = [("roles", "known"), ("root_submissions", "false")];
    play("frameworks_that_may_not_be", &flags, |cluster| {
        let plain = proto::FrameworkInfo { user: "somebody".into(), ..framework("refused") };
        #[expect(deprecated, reason = "drivers of v0 have one role")]
        let in_role = |role: &str| proto::FrameworkInfo { role: Some(role.into()), ..plain.clone() };
        let refusals = [
            in_role("other"),
            in_role("a/b c"),
            proto::FrameworkInfo { user: "root".into(), ..plain.clone() },
            proto::FrameworkInfo { failover_timeout: Some(f64::INFINITY), ..plain.clone() },
            proto::FrameworkInfo { roles: vec!["known".into()], ..plain.clone() },
        ];
        let words = refusals.map(|info| {
            let mut driver = Driver::start(cluster.port, &info, "implicit");
            let why = driver.error();
            assert_eq!(driver.say("join", &[]), ABORTED);
            why
        });
        let expected = [
            "Roles { other } are not present in the master's --roles",
            "'FrameworkInfo.role' is not a valid role: Role component 'b c' is invalid because it contains \
             backspace or whitespace",
            "User 'root' is not allowed to run frameworks without --root_submissions set",
            "The framework failover_timeout (inf) is invalid",
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
        ];
        assert_eq!(words, expected);
    });
}

fn again_at(port: u16) -> Process {
    Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={port}"),
        "--allocation_interval=200ms".to_owned(),
    ])
}

/// Apache Mesos' driver looks for no leader when it was given an address: it hears nothing of a master that dies. What it ran is
/// there for the next one, at the new master.
#[test]
fn a_new_master_at_the_old_address() {
    if !peer::available("a_new_master_at_the_old_address") {
        return;
    }
    let mut cluster = Cluster::start(1);
    let (mut driver, id) = registered(&cluster, "survives");
    driver.run("kept", "sleep 1000");
    cluster.master.kill();
    cluster.master = again_at(cluster.port);
    wait_until(&cluster, &id, |framework| framework["tasks"][0]["id"] == "kept");
    // A stranger to this master, as far as it can know.
    driver.reconcile(&[]);
    let mut next = Driver::start(cluster.port, &again("survives", &id), "implicit");
    assert_eq!(next.registered(), id);
    next.reconcile(&["kept"]);
    // The first driver's acknowledgement may have died with the first master; then the update comes again, too.
    while next.next_state() != (TaskState::TaskRunning, Some(Reason::Reconciliation as i32)) {}
    let news = driver.so_far();
    assert!(news.iter().all(|called| matches!(called, Called::Offer(_))), "{news:?}");
    next.kill("kept");
    while next.next_state().0 != TaskState::TaskKilled {}
    next.stop();
    wait_until_removed(&cluster, &id);
}

/// Ours looks for the next one, and goes on with what it runs.
#[test]
fn our_driver_finds_a_new_master_at_the_old_address() {
    use_driver(Whose::Ours);
    let mut cluster = Cluster::start(1);
    let (mut driver, id) = registered(&cluster, "finds");
    driver.run("kept", "sleep 1000");
    wait_until_acknowledged(&cluster, 2);
    cluster.master.kill();
    assert!(matches!(driver.next_news(), Called::Disconnected));
    cluster.master = again_at(cluster.port);
    loop {
        match driver.next() {
            Called::Registered(again, _) => break assert_eq!(again, id),
            Called::Reregistered => break,
            Called::Offer(_) => {}
            other => panic!("{other:?}"),
        }
    }
    wait_until(&cluster, &id, |framework| framework["tasks"][0]["id"] == "kept");
    driver.kill("kept");
    while driver.next_state().0 != TaskState::TaskKilled {}
    driver.stop();
    wait_until_removed(&cluster, &id);
}

/// A master that knows no credentials refuses whoever shows one.
#[test]
fn a_credential_is_refused() {
    play("a_credential_is_refused", &[], |cluster| {
        let credential = proto::Credential { principal: "somebody".into(), secret: Some("secret".into()) };
        let info = framework("known by name");
        let mut driver = Driver::start_with(cluster.port, &info, "implicit", Some(&credential));
        assert_eq!(driver.error(), "Master refused authentication");
        assert_eq!(driver.say("join", &[]), ABORTED);
    });
}

/// Our driver proves a credential to the real master, and is refused with another secret. (Ours knows none yet.)
#[test]
fn our_driver_proves_its_credential() {
    if !peer::available("our_driver_proves_its_credential") {
        return;
    }
    use_driver(Whose::Ours);
    let credentials = tempfile::NamedTempFile::new().unwrap();
    let known = r#"{"credentials": [{"principal": "known", "secret": "the secret"}]}"#;
    std::fs::write(credentials.path(), known).unwrap();
    let flags = [
        ("MESOS_CREDENTIALS", credentials.path().to_str().unwrap()),
        ("MESOS_AUTHENTICATE_FRAMEWORKS", "true"),
    ];
    let cluster = peer::cluster(0, &flags, &[]);
    let info = proto::FrameworkInfo { principal: Some("known".into()), ..framework("known by name") };
    let shows = |secret: &str| {
        let credential = proto::Credential { principal: "known".into(), secret: Some(secret.into()) };
        Driver::start_with(cluster.port, &info, "implicit", Some(&credential))
    };
    let mut driver = shows("the secret");
    let id = driver.registered();
    driver.stop();
    wait_until_removed(&cluster, &id);
    assert_eq!(shows("a guess").error(), "Master refused authentication");
    let mut nameless = Driver::start(cluster.port, &info, "implicit");
    let why = nameless.error();
    assert!(why.contains("not authenticated"), "{why}");
}
