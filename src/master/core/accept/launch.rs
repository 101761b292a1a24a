//! LAUNCH and LAUNCH_GROUP: tasks are checked, booked and sent to their agent.

use std::sync::Arc;

use crate::base::time::Time;
use crate::master::validate::task::{Place, group, validate};
use crate::proto::agent_info::capability::Type as AgentCapability;
use crate::proto::internal::{ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage};
use crate::proto::task_status::Reason;
use crate::proto::{
    self, AgentId, ExecutorInfo, FrameworkId, HealthCheck, TaskInfo, TaskState, health_check, offer, resource,
};
use crate::resources::{self, Resources, convert};

use super::super::Effects;
use super::super::books::State;
use super::super::frameworks::driver_pid;
use super::super::state::{Task, TaskExtra};
use super::Accepted;

impl State {
    /// Each task by itself: one that is invalid leaves the others be, unless a resource of it is impossible.
    pub(super) fn launch(
        &mut self,
        accepted: &mut Accepted,
        operation: offer::Operation,
        now: Time,
        out: &mut Effects,
    ) {
        let tasks = operation.launch.unwrap_or_default().task_infos;
        let possible = tasks.iter().try_for_each(possible);
        let why = match (possible, &operation.id) {
            (Err(why), _) => Some(why),
            (Ok(()), Some(_)) => Some("The `id` field cannot be set on LAUNCH operations".to_owned()),
            (Ok(()), None) => None,
        };
        let error = (TaskState::TaskError, Reason::TaskInvalid);
        if let Some(why) = why {
            return self.end_tasks(&accepted.framework, &tasks, error.0, error.1, &why, now, out);
        }
        for mut task in tasks {
            normalize(&mut task, accepted);
            if let Err(why) = self.launch_task(accepted, &task, out) {
                self.end_tasks(&accepted.framework, &[task], error.0, error.1, &why, now, out);
            }
        }
    }

    fn launch_task(
        &mut self,
        accepted: &mut Accepted,
        task: &TaskInfo,
        out: &mut Effects,
    ) -> Result<(), String> {
        let (framework, agent) = self.place(accepted)?;
        let place = Place { framework: &framework, agent: &agent, available: &accepted.remaining };
        let needs = validate(task, place)?;
        let mut message = RunTaskMessage {
            framework: (*framework.info).clone(),
            task: task.clone(),
            resource_version_uuids: self.resource_versions(&accepted.agent),
            pid: Some(driver_pid(&framework)),
            launch_executor: Some(true),
            offer_id: accepted.offer.clone(),
            ..Default::default()
        };
        if !agent.can(AgentCapability::ReservationRefinement) {
            convert::downgrade(&mut message.task).map_err(|why| why.to_string())?;
        }
        // Let go, or each change of the books below would have to copy them.
        drop((framework, agent));
        let mut consumed = needs.task.clone();
        if let Some(info) = &task.executor {
            let starts = self.start_executor(accepted, info, &needs.executor);
            message.launch_executor = Some(starts);
            if starts {
                consumed += &needs.executor;
            }
        }
        accepted.remaining -= &consumed;
        tracing::info!(framework = %accepted.framework, task = %task.task_id, agent = %accepted.agent, "launching task");
        self.add_task(new_task(task, &accepted.framework, needs.task));
        self.send_agent(&accepted.agent, message, out);
        Ok(())
    }

    /// All tasks of the group, or none.
    pub(super) fn launch_group(
        &mut self,
        accepted: &mut Accepted,
        operation: offer::Operation,
        now: Time,
        out: &mut Effects,
    ) {
        let mut launch = operation.launch_group.unwrap_or_default();
        let possible = resources::validate::all(&launch.executor.resources)
            .map_err(|why| why.to_string())
            .and_then(|()| launch.task_group.tasks.iter().try_for_each(possible));
        let done = match (possible, operation.id) {
            (Err(why), _) => Err(why),
            (Ok(()), Some(_)) => Err("The `id` field cannot be set on LAUNCH_GROUP operations".to_owned()),
            (Ok(()), None) => {
                allocate(&mut launch.executor.resources, accepted);
                for task in &mut launch.task_group.tasks {
                    allocate(&mut task.resources, accepted);
                    // So that views find the executor of each task.
                    match &mut task.executor {
                        Some(executor) => allocate(&mut executor.resources, accepted),
                        None => task.executor = Some(launch.executor.clone()),
                    }
                }
                self.launch_tasks(accepted, &launch, out)
            }
        };
        if let Err(why) = done {
            let tasks = launch.task_group.tasks;
            let (state, reason) = (TaskState::TaskError, Reason::TaskGroupInvalid);
            self.end_tasks(&accepted.framework, &tasks, state, reason, &why, now, out);
        }
    }

