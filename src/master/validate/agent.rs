//! Agents that register or come back.
//!
//! Source: `validation::master::message`, master/validation.cpp 1.11, and stricter where Mesos takes what it
//! cannot mean (hosts without a name, ports beyond 65535) or ends itself (no id, a task twice).

use std::collections::BTreeSet;

use prost::Message as _;

use crate::proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage};
use crate::proto::resource::reservation_info::Type as ReservationType;
use crate::proto::{AgentInfo, Resource, TaskState};
use crate::resources::{Resources, validate};

use super::{common, executor, framework};

/// The longest name of a host.
const HOSTNAME_MAX: usize = 255;

/// The most bytes of an agent's description.
const DESCRIPTION_MAX: usize = 256 << 10;

/// The oldest agents that are taken. Source: `MINIMUM_AGENT_VERSION`, 1.11.
const OLDEST: (u64, u64) = (1, 0);

pub fn registration(message: &RegisterSlaveMessage) -> Result<(), String> {
    info(&message.agent)?;
    if !message.checkpointed_resources.is_empty() && !message.agent.checkpoint() {
        return Err("Checkpointed resources provided when checkpointing is not enabled".to_owned());
    }
    total(&message.agent, &message.checkpointed_resources).map(|_| ())
}

fn info(info: &AgentInfo) -> Result<(), String> {
    if let Some(id) = &info.id {
        common::id(&id.value)?;
    }
    let hostname = &info.hostname;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%' | '[' | ']');
    if hostname.is_empty() || hostname.len() > HOSTNAME_MAX || !hostname.chars().all(is_name) {
        let shown: String = hostname.chars().take(HOSTNAME_MAX).collect();
        return Err(format!("'{}' is no name of a host", shown.escape_debug()));
    }
    if let Some(port) = info.port.filter(|port| !(0..=65535).contains(port)) {
        return Err(format!("{port} is no port"));
    }
    validate::all(&info.resources).map_err(|why| why.to_string())?;
    // It becomes a record of the registry, and ZooKeeper takes none above 1 MB.
    match info.encoded_len() {
        length if length > DESCRIPTION_MAX => {
            Err(format!("the agent's description takes {length} bytes, the most is {DESCRIPTION_MAX}"))
        }
        _ => Ok(()),
    }
}

/// The part of a version that matters, `1.11.0-rc1` is 1.11.
pub fn version(text: &str) -> Result<(), String> {
    let mut numbers = text.split(['.', '-', '+']);
    let mut next = || numbers.next().and_then(|number| number.parse::<u64>().ok());
    let shown: String = text.chars().take(64).collect();
    let Some(own) = next().and_then(|major| Some((major, next()?))) else {
        return Err(format!("Failed to parse version '{}'", shown.escape_debug()));
    };
    if own < OLDEST {
        return Err(format!("agent version is {shown}, minimum supported agent version is 1.0.0"));
    }
    Ok(())
}

/// What an agent has: its own resources, of which some are reserved or volumes by now.
pub fn total(info: &AgentInfo, checkpointed: &[Resource]) -> Result<Resources, String> {
    let mut total = Resources::from_protos(&info.resources).map_err(|why| why.to_string())?;
    for own in checkpointed {
        let changed = Resources::from_protos(std::slice::from_ref(own)).map_err(|why| why.to_string())?;
        let plain = Resources::from_protos(&[stripped(own)]).map_err(|why| why.to_string())?;
        if !total.take(&plain) {
            return Err(format!("Incompatible agent resources: {total} does not contain {plain}"));
        }
        total += &changed;
    }
    Ok(total)
}

/// A checkpointed resource as it was before it was made a volume and reserved.
fn stripped(own: &Resource) -> Resource {
    let mut plain = own.clone();
    crate::resources::convert::upgrade_resource(&mut plain);
    if let Some(disk) = &mut plain.disk {
        disk.persistence = None;
        disk.volume = None;
    }
    plain.disk = plain.disk.filter(|disk| disk.source.is_some());
    plain.shared = None;
    while plain.reservations.last().is_some_and(|own| own.r#type() == ReservationType::Dynamic) {
        plain.reservations.pop();
    }
    plain
}

/// Revocable resources that an agent offers beyond what it has.
pub fn oversubscribed(list: &[Resource]) -> Result<Resources, String> {
    let resources = Resources::from_protos(list).map_err(|why| why.to_string())?;
    if resources.iter().any(|resource| !resource.is_revocable()) {
        return Err("oversubscribed resources must be revocable".to_owned());
    }
    Ok(resources)
}

pub fn reregistration(message: &ReregisterSlaveMessage) -> Result<(), String> {
    info(&message.agent)?;
    total(&message.agent, &message.checkpointed_resources)?;
    let mut frameworks = BTreeSet::new();
    for info in &message.frameworks {
        framework::validate(info)?;
        let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) else {
            return Err("Framework has no FrameworkID".to_owned());
        };
        if !frameworks.insert(id) {
            return Err(format!("Framework has a duplicate FrameworkID: '{id}'"));
        }
    }
    let mut executors = BTreeSet::new();
    for info in &message.executor_infos {
        executor::validate(info)?;
        validate::all(&info.resources).map_err(|why| why.to_string())?;
        let Some(framework) = info.framework_id.as_ref().filter(|id| frameworks.contains(id)) else {
            let id = info.framework_id.clone().unwrap_or_default();
            return Err(format!("Executor has an invalid FrameworkID '{id}'"));
        };
        if !executors.insert((framework, &info.executor_id)) {
            return Err(format!("Framework '{framework}' has a duplicate ExecutorID '{}'", info.executor_id));
        }
    }
    let mut tasks = BTreeSet::new();
    for task in &message.tasks {
        common::id(&task.task_id.value).map_err(|why| format!("Task has an invalid TaskID: {why}"))?;
        if Some(&task.agent_id) != message.agent.id.as_ref() {
            return Err(format!("Task has an invalid SlaveID '{}'", task.agent_id));
        }
        if !frameworks.contains(&task.framework_id) {
            return Err(format!("Task has an invalid FrameworkID '{}'", task.framework_id));
        }
        if !tasks.insert((&task.framework_id, &task.task_id)) {
            return Err(format!("Framework '{}' has task '{}' twice", task.framework_id, task.task_id));
        }
        let executor = task.executor_id.as_ref().filter(|_| task.state() == TaskState::TaskRunning);
        if let Some(executor) = executor.filter(|id| !executors.contains(&(&task.framework_id, *id))) {
            return Err(format!("Task has an invalid ExecutorID '{executor}'"));
        }
        validate::all(&task.resources).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.11.0", "2.0", "1.12.0-dev"] {
            assert_eq!(version(good), Ok(()), "{good}");
        }
        for bad in ["", "0.28.2", "x", "1", "-1.0"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_have_names_and_ports() {
        let of = |hostname: &str, port| {
            info(&AgentInfo { hostname: hostname.to_owned(), port, ..AgentInfo::default() })
        };
        for good in ["a", "node-1.example.com", "127.0.0.1", "[::1]", "übung"] {
            assert_eq!(of(good, Some(5051)), Ok(()), "{good}");
        }
        for bad in ["", "<b>", "a b", "a\0", "a/b", &"x".repeat(300)] {
            assert!(of(bad, None).is_err(), "{bad:?}");
        }
        for port in [-5, 1 << 30] {
            assert!(of("a", Some(port)).is_err(), "{port}");
        }
    }
}
