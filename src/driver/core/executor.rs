//! The executor driver: registered with one agent, it hands over tasks and keeps updates until the agent has
//! acknowledged them.
//!
//! An executor of a framework with checkpoints waits for an agent that went away, and tells it everything that was
//! not acknowledged when it asks; any other shuts down at once. After `shutdown` nothing more is heard, and the
//! process group is killed once the grace period is over.
//!
//! Source: `ExecutorProcess` and `MesosExecutorDriver`, exec/exec.cpp 1.11. Unlike there, a task that is launched twice is
//! ignored the second time instead of ending the process.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tracing::{debug, info, warn};

use super::{Core, Effect, Effects, Event, Status, Timer};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    ExecutorToFrameworkMessage, RegisterExecutorMessage, ReregisterExecutorMessage, StatusUpdate,
    StatusUpdateMessage,
};
use crate::proto::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, Message, TaskId, TaskInfo,
    TaskStatus,
};

/// What the agent says by the environment, and who we are.
#[derive(Clone, Debug)]
pub struct Config {
    pub agent: Upid,
    pub agent_id: AgentId,
    pub framework_id: FrameworkId,
    pub executor_id: ExecutorId,
    /// How long to wait for an agent that went away; none: not at all.
    pub recovery: Option<Duration>,
    /// Between `shutdown` and the end of the process group; none: it is left alone.
    pub grace: Option<Duration>,
    /// Of the driver's own process.
    pub pid: Upid,
    pub seed: u64,
}

/// What the executor is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    Registered(Box<Registered>),
    Reregistered(Box<AgentInfo>),
    Disconnected,
    Launch(Box<TaskInfo>),
    Kill(TaskId),
    Message(Bytes),
    Shutdown,
    /// The driver has been aborted.
    Error(String),
}

/// What an executor learns of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    pub executor: ExecutorInfo,
    pub framework: FrameworkInfo,
    pub agent: AgentInfo,
}

type Out = Effects<Callback>;

/// The driver.
#[derive(Debug)]
pub struct State {
    config: Config,
    status: Status,
    agent: Upid,
    /// Registered with the agent.
    connected: bool,
    /// Told to shut down: nothing is heard any more.
    deaf: bool,
    /// Counts registrations, so that a stale timer is known.
    connection: u64,
    /// In the order in which they were sent.
    updates: Vec<StatusUpdate>,
    /// Of which no update has been acknowledged.
    tasks: Vec<TaskInfo>,
    random: ChaCha8Rng,
}

impl State {
    pub fn new(config: Config) -> State {
        State {
            status: Status::NotStarted,
            agent: config.agent.clone(),
            connected: false,
            deaf: false,
            connection: 0,
            updates: Vec::new(),
            tasks: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(config.seed),
            config,
        }
    }

    pub fn start(&mut self, out: &mut Out) -> Status {
        if self.status.start() {
            out.push(Effect::Link(self.agent.address));
            let framework_id = self.config.framework_id.clone();
            let executor_id = self.config.executor_id.clone();
            self.send(RegisterExecutorMessage { framework_id, executor_id }, out);
        }
        self.status
    }

    pub fn stop(&mut self) -> Status {
        self.status.stop().unwrap_or(self.status)
    }

    fn send(&self, message: impl Into<Message>, out: &mut Out) {
        let (from, to) = (self.config.pid.clone(), self.agent.clone());
        out.push(Effect::Send { from, to, message: message.into() });
    }

    // ---- what the executor calls ----

    pub fn send_status_update(&mut self, now: Time, status: TaskStatus, out: &mut Out) -> Status {
        if self.status != Status::Running {
            return self.status;
        }
        let uuid: Bytes = uuid::Builder::from_random_bytes(rand::RngExt::random(&mut self.random))
            .into_uuid()
            .into_bytes()
            .to_vec()
            .into();
        let timestamp = now.as_secs_f64();
        let agent_id = Some(self.config.agent_id.clone());
        let update = StatusUpdate {
            framework_id: self.config.framework_id.clone(),
            executor_id: Some(self.config.executor_id.clone()),
            agent_id: agent_id.clone(),
            timestamp,
            uuid: Some(uuid.clone()),
            latest_state: None,
            status: TaskStatus { agent_id, timestamp: Some(timestamp), uuid: Some(uuid), ..status },
        };
        self.updates.push(update.clone());
        self.send(StatusUpdateMessage { update, pid: Some(self.config.pid.to_string()) }, out);
        self.status
    }

    pub fn send_framework_message(&self, data: Bytes, out: &mut Out) -> Status {
        if self.status == Status::Running {
            let message = ExecutorToFrameworkMessage {
                agent_id: self.config.agent_id.clone(),
                framework_id: self.config.framework_id.clone(),
                executor_id: self.config.executor_id.clone(),
                data,
            };
            self.send(message, out);
        }
        self.status
    }

