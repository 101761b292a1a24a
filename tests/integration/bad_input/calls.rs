//! Calls that are well formed and mean nothing: frameworks that cannot be, streams of somebody else.

use prost::Message as _;
use serde_json::{Value, json};

use super::bodies::accept;
use super::{Target, settled};
use crate::support::raw::{self, request};
use crate::support::scheduler::{PATH, Scheduler, framework, with};

/// Frameworks that must not get in. The answer is 400, or an ERROR on the stream as Mesos gives it.
#[test]
fn frameworks_that_cannot_be() {
    let mut target = Target::start();
    let mut before = target.states();
    for fields in impossible() {
        let info = with(framework("bad"), fields.clone());
        let name = fields.to_string().chars().take(80).collect::<String>();
        let verdict = match Scheduler::try_subscribe(target.cluster.port, info) {
            Ok(_) => Err("subscribed".to_owned()),
            Err(why) if why.starts_with("400 ") || why.contains("\"ERROR\"") && why.len() > 40 => Ok(()),
            Err(why) => Err(why),
        };
        target.note(&name, verdict);
        target.unchanged(&name, &mut before);
    }
    target.finish();
}

fn impossible() -> Vec<Value> {
    let mut all = Vec::new();
    for role in [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "-a", "a/-b", "a b", "a\tb", "a\u{0}b",
        "a\u{8}b", "a\nb", "a/*", "*/a", "a\u{7f}b",
    ] {
        all.push(json!({"roles": [role]}));
        all.push(json!({"roles": [], "role": role, "capabilities": []}));
    }
    // An absent role is `*`, and so is an empty one of Mesos before roles were many.
    all.retain(|fields| fields.get("role") != Some(&json!("")));
    for id in ["../x", "a/b", "..", ".", "a\u{0}b", "a\nb", "a\u{1b}[31mb", "\\", "/"] {
        all.push(json!({"id": {"value": id}}));
    }
    all.push(json!({"id": {"value": "x".repeat(10 << 20)}}));
    all.push(json!({"roles": ["a", "a"]}));
    all.push(json!({"roles": ["a"], "role": "b"}));
    all.push(json!({"roles": ["a"], "capabilities": []}));
    for timeout in [json!(-1), json!(-1e308), json!(1e308), json!(1e18)] {
        all.push(json!({"failover_timeout": timeout}));
    }
    all
}

/// Calls on the right stream that mean nothing, and good calls on a wrong one.
#[test]
fn calls_that_mean_nothing() {
    let mut target = Target::start();
    let mut scheduler = Scheduler::subscribe(target.cluster.port, framework("calls"));
    let offer = scheduler.offer();
    let (offer_id, agent) =
        (offer["id"]["value"].as_str().unwrap(), offer["agent_id"]["value"].as_str().unwrap());
    let mut before = settled(&target);

    let whole = accept(&scheduler.framework_id, offer_id, agent).encode_to_vec();
    for length in 0..whole.len() {
        let answer = scheduler.call_bytes("application/x-protobuf", &whole[..length]);
        let verdict =
            if answer.status == 400 && answer.body.len() > 10 { Ok(()) } else { Err(answer.text()) };
        target.note(&format!("ACCEPT cut at {length}"), verdict);
        target.unchanged(&format!("ACCEPT cut at {length}"), &mut before);
    }

    for stream in ["", "x", "00000000-0000-0000-0000-000000000000", &"a".repeat(10_000)] {
        let call = json!({"type": "TEARDOWN", "framework_id": {"value": scheduler.framework_id}}).to_string();
        let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", stream)];
        let outcome = target.send(super::To::Master, &request("POST", PATH, &headers, call.as_bytes()));
        target.note(&format!("stream {stream:.20}"), super::Expect::Refused.verdict(&outcome));
        let outcome = target.send(super::To::Master, &raw::post(PATH, "application/json", call.as_bytes()));
        target.note("no stream", super::Expect::Refused.verdict(&outcome));
        target.unchanged(&format!("stream {stream:.20}"), &mut before);
    }

    for call in meaningless(agent) {
        let name = call.to_string().chars().take(100).collect::<String>();
        let answer = scheduler.call(call);
        // 501 is Mesos' own word for a call that it knows and does not serve.
        let refused = matches!(answer.status, 400 | 501) && answer.body.len() > 10;
        let fine = matches!(answer.status, 202 | 200) || refused;
        target.note(&name, if fine { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) });
        target.unchanged(&name, &mut before);
    }
    // The stream has outlived them all.
    scheduler.launch(&offer, &[crate::support::scheduler::command_task("t", &offer, "true")]);
    scheduler.until("t", "TASK_FINISHED");
    target.finish();
}

