//! Between the two ways of writing a reservation: `role` (and `reservation`) as until Mesos 1.3, and the stack
//! in `reservations` since.
//!
//! Inside, everything has the stack. What frameworks without the capability RESERVATION_REFINEMENT send is
//! upgraded on its way in, what they get is downgraded on its way out.
//! Source: `convertResourceFormat`, common/resources_utils.cpp 1.11.

use super::{Invalid, roles};
use crate::proto::resource::{ReservationInfo, reservation_info};
use crate::proto::{self, Resource, executor, internal, offer, scheduler};

/// To a stack. A resource of neither format is left as it is, for validation to refuse.
pub fn upgrade_resource(resource: &mut Resource) {
    if !resource.reservations.is_empty() {
        resource.role = None;
        resource.reservation = None;
        return;
    }
    let role = resource.role.as_deref().unwrap_or(roles::STAR);
    if role == roles::STAR {
        if resource.reservation.is_none() {
            resource.role = None;
        }
        return;
    }
    let mut reservation = resource.reservation.take();
    let kind = match reservation {
        Some(_) => reservation_info::Type::Dynamic,
        None => reservation_info::Type::Static,
    };
    let mut upgraded = reservation.take().unwrap_or_default();
    upgraded.set_type(kind);
    upgraded.role = resource.role.take();
    resource.reservations.push(upgraded);
}

/// From a stack to `role`. Refused if there is more than one reservation, which the old form cannot say.
pub fn downgrade_resource(resource: &mut Resource) -> Result<(), Invalid> {
    if resource.reservations.len() > 1 {
        return Invalid::new("Cannot downgrade resources containing refined reservations");
    }
    add_old_fields(resource);
    resource.reservations.clear();
    Ok(())
}

/// Both forms at once, as endpoints show resources.
pub fn endpoint_resource(resource: &mut Resource) {
    if resource.reservations.len() <= 1 {
        add_old_fields(resource);
    }
}

fn add_old_fields(resource: &mut Resource) {
    if resource.role.is_some() {
        return;
    }
    let Some(single) = resource.reservations.first() else {
        resource.role = Some(roles::STAR.into());
        return;
    };
    if single.r#type() == reservation_info::Type::Dynamic {
        resource.reservation = Some(ReservationInfo {
            principal: single.principal.clone(),
            labels: single.labels.clone(),
            ..ReservationInfo::default()
        });
    }
    resource.role.clone_from(&single.role);
}

/// A message that carries resources, somewhere in it.
pub trait HasResources {
    fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource));
}

/// Brings all resources of a message to the form used inside.
pub fn upgrade(message: &mut impl HasResources) {
    message.each_resource(&mut upgrade_resource);
}

/// Brings all resources of a message to the old form. If one has no old form, the error says so and the message
/// must not be sent.
pub fn downgrade(message: &mut impl HasResources) -> Result<(), Invalid> {
    let mut result = Ok(());
    message.each_resource(&mut |resource| {
        if let Err(error) = downgrade_resource(resource) {
            result = Err(error);
        }
    });
    result
}

impl HasResources for Resource {
    fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource)) {
        visit(self);
    }
}

impl<T: HasResources> HasResources for Vec<T> {
    fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource)) {
        self.iter_mut().for_each(|message| message.each_resource(visit));
    }
}

impl<T: HasResources> HasResources for Option<T> {
    fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource)) {
        self.iter_mut().for_each(|message| message.each_resource(visit));
    }
}

impl<T: HasResources> HasResources for Box<T> {
    fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource)) {
        (**self).each_resource(visit);
    }
}

/// Which fields of a message have resources in them.
macro_rules! in_fields {
    ($($message:ty { $($field:ident)* })*) => {$(
        impl HasResources for $message {
            fn each_resource(&mut self, visit: &mut dyn FnMut(&mut Resource)) {
                $(self.$field.each_resource(visit);)*
            }
        }
    )*};
}

