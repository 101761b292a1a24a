//! Calls of the operator API: whether the message that goes with the type is there.

use crate::proto::master::Call;
use crate::proto::master::call::Type;

/// The error is the sentence behind "Failed to validate master::Call: ".
/// Source: `master::validation::master::call::validate`, 1.11.
#[expect(deprecated, reason = "SET_QUOTA and REMOVE_QUOTA are calls as long as somebody makes them")]
pub fn validate(call: &Call) -> Result<(), String> {
    if call.r#type.is_none() {
        return Err("Expecting 'type' to be present".to_owned());
    }
    let (there, name) = match call.r#type() {
        Type::GetMetrics => (call.get_metrics.is_some(), "get_metrics"),
        Type::SetLoggingLevel => (call.set_logging_level.is_some(), "set_logging_level"),
        Type::ListFiles => (call.list_files.is_some(), "list_files"),
        Type::ReadFile => (call.read_file.is_some(), "read_file"),
        Type::UpdateWeights => (call.update_weights.is_some(), "update_weights"),
        Type::ReserveResources => (call.reserve_resources.is_some(), "reserve_resources"),
        Type::UnreserveResources => (call.unreserve_resources.is_some(), "unreserve_resources"),
        Type::CreateVolumes => (call.create_volumes.is_some(), "create_volumes"),
        Type::DestroyVolumes => (call.destroy_volumes.is_some(), "destroy_volumes"),
        Type::GrowVolume => (call.grow_volume.is_some(), "grow_volume"),
        Type::ShrinkVolume => (call.shrink_volume.is_some(), "shrink_volume"),
        Type::UpdateMaintenanceSchedule => {
            (call.update_maintenance_schedule.is_some(), "update_maintenance_schedule")
        }
        Type::StartMaintenance => (call.start_maintenance.is_some(), "start_maintenance"),
        Type::StopMaintenance => (call.stop_maintenance.is_some(), "stop_maintenance"),
        Type::DrainAgent => (call.drain_agent.is_some(), "drain_agent"),
        Type::DeactivateAgent => (call.deactivate_agent.is_some(), "deactivate_agent"),
        Type::ReactivateAgent => (call.reactivate_agent.is_some(), "reactivate_agent"),
        Type::UpdateQuota => (call.update_quota.is_some(), "update_quota"),
        Type::SetQuota => (call.set_quota.is_some(), "set_quota"),
        Type::RemoveQuota => (call.remove_quota.is_some(), "remove_quota"),
        Type::Teardown => (call.teardown.is_some(), "teardown"),
        Type::MarkAgentGone => (call.mark_agent_gone.is_some(), "mark_agent_gone"),
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => return Ok(()),
    };
    if there { Ok(()) } else { Err(format!("Expecting '{name}' to be present")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_type_must_be_there() {
        let of = |kind: Type| Call { r#type: Some(kind as i32), ..Call::default() };
        assert_eq!(validate(&of(Type::GetState)), Ok(()));
        assert_eq!(validate(&of(Type::Teardown)), Err("Expecting 'teardown' to be present".to_owned()));
        assert_eq!(validate(&Call::default()), Err("Expecting 'type' to be present".to_owned()));
        let with = Call { get_metrics: Some(Default::default()), ..of(Type::GetMetrics) };
        assert_eq!(validate(&with), Ok(()));
    }
}
