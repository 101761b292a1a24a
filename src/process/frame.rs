//! A message as libprocess writes it: one POST whose whole body is one chunk.

use std::io::Write as _;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::base::upid::Upid;

/// What may not stand as it is in a request line. Parentheses stay: libprocess writes `slave(1)` unescaped.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'?');

/// Bodies up to this size are copied behind their header, so that many small messages leave in one write.
const COPIED: usize = 16 * 1024;

/// Appends the message to `out`; a body too large to copy is handed back, to be written next and followed
/// by [`TRAILER`].
///
/// Source: `MessageEncoder::encode`, encoder.hpp 1.11. Ids come from peers too, so what could break the
/// request line is percent-encoded, which receivers decode; libprocess writes it raw.
pub fn write(out: &mut Vec<u8>, from: &Upid, to: &Upid, name: &str, body: Bytes) -> Option<Bytes> {
    let receiver = utf8_percent_encode(&to.id, NOT_IN_PATH);
    let name = utf8_percent_encode(name, NOT_IN_PATH);
    let sender = utf8_percent_encode(&from.id, NOT_IN_PATH);
    let address = from.address;
    // Nobody may have an empty id, but libprocess would not write `//` for it either.
    let slash = if to.id.is_empty() { "" } else { "/" };
    let written = write!(
        out,
        "POST {slash}{receiver}/{name} HTTP/1.1\r\n\
         User-Agent: libprocess/{sender}@{address}\r\n\
         Libprocess-From: {sender}@{address}\r\n\
         Connection: Keep-Alive\r\n\
         Host: \r\n"
    );
    written.expect("writing to memory does not fail");
    if body.is_empty() {
        out.extend_from_slice(b"\r\n");
        return None;
    }
    write!(out, "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len())
        .expect("writing to memory does not fail");
    if body.len() > COPIED {
        return Some(body);
    }
    out.extend_from_slice(&body);
    out.extend_from_slice(TRAILER);
    None
}

/// What ends a message that has a body.
pub const TRAILER: &[u8] = b"\r\n0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(to: &str, name: &str, body: &'static [u8]) -> String {
        let from = "slave(1)@127.0.0.1:16100".parse().unwrap();
        let to = Upid::new(to, "127.0.0.1:5050".parse().unwrap());
        let mut out = Vec::new();
        if let Some(body) = write(&mut out, &from, &to, name, Bytes::from_static(body)) {
            out.extend_from_slice(&body);
            out.extend_from_slice(TRAILER);
        }
        String::from_utf8(out).unwrap()
    }

    /// The form captured from a real agent.
    #[test]
    fn with_a_body() {
        assert_eq!(
            text("master", "mesos.internal.RegisterSlaveMessage", &[b'x'; 175]),
            format!(
                "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\n\
                 User-Agent: libprocess/slave(1)@127.0.0.1:16100\r\n\
                 Libprocess-From: slave(1)@127.0.0.1:16100\r\n\
                 Connection: Keep-Alive\r\n\
                 Host: \r\n\
                 Transfer-Encoding: chunked\r\n\
                 \r\n\
                 af\r\n{}\r\n0\r\n\r\n",
                "x".repeat(175)
            )
        );
    }

    #[test]
    fn without_a_body_the_blank_line_ends_it() {
        let text = text("slave-observer(12)", "mesos.internal.PongSlaveMessage", b"");
        assert!(text.starts_with("POST /slave-observer(12)/mesos.internal.PongSlaveMessage HTTP/1.1\r\n"));
        assert!(text.ends_with("Connection: Keep-Alive\r\nHost: \r\n\r\n"));
        assert!(!text.contains("Transfer-Encoding"));
    }

    #[test]
    fn a_large_body_is_not_copied() {
        static BODY: [u8; COPIED + 1] = [b'y'; COPIED + 1];
        let text = text("master", "m", &BODY);
        assert!(text.contains("\r\n\r\n4001\r\nyyy"));
        assert!(text.ends_with("y\r\n0\r\n\r\n"));
    }

    #[test]
    fn an_id_cannot_split_the_request() {
        let text = text("a b\r\nX: y", "n\n", b"");
        assert!(text.starts_with("POST /a%20b%0D%0AX:%20y/n%0A HTTP/1.1\r\n"));
    }
}
