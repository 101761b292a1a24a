//! The master over HTTP: each request becomes an event or a read, and its answer a response.
//!
//! `routes` is the table. Reads go through `reads`, which renders a snapshot away from the core; changes go
//! through `scheduler`, `operator` and `legacy` and are decided by the core alone. Start reading at `routes.rs`.
//!
//! Absent on purpose: what an answer says (`view`, `core`), and sockets (`process::server`).

mod absent;
mod events;
mod legacy;
mod operator;
mod pages;
mod reads;
mod registry;
mod routes;
mod scheduler;
mod settled;
mod stats;
mod through;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::sync::Semaphore;

use super::core::{Answer, Event, ReplyId};
use super::events::Hub;
use super::feed::Feed;
use super::flags::Flags;
use super::run::{Core, Ended};
use super::seat::Seat;
use crate::files::Files;
use crate::http::error::HttpError;
use crate::http::route::Rest;
use crate::logging::Log;
use crate::metrics::Metrics;
use crate::proto::MasterInfo;

pub use routes::bind;

/// Calls that may be with the core at once; further ones wait for their turn, with their bodies.
const CALLS: usize = 1024;

/// Bodies above this many bytes are parsed off the async threads.
const LARGE_BODY: usize = 64 << 10;

/// Large bodies parsed at once: parsing is all CPU, and the core needs some too.
const PARSES: usize = 2;

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    core: Core,
    flags: Arc<Flags>,
    info: Arc<MasterInfo>,
    seat: Seat,
    tools: Tools,
    reads: reads::Reads,
    calls: Semaphore,
    parses: Semaphore,
    feed: Feed,
    whole: pages::Whole,
    through: Arc<Semaphore>,
}

/// What other endpoints of the process serve too.
#[derive(Clone)]
pub struct Tools {
    pub files: Files,
    pub log: Log,
    pub metrics: Metrics,
    pub events: Hub,
}

impl Site {
    /// Fails if no thread can be started.
    pub fn new(
        core: Core,
        flags: Arc<Flags>,
        info: Arc<MasterInfo>,
        seat: Seat,
        tools: Tools,
    ) -> io::Result<Site> {
        let reads = reads::Reads::new(tools.metrics.counter("master/http_cache_hits"))?;
        let (calls, parses) = (Semaphore::new(CALLS), Semaphore::new(PARSES));
        let (feed, whole) = (Feed::new(core.clone()), pages::Whole::default());
        let through = Arc::new(Semaphore::new(through::MOST));
        let inner = Inner { core, flags, info, seat, tools, reads, calls, parses, feed, whole, through };
        Ok(Site { inner: Arc::new(inner) })
    }

    fn webui_dir(&self) -> Option<&Path> {
        self.inner.flags.webui_dir.as_deref()
    }

    /// Has the core decide on a call.
    async fn ask(&self, event: impl FnOnce(ReplyId) -> Event) -> Result<Answer, HttpError> {
        let _turn = self.inner.calls.acquire().await;
        self.inner.core.ask(event).await.map_err(ended)
    }

    /// Parses a body, aside if it is large.
    async fn parse<T: Send + 'static>(
        &self,
        size: usize,
        parse: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
    ) -> Result<T, HttpError> {
        if size <= LARGE_BODY {
            return parse();
        }
        let _turn = self.inner.parses.acquire().await;
        crate::files::handlers::blocking(parse).await
    }
}

/// Passes on what only the leader answers, from a master that is not.
///
/// Source: the first lines of most of `Master::Http`, http.cpp 1.11.
async fn leader_only(State(site): State<Site>, request: Request, next: Next) -> Response {
    if site.inner.seat.is_ours() {
        return next.run(request).await;
    }
    let rest = request.extensions().get::<Rest>().map(|rest| rest.0.clone()).unwrap_or_default();
    site.inner.seat.elsewhere(request.uri(), &rest).into()
}

fn ended(ended: Ended) -> HttpError {
    HttpError::service_unavailable(ended.to_string())
}

/// What a client is told. `Subscribed` has a body of its own.
fn status(answer: Answer) -> Response {
    let (status, text) = match answer {
        // Success has no word to say, and so no content type either.
        Answer::Subscribed | Answer::Ok => return StatusCode::OK.into_response(),
        Answer::Accepted => return StatusCode::ACCEPTED.into_response(),
        Answer::BadRequest(text) => (StatusCode::BAD_REQUEST, text),
        Answer::Forbidden(text) => (StatusCode::FORBIDDEN, text),
        Answer::NotFound(text) => (StatusCode::NOT_FOUND, text),
        Answer::NotImplemented(text) => (StatusCode::NOT_IMPLEMENTED, text),
        Answer::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    (status, text).into_response()
}
