//! Tags of what a read shows: who has it already, and says so, is told that nothing changed (304).

use axum::response::{IntoResponse as _, Response};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

/// The tag of a version of what `life`, one run of a process, shows. Weak, as an answer is the same compressed or
/// not.
pub fn tag(life: &str, version: u64) -> String {
    format!("W/\"{life}-{version}\"")
}

/// Whether the client may have the answer already, so that the present tag is worth asking for.
pub fn asks(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

/// 304 if the client says that it has what has this tag.
pub fn not_modified(headers: &HeaderMap, tag: &str) -> Option<Response> {
    is_known(headers, tag).then(|| (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response())
}

/// The answer with its tag.
pub fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// `*`, any at all, is for those who write.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| strong(known) == strong(tag))
}
