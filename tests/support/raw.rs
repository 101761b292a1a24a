//! HTTP by the byte: what a client library would never send, and what came back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before the exchange is called silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer of a server.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without chunks.
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// How an exchange ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    Answered(Answer),
    /// Closed without a whole answer.
    Closed,
    /// Neither answered nor closed.
    Silent,
}

impl Outcome {
    pub fn status(&self) -> u16 {
        match self {
            Outcome::Answered(answer) => answer.status,
            Outcome::Closed | Outcome::Silent => 0,
        }
    }

    pub fn answer(self) -> Answer {
        match self {
            Outcome::Answered(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// A request with `Host`, the headers given and a `Content-Length` if there is a body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        out.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() || method == "POST" {
        out.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    out.extend(b"\r\n");
    out.extend(body);
    out
}

pub fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], b"")
}

pub fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    request("POST", path, &[("Content-Type", content_type)], body)
}

/// A libprocess message as an unlinked peer sends it, but for the FIN.
pub fn message(path: &str, from: &str, body: &[u8]) -> Vec<u8> {
    let agent = format!("libprocess/{from}");
    let headers = [("User-Agent", agent.as_str()), ("Libprocess-From", from), ("Connection", "Keep-Alive")];
    request("POST", path, &headers, body)
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connecting");
    stream.set_nodelay(true).expect("an option of the socket");
    stream
}

/// Sends the bytes on a connection of their own and reads one answer.
pub fn exchange(port: u16, bytes: &[u8]) -> Outcome {
    exchange_on(&connect(port), bytes)
}

/// As `exchange`, with a server that may not be there.
pub fn try_exchange(port: u16, bytes: &[u8]) -> Outcome {
    TcpStream::connect(("127.0.0.1", port)).map_or(Outcome::Closed, |stream| exchange_on(&stream, bytes))
}

fn exchange_on(stream: &TcpStream, bytes: &[u8]) -> Outcome {
    let mut writer = stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        // The server may answer and close before it has read all.
        scope.spawn(move || {
            let _ = writer.write_all(bytes);
        });
        let outcome = read_answer(stream, bytes.starts_with(b"HEAD "));
        let _ = stream.shutdown(Shutdown::Both);
        outcome
    })
}

/// Reads one answer off a connection; of a stream only its head and what came with it.
pub fn read_answer(stream: &TcpStream, head_only: bool) -> Outcome {
    let end = Instant::now() + PATIENCE;
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("an option of the socket");
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        if let Some(answer) = parse(&bytes, head_only, false) {
            return Outcome::Answered(answer);
        }
        match (&mut &*stream).read(&mut buffer) {
            Ok(0) => return parse(&bytes, head_only, true).map_or(Outcome::Closed, Outcome::Answered),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if is_timeout(&error) => {
                // An event stream says nothing more for a while, and is an answer all the same.
                if let Some(answer) = parse(&bytes, true, false).filter(is_stream) {
                    return Outcome::Answered(Answer { body: bytes, ..answer });
                }
                if Instant::now() > end {
                    return Outcome::Silent;
                }
            }
            Err(_) => return Outcome::Closed,
        }
    }
}

fn is_stream(answer: &Answer) -> bool {
    // Operators' streams have no id; what is not a stream says its length.
    answer.header("mesos-stream-id").is_some() || answer.header("transfer-encoding") == Some("chunked")
}

pub fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The answer that the bytes start with, if it is whole.
pub fn parse(bytes: &[u8], head_only: bool, ended: bool) -> Option<Answer> {
    let head_end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let answer = Answer { status, headers, body: Vec::new() };
    let rest = &bytes[head_end + 4..];
    if head_only || matches!(status, 204 | 304) {
        return Some(answer);
    }
    if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Some(Answer { body: unchunk(rest)?, ..answer });
    }
    match answer.header("content-length") {
        Some(length) => {
            let body = rest.get(..length.parse().ok()?)?.to_vec();
            Some(Answer { body, ..answer })
        }
        None => ended.then(|| Answer { body: rest.to_vec(), ..answer }),
    }
}

/// The body out of its chunks, if the last one is there.
fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(bytes, b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
        bytes = bytes.get(line + 2 + size + 2..)?;
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
