//! Everything that comes in on a role's port: messages from other processes, and ordinary HTTP.
//!
//! A connection begins in `inbound.rs`, and comes here with the first request that is not plainly a message.
//! Connections are accepted by hand because hyper must be told to serve half-closed ones: an unlinked peer
//! sends its message and FIN at once. No timer ends a silent connection: to a peer that is the event "exited".
//! One request of a connection is served at a time, so order is kept and what a pipelining client does not
//! read costs an answer or two.
//!
//! Source: `ProcessManager::handle`, process.cpp 1.11; what differs: broken bodies are 400 and not 500, HEAD has
//! no body, bodies and memory are bounded.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error, warn};

use super::body::{self, Bounds, Budget};
use super::connection::Connection;
use super::{gzip, inbound};
use crate::base::upid::Upid;
use crate::http::error::HttpError;
use crate::http::origin;
use crate::http::route::{Rest, Routes};

/// A message as it came: who it is for, what it is called, who says to have sent it.
#[derive(Debug)]
pub struct IncomingMessage {
    /// The process: `master`, `slave(1)`, `slave-observer(7)`.
    pub receiver: String,
    /// `mesos.internal.RegisterSlaveMessage`; empty if the sender named none.
    pub name: String,
    /// Not proof: the address is [`IncomingMessage::peer`]. None if what it said is no `id@ip:port`.
    pub from: Option<Upid>,
    pub peer: SocketAddr,
    pub body: Bytes,
    /// Keep it as long as the message waits to be handled; dropping the message drops it.
    pub charge: Charge,
}

/// A message's share of the memory for messages that wait. While that is used up, connections with
/// further ones are not read.
#[derive(Debug)]
pub struct Charge {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Takes a process's messages. Called in the order sent; must not wait.
#[derive(Clone)]
pub(super) struct Inbox(Arc<dyn Fn(IncomingMessage) + Send + Sync>);

impl Inbox {
    /// An inbox that panics loses its message, and nobody else anything.
    pub(super) fn deliver(&self, message: IncomingMessage) {
        let peer = message.peer;
        if std::panic::catch_unwind(AssertUnwindSafe(|| (self.0)(message))).is_err() {
            error!(%peer, "a message's inbox panicked");
        }
    }
}

/// The processes that live behind one port and take messages. Cheap to clone; may change while served.
#[derive(Clone, Default)]
pub struct Processes {
    inboxes: Arc<RwLock<HashMap<String, Inbox>>>,
}

impl Processes {
    /// A process of exactly this id.
    pub fn add(&self, id: &str, inbox: impl Fn(IncomingMessage) + Send + Sync + 'static) {
        self.inboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), Inbox(Arc::new(inbox)));
    }

    /// All processes `name(1)`, `name(2)`…, whatever the number, that have no inbox of their own.
    pub fn add_family(&self, name: &str, inbox: impl Fn(IncomingMessage) + Send + Sync + 'static) {
        self.add(&format!("{name}("), inbox);
    }

    pub fn remove(&self, id: &str) {
        self.inboxes.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn find(&self, id: &str) -> Option<Inbox> {
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        inboxes.get(id).or_else(|| inboxes.get(family(id)?)).cloned()
    }
}

/// `slave-observer(` of `slave-observer(7)`.
fn family(id: &str) -> Option<&str> {
    let open = id.strip_suffix(')')?.rfind('(')?;
    let number = &id[open + 1..id.len() - 1];
    let counts = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    counts.then(|| &id[..=open])
}

/// Bounds, all in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One libprocess message. A busy agent's re-registration has many megabytes.
    pub message: usize,
    /// One ordinary request's body, as sent and inflated.
    pub request: usize,
    /// Bodies being read, over all connections.
    pub reading: usize,
    /// Messages read and not yet handled.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { message: 256 << 20, request: 64 << 20, reading: 1 << 30, waiting: 1 << 30 }
    }
}

/// The longest pause inside an ordinary request's body.
const BODY_PAUSE: Duration = Duration::from_secs(60);

/// Above this, a message is decoded off the async threads.
const LARGE_MESSAGE: usize = 1 << 20;

/// Messages are charged in units of this many bytes, at least one each.
const CHARGE_UNIT: usize = 1024;

/// Pending connections: ten thousand agents may come at once. The kernel caps it (`net.core.somaxconn`).
const BACKLOG: u32 = 16_384;