in_fields! {
    proto::AgentInfo { resources }
    proto::ExecutorInfo { resources }
    proto::TaskInfo { resources executor }
    proto::TaskGroupInfo { tasks }
    proto::Task { resources }
    proto::Offer { resources }
    proto::InverseOffer { resources }
    proto::Request { resources }

    proto::Operation { info }
    offer::Operation {
        launch launch_group reserve unreserve create destroy grow_volume shrink_volume create_disk destroy_disk
    }
    offer::operation::Launch { task_infos }
    offer::operation::LaunchGroup { executor task_group }
    offer::operation::Reserve { source resources }
    offer::operation::Unreserve { resources }
    offer::operation::Create { volumes }
    offer::operation::Destroy { volumes }
    offer::operation::GrowVolume { volume addition }
    offer::operation::ShrinkVolume { volume }
    offer::operation::CreateDisk { source }
    offer::operation::DestroyDisk { source }

    scheduler::Call { accept request }
    scheduler::call::Accept { operations }
    scheduler::call::Request { requests }
    scheduler::Event { offers inverse_offers }
    scheduler::event::Offers { offers }
    scheduler::event::InverseOffers { inverse_offers }

    executor::Event { subscribed launch launch_group }
    executor::event::Subscribed { executor_info agent_info }
    executor::event::Launch { task }
    executor::event::LaunchGroup { task_group }
    executor::Call { subscribe }
    executor::call::Subscribe { unacknowledged_tasks }

    internal::LaunchTasksMessage { tasks }
    internal::ResourceOffersMessage { offers }
    internal::ResourceRequestMessage { requests }
    internal::RunTaskMessage { task }
    internal::RunTaskGroupMessage { executor task_group }
    internal::RegisterSlaveMessage { agent checkpointed_resources }
    internal::ReregisterSlaveMessage { agent checkpointed_resources executor_infos tasks completed_frameworks }
    internal::archive::Framework { tasks }
    internal::UpdateSlaveMessage { oversubscribed_resources operations resource_providers }
    internal::update_slave_message::Operations { operations }
    internal::update_slave_message::ResourceProviders { providers }
    internal::update_slave_message::ResourceProvider { total_resources operations }
    internal::CheckpointResourcesMessage { resources }
    internal::ApplyOperationMessage { operation_info }
    internal::ExecutorRegisteredMessage { executor_info agent_info }
    internal::ExecutorReregisteredMessage { agent_info }
    internal::ReregisterExecutorMessage { tasks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Spelling;
    use crate::proto::json::{from_json, to_json};

    fn converted(json: &str, convert: impl Fn(&mut Resource)) -> String {
        let json = format!(r#"{{"name":"c","type":"SCALAR","scalar":{{"value":1.0}}{json}}}"#);
        let mut resource: Resource = from_json(json.as_bytes(), Spelling::V1).unwrap();
        convert(&mut resource);
        let text = String::from_utf8(to_json(&resource, Spelling::V1)).unwrap();
        text.replace(r#"{"name":"c","type":"SCALAR","scalar":{"value":1.0}"#, "")
            .trim_end_matches('}')
            .to_owned()
    }

    #[test]
    fn both_ways() {
        for (old, new) in [
            (r#","role":"*""#, ""),
            (r#","role":"web""#, r#","reservations":[{"type":"STATIC","role":"web"}]"#),
            (
                r#","role":"web","reservation":{"principal":"p"}"#,
                r#","reservations":[{"type":"DYNAMIC","role":"web","principal":"p"}]"#,
            ),
        ] {
            assert_eq!(converted(old, upgrade_resource), new.trim_end_matches('}'));
            assert_eq!(converted(new, upgrade_resource), new.trim_end_matches('}'), "already there");
            let down = |resource: &mut Resource| downgrade_resource(resource).unwrap();
            assert_eq!(converted(new, down), old.trim_end_matches('}'));
            let both = converted(new, endpoint_resource);
            assert_eq!(both.contains("reservations"), !new.is_empty());
            assert!(both.contains("role"));
        }
    }

    #[test]
    fn a_refined_reservation_has_no_old_form() {
        let mut offer = proto::Offer {
            resources: vec![Resource {
                reservations: vec![ReservationInfo::default(), ReservationInfo::default()],
                ..Resource::default()
            }],
            ..proto::Offer::default()
        };
        assert!(downgrade(&mut offer).is_err());
    }

    #[test]
    fn resources_are_found_wherever_they_are() {
        let json = br#"{"accept":{"operations":[
            {"launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},
                "resources":[{"name":"c","type":"SCALAR","role":"web"}],
                "executor":{"executor_id":{"value":"e"},"resources":[{"name":"c","type":"SCALAR","role":"*"}]}}]}},
            {"grow_volume":{"volume":{"name":"d","type":"SCALAR","role":"x"},
                "addition":{"name":"d","type":"SCALAR","role":"x"}}}]}}"#;
        let mut call: scheduler::Call = from_json(json, Spelling::V1).unwrap();
        upgrade(&mut call);
        let mut roles = Vec::new();
        call.each_resource(&mut |resource| {
            assert_eq!(resource.role, None);
            roles.extend(resource.reservations.iter().map(|reservation| reservation.role().to_owned()));
        });
        assert_eq!(roles, ["web", "x", "x"]);
    }
}
