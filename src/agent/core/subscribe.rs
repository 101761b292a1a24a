//! An executor opens its stream of events, for the first time or again.
//!
//! Source: `Slave::subscribe`, slave.cpp 1.11.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{info, warn};

use super::executors::simple;
use super::state::{Connection, ExecutorPhase, Met, Phase, State};
use super::{Answer, Effect, Effects, ReplyId, StreamId, Then, Timer, tasks};
use crate::agent::checkpoint::Fact;
use crate::base::time::Time;
use crate::proto::internal::{CheckpointedConnection, CheckpointedRun};
use crate::proto::task_status::Reason;
use crate::proto::{ExecutorId, FrameworkId, TaskId, TaskState, executor};

/// Source: `DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL`, slave/constants.hpp 1.11.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

impl State {
    pub(super) fn subscribe(
        &mut self,
        now: Time,
        reply: ReplyId,
        stream: StreamId,
        call: executor::Call,
        out: &mut Effects,
    ) {
        if let Some(answer) = self.refuse_call(&call) {
            out.push(Effect::Reply { reply, answer });
            return;
        }
        let (framework, id) = (call.framework_id, call.executor_id);
        let phase = self.node.executor(&framework, &id).map(|executor| executor.phase);
        info!(executor = %id, %framework, "an executor subscribes");
        out.push(Effect::Reply { reply, answer: Answer::Subscribed });
        let runs = matches!(phase, Some(ExecutorPhase::Registering | ExecutorPhase::Running));
        let ended = self.node.framework(&framework).is_none_or(|framework| framework.terminating);
        if !runs || ended || self.node.phase == Phase::Terminating {
            warn!(executor = %id, "an executor subscribes that shall end");
            // What it has to say of its tasks is the truth nevertheless.
            let subscribe = call.subscribe.filter(|_| phase.is_some()).unwrap_or_default();
            for update in subscribe.unacknowledged_updates {
                self.executor_status(now, &framework, &id, update.status, out);
            }
            let event = Box::new(simple(executor::event::Type::Shutdown));
            out.push(Effect::Stream { stream: stream.clone(), event });
            out.push(Effect::CloseStream(stream));
            return;
        }
        let met = self.node.executor(&framework, &id).map_or(Met::Never, |executor| executor.met);
        self.connect(&framework, &id, Connection::Http(stream.clone()), out);
        self.streams.insert(stream.clone(), (framework.clone(), id.clone()));
        out.push(Effect::Wake { at: now + HEARTBEAT_INTERVAL, timer: Timer::Heartbeat { stream } });
        let subscribe = call.subscribe.unwrap_or_default();
        for update in subscribe.unacknowledged_updates {
            self.executor_status(now, &framework, &id, update.status, out);
        }
        let known = subscribe.unacknowledged_tasks.into_iter().map(|task| task.task_id).collect();
        if met == Met::Known {
            self.drop_lost_launches(now, &framework, &id, &known, out);
        }
        self.meet(now, &framework, &id, out);
    }

    /// An executor is connected. One that is there for the first time gets nothing before that is durable, so that
    /// a restarted agent knows what may have been sent.
    pub(super) fn meet(&mut self, now: Time, framework: &FrameworkId, id: &ExecutorId, out: &mut Effects) {
        let Some(executor) = self.node.executor_mut(framework, id) else { return };
        match executor.met {
            Met::Known => self.welcome(now, framework, id, out),
            // `met` goes on, whichever way it is reached then.
            Met::Saving => {}
            Met::Never => {
                executor.met = Met::Saving;
                let run = executor.run();
                let pid = match &executor.connection {
                    Connection::Pid(pid) => Some(pid.to_string()),
                    Connection::Http(_) | Connection::None => None,
                };
                let fact = CheckpointedConnection { run: run.clone(), pid };
                self.keep(now, framework, || vec![Fact::Connected(Box::new(fact))], Then::Met(run), out);
            }
        }
    }

    /// `meet` goes on here.
    pub(super) fn met(&mut self, now: Time, run: &CheckpointedRun, out: &mut Effects) {
        let Some(executor) = self.executor_in(run) else { return };
        executor.met = Met::Known;
        if executor.phase == ExecutorPhase::Running && executor.connection != Connection::None {
            self.welcome(now, &run.framework_id, &run.executor_id, out);
        }
    }

