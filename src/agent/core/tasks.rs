//! Tasks come, and are killed.
//!
//! Source: `Slave::runTask`, `run`, `__run`, `killTask`, `kill`, slave.cpp 1.11. There a launch waits several
//! times for files and authorisation, so a task can be killed in between; here it is taken in one step.

use std::sync::Arc;

use tracing::{info, warn};

use super::frameworks::scheduler_pid;
use super::state::{Connection, Executor, ExecutorPhase, Met, Phase, State, is_partition_aware};
use super::{Effect, Effects, Then, allowed, command};
use crate::agent::checkpoint::Fact;
use crate::agent::containerizer::Launch;
use crate::agent::paths;
use crate::base::time::Time;
use crate::proto::internal::{
    CheckpointedRun, CheckpointedTasks, KillTaskMessage, ResourceVersionUuid, RunTaskGroupMessage,
    RunTaskMessage, StatusUpdateMessage,
};
use crate::proto::task_status::Reason;
use crate::proto::{
    ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, OfferId, Resource, Task, TaskGroupInfo, TaskId,
    TaskInfo, TaskState, executor, resource,
};

/// What the master gives to an executor in one go.
enum Work {
    Task(Arc<TaskInfo>),
    Group(Arc<TaskGroupInfo>),
}

impl Work {
    fn tasks(&self) -> &[TaskInfo] {
        match self {
            Work::Task(task) => std::slice::from_ref(&**task),
            Work::Group(group) => &group.tasks,
        }
    }
}

struct Assignment {
    framework: FrameworkInfo,
    id: FrameworkId,
    executor: ExecutorInfo,
    work: Work,
    versions: Vec<ResourceVersionUuid>,
    /// What the master believes: true, this work needs a new executor; false, one is there.
    launch_executor: Option<bool>,
    /// The executor was made here, of the task's command.
    generated: bool,
    /// The offer it was launched on; masters of Mesos do not tell.
    offer: Option<OfferId>,
}

/// Why work is not taken: what the framework is told of each of its tasks.
struct Refusal {
    reason: Reason,
    message: &'static str,
}

impl State {
    pub(super) fn run_task(&mut self, now: Time, message: RunTaskMessage, out: &mut Effects) {
        let RunTaskMessage { framework, mut task, resource_version_uuids, pid, launch_executor, .. } =
            message;
        let offer = message.offer_id;
        let Some(id) = framework.id.clone() else {
            warn!("ignored a task whose framework has no id");
            return;
        };
        allocate(&mut task.resources, &framework);
        if let Some(executor) = &mut task.executor {
            allocate(&mut executor.resources, &framework);
        }
        let generated = task.executor.is_none();
        let mut executor = match &task.executor {
            Some(executor) => executor.clone(),
            None => command::command_executor(&self.node.config, &id, &task),
        };
        executor.framework_id.get_or_insert_with(|| id.clone());
        let pid = pid.as_deref().and_then(scheduler_pid);
        let work = Work::Task(Arc::new(task));
        let versions = resource_version_uuids;
        let assignment =
            Assignment { framework, id, executor, work, versions, launch_executor, generated, offer };
        self.assign(now, assignment, pid, out);
    }

    pub(super) fn run_task_group(&mut self, now: Time, message: RunTaskGroupMessage, out: &mut Effects) {
        let RunTaskGroupMessage { framework, mut executor, mut task_group, .. } = message;
        let Some(id) = framework.id.clone() else {
            warn!("ignored a task group whose framework has no id");
            return;
        };
        if task_group.tasks.is_empty() {
            warn!(framework = %id, "ignored a task group without tasks");
            return;
        }
        allocate(&mut executor.resources, &framework);
        executor.framework_id.get_or_insert_with(|| id.clone());
        for task in &mut task_group.tasks {
            allocate(&mut task.resources, &framework);
            if let Some(executor) = &mut task.executor {
                allocate(&mut executor.resources, &framework);
            }
        }
        let assignment = Assignment {
            framework,
            id,
            executor,
            work: Work::Group(Arc::new(task_group)),
            versions: message.resource_version_uuids,
            launch_executor: message.launch_executor,
            generated: false,
            offer: message.offer_id,
        };
        self.assign(now, assignment, None, out);
    }

