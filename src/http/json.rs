//! JSON answers, and their wrapping in a callback for pages of another origin (`?jsonp=callback`).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::error::HttpError;

/// Longest callback name.
const CALLBACK_LENGTH: usize = 128;

/// 200 with the value as JSON on one line, wrapped if `jsonp` names a callback.
pub fn answer(value: &impl Serialize, jsonp: Option<&str>) -> Result<Response, HttpError> {
    let text = serde_json::to_vec(value)
        .map_err(|error| HttpError::internal(format!("Failed to write JSON: {error}")))?;
    text_answer(text.into(), jsonp)
}

/// As [`answer`], for JSON that is text already.
///
/// Source: `OK(JSON::Value, jsonp)`, libprocess 1.11, which passes any callback through; here it must be a
/// name or a path of names, else 400: the answer is a script that a browser runs.
pub fn text_answer(json: Bytes, jsonp: Option<&str>) -> Result<Response, HttpError> {
    let (body, content_type) = match jsonp {
        None => (Body::from(json), "application/json"),
        Some(callback) => {
            if !is_callback(callback) {
                return Err(HttpError::bad_request("Expecting 'jsonp' to be the name of a function"));
            }
            let script = [callback.as_bytes(), b"(", &json, b")"].concat();
            (Body::from(script), "text/javascript")
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn is_callback(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '[' | ']');
    !text.is_empty()
        && text.len() <= CALLBACK_LENGTH
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.chars().all(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_names() {
        for name in ["cb", "angular.callbacks._0", "jQuery1_2", "a[0]"] {
            assert!(is_callback(name), "{name}");
        }
        for text in ["", "1a", "alert(1)//", "a b", "a;b", "<script>", "é"] {
            assert!(!is_callback(text), "{text}");
        }
    }
}
