//! `/api/v1`: the operator API.
//!
//! Reads of the cluster go the way of `/state` (`reads`), changes the way of `/teardown`; the rest is about the
//! process. Calls whose subject is not there yet say so by name.
//!
//! Source: `Master::Http::api`, http.cpp 1.11.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::reads::Read;
use super::scheduler::not_json;
use super::{Site, ended, events, settled, status};
use crate::files::handlers::blocking;
use crate::flags::json::messages as flag_messages;
use crate::http::content::{ContentType, answer_type, call_type};
use crate::http::error::HttpError;
use crate::logging::toggle;
use crate::master::core::{Event, Operate};
use crate::master::validate;
use crate::master::view::v1::Ask;
use crate::process::connection::Connection;
use crate::process::version;
use crate::proto::Spelling;
use crate::proto::check::decode_as;
use crate::proto::json::from_json;
use crate::proto::master::call::Type;
use crate::proto::master::response::{
    GetFlags, GetHealth, GetLoggingLevel, GetMaintenanceSchedule, GetMaintenanceStatus, GetMetrics, GetQuota,
    GetVersion, ListFiles, ReadFile,
};
use crate::proto::master::{Call, Response as Reply, call, response};
use crate::proto::writer::encode;
use crate::registry::Registry;

pub async fn operator(
    State(site): State<Site>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let kind = call_type(&headers)?;
    let call = site.parse(body.len(), move || parse(&body, kind)).await?;
    let accept = answer_type(&headers)?;
    if let Some(ask) = ask(call.r#type()) {
        let bytes = site.read(Read::Call(ask, accept.encoding())).await?;
        return Ok(accept.answer(bytes));
    }
    if let Some(operation) = operation(&call) {
        return Ok(status(site.ask(|reply| Event::Operate { reply, operation }).await?));
    }
    if let Some(level) = &call.set_logging_level
        && call.r#type() == Type::SetLoggingLevel
    {
        let lasting = Duration::from_nanos(u64::try_from(level.duration.nanoseconds).unwrap_or(0));
        toggle::set_for(&site.inner.tools.log, level.level, lasting)?;
        return Ok(StatusCode::OK.into_response());
    }
    if call.r#type() == Type::Subscribe {
        let connection = connection.map(|Extension(connection)| connection);
        return events::subscribe(&site, connection, accept).await;
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
    validate::operator::validate(&call)
        .map_err(|why| HttpError::bad_request(format!("Failed to validate master::Call: {why}")))?;
    Ok(call)
}

/// What a call reads of the cluster.
fn ask(kind: Type) -> Option<Ask> {
    Some(match kind {
        Type::GetState => Ask::State,
        Type::GetAgents => Ask::Agents,
        Type::GetFrameworks => Ask::Frameworks,
        Type::GetExecutors => Ask::Executors,
        Type::GetOperations => Ask::Operations,
        Type::GetTasks => Ask::Tasks,
        Type::GetRoles => Ask::Roles,
        Type::GetWeights => Ask::Weights,
        Type::GetMaster => Ask::Master,
        _ => return None,
    })
}

/// What a call changes in the cluster.
fn operation(call: &Call) -> Option<Operate> {
    match call.r#type() {
        Type::Teardown => call.teardown.as_ref().map(|it| Operate::Teardown(it.framework_id.clone())),
        Type::MarkAgentGone => {
            call.mark_agent_gone.as_ref().map(|it| Operate::MarkAgentGone(it.agent_id.clone()))
        }
        _ => None,
    }
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
        Type::GetMaintenanceSchedule | Type::GetMaintenanceStatus | Type::GetQuota => {
            of_registry(&site.inner.core.registry().await.map_err(ended)?, call.r#type())
        }
        other => return Err(absent(other)),
    })
}

/// What operators settled.
fn of_registry(registry: &Registry, kind: Type) -> Reply {
    let of = |kind: response::Type| Reply { r#type: Some(kind as i32), ..Reply::default() };
    match kind {
        Type::GetMaintenanceSchedule => Reply {
            get_maintenance_schedule: Some(GetMaintenanceSchedule {
                schedule: settled::schedule_of(registry),
            }),
            ..of(response::Type::GetMaintenanceSchedule)
        },
        Type::GetMaintenanceStatus => Reply {
            get_maintenance_status: Some(GetMaintenanceStatus { status: settled::status_of(registry) }),
            ..of(response::Type::GetMaintenanceStatus)
        },
        _ => Reply {
            get_quota: Some(GetQuota { status: settled::quota_of(registry) }),
            ..of(response::Type::GetQuota)
        },
    }
}

/// Why a call is refused: what it is about is not there.
fn absent(kind: Type) -> HttpError {
    let subject = match kind {
        Type::UpdateWeights => "changing weights is",
        Type::ReserveResources | Type::UnreserveResources => "dynamic reservations are",
        Type::CreateVolumes | Type::DestroyVolumes | Type::GrowVolume | Type::ShrinkVolume => {
            "persistent volumes are"
        }
        Type::UpdateMaintenanceSchedule | Type::StartMaintenance | Type::StopMaintenance => "maintenance is",
        Type::DrainAgent | Type::DeactivateAgent | Type::ReactivateAgent => "draining and deactivation are",
        Type::UpdateQuota | Type::SetQuota | Type::RemoveQuota => "quota is",
        _ => return HttpError::not_implemented("The call's type is not known"),
    };
    HttpError::not_implemented(format!("{} is not there yet: {subject} still to come", kind.as_str_name()))
}
