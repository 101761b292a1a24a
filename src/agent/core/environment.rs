//! The environment of an executor, as Mesos gives it.
//!
//! Source: `executorEnvironment`, slave.cpp, and `MesosContainerizerProcess::_launch`, containerizer.cpp
//! 1.11. Nothing of the agent's own environment leaks into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::state::Config;
use crate::base::duration;
use crate::proto::{AgentId, ExecutorInfo};

/// Source: `os::host_default_path`, stout 1.11.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long an executor has to end itself: its own word, else `--executor_shutdown_grace_period`.
pub fn grace_period(config: &Config, executor: &ExecutorInfo) -> Duration {
    let own = executor.shutdown_grace_period.and_then(|own| u64::try_from(own.nanoseconds).ok());
    own.map_or(config.executor_shutdown_grace_period, Duration::from_nanos)
}

/// Everything but what the command itself brings. `checkpoint` is the framework's wish.
pub fn environment(
    config: &Config,
    agent: &AgentId,
    executor: &ExecutorInfo,
    sandbox: &Path,
    checkpoint: bool,
) -> BTreeMap<String, String> {
    let mut all = config.executor_environment.clone();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let sandbox = sandbox.to_string_lossy();
    let framework = executor.framework_id.as_ref().map_or("", |id| &id.value);
    let grace = grace_period(config, executor);
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    // Any free port: the agent's own must not be taken.
    set("LIBPROCESS_PORT", "0".to_owned());
    set("MESOS_FRAMEWORK_ID", framework.to_owned());
    set("MESOS_EXECUTOR_ID", executor.executor_id.value.clone());
    set("MESOS_DIRECTORY", sandbox.clone().into_owned());
    set("MESOS_SANDBOX", sandbox.into_owned());
    set("MESOS_SLAVE_ID", agent.value.clone());
    set("MESOS_SLAVE_PID", config.pid.to_string());
    set("MESOS_AGENT_ENDPOINT", config.pid.address.to_string());
    set("MESOS_CHECKPOINT", if checkpoint { "1" } else { "0" }.to_owned());
    set("MESOS_HTTP_COMMAND_EXECUTOR", "1".to_owned());
    set("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration::format(grace));
    if checkpoint {
        set("MESOS_RECOVERY_TIMEOUT", duration::format(config.recovery_timeout));
        set("MESOS_SUBSCRIPTION_BACKOFF_MAX", duration::format(config.executor_reregistration_timeout));
    }
    all
}