    fn launch_tasks(
        &mut self,
        accepted: &mut Accepted,
        launch: &offer::operation::LaunchGroup,
        out: &mut Effects,
    ) -> Result<(), String> {
        let (framework, agent) = self.place(accepted)?;
        let place = Place { framework: &framework, agent: &agent, available: &accepted.remaining };
        let (tasks, executor) = group(&launch.task_group, &launch.executor, place)?;
        let mut message = RunTaskGroupMessage {
            framework: (*framework.info).clone(),
            executor: launch.executor.clone(),
            task_group: launch.task_group.clone(),
            resource_version_uuids: self.resource_versions(&accepted.agent),
            launch_executor: Some(true),
            offer_id: accepted.offer.clone(),
        };
        if !agent.can(AgentCapability::ReservationRefinement) {
            convert::downgrade(&mut message.executor).map_err(|why| why.to_string())?;
            convert::downgrade(&mut message.task_group).map_err(|why| why.to_string())?;
        }
        drop((framework, agent));
        let starts = self.start_executor(accepted, &launch.executor, &executor);
        message.launch_executor = Some(starts);
        if starts {
            accepted.remaining -= &executor;
        }
        for (task, held) in launch.task_group.tasks.iter().zip(tasks) {
            accepted.remaining -= &held;
            self.add_task(new_task(task, &accepted.framework, held));
        }
        tracing::info!(
            framework = %accepted.framework,
            tasks = launch.task_group.tasks.len(),
            agent = %accepted.agent,
            "launching task group"
        );
        self.send_agent(&accepted.agent, message, out);
        Ok(())
    }

    fn place(
        &self,
        accepted: &Accepted,
    ) -> Result<(Arc<super::super::state::Framework>, Arc<super::super::state::Agent>), String> {
        let framework = self.cluster.frameworks.get(&accepted.framework).cloned();
        let agent = self.cluster.agents.get(&accepted.agent).cloned();
        // An offer goes before its framework and its agent do.
        framework.zip(agent).ok_or_else(|| "the framework or the agent is gone".to_owned())
    }

    /// Books the executor unless it runs already; true if the agent is to start it.
    fn start_executor(&mut self, accepted: &Accepted, info: &ExecutorInfo, held: &Resources) -> bool {
        let key = (accepted.framework.clone(), info.executor_id.clone());
        let runs =
            self.cluster.agent(&accepted.agent).is_some_and(|agent| agent.executors.contains_key(&key));
        if !runs {
            if let Some(watch) = self.watches.get_mut(&accepted.agent) {
                watch.exited.remove(&key);
            }
            self.add_executor(&accepted.framework, &accepted.agent, Arc::new(info.clone()), held);
        }
        !runs
    }

    /// The agent refuses a task that was launched from resources as they were before some change of them.
    fn resource_versions(&self, agent: &AgentId) -> Vec<ResourceVersionUuid> {
        let version = self.watches.get(agent).and_then(|watch| watch.resource_version.clone());
        version.map(|uuid| ResourceVersionUuid { resource_provider_id: None, uuid }).into_iter().collect()
    }
}

/// Whether the resources of a task and its executor are resources at all.
fn possible(task: &TaskInfo) -> Result<(), String> {
    let executor = task.executor.iter().flat_map(|executor| &executor.resources);
    task.resources.iter().chain(executor).try_for_each(|resource| {
        resources::validate::resource(resource)
            .map(|_| ())
            .map_err(|why| resources::validate::naming(resource, &why).to_string())
    })
}

/// What schedulers may leave out: the role that holds the resources, the executor's framework, the kind of a
/// health check.
fn normalize(task: &mut TaskInfo, accepted: &Accepted) {
    allocate(&mut task.resources, accepted);
    if let Some(executor) = &mut task.executor {
        allocate(&mut executor.resources, accepted);
        executor.framework_id.get_or_insert_with(|| accepted.framework.clone());
    }
    if let Some(HealthCheck { r#type: kind @ None, command, http, .. }) = &mut task.health_check {
        *kind = match (command, http) {
            (Some(_), None) => Some(health_check::Type::Command as i32),
            (None, Some(_)) => Some(health_check::Type::Http as i32),
            _ => None,
        };
    }
}

/// Resources of an operation in the form used inside, held by the role of the offers.
fn allocate(list: &mut [proto::Resource], accepted: &Accepted) {
    for resource in list {
        convert::upgrade_resource(resource);
        let role = || resource::AllocationInfo { role: Some(accepted.role.to_string()) };
        resource.allocation_info.get_or_insert_with(role);
    }
}

/// Source: `protobuf::createTask`, 1.11.
fn new_task(info: &TaskInfo, framework: &FrameworkId, held: Resources) -> Task {
    let of_command = info.command.as_ref().and_then(|command| command.user.clone());
    let of_executor = || info.executor.as_ref()?.command.as_ref()?.user.clone();
    let extra = TaskExtra {
        user: of_command.or_else(of_executor),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        max_completion_time: info.max_completion_time,
        limits: info.limits.clone(),
    };
    Task {
        id: info.task_id.clone(),
        name: info.name.clone(),
        framework: framework.clone(),
        agent: info.agent_id.clone(),
        executor: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
        state: TaskState::TaskStaging,
        resources: held,
        statuses: Vec::new(),
        update: None,
        extra: (extra != TaskExtra::default()).then(|| Arc::new(extra)),
    }
}
