//! A v1 scheduler call by itself, before anything is known of its framework.
//!
//! Source: `validation::scheduler::call::validate`, master/validation.cpp 1.11.

use crate::base::uuid::is_uuid;
use crate::proto::scheduler::Call;
use crate::proto::scheduler::call::Type;

/// Why the call means nothing, in Mesos' words.
pub fn validate(call: &Call) -> Result<(), String> {
    if call.r#type.is_none() {
        return Err("Expecting 'type' to be present".to_owned());
    }
    let kind = call.r#type();
    if kind == Type::Subscribe {
        return subscribe(call);
    }
    if call.framework_id.is_none() {
        return missing("framework_id");
    }
    let present = |there: bool, name: &str| if there { Ok(()) } else { missing(name) };
    match kind {
        Type::Accept => present(call.accept.is_some(), "accept"),
        Type::Decline => present(call.decline.is_some(), "decline"),
        Type::AcceptInverseOffers => present(call.accept_inverse_offers.is_some(), "accept_inverse_offers"),
        Type::DeclineInverseOffers => {
            present(call.decline_inverse_offers.is_some(), "decline_inverse_offers")
        }
        Type::Kill => present(call.kill.is_some(), "kill"),
        Type::Shutdown => present(call.shutdown.is_some(), "shutdown"),
        Type::Reconcile => present(call.reconcile.is_some(), "reconcile"),
        Type::ReconcileOperations => present(call.reconcile_operations.is_some(), "reconcile_operations"),
        Type::Message => present(call.message.is_some(), "message"),
        Type::Request => present(call.request.is_some(), "request"),
        Type::Acknowledge => match &call.acknowledge {
            Some(acknowledge) => uuid(&acknowledge.uuid),
            None => missing("acknowledge"),
        },
        Type::AcknowledgeOperationStatus => match &call.acknowledge_operation_status {
            Some(acknowledge) => {
                uuid(&acknowledge.uuid)?;
                present(acknowledge.agent_id.is_some(), "agent_id")
            }
            None => missing("acknowledge_operation_status"),
        },
        Type::UpdateFramework => match &call.update_framework {
            Some(update) if update.framework_info.id == call.framework_id => Ok(()),
            Some(_) => Err("'framework_id' differs from 'update_framework.framework_info.id'".to_owned()),
            None => missing("update_framework"),
        },
        Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress | Type::Unknown => Ok(()),
    }
}

fn subscribe(call: &Call) -> Result<(), String> {
    let Some(subscribe) = &call.subscribe else { return missing("subscribe") };
    // Absent and empty are the same id.
    let text =
        |id: &Option<crate::proto::FrameworkId>| id.as_ref().map_or(String::new(), |id| id.value.clone());
    if text(&subscribe.framework_info.id) != text(&call.framework_id) {
        return Err("'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
    }
    Ok(())
}

fn missing<T>(name: &str) -> Result<T, String> {
    Err(format!("Expecting '{name}' to be present"))
}

fn uuid(bytes: &[u8]) -> Result<(), String> {
    if is_uuid(bytes) { Ok(()) } else { Err("Not a valid UUID".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::uuid::numbered;
    use crate::proto::scheduler::call;

    fn of(kind: Type) -> Call {
        Call { r#type: Some(kind as i32), framework_id: Some("f".into()), ..Call::default() }
    }

    #[test]
    fn what_a_call_needs() {
        assert_eq!(validate(&Call::default()), missing("type"));
        let nameless = Call { framework_id: None, ..of(Type::Teardown) };
        assert_eq!(validate(&nameless), missing("framework_id"));
        for (kind, name) in [
            (Type::Subscribe, "subscribe"),
            (Type::Accept, "accept"),
            (Type::Decline, "decline"),
            (Type::Kill, "kill"),
            (Type::Shutdown, "shutdown"),
            (Type::Acknowledge, "acknowledge"),
            (Type::Reconcile, "reconcile"),
            (Type::Message, "message"),
            (Type::Request, "request"),
        ] {
            assert_eq!(validate(&of(kind)), missing(name));
        }
        for kind in [Type::Teardown, Type::Revive, Type::Suppress, Type::Unknown] {
            assert_eq!(validate(&of(kind)), Ok(()));
        }
    }

    #[test]
    fn ids_and_uuids() {
        let mut subscribe = of(Type::Subscribe);
        subscribe.subscribe = Some(call::Subscribe::default());
        assert_eq!(
            validate(&subscribe),
            Err("'framework_id' differs from 'subscribe.framework_info.id'".to_owned())
        );
        subscribe.framework_id = None;
        assert_eq!(validate(&subscribe), Ok(()));
        let mut acknowledge = of(Type::Acknowledge);
        acknowledge.acknowledge = Some(call::Acknowledge { uuid: vec![0; 15].into(), ..Default::default() });
        assert!(validate(&acknowledge).is_err());
        acknowledge.acknowledge = Some(call::Acknowledge { uuid: numbered(0), ..Default::default() });
        assert_eq!(validate(&acknowledge), Ok(()));
    }
}
