//! Executors: launched, told things, shut down, gone.
//!
//! Source: `Framework::addExecutor`, `Slave::launchExecutor`, `executorLaunched`, `executorTerminated`,
//! `_shutdownExecutor`, `registerExecutorTimeout`, slave.cpp 1.11.

use std::path::PathBuf;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use tracing::{debug, info, warn};

use super::environment::{environment, grace_period};
use super::state::{Connection, Executor, ExecutorPhase, Met, Phase, State, Termination};
use super::statuses::update_task;
use super::{Effect, Effects, Timer, allowed, command};
use crate::agent::checkpoint::Fact;
use crate::agent::containerizer::{Exit, Launch, Limitation, Report};
use crate::agent::paths;
use crate::base::duration;
use crate::base::time::Time;
use crate::proto::internal::{
    CheckpointedExecutor, ExitedExecutorMessage, FrameworkToExecutorMessage, KillTaskMessage, RunTaskMessage,
    ShutdownExecutorMessage,
};
use crate::proto::message::Message;
use crate::proto::task_status::Reason;
use crate::proto::{
    ContainerId, ExecutorId, ExecutorInfo, FrameworkId, Resource, TaskInfo, TaskResourceLimitation,
    TaskState, executor, executor_info,
};

/// In place of what `wait` tells.
const NEVER_RAN: i32 = -1;

