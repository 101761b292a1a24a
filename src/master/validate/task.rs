//! Tasks and task groups that a framework wants to launch from an offer.
//!
//! Source: `validation::task`, master/validation.cpp 1.11; the order of the checks is Mesos's, since only the
//! first refusal is told.

use crate::master::core::state::{Agent, Framework};
use crate::proto::agent_info::capability::Type as AgentCapability;
use crate::proto::{
    ContainerInfo, ExecutorInfo, TaskGroupInfo, TaskInfo, container_info, executor_info, health_check,
};
use crate::resources::{Resources, scalar};

use super::{common, executor, resources};

/// Where and from what a task is to be launched.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub framework: &'a Framework,
    pub agent: &'a Agent,
    /// What the accepted offers have left.
    pub available: &'a Resources,
}

/// The least that an executor of a task group needs, in thousandths. Source: `MIN_CPUS`, `MIN_MEM`, 1.11.
const MIN_CPUS: i64 = 10;
const MIN_MEM: i64 = 32_000;

/// What a task and its executor hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    pub task: Resources,
    /// Empty for a command task; also given if the executor runs already.
    pub executor: Resources,
}

/// A task of a LAUNCH.
pub fn validate(task: &TaskInfo, place: Place<'_>) -> Result<Needs, String> {
    let held = alone(task, place)?;
    let needs = with_executor(task, held, place)?;
    let shares = task.container.as_ref().and_then(shares_cgroups);
    if shares == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned());
    }
    Ok(needs)
}

/// A task without its executor.
fn alone(task: &TaskInfo, place: Place<'_>) -> Result<Resources, String> {
    let id = &task.task_id;
    common::id(&id.value)?;
    if place.framework.tasks.contains_key(id) {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    if place.framework.unreachable_tasks.contains_key(id) {
        return Err(format!("Task reuses the ID of an unreachable task: {id}"));
    }
    if task.agent_id != place.agent.id {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id, place.agent.id
        ));
    }
    if common::is_negative(task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref())) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if common::is_negative(task.max_completion_time.as_ref()) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    if let Some(check) = &task.check {
        common::check(check).map_err(|why| format!("Task uses invalid check: {why}"))?;
    }
    if let Some(check) = &task.health_check {
        common::health_check(check).map_err(|why| format!("Task uses invalid health check: {why}"))?;
    }
    let held = own_resources(task)?;
    if let Some(command) = &task.command {
        common::command(command).map_err(|why| format!("Task's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(container) = &task.container {
        common::container(container).map_err(|why| format!("Task's `ContainerInfo` is invalid: {why}"))?;
    }
    limits(task, &held, place.agent)?;
    Ok(held)
}

fn own_resources(task: &TaskInfo) -> Result<Resources, String> {
    if task.resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let held =
        resources::read(&task.resources).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    resources::unique_persistence(&held)
        .map_err(|why| format!("Task uses duplicate persistence ID: {why}"))?;
    resources::one_role(&held).map_err(|why| format!("Invalid task resources: {why}"))?;
    resources::revocable_or_not(&held)
        .map_err(|why| format!("Task mixes revocable and non-revocable resources: {why}"))?;
    Ok(held)
}

fn limits(task: &TaskInfo, held: &Resources, agent: &Agent) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !agent.can(AgentCapability::TaskResourceLimits) {
        return Err("Agent is not capable of handling task resource limits".to_owned());
    }
    if task.limits.keys().any(|name| name != "cpus" && name != "mem") {
        return Err("Only cpus and mem may be included in a task's resource limits".to_owned());
    }
    let below = |name: &str, missing: &str, low: &str| {
        let Some(limit) = task.limits.get(name) else { return Ok(()) };
        let Some(request) = held.scalar(name) else { return Err(missing.to_owned()) };
        // Infinity is no limit; NaN is nothing.
        if limit.value >= scalar::to_f64(request) { Ok(()) } else { Err(low.to_owned()) }
    };
    below(
        "cpus",
        "When a CPU limit is specified, a CPU request must also be specified",
        "The cpu limit must be greater than or equal to the cpu request",
    )?;
    below(
        "mem",
        "When a memory limit is specified, a memory request must also be specified",
        "The memory limit must be greater than or equal to the memory request",
    )
}

