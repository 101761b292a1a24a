//! `/version`: which build this is.

use axum::response::Response;
use axum::routing::any;
use http::Uri;

use crate::base::build;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};
use crate::proto::VersionInfo;
use crate::proto::json::text;

const VERSION: Endpoint =
    Endpoint { path: "/", json: false, tldr: "Provides version information.", ..Endpoint::DEFAULT };

/// Binds the process `version`.
pub fn bind(routes: &mut Routes) {
    routes.add("version", &VERSION, any(version));
}

/// The same for the v1 API.
pub fn info() -> VersionInfo {
    VersionInfo {
        version: build::VERSION.to_owned(),
        build_date: Some(build::date()),
        build_time: Some(build::time() as f64),
        build_user: Some(build::user().to_owned()),
        git_sha: build::git_sha().map(str::to_owned),
        ..VersionInfo::default()
    }
}

async fn version(uri: Uri) -> Result<Response, HttpError> {
    let mut out = Vec::new();
    text::object(&mut out, |object| {
        object.string("build_date", &build::date());
        object.number("build_time", build::time() as f64);
        object.string("build_user", build::user());
        if let Some(sha) = build::git_sha() {
            object.string("git_sha", sha);
        }
        object.string("version", build::VERSION);
    });
    json::text_answer(out.into(), Query::of(&uri).get("jsonp"))
}