impl State {
    /// Makes an executor of a framework that is here. What it gives is to be kept, and then launched.
    pub(super) fn add_executor(
        &mut self,
        framework: &FrameworkId,
        info: ExecutorInfo,
        generated: bool,
        tasks: &[TaskInfo],
    ) -> Option<(Fact, Box<Launch>)> {
        let container = ContainerId { value: self.uuid().to_string(), parent: None };
        let agent = self.node.id();
        let config = self.node.config.clone();
        let id = info.executor_id.clone();
        let directory = paths::sandbox(&config.work_dir, &agent, framework, &id, &container);
        let owner = self.node.framework_mut(framework)?;
        let mut to_run = info.command.clone().unwrap_or_default();
        if info.r#type == Some(executor_info::Type::Default as i32) {
            to_run = command::default_executor_command(&config);
        }
        let user = to_run.user.clone().unwrap_or_else(|| owner.info.user.clone());
        let launch = Launch {
            container: container.clone(),
            framework: framework.clone(),
            executor: id.clone(),
            command: to_run,
            directory: directory.clone(),
            meta: paths::meta_run(&config.work_dir, &agent, framework, &id, &container),
            user: (config.switch_user && !user.is_empty()).then_some(user),
            environment: environment(&config, &agent, &info, &directory, owner.checkpoint),
            allowed: allowed::at_first(&info, tasks),
            described: info.container.clone(),
        };
        info!(executor = %id, %framework, container = %container.value, "launching an executor");
        let executor = new_executor(framework.clone(), info, container.clone(), directory, generated);
        let fact = Fact::Executor(Box::new(CheckpointedExecutor {
            run: executor.run(),
            info: (*executor.info).clone(),
            generated: Some(generated),
        }));
        owner.executors.insert(id.clone(), Arc::new(executor));
        self.containers.insert(container, (framework.clone(), id));
        Some((fact, Box::new(launch)))
    }

    /// Starts the container of a new executor, unless it was told to end meanwhile.
    pub(super) fn launch(&mut self, now: Time, launch: Box<Launch>, out: &mut Effects) {
        let container = launch.container.clone();
        let Some((_, executor)) = self.by_container(&container) else { return };
        if executor.phase == ExecutorPhase::Terminating {
            self.terminated(now, &container, NEVER_RAN, out);
            return;
        }
        out.push(Effect::Launch(launch));
        let at = now + self.node.config.executor_registration_timeout;
        out.push(Effect::Wake { at, timer: Timer::ExecutorRegistration { container } });
    }

    /// The one way to an executor, however it is connected. What comes while it is not is lost.
    pub(super) fn tell_executor(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        event: executor::Event,
        out: &mut Effects,
    ) {
        let Some(executor) = self.node.executor(framework, id) else { return };
        match &executor.connection {
            Connection::Http(stream) => {
                out.push(Effect::Stream { stream: stream.clone(), event: Box::new(event) });
            }
            Connection::Pid(pid) => {
                for message in self.in_v0(framework, id, event) {
                    out.push(Effect::Send { to: pid.clone(), message: Box::new(message) });
                }
            }
            Connection::None => debug!(executor = %id, "an event is lost: the executor is not connected"),
        }
    }

    /// An event as executors on libprocess know it. They never know of groups.
    fn in_v0(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        event: executor::Event,
    ) -> Vec<Message> {
        let Some(framework) = self.node.framework(framework_id) else { return Vec::new() };
        let run = |task| {
            let pid = framework.pid.as_ref().map_or_else(|| "@0.0.0.0:0".to_owned(), ToString::to_string);
            Message::from(RunTaskMessage {
                framework: (*framework.info).clone(),
                task,
                pid: Some(pid),
                ..RunTaskMessage::default()
            })
        };
        let mut messages = Vec::new();
        if event.subscribed.is_some() {
            messages.extend(self.greeting_v0(framework_id, executor_id).map(Message::from));
        }
        messages.extend(event.launch.map(|launch| run(launch.task)));
        messages.extend(event.launch_group.into_iter().flat_map(|group| group.task_group.tasks).map(run));
        messages.extend(event.kill.map(|kill| {
            let framework_id = framework_id.clone();
            KillTaskMessage { framework_id, task_id: kill.task_id, kill_policy: kill.kill_policy }.into()
        }));
        messages.extend(event.message.map(|message| {
            Message::from(FrameworkToExecutorMessage {
                agent_id: self.node.id(),
                framework_id: framework_id.clone(),
                executor_id: executor_id.clone(),
                data: message.data,
            })
        }));
        if event.r#type == Some(executor::event::Type::Shutdown as i32) {
            messages.push(ShutdownExecutorMessage::default().into());
        }
        messages
    }

    /// Asks the executor to end; its container is destroyed if it has not after the grace period.
    pub(super) fn shut_down_executor(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        id: &ExecutorId,
        out: &mut Effects,
    ) {
        let Some(executor) = self.node.executor_mut(framework, id) else { return };
        if !matches!(executor.phase, ExecutorPhase::Registering | ExecutorPhase::Running) {
            return;
        }
        info!(executor = %id, %framework, "shutting down an executor");
        executor.phase = ExecutorPhase::Terminating;
        let (container, info) = (executor.container.clone(), executor.info.clone());
        let at = now + grace_period(&self.node.config, &info);
        self.tell_executor(framework, id, simple(executor::event::Type::Shutdown), out);
        out.push(Effect::Wake { at, timer: Timer::ExecutorShutdown { container } });
    }

    pub(super) fn shutdown_executor_message(
        &mut self,
        now: Time,
        message: ShutdownExecutorMessage,
        out: &mut Effects,
    ) {
        let (Some(framework), Some(executor)) = (message.framework_id, message.executor_id) else {
            warn!("ignored the shutdown of an executor that is not named");
            return;
        };
        if self.node.phase == Phase::Disconnected {
            warn!(%executor, "ignored the shutdown of an executor: not registered");
            return;
        }
        self.shut_down_executor(now, &framework, &executor, out);
    }

    pub(super) fn shutdown_timeout(&mut self, container: &ContainerId, out: &mut Effects) {
        let Some((_, executor)) = self.by_container(container) else { return };
        if executor.phase == ExecutorPhase::Terminating {
            info!(executor = %executor.id, "killing an executor that did not end by itself");
            out.push(Effect::Destroy(container.clone()));
        }
    }

    pub(super) fn registration_timeout(&mut self, container: &ContainerId, out: &mut Effects) {
        let timeout = self.node.config.executor_registration_timeout;
        let Some((framework, executor)) = self.by_container(container) else { return };
        if executor.phase != ExecutorPhase::Registering {
            return;
        }
        let id = executor.id.clone();
        info!(executor = %id, ?timeout, "killing an executor that did not register");
        if let Some(executor) = self.node.executor_mut(&framework, &id) {
            executor.phase = ExecutorPhase::Terminating;
            executor.termination = Some(Termination {
                state: TaskState::TaskFailed,
                reason: Reason::ExecutorRegistrationTimeout,
                message: format!("Executor did not register within {}", duration::format(timeout)),
                limited: Vec::new(),
            });
        }
        out.push(Effect::Destroy(container.clone()));
    }

    pub(super) fn by_container(&self, container: &ContainerId) -> Option<(FrameworkId, &Executor)> {
        let (framework, executor) = self.containers.get(container)?;
        let there = self.node.executor(framework, executor)?;
        Some((framework.clone(), there))
    }

    pub(super) fn report(&mut self, now: Time, report: Report, out: &mut Effects) {
        match report {
            Report::Launched { container, pid } => self.launched(&container, pid, out),
            Report::Failed { container, reason, message } => {
                self.node.counters.container_launch_errors += 1;
                let message = format!("Failed to launch container: {message}");
                warn!(container = %container.value, message, "a container failed");
                if let Some((framework, id)) = self.containers.get(&container).cloned()
                    && let Some(executor) = self.node.executor_mut(&framework, &id)
                {
                    let state = TaskState::TaskFailed;
                    let limited = Vec::new();
                    executor.termination = Some(Termination { state, reason, message, limited });
                }
                self.terminated(now, &container, NEVER_RAN, out);
            }
            Report::Limited { container, limitation } => {
                let Limitation { reason, message, resources: limited } = limitation;
                info!(container = %container.value, message, "a container went beyond what it may use");
                if let Some((framework, id)) = self.containers.get(&container).cloned()
                    && let Some(executor) = self.node.executor_mut(&framework, &id)
                {
                    executor.phase = ExecutorPhase::Terminating;
                    let state = TaskState::TaskFailed;
                    executor.termination = Some(Termination { state, reason, message, limited });
                }
            }
            Report::Terminated { container, exit } => {
                info!(container = %container.value, ?exit, "a container is gone");
                if exit == Exit::Unknown
                    && let Some((framework, id)) = self.containers.get(&container).cloned()
                    && let Some(executor) = self.node.executor_mut(&framework, &id)
                {
                    executor.termination.get_or_insert_with(lost_sight);
                }
                // As `wait` tells it, which is what ExitedExecutorMessage carries.
                let status = match exit {
                    Exit::Code(code) => (code & 0xff) << 8,
                    Exit::Signal(signal) => signal,
                    Exit::Destroyed => 9,
                    Exit::Unknown => NEVER_RAN,
                };
                self.terminated(now, &container, status, out);
            }
        }
    }

    fn launched(&mut self, container: &ContainerId, pid: u32, out: &mut Effects) {
        let of_container = self.containers.get(container).cloned();
        let executor = of_container.and_then(|(framework, id)| self.node.executor_mut(&framework, &id));
        match executor {
            Some(executor) if executor.phase != ExecutorPhase::Terminating => executor.pid = Some(pid),
            // What told it to end came before it could hear.
            _ => out.push(Effect::Destroy(container.clone())),
        }
    }

    /// Nothing is left of the container: its tasks have ended, whatever they said last.
    fn terminated(&mut self, now: Time, container: &ContainerId, status: i32, out: &mut Effects) {
        let Some((framework_id, id)) = self.containers.remove(container) else { return };
        self.node.counters.executors_terminated += 1;
        let Some(executor) = self.node.executor_mut(&framework_id, &id) else { return };
        executor.phase = ExecutorPhase::Terminated;
        let generated = executor.generated;
        let connection = std::mem::replace(&mut executor.connection, Connection::None);
        let live: Vec<_> = executor.launched_tasks.keys().cloned().collect();
        let queued: Vec<_> = executor.queued_tasks.iter().map(|task| task.task_id.clone()).collect();
        let termination = executor.termination.clone().unwrap_or_else(|| Termination {
            state: TaskState::TaskFailed,
            reason: Reason::ExecutorTerminated,
            message: "Executor terminated".to_owned(),
            limited: Vec::new(),
        });
        if let Connection::Http(stream) = connection {
            self.streams.remove(&stream);
            out.push(Effect::CloseStream(stream));
        }
        let terminating = self.node.framework(&framework_id).is_none_or(|framework| framework.terminating);
        if terminating {
            // Nobody acknowledges what would be said of them; they are remembered as what they are.
            for task in live.iter().chain(&queued) {
                let (state, reason) = (TaskState::TaskKilled, Reason::ExecutorTerminated);
                let text = "The framework was shut down";
                let update = self.own_status(now, &framework_id, task, state, reason, text, Some(&id));
                if let Some(executor) = self.node.executor_mut(&framework_id, &id)
                    && let Err(why) = update_task(executor, &update.status)
                {
                    warn!(%task, why, "a task's end is not remembered");
                }
            }
        } else {
            for task in live.iter().chain(&queued) {
                let Termination { state, reason, message, limited } = &termination;
                let mut update =
                    self.own_status(now, &framework_id, task, *state, *reason, message, Some(&id));
                update.status.limitation = limitation(limited);
                self.own_update(now, update, out);
            }
        }
        if !generated {
            self.executor_exited(&framework_id, &id, status, out);
        }
        let incomplete = self.node.executor(&framework_id, &id).is_some_and(Executor::has_incomplete_tasks);
        if terminating || !incomplete || self.node.phase == Phase::Terminating {
            self.remove_executor(&framework_id, &id, out);
        }
        self.remove_framework_if_idle(&framework_id, out);
        self.not_awaited(now, container, out);
    }

    /// The master's entry for the executor can go. `status` is as `wait` tells it, -1 if nothing ever ran.
    pub(super) fn executor_exited(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        status: i32,
        out: &mut Effects,
    ) {
        let message = ExitedExecutorMessage {
            agent_id: self.node.id(),
            framework_id: framework.clone(),
            executor_id: executor.clone(),
            status,
        };
        self.tell_master(message, out);
    }

    /// From the executors that are here to those that were.
    pub(super) fn remove_executor(&mut self, framework: &FrameworkId, id: &ExecutorId, out: &mut Effects) {
        if let Some(executor) = self.node.executor(framework, id) {
            self.note(framework, || Fact::ExecutorGone(executor.run()), out);
        }
        let most = self.node.config.max_completed_executors_per_framework;
        let Some(framework) = self.node.framework_mut(framework) else { return };
        let Some(executor) = framework.executors.remove(id) else { return };
        info!(executor = %id, framework = %framework.id, "removed an executor");
        // All its runs are in one folder, which lasts as long as the last of them.
        out.push(Effect::Collect(executor.directory.clone()));
        out.extend(paths::executor_of(&executor.directory).map(|path| Effect::Collect(path.to_owned())));
        for task in executor.launched_tasks.keys().chain(executor.terminated_tasks.keys()) {
            framework.tasks.remove(task);
        }
        for task in &executor.queued_tasks {
            framework.tasks.remove(&task.task_id);
        }
        framework.completed_executors.push_back(executor);
        if framework.completed_executors.len() > most {
            framework.completed_executors.pop_front();
        }
    }
}

