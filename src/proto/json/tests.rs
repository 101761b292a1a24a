//! Both directions together: what Mesos clients send and expect, and what breaks parsers.

use super::*;
use crate::proto::{self, scheduler};

fn json<M: prost::Message + prost::Name>(message: &M, spelling: Spelling) -> String {
    String::from_utf8(to_json(message, spelling)).unwrap()
}

fn refusal<M: prost::Message + prost::Name + Default + std::fmt::Debug>(text: &str) -> String {
    match from_json::<M>(text.as_bytes(), Spelling::V1) {
        Err(JsonError::Convert(text)) => text,
        other => panic!("{text}: {other:?}"),
    }
}

fn syntax(text: &[u8]) -> String {
    match from_json::<scheduler::Call>(text, Spelling::V1) {
        Err(JsonError::Syntax(text)) => text,
        other => panic!("{other:?}"),
    }
}

const ACCEPT: &str = r#"{"framework_id":{"value":"f-1"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"a/\"b\"","task_id":{"value":"t"},"agent_id":{"value":"s"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31001}]}},{"name":"s","type":"SET","set":{"item":["a","b"]}}],"command":{"environment":{"variables":[{"name":"A","type":"VALUE","value":"b"}]},"shell":true,"value":"echo /é\n"},"data":"AAEC/w==","labels":{"labels":[{"key":"k"}]},"limits":{"cpus":{"value":2.0},"mem":{"value":64.5}}}]}}],"filters":{"refuse_seconds":5.0}}}"#;

#[test]
fn a_call_is_read_and_written_in_the_order_of_declaration() {
    let call: scheduler::Call = from_json(ACCEPT.as_bytes(), Spelling::V1).unwrap();
    let task = &call.accept.as_ref().unwrap().operations[0].launch.as_ref().unwrap().task_infos[0];
    assert_eq!(task.data.as_deref(), Some(&[0, 1, 2, 255][..]));
    assert_eq!(task.limits["mem"].value, 64.5);
    assert_eq!(json(&call, Spelling::V1), ACCEPT);
    let v0 = json(&call, Spelling::V0);
    assert_eq!(v0, ACCEPT.replace("agent_id", "slave_id"));
    assert_eq!(from_json::<scheduler::Call>(v0.as_bytes(), Spelling::V0).unwrap(), call);
    // The other spelling's key is an unknown one.
    assert!(from_json::<scheduler::Call>(v0.as_bytes(), Spelling::V1).is_err());
}

