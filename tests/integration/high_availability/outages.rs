//! Servers of the ensemble that die, and ensembles that refuse.

use super::{Masters, SESSION, beside, beside_ours, ends, master};
use crate::support::ensembles::Ensemble;
use crate::support::raw::{self, exchange};
use crate::support::{finished, free_port, get, wait_for};

#[test]
fn one_server_of_three_may_die() {
    beside_ours("one server of three", 3, |mut ensemble| {
        let mut masters = Masters::start(&ensemble, 2, &["--zk_session_timeout=5secs"]);
        let first = masters.leader();
        let _agent = masters.agent();
        masters.wait_for_agent(first);
        // The one whose death costs most.
        let gone = ensemble.leader();
        ensemble.kill(gone);
        ensemble.wait();
        let next = ensemble.leader();
        assert_ne!(next, gone);
        // A change that everybody has to hear of.
        assert_eq!(masters.leader(), first);
        assert_eq!(masters.process(first).terminate(), Some(0));
        let second = masters.leader_but(&[first]);
        masters.wait_for_agent(second);
        // And what joins now finds its way past the dead server.
        let third = masters.add(&[]);
        wait_for("the leader's name", || {
            (exchange(third, &raw::get("/master/redirect")).status() == 307).then_some(())
        });
    });
}

/// Two servers of three stop taking part, and later take part again.
fn most_servers_fail(
    name: &str,
    fail: impl Fn(&mut Ensemble, [usize; 2]),
    back: impl Fn(&mut Ensemble, [usize; 2]),
) {
    beside(name, 3, |mut ensemble| {
        let mut masters = Masters::start(&ensemble, 2, &[]);
        let first = masters.leader();
        let _agent = masters.agent();
        masters.wait_for_agent(first);
        let leader = ensemble.leader();
        let most = [leader, (leader + 1) % ensemble.count()];
        fail(&mut ensemble, most);
        assert_eq!(ends(masters.process(first)), Some(1));
        let second = 1 - first;
        wait_for("a standby that knows no leader", || {
            (exchange(masters.port(second), &raw::get("/master/state")).status() == 503).then_some(())
        });
        assert_eq!(masters.elected(second), Some(false));
        back(&mut ensemble, most);
        assert_eq!(masters.leader_but(&[first]), second);
        masters.wait_for_agent(second);
    });
}

#[test]
fn without_a_quorum_the_leader_ends_and_with_one_another_leads() {
    let restart = |ensemble: &mut Ensemble, most: [usize; 2]| {
        most.into_iter().for_each(|server| ensemble.restart(server));
        ensemble.wait();
    };
    most_servers_fail(
        "quorum",
        |ensemble, most| most.into_iter().for_each(|one| ensemble.kill(one)),
        restart,
    );
}

/// They keep their connections: nobody is told of anything.
#[test]
fn when_most_servers_are_stopped_the_leader_ends_and_nobody_leads_until_they_go_on() {
    let pause =
        |ensemble: &mut Ensemble, most: [usize; 2]| most.into_iter().for_each(|one| ensemble.pause(one));
    let resume =
        |ensemble: &mut Ensemble, most: [usize; 2]| most.into_iter().for_each(|one| ensemble.resume(one));
    most_servers_fail("stopped quorum", pause, resume);
}

#[test]
fn a_path_that_is_not_there_is_made_and_waited_for() {
    beside_ours("path", 1, |ensemble| {
        let mut masters = Masters::start(&ensemble, 0, &[]);
        masters.url = masters.url.replace("/mesos", "/deep/below/mesos");
        let _agent = masters.agent();
        masters.add(&[]);
        masters.wait_for_agent(masters.leader());
    });
}

