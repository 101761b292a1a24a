//! Those who follow what happens: SUBSCRIBE of the operator API, and `/events`.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};

use crate::support::follower::{Follower, Listener, ends, subscription};
use crate::support::raw;
use crate::support::scheduler::{Scheduler, framework, with};
use crate::support::{Cluster, wait_for};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn followers(cluster: &Cluster) -> f64 {
    let metrics = cluster.json("/metrics/snapshot").expect("metrics");
    metrics["master/operator_event_stream_subscribers"].as_f64().expect("a number")
}

#[test]
fn a_subscriber_sees_the_state_and_what_follows() {
    let flags = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=1"];
    let mut cluster = Cluster::start_with(1, &flags, &[]);
    let mut subscribers = [JSON, PROTOBUF].map(|accept| Follower::subscribe(cluster.port, accept));
    for subscriber in &mut subscribers {
        let first = subscriber.next().expect("an event");
        assert_eq!(
            (&first["type"], &first["subscribed"]["heartbeat_interval_seconds"]),
            (&json!("SUBSCRIBED"), &json!(15.0))
        );
        let agents = &first["subscribed"]["get_state"]["get_agents"]["agents"];
        assert_eq!(agents[0]["agent_info"]["hostname"], "localhost");
        assert_eq!(subscriber.next().expect("an event")["type"], "HEARTBEAT");
    }
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("followed"));
    let agent = scheduler.run("t", "true")["agent_id"].clone();
    scheduler.until("t", "TASK_FINISHED");
    scheduler.teardown();
    cluster.agents[0].terminate();
    for subscriber in &mut subscribers {
        let removed = subscriber.until(|event| event["type"] == "AGENT_REMOVED");
        assert_eq!(removed["agent_removed"]["agent_id"], agent);
        let names: Vec<String> =
            subscriber.names().into_iter().skip(2).filter(|name| name != "HEARTBEAT").collect();
        let expected = [
            "FRAMEWORK_ADDED",
            "TASK_ADDED t",
            "TASK_UPDATED t TASK_STARTING",
            "TASK_UPDATED t TASK_RUNNING",
            "TASK_UPDATED t TASK_FINISHED",
            "FRAMEWORK_REMOVED",
            "AGENT_REMOVED",
        ];
        // A status is told again if the task's latest state has changed since.
        let mut once = names.clone();
        once.dedup();
        assert_eq!(once, expected, "{names:?}");
    }
    let [json, protobuf] = subscribers.map(|subscriber| {
        let told = subscriber.seen.into_iter().skip(2);
        told.filter(|event| event["type"] != "HEARTBEAT").collect::<Vec<_>>()
    });
    assert_eq!(json, protobuf, "both were told the same");
    let late = Follower::subscribe(cluster.port, JSON).next().expect("an event");
    let state = &late["subscribed"]["get_state"];
    assert_eq!(state["get_agents"]["agents"], json!([]));
    assert_eq!(state["get_tasks"]["completed_tasks"][0]["task_id"]["value"], "t");
}

/// The ids of the tasks in a state.
fn tasks(state: &Value) -> Vec<String> {
    let tasks = &state["get_tasks"];
    let lists =
        ["tasks", "unreachable_tasks", "completed_tasks"].iter().filter_map(|list| tasks[list].as_array());
    lists.flatten().map(|task| task["task_id"]["value"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn nothing_is_lost_or_told_twice_between_state_and_stream() {
    let cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("busy"));
    let count = 20;
    let mut subscribers = Vec::new();
    for number in 0..count {
        let port = cluster.port;
        let accept = if number % 2 == 0 { JSON } else { PROTOBUF };
        let subscriber = std::thread::spawn(move || Follower::subscribe(port, accept));
        scheduler.run(&format!("t{number}"), "true");
        scheduler.until(&format!("t{number}"), "TASK_FINISHED");
        subscribers.push(subscriber.join().expect("subscribed"));
    }
    scheduler.teardown();
    let all: BTreeSet<String> = (0..count).map(|number| format!("t{number}")).collect();
    for mut subscriber in subscribers {
        subscriber.until(|event| event["type"] == "FRAMEWORK_REMOVED");
        let mut known = tasks(&subscriber.seen[0]["subscribed"]["get_state"]);
        for event in &subscriber.seen[1..] {
            match event["type"].as_str() {
                Some("TASK_ADDED") => {
                    let id = event["task_added"]["task"]["task_id"]["value"].as_str().expect("an id");
                    known.push(id.to_owned());
                }
                Some("TASK_UPDATED") => {
                    let id = event["task_updated"]["status"]["task_id"]["value"].as_str().expect("an id");
                    assert!(known.iter().any(|known| known == id), "{id} was never told of");
                }
                _ => {}
            }
        }
        assert_eq!(known.len(), count, "{known:?}");
        assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), all);
    }
}

