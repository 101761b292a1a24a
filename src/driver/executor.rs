//! The executor driver, as executors see it: `MesosExecutorDriver` of libmesos.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::core::executor::{Callback, Config, State};
use super::core::{Core as _, Effects, Status};
use super::flags::Flags;
use super::node;
use super::run::{Driver, Handler, Inbox};
use crate::base::duration;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::TaskStatus;

/// Source: `DEFAULT_EXECUTOR_SHUTDOWN_GRACE_PERIOD` and `RECOVERY_TIMEOUT`, slave/constants.hpp 1.11.
const GRACE: Duration = Duration::from_secs(5);
const RECOVERY: Duration = Duration::from_secs(15 * 60);

/// A driver. Dropped, it falls silent; no callback is out then.
pub struct ExecutorDriver {
    driver: Driver<State>,
    pid: Upid,
    agent: SocketAddr,
    waiting: Mutex<Option<(Inbox<State>, Handler<Callback>)>>,
}

impl ExecutorDriver {
    /// From this process's environment, which its agent has made. The error is a sentence to end the process with.
    pub fn new(handler: Handler<Callback>) -> Result<ExecutorDriver, String> {
        let environment = node::environment();
        let flags = Flags::read(&environment)?;
        let node = node::node(&flags, "mesos")?;
        let pid = Upid::new(&format!("executor-{}", uuid::Uuid::new_v4()), node.address);
        let config = read(&environment, pid.clone(), rand::random())?;
        let agent = config.agent.address;
        let (driver, inbox) = Driver::new(node, State::new(config));
        Ok(ExecutorDriver { driver, pid, agent, waiting: Mutex::new(Some((inbox, handler))) })
    }

    pub fn start(&self) -> Status {
        let taken = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((inbox, handler)) = taken else { return self.status() };
        self.driver.listen(&self.pid.id);
        let status = self.driver.call(|core, _, out| core.start(out));
        if let Err(error) = self.driver.start(inbox, "mesos-executor", handler) {
            tracing::error!(%error, "the driver's thread does not start");
            return self.driver.call(|core, _, out| core.abort(out));
        }
        status
    }

    pub fn stop(&self) -> Status {
        let status = self.call(|core, _, _| core.stop());
        self.driver.flush(self.agent);
        status
    }

    pub fn abort(&self) -> Status {
        self.call(|core, _, out| core.abort(out))
    }

    /// Waits until the driver is stopped or aborted, and no callback is out. Inside a callback it does not wait.
    pub fn join(&self) -> Status {
        self.driver.join()
    }

    pub fn status(&self) -> Status {
        self.driver.status()
    }

    pub fn send_status_update(&self, status: TaskStatus) -> Status {
        self.call(|core, now, out| core.send_status_update(now, status, out))
    }

    pub fn send_framework_message(&self, data: Bytes) -> Status {
        self.call(|core, _, out| core.send_framework_message(data, out))
    }

    fn call(&self, call: impl FnOnce(&mut State, Time, &mut Effects<Callback>) -> Status) -> Status {
        self.driver.call(call)
    }
}

impl Drop for ExecutorDriver {
    fn drop(&mut self) {
        self.driver.close();
        self.driver.unlisten(&self.pid.id);
    }
}

/// What the agent says by the environment.
///
/// Source: `MesosExecutorDriver::start`, exec.cpp 1.11.
fn read(environment: &BTreeMap<String, String>, pid: Upid, seed: u64) -> Result<Config, String> {
    let get = |name: &str| {
        environment.get(name).ok_or_else(|| format!("Expecting '{name}' to be set in the environment"))
    };
    let period = |name: &str, default: Duration| match environment.get(name) {
        None => Ok(default),
        Some(text) => duration::parse(text)
            .map_err(|error| format!("Failed to parse value '{text}' of '{name}': {error}")),
    };
    let agent = get("MESOS_SLAVE_PID")?;
    let agent = agent.parse().map_err(|error| format!("Cannot parse MESOS_SLAVE_PID '{agent}': {error}"))?;
    let (agent_id, framework_id) = (get("MESOS_SLAVE_ID")?, get("MESOS_FRAMEWORK_ID")?);
    let executor_id = get("MESOS_EXECUTOR_ID")?;
    get("MESOS_DIRECTORY")?;
    let grace = period("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", GRACE)?;
    let checkpoint = environment.get("MESOS_CHECKPOINT").is_some_and(|text| text == "1");
    Ok(Config {
        agent,
        agent_id: agent_id.as_str().into(),
        framework_id: framework_id.as_str().into(),
        executor_id: executor_id.as_str().into(),
        recovery: if checkpoint { Some(period("MESOS_RECOVERY_TIMEOUT", RECOVERY)?) } else { None },
        grace: (!environment.contains_key("MESOS_LOCAL")).then_some(grace),
        pid,
        seed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: &[(&str, Option<&str>)]) -> Result<Config, String> {
        let mut environment: BTreeMap<String, String> = [
            ("MESOS_SLAVE_PID", "slave(1)@127.0.0.1:5051"),
            ("MESOS_SLAVE_ID", "s"),
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_DIRECTORY", "/d"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        for (name, text) in change {
            match text {
                Some(text) => environment.insert((*name).to_owned(), (*text).to_owned()),
                None => environment.remove(*name),
            };
        }
        read(&environment, Upid::new("executor", ([127, 0, 0, 1], 1).into()), 0)
    }

    #[test]
    fn reads_what_the_agent_gives() {
        let plain = config(&[]).expect("a config");
        assert_eq!((plain.recovery, plain.grace), (None, Some(GRACE)));
        assert_eq!(plain.agent.to_string(), "slave(1)@127.0.0.1:5051");
        let lasting =
            [("MESOS_CHECKPOINT", Some("1")), ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Some("3secs"))];
        let lasting = config(&lasting).expect("a config");
        assert_eq!((lasting.recovery, lasting.grace), (Some(RECOVERY), Some(Duration::from_secs(3))));
        let timed = [("MESOS_CHECKPOINT", Some("1")), ("MESOS_RECOVERY_TIMEOUT", Some("1mins"))];
        assert_eq!(config(&timed).expect("a config").recovery, Some(Duration::from_secs(60)));
        assert_eq!(config(&[("MESOS_LOCAL", Some(""))]).expect("a config").grace, None);
    }

    #[test]
    fn says_what_is_missing_or_wrong() {
        let refused = |name, text| config(&[(name, text)]).expect_err(name);
        let missing = "Expecting 'MESOS_SLAVE_PID' to be set in the environment";
        assert_eq!(refused("MESOS_SLAVE_PID", None), missing);
        assert!(refused("MESOS_SLAVE_PID", Some("x")).starts_with("Cannot parse MESOS_SLAVE_PID 'x'"));
        let wrong = refused("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Some("soon"));
        assert!(wrong.starts_with("Failed to parse value 'soon' of"), "{wrong}");
    }
}
