//! `/api/v1`: the operator API. Most of its calls are still to come and say so by name.
//!
//! Source: `Http::api`, slave/http.cpp 1.11.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use prost::Message as _;

use super::{Site, not_json};
use crate::base::build;
use crate::flags::json::texts;
use crate::http::content::{ContentType, media_types};
use crate::http::error::HttpError;
use crate::proto::agent::call::Type;
use crate::proto::agent::response::{GetFlags, GetHealth, GetVersion};
use crate::proto::agent::{Call, Response as Reply, response};
use crate::proto::check::decode_as;
use crate::proto::json::{from_json, to_json};
use crate::proto::{Flag, Spelling, VersionInfo};

pub async fn operator(
    State(site): State<Site>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let types = media_types(&headers)?;
    if types.content == ContentType::RecordIo {
        return Err(HttpError::not_implemented("The calls that send a stream are not there yet"));
    }
    let call = site.parse(body.len(), move || parse(&body, types.content)).await?;
    if types.accept == ContentType::RecordIo {
        let text = format!("Streaming response is not supported for {} call", call.r#type().as_str_name());
        return Err(HttpError::not_acceptable(text));
    }
    let reply = match call.r#type() {
        Type::GetHealth => Reply {
            r#type: Some(response::Type::GetHealth as i32),
            get_health: Some(GetHealth { healthy: true }),
            ..Reply::default()
        },
        Type::GetVersion => Reply {
            r#type: Some(response::Type::GetVersion as i32),
            get_version: Some(GetVersion { version_info: version() }),
            ..Reply::default()
        },
        Type::GetFlags => Reply {
            r#type: Some(response::Type::GetFlags as i32),
            get_flags: Some(GetFlags { flags: flags(&site) }),
            ..Reply::default()
        },
        Type::Unknown => return Err(HttpError::not_implemented("The call's type is not known")),
        other => {
            let text = format!("The call {} is not there yet", other.as_str_name());
            return Err(HttpError::not_implemented(text));
        }
    };
    let bytes = match types.accept {
        ContentType::Protobuf => reply.encode_to_vec(),
        ContentType::Json | ContentType::RecordIo => to_json(&reply, Spelling::V1),
    };
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(types.accept.as_str()));
    Ok(response)
}

fn parse(body: &[u8], kind: ContentType) -> Result<Call, HttpError> {
    let call: Call = match kind {
        ContentType::Protobuf => decode_as(body, Spelling::V1).map_err(|error| {
            HttpError::bad_request(format!("Failed to parse body into Call protobuf: {error}"))
        })?,
        ContentType::Json | ContentType::RecordIo => {
            from_json(body, Spelling::V1).map_err(|error| HttpError::bad_request(not_json(&error)))?
        }
    };
    if call.r#type.is_none() {
        let text = "Failed to validate agent::Call: Expecting 'type' to be present";
        return Err(HttpError::bad_request(text));
    }
    Ok(call)
}

fn version() -> VersionInfo {
    VersionInfo {
        version: build::VERSION.to_owned(),
        build_date: Some(build::date()),
        build_time: Some(build::time() as f64),
        build_user: Some(build::user().to_owned()),
        git_sha: build::git_sha().map(str::to_owned),
        ..VersionInfo::default()
    }
}

fn flags(site: &Site) -> Vec<Flag> {
    let texts = texts(&site.inner.flags.values).into_iter();
    texts.map(|(name, value)| Flag { name: name.to_owned(), value: Some(value) }).collect()
}
