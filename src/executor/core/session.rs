//! Being subscribed to the agent, and keeping updates until it has acknowledged them.
//!
//! An executor of a checkpointed framework waits for an agent that went away, and then tells it of all that
//! it has not acknowledged. One of any other framework shuts down at once.
//!
//! Source: executor/executor.cpp 1.11.

use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::checks::{Checks, News};
use super::{Config, Effect, Effects, Event, Level, Timer};
use crate::base::time::Time;
use crate::proto::executor::{Call, call, event};
use crate::proto::framework_info::capability;
use crate::proto::task_status::{Reason, Source};
use crate::proto::{CheckStatusInfo, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus};

/// Between two attempts to subscribe. Source: `doReliableRegistration`, executor.cpp 1.11.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(1);

/// Source: `DEFAULT_HEARTBEAT_CALL_INTERVAL`, executor.cpp 1.11.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Connecting,
    Connected,
    Subscribing,
    Subscribed,
}

/// What an executor has to do itself after the session dealt with an event.
#[derive(Debug)]
pub enum Outcome {
    Nothing,
    /// SUBSCRIBE, with these tasks besides the updates.
    Subscribe,
    /// The agent is away, or too long away, or wants it.
    Shutdown,
    /// An event of the agent for the executor.
    Received(Box<crate::proto::executor::Event>),
    /// An update was acknowledged.
    Acknowledged {
        task: TaskId,
        state: TaskState,
    },
    /// No business of the session.
    Other(Event),
}

/// The executor's end of the subscription.
#[derive(Debug)]
pub struct Session {
    pub config: Config,
    phase: Phase,
    /// Counts connections and attempts, so that stale timers are known.
    connection: u64,
    /// When the agent went away; until it is back.
    away: Option<u64>,
    framework: Option<FrameworkInfo>,
    /// In the order in which they were made.
    unacknowledged: Vec<TaskStatus>,
    /// How many of these, from the first on, the agent was told since it was connected to.
    told: usize,
    random: ChaCha8Rng,
}

impl Session {
    pub fn new(config: Config) -> Session {
        let random = ChaCha8Rng::seed_from_u64(config.seed);
        Session {
            config,
            phase: Phase::Disconnected,
            connection: 0,
            away: None,
            framework: None,
            unacknowledged: Vec::new(),
            told: 0,
            random,
        }
    }

    pub fn start(&mut self, now: Time, out: &mut Effects) {
        out.push(Effect::Wake { at: now + HEARTBEAT_INTERVAL, timer: Timer::Heartbeat });
        self.connect(out);
    }

    pub fn is_subscribed(&self) -> bool {
        self.phase == Phase::Subscribed
    }