#[test]
fn a_slow_subscriber_is_cut_off_and_no_other() {
    let cluster = Cluster::start(0);
    let mut stuck = raw::connect(cluster.port);
    stuck.write_all(&subscription(JSON)).expect("sent");
    let mut quick = Follower::subscribe(cluster.port, PROTOBUF);
    wait_for("two subscribers", || (followers(&cluster) == 2.0).then_some(()));
    let label = json!({"labels": [{"key": "large", "value": "x".repeat(1 << 20)}]});
    let mut rounds = 0;
    while followers(&cluster) == 2.0 {
        rounds += 1;
        assert!(rounds < 200, "{rounds} MiB of events and more are held for one who does not read");
        let info = with(framework(&format!("large-{rounds}")), json!({"labels": label}));
        Scheduler::subscribe(cluster.port, info).teardown();
        quick.until(|event| event["type"] == "FRAMEWORK_REMOVED");
        quick.seen.clear();
    }
    assert!(ends(stuck));
    assert_eq!(followers(&cluster), 1.0);
    let scheduler = Scheduler::subscribe(cluster.port, framework("last"));
    quick.until(|event| event["framework_added"]["framework"]["framework_info"]["name"] == "last");
    scheduler.teardown();
}

/// Ids and names of the events that a listener gets, up to the first of this name.
fn heard(mut listener: Listener, last: &str) -> Vec<(String, String)> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|(_, name): &(String, String)| name != last) {
        heard.push(listener.next_name().unwrap_or_else(|| panic!("the stream ended after {heard:?}")));
    }
    heard
}

#[test]
fn hundreds_follow_and_those_that_are_stuck_hold_up_nobody() {
    let cluster = Cluster::start(1);
    let mut steady = Scheduler::subscribe(cluster.port, framework("steady"));
    let stuck: Vec<_> = (0..20)
        .map(|number| {
            let mut stuck = raw::connect(cluster.port);
            let accept = if number % 2 == 0 { JSON } else { PROTOBUF };
            stuck.write_all(&subscription(accept)).expect("sent");
            stuck
        })
        .collect();
    let mut subscribers = [JSON, PROTOBUF].map(|accept| Follower::subscribe(cluster.port, accept));
    let all_of = |query: &str, count: usize| -> Vec<_> {
        let open = |_| {
            let listener = Listener::open(cluster.port, query, None);
            std::thread::spawn(move || heard(listener, "TASK_ADDED"))
        };
        (0..count).map(open).collect()
    };
    let (of_all, of_one) = (all_of("", 20), all_of(&format!("?framework={}", steady.framework_id), 160));
    let live = 182.0;
    wait_for("all follow", || (followers(&cluster) == live + 20.0).then_some(()));

    let label = json!({"labels": [{"key": "large", "value": "x".repeat(1 << 20)}]});
    let mut rounds = 0;
    while followers(&cluster) > live {
        rounds += 1;
        assert!(rounds < 200, "{rounds} MiB of events and more are held for some who do not read");
        let info = with(framework(&format!("large-{rounds}")), json!({"labels": label}));
        Scheduler::subscribe(cluster.port, info).teardown();
        for subscriber in &mut subscribers {
            subscriber.until(|event| event["type"] == "FRAMEWORK_REMOVED");
            subscriber.seen.clear();
        }
    }
    assert_eq!(followers(&cluster), live, "those who read are there");
    assert!(stuck.into_iter().all(ends));
    steady.run("t", "true");
    steady.until("t", "TASK_FINISHED");
    for subscriber in &mut subscribers {
        subscriber.until_task("t", "TASK_FINISHED");
    }
    let of_all: Vec<_> = of_all.into_iter().map(|heard| heard.join().expect("heard all")).collect();
    let names: Vec<&str> = of_all[0].iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "FRAMEWORK_REMOVED").count(), rounds);
    let numbers = of_all[0].iter().map(|(id, _)| id.rsplit_once(':').expect("life and number").1);
    let numbers: Vec<u64> = numbers.map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a gap: {numbers:?}");
    assert!(of_all.iter().all(|heard| *heard == of_all[0]), "all heard the same");
    for heard in of_one {
        assert_eq!(heard.join().expect("heard all")[..], of_all[0][of_all[0].len() - 1..], "its task alone");
    }
    steady.teardown();
}

/// What happens is not noted while nobody follows; who comes then is told from there, in a cluster that looks the same.
#[test]
fn one_follows_after_the_last_has_gone() {
    let cluster = Cluster::start(0);
    for _ in 0..5 {
        let answer = raw::exchange(cluster.port, &subscription(JSON)).answer();
        assert!(answer.text().contains("HEARTBEAT"), "{}", answer.text());
        wait_for("nobody to follow", || (followers(&cluster) == 0.0).then_some(()));
    }
}

