//! The command executor: one task, one command.
//!
//! Source: launcher/executor.cpp 1.11 with `MESOS_HTTP_COMMAND_EXECUTOR=1`. It differs in these: a command that
//! cannot be started is TASK_FAILED with the reason, not an executor that aborts; a task's environment has
//! `MESOS_TASK_ID`; the last update waits for an agent that went away as long as the executor itself does.

use std::time::Duration;

use super::checks::{Attempt, Checks, Finding};
use super::session::{Outcome, Report, Session, is_terminal};
use super::{
    ACKNOWLEDGEMENT_PATIENCE, Config, Core, Effect, Effects, Event, Level, SHUTDOWN_PATIENCE, Signal, Start,
    Timer, command_of, kill_grace, shown, task_environment,
};
use crate::base::end::End;
use crate::base::time::Time;
use crate::proto::executor::event;
use crate::proto::task_status::Reason;
use crate::proto::{KillPolicy, TaskId, TaskInfo, TaskState};

/// The shutdown grace is the agent's; this much of it is kept for saying TASK_KILLED in time.
/// Source: `CommandExecutor::shutdown`: the reaper's longest interval, and a second.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Asked to start.
    Starting,
    Running {
        pid: u32,
    },
    /// It ended, or never ran; the agent is told.
    Done,
}

#[derive(Debug)]
struct Task {
    info: TaskInfo,
    phase: Phase,
    /// Whether any of its updates was: only then the agent surely knows it.
    acknowledged: bool,
    kill: Option<Kill>,
    /// Killed for its `max_completion_time`.
    too_long: bool,
    checks: Checks,
    /// Killed for its health.
    unhealthy: bool,
}

/// A kill under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kill {
    since: Time,
    escalation: Time,
    grace: Duration,
    /// Of the timer that counts; earlier ones are stale.
    number: u64,
}

#[derive(Debug)]
pub struct State {
    session: Session,
    task: Option<Task>,
    shutting_down: bool,
}

impl State {
    pub fn new(config: Config) -> State {
        State { session: Session::new(config), task: None, shutting_down: false }
    }
}

impl Core for State {
    fn start(&mut self, now: Time, out: &mut Effects) {
        self.session.start(now, out);
    }

    fn handle(&mut self, now: Time, event: Event, out: &mut Effects) {
        match self.session.handle(now, event, out) {
            Outcome::Nothing => {}
            Outcome::Subscribe => {
                let unknown =
                    self.task.iter().filter(|task| !task.acknowledged).map(|task| task.info.clone());
                self.session.subscribe(unknown.collect(), out);
            }
            Outcome::Shutdown => self.shutdown(now, out),
            Outcome::Acknowledged { task, state } => self.acknowledged(&task, state, out),
            Outcome::Received(event) => self.received(now, *event, out),
            Outcome::Other(event) => self.other(now, event, out),
        }
    }
}

