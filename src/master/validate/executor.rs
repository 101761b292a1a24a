//! Executors, by themselves and beside those that run.
//!
//! Source: `validation::executor`, master/validation.cpp 1.11.

use crate::proto::{ContainerInfo, ExecutorInfo, FrameworkId, container_info, executor_info};
use crate::resources::Resources;

use super::{common, resources};
use crate::master::core::state::Agent;

/// Characters of an executor that a refusal shows.
const MOST_SHOWN: usize = 4096;

/// What can be said without the state.
pub fn validate(executor: &ExecutorInfo) -> Result<(), String> {
    kind(executor)?;
    common::id(&executor.executor_id.value)?;
    if common::is_negative(executor.shutdown_grace_period.as_ref()) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned());
    }
    if let Some(command) = &executor.command {
        common::command(command).map_err(|why| format!("Executor's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(container) = &executor.container {
        common::container(container)
            .map_err(|why| format!("Executor's `ContainerInfo` is invalid: {why}"))?;
    }
    Ok(())
}

fn kind(executor: &ExecutorInfo) -> Result<(), String> {
    let why = match executor.r#type() {
        executor_info::Type::Default if executor.command.is_some() => {
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
        }
        executor_info::Type::Default => match &executor.container {
            Some(container) if container.r#type() != container_info::Type::Mesos => {
                "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
            }
            Some(ContainerInfo { mesos: Some(mesos), .. }) if mesos.image.is_some() => {
                "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
            }
            _ => return Ok(()),
        },
        executor_info::Type::Custom if executor.command.is_none() => {
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
        }
        executor_info::Type::Custom | executor_info::Type::Unknown => return Ok(()),
    };
    Err(why.to_owned())
}

/// An executor that is to be launched, or runs already: then it must be the very one. Gives its resources.
pub fn launch(executor: &ExecutorInfo, framework: &FrameworkId, agent: &Agent) -> Result<Resources, String> {
    validate(executor)?;
    match &executor.framework_id {
        None => return Err("'ExecutorInfo.framework_id' must be set".to_owned()),
        Some(own) if own != framework => {
            return Err(format!(
                "ExecutorInfo has an invalid FrameworkID (Actual: {own} vs Expected: {framework})"
            ));
        }
        Some(_) => {}
    }
    let held = resources::read(&executor.resources)
        .map_err(|why| format!("Executor uses invalid resources: {why}"))?;
    resources::unique_persistence(&held)
        .map_err(|why| format!("Executor uses duplicate persistence ID: {why}"))?;
    resources::one_role(&held).map_err(|why| format!("Invalid executor resources: {why}"))?;
    resources::revocable_or_not(&held)
        .map_err(|why| format!("Executor mixes revocable and non-revocable resources: {why}"))?;
    if let Some(existing) = agent.executors.get(&(framework.clone(), executor.executor_id.clone()))
        && !is_same(existing, executor, &held)
    {
        let line = "------------------------------------------------------------";
        let (existing, executor) = (shown(existing), shown(executor));
        return Err(format!(
            "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n{line}\n\
             Existing ExecutorInfo:\n{existing}\n{line}\nExecutorInfo:\n{executor}\n{line}\n"
        ));
    }
    Ok(held)
}

/// An executor in a sentence: without its data, and not without end.
fn shown(executor: &ExecutorInfo) -> String {
    let text = format!("{:?}", ExecutorInfo { data: None, ..executor.clone() });
    text.chars().take(MOST_SHOWN).collect()
}

/// Source: `operator==(ExecutorInfo)`, common/type_utils.cpp 1.11: labels and grace periods may differ.
#[expect(deprecated, reason = "schedulers still set the source")]
fn is_same(existing: &ExecutorInfo, other: &ExecutorInfo, other_held: &Resources) -> bool {
    existing.r#type == other.r#type
        && existing.data == other.data
        && existing.command == other.command
        && existing.framework_id == other.framework_id
        && existing.name == other.name
        && existing.source == other.source
        && existing.container == other.container
        && existing.discovery == other.discovery
        && Resources::from_protos(&existing.resources).is_ok_and(|held| held == *other_held)
}