#[test]
fn the_oldest_subscriber_makes_room() {
    let cluster = Cluster::start_with(0, &["--max_operator_event_stream_subscribers=2"], &[]);
    let mut all: Vec<Follower> = (0..3)
        .map(|_| {
            let mut subscriber = Follower::subscribe(cluster.port, JSON);
            subscriber.until(|event| event["type"] == "HEARTBEAT");
            subscriber
        })
        .collect();
    assert_eq!(all[0].next(), None, "its stream ends");
    assert_eq!(followers(&cluster), 2.0);
    let scheduler = Scheduler::subscribe(cluster.port, framework("seen"));
    for subscriber in &mut all[1..] {
        subscriber.until(|event| event["type"] == "FRAMEWORK_ADDED");
    }
    scheduler.teardown();
}

#[test]
fn sent_events_are_numbered_chosen_and_resumed() {
    let cluster = Cluster::start(1);
    let mut all = Listener::open(cluster.port, "", None);
    let start = all.block().id.expect("a place to come back to");
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("sent"));
    let id = scheduler.framework_id.clone();
    let mut updates =
        Listener::open(cluster.port, &format!("?types=TASK_UPDATED&framework={id}&task=b"), None);
    let mut others = Listener::open(cluster.port, "?framework=none", None);
    assert!(others.block().data.is_none());
    for task in ["a", "b"] {
        scheduler.run(task, "true");
        scheduler.until(task, "TASK_FINISHED");
    }
    let update = updates.next();
    assert_eq!(update.event.as_deref(), Some("TASK_UPDATED"));
    assert_eq!(update.data.expect("data")["task_updated"]["status"]["task_id"]["value"], "b");
    let mut seen = vec![all.next()];
    assert_eq!(seen[0].event.as_deref(), Some("FRAMEWORK_ADDED"));
    while seen.last().and_then(|last| last.data.as_ref()).is_none_or(|data| {
        data["task_updated"]["state"] != "TASK_FINISHED"
            || data["task_updated"]["status"]["task_id"]["value"] != "b"
    }) {
        seen.push(all.next());
    }
    let number = |id: &str| id.rsplit_once(':').expect("life and number").1.parse::<u64>().expect("a number");
    let numbers: Vec<u64> = seen.iter().map(|sent| number(sent.id.as_deref().expect("an id"))).collect();
    let expected: Vec<u64> = (1..).map(|step| number(&start) + step).take(seen.len()).collect();
    assert_eq!(numbers, expected, "without a gap");
    drop(all);

    // From any place on, what follows is the same.
    for place in 0..3 {
        let id = if place == 0 { start.clone() } else { seen[place - 1].id.clone().expect("an id") };
        let mut resumed = Listener::open(cluster.port, "", Some(&id));
        for sent in &seen[place..] {
            assert_eq!(resumed.next(), *sent);
        }
    }
    let life = start.rsplit_once(':').expect("life and number").0;
    for unknown in
        ["nonsense".to_owned(), "other:1".to_owned(), format!("{life}:0"), format!("{life}:999999")]
    {
        let mut resumed = Listener::open(cluster.port, "", Some(&unknown));
        let reset = resumed.block();
        assert_eq!(reset.event.as_deref(), Some("reset"), "{unknown}");
        assert!(reset.id.is_some_and(|id| id.starts_with(life)));
    }
    scheduler.teardown();
    let gone = updates.last_id.clone().expect("an id");
    let mut rest = Listener::open(cluster.port, "?types=framework_removed", Some(&gone));
    assert_eq!(rest.next().data.expect("data")["framework_removed"]["framework_info"]["id"]["value"], id);
}

#[test]
fn what_cannot_be_asked_of_events() {
    let cluster = Cluster::start(0);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let answer = raw::exchange(cluster.port, &raw::request(method, path, headers, b"")).answer();
        (answer.status, answer.text())
    };
    let (status, text) = ask("GET", "/events?type=TASK_ADDED", &[]);
    assert_eq!(
        (status, text.as_str()),
        (400, "Unknown parameter 'type', expecting one of types, framework, agent, task")
    );
    let (status, text) = ask("GET", "/events?types=NONE", &[]);
    assert!(
        status == 400 && text.starts_with("Unknown type 'NONE' in 'types', expecting some of TASK_ADDED"),
        "{text}"
    );
    assert_eq!(ask("POST", "/events", &[]).0, 405);
    assert_eq!(ask("GET", "/events", &[("Accept", "application/json")]).0, 406);
}
