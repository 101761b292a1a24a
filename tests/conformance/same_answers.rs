//! The same requests to our master and to the real Apache Mesos 1.11.0, one agent of ours below each: statuses,
//! headers, sentences, keys and types of JSON, and the events of a framework's life are the same, but for what
//! `differences.md` lists with a reason. Anything else fails, and so does a line of the list that is idle.

mod compare;
mod requests;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peer;
use crate::support::follower::Follower;
use crate::support::raw::{self, Answer};
use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, wait_for};
use compare::{Difference, Known};
use requests::Ask;

/// One of the two clusters, with a framework that has a task on it.
struct Side {
    cluster: Cluster,
    scheduler: Scheduler,
    agent: String,
}

impl Side {
    fn start(cluster: Cluster) -> Side {
        let mut past = Scheduler::subscribe(cluster.port, framework("past"));
        past.run("over", "exit 1");
        past.until("over", "TASK_FAILED");
        past.teardown();
        let mut scheduler = Scheduler::subscribe(cluster.port, framework("same"));
        let offer = scheduler.run("steady", "while [ -e stdout ]; do sleep 0.2; done");
        scheduler.until("steady", "TASK_RUNNING");
        let second = scheduler.run("short", "true");
        scheduler.until("short", "TASK_FINISHED");
        assert_eq!(offer["agent_id"], second["agent_id"]);
        one_offer(&cluster, &mut scheduler);
        let agent = offer["agent_id"]["value"].as_str().expect("an id").to_owned();
        Side { cluster, scheduler, agent }
    }

    /// The text with what is called differently on each side filled in.
    fn fill(&self, text: &str) -> String {
        text.replace("{FRAMEWORK}", &self.scheduler.framework_id)
            .replace("{AGENT}", &self.agent)
            .replace("{STREAM}", &self.scheduler.stream_id)
    }

    /// The text with what is called differently on each side named alike.
    fn blank(&self, text: &str) -> String {
        let master = self.agent.trim_end_matches("-S0");
        text.replace(&self.scheduler.framework_id, "{FRAMEWORK}")
            .replace(&self.agent, "{AGENT}")
            .replace(&self.scheduler.stream_id, "{STREAM}")
            .replace(master, "{MASTER}")
            .replace(&self.cluster.port.to_string(), "5050")
            .replace(&self.cluster.agent_ports[0].to_string(), "5051")
    }

    fn answer(&self, ask: &Ask) -> Answer {
        answer(self.cluster.port, ask, |text| self.fill(text))
    }
}

fn answer(port: u16, ask: &Ask, fill: impl Fn(&str) -> String) -> Answer {
    let headers: Vec<(&str, String)> = ask.headers.iter().map(|(name, value)| (*name, fill(value))).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = raw::request(ask.method, &fill(&ask.path), &headers, &ask.body.bytes(&fill));
    raw::exchange(port, &request).answer()
}

/// All that is free of the agent goes into one offer that stays, so that both sides show the same.
fn one_offer(cluster: &Cluster, scheduler: &mut Scheduler) {
    let offers = || Some(cluster.json("/frameworks")?["frameworks"][0]["offers"].as_array()?.clone());
    assert_eq!(scheduler.call(json!({"type": "SUPPRESS"})).status, 202);
    wait_for("no offers", || {
        let offers = offers()?;
        // The state has the id as text.
        offers.iter().for_each(|offer| scheduler.decline(&json!({"id": {"value": offer["id"]}}), 3600.0));
        offers.is_empty().then_some(())
    });
    assert_eq!(scheduler.call(json!({"type": "REVIVE"})).status, 202);
    wait_for("an offer", || offers().filter(|offers| offers.len() == 1));
}

/// The real one, then ours.
fn sides() -> (Side, Side) {
    let ours = std::thread::spawn(|| Side::start(Cluster::start(1)));
    let theirs = Side::start(peer::cluster(1, &[], &[]));
    (theirs, ours.join().expect("our side starts"))
}

