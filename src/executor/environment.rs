//! What the agent says by the environment.
//!
//! Source: executor/executor.cpp and launcher/executor.cpp 1.11.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::core::{Config, Recovery};
use crate::base::duration::{self, DurationError};
use crate::base::upid::{Upid, UpidError};
use crate::posix::start;

/// What an executor needs to know.
#[derive(Clone, Debug)]
pub struct Environment {
    pub agent: SocketAddr,
    /// `/slave(1)/api/v1/executor`.
    pub path: String,
    /// The agent's proof of who we are, to be shown with every call.
    pub token: Option<String>,
    pub sandbox: PathBuf,
    pub config: Config,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum EnvironmentError {
    #[error("Expecting '{0}' to be set in the environment")]
    Missing(&'static str),
    #[error("Failed to parse {0} '{1}': {2}")]
    Duration(&'static str, String, DurationError),
    #[error("Failed to parse MESOS_SLAVE_PID '{0}': {1}")]
    Pid(String, UpidError),
}

/// What the variables say. All of them are a task's environment to begin with, but for our token.
pub fn read(mut variables: BTreeMap<String, String>, seed: u64) -> Result<Environment, EnvironmentError> {
    let token = variables.get(start::SECRET_VARIABLES[0]).cloned();
    for secret in start::SECRET_VARIABLES {
        variables.remove(secret);
    }
    let get = |name: &'static str| variables.get(name).ok_or(EnvironmentError::Missing(name));
    let period = |name: &'static str| -> Result<Duration, EnvironmentError> {
        let text = get(name)?;
        duration::parse(text).map_err(|error| EnvironmentError::Duration(name, text.clone(), error))
    };
    let pid = get("MESOS_SLAVE_PID")?;
    let pid: Upid = pid.parse().map_err(|error| EnvironmentError::Pid(pid.clone(), error))?;
    let recovery = match variables.get("MESOS_CHECKPOINT").map(String::as_str) {
        Some("1") => Some(Recovery {
            timeout: period("MESOS_RECOVERY_TIMEOUT")?,
            backoff_max: period("MESOS_SUBSCRIPTION_BACKOFF_MAX")?,
        }),
        _ => None,
    };
    let config = Config {
        framework: get("MESOS_FRAMEWORK_ID")?.as_str().into(),
        executor: get("MESOS_EXECUTOR_ID")?.as_str().into(),
        recovery,
        shutdown_grace_period: period("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD")?,
        environment: BTreeMap::new(),
        seed,
    };
    let sandbox = get("MESOS_SANDBOX").or_else(|_| get("MESOS_DIRECTORY"))?.into();
    let path = format!("/{}/api/v1/executor", pid.id);
    let config = Config { environment: variables, ..config };
    Ok(Environment { agent: pid.address, path, token, sandbox, config })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let pairs = [
            ("MESOS_SLAVE_PID", "slave(3)@127.0.0.1:5051"),
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
            ("MESOS_SANDBOX", "/s"),
            ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "secret"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn reads_what_the_agent_gives() {
        let read = read(variables(), 0).unwrap();
        assert_eq!(read.path, "/slave(3)/api/v1/executor");
        assert_eq!(read.token.as_deref(), Some("secret"));
        assert!(!read.config.environment.values().any(|value| value == "secret"));
        assert_eq!(read.config.recovery, None);
    }

    #[test]
    fn says_what_is_missing_or_wrong() {
        let changed = |name: &str, value: Option<&str>| {
            let mut variables = variables();
            match value {
                Some(value) => variables.insert(name.to_owned(), value.to_owned()),
                None => variables.remove(name),
            };
            read(variables, 0).unwrap_err().to_string()
        };
        let missing = "Expecting 'MESOS_FRAMEWORK_ID' to be set in the environment";
        assert_eq!(changed("MESOS_FRAMEWORK_ID", None), missing);
        assert!(changed("MESOS_CHECKPOINT", Some("1")).contains("MESOS_RECOVERY_TIMEOUT"));
        assert!(changed("MESOS_SLAVE_PID", Some("x")).contains("MESOS_SLAVE_PID 'x'"));
        assert!(changed("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Some("5")).contains("Failed to parse"));
    }
}
