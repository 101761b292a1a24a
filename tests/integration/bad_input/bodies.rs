//! Bodies of calls: JSON and protobuf that is broken, cut or of another kind, and headers that do not fit.

use mesos::proto;
use mesos::proto::scheduler::Call;
use mesos::proto::scheduler::call::{Accept, Subscribe, Type};
use prost::Message as _;

use super::{Case, Expect, Target, To, case};
use crate::support::raw::{find, post, request};
use crate::support::scheduler::{self, PATH};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const EXECUTOR: &str = "/slave(1)/api/v1/executor";

/// Every endpoint that takes a call.
const CALLS: [(To, &str); 2] = [(To::Master, PATH), (To::Agent, EXECUTOR)];

/// Those of operators.
const OPERATORS: [(To, &str); 2] = [(To::Master, "/master/api/v1"), (To::Agent, "/slave(1)/api/v1")];

fn subscribe_json() -> String {
    serde_json::json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": scheduler::framework("a \u{e9}\n")}})
        .to_string()
}

#[test]
fn broken_json() {
    let mut target = Target::start();
    let mut cases = Vec::new();
    for (to, path) in CALLS {
        for text in malformed() {
            let name = format!("{path} {}", String::from_utf8_lossy(&text[..text.len().min(60)]));
            cases.push(case(name, to, post(path, JSON, &text), Expect::Refused));
        }
    }
    // Operators may subscribe as well, with less.
    for (to, path) in OPERATORS {
        let other = malformed().into_iter().filter(|text| find(text, b"SUBSCRIBE").is_none());
        for text in other {
            let name = format!("{path} {}", String::from_utf8_lossy(&text[..text.len().min(60)]));
            cases.push(case(name, to, post(path, JSON, &text), Expect::NotServed));
        }
    }
    let whole = subscribe_json();
    for length in (0..whole.len()).filter(|length| whole.is_char_boundary(*length)) {
        let bytes = post(PATH, JSON, &whole.as_bytes()[..length]);
        cases.push(case(format!("SUBSCRIBE cut at {length}"), To::Master, bytes, Expect::Refused));
    }
    target.play(cases);
    target.finish();
}