    // ---- what the driver hears ----

    fn received(&mut self, from: Option<Upid>, message: Message, out: &mut Out) {
        let callback = match message {
            Message::ExecutorRegistered(it) => {
                info!(agent = %it.agent_id, "Executor registered");
                self.connect();
                Callback::Registered(Box::new(Registered {
                    executor: it.executor_info,
                    framework: it.framework_info,
                    agent: it.agent_info,
                }))
            }
            Message::ExecutorReregistered(it) => {
                info!(agent = %it.agent_id, "Executor reregistered");
                self.connect();
                Callback::Reregistered(Box::new(it.agent_info))
            }
            Message::ReconnectExecutor(it) => {
                let Some(from) = from else { return };
                info!(agent = %it.agent_id, "Received reconnect request");
                return self.reconnect(from, out);
            }
            Message::KillTask(it) => {
                if !self.connected {
                    warn!(task = %it.task_id, "told to kill a task while disconnected from the agent");
                }
                Callback::Kill(it.task_id)
            }
            Message::ShutdownExecutor(_) => return self.shut_down(out),
            other if !self.connected => {
                return warn!(name = other.name(), "Ignoring a message because the driver is disconnected");
            }
            Message::RunTask(it) => {
                if self.tasks.iter().any(|task| task.task_id == it.task.task_id) {
                    return warn!(task = %it.task.task_id, "Ignoring a task that was launched before");
                }
                self.tasks.push(it.task.clone());
                Callback::Launch(Box::new(it.task))
            }
            Message::StatusUpdateAcknowledgement(it) => return self.acknowledged(&it.task_id, &it.uuid),
            Message::FrameworkToExecutor(it) => Callback::Message(it.data),
            other => return warn!(name = other.name(), "Ignoring a message that is not for executors"),
        };
        out.push(Effect::Tell(callback));
    }

    fn connect(&mut self) {
        self.connected = true;
        self.connection += 1;
    }

    /// An agent that was restarted asks what it missed.
    fn reconnect(&mut self, from: Upid, out: &mut Out) {
        self.agent = from;
        out.push(Effect::Relink(self.agent.address));
        let message = ReregisterExecutorMessage {
            executor_id: self.config.executor_id.clone(),
            framework_id: self.config.framework_id.clone(),
            tasks: self.tasks.clone(),
            updates: self.updates.clone(),
        };
        self.send(message, out);
    }

    fn acknowledged(&mut self, task: &TaskId, uuid: &Bytes) {
        let Some(at) = self.updates.iter().position(|update| update.uuid.as_ref() == Some(uuid)) else {
            return warn!(%task, "Ignoring an acknowledgement of an unknown update");
        };
        self.updates.remove(at);
        self.tasks.retain(|known| known.task_id != *task);
    }

    fn exited(&mut self, now: Time, out: &mut Out) {
        let was_connected = std::mem::take(&mut self.connected);
        match self.config.recovery {
            Some(timeout) if was_connected => {
                info!(?timeout, "Agent exited, but framework has checkpointing enabled. Waiting for it");
                let timer = Timer::Recovery { connection: self.connection };
                out.push(Effect::Wake { at: now + timeout, timer });
                // As its interface promises; Mesos' driver never says so.
                out.push(Effect::Tell(Callback::Disconnected));
            }
            _ => {
                info!("Agent exited ... shutting down");
                self.shut_down(out);
            }
        }
    }

    fn shut_down(&mut self, out: &mut Out) {
        info!("Executor asked to shutdown");
        self.deaf = true;
        if let Some(after) = self.config.grace {
            out.push(Effect::KillGroup { after });
        }
        out.push(Effect::Tell(Callback::Shutdown));
    }
}

impl Core for State {
    type Callback = Callback;

    fn handle(&mut self, now: Time, event: Event, out: &mut Out) {
        if self.status != Status::Running || self.deaf {
            return debug!("Ignoring an event because the driver is aborted");
        }
        match event {
            Event::Received { from, message } => self.received(from, *message, out),
            Event::Exited(address) if address == self.agent.address => self.exited(now, out),
            Event::Timer(Timer::Recovery { connection }) => {
                if !self.connected && connection == self.connection {
                    info!("Recovery timeout exceeded; Shutting down");
                    self.shut_down(out);
                }
            }
            Event::LeaderSeen(_) | Event::NoDetection(_) | Event::Exited(_) | Event::Timer(_) => {}
        }
    }

    fn tells(&self, callback: &Callback) -> bool {
        self.status == Status::Running || matches!(callback, Callback::Error(_))
    }

    fn told(&mut self, _: &Callback, _: &mut Out) {}

    fn abort(&mut self, _: &mut Out) -> Status {
        if self.status == Status::Running {
            self.status = Status::Aborted;
        }
        self.status
    }

    fn status(&self) -> Status {
        self.status
    }
}
