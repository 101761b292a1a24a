//! Which content a request brings and which it takes.
//!
//! Source: `Request::acceptsMediaType`, libprocess http.cpp; `Http::api`, master and slave http.cpp; 1.11.

use std::fmt;

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::error::HttpError;
use crate::proto::writer::Encoding;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    Json,
    Protobuf,
    /// A stream of records, each in a type of its own (`Message-Content-Type`, `Message-Accept`).
    RecordIo,
}

impl ContentType {
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::Json => "application/json",
            ContentType::Protobuf => "application/x-protobuf",
            ContentType::RecordIo => "application/recordio",
        }
    }

    /// How an answer of this type is written. A stream's records have a type of their own.
    pub fn encoding(self) -> Encoding {
        match self {
            ContentType::Protobuf => Encoding::Protobuf,
            ContentType::Json | ContentType::RecordIo => Encoding::Json,
        }
    }

    /// 200 with an answer that was written so.
    pub fn answer(self, body: impl Into<Body>) -> Response {
        let mut response = Response::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.as_str()));
        response
    }

    /// Case does not count, nor do parameters such as `; charset=utf-8`.
    fn parse(text: &str) -> Option<ContentType> {
        let text = text.split(';').next().unwrap_or_default().trim();
        let all = [ContentType::Json, ContentType::Protobuf, ContentType::RecordIo];
        all.into_iter().find(|kind| text.eq_ignore_ascii_case(kind.as_str()))
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub const MESSAGE_ACCEPT: &str = "message-accept";
pub const MESSAGE_CONTENT_TYPE: &str = "message-content-type";

/// What the body of a call is: JSON or protobuf. 400 if it does not say, 415 for anything else.
pub fn call_type(headers: &HeaderMap) -> Result<ContentType, HttpError> {
    match declared(headers, CONTENT_TYPE.as_str())? {
        Some(kind @ (ContentType::Json | ContentType::Protobuf)) => Ok(kind),
        _ => Err(HttpError::unsupported_media_type(
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        )),
    }
}

/// What the answer to a call shall be: JSON if that is accepted, also by saying nothing, else protobuf,
/// else 406.
pub fn answer_type(headers: &HeaderMap) -> Result<ContentType, HttpError> {
    json_or_protobuf(headers, ACCEPT.as_str()).ok_or_else(|| {
        HttpError::not_acceptable(
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        )
    })
}

/// Content types of a call that may bring or take a stream of messages, as the agent's API has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTypes {
    pub content: ContentType,
    pub accept: ContentType,
    /// Set if `content` is RecordIO.
    pub message_content: Option<ContentType>,
    /// Set if `accept` is RecordIO.
    pub message_accept: Option<ContentType>,
}

/// Reads the four headers of the agent's API. 400, 406 or 415 if they do not fit together.
pub fn media_types(headers: &HeaderMap) -> Result<MediaTypes, HttpError> {
    let unsupported = HttpError::unsupported_media_type;
    let content = declared(headers, CONTENT_TYPE.as_str())?.ok_or_else(|| {
        unsupported(
            "Expecting 'Content-Type' of application/json or application/x-protobuf or application/recordio",
        )
    })?;
    let message_content = match (content, headers.contains_key(MESSAGE_CONTENT_TYPE)) {
        (ContentType::RecordIo, false) => {
            return Err(HttpError::bad_request(
                "Expecting 'Message-Content-Type' to be set for streaming requests",
            ));
        }
        (ContentType::RecordIo, true) => match declared(headers, MESSAGE_CONTENT_TYPE)? {
            Some(kind @ (ContentType::Json | ContentType::Protobuf)) => Some(kind),
            _ => {
                return Err(unsupported(
                    "Expecting 'Message-Content-Type' of application/json or application/x-protobuf",
                ));
            }
        },
        (_, true) => {
            return Err(unsupported(
                "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
            ));
        }
        (_, false) => None,
    };
    let (accept, message_accept) = accepted_types(headers)?;
    Ok(MediaTypes { content, accept, message_content, message_accept })
}

fn accepted_types(headers: &HeaderMap) -> Result<(ContentType, Option<ContentType>), HttpError> {
    let streams = accepts(headers, ACCEPT.as_str(), ContentType::RecordIo.as_str());
    let accept = json_or_protobuf(headers, ACCEPT.as_str())
        .or_else(|| streams.then_some(ContentType::RecordIo))
        .ok_or_else(|| {
            HttpError::not_acceptable(
                "Expecting 'Accept' to allow application/json or application/x-protobuf or application/recordio",
            )
        })?;
    if accept != ContentType::RecordIo {
        if headers.contains_key(MESSAGE_ACCEPT) {
            return Err(HttpError::not_acceptable(
                "Expecting 'Message-Accept' to be not set for non-streaming responses",
            ));
        }
        return Ok((accept, None));
    }
    let message = json_or_protobuf(headers, MESSAGE_ACCEPT).ok_or_else(|| {
        HttpError::not_acceptable(
            "Expecting 'Message-Accept' to allow application/json or application/x-protobuf",
        )
    })?;
    Ok((accept, Some(message)))
}