fn with_executor(task: &TaskInfo, held: Resources, place: Place<'_>) -> Result<Needs, String> {
    if task.executor.is_some() == task.command.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".to_owned()
        );
    }
    let mut total = held.clone();
    let mut needs = Needs { task: held, executor: Resources::default() };
    if let Some(info) = &task.executor {
        needs.executor = executor::launch(info, &place.framework.id, place.agent)?;
        custom(info, &needs.executor)?;
        let mut both = needs.task.clone();
        both += &needs.executor;
        if resources::overlap(&[&needs.task, &needs.executor], &both) {
            return Err(format!(
                "There are overlapping resources in the task resources {} and executor resources {}",
                needs.task, needs.executor
            ));
        }
        resources::unique_persistence(&both)
            .map_err(|why| format!("Task and its executor use duplicate persistence ID: {why}"))?;
        resources::revocable_or_not(&both).map_err(|why| {
            format!("Task and its executor mix revocable and non-revocable resources: {why}")
        })?;
        if !runs(info, place) {
            total = both;
        }
    }
    if !place.available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available {}",
            place.available
        ));
    }
    Ok(needs)
}

/// The executor of a LAUNCH.
fn custom(info: &ExecutorInfo, held: &Resources) -> Result<(), String> {
    if info.r#type.is_some() && info.r#type() != executor_info::Type::Custom {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".to_owned());
    }
    if info.command.is_none() {
        return Err("'ExecutorInfo.command' must be set".to_owned());
    }
    if held.iter().any(|entry| entry.is_shared()) {
        return Err(format!("Executor resources {held} should not contain any shared resources"));
    }
    executor_shares_nothing(info)
}

