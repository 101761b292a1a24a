//! Compressed bodies: requests inflated within a bound, answers deflated when the client takes that.
//!
//! flate2 by hand, for it is few lines and `tower-http` would not bound what a request inflates to.

use std::io::{self, Read as _, Write as _};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::http::content;
use crate::http::error::HttpError;

/// Answers below this size are sent as they are. Source: `GZIP_MINIMUM_BODY_LENGTH`, libprocess 1.11.
const WORTH_IT: u64 = 1024;

/// Work on more than this is not done on an async thread.
const LARGE: usize = 64 * 1024;

/// Undoes the request's `Content-Encoding`. 400 for a broken body, 413 if it inflates to more than `limit`
/// bytes, 415 for another encoding than gzip.
pub async fn decode(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, HttpError> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(body) };
    let encoding = encoding.as_bytes();
    if encoding.eq_ignore_ascii_case(b"identity") || encoding.is_empty() {
        return Ok(body);
    }
    if !encoding.eq_ignore_ascii_case(b"gzip") && !encoding.eq_ignore_ascii_case(b"x-gzip") {
        return Err(HttpError::unsupported_media_type("Expecting 'Content-Encoding' of gzip or identity"));
    }
    // Never here: a few bytes may inflate to the limit.
    tokio::task::spawn_blocking(move || inflate(&body, limit))
        .await
        .unwrap_or_else(|_| Err(HttpError::internal("Failed to decompress the body")))
}

fn inflate(body: &[u8], limit: usize) -> Result<Bytes, HttpError> {
    let mut inflated = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut inflated);
    if inflated.len() > limit {
        return Err(HttpError::payload_too_large(limit));
    }
    match read {
        Ok(_) => Ok(inflated.into()),
        Err(error) => Err(HttpError::bad_request(format!("Failed to decompress the body: {error}"))),
    }
}

/// Compresses an answer if it is whole in memory, large enough and wanted so. Streams never are: their
/// size is not known.
pub async fn encode(accepted: bool, response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if !accepted
        || size.is_none_or(|size| size < WORTH_IT)
        || response.headers().contains_key(CONTENT_ENCODING)
    {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Whole in memory, so there is nothing to wait for.
    let Ok(body) = body.collect().await else {
        return HttpError::internal("Failed to read the answer").into();
    };
    let body = body.to_bytes();
    let deflated = if body.len() < LARGE {
        deflate(&body)
    } else {
        let body = body.clone();
        tokio::task::spawn_blocking(move || deflate(&body)).await.unwrap_or_else(|e| Err(io::Error::other(e)))
    };
    let body = match deflated {
        Ok(deflated) => {
            head.headers.remove(CONTENT_LENGTH);
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            deflated
        }
        Err(_) => body,
    };
    Response::from_parts(head, Body::from(body))
}

/// Fast rather than small: the state of a large cluster is a hundred megabytes.
fn deflate(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// Whether the request takes gzip.
pub fn accepted(headers: &HeaderMap) -> bool {
    content::accepts_encoding(headers, "gzip")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflates_within_the_limit() {
        let body = deflate(&[b'a'; 5000]).unwrap();
        assert_eq!(inflate(&body, 5000).unwrap().len(), 5000);
        assert_eq!(inflate(&body, 4999).unwrap_err().status().as_u16(), 413);
        assert_eq!(inflate(&body[..body.len() - 3], 5000).unwrap_err().status().as_u16(), 400);
        assert_eq!(inflate(b"no gzip at all", 5000).unwrap_err().status().as_u16(), 400);
    }
}