fn limitation(limited: &[Resource]) -> Option<TaskResourceLimitation> {
    (!limited.is_empty()).then(|| TaskResourceLimitation { resources: limited.to_vec() })
}

/// What is said of tasks whose container an earlier agent left and that is not there.
fn lost_sight() -> Termination {
    Termination {
        state: TaskState::TaskFailed,
        reason: Reason::ExecutorTerminated,
        message: "Abnormal executor termination: unknown container".to_owned(),
        limited: Vec::new(),
    }
}

pub(super) fn new_executor(
    framework: FrameworkId,
    info: ExecutorInfo,
    container: ContainerId,
    directory: PathBuf,
    generated: bool,
) -> Executor {
    Executor {
        id: info.executor_id.clone(),
        framework,
        info: Arc::new(info),
        container,
        pid: None,
        directory,
        generated,
        phase: ExecutorPhase::Registering,
        connection: Connection::None,
        met: Met::Never,
        former_pid: None,
        queued_tasks: Vector::new(),
        unsaved_tasks: OrdSet::new(),
        queued_groups: Vector::new(),
        launched_tasks: OrdMap::new(),
        pending_kills: OrdMap::new(),
        terminated_tasks: OrdMap::new(),
        completed_tasks: Vector::new(),
        termination: None,
    }
}

/// An event that is only its type.
pub(super) fn simple(kind: executor::event::Type) -> executor::Event {
    executor::Event { r#type: Some(kind as i32), ..executor::Event::default() }
}