fn meaningless(agent: &str) -> Vec<Value> {
    let id = |value: &str| json!({"value": value});
    let long = "x".repeat(10 << 20);
    vec![
        json!({"type": "ACCEPT"}),
        json!({"type": "ACCEPT", "accept": {"offer_ids": []}}),
        json!({"type": "ACCEPT", "accept": {"offer_ids": [id("nothing")], "operations": []}}),
        json!({"type": "ACCEPT", "accept": {"offer_ids": [id("")]}}),
        json!({"type": "ACCEPT", "accept": {"offer_ids": [id(&long)]}}),
        json!({"type": "DECLINE", "decline": {"offer_ids": [id("../../x")]}}),
        json!({"type": "DECLINE", "decline": {"offer_ids": [id("a\u{0}b")], "filters": {"refuse_seconds": -1e300}}}),
        json!({"type": "KILL", "kill": {"task_id": id("../..")}}),
        json!({"type": "KILL", "kill": {"task_id": id(""), "agent_id": id("")}}),
        json!({"type": "KILL", "kill": {"task_id": id(&long)}}),
        json!({"type": "KILL", "kill": {"task_id": id("nothing"), "agent_id": id(agent),
            "kill_policy": {"grace_period": {"nanoseconds": -1}}}}),
        json!({"type": "SHUTDOWN", "shutdown": {"executor_id": id(".."), "agent_id": id(agent)}}),
        json!({"type": "SHUTDOWN", "shutdown": {"executor_id": id("a"), "agent_id": id("nothing")}}),
        json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": id(agent), "task_id": id("t"), "uuid": "AAAA"}}),
        json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": id(agent), "task_id": id("nothing"),
            "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
        json!({"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": id("/")}, {"task_id": id("")}]}}),
        json!({"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": id(&long), "agent_id": id(&long)}]}}),
        json!({"type": "MESSAGE", "message": {"agent_id": id(agent), "executor_id": id("x"), "data": "!"}}),
        json!({"type": "MESSAGE", "message": {"agent_id": id(agent), "executor_id": id("../x"), "data": ""}}),
        json!({"type": "MESSAGE", "message": {"agent_id": id("nothing"), "executor_id": id("x"), "data": "AAAA"}}),
        json!({"type": "REVIVE", "revive": {"roles": ["not mine", "/", "a\u{0}"]}}),
        json!({"type": "SUPPRESS", "suppress": {"roles": ["not-mine"]}}),
        json!({"type": "REQUEST", "request": {"requests": [{"resources": [{"name": "cpus", "type": "SCALAR"}]}]}}),
        json!({"type": "ACCEPT_INVERSE_OFFERS", "accept_inverse_offers": {"inverse_offer_ids": [id("x")]}}),
        json!({"type": "DECLINE_INVERSE_OFFERS", "decline_inverse_offers": {"inverse_offer_ids": [id("x")]}}),
        json!({"type": "RECONCILE_OPERATIONS", "reconcile_operations": {"operations": [{"operation_id": id("x")}]}}),
        json!({"type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": {"agent_id": id(agent),
            "operation_id": id("x"), "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
        json!({"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": {"user": "u", "name": "n"}}}),
        json!({"type": "UNKNOWN"}),
    ]
}