/// How long accepting pauses when the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens; port 0 lets the kernel choose one.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted role takes its port back while old connections are still being forgotten.
    socket.set_reuseaddr(true)?;
    // Accepted sockets have both from it. An answer is written whole; delaying its end would only slow it. The
    // kernel is to notice peers that vanished without a word, in hours: silence alone must never end a connection.
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts and serves for ever. Dropping the future stops accepting; open connections go on.
pub async fn serve(listener: TcpListener, processes: Processes, routes: Routes, limits: Limits) {
    let units = (limits.waiting / CHARGE_UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let server = Arc::new(Server {
        processes,
        // The bodies are bounded before; axum's own bound of 2 MiB is for those that are not.
        router: routes.router().layer(DefaultBodyLimit::disable()),
        routes,
        limits,
        reading: Budget::new(limits.reading),
        waiting: Arc::new(Semaphore::new(units)),
        waiting_units: u32::try_from(units).unwrap_or(u32::MAX),
    });
    let mut failures = 0_u64;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures = 0;
                tokio::spawn(connection(server.clone(), stream, peer));
            }
            Err(error) => {
                // The pause keeps a lasting shortage from filling the log and a core.
                if failures.is_multiple_of(100) {
                    warn!(%error, "failed to accept a connection");
                }
                failures += 1;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

pub(super) struct Server {
    processes: Processes,
    routes: Routes,
    router: Router,
    limits: Limits,
    reading: Arc<Budget>,
    waiting: Arc<Semaphore>,
    waiting_units: u32,
}

async fn connection(server: Arc<Server>, stream: TcpStream, peer: SocketAddr) {
    let connection = Connection::new(stream, peer);
    if let Some(before) = inbound::serve(&server, &connection).await {
        // Apart, so that a connection that only carries messages does not have the room for it.
        Box::pin(serve_http(server, connection, before)).await;
    }
}

async fn serve_http(server: Arc<Server>, connection: Connection, before: Bytes) {
    let peer = connection.peer();
    let io = TokioIo::new(connection.io(before));
    let handle = connection.clone();
    let service = service_fn(move |request| {
        let (server, connection) = (server.clone(), connection.clone());
        async move { Ok::<_, Infallible>(server.answer(connection, request).await) }
    });
    let serving = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .title_case_headers(true)
        .serve_connection(io, service);
    let mut serving = Box::pin(serving);
    let ended = move |served: hyper::Result<()>| {
        if let Err(error) = served {
            debug!(%peer, %error, "connection ended");
        }
    };
    let here = poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Pending if handle.elsewhere().is_some() => Poll::Ready(None),
        polled => polled.map(Some),
    });
    match (here.await, handle.elsewhere()) {
        (Some(served), _) => ended(served),
        (None, Some(elsewhere)) => {
            // What the client may ask next is not for those who do not hurry.
            serving.as_mut().graceful_shutdown();
            elsewhere.spawn(async move { ended(serving.await) });
        }
        (None, None) => {}
    }
}

