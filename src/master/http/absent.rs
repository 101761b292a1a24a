//! Endpoints of Apache Mesos whose subject is still to come: each is known, has a help page, and says so.
//!
//! Also those of Mesos 0.15 that were given up long before 1.11; they name what took their place.

use axum::routing::any;

use crate::http::error::HttpError;
use crate::http::route::{Endpoint, Routes};

const POST: &[&str] = &["POST"];

/// Process, path, methods, what it did, and why it does not.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

/// Source: `Master::initialize`, master.cpp; hierarchical.cpp; 1.11. The last two: libprocess, 0.15.
const ROWS: &[Row] = &[
    ("master", "/create-volumes", POST, "Create persistent volumes on reserved resources.", VOLUMES),
    ("master", "/destroy-volumes", POST, "Destroy persistent volumes.", VOLUMES),
    ("master", "/machine/down", POST, "Brings a set of machines down.", MAINTENANCE),
    ("master", "/machine/up", POST, "Brings a set of machines back up.", MAINTENANCE),
    ("master", "/reserve", POST, "Reserve resources dynamically on a specific agent.", RESERVATIONS),
    ("master", "/unreserve", POST, "Unreserve resources dynamically on a specific agent.", RESERVATIONS),
    (
        "allocator",
        "/offer_constraints_debug",
        &[],
        "Returns debugging info for offer constraints.",
        "offer constraints are still to come",
    ),
    ("statistics", "/snapshot.json", &[], "Numbers, up to Mesos 0.18.", "/metrics/snapshot took its place"),
    (
        "statistics",
        "/series.json",
        &[],
        "Numbers over time, up to Mesos 0.18.",
        "what scrapes /metrics keeps them over time",
    ),
];

const VOLUMES: &str = "persistent volumes are still to come";
const MAINTENANCE: &str = "maintenance is still to come";
const RESERVATIONS: &str = "dynamic reservations are still to come";

pub fn bind(routes: &mut Routes) {
    for &(process, path, methods, tldr, why) in ROWS {
        let endpoint = Endpoint { path, methods, tldr, description: NOT_HERE, ..Endpoint::DEFAULT };
        let name = format!("/{process}{path}");
        let refusal = HttpError::not_implemented(format!("{name} is not here: {why}"));
        routes.add(process, &endpoint, any(async move || refusal));
    }
}

const NOT_HERE: &[&str] = &["Not there yet: answers 501 Not Implemented, and why."];