    /// The executor is reached in this way from now on. An older stream is closed.
    pub(super) fn connect(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        by: Connection,
        out: &mut Effects,
    ) {
        let Some(executor) = self.node.executor_mut(framework, id) else { return };
        executor.phase = ExecutorPhase::Running;
        if let Connection::Http(old) = std::mem::replace(&mut executor.connection, by) {
            warn!(executor = %id, "closing an executor's older stream");
            self.streams.remove(&old);
            out.push(Effect::CloseStream(old));
        }
    }

    /// Tasks that were sent and that the executor does not know were lost on the way.
    pub(super) fn drop_lost_launches(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        id: &ExecutorId,
        known: &BTreeSet<TaskId>,
        out: &mut Effects,
    ) {
        let Some(info) = self.node.framework(framework).map(|framework| framework.info.clone()) else {
            return;
        };
        let Some(executor) = self.node.executor(framework, id) else { return };
        let staging = TaskState::TaskStaging as i32;
        let launched = executor.launched_tasks.values();
        let lost: Vec<_> = launched
            .filter(|task| task.state == staging && !known.contains(&task.task_id))
            .map(|task| task.task_id.clone())
            .collect();
        let state = tasks::lost_or(TaskState::TaskDropped, &info);
        for task in lost {
            let (reason, text) = (Reason::AgentRestarted, "Task launched during agent restart");
            let status = self.own_status(now, framework, &task, state, reason, text, Some(id));
            self.own_update(now, status, out);
        }
    }

    /// SUBSCRIBED, what waited for the executor, or, if there is nothing it could do, SHUTDOWN.
    pub(super) fn welcome(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        id: &ExecutorId,
        out: &mut Effects,
    ) {
        let Some(framework) = self.node.framework(framework_id) else { return };
        let Some(executor) = framework.executors.get(id) else { return };
        if executor.has_nothing_to_do() {
            self.catch_up(now, framework_id, id, out);
            return;
        }
        let event = executor::Event {
            r#type: Some(executor::event::Type::Subscribed as i32),
            subscribed: Some(executor::event::Subscribed {
                executor_info: (*executor.info).clone(),
                framework_info: (*framework.info).clone(),
                agent_info: (*self.node.info).clone(),
                container_id: Some(executor.container.clone()),
            }),
            ..executor::Event::default()
        };
        self.tell_executor(framework_id, id, event, out);
        self.catch_up(now, framework_id, id, out);
    }

    /// What waited for the executor, or, if there is nothing it could do, SHUTDOWN.
    pub(super) fn catch_up(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        id: &ExecutorId,
        out: &mut Effects,
    ) {
        let Some(executor) = self.node.executor(framework_id, id) else { return };
        let container = executor.container.clone();
        if executor.has_nothing_to_do() {
            warn!(executor = %id, "an executor has no task: all were killed before it was there");
            self.shut_down_executor(now, framework_id, id, out);
            self.not_awaited(now, &container, out);
            return;
        }
        self.deliver(framework_id, id, out);
        let kills = self
            .node
            .executor_mut(framework_id, id)
            .map(|executor| std::mem::take(&mut executor.pending_kills));
        for (task, policy) in kills.unwrap_or_default() {
            self.tell_executor(framework_id, id, tasks::kill(task, policy), out);
        }
        self.not_awaited(now, &container, out);
    }

    pub(super) fn heartbeat(&mut self, now: Time, stream: StreamId, out: &mut Effects) {
        if !self.streams.contains_key(&stream) {
            return;
        }
        let event = Box::new(simple(executor::event::Type::Heartbeat));
        out.push(Effect::Stream { stream: stream.clone(), event });
        out.push(Effect::Wake { at: now + HEARTBEAT_INTERVAL, timer: Timer::Heartbeat { stream } });
    }

    /// The executor's end of the stream is gone. It subscribes again, or its container ends.
    pub(super) fn stream_closed(&mut self, stream: &StreamId) {
        let Some((framework, id)) = self.streams.remove(stream) else { return };
        if let Some(executor) = self.node.executor_mut(&framework, &id)
            && executor.connection == Connection::Http(stream.clone())
        {
            info!(executor = %id, "an executor's stream ended");
            executor.connection = Connection::None;
        }
    }
}
