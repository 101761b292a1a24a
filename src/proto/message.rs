//! The libprocess messages: what may come in at `/master/mesos.internal.X` and go out the same way.

use prost::Message as _;

use super::check::{self, DecodeError};
use super::{internal, scheduler};

/// Why a message was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("no message is called '{}'", .0.escape_debug())]
    Unknown(String),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One row per message: our name for it, its type, its full name.
macro_rules! messages {
    ($($variant:ident $kind:ty = $name:literal)*) => {
        /// Any libprocess message.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message {
            $($variant(Box<$kind>),)*
        }

        /// The full name of every message.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Message {
            /// The protobuf's full name, which is the last part of the path.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Message::$variant(_) => $name,)*
                }
            }

            /// Reads the message called `name`; all its required fields are there afterwards.
            pub fn decode(name: &str, bytes: &[u8]) -> Result<Message, MessageError> {
                match name {
                    $($name => Ok(Message::$variant(Box::new(<$kind as Wire>::read(bytes)?))),)*
                    _ => Err(MessageError::Unknown(name.chars().take(200).collect())),
                }
            }

            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Message::$variant(message) => Wire::write(&**message),)*
                }
            }
        }

        $(impl From<$kind> for Message {
            fn from(message: $kind) -> Message {
                Message::$variant(Box::new(message))
            }
        })*
    };
}

