//! ACCEPT: takes the offers away, walks the operations in order, gives back what is left.
//!
//! Tasks are launched (`launch.rs`); reservations, volumes and disks are refused, which is said to the scheduler.

mod launch;

use crate::base::time::Time;
use crate::master::validate;
use crate::proto::offer::operation::Type;
use crate::proto::scheduler::{self, call, event};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    AgentId, FrameworkId, OfferId, OperationState, OperationStatus, TaskId, TaskInfo, TaskState, TaskStatus,
    offer,
};
use crate::resources::Resources;

use super::books::State;
use super::offers::refused_for;
use super::state::{Connection, Framework};
use super::tell::status;
use super::{Answer, Effects};

/// One ACCEPT under way.
struct Accepted {
    framework: FrameworkId,
    agent: AgentId,
    role: crate::alloc::Role,
    /// Of the offers, what no operation has taken yet.
    remaining: Resources,
    /// One of the offers: it is never used again, so agents know messages that they had before by it.
    offer: Option<OfferId>,
}

impl State {
    /// Source: `Master::accept` and `_accept`, 1.11.
    pub(super) fn accept(
        &mut self,
        id: &FrameworkId,
        accept: call::Accept,
        now: Time,
        out: &mut Effects,
    ) -> Answer {
        if let Err(why) = self.all_supported(id, &accept.operations) {
            return Answer::NotImplemented(why);
        }
        self.count_launches(&accept);
        let (agent, role) = match validate::offer::validate(&self.cluster, id, &accept.offer_ids) {
            Ok(of) => of,
            Err(why) => {
                self.refuse_accept(id, accept, &why, now, out);
                return Answer::Accepted;
            }
        };
        self.count_offers(id, accept.offer_ids.len() as u64, |traffic| &mut traffic.offers_accepted);
        let mut remaining = Resources::default();
        for offer in &accept.offer_ids {
            if let Some(offer) = self.take_offer(offer) {
                remaining += &offer.resources;
            }
        }
        tracing::info!(framework = %id, %agent, offers = accept.offer_ids.len(), "processing ACCEPT");
        let refuse = refused_for(accept.filters.as_ref());
        let offer = accept.offer_ids.first().cloned();
        let mut accepted = Accepted { framework: id.clone(), agent, role, remaining, offer };
        for operation in accept.operations {
            self.count_operation(id, operation.r#type());
            match operation.r#type() {
                Type::Launch => self.launch(&mut accepted, operation, now, out),
                Type::LaunchGroup => self.launch_group(&mut accepted, operation, now, out),
                kind => self.refuse_operation(id, &operation, &not_supported(kind), out),
            }
        }
        self.recover(id, &accepted.agent, accepted.remaining, refuse, out);
        Answer::Accepted
    }

    fn count_launches(&mut self, accept: &call::Accept) {
        for operation in &accept.operations {
            if let Some(launch) = operation.launch.as_ref().filter(|_| operation.r#type() == Type::Launch) {
                self.count(match launch.task_infos.is_empty() {
                    true => "messages_decline_offers",
                    false => "messages_launch_tasks",
                });
            }
        }
    }