    fn assign(
        &mut self,
        now: Time,
        assignment: Assignment,
        pid: Option<crate::base::upid::Upid>,
        out: &mut Effects,
    ) {
        let Assignment { framework, id, work, .. } = &assignment;
        if self.node.phase == Phase::Terminating {
            warn!(framework = %id, "ignored tasks: the agent is terminating");
            return;
        }
        let ours = self.node.id();
        if let Some(task) = work.tasks().iter().find(|task| task.agent_id != ours) {
            warn!(task = %task.task_id, agent = %task.agent_id, "ignored a task meant for another agent");
            // Or for this one, if it overtook the news that it is registered.
            self.missed_launch(true);
            return;
        }
        if let Some(offer) = &assignment.offer
            && work.tasks().iter().any(|task| !self.launches.is_new(offer, &task.task_id))
        {
            warn!(framework = %id, %offer, "ignored tasks: the message came a second time");
            return;
        }
        let known = self.node.framework(id);
        if known.is_some_and(|known| work.tasks().iter().any(|task| known.tasks.contains_key(&task.task_id)))
        {
            warn!(framework = %id, "ignored tasks that are here already");
            return;
        }
        if known.is_some_and(|known| known.terminating) {
            // Its scheduler could not acknowledge that they are dropped.
            warn!(framework = %id, "ignored tasks: the framework is terminating");
            self.never_launched(&assignment, out);
            self.tell_dropped(now, &assignment, out);
            return;
        }
        if !paths::is_name(&id.value) {
            warn!(framework = ?id.value, "ignored tasks: the framework's id names no directory");
            return;
        }
        self.add_framework(framework, pid, out);
        self.node.counters.staged_tasks += work.tasks().len() as u64;
        if self.is_outdated(&assignment) && self.node.phase == Phase::Running {
            // Lest the master holds on to an old version for ever.
            self.tell_resources(out);
        }
        match self.refusal(&assignment) {
            Some(refusal) => self.refuse(now, &assignment, refusal, out),
            None => self.take(now, assignment, out),
        }
    }

    /// The master counts on an executor that will not be.
    fn never_launched(&self, assignment: &Assignment, out: &mut Effects) {
        if assignment.launch_executor == Some(true) {
            self.executor_exited(&assignment.id, &assignment.executor.executor_id, -1, out);
        }
    }

    /// The framework is ending here and, for a new master, has only begun: said once, for what is kept of its
    /// updates goes with it.
    fn tell_dropped(&mut self, now: Time, assignment: &Assignment, out: &mut Effects) {
        let state = lost_or(TaskState::TaskDropped, &assignment.framework);
        let (reason, message) = (Reason::ExecutorTerminated, "The framework is being shut down here");
        for task in assignment.work.tasks() {
            let update = self.own_status(now, &assignment.id, &task.task_id, state, reason, message, None);
            let pid = Some(self.node.config.pid.to_string());
            self.tell_master(StatusUpdateMessage { update, pid }, out);
        }
    }

    fn refuse(&mut self, now: Time, assignment: &Assignment, refusal: Refusal, out: &mut Effects) {
        let Refusal { reason, message } = refusal;
        let state = lost_or(TaskState::TaskDropped, &assignment.framework);
        let executor = &assignment.executor.executor_id;
        for task in assignment.work.tasks() {
            let id = &task.task_id;
            let status = self.own_status(now, &assignment.id, id, state, reason, message, Some(executor));
            self.own_update(now, status, out);
        }
        let there = self.node.executor(&assignment.id, executor).map(|executor| executor.phase);
        match (assignment.launch_executor, there) {
            (Some(true), None | Some(ExecutorPhase::Terminated)) => {
                self.executor_exited(&assignment.id, executor, -1, out);
            }
            // The master does not know of it: a trace of a message that crossed a re-registration.
            (Some(true), Some(ExecutorPhase::Registering | ExecutorPhase::Running))
                if !assignment.generated =>
            {
                self.shut_down_executor(now, &assignment.id, executor, out);
            }
            _ => {}
        }
        self.remove_framework_if_idle(&assignment.id, out);
    }

