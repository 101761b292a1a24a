//! HTTP that is none, or that two readers would read differently.

use super::{Case, Expect, Target, To, case};
use crate::support::raw::{self, request};
use crate::support::scheduler::PATH;

#[test]
fn broken_requests() {
    let mut target = Target::start();
    target.play(lines());
    target.play(lengths_and_chunks());
    target.play(paths());
    target.play(methods());
    target.play(queries());
    target.finish();
}

fn raw_case(name: &str, text: impl Into<Vec<u8>>, expect: Expect) -> Case {
    case(name, To::Master, text.into(), expect)
}

fn lines() -> Vec<Case> {
    use Expect::{Harmless, NotHttp};
    let with_header = |header: &str| format!("GET /health HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
    vec![
        raw_case("HTTP/9.9", "GET /health HTTP/9.9\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("HTTX/1.1", "GET /health HTTX/1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("HTTP/1.1.1", "GET /health HTTP/1.1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NotHttp),
        raw_case("no version", "GET /health\r\n\r\n", NotHttp),
        raw_case("no path", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("two paths", "GET /health /state HTTP/1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh".to_vec(), NotHttp),
        raw_case("binary", (0..=255).chain(0..=255).collect::<Vec<u8>>(), NotHttp),
        raw_case("NUL in the path", "GET /hea\0lth HTTP/1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("NUL in a method", "GE\0T /health HTTP/1.1\r\nHost: a\r\n\r\n", NotHttp),
        raw_case("space in a header's name", with_header("Con nection: close"), NotHttp),
        raw_case("space before the colon", "GET /health HTTP/1.1\r\nHost : a\r\n\r\n", NotHttp),
        raw_case("header without a colon", with_header("nonsense"), NotHttp),
        raw_case("header without a name", with_header(": x"), NotHttp),
        raw_case("NUL in a header", with_header("X: a\0b"), NotHttp),
        raw_case("newline in a header", with_header("X: a\rb"), NotHttp),
        raw_case("folded header", with_header("X: a\r\n b"), NotHttp),
        raw_case("bare newlines", "GET /health HTTP/1.1\nHost: a\n\n", Harmless),
        raw_case("two Hosts", with_header("Host: b"), Harmless),
        raw_case("no Host", "GET /health HTTP/1.1\r\n\r\n", Harmless),
        raw_case("bytes above 127 in a header", with_header("X: \u{fc}\u{1F600}"), Harmless),
        raw_case("Expect", with_header("Expect: 100-continue"), Harmless),
        raw_case(
            "Upgrade",
            with_header("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
            Harmless,
        ),
        raw_case("Range", with_header("Range: bytes=0-18446744073709551615,0-,-1"), Harmless),
        raw_case("a thousand headers", with_header("X: y\r\n".repeat(1000).trim_end()), NotHttp),
        raw_case("a header of 2 MB", with_header(&format!("X: {}", "y".repeat(2 << 20))), NotHttp),
        raw_case("a path of 2 MB", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(2 << 20)), NotHttp),
        raw_case(
            "a path of 60 KB",
            format!("GET /{} HTTP/1.1\r\n\r\n", "a/".repeat(30_000)),
            Expect::Refused,
        ),
        raw_case("a method of 1 MB", format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(1 << 20)), NotHttp),
    ]
}

fn lengths_and_chunks() -> Vec<Case> {
    use Expect::{Harmless, NotHttp, Refused};
    // A second reader, trusting the other length, would take what follows for a request.
    let inner = "GET /master/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let with = |headers: &str, body: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}"
        )
    };
    let chunked = |body: &str| with("Transfer-Encoding: chunked", body);
    let mut cases = vec![
        raw_case("negative length", with("Content-Length: -2", "{}"), NotHttp),
        raw_case("signed length", with("Content-Length: +2", "{}"), NotHttp),
        raw_case("length that is no number", with("Content-Length: two", "{}"), NotHttp),
        raw_case("length in hex", with("Content-Length: 0x2", "{}"), NotHttp),
        raw_case("empty length", with("Content-Length: ", "{}"), NotHttp),
        raw_case("length of 2^64", with("Content-Length: 18446744073709551616", "{}"), NotHttp),
        raw_case("length of 2^63", with("Content-Length: 9223372036854775808", "{}"), NotHttp),
        raw_case("two lengths", with("Content-Length: 2\r\nContent-Length: 3", "{}"), NotHttp),
        raw_case("a list of lengths", with("Content-Length: 2, 3", "{}"), NotHttp),
        raw_case(
            "length and chunks",
            with("Content-Length: 2\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{inner}")),
            NotHttp,
        ),
        raw_case(
            "chunks and length",
            with("Transfer-Encoding: chunked\r\nContent-Length: 2", "2\r\n{}\r\n0\r\n\r\n"),
            Harmless,
        ),
        raw_case(
            "chunked twice",
            with("Transfer-Encoding: chunked, chunked", "2\r\n{}\r\n0\r\n\r\n"),
            NotHttp,
        ),
        raw_case(
            "two Transfer-Encodings",
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", &format!("0\r\n\r\n{inner}")),
            NotHttp,
        ),
        raw_case(
            "two times chunked",
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            NotHttp,
        ),
        raw_case("identity", with("Transfer-Encoding: identity", "{}"), NotHttp),
        raw_case("xchunked", with("Transfer-Encoding: xchunked", "0\r\n\r\n"), NotHttp),
        raw_case("gzip, chunked", with("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), NotHttp),
        raw_case(
            "chunks in HTTP/1.0",
            chunked("2\r\n{}\r\n0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
            NotHttp,
        ),
        raw_case(
            "space before the encoding's colon",
            with("Transfer-Encoding : chunked", "0\r\n\r\n"),
            NotHttp,
        ),
        raw_case("a trailer", chunked("2\r\n{}\r\n0\r\nA: b\r\n\r\n"), Refused),
        raw_case(
            "ten thousand trailers",
            chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(10_000))),
            NotHttp,
        ),
        raw_case("a chunk without its end", chunked("2\r\n{}0\r\n\r\n"), Refused),
        raw_case(
            "a chunk's extension of 1 MB",
            chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(1 << 20))),
            NotHttp,
        ),
        raw_case("gzip that is none", with("Content-Encoding: gzip\r\nContent-Length: 4", "nope"), Refused),
        raw_case("an unknown encoding", with("Content-Encoding: br\r\nContent-Length: 2", "{}"), Refused),
    ];
    for size in ["zz", "-1", "+1", "", " ", "0x2", "ffffffffffffffff1", "fffffffffffffffff", "2 2", "\0"] {
        let name = format!("chunk size {size:?}");
        cases.push(raw_case(&name, chunked(&format!("{size}\r\n{{}}\r\n0\r\n\r\n")), Refused));
    }
    cases
}