    /// Whether it waits for an agent that went away.
    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether the agent knows all that there is to know.
    pub fn is_quiet(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    fn connect(&mut self, out: &mut Effects) {
        self.phase = Phase::Connecting;
        out.push(Effect::Connect);
    }

    pub fn handle(&mut self, now: Time, event: Event, out: &mut Effects) -> Outcome {
        match event {
            Event::Connected => self.connected(now, out),
            Event::Disconnected(reason) => self.disconnected(now, &reason, out),
            Event::Refused(reason) => {
                out.push(Effect::Log(Level::Warning, format!("Received {reason} for SUBSCRIBE")));
                if self.phase == Phase::Subscribing {
                    self.phase = Phase::Connected;
                }
                Outcome::Nothing
            }
            Event::Received(event) => self.received(event, out),
            Event::Timer(Timer::Subscribe { connection }) => match self.phase {
                Phase::Connected if connection == self.connection => self.connected(now, out),
                Phase::Subscribing if connection == self.connection => {
                    // One is under way; it may yet be refused.
                    self.wake_to_subscribe(now, out);
                    Outcome::Nothing
                }
                _ => Outcome::Nothing,
            },
            Event::Timer(Timer::Reconnect { connection }) => {
                if connection == self.connection && self.phase == Phase::Disconnected {
                    self.connect(out);
                }
                Outcome::Nothing
            }
            Event::Timer(Timer::Recovery { connection }) => match self.away {
                Some(away) if away == connection => {
                    let timeout = self.config.recovery.map(|recovery| recovery.timeout).unwrap_or_default();
                    let text =
                        format!("Recovery timeout of {} exceeded; Shutting down", super::shown(timeout));
                    out.push(Effect::Log(Level::Info, text));
                    Outcome::Shutdown
                }
                _ => Outcome::Nothing,
            },
            Event::Timer(Timer::Heartbeat) => {
                if self.is_subscribed() {
                    self.call(call::Type::Heartbeat, Call::default(), out);
                }
                out.push(Effect::Wake { at: now + HEARTBEAT_INTERVAL, timer: Timer::Heartbeat });
                Outcome::Nothing
            }
            other => Outcome::Other(other),
        }
    }

    fn connected(&mut self, now: Time, out: &mut Effects) -> Outcome {
        self.away = None;
        self.phase = Phase::Subscribing;
        self.wake_to_subscribe(now, out);
        Outcome::Subscribe
    }

    fn wake_to_subscribe(&self, now: Time, out: &mut Effects) {
        let timer = Timer::Subscribe { connection: self.connection };
        out.push(Effect::Wake { at: now + SUBSCRIBE_INTERVAL, timer });
    }

    /// `Outcome::Subscribe` goes on here, with the tasks that the agent may not know.
    pub fn subscribe(&mut self, tasks: Vec<TaskInfo>, out: &mut Effects) {
        self.told = self.unacknowledged.len();
        let update = |status: &TaskStatus| call::Update { status: status.clone() };
        let unacknowledged_updates = self.unacknowledged.iter().map(update).collect();
        let subscribe = call::Subscribe { unacknowledged_tasks: tasks, unacknowledged_updates };
        self.call(call::Type::Subscribe, Call { subscribe: Some(subscribe), ..Call::default() }, out);
    }

    /// The connection is gone, or an attempt at one failed.
    fn disconnected(&mut self, now: Time, reason: &str, out: &mut Effects) -> Outcome {
        let was_connected = matches!(self.phase, Phase::Connected | Phase::Subscribing | Phase::Subscribed);
        self.phase = Phase::Disconnected;
        self.connection += 1;
        let Some(recovery) = self.config.recovery else {
            let text = format!("Disconnected from agent: {reason}; Shutting down");
            out.push(Effect::Log(Level::Info, text));
            return Outcome::Shutdown;
        };
        if was_connected || self.away.is_none() {
            out.push(Effect::Log(Level::Info, format!("Disconnected from agent: {reason}")));
        }
        if self.away.is_none() {
            // Perhaps it was gone before it could be reached at all.
            self.away = Some(self.connection);
            let timer = Timer::Recovery { connection: self.connection };
            out.push(Effect::Wake { at: now + recovery.timeout, timer });
        }
        let backoff = recovery.backoff_max.mul_f64(self.random.random::<f64>());
        let timer = Timer::Reconnect { connection: self.connection };
        out.push(Effect::Wake { at: now + backoff, timer });
        Outcome::Nothing
    }

    fn received(&mut self, event: Box<crate::proto::executor::Event>, out: &mut Effects) -> Outcome {
        let kind = event.r#type();
        if !matches!(self.phase, Phase::Subscribing | Phase::Subscribed) {
            let text = format!("Ignoring {} event because we're no longer subscribed", kind.as_str_name());
            out.push(Effect::Log(Level::Warning, text));
            return Outcome::Nothing;
        }
        if kind != event::Type::Heartbeat {
            out.push(Effect::Log(Level::Info, format!("Received {} event", kind.as_str_name())));
        }
        match kind {
            event::Type::Subscribed => {
                if let Some(subscribed) = &event.subscribed {
                    let host = &subscribed.agent_info.hostname;
                    out.push(Effect::Log(Level::Info, format!("Subscribed executor on {host}")));
                    self.framework = Some(subscribed.framework_info.clone());
                    self.phase = Phase::Subscribed;
                    self.tell(out);
                }
                Outcome::Nothing
            }
            event::Type::Acknowledged => self.acknowledged(event.acknowledged.unwrap_or_default(), out),
            event::Type::Shutdown => Outcome::Shutdown,
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                out.push(Effect::Log(Level::Error, format!("Error: {message}")));
                Outcome::Nothing
            }
            event::Type::Unknown => {
                out.push(Effect::Log(Level::Warning, "Received an UNKNOWN event and ignored".to_owned()));
                Outcome::Nothing
            }
            event::Type::Heartbeat | event::Type::Message => Outcome::Nothing,
            event::Type::Launch | event::Type::LaunchGroup | event::Type::Kill => Outcome::Received(event),
        }
    }

