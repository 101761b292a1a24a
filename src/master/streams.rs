//! The streams of v1 schedulers: events go in as messages and come out in their client's content type.
//!
//! Encoding is done by a task per stream and not by the core's loop. What a client has not read is bounded
//! by `http::stream`, what is not encoded yet by [`QUEUE`].

#![expect(clippy::disallowed_methods, reason = "a shell: it starts a task per stream")]

use axum::body::Body;
use prost::Message as _;
use tokio::sync::mpsc;

use super::core::{Event, StreamId};
use super::run::Core;
use crate::http::content::ContentType;
use crate::http::stream::{self, Limits};
use crate::process::connection::Connection;
use crate::proto::json::to_json;
use crate::proto::{Spelling, scheduler};

/// Events that may wait to be encoded. The encoder is faster than the core but for a moment.
const QUEUE: usize = 65_536;

/// The core's end of a stream. Dropped, the stream ends behind what was pushed.
#[derive(Debug)]
pub struct Outlet {
    events: mpsc::Sender<Box<scheduler::Event>>,
}

/// The stream takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Outlet {
    pub fn push(&self, event: Box<scheduler::Event>) -> Result<(), Full> {
        self.events.try_send(event).map_err(|_| Full)
    }
}

/// Makes a stream and the body that carries it. Must be called inside a tokio runtime.
pub fn open(core: Core, id: StreamId, kind: ContentType, connection: Option<Connection>) -> (Outlet, Body) {
    let closed = move |_| core.tell(Event::StreamClosed(id));
    let (writer, body) = stream::open(Limits::default(), connection, closed);
    let (events, mut waiting) = mpsc::channel::<Box<scheduler::Event>>(QUEUE);
    tokio::spawn(async move {
        while let Some(event) = waiting.recv().await {
            // A closed stream was told of by then.
            if writer.send(&encode(&event, kind)).is_err() {
                return;
            }
        }
        writer.finish();
    });
    (Outlet { events }, body)
}

fn encode(event: &scheduler::Event, kind: ContentType) -> Vec<u8> {
    match kind {
        ContentType::Protobuf => event.encode_to_vec(),
        ContentType::Json | ContentType::RecordIo => to_json(event, Spelling::V1),
    }
}
