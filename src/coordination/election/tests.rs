//! One case per decision, on a clock counted by hand.

use super::*;
use crate::coordination::member::written;

const TIMEOUT: Duration = Duration::from_secs(10);

fn at(secs: u64) -> Time {
    Time::ZERO + Duration::from_secs(secs)
}

fn node(number: u64) -> Member {
    Member { number, name: format!("json.info_{number:010}") }
}

fn info(id: &str) -> MasterInfo {
    MasterInfo { id: id.to_owned(), ip: 1, port: 5050, ..MasterInfo::default() }
}

fn data(id: &str) -> Option<Vec<u8>> {
    Some(written(&info(id)))
}

fn leader(id: &str) -> Effect {
    Effect::Leader(Some(Box::new(info(id))))
}

struct Play(Election);

impl Play {
    fn opened(candidate: bool) -> Play {
        let mut play = Play(Election::new(candidate));
        let out = play.event(0, Event::Opened { asked: at(0), timeout: TIMEOUT });
        assert_eq!(out, if candidate { vec![Effect::Join] } else { vec![] });
        play
    }

    /// A candidate whose node has this number, alone but for `others`.
    fn joined(number: u64, others: &[u64]) -> Play {
        let mut play = Play::opened(true);
        assert_eq!(play.event(0, Event::Joined(node(number))), []);
        let all = others.iter().chain([&number]);
        play.event(0, Event::Members(all.map(|number| node(*number)).collect()));
        play
    }

    fn event(&mut self, secs: u64, event: Event) -> Vec<Effect> {
        self.0.handle(at(secs), event)
    }
}

#[test]
fn the_lowest_number_leads() {
    let mut play = Play::opened(true);
    assert_eq!(play.event(1, Event::Joined(node(7))), []);
    let elected = [Effect::Hold(at(10)), Effect::Elected(node(7))];
    assert_eq!(play.event(1, Event::Members(vec![node(9), node(7)])), elected);
    assert_eq!(play.event(2, Event::Members(vec![node(7), node(9), node(11)])), []);
}

#[test]
fn the_node_may_be_listed_before_it_is_known_to_be_ours() {
    let mut play = Play::opened(true);
    assert_eq!(play.event(1, Event::Members(vec![node(7)])), [Effect::Read(node(7))]);
    assert_eq!(play.event(1, Event::Joined(node(7))), [Effect::Hold(at(10)), Effect::Elected(node(7))]);
    assert_eq!(play.event(1, Event::Data(node(7), data("me"))), []);
}

#[test]
fn who_is_behind_follows_and_then_leads() {
    let mut play = Play::joined(7, &[3, 5]);
    assert_eq!(play.event(1, Event::Data(node(3), data("three"))), [leader("three")]);
    assert_eq!(play.event(2, Event::Members(vec![node(5), node(7)])), [Effect::Read(node(5))]);
    // An answer that comes late.
    assert_eq!(play.event(2, Event::Data(node(3), data("three"))), []);
    assert_eq!(play.event(3, Event::Data(node(5), None)), [Effect::Leader(None)]);
    assert_eq!(
        play.event(4, Event::Members(vec![node(7)])),
        [Effect::Hold(at(10)), Effect::Elected(node(7))]
    );
}

#[test]
fn a_leader_holds_as_long_as_it_is_answered() {
    let mut play = Play::joined(7, &[]);
    assert_eq!(play.0.deadline(), Some(at(10)));
    assert_eq!(play.event(6, Event::Heard { asked: at(5) }), [Effect::Hold(at(15))]);
    // An older answer takes nothing back.
    assert_eq!(play.event(7, Event::Heard { asked: at(4) }), []);
    assert_eq!(play.event(14, Event::Woken), []);
    let lost = play.event(15, Event::Woken);
    assert!(matches!(&lost[..], [Effect::Lost(why)] if why.contains("in time")), "{lost:?}");
    assert_eq!(play.event(16, Event::Heard { asked: at(16) }), []);
    assert_eq!(play.0.deadline(), None);
}

