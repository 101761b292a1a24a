//! The executors that an agent makes up itself: one for each task that brings only a command, and the
//! command of a DEFAULT executor.
//!
//! Source: `Slave::getExecutorInfo`, `defaultExecutorCommandInfo`, slave.cpp 1.11.

use std::time::Duration;

use super::state::Config;
use crate::proto::{
    CommandInfo, DurationInfo, ExecutorInfo, FrameworkId, Resource, TaskInfo, resource, value,
};

/// What the helpers are called; the binary finds out by it what it is to be.
const COMMAND_EXECUTOR: &str = "mesos-executor";
const DEFAULT_EXECUTOR: &str = "mesos-default-executor";

/// What our executor itself may use, beyond what its task has: 0.1 cpus and 32 MB.
const OVERHEAD: [(&str, f64); 2] = [("cpus", 0.1), ("mem", 32.0)];

/// Added to a task's kill grace period, so that the executor can still say TASK_KILLED before it is killed:
/// the reaper's longest interval and a second.
const GRACE_MARGIN: Duration = Duration::from_secs(2);

/// A command in `CommandInfo` longer than this is cut in the executor's name.
const NAME_COMMAND_MAX: usize = 15;

/// The executor of a task that has a command and none. Its id is the task's.
#[expect(deprecated, reason = "views and old schedulers still read `source`")]
pub fn command_executor(config: &Config, framework: &FrameworkId, task: &TaskInfo) -> ExecutorInfo {
    let command = task.command.clone().unwrap_or_default();
    let grace = task.kill_policy.and_then(|policy| policy.grace_period).map(|grace| {
        let margin = i64::try_from(GRACE_MARGIN.as_nanos()).unwrap_or(i64::MAX);
        DurationInfo { nanoseconds: grace.nanoseconds.max(0).saturating_add(margin) }
    });
    let role = task.resources.iter().find_map(|resource| resource.allocation_info.clone());
    ExecutorInfo {
        executor_id: task.task_id.value.as_str().into(),
        framework_id: Some(framework.clone()),
        container: task.container.clone(),
        name: Some(format!("Command Executor (Task: {}) {}", task.task_id, describe(&command))),
        source: Some(task.task_id.value.clone()),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        shutdown_grace_period: grace,
        resources: overhead(role.as_ref()),
        command: Some(CommandInfo {
            uris: command.uris,
            environment: command.environment,
            user: command.user,
            ..shipped(config, COMMAND_EXECUTOR)
        }),
        ..ExecutorInfo::default()
    }
}

/// The command of an executor whose type is DEFAULT, which never brings one, and fetches and logs for its tasks itself.
pub fn default_executor_command(config: &Config) -> CommandInfo {
    let mut command = shipped(config, DEFAULT_EXECUTOR);
    command.arguments.extend(config.default_executor_flags.iter().cloned());
    command
}

/// Runs our own binary under the name of one of its helpers.
fn shipped(config: &Config, name: &str) -> CommandInfo {
    CommandInfo {
        shell: Some(false),
        value: Some(config.binary.to_string_lossy().into_owned()),
        arguments: vec![name.to_owned(), format!("--launcher_dir={}", config.launcher_dir)],
        ..CommandInfo::default()
    }
}

fn describe(command: &CommandInfo) -> String {
    let cut = |text: &str| match text.len() > NAME_COMMAND_MAX {
        true => format!("{}...", start_of(text, NAME_COMMAND_MAX - 3)),
        false => text.to_owned(),
    };
    match (&command.value, command.shell.unwrap_or(true)) {
        (None, true) => "(Command: NO COMMAND)".to_owned(),
        (None, false) => "(Command: NO EXECUTABLE)".to_owned(),
        (Some(value), true) => format!("(Command: sh -c '{}')", cut(value)),
        (Some(value), false) => {
            let all = format!("{value}, {}", command.arguments.join(", "));
            format!("(Command: [{}])", cut(&all))
        }
    }
}

/// At most so many bytes, and whole characters.
fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

fn overhead(role: Option<&resource::AllocationInfo>) -> Vec<Resource> {
    let scalar = |(name, value): (&str, f64)| Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        allocation_info: role.cloned(),
        ..Resource::default()
    };
    OVERHEAD.map(scalar).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(shell: bool, value: Option<&str>, arguments: &[&str]) -> String {
        describe(&CommandInfo {
            shell: Some(shell),
            value: value.map(str::to_owned),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ..CommandInfo::default()
        })
    }

    #[test]
    fn commands_are_named_as_mesos_names_them() {
        assert_eq!(name(true, Some("sleep 10"), &[]), "(Command: sh -c 'sleep 10')");
        assert_eq!(name(true, Some("0123456789abcdef"), &[]), "(Command: sh -c '0123456789ab...')");
        assert_eq!(name(true, Some("\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"), &[]).len(), 34);
        assert_eq!(name(true, None, &[]), "(Command: NO COMMAND)");
        assert_eq!(name(false, Some("/bin/ls"), &["ls"]), "(Command: [/bin/ls, ls])");
        assert_eq!(name(false, None, &[]), "(Command: NO EXECUTABLE)");
    }
}
