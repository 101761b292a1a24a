//! The same requests to our master and to the real Apache Mesos 1.11.0, one agent of ours below each: statuses,
//! headers, sentences, keys and types of JSON, and the events of a framework's life are the same, but for what
//! `differences.md` lists with a reason. Anything else fails, and so does a line of the list that is idle.

mod compare;
mod requests;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peer;
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
        let headers: Vec<(String, String)> =
            ask.headers.iter().map(|(name, value)| ((*name).to_owned(), self.fill(value))).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = ask.body.bytes(|text| self.fill(text));
        let request = raw::request(ask.method, &self.fill(&ask.path), &headers, &body);
        raw::exchange(self.cluster.port, &request).answer()
    }
}

/// All that is free of the agent goes into one offer that stays, so that both sides show the same.
fn one_offer(cluster: &Cluster, scheduler: &mut Scheduler) {
    let offers = || Some(cluster.json("/frameworks")?["frameworks"][0]["offers"].as_array()?.clone());
    assert_eq!(scheduler.call(json!({"type": "SUPPRESS"})).status, 202);
    wait_for("no offers", || {
        let offers = offers()?;
        offers.iter().for_each(|offer| scheduler.decline(offer, 3600.0));
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
        let orders = (names(&theirs).join(", "), names(&ours).join(", "));
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
