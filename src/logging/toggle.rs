//! `/logging/toggle`: more lines for a while.
//!
//! Source: `Logging::toggle`, libprocess logging.cpp 1.11.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::Uri;
use tracing::info;

use super::Log;
use crate::base::duration;
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};

const TOGGLE: Endpoint = Endpoint {
    path: "/toggle",
    tldr: "Sets the logging verbosity level for a specified duration.",
    description: &[
        "Level 0 is the usual one; 1 and 2 also log what helps to follow what",
        "happens, 3 everything. Afterwards the usual level returns by itself.",
        "Without parameters the answer is the present level.",
        "",
        "Query parameters:",
        "",
        ">        level=VALUE          Verbosity level (e.g., 1, 2, 3)",
        ">        duration=VALUE       How long it lasts (e.g., 10secs, 15mins)",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

/// Binds the endpoint of the process `logging`.
pub fn bind(routes: &mut Routes, log: &Log) {
    routes.add("logging", &TOGGLE, any(answer).with_state(log.clone()));
}

/// Sets the verbosity for a while, after which it is what it was at the start unless it was set anew; refused below
/// that. Of two at once the later one counts, for its own time. Must be called inside a tokio runtime.
///
/// Source: `Logging::set_level`, libprocess logging.cpp 1.11.
pub fn set_for(log: &Log, level: u32, lasting: Duration) -> Result<(), HttpError> {
    let original = log.original_verbosity();
    if level < original {
        return Err(HttpError::bad_request(format!("'{level}' < original level.\n")));
    }
    let change = log.change_verbosity(level);
    info!(level, duration = %duration::format(lasting), "logging verbosity changed");
    if level != original {
        let log = log.clone();
        tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            if log.undo_verbosity(change) {
                info!(level = original, "logging verbosity is back");
            }
        });
    }
    Ok(())
}

async fn answer(State(log): State<Log>, uri: Uri) -> Result<Response, HttpError> {
    let query = Query::of(&uri);
    let expecting = |name| HttpError::bad_request(format!("Expecting '{name}=value' in query.\n"));
    let (level, lasting) = match (query.get("level"), query.get("duration")) {
        (None, None) => return Ok(format!("{}\n", log.verbosity()).into_response()),
        (Some(_), None) => return Err(expecting("duration")),
        (None, Some(_)) => return Err(expecting("level")),
        (Some(level), Some(lasting)) => (level, lasting),
    };
    let number = level
        .parse::<i32>()
        .map_err(|_| HttpError::bad_request(format!("Failed to convert '{level}' to number.\n")))?;
    let level =
        u32::try_from(number).map_err(|_| HttpError::bad_request(format!("Invalid level '{number}'.\n")))?;
    let lasting = duration::parse(lasting).map_err(|error| HttpError::bad_request(format!("{error}.\n")))?;
    set_for(&log, level, lasting)?;
    Ok(().into_response())
}
