//! SUBSCRIBE of the operator API, and `/events`: the same happenings as records and as server-sent events.
//!
//! Source: `Master::Http::subscribe` and `Master::ReadOnlyHandler::subscribe`, 1.11; the HTML standard, 9.2
//! "Server-sent events".

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};

use super::reads::Read;
use super::{Site, ended};
use crate::http::content::{ContentType, accepts};
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::http::recordio;
use crate::master::events::{Filter, Form, Start, place, reset};
use crate::master::view::v1;
use crate::process::connection::Connection;
use crate::proto::master::event::Type;

const EVENT_STREAM: &str = "text/event-stream";

/// What is told there, and can be chosen by `types`.
const TYPES: [Type; 7] = [
    Type::TaskAdded,
    Type::TaskUpdated,
    Type::AgentAdded,
    Type::AgentRemoved,
    Type::FrameworkAdded,
    Type::FrameworkUpdated,
    Type::FrameworkRemoved,
];

/// SUBSCRIBED with the whole state, a HEARTBEAT, and then whatever happens after that state.
pub(super) async fn subscribe(
    site: &Site,
    connection: Option<Connection>,
    accept: ContentType,
) -> Result<Response, HttpError> {
    let hub = &site.inner.tools.events;
    // Before the snapshot, so that all is told that happens after it.
    let watch = hub.watch(&site.inner.core, false).await.map_err(ended)?;
    let encoding = accept.encoding();
    let (state, after) = site.read_and_place(Read::Subscribed(encoding)).await?;
    hub.reached(after).await;
    let heartbeat = recordio::encode(&v1::heartbeat(encoding));
    let start = Start { after, first: vec![state, heartbeat] };
    let stream = hub.follow(start, Form::Records(encoding), connection, watch);
    Ok(accept.answer(stream.body()))
}

/// `/events`.
pub async fn events(
    State(site): State<Site>,
    connection: Option<Extension<Connection>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let filter = filter(&Query::of(&uri))?;
    if !accepts(&headers, "accept", EVENT_STREAM) {
        return Err(HttpError::not_acceptable(format!("Expecting 'Accept' to allow {EVENT_STREAM}")));
    }
    let hub = &site.inner.tools.events;
    let watch = hub.watch(&site.inner.core, true).await.map_err(ended)?;
    let now = site.inner.core.snapshot().await.map_err(ended)?.published;
    hub.reached(now).await;
    let last = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let start = match last.as_deref().filter(|id| !id.is_empty()) {
        None => Start { after: now, first: vec![place(hub.life(), now)] },
        Some(id) => match resumed(id, hub.life()).filter(|number| hub.remembers(*number)) {
            Some(after) => Start { after, first: vec![place(hub.life(), after)] },
            None => {
                let why = "the events after Last-Event-ID are not remembered: read the state anew";
                Start { after: now, first: vec![reset(hub.life(), now, why)] }
            }
        },
    };
    let connection = connection.map(|Extension(connection)| connection);
    let stream = hub.follow(start, Form::Sent(filter), connection, watch);
    let mut response = Response::new(stream.body());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// The number in an id, if it is one of this master's life.
pub(super) fn resumed(id: &str, life: &str) -> Option<u64> {
    id.trim().strip_prefix(life)?.strip_prefix(':')?.parse().ok()
}

fn filter(query: &Query) -> Result<Filter, HttpError> {
    let kind = |name: &str| {
        let name = name.trim();
        TYPES.into_iter().find(|kind| kind.as_str_name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = TYPES.map(|kind| kind.as_str_name()).join(", ");
            HttpError::bad_request(format!("Unknown type '{name}' in 'types', expecting some of {known}"))
        })
    };
    Ok(Filter {
        types: query.filled("types").map(|types| types.split(',').map(kind).collect()).transpose()?,
        framework: query.filled("framework").map(Into::into),
        agent: query.filled("agent").map(Into::into),
        task: query.filled("task").map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let of = |text: &str| filter(&Query::parse(text.as_bytes())).map_err(|error| error.body().to_owned());
        assert_eq!(of(""), Ok(Filter::default()));
        let some = of("types=task_added,AGENT_REMOVED&framework=f&task=t").unwrap();
        assert_eq!(some.types, Some([Type::TaskAdded, Type::AgentRemoved].into()));
        assert_eq!((some.framework, some.agent, some.task), (Some("f".into()), None, Some("t".into())));
        assert!(of("types=HEARTBEAT").unwrap_err().starts_with("Unknown type 'HEARTBEAT'"));
    }

    #[test]
    fn ids_are_of_one_life() {
        assert_eq!(resumed("m-1:42", "m-1"), Some(42));
        for other in ["m-2:42", "42", "m-1", "m-1:", "m-1:-1", "m-1:99999999999999999999", "m-11:42"] {
            assert_eq!(resumed(other, "m-1"), None, "{other}");
        }
    }
}