fn executor_shares_nothing(info: &ExecutorInfo) -> Result<(), String> {
    if info.container.as_ref().and_then(shares_cgroups) == Some(true) {
        return Err("The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned());
    }
    Ok(())
}

fn shares_cgroups(container: &ContainerInfo) -> Option<bool> {
    container.linux_info.as_ref().and_then(|linux| linux.share_cgroups)
}

fn runs(info: &ExecutorInfo, place: Place<'_>) -> bool {
    place.agent.executors.contains_key(&(place.framework.id.clone(), info.executor_id.clone()))
}

/// A LAUNCH_GROUP: all of its tasks, or none. Gives what each task holds, and its executor.
pub fn group(
    group: &TaskGroupInfo,
    info: &ExecutorInfo,
    place: Place<'_>,
) -> Result<(Vec<Resources>, Resources), String> {
    let mut each = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    if group.tasks.is_empty() {
        return Err("The task group has no tasks".to_owned());
    }
    for task in &group.tasks {
        let of_group = alone(task, place).and_then(|held| {
            // Mesos ends itself by a group that names a task twice.
            if !ids.insert(&task.task_id) {
                return Err(format!("Task has duplicate ID: {}", task.task_id));
            }
            in_group(task).map(|()| held)
        });
        each.push(of_group.map_err(|why| format!("Task '{}' is invalid: {why}", task.task_id))?);
    }
    let held = executor::launch(info, &place.framework.id, place.agent)?;
    group_executor(group, info, &held)?;
    let mut tasks = Resources::default();
    for part in &each {
        tasks += part;
    }
    let mut total = tasks.clone();
    total += &held;
    resources::unique_persistence(&total)
        .map_err(|why| format!("Task group and executor use duplicate persistence ID: {why}"))?;
    resources::revocable_or_not(&total)
        .map_err(|why| format!("Task group and executor mix revocable and non-revocable resources: {why}"))?;
    let parts: Vec<&Resources> = each.iter().chain([&held]).collect();
    if resources::overlap(&parts, &total) {
        return Err(format!(
            "There are overlapping resources in the task group's task resources {tasks} and/or executor \
             resources {held}"
        ));
    }
    let needed = if runs(info, place) { &tasks } else { &total };
    if !place.available.contains(needed) {
        return Err(format!(
            "Total resources {needed} required by task group and its executor are more than available {}",
            place.available
        ));
    }
    executor_shares_nothing(info)?;
    share_alike(group, info, place)?;
    Ok((each, held))
}

fn in_group(task: &TaskInfo) -> Result<(), String> {
    if task.executor.is_none() {
        return Err("'TaskInfo.executor' must be set".to_owned());
    }
    if let Some(container) = &task.container {
        let kind = task.health_check.as_ref().map(|check| check.r#type());
        let over_network = matches!(kind, Some(health_check::Type::Http | health_check::Type::Tcp));
        if !container.network_infos.is_empty() && over_network {
            return Err("HTTP and TCP health checks are not supported for nested containers not joining \
                        parent's network"
                .to_owned());
        }
        if container.r#type() == container_info::Type::Docker {
            return Err("Docker ContainerInfo is not supported on the task".to_owned());
        }
    }
    let shares = task.container.as_ref().and_then(shares_cgroups).unwrap_or(true);
    if !task.limits.is_empty() && shares {
        return Err("Resource limits may only be set for tasks within a task group when the \
                    'share_cgroups' field is set to 'false'."
            .to_owned());
    }
    Ok(())
}

fn group_executor(group: &TaskGroupInfo, info: &ExecutorInfo, held: &Resources) -> Result<(), String> {
    let id = &info.executor_id;
    if info.r#type.is_none() {
        return Err("'ExecutorInfo.type' must be set".to_owned());
    }
    if info.r#type() == executor_info::Type::Unknown {
        return Err("Unknown executor type".to_owned());
    }
    if info.container.as_ref().is_some_and(|own| own.r#type() == container_info::Type::Docker) {
        return Err("Docker ContainerInfo is not supported on the executor".to_owned());
    }
    if let Some(task) = group.tasks.iter().find(|task| task.executor.as_ref() != Some(info)) {
        return Err(format!(
            "The `ExecutorInfo` of task '{}' is different from executor '{id}'",
            task.task_id
        ));
    }
    let shown = |amount: Option<i64>| amount.map_or("None".to_owned(), scalar::text);
    let (cpus, mem) = (held.scalar("cpus"), held.scalar("mem"));
    if cpus.is_none_or(|cpus| cpus < MIN_CPUS) {
        return Err(format!(
            "Executor '{id}' uses less CPUs ({}) than the minimum required (0.01)",
            shown(cpus)
        ));
    }
    if mem.is_none_or(|mem| mem < MIN_MEM) {
        let mem = mem.map_or("None".to_owned(), |mem| format!("{}MB", scalar::text(mem)));
        return Err(format!("Executor '{id}' uses less memory ({mem}) than the minimum required (32MB)"));
    }
    if held.scalar("disk").is_none() {
        return Err(format!("Executor '{id}' uses no disk"));
    }
    Ok(())
}

/// Under one executor all tasks share cgroups, or none does.
fn share_alike(group: &TaskGroupInfo, info: &ExecutorInfo, place: Place<'_>) -> Result<(), String> {
    let of = |container: Option<&ContainerInfo>| container.and_then(shares_cgroups).unwrap_or(true);
    let mut all = group.tasks.iter().map(|task| of(task.container.as_ref()));
    let first = all.next().unwrap_or(true);
    let framework = place.framework;
    let beside = place
        .agent
        .tasks_of(&framework.id)
        .filter_map(|task| framework.tasks.get(task))
        .filter(|task| runs(info, place) && task.executor.as_ref() == Some(&info.executor_id))
        .map(|task| of(task.extra.as_ref().and_then(|extra| extra.container.as_ref())));
    if all.chain(beside).any(|shares| shares != first) {
        return Err(
            "If set, the value of 'share_cgroups' must be the same for all tasks in each task group \
                    and under a single executor"
                .to_owned(),
        );
    }
    Ok(())
}
