//! `/profiler/start` and `/profiler/stop`: where the process spends its processor time, as a flame graph or
//! for pprof.
//!
//! There is one profiler in a process; who stops it gets the graph. It ends by itself after [`LONGEST`], and what it
//! has found is lost then. Mesos answers with a file of gperftools, and only if it was built with them.
//!
//! Source: `Profiler::start` and `stop`, profiler.cpp, libprocess 1.11.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::Uri;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use pprof::protos::Message as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tracing::info;

use crate::files::handlers::blocking;
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};

/// Samples a second of processor time; not a round number, so that it does not beat with what happens at such.
const FREQUENCY: i32 = 99;

/// Nobody profiles for longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Code in which the stack must not be walked: it may be at work on what the walk needs.
const NOT_WALKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

const START: Endpoint = Endpoint {
    path: "/start",
    tldr: "Starts profiling.",
    description: &[
        "From now on, 99 times in each second of processor time, it is noted what the process does.",
        "It costs next to nothing, and ends by itself after an hour.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const STOP: Endpoint = Endpoint {
    path: "/stop",
    tldr: "Stops profiling and shows what was found.",
    description: &[
        "Answers with a flame graph as SVG, for a browser: a click on a function looks into it.",
        "",
        "Query parameters:",
        "",
        ">        format=VALUE         `svg`, the default, or `pprof`: a file for `go tool pprof` and its like.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

/// The one under way, and a number that tells it from those before.
struct Running {
    guard: Option<ProfilerGuard<'static>>,
    number: u64,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { guard: None, number: 0 });

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds the endpoints of the process `profiler`.
pub fn bind(routes: &mut Routes) {
    routes.add("profiler", &START, any(start));
    routes.add("profiler", &STOP, any(stop));
}

async fn start() -> Result<Response, HttpError> {
    let number = blocking(|| {
        let mut running = running();
        if running.guard.is_some() {
            return Err(HttpError::bad_request("Profiler already started.\n"));
        }
        let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_WALKED).build();
        let failed = |error| HttpError::internal(format!("Failed to start profiler: {error}\n"));
        running.guard = Some(guard.map_err(failed)?);
        running.number += 1;
        Ok(running.number)
    });
    let number = number.await?;
    info!("profiler started");
    tokio::spawn(async move {
        tokio::time::sleep(LONGEST).await;
        let mut running = running();
        if running.number == number && running.guard.take().is_some() {
            info!("profiler stopped, nobody asked for what it found");
        }
    });
    Ok("Profiler started.\n".into_response())
}

/// What the profile comes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    /// The message `perftools.profiles.Profile`.
    Pprof,
}

impl Format {
    fn of(query: &Query) -> Result<Format, HttpError> {
        match query.filled("format") {
            None | Some("svg") => Ok(Format::Svg),
            Some("pprof") => Ok(Format::Pprof),
            Some(other) => {
                let text = format!("Unknown format '{other}', expecting 'svg' or 'pprof'.\n");
                Err(HttpError::bad_request(text))
            }
        }
    }
}

async fn stop(uri: Uri) -> Result<Response, HttpError> {
    let format = Format::of(&Query::of(&uri))?;
    let found = blocking(move || {
        let guard = running().guard.take();
        let guard = guard.ok_or_else(|| HttpError::bad_request("Profiler not running.\n"))?;
        let failed = |error| HttpError::internal(format!("Failed to read the profile: {error}\n"));
        let report = guard.report().build().map_err(failed)?;
        if report.data.is_empty() {
            return Err(HttpError::new(
                http::StatusCode::NOT_FOUND,
                "The process used so little processor time that nothing was found.\n",
            ));
        }
        if format == Format::Pprof {
            return Ok(report.pprof().map_err(failed)?.encode_to_vec());
        }
        let mut graph = Vec::new();
        report.flamegraph(&mut graph).map_err(failed)?;
        Ok(graph)
    });
    let found = found.await;
    info!("profiler stopped");
    Ok(match format {
        Format::Svg => ([(CONTENT_TYPE, "image/svg+xml")], found?).into_response(),
        Format::Pprof => {
            let headers = [
                (CONTENT_TYPE, "application/octet-stream"),
                (CONTENT_DISPOSITION, "attachment; filename=mesos.pprof"),
            ];
            (headers, found?).into_response()
        }
    })
}
