//! The answer that is no success: a status and a sentence.

use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, StatusCode};

/// A refusal as clients read it: plain text, in Mesos' words where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    body: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpError {
    pub fn new(status: StatusCode, body: impl Into<String>) -> HttpError {
        HttpError { status, body: body.into(), header: None }
    }

    pub fn bad_request(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::BAD_REQUEST, body)
    }

    pub fn forbidden(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::FORBIDDEN, body)
    }

    /// `404 Not Found.`, as libprocess says when it has nothing to add.
    pub fn not_found() -> HttpError {
        HttpError::new(StatusCode::NOT_FOUND, "404 Not Found.")
    }

    /// 405 with `Allow`. Source: `MethodNotAllowed`, libprocess 1.11.
    pub fn method_not_allowed(allowed: &[&str], method: &http::Method) -> HttpError {
        let expected = allowed.join("', '");
        let body =
            format!("405 Method Not Allowed. Expecting one of {{ '{expected}' }}, but received '{method}'.");
        let allow = HeaderValue::from_str(&allowed.join(", ")).ok();
        let error = HttpError::new(StatusCode::METHOD_NOT_ALLOWED, body);
        HttpError { header: allow.map(|allow| (ALLOW, allow)), ..error }
    }

    pub fn not_acceptable(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::NOT_ACCEPTABLE, body)
    }

    pub fn request_timeout(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::REQUEST_TIMEOUT, body)
    }

    pub fn conflict(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::CONFLICT, body)
    }

    pub fn payload_too_large(limit: usize) -> HttpError {
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {limit} bytes"))
    }

    pub fn unsupported_media_type(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, body)
    }

    pub fn internal(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, body)
    }

    pub fn not_implemented(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::NOT_IMPLEMENTED, body)
    }

    pub fn service_unavailable(body: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, body)
    }

    /// 307 to another place, with no body. A place that cannot stand in a header is an error of ours.
    pub fn temporary_redirect(location: &str) -> HttpError {
        match HeaderValue::from_str(location) {
            Ok(value) => HttpError {
                header: Some((LOCATION, value)),
                ..HttpError::new(StatusCode::TEMPORARY_REDIRECT, "")
            },
            Err(_) => HttpError::internal("The leading master's address is not usable"),
        }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn body(&self) -> &str {
        &self.body
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.body)
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Response {
    fn from(error: HttpError) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = error.status;
        let headers = response.headers_mut();
        if let Some((name, value)) = error.header {
            headers.insert(name, value);
        }
        // As libprocess does: a refusal without a word is of that type too, a redirect is not.
        if error.status != StatusCode::TEMPORARY_REDIRECT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            *response.body_mut() = Body::from(error.body);
        }
        response
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        self.into()
    }
}
