//! Leaders that die, pause and leave.

use std::time::Duration;

use serde_json::json;

use super::{Masters, beside_ours, ends, offers, signal, timed};
use crate::support::proxy::Proxy;
use crate::support::raw::{self, exchange};
use crate::support::scheduler::{Scheduler, framework, with};
use crate::support::wait_for;

/// A framework that outlives its masters, and wants offers again at once.
fn lasting(name: &str) -> serde_json::Value {
    with(framework(name), json!({"failover_timeout": 600.0}))
}

#[test]
fn when_the_leader_is_killed_another_leads_and_agents_and_frameworks_follow() {
    beside_ours("failover", 1, |ensemble| {
        let mut masters = Masters::start(&ensemble, 3, &[]);
        let first = masters.leader();
        let _agent = masters.agent();
        masters.wait_for_agent(first);
        let mut scheduler = Scheduler::subscribe(masters.port(first), lasting("follows"));
        scheduler.next("OFFERS");
        let id = scheduler.framework_id.clone();

        masters.process(first).kill();
        let (second, time) = timed("the next leader", || Some(masters.leader_but(&[first])));
        eprintln!("{}: another leads after {time:?}", ensemble.url());
        // The session's two seconds, the granularity of who ends it, and a busy machine.
        assert!(time < Duration::from_secs(10), "{time:?}");
        masters.wait_for_agent(second);
        let info = with(lasting("follows"), json!({"id": {"value": id}}));
        let mut scheduler = Scheduler::subscribe(masters.port(second), info);
        scheduler.next("OFFERS");
        assert_eq!(scheduler.framework_id, id);
    });
}

#[test]
fn a_leader_paused_past_its_session_hands_out_nothing_when_it_wakes_up() {
    beside_ours("pause", 1, |ensemble| {
        let mut masters = Masters::start(&ensemble, 2, &[]);
        let first = masters.leader();
        let _agent = masters.agent();
        masters.wait_for_agent(first);
        let mut old = Scheduler::subscribe(masters.port(first), lasting("old"));
        // Declined for a moment: it would be offered again right after the pause.
        let offer = old.next("OFFERS")["offers"]["offers"][0]["id"].clone();
        let declined = json!({"offer_ids": [offer], "filters": {"refuse_seconds": 0.3}});
        old.call(json!({"type": "DECLINE", "decline": declined}));
        signal(&masters.masters[first].process, libc::SIGSTOP);
        let second = masters.leader_but(&[first]);
        masters.wait_for_agent(second);
        let mut new = Scheduler::subscribe(masters.port(second), lasting("new"));
        new.next("OFFERS");

        let before = offers(&old);
        signal(&masters.masters[first].process, libc::SIGCONT);
        assert_eq!(ends(masters.process(first)), Some(1));
        old.ends();
        assert_eq!(offers(&old), before, "the deposed leader made offers");
        assert_eq!(masters.leader_but(&[first]), second);
        let log = masters.masters[first].process.log().join("\n");
        assert!(log.contains("this master leads no longer"), "{log}");
    });
}

#[test]
fn a_leader_that_is_told_to_end_leaves_its_seat_at_once() {
    beside_ours("leave", 1, |ensemble| {
        // Long enough to tell a withdrawal from a session that ran out.
        let mut masters = Masters::start(&ensemble, 2, &["--zk_session_timeout=5secs"]);
        let first = masters.leader();
        assert_eq!(masters.process(first).terminate(), Some(0));
        let (_, time) = timed("the next leader", || Some(masters.leader_but(&[first])));
        assert!(time < Duration::from_secs(3), "{time:?}");
    });
}

#[test]
fn a_master_that_comes_back_stands_behind_the_others() {
    beside_ours("comes back", 1, |ensemble| {
        let mut masters = Masters::start(&ensemble, 2, &[]);
        let first = masters.leader();
        masters.process(first).kill();
        let second = masters.leader_but(&[first]);
        let third = masters.add(&[]);
        wait_for("the leader's name", || {
            (exchange(third, &raw::get("/master/redirect")).status() == 307).then_some(())
        });
        assert_eq!(masters.leader_but(&[first]), second);
        let leader = masters.process(second);
        assert!(leader.running());
    });
}

#[test]
fn a_leader_cut_off_from_the_ensemble_ends_before_another_leads() {
    beside_ours("cut off", 1, |ensemble| {
        let proxy = Proxy::to(ensemble.port(0));
        let mut masters = Masters::start(&ensemble, 0, &[]);
        let direct = std::mem::replace(&mut masters.url, ensemble.url_through(proxy.port));
        masters.add(&[]);
        masters.url = direct;
        let first = masters.leader();
        masters.add(&[]);
        let _agent = masters.agent();
        masters.wait_for_agent(first);
        let mut scheduler = Scheduler::subscribe(masters.port(first), lasting("cut off"));
        scheduler.next("OFFERS");
        proxy.cut();
        // The agent and the framework still reach it; `leading` sees to it that never two lead.
        let (_, time) = timed("its end", || {
            masters.leading(&[]);
            (!masters.process(first).running()).then_some(())
        });
        assert!(time < Duration::from_secs(4), "{time:?}");
        assert_eq!(ends(masters.process(first)), Some(1));
        let second = masters.leader_but(&[first]);
        masters.wait_for_agent(second);
        proxy.mend();
        assert_eq!(masters.leader_but(&[first]), second);
    });
}
