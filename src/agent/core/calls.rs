//! The calls of executors: what they must look like, and those that are not SUBSCRIBE.
//!
//! Source: `validateExecutorCall`, common/validation.cpp; `Http::executor`, slave/http.cpp 1.11.

use tracing::warn;

use super::state::{ExecutorPhase, Phase, State};
use super::{Answer, Effect, Effects, ReplyId};
use crate::base::time::Time;
use crate::base::uuid::is_uuid;
use crate::proto::executor::call::Type;
use crate::proto::internal::ExecutorToFrameworkMessage;
use crate::proto::task_status::Source;
use crate::proto::{ExecutorId, FrameworkId, TaskState, executor};

impl State {
    pub(super) fn call(&mut self, now: Time, reply: ReplyId, call: executor::Call, out: &mut Effects) {
        let answer = self.refuse_call(&call).unwrap_or_else(|| self.accept_call(now, call, out));
        out.push(Effect::Reply { reply, answer });
    }

    /// What is wrong with a call, if anything is.
    pub(super) fn refuse_call(&self, call: &executor::Call) -> Option<Answer> {
        if let Err(why) = validate(call) {
            return Some(Answer::BadRequest(format!("Failed to validate Executor::Call: {why}")));
        }
        // Its ids may be made up.
        if call.r#type() == Type::Heartbeat {
            return Some(Answer::Accepted);
        }
        let Some(framework) = self.node.framework(&call.framework_id) else {
            return Some(Answer::BadRequest("Framework cannot be found".to_owned()));
        };
        let Some(executor) = framework.executors.get(&call.executor_id) else {
            return Some(Answer::BadRequest("Executor cannot be found".to_owned()));
        };
        if executor.phase == ExecutorPhase::Registering && call.r#type() != Type::Subscribe {
            return Some(Answer::Forbidden("Executor is not subscribed".to_owned()));
        }
        None
    }

    fn accept_call(&mut self, now: Time, call: executor::Call, out: &mut Effects) -> Answer {
        let (framework, executor) = (&call.framework_id, &call.executor_id);
        if let Some(update) = call.update {
            self.executor_status(now, framework, executor, update.status, out);
            return Answer::Accepted;
        }
        if let Some(message) = call.message {
            self.executor_message(framework, executor, message.data, out);
            return Answer::Accepted;
        }
        Answer::NotImplemented("The agent does not know this call".to_owned())
    }

    /// From an executor to its scheduler: straight to a v0 one, through the master to the others.
    pub(super) fn executor_message(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        data: bytes::Bytes,
        out: &mut Effects,
    ) {
        let framework = self.node.framework(framework_id).filter(|framework| !framework.terminating);
        let (Some(framework), Phase::Running) = (framework, self.node.phase) else {
            warn!(executor = %executor_id, "dropped a message from an executor: nobody to send it to");
            self.node.counters.invalid_framework_messages += 1;
            return;
        };
        let message = ExecutorToFrameworkMessage {
            agent_id: self.node.id(),
            framework_id: framework_id.clone(),
            executor_id: executor_id.clone(),
            data,
        };
        match &framework.pid {
            Some(pid) => out.push(Effect::Send { to: pid.clone(), message: Box::new(message.into()) }),
            None => self.tell_master(message, out),
        }
        self.node.counters.valid_framework_messages += 1;
    }
}

/// Whether the call is one at all, with the sentence for the client if not.
fn validate(call: &executor::Call) -> Result<(), String> {
    let Some(kind) = call.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err("Expecting 'type' to be present".to_owned());
    };
    let expecting = |present: bool, name: &str| match present {
        true => Ok(()),
        false => Err(format!("Expecting '{name}' to be present")),
    };
    match kind {
        Type::Subscribe => expecting(call.subscribe.is_some(), "subscribe"),
        Type::Message => expecting(call.message.is_some(), "message"),
        Type::Update => {
            expecting(call.update.is_some(), "update")?;
            call.update.as_ref().map_or(Ok(()), |update| validate_update(call, update))
        }
        Type::Heartbeat | Type::Unknown => Ok(()),
    }
}

fn validate_update(call: &executor::Call, update: &executor::call::Update) -> Result<(), String> {
    let status = &update.status;
    let (executor, framework) = (&call.executor_id, &call.framework_id);
    let Some(uuid) = &status.uuid else { return Err("Expecting 'uuid' to be present".to_owned()) };
    if !is_uuid(uuid) {
        return Err("Not a valid UUID".to_owned());
    }
    if let Some(named) = status.executor_id.as_ref().filter(|named| *named != executor) {
        return Err(format!(
            "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {named}"
        ));
    }
    if status.source != Some(Source::Executor as i32) {
        return Err(format!(
            "Received Call from executor {executor} of framework {framework} with invalid source, expecting \
             'SOURCE_EXECUTOR'"
        ));
    }
    if status.state == TaskState::TaskStaging as i32 {
        return Err(format!(
            "Received TASK_STAGING from executor {executor} of framework {framework} which is not allowed"
        ));
    }
    Ok(())
}
