//! Reading a request's body whole, within bounds of size, memory and patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::http::error::HttpError;

/// Bodies below this are not counted against the budget.
const UNCOUNTED: usize = 64 * 1024;

/// How many bytes of half-read bodies may be in memory, over all connections.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget { left: AtomicUsize::new(bytes) })
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// What a body has taken off the budget; given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, to: usize) -> Result<(), HttpError> {
        if to <= UNCOUNTED.max(self.bytes) {
            return Ok(());
        }
        if !self.budget.take(to - self.bytes) {
            return Err(HttpError::service_unavailable("Too many large requests at once"));
        }
        self.bytes = to;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most bytes.
    pub size: usize,
    /// The longest pause between two pieces; none for messages, whose sender may be stopped for minutes.
    pub pause: Option<Duration>,
}

/// The whole body, or why it is refused: 400 for what is not HTTP, 408, 413, 503.
pub async fn read(mut body: Incoming, bounds: Bounds, budget: &Arc<Budget>) -> Result<Bytes, HttpError> {
    let too_large = || HttpError::payload_too_large(bounds.size);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bounds.size {
        return Err(too_large());
    }
    let mut share = Share { budget: budget.clone(), bytes: 0 };
    // Nearly every body is one piece, which is then not copied. Many are joined, since keeping the
    // pieces would cost far more than their bytes: a piece may be one byte of a read buffer.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = next(&mut body, bounds.pause).await? {
        let data = frame
            .into_data()
            .map_err(|_| HttpError::bad_request("Failed to read the body: trailers are not supported"))?;
        let size = first.len() + joined.len() + data.len();
        if size > bounds.size {
            return Err(too_large());
        }
        share.grow(size)?;
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
                first = Bytes::new();
            }
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

async fn next(
    body: &mut Incoming,
    pause: Option<Duration>,
) -> Result<Option<hyper::body::Frame<Bytes>>, HttpError> {
    let frame = match pause {
        None => body.frame().await,
        Some(pause) => tokio::time::timeout(pause, body.frame())
            .await
            .map_err(|_| HttpError::request_timeout("Failed to read the body: it did not arrive in time"))?,
    };
    frame.transpose().map_err(|error| HttpError::bad_request(format!("Failed to read the body: {error}")))
}
