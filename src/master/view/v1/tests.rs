use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::master::view::tests::cluster;
use crate::proto::Spelling;
use crate::proto::json::to_json;
use crate::proto::writer::testing::without_empty_lists;

const ALL: [Ask; 9] = [
    Ask::State,
    Ask::Agents,
    Ask::Frameworks,
    Ask::Executors,
    Ask::Operations,
    Ask::Tasks,
    Ask::Roles,
    Ask::Weights,
    Ask::Master,
];

fn flags() -> Flags {
    Flags::from_args(&["--weights=eng=2.5"]).unwrap()
}

fn in_json(ask: Ask) -> Value {
    serde_json::from_slice(&answer(ask, &cluster(), &flags(), Encoding::Json)).unwrap()
}

#[test]
fn both_encodings_say_the_same() {
    for ask in ALL {
        let bytes = answer(ask, &cluster(), &flags(), Encoding::Protobuf);
        let message = Response::decode(bytes.as_slice()).unwrap();
        let of_protobuf: Value = serde_json::from_slice(&to_json(&message, Spelling::V1)).unwrap();
        assert_eq!(without_empty_lists(in_json(ask)), of_protobuf, "{ask:?}");
    }
}

#[test]
fn what_a_state_says() {
    let state = &in_json(Ask::State)["get_state"];
    let agent = &state["get_agents"]["agents"][0];
    assert_eq!(agent["agent_info"]["hostname"], "h");
    assert_eq!(agent["pid"], "slave(1)@127.0.0.1:5051");
    assert_eq!(agent["registered_time"]["nanoseconds"], 1_500_000_000);
    assert_eq!(agent["total_resources"][0]["role"], "*");
    assert_eq!(agent["capabilities"][0]["type"], "MULTI_ROLE");
    assert_eq!(state["get_agents"]["recovered_agents"].as_array().map(Vec::len), Some(1));
    let framework = &state["get_frameworks"]["frameworks"][0];
    assert_eq!(framework["framework_info"]["name"], "f");
    assert_eq!(framework["offers"][0]["agent_id"]["value"], "S0");
    assert_eq!(framework["offered_resources"][0]["allocation_info"]["role"], "eng/web");
    assert_eq!(framework["offer_constraints"], json!({}));
    assert_eq!(framework["registered_time"]["nanoseconds"], 2_000_000_000);
    assert_eq!(framework["reregistered_time"], framework["registered_time"]);
    assert_eq!(framework["unregistered_time"], Value::Null);
    assert_eq!(state["get_frameworks"]["completed_frameworks"], json!([]));
    let task = &state["get_tasks"]["tasks"][0];
    assert_eq!(task["agent_id"]["value"], "S0");
    assert_eq!(task["state"], "TASK_RUNNING");
    assert_eq!(task["statuses"][0]["healthy"], true);
    assert_eq!(task["resources"][0]["allocation_info"]["role"], "eng/web");
    assert_eq!(task["user"], "root");
    assert_eq!(state["get_tasks"]["unreachable_tasks"], json!([]));
    assert_eq!(state["get_tasks"]["completed_tasks"][0]["task_id"]["value"], "t2");
    let executor = &state["get_executors"]["executors"][0];
    assert_eq!(
        (&executor["agent_id"]["value"], &executor["executor_info"]["name"]),
        (&"S0".into(), &"<exn>".into())
    );
}

#[test]
fn roles_and_weights() {
    let roles = in_json(Ask::Roles);
    let roles = roles["get_roles"]["roles"].as_array().unwrap();
    let names: Vec<_> =
        roles.iter().map(|role| (role["name"].as_str().unwrap(), role["weight"].as_f64())).collect();
    assert_eq!(names, [("eng", Some(2.5)), ("eng/web", Some(1.0))]);
    assert_eq!(roles[1]["frameworks"][0]["value"], "F0");
    let held = roles[1]["resources"].as_array().unwrap();
    assert_eq!(held.len(), 2, "ports are no scalar: {held:?}");
    assert_eq!((held[0]["name"].as_str(), held[0]["scalar"]["value"].as_f64()), (Some("cpus"), Some(1.6)));
    assert_eq!(in_json(Ask::Weights)["get_weights"]["weight_infos"], json!([{"weight": 2.5, "role": "eng"}]));
    let none = answer(Ask::Weights, &cluster(), &Flags::from_args(&[]).unwrap(), Encoding::Json);
    assert_eq!(none, br#"{"type":"GET_WEIGHTS"}"#);
}
