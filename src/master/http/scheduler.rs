//! `/api/v1/scheduler`: calls of frameworks, and the stream of events that SUBSCRIBE opens.
//!
//! Source: `Master::Http::scheduler`, http.cpp 1.11; docs/scheduler-http-api.md.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Site, status};
use crate::http::content::{ContentType, answer_type, call_type};
use crate::http::error::HttpError;
use crate::master::core::{Answer, Event, StreamId};
use crate::master::{streams, validate};
use crate::process::connection::Connection;
use crate::proto::Spelling;
use crate::proto::check::decode_as;
use crate::proto::json::{JsonError, from_json};
use crate::proto::scheduler::Call;
use crate::proto::scheduler::call::Type;

const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

pub async fn scheduler(
    State(site): State<Site>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let kind = call_type(&headers)?;
    let call = site.parse(body.len(), move || parse(&body, kind)).await?;
    let accept = match call.r#type() {
        Type::Subscribe | Type::ReconcileOperations => Some(answer_type(&headers)?),
        _ => None,
    };
    match accept {
        Some(accept) if call.r#type() == Type::Subscribe => {
            subscribe(&site, connection.map(|Extension(connection)| connection), &headers, call, accept).await
        }
        _ => {
            let stream =
                headers.get(STREAM_ID).map(|id| StreamId::from(String::from_utf8_lossy(id.as_bytes())));
            let answer = site.ask(|reply| Event::Call { reply, stream, call: Box::new(call) }).await?;
            Ok(status(answer))
        }
    }
}

/// A call that means something by itself, or 400.
fn parse(body: &[u8], kind: ContentType) -> Result<Call, HttpError> {
    let call: Call = match kind {
        ContentType::Protobuf => decode_as(body, Spelling::V1).map_err(|error| {
            HttpError::bad_request(format!("Failed to parse body into Call protobuf: {error}"))
        })?,
        ContentType::Json | ContentType::RecordIo => {
            from_json(body, Spelling::V1).map_err(|error| HttpError::bad_request(not_json(&error)))?
        }
    };
    validate::call::validate(&call)
        .map_err(|why| HttpError::bad_request(format!("Failed to validate scheduler::Call: {why}")))?;
    Ok(call)
}

pub(super) fn not_json(error: &JsonError) -> String {
    match error {
        JsonError::Syntax(text) => format!("Failed to parse body into JSON: {text}"),
        JsonError::Convert(text) => format!("Failed to convert JSON into Call protobuf: {text}"),
    }
}

async fn subscribe(
    site: &Site,
    connection: Option<Connection>,
    headers: &HeaderMap,
    call: Call,
    accept: ContentType,
) -> Result<Response, HttpError> {
    if headers.contains_key(STREAM_ID) {
        let text = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
        return Err(HttpError::bad_request(text));
    }
    let _turn = site.inner.calls.acquire().await;
    let core = &site.inner.core;
    let id = StreamId::from(uuid::Uuid::new_v4().to_string());
    let (outlet, body) = streams::open(core.clone(), id.clone(), accept, connection);
    let stream = id.clone();
    let event = |reply| Event::Subscribe { reply, stream, call: Box::new(call) };
    match core.subscribe(id.clone(), outlet, event).await.map_err(super::ended)? {
        Answer::Subscribed => {}
        answer => return Ok(status(answer)),
    }
    let mut response = Response::new(body);
    let value =
        HeaderValue::from_str(&id).map_err(|_| HttpError::internal("the stream's id is no header"))?;
    response.headers_mut().insert(STREAM_ID, value);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(accept.as_str()));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
