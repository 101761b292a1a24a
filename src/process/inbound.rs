//! Messages as libprocess writes them, read from a connection without the machinery of HTTP.
//!
//! Nearly all that agents and drivers send is small, whole, and of one form; a peer's connection lives for months
//! and must cost little in between. So connections begin here: while whole messages of that form come, they are
//! parsed where they lie in a buffer that the thread's connections share, and their answers leave in one write. Anything
//! else, from an ordinary request to a message with a peculiar header, goes to hyper with all that was read of
//! it (`server.rs`), which then keeps the connection.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;

use super::connection::Connection;
use super::server::{Inbox, IncomingMessage, Server, message_target};
use crate::base::upid::Upid;

/// The longest body that is read here; longer ones are counted against the server's memory while they come.
const LONGEST_BODY: usize = 48 * 1024;
const LONGEST_HEAD: usize = 8 * 1024;

/// Read at once.
const BUFFER: usize = 64 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// A message with its inbox.
struct Found {
    message: Plain,
    inbox: Inbox,
}

/// What to do next with a connection.
enum Next {
    Go,
    /// The peer has closed it, or it broke.
    End,
    /// What comes next is not for here.
    Http,
}

/// Takes messages off a connection until something else comes: gives the bytes that were read of that. `None` when
/// the connection is over.
pub(super) async fn serve(server: &Server, connection: &Connection) -> Option<Bytes> {
    let mut rest = Vec::new();
    let mut deaf = false;
    loop {
        connection.readable().await.ok()?;
        let mut found = Vec::new();
        let next = read(server, connection, &mut rest, &mut found);
        if !found.is_empty() {
            connection.carries_messages();
            let answers = accepted(found.len());
            for Found { message, inbox } in found {
                // Lets other connections have their turn, too.
                let charge = server.charge(message.body.len()).await;
                let Plain { receiver, name, from, body } = message;
                let peer = connection.peer();
                inbox.deliver(IncomingMessage { receiver, name, from, peer, body, charge });
            }
            // A peer that has closed wants no answers, and its messages must still be read.
            deaf = deaf || connection.write_all(answers.as_bytes()).await.is_err();
        }
        match next {
            Next::Go => {}
            Next::End => return None,
            Next::Http => return Some(rest.into()),
        }
    }
}

/// Reads once and takes all whole messages; `rest` is what was read and not taken.
fn read(server: &Server, connection: &Connection, rest: &mut Vec<u8>, found: &mut Vec<Found>) -> Next {
    BUFFERS.with_borrow_mut(|buffer| {
        let count = match connection.read(buffer) {
            Ok(0) => return Next::End,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Go,
            Err(_) => return Next::End,
        };
        if rest.is_empty() {
            let (next, taken) = take(server, &buffer[..count], found);
            // Without the room to grow: most of what waits for its other half is never longer.
            *rest = buffer[taken..count].to_vec();
            return next;
        }
        rest.extend_from_slice(&buffer[..count]);
        let (next, taken) = take(server, rest, found);
        rest.drain(..taken);
        if rest.is_empty() {
            *rest = Vec::new();
        }
        next
    })
}

/// Takes whole messages off the front of `bytes`; gives how much they were.
fn take(server: &Server, bytes: &[u8], found: &mut Vec<Found>) -> (Next, usize) {
    let mut taken = 0;
    while taken < bytes.len() {
        let (message, length) = match parse(&bytes[taken..]) {
            Parsed::Whole(message, length) => (message, length),
            Parsed::Part => break,
            Parsed::Other => return (Next::Http, taken),
        };
        let Some(inbox) = server.inbox(&message.receiver) else { return (Next::Http, taken) };
        found.push(Found { message, inbox });
        taken += length;
    }
    (Next::Go, taken)
}

/// So many answers. Source: `Accepted` in process.cpp 1.11.
fn accepted(count: usize) -> String {
    let date = httpdate::HttpDate::from(SystemTime::now());
    let mut one = String::with_capacity(96);
    write!(one, "HTTP/1.1 202 Accepted\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n")
        .expect("writing to memory does not fail");
    one.repeat(count)
}

/// A message without what the server knows of it.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    receiver: String,
    name: String,
    from: Option<Upid>,
    body: Bytes,
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// A message, and its length on the wire.
    Whole(Plain, usize),
    /// The beginning of a message, or of something that may still become one.
    Part,
    Other,
}

/// How a body is announced.
enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// Looks at what begins here. Nothing is refused: what is not plainly a message is `Other`.
fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial)
            if bytes.len() <= LONGEST_HEAD && b"POST /".starts_with(&bytes[..bytes.len().min(6)]) =>
        {
            return Parsed::Part;
        }
        Ok(httparse::Status::Partial) | Err(_) => return Parsed::Other,
    };
    let path = request.path.filter(|path| !path.contains(['?', '#']));
    let target = path.and_then(|path| message_target(path).ok());
    let (Some("POST"), Some(1), Some((receiver, name))) = (request.method, request.version, target) else {
        return Parsed::Other;
    };
    let Some((from, framing)) = described(request.headers) else { return Parsed::Other };
    let after = &bytes[head..];
    let (start, length, end) = match framing {
        Framing::None => (0, 0, 0),
        Framing::Length(length) => (0, length, length),
        Framing::Chunked => match chunk(after) {
            Chunk::Whole(start, length, end) => (start, length, end),
            Chunk::Part => return Parsed::Part,
            Chunk::Other => return Parsed::Other,
        },
    };
    if length > LONGEST_BODY {
        return Parsed::Other;
    }
    match after.get(start..start + length) {
        Some(body) => {
            let body = Bytes::copy_from_slice(body);
            Parsed::Whole(Plain { receiver, name, from, body }, head + end)
        }
        None => Parsed::Part,
    }
}

