//! More than anybody should send or ask for at once: memory stays bounded, and others are served meanwhile.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{Expect, Target, To, case};
use crate::support::raw::{self, message, post, request};
use crate::support::scheduler::{PATH, Scheduler, framework};
use crate::support::wait_for;

const MB: usize = 1 << 20;

#[test]
fn large_bodies() {
    let mut target = Target::start();
    let arrays = format!("[{}1]", "[],".repeat(17 * MB));
    let objects = format!("{{\"type\":\"SUBSCRIBE\",\"x\":[{}1]}}", "{},".repeat(16 * MB));
    let text = format!("{{\"type\":\"{}\"}}", "x".repeat(50 * MB));
    let keys: String = (0..3_000_000).map(|i| format!("\"k{i:07}\":1,")).collect();
    let keys = format!("{{{keys}\"type\":1}}");
    // Field 100 of Call, which there is none of.
    let unknown = [0xa2, 0x06, 0x01, b'x'].repeat(50 * MB / 4);
    let form = format!("frameworkId={}", "x".repeat(50 * MB));
    let mut cases = Vec::new();
    for (name, body) in [("arrays", &arrays), ("objects", &objects), ("text", &text), ("keys", &keys)] {
        cases.push(case(name, To::Master, post(PATH, "application/json", body.as_bytes()), Expect::Refused));
    }
    cases.push(case(
        "unknown fields",
        To::Master,
        post(PATH, "application/x-protobuf", &unknown),
        Expect::Refused,
    ));
    cases.push(case(
        "a form",
        To::Master,
        post("/teardown", "application/x-www-form-urlencoded", form.as_bytes()),
        Expect::Refused,
    ));
    let executor = "/slave(1)/api/v1/executor";
    cases.push(case(
        "arrays",
        To::Agent,
        post(executor, "application/json", arrays.as_bytes()),
        Expect::Refused,
    ));
    cases.push(case(
        "unknown fields",
        To::Agent,
        post(executor, "application/x-protobuf", &unknown),
        Expect::Refused,
    ));
    // What needs no body ignores it.
    cases.push(case(
        "a body for /state",
        To::Master,
        post("/state", "text/plain", text.as_bytes()),
        Expect::Harmless,
    ));
    for to in [To::Master, To::Agent] {
        let path = if to == To::Master {
            "/master/mesos.internal.RegisterSlaveMessage"
        } else {
            "/slave(1)/mesos.internal.RunTaskMessage"
        };
        cases.push(case(
            "a message of unknown fields",
            to,
            message(path, "a@127.0.0.1:1", &unknown),
            Expect::Status(202),
        ));
        cases.push(case(
            "a message of zeros",
            to,
            message(path, "a@127.0.0.1:1", &vec![0; 50 * MB]),
            Expect::Status(202),
        ));
    }
    target.play(cases);
    target.finish();
}

fn zipped(bytes: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    bytes.for_each(|piece| encoder.write_all(&piece).expect("into memory"));
    encoder.finish().expect("into memory")
}

#[test]
fn bombs() {
    let mut target = Target::start();
    // 256 KB for 256 MB, then the same of brackets, and a bomb in a bomb.
    let zeros = zipped((0..256).map(|_| vec![0; MB]));
    let brackets = zipped((0..256).map(|_| vec![b'['; MB]));
    let twice = zipped([zeros.clone()].into_iter());
    let headers = |kind| [("Content-Type", kind), ("Content-Encoding", "gzip")];
    let mut cases = Vec::new();
    for (name, bomb) in [("zeros", &zeros), ("brackets", &brackets), ("a bomb in a bomb", &twice)] {
        for kind in ["application/json", "application/x-protobuf"] {
            let bytes = request("POST", PATH, &headers(kind), bomb);
            cases.push(case(format!("{name} as {kind}"), To::Master, bytes, Expect::Refused));
        }
        let mut bytes = message("/master/mesos.internal.RegisterSlaveMessage", "a@127.0.0.1:1", bomb);
        let at = raw::find(&bytes, b"User-Agent").expect("a header");
        bytes.splice(at..at, b"Content-Encoding: gzip\r\n".iter().copied());
        cases.push(case(format!("{name} as a message"), To::Master, bytes, Expect::Harmless));
    }
    let cut = &zeros[..zeros.len() / 2];
    cases.push(case(
        "cut",
        To::Master,
        request("POST", PATH, &headers("application/json"), cut),
        Expect::Refused,
    ));
    target.play(cases);
    target.finish();
}