/// The type that a header declares; 400 if it is absent, `None` if it is none of ours.
fn declared(headers: &HeaderMap, name: &str) -> Result<Option<ContentType>, HttpError> {
    let value =
        headers.get(name).ok_or_else(|| HttpError::bad_request("Expecting 'Content-Type' to be present"))?;
    Ok(value.to_str().ok().and_then(ContentType::parse))
}

fn json_or_protobuf(headers: &HeaderMap, name: &str) -> Option<ContentType> {
    [ContentType::Json, ContentType::Protobuf].into_iter().find(|kind| accepts(headers, name, kind.as_str()))
}

/// Whether the header `name` (`Accept` or `Message-Accept`) takes this media type. Its absence takes all.
///
/// The most specific range that matches decides, by having a `q` above 0 or none.
pub fn accepts(headers: &HeaderMap, name: &str, media_type: &str) -> bool {
    if !headers.contains_key(name) {
        return true;
    }
    let group = media_type.split('/').next().unwrap_or_default();
    takes(headers, name, &[media_type, &format!("{group}/*"), "*/*"])
}

/// Whether the answer may be encoded so. Unlike with types, no header means no.
pub fn accepts_encoding(headers: &HeaderMap, encoding: &str) -> bool {
    takes(headers, ACCEPT_ENCODING.as_str(), &[encoding, "*"])
}

fn takes(headers: &HeaderMap, name: &str, candidates: &[&str]) -> bool {
    let items = || {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(','))
    };
    let found = candidates.iter().find_map(|candidate| {
        items().find(|item| {
            let range = item.split(';').next().unwrap_or_default().trim();
            range.eq_ignore_ascii_case(candidate)
        })
    });
    found.is_some_and(weighs_something)
}

/// `type;q=0` refuses; a `q` that is no number counts as zero, a doubled one is ignored.
fn weighs_something(item: &str) -> bool {
    let weights = item.split(';').skip(1).filter_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let weights: Vec<&str> = weights.collect();
    match weights[..] {
        [weight] => weight.parse::<f64>().is_ok_and(|weight| weight > 0.0),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn answer(accept: &'static str) -> Option<ContentType> {
        answer_type(&headers(&[("accept", accept)])).ok()
    }

    #[test]
    fn answers_in_the_type_accepted() {
        assert_eq!(answer_type(&headers(&[])), Ok(ContentType::Json));
        assert_eq!(answer("*/*"), Some(ContentType::Json));
        assert_eq!(answer("application/*"), Some(ContentType::Json));
        assert_eq!(answer("application/x-protobuf"), Some(ContentType::Protobuf));
        assert_eq!(answer("Application/JSON;q=0.5, text/html"), Some(ContentType::Json));
        assert_eq!(answer("application/json;q=0, */*"), Some(ContentType::Protobuf));
        assert_eq!(answer("text/*"), None);
        assert_eq!(answer(""), None);
        assert_eq!(answer("application/recordio"), None);
    }

    #[test]
    fn calls_say_what_they_are() {
        let of = |value| call_type(&headers(&[("content-type", value)])).map_err(|e| e.status().as_u16());
        assert_eq!(of("application/json"), Ok(ContentType::Json));
        assert_eq!(of("application/JSON; charset=utf-8"), Ok(ContentType::Json));
        assert_eq!(of("application/x-protobuf"), Ok(ContentType::Protobuf));
        assert_eq!(of("application/recordio"), Err(415));
        assert_eq!(of("text/html"), Err(415));
        let absent = call_type(&headers(&[])).unwrap_err();
        assert_eq!(
            (absent.status().as_u16(), absent.body()),
            (400, "Expecting 'Content-Type' to be present")
        );
    }

    #[test]
    fn streams_of_the_agents_api() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            media_types(&headers(pairs)).map_err(|e| e.status().as_u16())
        };
        let json = ("content-type", "application/json");
        let stream = ("content-type", "application/recordio");
        assert_eq!(of(&[json]).map(|types| types.accept), Ok(ContentType::Json));
        assert_eq!(of(&[stream]), Err(400));
        assert_eq!(of(&[json, (MESSAGE_CONTENT_TYPE, "application/json")]), Err(415));
        assert_eq!(of(&[json, (MESSAGE_ACCEPT, "application/json")]), Err(406));
        let both = of(&[
            stream,
            (MESSAGE_CONTENT_TYPE, "application/x-protobuf"),
            ("accept", "application/recordio"),
            (MESSAGE_ACCEPT, "application/x-protobuf"),
        ]);
        let both = both.unwrap();
        assert_eq!(both.message_content, Some(ContentType::Protobuf));
        assert_eq!(both.message_accept, Some(ContentType::Protobuf));
    }

    #[test]
    fn encodings() {
        let gzip = |value| accepts_encoding(&headers(&[("accept-encoding", value)]), "gzip");
        assert!(gzip("gzip, deflate"));
        assert!(gzip("*"));
        assert!(!gzip("gzip;q=0.0, *"));
        assert!(!gzip("deflate"));
        assert!(!accepts_encoding(&headers(&[]), "gzip"));
    }
}