#[test]
fn answers_are_the_same_but_for_the_listed() {
    if !peer::available("same answers") {
        return;
    }
    let (theirs, ours) = sides();
    let mut found = Vec::new();
    for ask in requests::all() {
        let (their_answer, our_answer) = (theirs.answer(&ask), ours.answer(&ask));
        let blank = (&|text: &str| theirs.blank(text), &|text: &str| ours.blank(text));
        found.extend(compare::answers(&ask.name, (&their_answer, blank.0), (&our_answer, blank.1)));
    }
    judge("requests", found);
}

/// The agents' own endpoints: the real one's, which is in the process of its master, and ours.
#[test]
fn an_idle_agent_answers_the_same() {
    if !peer::available("an idle agent") {
        return;
    }
    let ours = Cluster::start(1);
    let theirs = peer::with_own_agent("cpus:4;mem:2048;disk:4096;ports:[31000-32000]");
    wait_for("the real agent", || {
        theirs.json("/slaves")?["slaves"]
            .as_array()?
            .iter()
            .any(|slave| slave["active"] == true)
            .then_some(())
    });
    let agent = |cluster: &Cluster| {
        let slaves = cluster.json("/slaves").expect("slaves");
        slaves["slaves"][0]["id"].as_str().expect("an id").to_owned()
    };
    let (their_agent, our_agent) = (agent(&theirs), agent(&ours));
    let (their_port, our_port) = (theirs.port, ours.agent_ports[0]);
    let mut found = Vec::new();
    for ask in requests::of_agents() {
        let their_answer = answer(their_port, &ask, |text| text.replace("{AGENT}", &their_agent));
        let our_answer = answer(our_port, &ask, |text| text.replace("{AGENT}", &our_agent));
        let their_blank =
            |text: &str| text.replace(&their_agent, "{AGENT}").replace(&their_port.to_string(), "5051");
        let our_blank = |text: &str| {
            let text = text.replace(&our_agent, "{AGENT}").replace(&our_port.to_string(), "5051");
            text.replace(&ours.port.to_string(), "5051")
        };
        found.extend(compare::answers(&ask.name, (&their_answer, &their_blank), (&our_answer, &our_blank)));
    }
    judge("agent", found);
}

/// The events in what was read of a stream in protobuf.
fn events(answer: &Answer) -> Vec<Value> {
    use prost::Message as _;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let start = raw::find(&answer.body, b"\r\n\r\n").expect("a head") + 4;
    let (mut bytes, mut events) = (&answer.body[start..], Vec::new());
    while let Some(line) = raw::find(bytes, b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk's size");
        let chunk = &bytes[line + 2..line + 2 + size];
        let newline = raw::find(chunk, b"\n").expect("a record's length");
        let event = mesos::proto::scheduler::Event::decode(&chunk[newline + 1..]).expect("an event");
        let json = mesos::proto::json::to_json(&event, mesos::proto::Spelling::V1);
        events.push(serde_json::from_slice(&json).expect("JSON"));
        bytes = &bytes[line + 2 + size + 2..];
    }
    events
}

#[test]
fn a_subscription_in_protobuf_is_the_same() {
    if !peer::available("a subscription in protobuf") {
        return;
    }
    let mut found = Vec::new();
    let (ours, theirs) = (Cluster::start(1), peer::cluster(1, &[], &[]));
    for ask in requests::subscriptions() {
        let [theirs, ours] = [&theirs, &ours].map(|cluster| answer(cluster.port, &ask, str::to_owned));
        found.extend(compare::heads(&ask.name, (&theirs, &str::to_owned), (&ours, &str::to_owned)));
        let (their_events, our_events) = (events(&theirs), events(&ours));
        let orders = (order(&their_events), order(&our_events));
        if orders.0 != orders.1 {
            found.push(Difference::new(&ask.name, "order", &orders.0, &orders.1));
        }
        found.extend(compare::shapes(&ask.name, &Value::Array(their_events), &Value::Array(our_events)));
    }
    judge("streams", found);
}

