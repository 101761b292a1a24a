//! `/api/v1/executor`: calls of executors, and the stream of events that SUBSCRIBE opens.
//!
//! Source: `Http::executor`, slave/http.cpp 1.11; docs/executor-http-api.md.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::{Site, ended, not_json, response};
use crate::agent::containerizer::Limitation;
use crate::agent::core::{Answer, Event, StreamId};
use crate::agent::streams;
use crate::http::content::{ContentType, answer_type, call_type};
use crate::http::error::HttpError;
use crate::process::connection::Connection;
use crate::proto::Spelling;
use crate::proto::check::{DecodeError, decode_as};
use crate::proto::executor::Call;
use crate::proto::executor::call::Type;
use crate::proto::json::from_json;
use crate::proto::{TaskResourceLimitation, TaskState};

pub async fn executor(
    State(site): State<Site>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let kind = call_type(&headers)?;
    let call = site.parse(body.len(), move || parse(&body, kind)).await?;
    let _turn = site.inner.calls.acquire().await;
    if call.r#type() == Type::Subscribe {
        let accept = answer_type(&headers)?;
        return subscribe(&site, connection.map(|Extension(connection)| connection), call, accept).await;
    }
    let call = with_memory_limitation(&site, call).await;
    let event = |reply| Event::Call { reply, call: Box::new(call) };
    Ok(response(site.inner.core.ask(None, event).await.map_err(ended)?))
}

/// An executor sees only that its task was killed; that the kernel did it for its memory is for the agent to say.
async fn with_memory_limitation(site: &Site, mut call: Call) -> Call {
    let Some(status) = call.update.as_mut().map(|update| &mut update.status) else { return call };
    if status.state == TaskState::TaskFailed as i32
        && let Some(Limitation { reason, message, resources }) =
            site.inner.containerizer.memory_limitation(&call.framework_id, &call.executor_id).await
    {
        status.reason = Some(reason as i32);
        status.message = Some(message);
        status.limitation = Some(TaskResourceLimitation { resources });
    }
    call
}

fn parse(body: &[u8], kind: ContentType) -> Result<Call, HttpError> {
    match kind {
        ContentType::Protobuf => decode_as(body, Spelling::V1).map_err(|error| match error {
            DecodeError::Missing(_) => {
                HttpError::bad_request(format!("Failed to validate Executor::Call: Not initialized: {error}"))
            }
            DecodeError::Malformed { .. } => {
                HttpError::bad_request(format!("Failed to parse body into Call protobuf: {error}"))
            }
        }),
        ContentType::Json | ContentType::RecordIo => {
            from_json(body, Spelling::V1).map_err(|error| HttpError::bad_request(not_json(&error)))
        }
    }
}

async fn subscribe(
    site: &Site,
    connection: Option<Connection>,
    call: Call,
    accept: ContentType,
) -> Result<Response, HttpError> {
    let core = &site.inner.core;
    let id = StreamId::from(uuid::Uuid::new_v4().to_string());
    let (outlet, body) = streams::open(core.clone(), id.clone(), accept, connection);
    let stream = id.clone();
    let event = |reply| Event::Subscribe { reply, stream, call: Box::new(call) };
    match core.ask(Some((id, outlet)), event).await.map_err(ended)? {
        Answer::Subscribed => {}
        answer => return Ok(response(answer)),
    }
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(accept.as_str()));
    Ok(response)
}