messages! {
    SchedulerCall DriverCall = "mesos.scheduler.Call"

    SubmitSchedulerRequest internal::SubmitSchedulerRequest = "mesos.internal.SubmitSchedulerRequest"
    SubmitSchedulerResponse internal::SubmitSchedulerResponse = "mesos.internal.SubmitSchedulerResponse"
    ExecutorToFramework internal::ExecutorToFrameworkMessage = "mesos.internal.ExecutorToFrameworkMessage"
    FrameworkToExecutor internal::FrameworkToExecutorMessage = "mesos.internal.FrameworkToExecutorMessage"

    RegisterFramework internal::RegisterFrameworkMessage = "mesos.internal.RegisterFrameworkMessage"
    ReregisterFramework internal::ReregisterFrameworkMessage = "mesos.internal.ReregisterFrameworkMessage"
    FrameworkRegistered internal::FrameworkRegisteredMessage = "mesos.internal.FrameworkRegisteredMessage"
    FrameworkReregistered internal::FrameworkReregisteredMessage = "mesos.internal.FrameworkReregisteredMessage"
    UnregisterFramework internal::UnregisterFrameworkMessage = "mesos.internal.UnregisterFrameworkMessage"
    DeactivateFramework internal::DeactivateFrameworkMessage = "mesos.internal.DeactivateFrameworkMessage"
    UpdateFramework internal::UpdateFrameworkMessage = "mesos.internal.UpdateFrameworkMessage"
    ShutdownFramework internal::ShutdownFrameworkMessage = "mesos.internal.ShutdownFrameworkMessage"
    FrameworkError internal::FrameworkErrorMessage = "mesos.internal.FrameworkErrorMessage"

    ResourceRequest internal::ResourceRequestMessage = "mesos.internal.ResourceRequestMessage"
    ResourceOffers internal::ResourceOffersMessage = "mesos.internal.ResourceOffersMessage"
    InverseOffers internal::InverseOffersMessage = "mesos.internal.InverseOffersMessage"
    RescindResourceOffer internal::RescindResourceOfferMessage = "mesos.internal.RescindResourceOfferMessage"
    RescindInverseOffer internal::RescindInverseOfferMessage = "mesos.internal.RescindInverseOfferMessage"
    ReviveOffers internal::ReviveOffersMessage = "mesos.internal.ReviveOffersMessage"

    LaunchTasks internal::LaunchTasksMessage = "mesos.internal.LaunchTasksMessage"
    RunTask internal::RunTaskMessage = "mesos.internal.RunTaskMessage"
    RunTaskGroup internal::RunTaskGroupMessage = "mesos.internal.RunTaskGroupMessage"
    KillTask internal::KillTaskMessage = "mesos.internal.KillTaskMessage"
    ReconcileTasks internal::ReconcileTasksMessage = "mesos.internal.ReconcileTasksMessage"
    StatusUpdate internal::StatusUpdateMessage = "mesos.internal.StatusUpdateMessage"
    StatusUpdateAcknowledgement internal::StatusUpdateAcknowledgementMessage
        = "mesos.internal.StatusUpdateAcknowledgementMessage"

    ApplyOperation internal::ApplyOperationMessage = "mesos.internal.ApplyOperationMessage"
    ReconcileOperations internal::ReconcileOperationsMessage = "mesos.internal.ReconcileOperationsMessage"
    UpdateOperationStatus internal::UpdateOperationStatusMessage = "mesos.internal.UpdateOperationStatusMessage"
    AcknowledgeOperationStatus internal::AcknowledgeOperationStatusMessage
        = "mesos.internal.AcknowledgeOperationStatusMessage"

    RegisterAgent internal::RegisterSlaveMessage = "mesos.internal.RegisterSlaveMessage"
    ReregisterAgent internal::ReregisterSlaveMessage = "mesos.internal.ReregisterSlaveMessage"
    AgentRegistered internal::SlaveRegisteredMessage = "mesos.internal.SlaveRegisteredMessage"
    AgentReregistered internal::SlaveReregisteredMessage = "mesos.internal.SlaveReregisteredMessage"
    UnregisterAgent internal::UnregisterSlaveMessage = "mesos.internal.UnregisterSlaveMessage"
    UpdateAgent internal::UpdateSlaveMessage = "mesos.internal.UpdateSlaveMessage"
    PingAgent internal::PingSlaveMessage = "mesos.internal.PingSlaveMessage"
    PongAgent internal::PongSlaveMessage = "mesos.internal.PongSlaveMessage"
    LostAgent internal::LostSlaveMessage = "mesos.internal.LostSlaveMessage"
    DrainAgent internal::DrainSlaveMessage = "mesos.internal.DrainSlaveMessage"
    CheckpointResources internal::CheckpointResourcesMessage = "mesos.internal.CheckpointResourcesMessage"
    Shutdown internal::ShutdownMessage = "mesos.internal.ShutdownMessage"

    RegisterExecutor internal::RegisterExecutorMessage = "mesos.internal.RegisterExecutorMessage"
    ReregisterExecutor internal::ReregisterExecutorMessage = "mesos.internal.ReregisterExecutorMessage"
    ExecutorRegistered internal::ExecutorRegisteredMessage = "mesos.internal.ExecutorRegisteredMessage"
    ExecutorReregistered internal::ExecutorReregisteredMessage = "mesos.internal.ExecutorReregisteredMessage"
    ReconnectExecutor internal::ReconnectExecutorMessage = "mesos.internal.ReconnectExecutorMessage"
    ShutdownExecutor internal::ShutdownExecutorMessage = "mesos.internal.ShutdownExecutorMessage"
    ExitedExecutor internal::ExitedExecutorMessage = "mesos.internal.ExitedExecutorMessage"
    TaskHealthStatus internal::TaskHealthStatus = "mesos.internal.TaskHealthStatus"

    Authenticate internal::AuthenticateMessage = "mesos.internal.AuthenticateMessage"
    AuthenticationMechanisms internal::AuthenticationMechanismsMessage
        = "mesos.internal.AuthenticationMechanismsMessage"
    AuthenticationStart internal::AuthenticationStartMessage = "mesos.internal.AuthenticationStartMessage"
    AuthenticationStep internal::AuthenticationStepMessage = "mesos.internal.AuthenticationStepMessage"
    AuthenticationCompleted internal::AuthenticationCompletedMessage
        = "mesos.internal.AuthenticationCompletedMessage"
    AuthenticationFailed internal::AuthenticationFailedMessage = "mesos.internal.AuthenticationFailedMessage"
    AuthenticationError internal::AuthenticationErrorMessage = "mesos.internal.AuthenticationErrorMessage"
}

/// A call as a v0 driver sends it: the v1 call, and the one thing that SUBSCRIBE has only there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverCall {
    pub call: scheduler::Call,
    /// Of SUBSCRIBE: take the framework over even from a scheduler that is connected.
    pub force: bool,
}

impl From<scheduler::Call> for DriverCall {
    fn from(call: scheduler::Call) -> DriverCall {
        DriverCall { call, force: false }
    }
}

/// How a message goes to and from bytes; only `DriverCall` has a way of its own.
trait Wire: Sized {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError>;
    fn write(&self) -> Vec<u8>;
}

impl<M: prost::Message + prost::Name + Default> Wire for M {
    fn read(bytes: &[u8]) -> Result<M, DecodeError> {
        check::decode(bytes)
    }

    fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

const SUBSCRIBE_FIELD: u32 = 3;

impl Wire for DriverCall {
    fn read(bytes: &[u8]) -> Result<DriverCall, DecodeError> {
        let mut reader = super::wire::Reader::new(bytes);
        let mut subscribes = false;
        while let Ok(Some((number, _))) = reader.field() {
            subscribes |= number == SUBSCRIBE_FIELD;
        }
        if !subscribes {
            return Ok(check::decode::<scheduler::Call>(bytes)?.into());
        }
        let scheduler::CallV0 { framework_id, r#type, subscribe } = check::decode(bytes)?;
        let force = subscribe.as_ref().is_some_and(|subscribe| subscribe.force());
        let subscribe = subscribe.map(|subscribe| scheduler::call::Subscribe {
            framework_info: subscribe.framework_info,
            suppressed_roles: subscribe.suppressed_roles,
            offer_constraints: subscribe.offer_constraints,
        });
        let call = scheduler::Call { framework_id, r#type, subscribe, ..Default::default() };
        Ok(DriverCall { call, force })
    }

    fn write(&self) -> Vec<u8> {
        let Some(subscribe) = self.call.subscribe.clone() else { return self.call.encode_to_vec() };
        let call = scheduler::CallV0 {
            framework_id: self.call.framework_id.clone(),
            r#type: self.call.r#type,
            subscribe: Some(scheduler::SubscribeV0 {
                framework_info: subscribe.framework_info,
                force: self.force.then_some(true),
                suppressed_roles: subscribe.suppressed_roles,
                offer_constraints: subscribe.offer_constraints,
            }),
        };
        call.encode_to_vec()
    }
}

impl From<scheduler::Call> for Message {
    fn from(call: scheduler::Call) -> Message {
        DriverCall::from(call).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{FrameworkInfo, TaskId};

    #[test]
    fn every_name_is_that_of_its_type() {
        for name in NAMES {
            // Whatever is required is missing; what matters is that the name leads to a type.
            if let Err(MessageError::Unknown(name)) = Message::decode(name, &[]) {
                panic!("{name}");
            }
            let table = crate::proto::tables::ALL.iter().find(|table| table.name == *name);
            assert!(table.is_some(), "{name} has no table");
        }
        // Those of resource providers travel over HTTP, as calls and events.
        let elsewhere = ["ResourceProviderCallMessage", "ResourceProviderEventMessage"];
        for table in crate::proto::tables::ALL {
            let short = table.name.strip_prefix("mesos.internal.").unwrap_or_default();
            if short.ends_with("Message") && !elsewhere.contains(&short) {
                assert!(NAMES.contains(&table.name), "{}", table.name);
            }
        }
    }

    #[test]
    fn unknown_names_and_broken_bodies_are_errors() {
        let error = Message::decode("mesos.internal.Nothing\n", b"").unwrap_err();
        assert_eq!(error.to_string(), "no message is called 'mesos.internal.Nothing\\n'");
        let error = Message::decode("mesos.internal.StatusUpdateMessage", b"").unwrap_err();
        assert_eq!(error.to_string(), "Missing required fields: update");
        assert!(Message::decode("mesos.internal.StatusUpdateMessage", b"\x0a\x05ab").is_err());
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        let ping = Message::from(internal::PingSlaveMessage { connected: true });
        assert_eq!(ping.name(), "mesos.internal.PingSlaveMessage");
        assert_eq!(Message::decode(ping.name(), &ping.encode()), Ok(ping));
        assert!(Message::from(internal::PongSlaveMessage {}).encode().is_empty());
    }

    #[test]
    fn a_drivers_subscribe_has_its_own_numbers() {
        let call = scheduler::Call {
            r#type: Some(scheduler::call::Type::Subscribe as i32),
            subscribe: Some(scheduler::call::Subscribe {
                framework_info: FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() },
                suppressed_roles: vec!["web".into()],
                offer_constraints: None,
            }),
            ..Default::default()
        };
        for force in [false, true] {
            let message = Message::from(DriverCall { call: call.clone(), force });
            let bytes = message.encode();
            assert_eq!(Message::decode("mesos.scheduler.Call", &bytes), Ok(message));
            assert!(bytes.windows(5).any(|window| window == [0x1a, 3, b'w', b'e', b'b']), "{bytes:?}");
        }
        let kill = scheduler::Call {
            r#type: Some(scheduler::call::Type::Kill as i32),
            kill: Some(scheduler::call::Kill { task_id: TaskId::from("t"), ..Default::default() }),
            ..Default::default()
        };
        let message = Message::from(kill);
        assert_eq!(Message::decode("mesos.scheduler.Call", &message.encode()), Ok(message));
    }
}
