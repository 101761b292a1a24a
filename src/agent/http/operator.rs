//! `/api/v1`: the operator API. Calls whose subject is not there yet say so by name.
//!
//! Source: `Http::api` and `Http::_api`, slave/http.cpp 1.11.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Site, not_json};
use crate::agent::view::v1::Ask;
use crate::agent::view::{self, v1};
use crate::files::handlers::blocking;
use crate::flags::json::messages as flag_messages;
use crate::http::content::{ContentType, media_types};
use crate::http::error::HttpError;
use crate::logging::toggle;
use crate::process::version;
use crate::proto::Spelling;
use crate::proto::agent::call::Type;
use crate::proto::agent::response::{
    GetFlags, GetHealth, GetLoggingLevel, GetMetrics, GetVersion, ListFiles, ReadFile,
};
use crate::proto::agent::{Call, Response as Reply, call, response};
use crate::proto::check::decode_as;
use crate::proto::json::from_json;
use crate::proto::writer::encode;

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
    let accept = types.accept;
    if accept == ContentType::RecordIo {
        let text = format!("Streaming response is not supported for {} call", call.r#type().as_str_name());
        return Err(HttpError::not_acceptable(text));
    }
    if let Some(ask) = ask(call.r#type()) {
        let node = site.node().await?;
        let bytes = site.aside(move || Ok(v1::answer(ask, &node, accept.encoding()))).await?;
        return Ok(accept.answer(bytes));
    }
    if let Some(level) = &call.set_logging_level
        && call.r#type() == Type::SetLoggingLevel
    {
        let lasting = Duration::from_nanos(u64::try_from(level.duration.nanoseconds).unwrap_or(0));
        toggle::set_for(&site.inner.tools.log, level.level, lasting)?;
        return Ok(StatusCode::OK.into_response());
    }
    if call.r#type() == Type::GetContainers {
        let node = site.node().await?;
        let usage = site.usage(view::running(&node)).await;
        return Ok(accept.answer(v1::containers(&node, &usage, accept.encoding())));
    }
    let reply = about_the_process(&site, call).await?;
    Ok(accept.answer(encode(&reply, accept.encoding())))
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
    match missing(&call) {
        None => Ok(call),
        Some(name) => {
            let text = format!("Failed to validate agent::Call: Expecting '{name}' to be present");
            Err(HttpError::bad_request(text))
        }
    }
}

/// The message of the call's type, if it is not there. Source: `agent::validation::agent::call::validate`, 1.11.
#[expect(deprecated, reason = "they are calls as long as somebody makes them")]
fn missing(call: &Call) -> Option<&'static str> {
    if call.r#type.is_none() {
        return Some("type");
    }
    let (there, name) = match call.r#type() {
        Type::GetMetrics => (call.get_metrics.is_some(), "get_metrics"),
        Type::SetLoggingLevel => (call.set_logging_level.is_some(), "set_logging_level"),
        Type::ListFiles => (call.list_files.is_some(), "list_files"),
        Type::ReadFile => (call.read_file.is_some(), "read_file"),
        Type::LaunchNestedContainer => (call.launch_nested_container.is_some(), "launch_nested_container"),
        Type::WaitNestedContainer => (call.wait_nested_container.is_some(), "wait_nested_container"),
        Type::KillNestedContainer => (call.kill_nested_container.is_some(), "kill_nested_container"),
        Type::RemoveNestedContainer => (call.remove_nested_container.is_some(), "remove_nested_container"),
        Type::LaunchNestedContainerSession => {
            (call.launch_nested_container_session.is_some(), "launch_nested_container_session")
        }
        Type::AttachContainerInput => (call.attach_container_input.is_some(), "attach_container_input"),
        Type::AttachContainerOutput => (call.attach_container_output.is_some(), "attach_container_output"),
        Type::LaunchContainer => (call.launch_container.is_some(), "launch_container"),
        Type::WaitContainer => (call.wait_container.is_some(), "wait_container"),
        Type::KillContainer => (call.kill_container.is_some(), "kill_container"),
        Type::RemoveContainer => (call.remove_container.is_some(), "remove_container"),
        Type::AddResourceProviderConfig => {
            (call.add_resource_provider_config.is_some(), "add_resource_provider_config")
        }
        Type::UpdateResourceProviderConfig => {
            (call.update_resource_provider_config.is_some(), "update_resource_provider_config")
        }
        Type::RemoveResourceProviderConfig => {
            (call.remove_resource_provider_config.is_some(), "remove_resource_provider_config")
        }
        Type::MarkResourceProviderGone => {
            (call.mark_resource_provider_gone.is_some(), "mark_resource_provider_gone")
        }
        _ => return None,
    };
    (!there).then_some(name)
}