    /// A v1 scheduler that gave an operation an id hears what became of it; one that did not would wait for its
    /// effect for ever, so then the whole call is refused before anything is done. A driver takes no answer.
    fn all_supported(&self, id: &FrameworkId, operations: &[offer::Operation]) -> Result<(), String> {
        let over_http =
            self.cluster.framework(id).is_some_and(|own| matches!(own.connection, Connection::Http(_)));
        let unheard = operations.iter().find(|operation| {
            !matches!(operation.r#type(), Type::Launch | Type::LaunchGroup) && operation.id.is_none()
        });
        match unheard.filter(|_| over_http) {
            Some(operation) => Err(not_supported(operation.r#type())),
            None => Ok(()),
        }
    }

    /// The offers are not there, or not for this: those that are go back, and no operation is done.
    fn refuse_accept(
        &mut self,
        id: &FrameworkId,
        accept: call::Accept,
        why: &str,
        now: Time,
        out: &mut Effects,
    ) {
        tracing::warn!(framework = %id, why, "ACCEPT with invalid offers");
        for offer in &accept.offer_ids {
            if self.cluster.offers.get(offer).is_some_and(|offer| offer.framework == *id) {
                self.discard(offer, None, out);
            }
        }
        let Some(framework) = self.cluster.frameworks.get(id).cloned() else { return };
        let state = match framework.is_partition_aware() {
            true => TaskState::TaskDropped,
            false => TaskState::TaskLost,
        };
        let message = format!("Task launched with invalid offers: {why}");
        for operation in &accept.operations {
            match tasks_of(operation) {
                Some(tasks) => {
                    for task in tasks {
                        if let Some(state) = told(&framework, &task.task_id, state) {
                            self.end_tasks(
                                id,
                                std::slice::from_ref(task),
                                state,
                                Reason::InvalidOffers,
                                &message,
                                now,
                                out,
                            );
                        }
                    }
                }
                None => {
                    let why = format!("Operation attempted with invalid offers: {why}");
                    self.refuse_operation(id, operation, &why, out);
                }
            }
        }
    }

    /// Tasks that were never launched, and why.
    #[expect(clippy::too_many_arguments, reason = "what a status consists of")]
    fn end_tasks(
        &mut self,
        id: &FrameworkId,
        tasks: &[TaskInfo],
        state: TaskState,
        reason: Reason,
        why: &str,
        now: Time,
        out: &mut Effects,
    ) {
        for task in tasks {
            let status: TaskStatus = status(&task.task_id, Some(&task.agent_id), state, reason, why, now);
            self.count_end(id, state, &status);
            self.tell_status(id, status, out);
        }
    }

    /// An operation that is not done. Only a v1 scheduler hears of it, and only if it gave the operation an id.
    /// Source: `Master::drop(Framework*, Offer::Operation)`, 1.11.
    fn refuse_operation(
        &mut self,
        id: &FrameworkId,
        operation: &offer::Operation,
        why: &str,
        out: &mut Effects,
    ) {
        let kind = operation.r#type().as_str_name();
        tracing::warn!(framework = %id, operation = kind, why, "dropping operation");
        let Some(framework) = self.cluster.framework(id) else { return };
        let (Some(operation_id), Connection::Http(_)) = (&operation.id, &framework.connection) else {
            return;
        };
        let status = OperationStatus {
            operation_id: Some(operation_id.clone()),
            state: OperationState::OperationError as i32,
            message: Some(why.to_owned()),
            ..Default::default()
        };
        let event = scheduler::Event {
            r#type: Some(event::Type::UpdateOperationStatus as i32),
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..Default::default()
        };
        self.tell(id, event, out);
    }
}

fn tasks_of(operation: &offer::Operation) -> Option<&[TaskInfo]> {
    match operation.r#type() {
        Type::Launch => Some(operation.launch.as_ref().map_or(&[], |launch| &launch.task_infos)),
        Type::LaunchGroup => {
            Some(operation.launch_group.as_ref().map_or(&[], |launch| &launch.task_group.tasks))
        }
        _ => None,
    }
}

fn not_supported(kind: Type) -> String {
    format!("{} is not supported yet: of all operations only LAUNCH and LAUNCH_GROUP are", kind.as_str_name())
}

/// What a scheduler hears of a task that it tries to launch on invalid offers; nothing of one that it has, since
/// a call that comes twice does not end what it launched (in Mesos it seems to). One that went with its agent may
/// return with it, so it stays what the master said it was.
fn told(framework: &Framework, task: &TaskId, dropped: TaskState) -> Option<TaskState> {
    if framework.tasks.contains_key(task) || framework.unreachable_tasks.contains_key(task) {
        return None;
    }
    let ended = framework.completed(task).filter(|ended| ended.told_by() == Some(Source::Master));
    Some(ended.map_or(dropped, |ended| ended.state))
}
