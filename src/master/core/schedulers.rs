//! Calls of schedulers: who may call, and where each call goes.

use crate::alloc;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::FrameworkId;
use crate::proto::internal::FrameworkErrorMessage;
use crate::proto::message::DriverCall;
use crate::proto::scheduler::{Call, call::Type};

use super::books::State;
use super::state::Connection;
use super::{Answer, Effect, Effects, ReplyId, StreamId};
use crate::master::validate;

impl State {
    /// A call over HTTP. Source: `Http::scheduler`, 1.11.
    pub(super) fn stream_call(
        &mut self,
        reply: ReplyId,
        stream: Option<StreamId>,
        call: Call,
        now: Time,
        out: &mut Effects,
    ) {
        let answer = match self.allowed(stream.as_ref(), &call) {
            Ok((kind, framework)) => self.call(&framework, kind, call, now, out),
            Err(refusal) => refusal,
        };
        out.push(Effect::Reply { reply, answer });
    }

    fn allowed(&self, stream: Option<&StreamId>, call: &Call) -> Result<(Type, FrameworkId), Answer> {
        validate::call::validate(call)
            .map_err(|why| Answer::BadRequest(format!("Failed to validate scheduler::Call: {why}")))?;
        let kind = call.r#type();
        let id = call.framework_id.clone().unwrap_or_default();
        let Some(framework) = self.cluster.framework(&id) else {
            return Err(Answer::BadRequest("Framework cannot be found".to_owned()));
        };
        if !framework.connected {
            return Err(Answer::Forbidden("Framework is not subscribed".to_owned()));
        }
        let Connection::Http(own) = &framework.connection else {
            return Err(Answer::Forbidden("Framework is not connected via HTTP".to_owned()));
        };
        match stream {
            Some(stream) if stream == own => Ok((kind, id)),
            Some(stream) => Err(Answer::BadRequest(format!(
                "The stream ID '{stream}' included in this request didn't match the stream ID currently \
                 associated with framework ID {id}"
            ))),
            None => Err(Answer::BadRequest(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header".to_owned(),
            )),
        }
    }

    /// A call of a v0 driver. What is wrong with it is only logged: a driver takes no answers.
    /// Source: `Master::receive`, 1.11.
    pub(super) fn driver_call(&mut self, from: &Upid, driver: DriverCall, now: Time, out: &mut Effects) {
        let DriverCall { call, force } = driver;
        if let Err(why) = validate::call::validate(&call) {
            return self.drop_message(from, "call", &why);
        }
        let kind = call.r#type();
        if let (Type::Subscribe, Some(subscribe)) = (kind, call.subscribe.as_ref()) {
            return self.subscribe(Connection::Pid(from.clone()), subscribe.clone(), force, now, out);
        }
        let id = call.framework_id.clone().unwrap_or_default();
        let Some(framework) = self.cluster.framework(&id) else {
            if self.cluster.is_completed(&id) {
                // Its link broke, and it was not back in time; nothing else would tell it.
                let message = "Framework has been removed".to_owned();
                return self.send(from, FrameworkErrorMessage { message }, out);
            }
            return self.drop_message(from, "call", "Framework cannot be found");
        };
        if framework.connection != Connection::Pid(from.clone()) {
            if framework.connection != Connection::None {
                // The one that took over was told; this one may not have heard that it happened.
                let message = super::frameworks::FAILED_OVER.to_owned();
                self.send(from, FrameworkErrorMessage { message }, out);
            }
            return self.drop_message(from, "call", "Call is not from registered framework");
        }
        if !framework.connected {
            // The link to the driver broke and it does not know: only an error makes it subscribe again.
            let message = "Framework disconnected".to_owned();
            return self.send(from, FrameworkErrorMessage { message }, out);
        }
        match self.call(&id, kind, call, now, out) {
            Answer::BadRequest(message) | Answer::Forbidden(message) if kind == Type::UpdateFramework => {
                self.send(from, FrameworkErrorMessage { message }, out);
            }
            Answer::BadRequest(why) | Answer::Forbidden(why) | Answer::NotImplemented(why) => {
                self.drop_message(from, "call", &why);
            }
            _ => {}
        }
    }

    /// A call of a subscribed scheduler, whose parts are there.
    fn call(&mut self, id: &FrameworkId, kind: Type, call: Call, now: Time, out: &mut Effects) -> Answer {
        tracing::debug!(framework = %id, call = kind.as_str_name(), "processing call");
        self.count_call(id, kind);
        match kind {
            Type::Teardown => {
                self.count("messages_unregister_framework");
                self.end_framework(id, now, out);
            }
            Type::Accept => return self.accept(id, call.accept.unwrap_or_default(), now, out),
            Type::Decline => self.decline(id, &call.decline.unwrap_or_default(), out),
            Type::Revive => self.revive(id, &call.revive.unwrap_or_default().roles, out),
            Type::Suppress => self.suppress(id, &call.suppress.unwrap_or_default().roles, out),
            Type::Kill => self.kill(id, call.kill.unwrap_or_default(), now, out),
            Type::Shutdown => self.shutdown_executor(id, call.shutdown.unwrap_or_default(), out),
            Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default(), out),
            Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default(), now, out),
            Type::Message => self.message_to_executor(id, call.message.unwrap_or_default(), out),
            Type::Request => {
                self.count("messages_resource_request");
                out.push(Effect::Alloc(alloc::Call::Request { framework: id.clone() }));
            }
            Type::UpdateFramework => {
                return self.update_framework(id, call.update_framework.unwrap_or_default(), out);
            }
            Type::AcceptInverseOffers | Type::DeclineInverseOffers => {
                // There is no maintenance yet, so every inverse offer is one that is no longer valid.
                tracing::warn!(framework = %id, "inverse offers in call are no longer valid");
            }
            Type::AcknowledgeOperationStatus | Type::ReconcileOperations => {
                return Answer::NotImplemented(format!("{} is not supported yet", kind.as_str_name()));
            }
            Type::Subscribe => return Answer::BadRequest("SUBSCRIBE opens a stream".to_owned()),
            Type::Unknown => return Answer::NotImplemented("Received 'UNKNOWN' call".to_owned()),
        }
        Answer::Accepted
    }
}