    fn acknowledged(&mut self, acknowledged: event::Acknowledged, out: &mut Effects) -> Outcome {
        let is_it = |status: &TaskStatus| status.uuid.as_ref() == Some(&acknowledged.uuid);
        let Some(index) = self.unacknowledged.iter().position(is_it) else {
            let uuid = uuid::Uuid::from_slice(&acknowledged.uuid).unwrap_or_default();
            let text = format!("Received acknowledgement {uuid} for unknown status update");
            out.push(Effect::Log(Level::Warning, text));
            return Outcome::Nothing;
        };
        let status = self.unacknowledged.remove(index);
        self.told -= usize::from(index < self.told);
        Outcome::Acknowledged { state: status.state(), task: status.task_id }
    }

    /// Whether the framework wants to hear of TASK_KILLING.
    pub fn knows_killing(&self) -> bool {
        let kind = capability::Type::TaskKillingState;
        let capabilities = self.framework.iter().flat_map(|framework| &framework.capabilities);
        capabilities.into_iter().any(|capability| capability.r#type() == kind)
    }

    /// Sends an update: now if subscribed, as soon as that is if SUBSCRIBE is under way, else with the next SUBSCRIBE.
    pub fn update(&mut self, now: Time, task: &TaskId, report: Report, out: &mut Effects) {
        let status = TaskStatus {
            task_id: task.clone(),
            state: report.state as i32,
            message: report.message,
            source: Some(Source::Executor as i32),
            reason: report.reason.map(|reason| reason as i32),
            healthy: report.healthy,
            check_status: report.check_status,
            executor_id: Some(self.config.executor.clone()),
            timestamp: Some(now.as_secs_f64()),
            uuid: Some(Bytes::copy_from_slice(self.uuid().as_bytes())),
            ..TaskStatus::default()
        };
        self.unacknowledged.push(status);
        if self.is_subscribed() {
            self.tell(out);
        }
    }

    /// Sends the updates that the agent was not told yet.
    fn tell(&mut self, out: &mut Effects) {
        for status in &self.unacknowledged[self.told..] {
            let update = Some(call::Update { status: status.clone() });
            self.call(call::Type::Update, Call { update, ..Call::default() }, out);
        }
        self.told = self.unacknowledged.len();
    }

    pub fn uuid(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid()
    }

    fn call(&self, kind: call::Type, call: Call, out: &mut Effects) {
        let call = Call {
            executor_id: self.config.executor.clone(),
            framework_id: self.config.framework.clone(),
            r#type: Some(kind as i32),
            ..call
        };
        out.push(Effect::Call(Box::new(call)));
    }
}

/// What an update says.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub state: TaskState,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    pub healthy: Option<bool>,
    /// Of a task that has a check.
    pub check_status: Option<CheckStatusInfo>,
}

impl Report {
    pub fn of(state: TaskState) -> Report {
        Report { state, reason: None, message: None, healthy: None, check_status: None }
    }

    pub fn saying(state: TaskState, message: String) -> Report {
        Report { message: Some(message), ..Report::of(state) }
    }

    /// TASK_RUNNING once more, as something is new about its checks.
    pub fn of_checks(checks: &Checks, news: News) -> Report {
        Report {
            reason: Some(news.reason),
            healthy: checks.healthy,
            check_status: checks.status,
            ..Report::of(TaskState::TaskRunning)
        }
    }

    /// Whatever is said of a task that has a check says so.
    pub fn with(self, checks: &Checks) -> Report {
        Report { check_status: checks.empty_status(), ..self }
    }
}

/// Whether a task in this state is done, for an executor.
pub fn is_terminal(state: TaskState) -> bool {
    use TaskState::{TaskDropped, TaskError, TaskFailed, TaskFinished, TaskGone, TaskKilled, TaskLost};
    matches!(state, TaskFinished | TaskFailed | TaskKilled | TaskLost | TaskError | TaskDropped | TaskGone)
}