#[test]
fn wrong_credentials_end_a_master_with_a_word_that_does_not_show_them() {
    let zookeeper = Ensemble::zookeeper("credentials", 1);
    let etcd = Ensemble::etcd("credentials", 1).inspect(|etcd| {
        etcd.etcdctl(&["user", "add", "root:top-secret"]);
        etcd.etcdctl(&["user", "grant-role", "root", "root"]);
        etcd.etcdctl(&["auth", "enable"]);
    });
    for ensemble in [zookeeper, etcd].into_iter().flatten() {
        let port = free_port();
        let right = ensemble.url_as("root", "top-secret");
        let _first = master(port, &right, &[]);
        wait_for("the leader", || get(port, "/master/state").ok());
        let shown = get(port, "/flags").expect("flags");
        assert!(shown.contains("/mesos") && !shown.contains("top-secret"), "{shown}");

        let mut second = master(free_port(), &ensemble.url_as("root", "other-secret"), &[]);
        assert_eq!(ends(&mut second), Some(1));
        let log = wait_for("its last word", || {
            let log = second.log().join("\n");
            log.contains("does not let us in").then_some(log).or_else(|| {
                second
                    .log()
                    .iter()
                    .any(|line| line.contains("not authorized"))
                    .then(|| second.log().join("\n"))
            })
        });
        assert!(!log.contains("other-secret"), "{log}");
    }
}

#[test]
fn compaction_and_a_lost_lease_of_etcd() {
    let Some(etcd) = Ensemble::etcd("compaction", 1) else { return };
    let mut masters = Masters::start(&etcd, 2, &[]);
    let first = masters.leader();
    let _agent = masters.agent();
    masters.wait_for_agent(first);
    // History that watches began in is thrown away.
    for number in 0..20 {
        etcd.etcdctl(&["put", "/other", &number.to_string()]);
    }
    let status: serde_json::Value =
        serde_json::from_str(&etcd.etcdctl(&["endpoint", "status", "-w", "json"])).expect("json");
    let revision = status[0]["Status"]["header"]["revision"].as_i64().expect("a revision");
    etcd.etcdctl(&["compact", &revision.to_string()]);
    assert_eq!(masters.leader(), first);
    // The leader's lease is taken from it.
    let leases = etcd.etcdctl(&["get", "--prefix", "/mesos/", "-w", "json"]);
    let keys: serde_json::Value = serde_json::from_str(&leases).expect("json");
    let keys = keys["kvs"].as_array().expect("keys");
    let oldest = keys.iter().min_by_key(|key| key["create_revision"].as_i64()).expect("a key");
    let lease = format!("{:x}", oldest["lease"].as_i64().expect("a lease"));
    etcd.etcdctl(&["lease", "revoke", &lease]);
    assert_eq!(ends(masters.process(first)), Some(1));
    masters.wait_for_agent(masters.leader_but(&[first]));
}

#[test]
fn ctl_says_in_time_that_an_ensemble_is_dead() {
    for scheme in ["zk", "etcd"] {
        let port = free_port();
        let begun = std::time::Instant::now();
        let mut command = crate::support::binary();
        command.args(["ctl", &format!("--master={scheme}://u:secret@127.0.0.1:{port}/mesos"), "state"]);
        let done = finished(command);
        assert_eq!(done.status, Some(3), "{done:?}");
        assert!(begun.elapsed().as_secs_f64() < 3.0, "{:?}", begun.elapsed());
        assert!(done.err.contains("No leading master") && !done.err.contains("secret"), "{}", done.err);
    }
    // A session's length is no part of what a leader is asked.
    assert!(!SESSION.is_empty());
}

#[test]
fn etcd_may_talk_tls() {
    let Some(etcd) = Ensemble::etcd_with_tls("TLS") else { return };
    let masters = Masters::start(&etcd, 1, &[]);
    let port = masters.port(masters.leader());
    let shown = get(port, "/flags").expect("flags");
    assert!(shown.contains("etcds://"), "{shown}");
    let done = crate::support::mesos(&["ctl", &format!("--master={}", etcd.url()), "state"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    // Who does not know the authority, or shows no certificate, is not let in.
    for part in ["", "ca"] {
        let all = etcd.url();
        let (place, options) = all.split_once('?').expect("options");
        let kept: Vec<&str> =
            options.split('&').filter(|option| option.split('=').next() == Some(part)).collect();
        let done = crate::support::mesos(&["ctl", &format!("--master={place}?{}", kept.join("&")), "state"]);
        assert_eq!(done.status, Some(3), "{done:?}");
    }
    let done = crate::support::mesos(&["ctl", "--master=etcds://127.0.0.1:1/mesos?ca=/no/such", "state"]);
    assert!(done.err.contains("reading /no/such"), "{done:?}");
}