#[test]
fn a_million_chunks() {
    let mut target = Target::start();
    let mut bytes = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(b"1\r\n[\r\n".repeat(1_048_576));
    bytes.extend(b"0\r\n\r\n");
    let chunks = case("a million chunks", To::Master, bytes, Expect::Refused);
    let empty = case(
        "nothing for long",
        To::Master,
        {
            let mut bytes = b"\r\n".repeat(200_000);
            bytes.extend(raw::get("/health"));
            bytes
        },
        Expect::Harmless,
    );
    target.play(vec![chunks, empty]);
    target.finish();
}

/// 100 clients ask 200 times each and never read.
#[test]
fn answers_that_nobody_reads() {
    let target = Target::start();
    let port = target.cluster.port;
    let asked = raw::get("/state").repeat(200);
    let streams: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = raw::connect(port);
            stream.set_write_timeout(Some(Duration::from_secs(1))).expect("an option of the socket");
            // What does not fit into the socket's buffers stays unsent.
            let _ = stream.write_all(&asked);
            stream
        })
        .collect();
    // They hold no one up.
    for _ in 0..20 {
        assert_eq!(raw::exchange(port, &raw::get("/state")).status(), 200);
    }
    drop(streams);
    target.finish();
}

/// Half a request, a byte now and then, a body that never comes: others are served.
#[test]
fn slow_clients() {
    let target = Target::start();
    let port = target.cluster.port;
    let starts: [&[u8]; 6] = [
        b"", b"G", b"GET /state HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000000\r\n\r\n{",
        b"POST /api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n{",
        b"POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Length: 200000000\r\n\r\nx",
    ];
    let mut streams = Vec::new();
    for start in starts {
        for _ in 0..100 {
            let mut stream = raw::connect(port);
            stream.write_all(start).expect("sending");
            streams.push(stream);
        }
    }
    for _ in 0..20 {
        assert_eq!(raw::exchange(port, &raw::get("/state")).status(), 200);
    }
    let mut scheduler = Scheduler::subscribe(port, framework("beside"));
    scheduler.run("beside", "true");
    scheduler.until("beside", "TASK_FINISHED");
    drop(streams);
    target.finish();
}

/// A scheduler that reads nothing is let go or waited for, and costs no memory without end.
#[test]
fn a_scheduler_that_does_not_read() {
    let target = Target::start();
    let port = target.cluster.port;
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": framework("deaf")}}).to_string();
    let mut stream = raw::connect(port);
    stream.write_all(&post(PATH, "application/json", call.as_bytes())).expect("sending");
    let mut head = [0; 4096];
    let count = stream.read(&mut head).expect("an answer");
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    let find = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let stream_id = find("mesos-stream-id").expect("a stream");
    let framework_id = wait_for("the framework", || {
        let frameworks = target.cluster.json("/frameworks")?;
        Some(frameworks["frameworks"][0]["id"].as_str()?.to_owned())
    });
    // Every reconciliation of many unknown tasks is answered by as many updates.
    let tasks: Vec<_> =
        (0..10_000).map(|i| json!({"task_id": {"value": format!("{i}{}", "x".repeat(100))}})).collect();
    let call =
        json!({"type": "RECONCILE", "framework_id": {"value": framework_id}, "reconcile": {"tasks": tasks}})
            .to_string();
    let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", stream_id.as_str())];
    let end = Instant::now() + Duration::from_secs(20);
    let mut calls = 0;
    while calls < 60 && Instant::now() < end {
        let status = raw::exchange(port, &request("POST", PATH, &headers, call.as_bytes())).status();
        calls += 1;
        // Refused once the stream was ended.
        if status != 202 {
            assert!((400..500).contains(&status), "{status}");
            break;
        }
    }
    assert!(calls > 1);
    drop(stream);
    target.finish();
}
