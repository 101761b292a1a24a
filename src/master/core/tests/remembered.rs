//! What a new leader makes of the agents that its registry names, and how fast agents may be given up.

use std::time::Duration;

use super::super::testing::{Bench, framework_info};
use super::super::*;
use crate::proto::internal::PongSlaveMessage;
use crate::registry::Registry;

/// A leader whose registry holds agents `M-S0` to `M-S<count-1>`.
fn leader(count: u16, args: &[&str]) -> Bench {
    let mut old = Bench::new();
    for index in 0..count {
        old.agent(5051 + index);
    }
    let registry = Registry { admitted: old.registry.admitted.clone(), ..Registry::default() };
    let mut bench = Bench::with(args, registry);
    // Ids of a new leader are its own.
    Arc::make_mut(&mut bench.state.cluster.info).id = "N".to_owned();
    bench
}

fn unreachable(bench: &Bench) -> Vec<String> {
    bench.state.cluster().unreachable.keys().map(ToString::to_string).collect()
}

fn counter(bench: &Bench, name: &str) -> u64 {
    bench.state.cluster().counters.get(name)
}

#[test]
fn descriptions_are_kept_once() {
    let mut bench = Bench::new();
    let (_, id) = bench.agent(5051);
    let own = &bench.state.cluster().agents[&id].info;
    assert!(Arc::ptr_eq(own, &bench.registry.admitted[&id]), "the books share it with the registry");
    let mut bench = leader(1, &[]);
    let back = bench.coming_back(&"M-S0".into());
    bench.message(&super::super::testing::pid("slave(1)", 5051), back);
    let own = &bench.state.cluster().agents[&AgentId::from("M-S0")].info;
    assert!(Arc::ptr_eq(own, &bench.registry.admitted[&AgentId::from("M-S0")]));
}

#[test]
fn too_many_missing_agents_are_no_reason_to_remove_them() {
    let mut bench = leader(4, &["--recovery_agent_removal_limit=50%"]);
    let back = bench.coming_back(&"M-S0".into());
    bench.message(&super::super::testing::pid("slave(1)", 5051), back);
    bench.take();
    bench.out.push(Effect::Wake { at: bench.now + Duration::from_secs(600), timer: Timer::Recovered });
    bench.pass(Duration::from_secs(600));
    let exit = bench.out.iter().find_map(|effect| match effect {
        Effect::Exit(why) => Some(why.clone()),
        _ => None,
    });
    let why = exit.expect("the end");
    assert!(why.contains("After 10mins there were 3 (75%) agents") && why.contains("limit is 50%"), "{why}");
    assert!(unreachable(&bench).is_empty());
}

#[test]
fn at_the_limit_they_are_removed() {
    let mut bench = leader(2, &["--recovery_agent_removal_limit=50%", "--agent_ping_timeout=15mins"]);
    let back = bench.coming_back(&"M-S0".into());
    bench.message(&super::super::testing::pid("slave(1)", 5051), back);
    bench.pass(Duration::from_secs(600));
    assert_eq!(unreachable(&bench), ["M-S1"]);
    assert!(bench.registry.unreachable.contains_key(&AgentId::from("M-S1")));
}

#[test]
fn missing_agents_are_removed_no_faster_than_allowed() {
    let mut bench = leader(4, &["--agent_removal_rate_limit=2/20mins", "--agent_ping_timeout=15mins"]);
    bench.pass(Duration::from_secs(600));
    assert_eq!(unreachable(&bench), ["M-S0"]);
    bench.pass(Duration::from_secs(599));
    assert_eq!(unreachable(&bench).len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(unreachable(&bench), ["M-S0", "M-S1"]);
    // The next one comes back in time, which is no turn lost for the one behind it.
    let back = bench.coming_back(&"M-S2".into());
    bench.message(&super::super::testing::pid("slave(1)", 5051), back);
    bench.pass(Duration::from_secs(600));
    assert_eq!(unreachable(&bench), ["M-S0", "M-S1", "M-S3"]);
    assert_eq!(counter(&bench, "slave_unreachable_scheduled"), 4);
    assert_eq!(counter(&bench, "slave_unreachable_completed"), 3);
    assert_eq!(counter(&bench, "slave_unreachable_canceled"), 1);
}

#[test]
fn an_agent_that_answers_before_its_turn_stays() {
    let mut bench = Bench::with(&["--agent_removal_rate_limit=1/1hrs"], Registry::default());
    let _ = bench.subscribe("s", framework_info(&[]));
    let agents: Vec<_> = (0..3).map(|index| bench.agent(5051 + index)).collect();
    bench.pass(Duration::from_secs(15 * 6));
    assert_eq!(unreachable(&bench).len(), 1, "the first at once");
    let (from, back) =
        agents.iter().rfind(|(_, id)| bench.state.watches.get(id).is_some_and(|w| w.marking)).unwrap();
    let to = format!("slave-observer({})", bench.number(back));
    bench.message_from(from, from.address, &to, PongSlaveMessage {});
    assert_eq!(counter(&bench, "slave_unreachable_canceled"), 1);
    // Answers once, and falls silent again: behind the other, whose turn comes first.
    bench.pass(Duration::from_secs(3600));
    assert_eq!(unreachable(&bench).len(), 2);
    assert!(bench.state.cluster().agents.contains_key(back));
    bench.pass(Duration::from_secs(3600));
    assert_eq!(unreachable(&bench).len(), 3);
}

#[test]
fn a_description_beyond_all_measure_is_refused() {
    let mut bench = Bench::new();
    bench.take();
    let mut message = Bench::agent_message(super::super::testing::some(1.0, 32.0));
    message.agent.attributes = (0..9000)
        .map(|index| crate::proto::Attribute {
            name: format!("a{index}"),
            text: Some(crate::proto::value::Text { value: "x".repeat(30) }),
            r#type: crate::proto::value::Type::Text as i32,
            ..Default::default()
        })
        .collect();
    bench.message(&super::super::testing::pid("slave(1)", 5051), message);
    assert!(bench.out.is_empty(), "{:?}", bench.out);
}