/// What a call reads of the agent.
fn ask(kind: Type) -> Option<Ask> {
    Some(match kind {
        Type::GetState => Ask::State,
        Type::GetFrameworks => Ask::Frameworks,
        Type::GetExecutors => Ask::Executors,
        Type::GetOperations => Ask::Operations,
        Type::GetTasks => Ask::Tasks,
        Type::GetAgent => Ask::Agent,
        _ => return None,
    })
}

/// How long GET_METRICS may wait.
fn most(call: &Call) -> Option<Duration> {
    let timeout = call.get_metrics.as_ref()?.timeout.as_ref()?;
    Some(Duration::from_nanos(u64::try_from(timeout.nanoseconds).unwrap_or(0)))
}

async fn about_the_process(site: &Site, call: Call) -> Result<Reply, HttpError> {
    let tools = &site.inner.tools;
    let of = |kind: response::Type| Reply { r#type: Some(kind as i32), ..Reply::default() };
    Ok(match call.r#type() {
        Type::GetHealth => {
            Reply { get_health: Some(GetHealth { healthy: true }), ..of(response::Type::GetHealth) }
        }
        Type::GetVersion => Reply {
            get_version: Some(GetVersion { version_info: version::info() }),
            ..of(response::Type::GetVersion)
        },
        Type::GetFlags => Reply {
            get_flags: Some(GetFlags { flags: flag_messages(&site.inner.flags.values) }),
            ..of(response::Type::GetFlags)
        },
        Type::GetMetrics => Reply {
            get_metrics: Some(GetMetrics { metrics: tools.metrics.messages(most(&call)).await }),
            ..of(response::Type::GetMetrics)
        },
        Type::GetLoggingLevel => Reply {
            get_logging_level: Some(GetLoggingLevel { level: tools.log.verbosity() }),
            ..of(response::Type::GetLoggingLevel)
        },
        Type::ListFiles => {
            let call::ListFiles { path } = call.list_files.unwrap_or_default();
            let files = tools.files.clone();
            let file_infos = blocking(move || files.list(&path)).await?;
            Reply { list_files: Some(ListFiles { file_infos }), ..of(response::Type::ListFiles) }
        }
        Type::ReadFile => {
            let call::ReadFile { path, offset, length } = call.read_file.unwrap_or_default();
            let files = tools.files.clone();
            let (size, data) = blocking(move || files.read(&path, offset, length)).await?;
            let read = ReadFile { size, data: data.into() };
            Reply { read_file: Some(read), ..of(response::Type::ReadFile) }
        }
        other => return Err(absent(other)),
    })
}

/// Why a call is refused: what it is about is not there.
fn absent(kind: Type) -> HttpError {
    let subject = match kind {
        Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchNestedContainerSession => "nested containers are",
        Type::AttachContainerInput | Type::AttachContainerOutput => "attaching to containers is",
        Type::LaunchContainer | Type::WaitContainer | Type::KillContainer | Type::RemoveContainer => {
            "standalone containers are"
        }
        Type::GetResourceProviders
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone => "resource providers are",
        Type::PruneImages => "container images are",
        _ => return HttpError::not_implemented("The call's type is not known"),
    };
    HttpError::not_implemented(format!("{} is not there yet: {subject} still to come", kind.as_str_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_type_must_be_there() {
        let of = |kind: Type| Call { r#type: Some(kind as i32), ..Call::default() };
        assert_eq!(missing(&of(Type::GetState)), None);
        assert_eq!(missing(&of(Type::ReadFile)), Some("read_file"));
        assert_eq!(missing(&Call::default()), Some("type"));
        let with = Call { get_metrics: Some(Default::default()), ..of(Type::GetMetrics) };
        assert_eq!(missing(&with), None);
    }
}