impl Server {
    async fn answer(&self, connection: Connection, request: Request<Incoming>) -> Response {
        if let Err(error) = unambiguous(request.headers()) {
            let mut response = refused(error);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        if is_message(&request) {
            connection.carries_messages();
            return self.message(connection.peer(), request).await.unwrap_or_else(refused);
        }
        let zipped = gzip::accepted(request.headers());
        // One handler that fails must not look like a network fault to its client.
        match AssertUnwindSafe(self.request(connection, request)).catch_unwind().await {
            Ok(Ok(response)) => gzip::encode(zipped, response).await,
            Ok(Err(error)) => refused(error),
            Err(_) => {
                error!("a request's handler panicked");
                HttpError::internal("500 Internal Server Error.").into()
            }
        }
    }

    async fn message(&self, peer: SocketAddr, request: Request<Incoming>) -> Result<Response, HttpError> {
        let (head, body) = request.into_parts();
        let (receiver, name) = message_target(head.uri.path())?;
        let bounds = Bounds { size: self.limits.message, pause: None };
        let body = body::read(body, bounds, &self.reading).await?;
        let Some(inbox) = self.processes.find(&receiver) else {
            debug!(%peer, receiver, name, "message for no process here");
            return Err(HttpError::not_found());
        };
        let body = gzip::decode(&head.headers, body, self.limits.message).await?;
        let charge = self.charge(body.len()).await;
        let from = sender(&head.headers);
        let large = body.len() > LARGE_MESSAGE;
        let message = IncomingMessage { receiver, name, from, peer, body, charge };
        if large {
            // Only fails if it panicked, which is caught.
            let _ = tokio::task::spawn_blocking(move || inbox.deliver(message)).await;
        } else {
            inbox.deliver(message);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }

    pub(super) fn inbox(&self, receiver: &str) -> Option<Inbox> {
        self.processes.find(receiver)
    }

    /// Waits until there is room for another message.
    pub(super) async fn charge(&self, bytes: usize) -> Charge {
        let units = u32::try_from(bytes / CHARGE_UNIT + 1).unwrap_or(u32::MAX).min(self.waiting_units);
        // It is never closed.
        let permit = self.waiting.clone().acquire_many_owned(units).await.ok();
        Charge { _permit: permit }
    }

    async fn request(
        &self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Result<Response, HttpError> {
        let (mut head, body) = request.into_parts();
        let target = self.routes.find(&head.method, head.uri.path())?;
        origin::check(&head.method, &head.headers)?;
        target.endpoint.check_query(head.uri.query())?;
        let body = if target.endpoint.streaming {
            Body::new(body)
        } else {
            let bounds = Bounds { size: self.limits.request, pause: Some(BODY_PAUSE) };
            let body = body::read(body, bounds, &self.reading).await?;
            let body = gzip::decode(&head.headers, body, self.limits.request).await?;
            for framing in [CONTENT_ENCODING, TRANSFER_ENCODING] {
                head.headers.remove(framing);
            }
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            Body::from(body)
        };
        head.uri = rewritten(&head.uri, &target.route)?;
        head.extensions.insert(ConnectInfo(connection.peer()));
        head.extensions.insert(connection);
        head.extensions.insert(Rest(target.rest));
        let router = TowerToHyperService::new(self.router.clone());
        let Ok(response) = router.call(Request::from_parts(head, body)).await;
        Ok(response)
    }
}

/// The answer to what was not understood; the connection ends with it if what follows cannot be trusted.
fn refused(error: HttpError) -> Response {
    let status = error.status();
    let mut response = Response::from(error);
    if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// 400 if another reader on the way might see the body end elsewhere: its idea of the next request would
/// then be another. One `Transfer-Encoding: chunked` and no length, or at most a length.
fn unambiguous(headers: &HeaderMap) -> Result<(), HttpError> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else { return Ok(()) };
    if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some() {
        return Err(HttpError::bad_request("Expecting 'Transfer-Encoding' to be just 'chunked'"));
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(HttpError::bad_request("Expecting not both 'Content-Length' and 'Transfer-Encoding'"));
    }
    Ok(())
}

/// POST by something that calls itself libprocess. Source: `libprocess(Request*)`, process.cpp 1.11.
fn is_message(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let agent = headers.get(USER_AGENT);
    request.method() == Method::POST
        && (headers.contains_key(LIBPROCESS_FROM)
            || agent.is_some_and(|agent| agent.as_bytes().starts_with(LIBPROCESS_AGENT)))
}

const LIBPROCESS_FROM: &str = "libprocess-from";
const LIBPROCESS_AGENT: &[u8] = b"libprocess/";

/// Who the sender says it is.
fn sender(headers: &HeaderMap) -> Option<Upid> {
    let from = headers.get(LIBPROCESS_FROM).map(HeaderValue::as_bytes);
    let agent = || headers.get(USER_AGENT)?.as_bytes().strip_prefix(LIBPROCESS_AGENT);
    std::str::from_utf8(from.or_else(agent)?).ok()?.trim().parse().ok()
}

/// Receiver and name of `/receiver/name`, the receiver unescaped.
pub(super) fn message_target(path: &str) -> Result<(String, String), HttpError> {
    let path = path
        .strip_prefix('/')
        .ok_or_else(|| HttpError::bad_request("Request URL path must start with '/'"))?;
    let (receiver, name) = path.split_once('/').unwrap_or((path, ""));
    let receiver = percent_decode_str(receiver)
        .decode_utf8()
        .map_err(|_| HttpError::bad_request("Failed to decode the receiver: it is not UTF-8"))?;
    Ok((receiver.into_owned(), name.to_owned()))
}

/// The same request for the route that serves it.
fn rewritten(uri: &Uri, route: &str) -> Result<Uri, HttpError> {
    let path = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{route}?{query}")),
        None => PathAndQuery::try_from(route),
    };
    path.map(Uri::from).map_err(|_| HttpError::bad_request("Failed to read the request's path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_end_in_one_place() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            unambiguous(&headers).is_ok()
        };
        let chunked = ("transfer-encoding", "chunked");
        assert!(of(&[]) && of(&[("content-length", "2")]) && of(&[chunked]));
        assert!(of(&[("transfer-encoding", "Chunked")]));
        assert!(!of(&[chunked, chunked]) && !of(&[chunked, ("content-length", "2")]));
        for value in ["identity, chunked", "gzip, chunked", "chunked, chunked", "xchunked", ""] {
            assert!(!of(&[("transfer-encoding", value)]), "{value}");
        }
    }

    #[test]
    fn families_are_numbered() {
        assert_eq!(family("slave-observer(7)"), Some("slave-observer("));
        for id in ["slave-observer", "slave-observer()", "slave-observer(x)", "(", ")", ""] {
            assert_eq!(family(id), None, "{id}");
        }
    }

    #[test]
    fn targets_of_messages() {
        let target = |path| message_target(path).ok();
        let pair = |receiver: &str, name: &str| Some((receiver.to_owned(), name.to_owned()));
        assert_eq!(target("/master/mesos.scheduler.Call"), pair("master", "mesos.scheduler.Call"));
        assert_eq!(target("/slave%281%29/m"), pair("slave(1)", "m"));
        assert_eq!(target("/master"), pair("master", ""));
        assert_eq!(target("*"), None);
        assert_eq!(target("/%ff/m"), None);
    }

    #[test]
    fn senders() {
        let of = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            sender(&headers).map(|upid| upid.to_string())
        };
        assert_eq!(of("libprocess-from", "a@127.0.0.1:1"), Some("a@127.0.0.1:1".to_owned()));
        assert_eq!(of("user-agent", "libprocess/a@127.0.0.1:1"), Some("a@127.0.0.1:1".to_owned()));
        assert_eq!(of("libprocess-from", "garbage"), None);
        assert_eq!(of("user-agent", "curl/8"), None);
    }
}
