//! One subscription of a v1 scheduler: a stream of events, and calls beside it.
//!
//! A call has a connection of its own, opened for it: there are few. The caller waits for each, which keeps
//! their order.
#![expect(clippy::disallowed_methods, reason = "a shell: a task drives each connection")]

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::TcpStream;
use tracing::debug;

use crate::http::content::ContentType;
use crate::http::recordio::Decoder;
use crate::proto::Spelling;
use crate::proto::check::decode_as;
use crate::proto::json::{from_json, to_json};
use crate::proto::scheduler::{Call, Event};

const PATH: &str = "/api/v1/scheduler";
const STREAM_ID: &str = "Mesos-Stream-Id";

/// The largest event, and how much of a refusal is read.
const EVENT_LIMIT: usize = 256 << 20;
const REFUSAL_LIMIT: usize = 64 << 10;

/// Without a heartbeat for so long, a stream is dead. Source: five heartbeats of 15 s, scheduler.cpp 1.11.
const SILENCE: Duration = Duration::from_secs(75);

/// Redirects followed in a row.
const REDIRECTS: usize = 5;

/// What may go wrong between a scheduler and its master.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("finding the leading master: {0}")]
    NoLeader(String),
    #[error("connecting to {address}")]
    Connect { address: String, source: io::Error },
    #[error("talking to {address}")]
    Talk { address: String, source: hyper::Error },
    /// The master understood, and will not. `again` if it may do so later.
    #[error("{status}: {text}")]
    Refused { status: StatusCode, text: String, again: bool },
    #[error("the stream of events broke: {0}")]
    Broken(String),
}

impl SessionError {
    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        !matches!(self, SessionError::Refused { again: false, .. })
    }
}

/// A subscription.
pub struct Session {
    /// `host:port` of the leading master.
    address: String,
    kind: ContentType,
    stream: HeaderValue,
    body: Incoming,
    decoder: Decoder,
}

impl Session {
    /// Subscribes with the master at `host:port`, or with the leader that it names.
    pub async fn subscribe(address: &str, kind: ContentType, call: &Call) -> Result<Session, SessionError> {
        let mut address = address.to_owned();
        for _ in 0..REDIRECTS {
            let response = post(&address, kind, call, None).await?;
            if response.status() == StatusCode::TEMPORARY_REDIRECT {
                address = leader(&response)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(refused(response).await);
            }
            let stream = response.headers().get(STREAM_ID).cloned();
            let stream =
                stream.ok_or_else(|| SessionError::Broken("it has no Mesos-Stream-Id".to_owned()))?;
            let decoder = Decoder::new(EVENT_LIMIT);
            return Ok(Session { address, kind, stream, body: response.into_body(), decoder });
        }
        Err(SessionError::Broken("redirected in a circle".to_owned()))
    }

    /// The next event; none when the master has ended the stream. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Event>, SessionError> {
        let broken = |error: String| SessionError::Broken(error);
        loop {
            if let Some(record) = self.decoder.next_record().map_err(|error| broken(error.to_string()))? {
                return self.decode(&record).map(Some).map_err(broken);
            }
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            match frame.map_err(|_| broken("no heartbeat came".to_owned()))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(&data);
                    }
                }
            }
        }
    }

    /// Makes a call and waits until the master has taken it.
    pub async fn call(&self, call: &Call) -> Result<(), SessionError> {
        let response = post(&self.address, self.kind, call, Some(&self.stream)).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response).await) }
    }

    fn decode(&self, record: &[u8]) -> Result<Event, String> {
        match self.kind {
            ContentType::Protobuf => decode_as(record, Spelling::V1).map_err(|error| error.to_string()),
            ContentType::Json | ContentType::RecordIo => {
                from_json(record, Spelling::V1).map_err(|error| error.to_string())
            }
        }
    }
}

async fn post(
    address: &str,
    kind: ContentType,
    call: &Call,
    stream: Option<&HeaderValue>,
) -> Result<Response<Incoming>, SessionError> {
    let connect = |source| SessionError::Connect { address: address.to_owned(), source };
    let talk = |source| SessionError::Talk { address: address.to_owned(), source };
    let socket = TcpStream::connect(address).await.map_err(connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(talk)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection to the master ended");
        }
    });
    let body = match kind {
        ContentType::Protobuf => call.encode_to_vec(),
        ContentType::Json | ContentType::RecordIo => to_json(call, Spelling::V1),
    };
    let mut request = Request::post(PATH)
        .header(HOST, address)
        .header(CONTENT_TYPE, kind.as_str())
        .header(ACCEPT, kind.as_str());
    if let Some(stream) = stream {
        request = request.header(STREAM_ID, stream);
    }
    let request = request.body(Full::new(Bytes::from(body)));
    let request = request.map_err(|error| connect(io::Error::other(error)))?;
    sender.send_request(request).await.map_err(talk)
}

/// The `host:port` in `//host:port/api/v1/scheduler`, also with a scheme.
fn leader(response: &Response<Incoming>) -> Result<String, SessionError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authority = location.split_once("//").and_then(|(_, rest)| rest.split('/').next());
    let authority = authority.filter(|authority| !authority.is_empty());
    authority.map(str::to_owned).ok_or_else(|| SessionError::Broken("redirected to nowhere".to_owned()))
}

async fn refused(response: Response<Incoming>) -> SessionError {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_LIMIT).collect().await;
    let text = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    SessionError::Refused {
        status,
        text,
        again: status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED,
    }
}
