//! The agent over HTTP: each request becomes an event or a read, and its answer a response.
//!
//! `routes` is the table. Start reading there.
//!
//! Absent on purpose: what an answer says (`view`, `core`), and sockets (`process::server`).

mod executor;
mod operator;
mod reads;
mod routes;

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::sync::Semaphore;

use super::containerizer::mesos::Containerizer;
use super::core::Answer;
use super::flags::Flags;
use super::run::{Core, Ended};
use crate::files::Files;
use crate::http::error::HttpError;
use crate::logging::Log;
use crate::metrics::Metrics;
use crate::proto::json::JsonError;

pub use routes::bind;

/// Calls that may be with the core at once; further ones wait for their turn, with their bodies.
const CALLS: usize = 1024;

/// Bodies above this many bytes are parsed off the async threads.
const LARGE_BODY: usize = 64 << 10;

/// Large bodies parsed, and states rendered, at once.
const WORKERS: usize = 2;

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    /// Tells this run of the agent from others.
    life: String,
    core: Core,
    flags: Arc<Flags>,
    containerizer: Containerizer,
    tools: Tools,
    calls: Semaphore,
    workers: Semaphore,
}

/// What other endpoints of the process serve too.
#[derive(Clone)]
pub struct Tools {
    pub files: Files,
    pub log: Log,
    pub metrics: Metrics,
}

impl Site {
    pub fn new(core: Core, flags: Arc<Flags>, containerizer: Containerizer, tools: Tools) -> Site {
        let (calls, workers) = (Semaphore::new(CALLS), Semaphore::new(WORKERS));
        let life = uuid::Uuid::new_v4().to_string();
        Site { inner: Arc::new(Inner { life, core, flags, containerizer, tools, calls, workers }) }
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
        self.aside(parse).await
    }

    /// Does work that takes its time where it holds up nobody.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
    ) -> Result<T, HttpError> {
        let _turn = self.inner.workers.acquire().await;
        crate::files::handlers::blocking(work).await
    }
}

fn ended(ended: Ended) -> HttpError {
    HttpError::service_unavailable(ended.to_string())
}

/// What a client is told. `Subscribed` has a body of its own.
fn response(answer: Answer) -> Response {
    let (status, text) = match answer {
        Answer::Subscribed => (StatusCode::OK, String::new()),
        Answer::Accepted => (StatusCode::ACCEPTED, String::new()),
        Answer::BadRequest(text) => (StatusCode::BAD_REQUEST, text),
        Answer::Forbidden(text) => (StatusCode::FORBIDDEN, text),
        Answer::NotImplemented(text) => (StatusCode::NOT_IMPLEMENTED, text),
        Answer::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    (status, text).into_response()
}

fn not_json(error: &JsonError) -> String {
    match error {
        JsonError::Syntax(text) => format!("Failed to parse body into JSON: {text}"),
        JsonError::Convert(text) => format!("Failed to convert JSON into Call protobuf: {text}"),
    }
}
