//! The executors, as functions of (state, event, now) that give effects.
//!
//! `session` is what both have in common: being subscribed to the agent, and updates until they are
//! acknowledged; `checks` is what both know of a task's health. Absent on purpose: sockets, processes, clocks,
//! logs. Start at `command.rs`.

pub mod checks;
pub mod command;
pub mod default;
pub mod session;
#[cfg(test)]
mod testing;
pub mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use self::checks::{Attempt, Finding, Probe};
use self::volumes::Link;
use crate::base::duration;
use crate::base::end::End;
use crate::base::time::Time;
use crate::proto::{CommandInfo, ExecutorId, FrameworkId, KillPolicy, TaskId, executor};

/// What the agent told by the environment, and a seed.
#[derive(Clone, Debug)]
pub struct Config {
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    /// Set if the framework is checkpointed: the executor then outlives its agent for a while.
    pub recovery: Option<Recovery>,
    pub shutdown_grace_period: Duration,
    /// What a task's environment starts from.
    pub environment: BTreeMap<String, String>,
    /// Where identifiers and waiting times come from.
    pub seed: u64,
}

/// How to wait for an agent that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub timeout: Duration,
    /// The most between two attempts.
    pub backoff_max: Duration,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The agent can be called.
    Connected,
    /// It cannot any more, or not yet; with the reason.
    Disconnected(String),
    /// The agent answered SUBSCRIBE with something else than events.
    Refused(String),
    Received(Box<executor::Event>),
    /// The task's process runs.
    Started {
        task: TaskId,
        pid: u32,
    },
    /// The task's process never ran. `Ended` does not follow.
    NotStarted {
        task: TaskId,
        message: String,
    },
    Ended {
        task: TaskId,
        end: End,
    },
    /// A look at a task is over; with what went wrong if it found nothing.
    Probed {
        attempt: Attempt,
        finding: Result<Finding, String>,
    },
    Timer(Timer),
}

/// What a core wants to be woken for. Never cancelled: a handler recognises a stale one by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// SUBSCRIBE may have to be repeated.
    Subscribe { connection: u64 },
    /// The next attempt to connect.
    Reconnect { connection: u64 },
    /// The agent has been away for too long.
    Recovery { connection: u64 },
    /// A HEARTBEAT is due.
    Heartbeat,
    /// A task that was told to end must be killed.
    Escalate { task: TaskId, number: u64 },
    /// A task has run for its `max_completion_time`.
    Completion { task: TaskId },
    /// A check wants to look.
    Check(Attempt),
    /// The time to shut down in is over.
    Shutdown,
    /// All tasks are done, but the agent has not acknowledged it.
    Unacknowledged,
}

/// What the shell has to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// `Connected` or `Disconnected` follows.
    Connect,
    Call(Box<executor::Call>),
    /// `Started` or `NotStarted` follows, before anything that comes from the agent.
    Start(Box<Start>),
    /// To all processes of a task; without effect when it has none.
    Signal {
        task: TaskId,
        signal: Signal,
    },
    /// `Probed` follows.
    Probe(Box<Probe>),
    /// What looks at this task right now need not go on; `Probed` may or may not follow.
    StopProbes(TaskId),
    Wake {
        at: Time,
        timer: Timer,
    },
    Log(Level, String),
    /// The process ends with this status.
    Exit(u8),
}

pub type Effects = Vec<Effect>;

/// A task to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub task: TaskId,
    pub command: CommandInfo,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its own sandbox, named so below the executor's `containers` folder, with files to fetch into it;
    /// `None`: the executor's.
    pub sandbox: Option<String>,
    /// What of the executor's sandbox is to be seen in its own.
    pub links: Vec<Link>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Either of the executors, for the loop that runs it.
pub trait Core {
    /// To be called once, before any event.
    fn start(&mut self, now: Time, out: &mut Effects);

    fn handle(&mut self, now: Time, event: Event, out: &mut Effects);
}

/// The grace between SIGTERM and SIGKILL if nobody says. Source: executor.cpp 1.11.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

/// How long to wait for the last acknowledgement. Source: `CommandExecutor::reaped`, executor.cpp 1.11.
const ACKNOWLEDGEMENT_PATIENCE: Duration = Duration::from_secs(60);

/// The same while shutting down, when it may well never come: an agent that removes the framework ignores
/// updates. Source: the patience of 1.11's command executor without `MESOS_HTTP_COMMAND_EXECUTOR`.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

/// The grace of a kill: what the call says, else the task, else 3 s. Negative counts as zero.
fn kill_grace(call: Option<&KillPolicy>, task: Option<&KillPolicy>) -> Duration {
    let of = |policy: Option<&KillPolicy>| policy.and_then(|policy| policy.grace_period);
    let grace = of(call).or_else(|| of(task));
    grace.map_or(DEFAULT_KILL_GRACE, |grace| {
        Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or(0))
    })
}

/// As flags are written: `3secs`.
fn shown(duration: Duration) -> impl fmt::Display {
    duration::format(duration)
}

/// What a task's command lacks, if so. Source: `CommandExecutor::launch`, executor.cpp 1.11.
fn command_of(task: &crate::proto::TaskInfo) -> Result<CommandInfo, String> {
    let id = &task.task_id;
    let command = task.command.clone().ok_or_else(|| format!("Expecting task '{id}' to have a command"))?;
    match (&command.value, command.shell()) {
        (Some(_), _) => Ok(command),
        (None, true) => Err(format!("Shell command of task '{id}' is not specified")),
        (None, false) => Err(format!("Executable of task '{id}' is not specified")),
    }
}

/// The environment of a task: `base`, over it what is said here, over that what its command brings.
fn task_environment(
    base: &BTreeMap<String, String>,
    task: &crate::proto::TaskInfo,
    command: &CommandInfo,
) -> BTreeMap<String, String> {
    let mut environment = base.clone();
    environment.insert("MESOS_TASK_ID".to_owned(), task.task_id.value.clone());
    add_variables(&mut environment, command);
    // A task's resources are all allocated to one role.
    let role = task.resources.first().and_then(|resource| resource.allocation_info.as_ref());
    let role = role.map(|allocation| allocation.role().to_owned()).unwrap_or_default();
    environment.insert("MESOS_ALLOCATION_ROLE".to_owned(), role);
    environment
}

/// Over what is there, what a command brings. Unresolved secrets are left out, as in 1.11.
fn add_variables(environment: &mut BTreeMap<String, String>, command: &CommandInfo) {
    use crate::proto::environment::variable;

    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    for variable in variables.filter(|variable| variable.r#type() == variable::Type::Value) {
        environment.insert(variable.name.clone(), variable.value().to_owned());
    }
}