/// What a framework hears from SUBSCRIBE to TEARDOWN.
fn life(cluster: &Cluster, capabilities: &Value) -> Vec<Value> {
    let gone =
        if capabilities.to_string().contains("PARTITION_AWARE") { "TASK_DROPPED" } else { "TASK_LOST" };
    let mut base = framework("life");
    if capabilities.as_array().is_some_and(Vec::is_empty) {
        // Roles are for frameworks that can have several.
        base.as_object_mut().expect("an object").remove("roles");
    }
    let info = with(base, json!({"capabilities": capabilities}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info.clone());
    let offer = scheduler.offer();
    let huge = with(
        command_task("huge", &offer, "true"),
        json!({"resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1000.0}}]}),
    );
    scheduler.launch(&offer, &[huge]);
    scheduler.until("huge", "TASK_ERROR");
    for (task, command, end) in [("finished", "true", "TASK_FINISHED"), ("failed", "exit 3", "TASK_FAILED")] {
        scheduler.run(task, command);
        scheduler.until(task, end);
    }
    let offer = scheduler.run("killed", "sleep 1000");
    scheduler.until("killed", "TASK_RUNNING");
    scheduler.launch(&offer, &[command_task("late", &offer, "true")]);
    scheduler.until("late", gone);
    let reconcile = |tasks: Value| json!({"type": "RECONCILE", "reconcile": {"tasks": tasks}});
    let explicit = json!([{"task_id": {"value": "killed"}}, {"task_id": {"value": "never"}}]);
    for tasks in [explicit, json!([])] {
        let explicit = tasks.as_array().is_some_and(|tasks| !tasks.is_empty());
        assert_eq!(scheduler.call(reconcile(tasks)).status, 202);
        scheduler.status("killed");
        if explicit {
            scheduler.status("never");
        }
    }
    scheduler.kill("killed");
    scheduler.until("killed", "TASK_KILLED");
    let id = scheduler.framework_id.clone();
    let again = with(info, json!({"id": {"value": id}}));
    let second = Scheduler::subscribe(cluster.port, again.clone());
    scheduler.ends();
    let mut heard = scheduler.heard();
    assert_eq!(second.call(json!({"type": "SUPPRESS"})).status, 202);
    second.teardown();
    let mut second = second;
    second.ends();
    heard.extend(second.heard().into_iter().filter(|event| event["type"] != "OFFERS"));
    let refused = Scheduler::try_subscribe(cluster.port, again).err().expect("the framework is gone");
    heard.push(serde_json::from_str(&refused).unwrap_or(Value::String(refused)));
    heard
}

/// Ordered names of the events; how often offers come back meanwhile, and heartbeats, is a matter of time.
fn names(events: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for event in events {
        let status = &event["update"]["status"];
        let name = match (event["type"].as_str(), status.is_object()) {
            (Some("OFFERS"), _) if names.iter().any(|name| name == "OFFERS") => continue,
            (Some("HEARTBEAT"), _) if names.iter().any(|name| name == "HEARTBEAT") => continue,
            (_, true) => format!(
                "{} of {} {} {}",
                status["state"], status["task_id"]["value"], status["source"], status["reason"]
            ),
            (Some(kind), false) => kind.to_owned(),
            (None, false) => event.to_string(),
        };
        names.push(name.replace('"', ""));
    }
    names
}

/// The names in one line. Both masters send heartbeats from a clock of their own, so those have no place in it.
fn order(events: &[Value]) -> String {
    let names: Vec<String> = names(events).into_iter().filter(|name| name != "HEARTBEAT").collect();
    names.join(", ")
}

#[test]
fn a_framework_hears_the_same_in_its_life() {
    if !peer::available("a framework's life") {
        return;
    }
    let mut found = Vec::new();
    for (name, capabilities) in
        [("plain", json!([])), ("aware", json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]))]
    {
        let (other, their_capabilities) = (capabilities.clone(), capabilities);
        let ours = std::thread::spawn(move || life(&Cluster::start(1), &other));
        let theirs = life(&peer::cluster(1, &[], &[]), &their_capabilities);
        let ours = ours.join().expect("our side");
        let request = format!("life of a {name} framework");
        let orders = (order(&theirs), order(&ours));
        if orders.0 != orders.1 {
            found.push(Difference::new(&request, "order", &orders.0, &orders.1));
        }
        let kinds: BTreeSet<String> = names(&theirs).into_iter().collect();
        for kind in kinds {
            let of = |events: &[Value]| -> Vec<Value> {
                let fits = |event: &&Value| names(std::slice::from_ref(*event)) == [kind.clone()];
                events.iter().filter(fits).cloned().collect()
            };
            let (theirs, ours) = (Value::Array(of(&theirs)), Value::Array(of(&ours)));
            found.extend(compare::shapes(&format!("{request}: {kind}"), &theirs, &ours));
        }
    }
    judge("life", found);
}

/// What operators hear by SUBSCRIBE while a framework lives, with an agent that was there before.
fn followed(cluster: &Cluster) -> [Follower; 2] {
    let accepts = ["application/json", "application/x-protobuf"];
    let mut followers = accepts.map(|accept| Follower::subscribe(cluster.port, accept));
    let info = with(framework("followed"), json!({"failover_timeout": 100.0}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info.clone());
    for (task, command, end) in [("finished", "true", "TASK_FINISHED"), ("failed", "exit 3", "TASK_FAILED")] {
        scheduler.run(task, command);
        scheduler.until(task, end);
    }
    scheduler.run("left", "sleep 1000");
    scheduler.until("left", "TASK_RUNNING");
    let id = scheduler.framework_id.clone();
    let again = Scheduler::subscribe(cluster.port, with(info, json!({"id": {"value": id}})));
    again.teardown();
    for follower in &mut followers {
        follower.until(|event| event["type"] == "FRAMEWORK_REMOVED");
    }
    followers
}

#[test]
fn operators_hear_the_same() {
    if !peer::available("what operators hear") {
        return;
    }
    let ours = std::thread::spawn(|| followed(&Cluster::start(1)));
    let theirs = followed(&peer::cluster(1, &[], &[]));
    let ours = ours.join().expect("our side");
    let mut found = Vec::new();
    for (encoding, (theirs, ours)) in ["JSON", "protobuf"].iter().zip(theirs.iter().zip(&ours)) {
        let request = format!("SUBSCRIBE of operators in {encoding}");
        let order = |follower: &Follower| {
            let mut names = follower.names();
            // A status that comes again, should its acknowledgement be late, is told or not.
            names.dedup();
            names.join(", ")
        };
        let orders = (order(theirs), order(ours));
        if orders.0 != orders.1 {
            found.push(Difference::new(&request, "order", &orders.0, &orders.1));
        }
        for kind in theirs.seen.iter().filter_map(|event| event["type"].as_str()).collect::<BTreeSet<_>>() {
            let of = |follower: &Follower| -> Value {
                follower.seen.iter().filter(|event| event["type"] == kind).cloned().collect()
            };
            let name = format!("{request}: {kind}");
            found.extend(compare::shapes(&name, &of(theirs), &of(ours)));
        }
    }
    judge("operators", found);
}

/// Everything found must be listed, and everything listed of this kind be found.
fn judge(kind: &str, found: Vec<Difference>) {
    let known = Known::read(include_str!("differences.md"), kind);
    let unknown: Vec<String> =
        found.iter().filter(|one| !known.covers(one)).map(Difference::to_string).collect();
    let idle = known.idle(&found);
    assert!(
        unknown.is_empty() && idle.is_empty(),
        "{} differences are not listed:\n{}\n{} lines of the list are idle:\n{}",
        unknown.len(),
        unknown.join("\n"),
        idle.len(),
        idle.join("\n")
    );
}
