//! Messages to the master: of agents, and of v0 drivers, whose older messages are calls under other names.

use std::net::SocketAddr;

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::FrameworkErrorMessage;
use crate::proto::message::{DriverCall, Message};
use crate::proto::scheduler::{Call, call};
use crate::proto::{FrameworkId, FrameworkInfo, offer};

use super::Effects;
use super::agents::is_believed;
use super::books::State;

impl State {
    /// A message to the master itself. One that does not come from where it says is dropped, whoever it says.
    pub(super) fn message(
        &mut self,
        from: Upid,
        peer: SocketAddr,
        message: Message,
        now: Time,
        out: &mut Effects,
    ) {
        if !is_believed(&from, peer) {
            return self.drop_message(&from, message.name(), &format!("it comes from {}", peer.ip()));
        }
        match message {
            Message::RegisterAgent(message) => self.register(from, *message, now, out),
            Message::ReregisterAgent(message) => self.reregister(from, *message, now, out),
            Message::UnregisterAgent(message) => self.unregister(&from, &message, out),
            Message::UpdateAgent(message) => self.update_agent(&from, *message, out),
            Message::StatusUpdate(message) => self.status_update(&from, *message, out),
            Message::ExitedExecutor(message) => self.exited_executor(&from, &message, out),
            Message::ExecutorToFramework(message) => self.message_from_executor(&from, *message, out),
            Message::SchedulerCall(call) => self.driver_call(&from, *call, now, out),
            Message::Authenticate(_) => self.authenticate(&from, now, out),
            Message::DeactivateFramework(message) => {
                self.deactivate_driver(&from, &message.framework_id, out);
            }
            Message::RegisterFramework(message) if has_id(&message.framework) => {
                self.refuse_driver(&from, "Registering with 'id' already set", out);
            }
            Message::ReregisterFramework(message) if !has_id(&message.framework) => {
                self.refuse_driver(&from, "Re-registering without an 'id'", out);
            }
            other => match older_call(other) {
                Ok(call) => self.driver_call(&from, call, now, out),
                Err(other) => self.drop_message(&from, other.name(), "the master has no use for it"),
            },
        }
    }

    fn refuse_driver(&self, from: &Upid, why: &str, out: &mut Effects) {
        tracing::info!(%from, why, "refusing registration of framework");
        self.send(from, FrameworkErrorMessage { message: why.to_owned() }, out);
    }

    /// A driver that was aborted wants no more offers.
    fn deactivate_driver(&mut self, from: &Upid, id: &FrameworkId, out: &mut Effects) {
        self.count("messages_deactivate_framework");
        if self.framework_by_pid(from) == Some(id) {
            self.deactivate_framework(id, true, out);
        } else {
            self.drop_message(from, "deactivation", "it is not from the registered framework");
        }
    }
}

fn has_id(info: &FrameworkInfo) -> bool {
    info.id.as_ref().is_some_and(|id| !id.value.is_empty())
}

/// What drivers before 0.24 say in messages of their own, as the call that took its place.
/// Source: `Master::initialize` and its handlers, 1.11.
fn older_call(message: Message) -> Result<DriverCall, Message> {
    let of = |id: FrameworkId, kind: call::Type| Call {
        framework_id: Some(id),
        r#type: Some(kind as i32),
        ..Default::default()
    };
    let subscribe = |framework_info: FrameworkInfo, force: bool| DriverCall {
        call: Call {
            framework_id: framework_info.id.clone(),
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(call::Subscribe { framework_info, ..Default::default() }),
            ..Default::default()
        },
        force,
    };
    let call = match message {
        Message::RegisterFramework(message) => return Ok(subscribe(message.framework, false)),
        Message::ReregisterFramework(message) => return Ok(subscribe(message.framework, message.failover)),
        Message::UnregisterFramework(message) => of(message.framework_id, call::Type::Teardown),
        Message::ResourceRequest(message) => Call {
            request: Some(call::Request { requests: message.requests }),
            ..of(message.framework_id, call::Type::Request)
        },
        Message::ReviveOffers(message) => Call {
            revive: Some(call::Revive { roles: message.roles }),
            ..of(message.framework_id, call::Type::Revive)
        },
        Message::LaunchTasks(message) => {
            let launch = offer::Operation {
                r#type: Some(offer::operation::Type::Launch as i32),
                launch: Some(offer::operation::Launch { task_infos: message.tasks }),
                ..Default::default()
            };
            let accept = call::Accept {
                offer_ids: message.offer_ids,
                operations: vec![launch],
                filters: Some(message.filters),
            };
            Call { accept: Some(accept), ..of(message.framework_id, call::Type::Accept) }
        }
        Message::KillTask(message) => Call {
            kill: Some(call::Kill {
                task_id: message.task_id,
                agent_id: None,
                kill_policy: message.kill_policy,
            }),
            ..of(message.framework_id, call::Type::Kill)
        },
        Message::StatusUpdateAcknowledgement(message) => Call {
            acknowledge: Some(call::Acknowledge {
                agent_id: message.agent_id,
                task_id: message.task_id,
                uuid: message.uuid,
            }),
            ..of(message.framework_id, call::Type::Acknowledge)
        },
        Message::ReconcileTasks(message) => {
            let task = |status: crate::proto::TaskStatus| call::reconcile::Task {
                task_id: status.task_id,
                agent_id: status.agent_id,
            };
            let tasks = message.statuses.into_iter().map(task).collect();
            Call {
                reconcile: Some(call::Reconcile { tasks }),
                ..of(message.framework_id, call::Type::Reconcile)
            }
        }
        Message::FrameworkToExecutor(message) => Call {
            message: Some(call::Message {
                agent_id: message.agent_id,
                executor_id: message.executor_id,
                data: message.data,
            }),
            ..of(message.framework_id, call::Type::Message)
        },
        other => return Err(other),
    };
    Ok(DriverCall { call, force: false })
}
