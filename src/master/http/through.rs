//! Reads of an agent, through the master: for web pages, whose browser may not reach the agents, and must not be
//! allowed to read from everywhere.
//!
//! Only what is listed here is passed on, only by GET, and only to agents that are registered. What comes back may
//! be a task's file, so browsers are told to take it for data, whatever it says that it is.

#![expect(clippy::disallowed_methods, reason = "a shell: a task drives each connection to an agent")]

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Site, ended};
use crate::base::upid::Upid;
use crate::http::error::HttpError;
use crate::http::route::Rest;

/// What can be read: below the agent's own process, and beside it.
const OF_AGENT: [&str; 5] = ["state", "monitor/statistics", "monitor/pressure", "containers", "flags"];
const OF_PORT: [&str; 4] = ["metrics/snapshot", "files/browse", "files/read", "files/download"];
const DOWNLOAD: &str = "files/download";

/// How long an agent may take to accept a connection, and to begin its answer.
const CONNECTING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(30);

/// Requests that may be under way at once; each is a connection to an agent.
pub const MOST: usize = 256;

/// `/agent/ID/state` and its relatives.
pub async fn agent(
    State(site): State<Site>,
    Extension(Rest(rest)): Extension<Rest>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let (id, path) = rest.split_once('/').unwrap_or((&rest, ""));
    let id = percent_decode_str(id).decode_utf8().map_err(|_| HttpError::not_found())?;
    let process = OF_AGENT.contains(&path);
    if !process && !OF_PORT.contains(&path) {
        let known = [&OF_AGENT[..], &OF_PORT[..]].concat().join(", ");
        return Err(HttpError::bad_request(format!("Expecting one of {known} behind the agent's id")));
    }
    let cluster = site.inner.core.snapshot().await.map_err(ended)?.cluster;
    let Some(agent) = cluster.agent(&id.as_ref().into()) else {
        return Err(HttpError::new(
            StatusCode::NOT_FOUND,
            format!("No agent of the id '{id}' is registered"),
        ));
    };
    let pid = agent.pid.clone();
    drop(cluster);
    let Ok(permit) = site.inner.through.clone().try_acquire_owned() else {
        return Err(HttpError::service_unavailable("Too many requests to agents are under way"));
    };
    let target = if process { format!("/{}/{path}", pid.id) } else { format!("/{path}") };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{target}{query}");
    let asked = ask(&pid, &target, headers.get(ACCEPT_ENCODING));
    let answer = timeout(ANSWERING, asked).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    let away = |why| HttpError::new(StatusCode::BAD_GATEWAY, format!("The agent at {}: {why}", pid.address));
    let (head, body) = answer.map_err(away)?.into_parts();
    // The permit is held until all of it is sent. Its size is not told to the body, as it would be gathered then to
    // be compressed.
    let body = body.map_frame(move |frame| {
        let _held = &permit;
        frame
    });
    let mut response = Response::new(Body::from_stream(body.into_data_stream()));
    *response.status_mut() = head.status;
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_DISPOSITION] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    only_data(response.headers_mut(), path == DOWNLOAD);
    Ok(response)
}

/// Nothing of it may run, or be part of a page, with the master's rights.
fn only_data(headers: &mut HeaderMap, file: bool) {
    if file {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.entry(CONTENT_DISPOSITION).or_insert(HeaderValue::from_static("attachment"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

async fn ask(
    pid: &Upid,
    target: &str,
    encoding: Option<&HeaderValue>,
) -> Result<http::Response<Incoming>, String> {
    let stream = timeout(CONNECTING, TcpStream::connect(pid.address)).await;
    let stream = stream.map_err(|_| "it cannot be reached".to_owned())?.map_err(|error| error.to_string())?;
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // What went wrong is told by the answer, or by its end.
        let _ = connection.await;
    });
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = target.parse().map_err(|_| "the path is not usable".to_owned())?;
    let host = HeaderValue::from_str(&pid.address.to_string()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    if let Some(encoding) = encoding {
        request.headers_mut().insert(ACCEPT_ENCODING, encoding.clone());
    }
    sender.send_request(request).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_data() {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        only_data(&mut headers, true);
        assert_eq!(headers[CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[CONTENT_DISPOSITION], "attachment");
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        only_data(&mut headers, false);
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().ends_with("sandbox"));
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
