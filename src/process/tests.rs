//! Real sockets on loopback: what peers send, and what they must find.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::Request;

use super::connection::Connection;
use super::link::{Exited, Links};
use super::server::{self, IncomingMessage, Limits, Processes};
use crate::base::upid::Upid;
use crate::http::route::{Endpoint, Routes};
use crate::http::stream::{self, Closed, Writer};

const DEADLINE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A server in a runtime of its own, as a process would have it.
struct Site {
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    got: Arc<Mutex<Vec<IncomingMessage>>>,
    streams: Arc<Mutex<Vec<Writer>>>,
    ended: Arc<Mutex<Vec<Closed>>>,
}

impl Site {
    fn new() -> Site {
        Site::with(Limits { message: 8 << 20, request: 4 << 20, ..Limits::default() })
    }

    fn with(limits: Limits) -> Site {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = {
            let _inside = runtime.enter();
            server::bind("127.0.0.1:0".parse().unwrap()).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let (got, streams, ended) = <(Arc<_>, Arc<_>, Arc<_>)>::default();
        let site = Site { address, runtime, got, streams, ended };
        let processes = Processes::default();
        let got = site.got.clone();
        processes.add("master", move |message| got.lock().unwrap().push(message));
        let got = site.got.clone();
        processes.add_family("slave-observer", move |message| got.lock().unwrap().push(message));
        site.runtime.spawn(server::serve(listener, processes, site.routes(), limits));
        site
    }

    fn routes(&self) -> Routes {
        let mut routes = Routes::new();
        routes.delegate("master");
        let row = |path| Endpoint { path, ..Endpoint::DEFAULT };
        routes.add("master", &row("/health"), any(|| async {}));
        routes.add("master", &row("/echo"), any(|body: Bytes| async { body }));
        routes.add("master", &row("/big"), any(|| async { vec![b'x'; 1 << 20] }));
        routes.add("master", &row("/panic"), any(panic_now));
        routes.add("master", &Endpoint { methods: &["POST"], ..row("/post") }, any(|| async {}));
        let (streams, ended) = (self.streams.clone(), self.ended.clone());
        let subscribe = move |request: Request<axum::body::Body>| async move {
            let connection = request.extensions().get::<Connection>().cloned();
            let limits = stream::Limits { bytes: 1 << 20, records: 1000 };
            let (writer, body) = stream::open(limits, connection, move |why| ended.lock().unwrap().push(why));
            writer.send(b"hello").unwrap();
            streams.lock().unwrap().push(writer);
            Response::new(body)
        };
        routes.add("master", &row("/stream"), any(subscribe));
        routes
    }

    fn connect(&self) -> StdStream {
        let stream = StdStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes and reads all that comes until the server closes.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn bodies(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn links(&self) -> (Links, tokio::sync::mpsc::UnboundedReceiver<Exited>) {
        let _guard = self.runtime.enter();
        Links::with_queue_limit(1 << 20)
    }
}

async fn panic_now() {
    panic!("a fault of ours");
}

fn message(body: &str) -> Vec<u8> {
    let from = "slave(1)@127.0.0.1:16100".parse().unwrap();
    let to = Upid::new("master", "127.0.0.1:5050".parse().unwrap());
    let mut out = Vec::new();
    let rest =
        super::frame::write(&mut out, &from, &to, "test.Message", Bytes::copy_from_slice(body.as_bytes()));
    if let Some(rest) = rest {
        out.extend_from_slice(&rest);
        out.extend_from_slice(super::frame::TRAILER);
    }
    out
}

fn from() -> Upid {
    "master@127.0.0.1:5050".parse().unwrap()
}

#[test]
fn a_message_followed_at_once_by_fin_is_taken() {
    let site = Site::new();
    for number in 0..400 {
        let mut stream = site.connect();
        stream.write_all(&message(&number.to_string())).unwrap();
    }
    wait_until("400 messages", || site.count() == 400);
}

/// A one-shot connection with several messages: our answer to the first meets a reset. Few enough that all
/// have left the sender by then; what a reset finds in its buffers is lost there.
#[test]
fn messages_before_a_close_are_all_taken() {
    let site = Site::new();
    for _ in 0..500 {
        let mut stream = site.connect();
        let all: Vec<u8> = (0..20).flat_map(|number| message(&format!("{number:0900}"))).collect();
        stream.write_all(&all).unwrap();
    }
    wait_until("10,000 messages", || site.count() == 10_000);
}

#[test]
fn messages_of_a_connection_keep_their_order() {
    let site = Site::new();
    let all: Vec<u8> = (0..1000).flat_map(|number| message(&number.to_string())).collect();
    let answer = site.exchange(&all);
    assert_eq!(answer.matches("HTTP/1.1 202 Accepted").count(), 1000);
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(site.bodies(), expected);
    let got = site.got.lock().unwrap();
    assert_eq!(got[0].receiver, "master");
    assert_eq!(got[0].name, "test.Message");
    assert_eq!(got[0].from, Some("slave(1)@127.0.0.1:16100".parse().unwrap()));
}

#[test]
fn messages_for_nobody_are_404_and_families_are_known() {
    let site = Site::new();
    let to = |id: &str| {
        let text = String::from_utf8(message("x")).unwrap().replace("/master/", &format!("/{id}/"));
        site.exchange(text.as_bytes())
    };
    assert!(to("slave-observer(7)").starts_with("HTTP/1.1 202"));
    assert!(to("slave-observer%287%29").starts_with("HTTP/1.1 202"));
    let answer = to("nobody");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found"), "{answer}");
    assert!(answer.ends_with("404 Not Found."), "{answer}");
    assert_eq!(site.got.lock().unwrap()[1].receiver, "slave-observer(7)");
}

#[test]
fn large_messages_pass_and_too_large_ones_do_not() {
    let site = Site::new();
    let answer = site.exchange(&message(&"x".repeat(3 << 20)));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(site.got.lock().unwrap()[0].body.len(), 3 << 20);
    let answer = site.exchange(&message(&"x".repeat(9 << 20)));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(site.count(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::new();
    let mut all = Vec::new();
    for number in 0..100 {
        all.extend_from_slice(
            format!("POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\n{number:04}").as_bytes(),
        );
        all.extend_from_slice(&message("between"));
    }
    let answer = site.exchange(&all);
    let numbers: Vec<&str> =
        answer.split("\r\n\r\n").filter(|part| part.starts_with('0')).map(|part| &part[..4]).collect();
    let expected: Vec<String> = (0..100).map(|number| format!("{number:04}")).collect();
    assert_eq!(numbers, expected);
    assert_eq!(site.count(), 100);
}

#[test]
fn what_is_no_http_does_no_harm() {
    let site = Site::new();
    let inputs: [&[u8]; 10] = [
        b"\x00\xff\x16\x03\x01garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTX/1.1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /echo HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
        b"POST /echo HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello",
        b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /master/m HTTP/1.1\r\nLibprocess-From: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ];
    for input in inputs {
        let answer = site.exchange(input);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{input:?}: {answer}");
    }
    assert_eq!(site.count(), 0);
    assert!(site.exchange(b"GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn bodies_are_bounded() {
    let site = Site::new();
    let declared = site.exchange(b"POST /echo HTTP/1.1\r\nContent-Length: 99999999\r\n\r\nhello");
    assert!(declared.starts_with("HTTP/1.1 413 "), "{declared}");
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zipped.write_all(&vec![0; 64 << 20]).unwrap();
    let zipped = zipped.finish().unwrap();
    let head =
        format!("POST /echo HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zipped.len());
    let bomb = site.exchange(&[head.as_bytes(), &zipped].concat());
    assert!(bomb.starts_with("HTTP/1.1 413 "), "{bomb}");
    let head = "POST /echo HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(300_000);
    let answer = site.exchange(format!("{head}{chunks}0\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{}", &answer[..100.min(answer.len())]);
    assert!(answer.ends_with(&"x".repeat(300_000)));
}

#[test]
fn ordinary_requests() {
    let site = Site::new();
    let head = site.exchange(b"HEAD /big HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Length: 1048576\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("\r\nDate: "), "{head}");
    let zipped = site.exchange(b"GET /big HTTP/1.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    assert!(zipped.contains("Content-Encoding: gzip\r\n") && zipped.len() < 20_000, "{}", zipped.len());
    assert!(site.exchange(b"DELETE /master/health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(site.exchange(b"GET /post HTTP/1.1\r\n\r\n").contains("Allow: POST\r\n"));
    assert!(site.exchange(b"GET /master/../etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(site.exchange(b"GET /panic HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 500 "));
    // Not a message, since it is no POST.
    assert!(
        site.exchange(b"PUT /master/health HTTP/1.1\r\nLibprocess-From: x\r\n\r\n")
            .starts_with("HTTP/1.1 200 ")
    );
}

/// No half-close here: the server itself must end these.
#[test]
fn closes_when_asked_to() {
    let site = Site::new();
    for request in ["GET /health HTTP/1.0\r\n\r\n", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"] {
        let mut stream = site.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn one_chunk_for_each_record_and_the_end_of_the_client_is_told() {
    let site = Site::new();
    let mut stream = site.connect();
    stream.write_all(b"POST /stream HTTP/1.1\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(b"7\r\n5\nhello\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    assert!(String::from_utf8_lossy(&answer).contains("Transfer-Encoding: chunked"));
    // Only its sending side: a libprocess server takes that for the end, and so do we.
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the owner being told", || *site.ended.lock().unwrap() == [Closed::Disconnected]);
}

#[test]
fn a_client_that_does_not_read_its_stream_is_cut_off() {
    let site = Site::new();
    let mut stream = site.connect();
    stream.write_all(b"POST /stream HTTP/1.1\r\n\r\n").unwrap();
    wait_until("the stream", || site.streams.lock().unwrap().len() == 1);
    let writer = site.streams.lock().unwrap()[0].clone();
    let record = vec![b'x'; 100_000];
    wait_until("the cut", || writer.send(&record).is_err());
    assert_eq!(*site.ended.lock().unwrap(), [Closed::Overflow]);
    let mut all = Vec::new();
    // A reset or an end, but not a clean end of the stream.
    let _ = stream.read_to_end(&mut all);
    assert!(!all.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_link_carries_messages_in_order_and_tells_its_end_once() {
    let site = Site::new();
    let (links, mut exits) = site.links();
    let to = Upid::new("master", site.address);
    links.link(site.address);
    for number in 0..2000 {
        links.send(&from(), &to, "test.Message", Bytes::from(number.to_string()));
    }
    wait_until("2000 messages", || site.count() == 2000);
    let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(site.bodies(), expected);
    let peers: std::collections::BTreeSet<SocketAddr> =
        site.got.lock().unwrap().iter().map(|m| m.peer).collect();
    assert_eq!(peers.len(), 1, "one connection");
    assert!(exits.try_recv().is_err());
}

#[test]
fn unlinked_messages_arrive_and_leave_no_connection() {
    let site = Site::new();
    let (links, mut exits) = site.links();
    let to = Upid::new("master", site.address);
    for number in 0..200 {
        links.send(&from(), &to, "test.Message", Bytes::from(vec![b'x'; 10 * number]));
        if number % 50 == 0 {
            wait_until("the messages so far", || site.count() == number + 1);
        }
    }
    wait_until("200 messages", || site.count() == 200);
    assert!(exits.try_recv().is_err());
}

#[test]
fn exits_are_told_for_closed_and_for_unreachable_peers() {
    let site = Site::new();
    let (links, mut exits) = site.links();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    links.link(address);
    links.link(address);
    let (peer, _) = listener.accept().unwrap();
    drop(peer);
    wait_until("an exit", || exits.try_recv() == Ok(Exited { address }));
    // The link is gone; nothing reconnects by itself, a message goes by a one-shot connection.
    links.send(&from(), &Upid::new("x", address), "test.Message", Bytes::new());
    let (mut peer, _) = listener.accept().unwrap();
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("POST /x/test.Message HTTP/1.1\r\n"));
    drop((peer, listener));
    links.link(address);
    wait_until("another exit", || exits.try_recv() == Ok(Exited { address }));
    assert!(exits.try_recv().is_err());
}

#[test]
fn a_relink_takes_a_new_socket_without_an_exit() {
    let site = Site::new();
    let (links, mut exits) = site.links();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    links.link(address);
    let (mut first, _) = listener.accept().unwrap();
    links.relink(address);
    let (second, _) = listener.accept().unwrap();
    assert_eq!(first.read(&mut [0; 10]).unwrap(), 0, "the first is closed");
    assert!(exits.try_recv().is_err());
    drop(second);
    wait_until("the exit of the second", || exits.try_recv() == Ok(Exited { address }));
}

#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let site = Site::new();
    let (links, mut exits) = site.links();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    links.link(address);
    let (_peer, _) = listener.accept().unwrap();
    let body = Bytes::from(vec![b'x'; 200_000]);
    wait_until("the exit", || {
        links.send(&from(), &Upid::new("x", address), "test.Message", body.clone());
        exits.try_recv() == Ok(Exited { address })
    });
}

/// Answers to many messages must be read while writing, or both sides wait for ever.
#[test]
fn answers_do_not_stop_the_messages() {
    let site = Site::with(Limits::default());
    let _guard = site.runtime.enter();
    let (links, _exits) = Links::new();
    let to = Upid::new("master", site.address);
    links.link(site.address);
    for number in 0..200_000 {
        links.send(&from(), &to, "test.Message", Bytes::from(vec![b'x'; number % 100]));
    }
    wait_until("200,000 messages", || site.count() == 200_000);
}

/// What waits to be handled is bounded: the connection is read on only when there is room.
#[test]
fn waiting_messages_are_bounded() {
    let site = Site::with(Limits { waiting: 10 << 10, ..Limits::default() });
    let all: Vec<u8> = (0..20).flat_map(|number| message(&number.to_string())).collect();
    let mut stream = site.connect();
    stream.write_all(&all).unwrap();
    wait_until("ten messages", || site.count() == 10);
    site.got.lock().unwrap().clear();
    wait_until("the other ten", || site.count() == 10);
}

#[test]
fn unread_answers_cost_little() {
    let site = Site::new();
    let streams: Vec<StdStream> = (0..50)
        .map(|_| {
            let mut stream = site.connect();
            stream.write_all(&b"GET /big HTTP/1.1\r\n\r\n".repeat(200)).unwrap();
            stream
        })
        .collect();
    // Ten thousand answers of 1 MiB were asked for; others are served before any of those is read.
    assert!(site.exchange(b"GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    drop(streams);
}

#[tokio::test]
async fn a_silent_connection_is_watched_for_its_end_behind_pipelined_bytes() {
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let connection = Connection::new(stream, peer);
    client.write_all(b"pipelined").unwrap();
    let watch = tokio::spawn(connection.gone());
    assert!(!watch.is_finished());
    drop(client);
    tokio::time::timeout(DEADLINE, watch).await.unwrap().unwrap();
}

/// What takes long to read must not hold up anybody else.
#[test]
fn others_are_served_while_large_bodies_are_read() {
    let site = Site::with(Limits::default());
    let chunks = "1\r\nx\r\n".repeat(1 << 18);
    let head = "POST /echo HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let busy: Vec<Vec<u8>> = vec![
        format!("{head}{chunks}0\r\n\r\n").into_bytes(),
        format!("{head}{chunks}0\r\n\r\n").into_bytes(),
        message(&"x".repeat(16 << 20)),
        message(&"x".repeat(16 << 20)),
    ];
    std::thread::scope(|scope| {
        let site = &site;
        let workers: Vec<_> =
            busy.into_iter().map(|bytes| scope.spawn(move || site.exchange(&bytes))).collect();
        // Were they served between one body and the next only, there would be about as many answers as bodies.
        let mut served = 0;
        while !workers.iter().all(|worker| worker.is_finished()) {
            assert!(site.exchange(b"GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
            served += 1;
        }
        assert!(served > 5 * workers.len(), "{served} answers");
        for worker in workers {
            assert!(worker.join().unwrap().starts_with("HTTP/1.1 20"));
        }
    });
    assert_eq!(site.count(), 2);
}
