//! The connections to the agent: one for the stream of events, one for all other calls, in their order.
//!
//! Source: `MesosProcess`, executor/executor.cpp 1.11.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::error;

use super::core::Event;
use crate::http::recordio::Decoder;
use crate::proto::executor::{Call, call};

const PROTOBUF: &str = "application/x-protobuf";

/// The largest event.
const EVENT_LIMIT: usize = 256 << 20;

/// How much of a refusal is shown.
const REFUSAL_LIMIT: usize = 64 << 10;

/// Where the agent is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Agent {
    pub address: SocketAddr,
    pub path: String,
    pub token: Option<String>,
}

/// Event of a connection, with the number of that.
pub type Numbered = (u64, Event);

/// Takes the calls of one connection until it is dropped.
pub struct Calls {
    subscribe: mpsc::UnboundedSender<Call>,
    others: mpsc::UnboundedSender<Call>,
}

impl Calls {
    /// What a connection that is gone is given is dropped: the next SUBSCRIBE says it again.
    pub fn send(&self, call: Call) {
        let to = if call.r#type() == call::Type::Subscribe { &self.subscribe } else { &self.others };
        let _ = to.send(call);
    }
}

/// Begins to connect; `Connected` or `Disconnected` follows, and in the end `Disconnected` in any case.
pub fn connect(agent: Agent, number: u64, events: mpsc::UnboundedSender<Numbered>) -> Calls {
    let (subscribe, subscribes) = mpsc::unbounded_channel();
    let (others, other_calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let connection = Connection { agent, number, events };
        let Err(reason) = connection.run(subscribes, other_calls).await;
        connection.tell(Event::Disconnected(reason));
    });
    Calls { subscribe, others }
}

struct Connection {
    agent: Agent,
    number: u64,
    events: mpsc::UnboundedSender<Numbered>,
}

type Calling = mpsc::UnboundedReceiver<Call>;

impl Connection {
    fn tell(&self, event: Event) {
        // The loop that listened has ended, and with it the process.
        let _ = self.events.send((self.number, event));
    }

    /// Until either connection ends.
    async fn run(&self, mut subscribes: Calling, mut others: Calling) -> Result<Infallible, String> {
        let (mut stream_sender, stream_connection) = self.open().await?;
        let (mut call_sender, call_connection) = self.open().await?;
        self.tell(Event::Connected);
        tokio::select! {
            biased;
            ended = self.stream(&mut stream_sender, &mut subscribes) => ended,
            ended = self.calls(&mut call_sender, &mut others) => ended,
            _ = stream_connection => Err("Subscribe connection interrupted".to_owned()),
            _ = call_connection => Err("Non-subscribe connection interrupted".to_owned()),
        }
    }

    async fn open(
        &self,
    ) -> Result<(SendRequest<Full<Bytes>>, http1::Connection<TokioIo<TcpStream>, Full<Bytes>>), String> {
        let stream = TcpStream::connect(self.agent.address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(&self.agent.path)
            .header(HOST, self.agent.address.to_string())
            .header(ACCEPT, PROTOBUF)
            .header(CONTENT_TYPE, PROTOBUF);
        if let Some(token) = &self.agent.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::new(call.encode_to_vec().into())).map_err(|error| error.to_string())
    }

    /// Subscribes as often as it is told to, and reads events once it is.
    async fn stream(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        calls: &mut Calling,
    ) -> Result<Infallible, String> {
        loop {
            let Some(call) = calls.recv().await else { return std::future::pending().await };
            let response =
                sender.send_request(self.request(&call)?).await.map_err(|error| error.to_string())?;
            if response.status() == StatusCode::OK {
                return self.events(response.into_body()).await;
            }
            self.tell(Event::Refused(refusal(response).await));
        }
    }

    async fn events(&self, mut body: Incoming) -> Result<Infallible, String> {
        let mut decoder = Decoder::new(EVENT_LIMIT);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("Failed to decode the stream of events: {error}"))?;
            if let Some(data) = frame.data_ref() {
                decoder.push(data);
            }
            while let Some(record) = decoder.next_record().map_err(|error| error.to_string())? {
                match crate::proto::check::decode(&record) {
                    Ok(event) => self.tell(Event::Received(Box::new(event))),
                    Err(failure) => error!("Failed to de-serialize event: {failure}"),
                }
            }
        }
        Err("End-Of-File received from agent. The agent closed the event stream".to_owned())
    }

    /// One call after the other.
    async fn calls(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        calls: &mut Calling,
    ) -> Result<Infallible, String> {
        loop {
            let Some(call) = calls.recv().await else { return std::future::pending().await };
            let response =
                sender.send_request(self.request(&call)?).await.map_err(|error| error.to_string())?;
            if response.status() != StatusCode::ACCEPTED {
                let kind = call.r#type().as_str_name();
                error!("Received unexpected {} for {kind}", refusal(response).await);
                continue;
            }
            // The connection is free again once the answer is read.
            let _ = Limited::new(response.into_body(), REFUSAL_LIMIT).collect().await;
        }
    }
}

/// `'503 Service Unavailable' (Agent has not finished recovery)`.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_LIMIT).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    format!("'{status}' ({})", String::from_utf8_lossy(&body))
}
