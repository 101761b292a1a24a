//! `/registrar(1)/registry`: what the registry holds, in Mesos's form.

use axum::extract::State;
use axum::response::Response;
use http::Uri;

use super::{Site, ended};
use crate::files::handlers::blocking;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::Endpoint;
use crate::proto::Spelling;
use crate::proto::json::to_json;

/// The process that it belongs to.
pub const REGISTRAR: &str = "registrar(1)";

pub const REGISTRY: Endpoint = Endpoint {
    path: "/registry",
    tldr: "Returns the current contents of the Registry in JSON.",
    description: &[
        "Shows the leading master, the agents that were admitted, that are unreachable and that are gone, and",
        "what operators settled. `mesos registry restore` takes it as it is.",
    ],
    json: true,
    authentication: true,
    ..Endpoint::DEFAULT
};

pub async fn registry(State(site): State<Site>, uri: Uri) -> Result<Response, HttpError> {
    let registry = site.inner.core.registry().await.map_err(ended)?;
    let text = blocking(move || Ok(to_json(&registry.to_message(), Spelling::V0))).await?;
    json::text_answer(text.into(), Query::of(&uri).get("jsonp"))
}