fn paths() -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes = [
        "/%zz",
        "/state%zz",
        "/master%zz/state",
        "/%",
        "/state%",
        "/%2",
        "/%00",
        "/%ff%fe",
        "/..",
        "/../state",
        "/state/../health",
        "/master/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/master/../slave(1)/state",
        "/\\..\\etc",
        "/nothing",
        "/master/nothing",
        "/statee",
        "/state.xml",
        "/slave()/state",
        "/slave(99999999999)/state",
        "/help/nothing/at/all/\u{e9}",
    ];
    for path in shapes {
        for to in [To::Master, To::Agent] {
            let bytes = request("GET", path, &[], b"");
            // `/help/…` is not there on every process, and unknown help is 400 or 404.
            cases.push(case(format!("{to:?} {path}"), to, bytes, Expect::Refused));
        }
    }
    for path in ["http://elsewhere/health", "*", "health", "?", "#", "elsewhere:80"] {
        let bytes = request("GET", path, &[], b"");
        cases.push(case(format!("target {path}"), To::Master, bytes, Expect::Harmless));
    }
    cases
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for (to, path) in [(To::Master, PATH), (To::Master, "/teardown"), (To::Agent, "/api/v1/executor")] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "NONSENSE"] {
            let bytes = request(method, path, &[], b"");
            let expect = Expect::Says(405, "Expecting one of { 'POST' }, but received '");
            cases.push(case(format!("{method} {path}"), to, bytes, expect));
        }
        cases.push(case(format!("HEAD {path}"), to, request("HEAD", path, &[], b""), Expect::Status(405)));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "HEAD"] {
        let bytes = request(method, "/state", &[], b"");
        cases.push(case(format!("{method} /state"), To::Master, bytes, Expect::Harmless));
    }
    cases
}

fn queries() -> Vec<Case> {
    use Expect::{Harmless, NotHttp, Refused, Says};
    let long = format!("/tasks?task_id={}", "a".repeat(50_000));
    [
        ("/tasks?offset=-1", Refused),
        ("/tasks?limit=-1", Refused),
        ("/tasks?limit=many", Refused),
        ("/tasks?offset=1e99", Refused),
        ("/tasks?limit=99999999999999999999999", Refused),
        ("/tasks?limit=1&limit=2", Harmless),
        ("/tasks?framework_id=../..&task_id=%00", Harmless),
        ("/tasks?order=sideways", Harmless),
        (long.as_str(), Harmless),
        ("/state?jsonp=alert(1)//", Refused),
        ("/state?jsonp=%3Cscript%3E", Refused),
        ("/state?jsonp=<script>", NotHttp),
        ("/slaves?slave_id=%00%2f..", Harmless),
        ("/frameworks?framework_id=\u{e9}", Harmless),
        ("/state?%zz=%&&&=&a=b=c", Harmless),
        ("/metrics/snapshot?timeout=x", Says(400, "Invalid timeout 'x'")),
        ("/metrics/snapshot?timeout=-1secs", Harmless),
    ]
    .into_iter()
    .map(|(path, expect)| case(shortened(path), To::Master, raw::get(path), expect))
    .collect()
}

fn shortened(path: &str) -> String {
    path.chars().take(80).collect()
}

/// What two readers might divide differently must end the connection: the inner request gets no answer.
#[test]
fn nothing_is_smuggled() {
    use std::io::{Read, Write};
    use std::time::Duration;

    let target = Target::start();
    let inner = "GET /version HTTP/1.1\r\nHost: a\r\n\r\n";
    let outer = format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", 5 + inner.len()),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Content-Length: 5\r\nContent-Length: 50".to_owned(),
    ] {
        let mut stream = raw::connect(target.cluster.port);
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{outer}{headers}\r\n\r\n0\r\n\r\n{inner}").as_bytes()).unwrap();
        let mut answers = Vec::new();
        // A reset ends it as well as a close.
        let _ = stream.read_to_end(&mut answers);
        let text = String::from_utf8_lossy(&answers);
        assert!(text.matches("HTTP/1.1 ").count() <= 1, "{headers}: {text}");
        assert!(!text.contains("git_sha") && !text.contains("build_date"), "{headers}: {text}");
    }
    target.finish();
}
