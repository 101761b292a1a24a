//! A file whole, as it is.

use std::path::Path;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::read;
use crate::http::error::HttpError;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Content types by extension; the rest is `application/octet-stream`.
const TYPES: &[(&str, &str)] = &[
    ("c", "text/plain"),
    ("conf", "text/plain"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("gz", "application/x-gzip"),
    ("h", "text/plain"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("java", "text/plain"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "application/javascript"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("text", "text/plain"),
    ("txt", "text/plain"),
    ("xml", "text/xml"),
    ("zip", "application/zip"),
];

/// Answers with the file, as long as it is now: what is appended meanwhile is left out.
pub async fn answer(path: &Path) -> Result<Response, HttpError> {
    let owned = path.to_owned();
    let (file, size) = super::handlers::blocking(move || read::open(&owned, "download")).await?;
    let file = tokio::fs::File::from_std(file).take(size);
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, PIECE)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(CONTENT_DISPOSITION, disposition(path));
    Ok(response)
}

/// By the extension; `application/octet-stream` if it says nothing.
pub fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let row = extension.and_then(|extension| TYPES.iter().find(|(name, _)| *name == extension));
    row.map_or("application/octet-stream", |(_, content_type)| content_type)
}

/// `attachment; filename=stdout`; names that this form cannot hold are escaped.
fn disposition(path: &Path) -> HeaderValue {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '@' | '='));
    let text = if plain {
        format!("attachment; filename={name}")
    } else {
        format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(&name, NON_ALPHANUMERIC))
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types() {
        assert_eq!(disposition(Path::new("/a/stdout")), "attachment; filename=stdout");
        assert_eq!(disposition(Path::new("/a/x\r\ny")), "attachment; filename*=UTF-8''x%0D%0Ay");
        assert_eq!(content_type(Path::new("/a/x.JSON")), "application/json");
        assert_eq!(content_type(Path::new("/a/stdout")), "application/octet-stream");
    }
}