/// Not JSON, or no call.
fn malformed() -> Vec<Vec<u8>> {
    let texts = [
        "",
        " ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "{}",
        "[]",
        "[{}]",
        "null",
        "true",
        "1",
        "-",
        "\"\"",
        "\"",
        "{]",
        "[}",
        "{,}",
        "{\"type\"}",
        "{\"type\":}",
        "{\"type\" \"SUBSCRIBE\"}",
        "{type:\"SUBSCRIBE\"}",
        "{'type':'SUBSCRIBE'}",
        "{\"type\":\"SUBSCRIBE\",}",
        "{\"type\":\"SUBSCRIBE\"}}",
        "{\"type\":\"SUBSCRIBE\"} x",
        "{\"type\":\"SUBSCRIBE\"}{\"type\":\"SUBSCRIBE\"}",
        "// {}",
        "/* */{}",
        "{\"type\":SUBSCRIBE}",
        "{\"type\":\"NONSENSE\"}",
        "{\"type\":\"\"}",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"SUBSCRIBE\\u0000\"}",
        "{\"type\":null}",
        "{\"type\":true}",
        "{\"type\":[]}",
        "{\"type\":{}}",
        "{\"type\":1e999}",
        "{\"type\":-1}",
        "{\"type\":99999999999999999999}",
        "{\"type\":1.5}",
        "{\"type\":NaN}",
        "{\"type\":Infinity}",
        "{\"type\":0x1}",
        "{\"type\":01}",
        "{\"type\":.5}",
        "{\"type\":1.}",
        "{\"type\":+1}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":1}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":[]}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":null}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":1,\"name\":\"n\"}}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\",\"name\":[\"n\"]}}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\"}}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\",\"name\":\"n\",\"failover_timeout\":\"x\"}}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\",\"name\":\"n\",\"checkpoint\":2}}}",
        "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\",\"name\":\"n\",\"roles\":{\"a\":1}}}}",
        "{\"type\":\"SUBSCRIBE\",\"framework_id\":\"a\",\"subscribe\":{\"framework_info\":{\"user\":\"u\",\"name\":\"n\"}}}",
        "{\"type\":\"TEARDOWN\"}",
        "{\"type\":\"TEARDOWN\",\"framework_id\":{}}",
        "{\"type\":\"TEARDOWN\",\"framework_id\":{\"value\":\"\\ud800\"}}",
        "{\"a\":\"\\q\"}",
        "{\"a\":\"\\u12\"}",
        "{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"a\"},\"acknowledge\":{\"agent_id\":{\"value\":\"a\"},\"task_id\":{\"value\":\"t\"},\"uuid\":\"!!!\"}}",
        "{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"a\"},\"acknowledge\":{\"agent_id\":{\"value\":\"a\"},\"task_id\":{\"value\":\"t\"},\"uuid\":\"AAAA\"}}",
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"newline\nhere\"}",
        "\u{feff}{\"type\":\"SUBSCRIBE\"}",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let inside = |value: &[u8]| [br#"{"type":"SUBSCRIBE","subscribe":"#, value, b"}"].concat();
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[[{\"a\":[", "]}]]"), ("{\"subscribe\":", "}")] {
        let text = open.repeat(deep);
        all.push(text.clone().into());
        all.push(inside(text.as_bytes()));
        all.push(inside(format!("{text}1{}", close.repeat(deep)).as_bytes()));
    }
    all.push(b"\xff\xfe{\x00}\x00".to_vec());
    all.push(b"{\"a\":\"\xff\"}".to_vec());
    all.push(b"{\"type\":\"SUB\0SCRIBE\"}".to_vec());
    all.push(vec![b' '; 1 << 20]);
    all.push(vec![b'\\'; 1 << 20]);
    all.push(format!("{{\"type\":{}}}", "9".repeat(1 << 20)).into());
    all.push(format!("{{\"{}\":1}}", "k".repeat(1 << 20)).into());
    all.push(format!("[{}1]", "1,".repeat(500_000)).into());
    all.push(format!("{{{}\"type\":1}}", "\"a\":1,".repeat(200_000)).into());
    all
}

fn framework_info() -> proto::FrameworkInfo {
    proto::FrameworkInfo { user: "root".into(), name: "cut".into(), ..Default::default() }
}

fn subscribe() -> Call {
    Call {
        r#type: Some(Type::Subscribe as i32),
        subscribe: Some(Subscribe { framework_info: framework_info(), ..Default::default() }),
        ..Default::default()
    }
}

/// An ACCEPT with a LAUNCH inside.
pub fn accept(framework: &str, offer: &str, agent: &str) -> Call {
    let resource = proto::Resource {
        name: "cpus".into(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value: 1.0 }),
        ..Default::default()
    };
    let task = proto::TaskInfo {
        name: "task".into(),
        task_id: "task".into(),
        agent_id: agent.into(),
        resources: vec![resource],
        command: Some(proto::CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    };
    let operation = proto::offer::Operation {
        r#type: Some(proto::offer::operation::Type::Launch as i32),
        launch: Some(proto::offer::operation::Launch { task_infos: vec![task] }),
        ..Default::default()
    };
    Call {
        framework_id: Some(framework.into()),
        r#type: Some(Type::Accept as i32),
        accept: Some(Accept {
            offer_ids: vec![offer.into()],
            operations: vec![operation],
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn broken_protobuf() {
    let mut target = Target::start();
    let mut cases = Vec::new();
    let whole = subscribe().encode_to_vec();
    for length in 0..whole.len() {
        let bytes = post(PATH, PROTOBUF, &whole[..length]);
        cases.push(case(format!("SUBSCRIBE cut at {length}"), To::Master, bytes, Expect::Refused));
    }
    let whole = accept("nobody", "none", "no agent").encode_to_vec();
    for length in 0..=whole.len() {
        let bytes = post(PATH, PROTOBUF, &whole[..length]);
        cases.push(case(format!("ACCEPT cut at {length}"), To::Master, bytes, Expect::Refused));
    }
    for (to, path) in CALLS.into_iter().chain(OPERATORS) {
        for (name, body) in nonsense() {
            cases.push(case(format!("{path} {name}"), to, post(path, PROTOBUF, &body), Expect::Refused));
        }
    }
    target.play(cases);
    target.finish();
}

fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |depth: usize| {
        let mut body = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x1a];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            outer.extend_from_slice(&body);
            body = outer;
            if body.len() > 1 << 20 {
                break;
            }
        }
        body
    };
    vec![
        ("nothing", vec![]),
        ("JSON", b"{\"type\":\"SUBSCRIBE\"}".to_vec()),
        ("0xff", vec![0xff; 100]),
        ("zeros", vec![0; 1000]),
        ("endless varint", vec![0x80; 11]),
        ("groups", vec![0x0b; 100_000]),
        ("closed groups", vec![0x0c; 100]),
        ("a group as deep as it is long", [vec![0x0b; 50_000], vec![0x0c; 50_000]].concat()),
        ("field number 0", vec![0x00, 0x01]),
        ("wire type 6", vec![0x0e, 0x01]),
        ("a length of 2^64-1", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a length of 2^31", vec![0x0a, 0x80, 0x80, 0x80, 0x80, 0x08]),
        ("another wire type for a known field", vec![0x0d, 1, 2, 3, 4, 0x18, 1]),
        ("an id that is not UTF-8", vec![0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe, 0x10, 0x02]),
        ("messages in messages", nested(3000)),
    ]
}

#[test]
fn headers_that_do_not_fit() {
    let mut target = Target::start();
    let body = subscribe_json();
    let mut cases = Vec::new();
    let with = |headers: &[(&str, &str)], body: &[u8]| request("POST", PATH, headers, body);
    for (kind, status) in [
        ("text/plain", 415),
        ("text/html", 415),
        ("application/recordio", 415),
        ("", 415),
        ("application/jsonx", 415),
        ("application/json/x", 415),
        ("json", 415),
        ("*/*", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
    ] {
        let expect =
            Expect::Says(status, "Expecting 'Content-Type' of application/json or application/x-protobuf");
        cases.push(case(format!("type {kind}"), To::Master, post(PATH, kind, body.as_bytes()), expect));
    }
    let bytes = with(&[], body.as_bytes());
    cases.push(case(
        "no type",
        To::Master,
        bytes,
        Expect::Says(400, "Expecting 'Content-Type' to be present"),
    ));
    for accept in ["text/html", "application/recordio", "application/json;q=0", "nonsense", ""] {
        let headers = [("Content-Type", JSON), ("Accept", accept)];
        let expect = Expect::Says(406, "Expecting 'Accept' to allow");
        cases.push(case(format!("accept {accept}"), To::Master, with(&headers, body.as_bytes()), expect));
    }
    let headers = [("Content-Type", JSON), ("Mesos-Stream-Id", "1234")];
    let expect = Expect::Says(400, "Subscribe calls should not include the 'Mesos-Stream-Id' header");
    cases.push(case("SUBSCRIBE with a stream id", To::Master, with(&headers, body.as_bytes()), expect));
    for (text, sentence) in [
        (r#"{"type":"ACCEPT"}"#, "Expecting 'framework_id' to be present"),
        (r#"{"type":"TEARDOWN","framework_id":{"value":"x"}}"#, "Framework cannot be found"),
        (r#"{"type":"TEARDOWN","framework_id":{"value":"../../etc"}}"#, "Framework cannot be found"),
        (r#"{"type":"KILL","framework_id":{"value":"x"}}"#, "Expecting 'kill' to be present"),
        (r#"{"type":"SUBSCRIBE"}"#, "Expecting 'subscribe' to be present"),
        ("{}", "Expecting 'type' to be present"),
        ("[]", "Expecting a JSON object"),
    ] {
        cases.push(case(text, To::Master, post(PATH, JSON, text.as_bytes()), Expect::Says(400, sentence)));
    }
    for (text, sentence) in [
        ("{}", "Missing required fields: executor_id, framework_id"),
        (
            r#"{"type":"SUBSCRIBE","framework_id":{"value":"a"},"executor_id":{"value":"b"},"subscribe":{}}"#,
            "Framework cannot be found",
        ),
        (
            r#"{"type":"SUBSCRIBE","framework_id":{"value":"../.."},"executor_id":{"value":"/"},"subscribe":{}}"#,
            "Framework cannot be found",
        ),
        (
            r#"{"type":"UPDATE","framework_id":{"value":"a"},"executor_id":{"value":"b"}}"#,
            "Expecting 'update' to be present",
        ),
    ] {
        cases.push(case(text, To::Agent, post(EXECUTOR, JSON, text.as_bytes()), Expect::Says(400, sentence)));
    }
    target.play(cases);
    target.play(records());
    target.finish();
}

/// RecordIO whose length lies, where a stream of records may be sent and where not.
fn records() -> Vec<Case> {
    let mut cases = Vec::new();
    for body in [
        "5\n{}",
        "99999999999999999999999\n{}",
        "-1\n{}",
        "x\n{}",
        "1\n{}",
        "18446744073709551615\n{}",
        "\n\n\n",
        "0000000000000000000000000000000000002\n{}",
        "2 \n{}",
    ] {
        for (to, path) in [(To::Master, PATH), (To::Agent, EXECUTOR), (To::Agent, "/slave(1)/api/v1")] {
            let headers = [("Content-Type", "application/recordio"), ("Message-Content-Type", JSON)];
            let bytes = request("POST", path, &headers, body.as_bytes());
            cases.push(case(format!("{path} {body:?}"), to, bytes, Expect::NotServed));
        }
    }
    cases
}