    /// What speaks against this work, in the order in which Mesos looks.
    fn refusal(&self, assignment: &Assignment) -> Option<Refusal> {
        let refusal = |reason, message| Some(Refusal { reason, message });
        let tasks = assignment.work.tasks();
        let executor = &assignment.executor;
        if let Work::Task(task) = &assignment.work
            && task.command.is_some() == task.executor.is_some()
        {
            return refusal(Reason::TaskInvalid, "Task should have either a command or an executor");
        }
        let ids = tasks.iter().map(|task| &task.task_id.value).chain([&executor.executor_id.value]);
        if ids.into_iter().any(|id| !paths::is_name(id)) {
            return refusal(Reason::TaskInvalid, "The id of a task or its executor names no directory");
        }
        // Source: `validateResourceLimitsAndIsolators`, whose reason is this one indeed.
        let config = &self.node.config;
        if !config.bounds_cpus && tasks.iter().any(|task| task.limits.contains_key("cpus")) {
            return refusal(
                Reason::GcError,
                "CPU limits can only be set on tasks launched in Mesos containers when the agent has loaded \
                 the 'cgroups/cpu' isolator",
            );
        }
        if !config.bounds_mem && tasks.iter().any(|task| task.limits.contains_key("mem")) {
            return refusal(
                Reason::GcError,
                "Memory limits can only be set on tasks launched in Mesos containers when the agent has \
                 loaded the 'cgroups/mem' isolator",
            );
        }
        if self.is_outdated(assignment) {
            return refusal(Reason::InvalidOffers, "Task assumes outdated resource state");
        }
        if tasks.iter().flat_map(|task| &task.resources).any(needs_checkpointing) {
            return refusal(
                Reason::ResourcesUnknown,
                "The checkpointed resources being used by the task or task group are unknown to the agent",
            );
        }
        if executor.resources.iter().any(needs_checkpointing) {
            return refusal(
                Reason::ResourcesUnknown,
                "The checkpointed resources being used by the executor are unknown to the agent",
            );
        }
        match (self.node.executor(&assignment.id, &executor.executor_id), assignment.launch_executor) {
            (Some(_), _) if assignment.generated => {
                refusal(Reason::ExecutorTerminated, "An executor with the id of this task already exists")
            }
            (Some(_), Some(true)) => {
                refusal(Reason::ExecutorTerminated, "Master wants to launch executor, but one already exists")
            }
            (None, Some(false)) => refusal(
                Reason::ExecutorTerminated,
                "No executor is expected to launch and there is none running",
            ),
            (Some(there), _) if there.phase == ExecutorPhase::Terminating => {
                refusal(Reason::ExecutorTerminated, "Executor terminating")
            }
            (Some(there), _) if there.phase == ExecutorPhase::Terminated => {
                refusal(Reason::ExecutorTerminated, "Executor terminated")
            }
            _ => None,
        }
    }

    /// Whether the master decided on the work by what it knew of this agent at an earlier registration.
    fn is_outdated(&self, assignment: &Assignment) -> bool {
        let mut own_versions = assignment.versions.iter().filter(|of| of.resource_provider_id.is_none());
        own_versions.any(|version| version.uuid.value != self.registration.resource_version)
    }

    /// Nothing speaks against it: queued, and sent if its executor is there.
    fn take(&mut self, now: Time, assignment: Assignment, out: &mut Effects) {
        let Assignment { id, executor, work, generated, .. } = assignment;
        let executor_id = executor.executor_id.clone();
        let new = match self.node.executor(&id, &executor_id) {
            Some(_) => None,
            None => self.add_executor(&id, executor, generated, work.tasks()),
        };
        let Some(framework) = self.node.framework_mut(&id) else { return };
        for task in work.tasks() {
            info!(task = %task.task_id, framework = %id, executor = %executor_id, "took a task");
            framework.tasks.insert(task.task_id.clone(), executor_id.clone());
        }
        let Some(there) = framework.executors.get_mut(&executor_id).map(Arc::make_mut) else { return };
        let tasks: Vec<TaskId> = work.tasks().iter().map(|task| task.task_id.clone()).collect();
        there.unsaved_tasks.extend(tasks.iter().cloned());
        let run = there.run();
        let kept = CheckpointedTasks {
            run: run.clone(),
            tasks: work.tasks().to_vec(),
            group: Some(matches!(work, Work::Group(_))),
        };
        match work {
            Work::Task(task) => there.queued_tasks.push_back(task),
            Work::Group(group) => {
                there.queued_tasks.extend(group.tasks.iter().cloned().map(Arc::new));
                there.queued_groups.push_back(group);
            }
        }
        let (fact, launch) = new.unzip();
        let facts = move || fact.into_iter().chain([Fact::Tasks(Box::new(kept))]).collect();
        self.keep(now, &id, facts, Then::Took { run, launch, tasks }, out);
    }