#[test]
fn a_paused_leader_loses_whatever_it_hears_first() {
    for first in [
        Event::Heard { asked: at(9) },
        Event::Heard { asked: at(100) },
        Event::Members(vec![node(7)]),
        Event::Closed("expired".to_owned()),
        Event::Woken,
    ] {
        let mut play = Play::joined(7, &[]);
        let out = play.event(100, first.clone());
        assert!(matches!(&out[..], [Effect::Lost(_)]), "{first:?}: {out:?}");
    }
}

#[test]
fn a_leader_ends_with_its_session_and_with_its_node() {
    let lost = |event: Event| match &Play::joined(7, &[9]).event(1, event)[..] {
        [Effect::Lost(why)] => why.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(lost(Event::Closed("the session expired".to_owned())), "the session expired");
    assert_eq!(lost(Event::Members(vec![node(9)])), "its node was removed");
    assert_eq!(lost(Event::Members(vec![node(1), node(7)])), "another master stands before it");
}

#[test]
fn a_follower_begins_anew_after_its_session() {
    let mut play = Play::joined(7, &[3]);
    play.event(1, Event::Data(node(3), data("three")));
    assert_eq!(play.event(2, Event::Closed("expired".to_owned())), [Effect::Leader(None), Effect::Reopen]);
    assert_eq!(play.event(3, Event::Opened { asked: at(3), timeout: TIMEOUT }), [Effect::Join]);
    assert_eq!(play.event(3, Event::Joined(node(9))), []);
    assert_eq!(play.event(3, Event::Members(vec![node(9), node(3)])), [Effect::Read(node(3))]);
    // A node that somebody removed is made again.
    assert_eq!(play.event(4, Event::Members(vec![node(3)])), [Effect::Join]);
}

#[test]
fn a_follower_that_heard_nothing_is_not_elected_until_it_does() {
    let mut play = Play::joined(7, &[3]);
    play.event(1, Event::Data(node(3), data("three")));
    assert_eq!(play.event(10, Event::Woken), [Effect::Leader(None)]);
    assert_eq!(play.event(11, Event::Members(vec![node(7)])), []);
    // Asked before it was paused: it proves nothing.
    assert_eq!(play.event(12, Event::Heard { asked: at(2) }), []);
    assert_eq!(
        play.event(13, Event::Heard { asked: at(12) }),
        [Effect::Hold(at(22)), Effect::Elected(node(7))]
    );
}

#[test]
fn one_who_looks_on_forgets_the_leader_a_session_after_the_connection_broke() {
    let mut play = Play::opened(false);
    assert_eq!(play.event(1, Event::Members(vec![])), []);
    assert_eq!(play.event(1, Event::Members(vec![node(3)])), [Effect::Read(node(3))]);
    assert_eq!(play.event(1, Event::Data(node(3), data("three"))), [leader("three")]);
    assert_eq!(play.0.deadline(), None);
    assert_eq!(play.event(20, Event::Disconnected), []);
    assert_eq!(play.event(25, Event::Disconnected), []);
    assert_eq!(play.0.deadline(), Some(at(30)));
    assert_eq!(play.event(29, Event::Connected), []);
    assert_eq!(play.event(40, Event::Disconnected), []);
    assert_eq!(play.event(50, Event::Woken), [Effect::Leader(None)]);
    assert_eq!(play.event(60, Event::Connected), [Effect::Read(node(3))]);
    assert_eq!(play.event(60, Event::Data(node(3), data("three"))), [leader("three")]);
    assert_eq!(play.event(61, Event::Members(vec![])), [Effect::Leader(None)]);
}

#[test]
fn a_node_that_cannot_be_read_is_nobody() {
    let mut play = Play::opened(false);
    play.event(1, Event::Members(vec![node(3)]));
    assert_eq!(play.event(1, Event::Data(node(3), Some(b"{}".to_vec()))), []);
    assert_eq!(play.event(2, Event::Members(vec![node(3), node(4)])), []);
    assert_eq!(play.event(2, Event::Members(vec![node(4)])), [Effect::Read(node(4))]);
}

#[test]
fn a_refusal_is_the_end() {
    let mut play = Play::opened(true);
    let why = "not authorized".to_owned();
    assert_eq!(play.event(1, Event::Refused(why.clone())), [Effect::Failed(why)]);
    assert_eq!(play.event(2, Event::Members(vec![node(1)])), []);
}
