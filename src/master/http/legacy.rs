//! The endpoints that are older than the v1 API: reads by path, health, redirect, teardown.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::Uri;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::reads::Read;
use super::{Site, status};
use crate::flags::json::flags as flags_json;
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::http::route::Rest;
use crate::http::{etag, json};
use crate::master::core::{Event, Operate};
use crate::master::view::{Order, Page};

type Answer = Result<Response, HttpError>;

pub async fn state(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    site.show(Read::State, &Query::of(&uri), &headers).await
}

pub async fn summary(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    site.show(Read::Summary, &Query::of(&uri), &headers).await
}

pub async fn slaves(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let query = Query::of(&uri);
    site.show(Read::Agents(query.get("slave_id").map(Into::into)), &query, &headers).await
}

pub async fn frameworks(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let query = Query::of(&uri);
    site.show(Read::Frameworks(query.get("framework_id").map(Into::into)), &query, &headers).await
}

pub async fn tasks(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let query = Query::of(&uri);
    site.show(Read::Tasks(page(&query)?), &query, &headers).await
}

pub async fn roles(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    site.show(Read::Roles, &Query::of(&uri), &headers).await
}

impl Site {
    /// Answers with what the cluster shows, and with a tag of it: who has that already, and says so, is told that
    /// nothing changed (304), before anything is written.
    pub(super) async fn show(&self, read: Read, query: &Query, headers: &HeaderMap) -> Answer {
        let life = &self.inner.info.id;
        if etag::asks(headers)
            && let Some(known) = etag::not_modified(headers, &etag::tag(life, self.version().await?))
        {
            return Ok(known);
        }
        let answer = self.read_answer(read).await?;
        let response = json::text_answer(answer.bytes, query.get("jsonp"))?;
        Ok(etag::tagged(response, &etag::tag(life, answer.version)))
    }
}

fn page(query: &Query) -> Result<Page, HttpError> {
    let default = Page::default();
    let count = |name: &str, default: usize| match query.filled(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            HttpError::bad_request(format!("Failed to parse '{name}': expecting a number of at least zero"))
        }),
    };
    Ok(Page {
        limit: count("limit", default.limit)?,
        offset: count("offset", default.offset)?,
        order: if query.get("order") == Some("asc") { Order::Ascending } else { Order::Descending },
        framework: query.get("framework_id").map(Into::into),
        task: query.get("task_id").map(Into::into),
    })
}

/// Those that were set by `--weights`. Source: `Master::WeightsHandler::get`, weights_handler.cpp 1.11.
pub async fn weights(State(site): State<Site>, uri: Uri) -> Answer {
    let weights = site.inner.flags.weights.iter();
    let weights: Vec<_> =
        weights.map(|(role, weight)| serde_json::json!({"role": role, "weight": weight})).collect();
    json::answer(&weights, Query::of(&uri).get("jsonp"))
}

/// PUT of `/weights`.
pub async fn change_weights() -> HttpError {
    HttpError::not_implemented("/master/weights shows weights; changing them is still to come: set --weights")
}

/// 200 as long as the process serves at all.
pub async fn health() -> StatusCode {
    StatusCode::OK
}

pub async fn flags(State(site): State<Site>, uri: Uri) -> Answer {
    json::answer(&flags_json(&site.inner.flags.values), Query::of(&uri).get("jsonp"))
}

/// To the leader, or 503. Source: `Http::redirect`, http.cpp 1.11: the location keeps the scheme of the request by
/// naming none; what lies below this path would lead back to it.
pub async fn redirect(State(site): State<Site>, Extension(rest): Extension<Rest>) -> Answer {
    if !rest.0.is_empty() {
        return Err(HttpError::not_found());
    }
    let value = HeaderValue::from_str(&site.inner.seat.base()?)
        .map_err(|_| HttpError::internal("The leading master's address is not usable"))?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, value)]).into_response())
}

/// `frameworkId=ID` in the body ends a framework and its tasks.
pub async fn teardown(State(site): State<Site>, body: Bytes) -> Answer {
    let form = Query::parse(&body);
    let Some(id) = form.get("frameworkId") else {
        return Err(HttpError::bad_request("Missing 'frameworkId' query parameter in the request body"));
    };
    let operation = Operate::Teardown(id.into());
    let answer = site.ask(|reply| Event::Operate { reply, operation }).await?;
    Ok(status(answer))
}

/// `frameworkId=ID&taskId=ID` in the body kills one task. An addition of ours: in Apache Mesos only frameworks kill.
pub async fn kill(State(site): State<Site>, body: Bytes) -> Answer {
    let form = Query::parse(&body);
    let value = |name: &str| {
        let missing = || HttpError::bad_request(format!("Missing '{name}' in the form of the request body"));
        form.filled(name).ok_or_else(missing)
    };
    let operation = Operate::Kill { framework: value("frameworkId")?.into(), task: value("taskId")?.into() };
    let answer = site.ask(|reply| Event::Operate { reply, operation }).await?;
    Ok(status(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let of = |text: &str| page(&Query::parse(text.as_bytes())).map_err(|error| error.status().as_u16());
        assert_eq!(of(""), Ok(Page::default()));
        assert_eq!(
            of("limit=5&offset=2&order=asc&task_id=t").map(|page| (page.limit, page.offset)),
            Ok((5, 2))
        );
        for bad in ["limit=-1", "offset=x", "offset=99999999999999999999999"] {
            assert_eq!(of(bad), Err(400), "{bad}");
        }
    }
}