#[test]
fn declared_defaults_are_written_and_enums_have_both_names() {
    let info = proto::FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() };
    assert_eq!(
        json(&info, Spelling::V0),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    let status = proto::TaskStatus {
        task_id: "t".into(),
        state: proto::TaskState::TaskLost as i32,
        reason: Some(proto::task_status::Reason::AgentRemoved as i32),
        source: Some(proto::task_status::Source::Agent as i32),
        timestamp: Some(1.5e9),
        healthy: Some(false),
        ..Default::default()
    };
    assert_eq!(
        json(&status, Spelling::V0),
        r#"{"task_id":{"value":"t"},"state":"TASK_LOST","source":"SOURCE_SLAVE","reason":"REASON_SLAVE_REMOVED","timestamp":1500000000.0,"healthy":false}"#
    );
    assert!(json(&status, Spelling::V1).contains("REASON_AGENT_REMOVED"));
    // The value that v1 has no name for is left out.
    let capability = proto::master_info::Capability { r#type: Some(3) };
    assert_eq!(json(&capability, Spelling::V0), r#"{"type":"QUOTA_V2"}"#);
    assert_eq!(json(&capability, Spelling::V1), "{}");
}

#[test]
fn reading_is_lenient_where_mesos_is() {
    let call: scheduler::Call = from_json(
        br#"{"nothing": [{"a": [null, 1e300]}], "type": "NO_SUCH_TYPE", "framework_id": null,
            "accept": {"offer_ids": {"value": "single"}, "filters": {"refuse_seconds": "5.5"}}}"#,
        Spelling::V1,
    )
    .unwrap();
    assert_eq!(call.r#type, None);
    let accept = call.accept.unwrap();
    assert_eq!((accept.offer_ids.len(), accept.filters.unwrap().refuse_seconds), (1, Some(5.5)));

    let uri: proto::command_info::Uri =
        from_json(br#"{"value": "v", "cache": "true", "extract": false}"#, Spelling::V1).unwrap();
    assert_eq!((uri.cache, uri.extract), (Some(true), Some(false)));
    let range: proto::value::Range = from_json(br#"{"begin": "7", "end": 8.9}"#, Spelling::V1).unwrap();
    assert_eq!((range.begin, range.end), (7, 8));
    let scalar: proto::value::Scalar = from_json(br#"{"value": "-Infinity"}"#, Spelling::V1).unwrap();
    assert_eq!(scalar.value, f64::NEG_INFINITY);
    for data in ["\"AAEC/w\"", "\" AAEC\\n /w== \""] {
        let text =
            format!(r#"{{"name":"n","task_id":{{"value":"t"}},"agent_id":{{"value":"s"}},"data":{data}}}"#);
        let task: proto::TaskInfo = from_json(text.as_bytes(), Spelling::V1).unwrap();
        assert_eq!(task.data.as_deref(), Some(&[0, 1, 2, 255][..]));
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let id: proto::ContainerId = from_json(
        br#"{"value":"a","parent":{"value":"x","parent":{"value":"y"}},"value":"bb","parent":{"value":"z"},"value":"c"}"#,
        Spelling::V1,
    )
    .unwrap();
    assert_eq!(json(&id, Spelling::V1), r#"{"value":"c","parent":{"value":"z"}}"#);
    let call: scheduler::Call = from_json(
        br#"{"accept":{"offer_ids":[{"value":"1"},{"value":"2"}],"offer_ids":[{"value":"3"}],"offer_ids":null}}"#,
        Spelling::V1,
    )
    .unwrap();
    assert!(call.accept.unwrap().offer_ids.is_empty());
}

#[test]
fn wrong_kinds_are_refused_in_mesos_words() {
    for (text, expected) in [
        ("[]", "Expecting a JSON object"),
        ("7", "Expecting a JSON object"),
        ("null", "Expecting a JSON object"),
        (r#"{"type":{}}"#, "Not expecting a JSON object for field 'type'"),
        (r#"{"type":[]}"#, "Not expecting a JSON array for field 'type'"),
        (r#"{"type":1}"#, "Not expecting a JSON number for field 'type'"),
        (r#"{"type":true}"#, "Not expecting a JSON boolean for field 'type'"),
        (r#"{"kill":"x"}"#, "Not expecting a JSON string for field 'kill'"),
        (r#"{"kill":{}}"#, "Missing required fields: kill.task_id"),
        (r#"{"kill":{"task_id":{"value":null}}}"#, "Missing required fields: kill.task_id.value"),
        (
            r#"{"acknowledge":{"uuid":"a*b"}}"#,
            "Failed to base64 decode bytes field 'uuid': Invalid character '*'",
        ),
        (
            r#"{"accept":{"operations":[{"launch":{"task_infos":[{"resources":[{"type":"X"}]}]}}]}}"#,
            "Failed to find enum for 'X'",
        ),
        (
            r#"{"accept":{"filters":{"refuse_seconds":"soon"}}}"#,
            "Failed to parse 'soon' as a JSON number for field 'refuse_seconds'",
        ),
    ] {
        assert_eq!(refusal::<scheduler::Call>(text), expected);
    }
    for text in [r#"{"begin":-1,"end":1}"#, r#"{"begin":1,"end":1e30}"#, r#"{"begin":1,"end":"-1"}"#] {
        assert!(refusal::<proto::value::Range>(text).starts_with("Value out of range for field '"));
    }
}

#[test]
fn broken_json_is_a_syntax_error() {
    for text in [
        &b""[..],
        b"{",
        b"{} x",
        b"{}{}",
        b"{\"type\":\"SUBSCRIBE}",
        b"{\"a\":\x01}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":1e999}",
        b"{'a':1}",
        b"\x00",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
    ] {
        syntax(text);
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"parent\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert!(syntax(format!("{{\"x\":{deep}}}").as_bytes()).contains("recursion limit"));
        assert!(from_json::<proto::ContainerId>(deep.as_bytes(), Spelling::V1).is_err());
    }
}

#[test]
fn many_empty_arrays_cost_no_memory() {
    let text = format!("{{\"x\":[{}[]]}}", "[],".repeat(300_000));
    let call: scheduler::Call = from_json(text.as_bytes(), Spelling::V1).unwrap();
    assert_eq!(call, scheduler::Call::default());
}

#[test]
fn arrays_of_messages() {
    let ids: Vec<proto::TaskId> = from_json_array(br#"[{"value":"a"},{"value":"b"}]"#, Spelling::V1).unwrap();
    assert_eq!(ids, ["a".into(), "b".into()]);
    assert_eq!(
        from_json_array::<proto::TaskId>(b"{}", Spelling::V1),
        Err(JsonError::Convert("Expecting a JSON array".into()))
    );
    assert!(from_json_array::<proto::TaskId>(b"[{}]", Spelling::V1).is_err());
}

#[test]
fn garbage_is_refused_without_panic() {
    let mut state = 1_u64;
    let mut bytes = ACCEPT.as_bytes().to_vec();
    for _ in 0..4_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (state >> 33) as usize % bytes.len();
        let before = bytes[at];
        bytes[at] = (state >> 20) as u8;
        if let Ok(call) = from_json::<scheduler::Call>(&bytes, Spelling::V1) {
            // Declared defaults become set fields by the way, so compare from the first text on.
            let text = to_json(&call, Spelling::V1);
            let again: scheduler::Call = from_json(&text, Spelling::V1).unwrap();
            assert_eq!(to_json(&again, Spelling::V1), text);
        }
        bytes[at] = before;
    }
}