impl State {
    fn received(&mut self, now: Time, event: crate::proto::executor::Event, out: &mut Effects) {
        match event.r#type() {
            event::Type::Launch => {
                if let Some(launch) = event.launch {
                    self.launch(now, launch.task, out);
                }
            }
            event::Type::Kill => {
                if let Some(kill) = event.kill {
                    self.kill(now, &kill.task_id, kill.kill_policy.as_ref(), out);
                }
            }
            event::Type::LaunchGroup => {
                // It only ever goes to executors that take groups.
                out.push(Effect::Log(Level::Error, "LAUNCH_GROUP event is not supported".to_owned()));
                self.shutdown(now, out);
            }
            _ => {}
        }
    }

    fn other(&mut self, now: Time, event: Event, out: &mut Effects) {
        match event {
            Event::Started { pid, .. } => self.started(now, pid, out),
            Event::NotStarted { message, .. } => self.failed(now, message, out),
            Event::Ended { end, .. } => self.ended(now, end, out),
            Event::Probed { attempt, finding } => self.probed(now, &attempt, &finding, out),
            Event::Timer(Timer::Check(attempt)) => {
                if let Some(task) = &mut self.task {
                    task.checks.due(attempt, out);
                }
            }
            Event::Timer(Timer::Escalate { number, .. }) => self.escalate(number, out),
            Event::Timer(Timer::Completion { .. }) => self.ran_too_long(now, out),
            Event::Timer(Timer::Shutdown) => {
                out.push(Effect::Log(Level::Warning, "The time to shut down in is over".to_owned()));
                self.give_up(out);
            }
            Event::Timer(Timer::Unacknowledged) if self.shutting_down => out.push(Effect::Exit(0)),
            // Nobody is there who could; the agent that comes back within its time is told.
            Event::Timer(Timer::Unacknowledged) if self.session.is_away() => {
                out.push(Effect::Wake { at: now + ACKNOWLEDGEMENT_PATIENCE, timer: Timer::Unacknowledged });
            }
            Event::Timer(Timer::Unacknowledged) => {
                let text = "Did not receive ACK for the terminal status update from the agent";
                out.push(Effect::Log(Level::Error, text.to_owned()));
                out.push(Effect::Exit(1));
            }
            _ => {}
        }
    }

    fn launch(&mut self, now: Time, task: TaskInfo, out: &mut Effects) {
        let id = task.task_id.clone();
        if self.task.as_ref().is_some_and(|known| known.info.task_id == id) {
            let text = format!("Ignoring task {id}, which was launched already");
            out.push(Effect::Log(Level::Warning, text));
            return;
        }
        if self.task.is_some() {
            let message = "Attempted to run multiple tasks using a \"command\" executor".to_owned();
            self.session.update(now, &id, Report::saying(TaskState::TaskFailed, message), out);
            return;
        }
        let base = &self.session.config.environment;
        let command = command_of(&task);
        let checks = Checks::of(&task, base);
        let start = command.map(|command| {
            let environment = task_environment(base, &task, &command);
            Start { task: id.clone(), command, environment, sandbox: None, links: Vec::new() }
        });
        let (checks, start) = match checks {
            Ok(checks) => (checks, start),
            Err(refusal) => (Checks::default(), Err(refusal)),
        };
        let starting = Report::of(TaskState::TaskStarting).with(&checks);
        self.task = Some(Task {
            info: task,
            phase: Phase::Starting,
            acknowledged: false,
            kill: None,
            too_long: false,
            checks,
            unhealthy: false,
        });
        self.session.update(now, &id, starting, out);
        match start {
            Ok(start) => {
                out.push(Effect::Log(Level::Info, format!("Starting task {id}")));
                out.push(Effect::Start(Box::new(start)));
            }
            Err(message) => self.failed(now, message, out),
        }
    }

    /// `launch` goes on here.
    fn started(&mut self, now: Time, pid: u32, out: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        task.phase = Phase::Running { pid };
        let id = task.info.task_id.clone();
        out.push(Effect::Log(Level::Info, format!("Forked command at {pid}")));
        let most = task.info.max_completion_time.map(|most| most.nanoseconds);
        if let Some(most) = most.and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0) {
            let most = Duration::from_nanos(most);
            let text = format!("Task {id} has a max completion time of {}", shown(most));
            out.push(Effect::Log(Level::Info, text));
            let timer = Timer::Completion { task: id.clone() };
            out.push(Effect::Wake { at: now + most, timer });
        }
        let kill = task.kill.take();
        task.checks.start(now, &id, out);
        let running = Report::of(TaskState::TaskRunning).with(&task.checks);
        self.session.update(now, &id, running, out);
        if let Some(kill) = kill {
            // It came while the command was being started.
            self.kill_within(now, kill.grace, out);
        }
    }

    /// Or here: it never ran.
    fn failed(&mut self, now: Time, message: String, out: &mut Effects) {
        out.push(Effect::Log(Level::Error, message.clone()));
        self.done(now, Report::saying(TaskState::TaskFailed, message), out);
    }

    /// Checks tell what is new; a task that is not healthy for too long is killed.
    fn probed(&mut self, now: Time, attempt: &Attempt, finding: &Result<Finding, String>, out: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let Some(news) = task.checks.probed(now, attempt, finding, out) else { return };
        task.unhealthy = news.kill;
        let report = Report::of_checks(&task.checks, news);
        self.session.update(now, &attempt.task, report, out);
        if news.kill {
            self.kill(now, &attempt.task, None, out);
        }
    }

    fn kill(&mut self, now: Time, id: &TaskId, policy: Option<&KillPolicy>, out: &mut Effects) {
        let Some(task) = self.task.as_ref().filter(|task| task.info.task_id == *id) else {
            // The agent kills what it has not sent only if the two no longer agree; see MESOS-8297.
            let text = format!("Terminating: received a kill for task {id}, which was not launched");
            out.push(Effect::Log(Level::Error, text));
            out.push(Effect::Exit(1));
            return;
        };
        let grace = kill_grace(policy, task.info.kill_policy.as_ref());
        let text = format!("Received kill for task {id} with grace period of {}", shown(grace));
        out.push(Effect::Log(Level::Info, text));
        self.kill_within(now, grace, out);
    }

    /// SIGTERM now, SIGKILL after the grace. A second kill can only shorten the grace of the first.
    fn kill_within(&mut self, now: Time, grace: Duration, out: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        let pid = match (task.phase, task.kill) {
            (Phase::Done, _) => return,
            (Phase::Starting, _) => {
                task.kill = Some(Kill { since: now, escalation: now, grace, number: 0 });
                return;
            }
            (Phase::Running { .. }, Some(kill)) => {
                let escalation = kill.since + grace;
                if escalation > kill.escalation {
                    return;
                }
                let at = escalation.max(now);
                let text = format!("Rescheduling escalation to SIGKILL in {} from now", shown(at.since(now)));
                out.push(Effect::Log(Level::Info, text));
                let number = kill.number + 1;
                task.kill = Some(Kill { since: kill.since, escalation, grace, number });
                let timer = Timer::Escalate { task: task.info.task_id.clone(), number };
                out.push(Effect::Wake { at, timer });
                return;
            }
            (Phase::Running { pid }, None) => pid,
        };
        let id = task.info.task_id.clone();
        let escalation = now + grace;
        task.kill = Some(Kill { since: now, escalation, grace, number: 1 });
        if !task.too_long && self.session.knows_killing() {
            let killing = Report::of(TaskState::TaskKilling).with(&task.checks);
            self.session.update(now, &id, killing, out);
        }
        task.checks.pause(&id, out);
        out.push(Effect::Log(Level::Info, format!("Sending SIGTERM to process tree at pid {pid}")));
        out.push(Effect::Signal { task: id.clone(), signal: Signal::Terminate });
        let text = format!("Scheduling escalation to SIGKILL in {} from now", shown(grace));
        out.push(Effect::Log(Level::Info, text));
        out.push(Effect::Wake { at: escalation, timer: Timer::Escalate { task: id, number: 1 } });
    }

    fn escalate(&mut self, number: u64, out: &mut Effects) {
        let Some(Task { info, phase: Phase::Running { pid }, kill: Some(kill), .. }) = &self.task else {
            return;
        };
        if kill.number != number {
            return;
        }
        let text = format!(
            "Process {pid} did not terminate after {}, sending SIGKILL to process tree at {pid}",
            shown(kill.grace)
        );
        out.push(Effect::Log(Level::Info, text));
        out.push(Effect::Signal { task: info.task_id.clone(), signal: Signal::Kill });
    }

    /// Its `max_completion_time` is over. A kill that is under way decides instead.
    fn ran_too_long(&mut self, now: Time, out: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        if !matches!(task.phase, Phase::Running { .. }) || task.kill.is_some() {
            return;
        }
        task.too_long = true;
        let most = task.info.max_completion_time.map(|most| most.nanoseconds).unwrap_or_default();
        let most = Duration::from_nanos(u64::try_from(most).unwrap_or_default());
        let id = &task.info.task_id;
        let text = format!("Killing task {id} which exceeded its maximum completion time of {}", shown(most));
        out.push(Effect::Log(Level::Info, text));
        self.kill_within(now, Duration::ZERO, out);
    }

    fn ended(&mut self, now: Time, end: End, out: &mut Effects) {
        let Some(task) = &self.task else { return };
        let Phase::Running { pid } = task.phase else { return };
        let (state, reason) = if task.too_long {
            (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached))
        } else if task.kill.is_some() {
            (TaskState::TaskKilled, None)
        } else if end.is_success() {
            (TaskState::TaskFinished, None)
        } else {
            (TaskState::TaskFailed, None)
        };
        let message = format!("Command {end}");
        out.push(Effect::Log(Level::Info, format!("{message} (pid: {pid})")));
        // A task that is killed for its health says so with its last word.
        let healthy = (task.unhealthy && task.kill.is_some()).then_some(false);
        self.done(now, Report { reason, healthy, ..Report::saying(state, message) }, out);
    }

    /// The task's last word; its acknowledgement ends the executor.
    fn done(&mut self, now: Time, report: Report, out: &mut Effects) {
        let Some(task) = &mut self.task else { return };
        task.phase = Phase::Done;
        let id = task.info.task_id.clone();
        task.checks.pause(&id, out);
        let report = report.with(&task.checks);
        self.session.update(now, &id, report, out);
        let patience = if self.shutting_down { SHUTDOWN_PATIENCE } else { ACKNOWLEDGEMENT_PATIENCE };
        out.push(Effect::Wake { at: now + patience, timer: Timer::Unacknowledged });
    }

    fn acknowledged(&mut self, id: &TaskId, state: TaskState, out: &mut Effects) {
        let Some(task) = self.task.as_mut().filter(|task| task.info.task_id == *id) else { return };
        task.acknowledged = true;
        if is_terminal(state) {
            out.push(Effect::Exit(0));
        }
    }

    /// Wanted by the agent, or as that is gone. With one task, it is a kill of that.
    fn shutdown(&mut self, now: Time, out: &mut Effects) {
        out.push(Effect::Log(Level::Info, "Shutting down".to_owned()));
        self.shutting_down = true;
        match &self.task {
            None => return out.push(Effect::Exit(0)),
            Some(task) if task.phase == Phase::Done => {
                return out.push(Effect::Wake { at: now + SHUTDOWN_PATIENCE, timer: Timer::Unacknowledged });
            }
            Some(_) => {}
        }
        let grace = self.session.config.shutdown_grace_period;
        out.push(Effect::Wake { at: now + grace, timer: Timer::Shutdown });
        self.kill_within(now, grace.saturating_sub(SHUTDOWN_MARGIN), out);
    }

    fn give_up(&mut self, out: &mut Effects) {
        if let Some(task) = &self.task {
            out.push(Effect::Signal { task: task.info.task_id.clone(), signal: Signal::Kill });
        }
        out.push(Effect::Exit(1));
    }
}

#[cfg(test)]
mod tests;