/// Who sends it, and how its body comes; `None` if it is no message or says more than we would look at.
fn described(headers: &[httparse::Header<'_>]) -> Option<(Option<Upid>, Framing)> {
    let (mut from, mut agent, mut framing) = (None, None, Framing::None);
    for header in headers {
        let value = header.value;
        match header.name.len() {
            15 if header.name.eq_ignore_ascii_case("libprocess-from") => from = from.or(Some(value)),
            10 if header.name.eq_ignore_ascii_case("user-agent") => {
                agent = agent.or_else(|| value.strip_prefix(b"libprocess/"));
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                if !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                if !matches!(framing, Framing::None) || !value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                framing = Framing::Chunked;
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                if !matches!(framing, Framing::None) || !digits {
                    return None;
                }
                framing = Framing::Length(std::str::from_utf8(value).ok()?.parse().ok()?);
            }
            4 if header.name.eq_ignore_ascii_case("host") => {}
            6 if header.name.eq_ignore_ascii_case("accept") => {}
            15 if header.name.eq_ignore_ascii_case("accept-encoding") => {}
            12 if header.name.eq_ignore_ascii_case("content-type") => {}
            _ => return None,
        }
    }
    let sender = std::str::from_utf8(from.or(agent)?).ok().and_then(|text| text.trim().parse().ok());
    Some((sender, framing))
}

enum Chunk {
    /// Where the body starts, how long it is, and where its end mark ends.
    Whole(usize, usize, usize),
    Part,
    Other,
}

/// A body in one chunk, which is how libprocess writes it.
fn chunk(bytes: &[u8]) -> Chunk {
    let (start, size) = match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) if bytes.len() <= LONGEST_HEAD => return Chunk::Part,
        Ok(httparse::Status::Partial) | Err(_) => return Chunk::Other,
    };
    let Some(length) = usize::try_from(size).ok().filter(|length| *length <= LONGEST_BODY) else {
        return Chunk::Other;
    };
    let mark: &[u8] = if length == 0 { b"\r\n" } else { b"\r\n0\r\n\r\n" };
    let after = bytes.get(start + length..).unwrap_or_default();
    match after.get(..mark.len()) {
        Some(found) if found == mark => Chunk::Whole(start, length, start + length + mark.len()),
        None if mark.starts_with(after) => Chunk::Part,
        _ => Chunk::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /slave(1)/mesos.Message HTTP/1.1\r\nUser-Agent: libprocess/a@127.0.0.1:1\r\n";

    fn whole(text: &str) -> Option<(String, usize)> {
        match parse(text.as_bytes()) {
            Parsed::Whole(message, length) => {
                assert_eq!((&*message.receiver, &*message.name), ("slave(1)", "mesos.Message"));
                assert_eq!(message.from.map(|from| from.to_string()), Some("a@127.0.0.1:1".to_owned()));
                Some((String::from_utf8(message.body.to_vec()).unwrap(), length))
            }
            Parsed::Part | Parsed::Other => None,
        }
    }

    #[test]
    fn messages_of_every_framing_and_every_part_of_them() {
        let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let lengthy = format!("{HEAD}Content-Length: 5\r\n\r\nhello");
        let empty = format!("{HEAD}\r\n");
        let nothing = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        for (text, body) in [(&chunked, "hello"), (&lengthy, "hello"), (&empty, ""), (&nothing, "")] {
            assert_eq!(whole(text), Some((body.to_owned(), text.len())), "{text}");
            assert_eq!(whole(&format!("{text}POST")), Some((body.to_owned(), text.len())), "{text}");
            for end in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Part, "{}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_is_peculiar_is_left_to_others() {
        for text in [
            "GET /health HTTP/1.1\r\n",
            "POST /api/v1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "\x16\x03\x01",
            &format!("{HEAD}Content-Encoding: gzip\r\n\r\n"),
            &format!("{HEAD}Connection: close\r\n\r\n"),
            &format!("{HEAD}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
            &format!("{HEAD}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
            &format!("{HEAD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
            &format!("{HEAD}Content-Length: +1\r\n\r\nx"),
            &format!("{HEAD}Content-Length: 99999999999999999999\r\n\r\n"),
            &format!("{HEAD}Content-Length: 1000000\r\n\r\n"),
            &format!("{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nthere\r\n0\r\n\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nfffff\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n"),
            &format!("{}\r\n", HEAD.replace("HTTP/1.1", "HTTP/1.0")),
            &format!("{}\r\n", HEAD.replace("/slave(1)", "/%ff")),
            &format!("{}\r\n", HEAD.replace("/mesos", "/?mesos")),
            &format!("{HEAD}{}", "X: y\r\n".repeat(2000)),
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Other, "{text}");
        }
    }

    #[test]
    fn answers_are_whole() {
        let two = accepted(2);
        assert_eq!(two.matches("HTTP/1.1 202 Accepted\r\nDate: ").count(), 2);
        assert_eq!(two.matches(" GMT\r\nContent-Length: 0\r\n\r\n").count(), 2);
    }
}