    /// `take` goes on here: a restarted agent would know of these tasks.
    pub(super) fn took(
        &mut self,
        now: Time,
        run: &CheckpointedRun,
        launch: Option<Box<Launch>>,
        tasks: &[TaskId],
        out: &mut Effects,
    ) {
        if let Some(executor) = self.executor_in(run) {
            for task in tasks {
                executor.unsaved_tasks.remove(task);
            }
            if launch.is_none() {
                // Before the work itself, which may need it at once.
                let (container, allowed) = (executor.container.clone(), allowed::now(executor));
                out.push(Effect::Update { container, allowed });
            }
        }
        match launch {
            Some(launch) => self.launch(now, launch, out),
            None => self.deliver(&run.framework_id, &run.executor_id, out),
        }
    }

    /// Sends what is queued, if the executor runs and is connected.
    pub(super) fn deliver(&mut self, framework: &FrameworkId, executor: &ExecutorId, out: &mut Effects) {
        let Some(there) = self.node.executor_mut(framework, executor) else { return };
        let reached = there.phase == ExecutorPhase::Running && there.connection != Connection::None;
        if !reached || there.met != Met::Known {
            return;
        }
        let mut events = Vec::new();
        let mut sent = 0;
        while let Some(task) = there.queued_tasks.front().cloned() {
            if there.unsaved_tasks.contains(&task.task_id) {
                break;
            }
            let group = there.queued_group(&task.task_id).cloned();
            let tasks = match &group {
                Some(group) => group.tasks.as_slice(),
                None => std::slice::from_ref(&*task),
            };
            for task in tasks {
                there.dequeue(&task.task_id);
                let launched = describe(task, TaskState::TaskStaging, framework);
                there.launched_tasks.insert(task.task_id.clone(), Arc::new(launched));
                sent += 1;
            }
            events.push(match group {
                Some(group) => launch_group((*group).clone()),
                None => launch((*task).clone()),
            });
        }
        self.node.counters.started_tasks += sent;
        for event in events {
            self.tell_executor(framework, executor, event, out);
        }
    }

    pub(super) fn kill_task(&mut self, now: Time, message: KillTaskMessage, out: &mut Effects) {
        let KillTaskMessage { framework_id, task_id, kill_policy } = message;
        info!(task = %task_id, framework = %framework_id, "asked to kill a task");
        let Some(framework) = self.node.framework(&framework_id) else {
            warn!(task = %task_id, framework = %framework_id, "cannot kill a task of an unknown framework");
            return;
        };
        if framework.terminating || self.node.phase == Phase::Terminating {
            warn!(task = %task_id, "not killed: all of its framework is terminating");
            return;
        }
        let Some(executor) = self.node.executor_of(&framework_id, &task_id) else {
            if framework.has_completed(&task_id) {
                info!(task = %task_id, "not killed: it has ended, and its scheduler knows");
                return;
            }
            let state = lost_or(TaskState::TaskDropped, &framework.info);
            let (reason, message) = (Reason::ExecutorTerminated, "Cannot find executor");
            let status = self.own_status(now, &framework_id, &task_id, state, reason, message, None);
            self.own_update(now, status, out);
            // It may have been overtaken by the kill, and would run after it was called lost.
            self.outdate(out);
            return;
        };
        if executor.is_queued(&task_id) {
            self.kill_queued(now, &framework_id, &task_id, out);
            return;
        }
        match executor.phase {
            ExecutorPhase::Registering | ExecutorPhase::Running => {
                let id = executor.id.clone();
                if executor.connection == Connection::None
                    && let Some(executor) = self.node.executor_mut(&framework_id, &id)
                {
                    executor.pending_kills.insert(task_id, kill_policy);
                } else {
                    self.tell_executor(&framework_id, &id, kill(task_id, kill_policy), out);
                }
            }
            ExecutorPhase::Terminating | ExecutorPhase::Terminated => {
                warn!(task = %task_id, executor = %executor.id, "not killed: its executor is terminating");
            }
        }
    }

