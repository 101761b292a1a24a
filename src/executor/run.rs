//! The loop that owns an executor's core and performs its effects.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::core::{Core, Effect, Effects, Event, Level, command, default};
use super::environment::{self, Environment};
use super::link::{self, Agent, Calls, Numbered};
use super::probes::Probes;
use super::processes::{Fetching, Processes, Report, Settings};
use crate::posix::rotate::Rotation;
use crate::process::clock::Clock;

/// Which executor to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Command,
    Default,
}

/// What the agent says of its own flags.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub fetching: Fetching,
    pub rotation: Option<Rotation>,
}

/// Runs until the core says that it is done. `variables` is the environment, `program` the `mesos` binary.
pub fn run(kind: Kind, variables: BTreeMap<String, String>, program: PathBuf, options: Options) -> ExitCode {
    let mut environment = match environment::read(variables, rand::random()) {
        Ok(environment) => environment,
        Err(failure) => {
            error!("{failure}");
            return ExitCode::FAILURE;
        }
    };
    let mut core: Box<dyn Core> = match kind {
        Kind::Command => Box::new(command::State::new(environment.config.clone())),
        Kind::Default => {
            // The tasks of a group are containers of their own, which do not see the executor's environment.
            let ip = environment.agent.ip().to_string();
            environment
                .config
                .environment
                .retain(|name, _| matches!(name.as_str(), "PATH" | "MESOS_DIRECTORY"));
            environment.config.environment.insert("MESOS_CONTAINER_IP".to_owned(), ip);
            Box::new(default::State::new(environment.config.clone()))
        }
    };
    // One thread: tasks are tied to the life of the thread that starts them.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(failure) => {
            error!("Failed to start: {failure}");
            return ExitCode::FAILURE;
        }
    };
    let Options { fetching, rotation } = options;
    let settings = Settings { sandbox: environment.sandbox.clone(), program, fetching, rotation };
    let status = runtime.block_on(live(core.as_mut(), environment, settings));
    // A look at a task may still be waiting for an answer.
    runtime.shutdown_background();
    status
}

/// What the loop waits for.
struct Sources {
    agent: mpsc::UnboundedReceiver<Numbered>,
    reports: mpsc::UnboundedReceiver<Report>,
    timers: mpsc::UnboundedReceiver<Event>,
}

struct Loop {
    agent: Agent,
    clock: Clock,
    processes: Processes,
    probes: Probes,
    /// Number of the last connection; what earlier ones say is stale.
    connection: u64,
    calls: Option<Calls>,
    from_agent: mpsc::UnboundedSender<Numbered>,
    from_timers: mpsc::UnboundedSender<Event>,
    /// What came of an effect at once, and goes before everything else.
    next: VecDeque<Event>,
}

async fn live(core: &mut dyn Core, environment: Environment, settings: Settings) -> ExitCode {
    let (from_agent, agent_events) = mpsc::unbounded_channel();
    let (from_timers, timers) = mpsc::unbounded_channel();
    let (from_processes, reports) = mpsc::unbounded_channel();
    let agent = Agent { address: environment.agent, path: environment.path, token: environment.token };
    info!("Using URL http://{}{} for the executor API endpoint", agent.address, agent.path);
    let mut this = Loop {
        agent,
        clock: Clock::new(),
        processes: Processes::new(settings, from_processes),
        probes: Probes::new(from_timers.clone()),
        connection: 0,
        calls: None,
        from_agent,
        from_timers,
        next: VecDeque::new(),
    };
    let mut sources = Sources { agent: agent_events, reports, timers };
    let mut out = Effects::new();
    core.start(this.clock.now(), &mut out);
    loop {
        for effect in out.drain(..) {
            if let Some(status) = this.perform(effect) {
                return ExitCode::from(status);
            }
        }
        let event = this.event(&mut sources).await;
        core.handle(this.clock.now(), event, &mut out);
    }
}

impl Loop {
    async fn event(&mut self, sources: &mut Sources) -> Event {
        loop {
            if let Some(event) = self.next.pop_front() {
                return event;
            }
            tokio::select! {
                Some(report) = sources.reports.recv() => return self.processes.ended(report),
                Some((number, event)) = sources.agent.recv() => {
                    if number == self.connection {
                        return event;
                    }
                }
                Some(event) = sources.timers.recv() => return event,
            }
        }
    }

    /// The status to exit with, if so.
    fn perform(&mut self, effect: Effect) -> Option<u8> {
        match effect {
            Effect::Connect => {
                self.connection += 1;
                let events = self.from_agent.clone();
                self.calls = Some(link::connect(self.agent.clone(), self.connection, events));
            }
            Effect::Call(call) => {
                if let Some(calls) = &self.calls {
                    calls.send(*call);
                }
            }
            Effect::Start(start) => self.next.extend(self.processes.start(*start)),
            Effect::Signal { task, signal } => self.processes.signal(&task, signal),
            Effect::Probe(probe) => {
                let place = self.processes.place(&probe.attempt.task);
                self.probes.start(*probe, place);
            }
            Effect::StopProbes(task) => self.probes.stop(&task),
            Effect::Wake { at, timer } => {
                let (wait, timers) = (at.since(self.clock.now()), self.from_timers.clone());
                tokio::spawn(async move {
                    sleep(wait).await;
                    let _ = timers.send(Event::Timer(timer));
                });
            }
            Effect::Log(Level::Info, text) => info!("{text}"),
            Effect::Log(Level::Warning, text) => warn!("{text}"),
            Effect::Log(Level::Error, text) => error!("{text}"),
            Effect::Exit(status) => return Some(status),
        }
        None
    }
}