    /// The executor never hears of it; nor of the rest of its group.
    fn kill_queued(&mut self, now: Time, framework: &FrameworkId, task: &TaskId, out: &mut Effects) {
        let Some(executor) = self.node.executor_of(framework, task) else { return };
        let (executor_id, phase) = (executor.id.clone(), executor.phase);
        let group = executor.queued_group(task).cloned();
        let (tasks, message) = match &group {
            Some(group) => (
                group.tasks.iter().map(|task| task.task_id.clone()).collect(),
                "A task within the task group was killed before delivery to the executor",
            ),
            None => (vec![task.clone()], "Killed before delivery to the executor"),
        };
        for task in tasks {
            let (state, reason) = (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch);
            let status = self.own_status(now, framework, &task, state, reason, message, Some(&executor_id));
            self.own_update(now, status, out);
        }
        // An executor that waits for its first task, in vain now, may wait for ever.
        let idle = |executor: &Executor| !executor.ever_sent_task() && executor.queued_tasks.is_empty();
        if phase == ExecutorPhase::Running && self.node.executor(framework, &executor_id).is_some_and(idle) {
            self.shut_down_executor(now, framework, &executor_id, out);
        }
    }
}

/// `state` for frameworks that tell apart how a task is lost, TASK_LOST for the others.
pub fn lost_or(state: TaskState, framework: &FrameworkInfo) -> TaskState {
    if is_partition_aware(framework) { state } else { TaskState::TaskLost }
}

/// A task as masters and views know it. Source: `createTask`, common/protobuf_utils.cpp 1.11.
pub fn describe(task: &TaskInfo, state: TaskState, framework: &FrameworkId) -> Task {
    let executor = task.executor.as_ref();
    let command = task.command.as_ref().or_else(|| executor?.command.as_ref());
    Task {
        name: task.name.clone(),
        task_id: task.task_id.clone(),
        framework_id: framework.clone(),
        executor_id: executor.map(|executor| executor.executor_id.clone()),
        agent_id: task.agent_id.clone(),
        state: state as i32,
        resources: task.resources.clone(),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        container: task.container.clone(),
        health_check: task.health_check.clone(),
        kill_policy: task.kill_policy,
        user: command.and_then(|command| command.user.clone()),
        limits: task.limits.clone(),
        ..Task::default()
    }
}

/// Old masters do not say for which role resources were allocated: the framework's.
#[expect(deprecated, reason = "a framework without MULTI_ROLE has only `role`")]
fn allocate(resources: &mut [Resource], framework: &FrameworkInfo) {
    let role = framework.roles.first().or(framework.role.as_ref());
    for resource in resources {
        resource.allocation_info.get_or_insert_with(|| resource::AllocationInfo {
            role: Some(role.cloned().unwrap_or_else(|| "*".to_owned())),
        });
    }
}

/// Whether the agent should have been told of such resources before a task comes with them: dynamic
/// reservations and persistent volumes.
fn needs_checkpointing(resource: &Resource) -> bool {
    let dynamic = resource::reservation_info::Type::Dynamic as i32;
    resource.reservations.iter().any(|reservation| reservation.r#type == Some(dynamic))
        || resource.reservation.is_some()
        || resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

fn launch(task: TaskInfo) -> executor::Event {
    executor::Event {
        r#type: Some(executor::event::Type::Launch as i32),
        launch: Some(executor::event::Launch { task }),
        ..executor::Event::default()
    }
}

fn launch_group(task_group: TaskGroupInfo) -> executor::Event {
    executor::Event {
        r#type: Some(executor::event::Type::LaunchGroup as i32),
        launch_group: Some(executor::event::LaunchGroup { task_group }),
        ..executor::Event::default()
    }
}

pub(super) fn kill(task_id: TaskId, kill_policy: Option<crate::proto::KillPolicy>) -> executor::Event {
    executor::Event {
        r#type: Some(executor::event::Type::Kill as i32),
        kill: Some(executor::event::Kill { task_id, kill_policy }),
        ..executor::Event::default()
    }
}
