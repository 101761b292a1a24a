//! The default executor: groups of tasks. If one task of a group fails or is killed, so are the others.
//!
//! Source: launcher/default_executor.cpp 1.11. There the agent runs the tasks as nested containers; here they
//! are processes of the executor, each with a sandbox of its own below the executor's. A kill that comes
//! while its task is being started is kept, not lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::{Attempt, Checks, Finding};
use super::session::{Outcome, Report, Session};
use super::volumes;
use super::{
    ACKNOWLEDGEMENT_PATIENCE, Config, Core, DEFAULT_KILL_GRACE, Effect, Effects, Event, Level,
    SHUTDOWN_PATIENCE, Signal, Start, Timer, command_of, kill_grace, shown, task_environment,
};
use crate::base::end::End;
use crate::base::time::Time;
use crate::proto::executor::event;
use crate::proto::task_status::Reason;
use crate::proto::{KillPolicy, TaskGroupInfo, TaskId, TaskInfo, TaskState};

/// A task that is not done.
#[derive(Debug)]
struct Task {
    info: TaskInfo,
    /// Of the group it was launched with.
    group: u64,
    /// What its sandbox is called.
    sandbox: String,
    running: bool,
    /// Whether any of its updates was.
    acknowledged: bool,
    killing: bool,
    /// The rest of its group is being killed already.
    group_killing: bool,
    /// Killed for its `max_completion_time`.
    too_long: bool,
    checks: Checks,
}

#[derive(Debug)]
pub struct State {
    session: Session,
    tasks: BTreeMap<String, Task>,
    groups: u64,
    shutting_down: bool,
    /// A task of this executor was killed for its health: from then on all say so that end.
    unhealthy: bool,
}

impl State {
    pub fn new(config: Config) -> State {
        State {
            session: Session::new(config),
            tasks: BTreeMap::new(),
            groups: 0,
            shutting_down: false,
            unhealthy: false,
        }
    }
}

impl Core for State {
    fn start(&mut self, now: Time, out: &mut Effects) {
        self.session.start(now, out);
    }

    fn handle(&mut self, now: Time, event: Event, out: &mut Effects) {
        let was_subscribed = self.session.is_subscribed();
        let outcome = self.session.handle(now, event, out);
        if self.session.is_subscribed() != was_subscribed {
            self.look_away_or_back(now, out);
        }
        match outcome {
            Outcome::Nothing => {}
            Outcome::Subscribe => {
                let unknown = self.tasks.values().filter(|task| task.running && !task.acknowledged);
                let unknown = unknown.map(|task| task.info.clone()).collect();
                self.session.subscribe(unknown, out);
            }
            Outcome::Shutdown => self.shutdown(now, out),
            Outcome::Acknowledged { task, .. } => self.acknowledged(&task, out),
            Outcome::Received(event) => self.received(now, *event, out),
            Outcome::Other(event) => self.other(now, event, out),
        }
    }
}

impl State {
    fn received(&mut self, now: Time, event: crate::proto::executor::Event, out: &mut Effects) {
        match event.r#type() {
            event::Type::LaunchGroup => {
                if let Some(launch) = event.launch_group {
                    self.launch(now, launch.task_group, out);
                }
            }
            event::Type::Kill => {
                if let Some(kill) = event.kill {
                    self.kill_asked(now, &kill.task_id, kill.kill_policy.as_ref(), out);
                }
            }
            event::Type::Launch => {
                // It only ever goes to executors that take single tasks.
                out.push(Effect::Log(Level::Error, "LAUNCH event is not supported".to_owned()));
                self.shutdown(now, out);
            }
            _ => {}
        }
    }

    fn other(&mut self, now: Time, event: Event, out: &mut Effects) {
        match event {
            Event::Started { task, pid } => self.started(now, &task, pid, out),
            Event::NotStarted { task, message } => {
                self.done(now, &task, Report::saying(TaskState::TaskFailed, message), out);
            }
            Event::Ended { task, end } => self.ended(now, &task, end, out),
            Event::Probed { attempt, finding } => self.probed(now, &attempt, &finding, out),
            Event::Timer(Timer::Check(attempt)) => {
                if let Some(task) = self.tasks.get_mut(&attempt.task.value) {
                    task.checks.due(attempt, out);
                }
            }
            Event::Timer(Timer::Escalate { task, .. }) => self.escalate(&task, out),
            Event::Timer(Timer::Completion { task }) => self.ran_too_long(now, &task, out),
            Event::Timer(Timer::Shutdown) => {
                out.push(Effect::Log(Level::Warning, "The time to shut down in is over".to_owned()));
                self.kill_all(out);
                out.push(Effect::Exit(1));
            }
            // Nobody is there who could acknowledge; the agent that comes back within its time is told.
            Event::Timer(Timer::Unacknowledged) if self.session.is_away() && !self.shutting_down => {
                out.push(Effect::Wake { at: now + ACKNOWLEDGEMENT_PATIENCE, timer: Timer::Unacknowledged });
            }
            // A group may have come since.
            Event::Timer(Timer::Unacknowledged) if self.tasks.is_empty() => out.push(Effect::Exit(0)),
            _ => {}
        }
    }

    fn launch(&mut self, now: Time, group: TaskGroupInfo, out: &mut Effects) {
        if self.shutting_down {
            let text = "Ignoring the launch group operation as the executor is shutting down";
            out.push(Effect::Log(Level::Warning, text.to_owned()));
            return;
        }
        self.groups += 1;
        let mut refused = Vec::new();
        for info in group.tasks {
            let id = info.task_id.clone();
            if self.tasks.contains_key(&id.value) {
                let text = format!("Ignoring task '{id}', which is running already");
                out.push(Effect::Log(Level::Error, text));
                continue;
            }
            let sandbox = self.session.uuid().to_string();
            let base = &self.session.config.environment;
            let prepared = command_of(&info).and_then(|command| {
                let environment = task_environment(base, &info, &command);
                let checks = Checks::of(&info, &environment)?;
                Ok((command, environment, volumes::links(&info)?, checks))
            });
            let (start, checks) = match prepared {
                Ok((command, environment, links, checks)) => (Ok((command, environment, links)), checks),
                Err(refusal) => (Err(refusal), Checks::default()),
            };
            let starting = Report::of(TaskState::TaskStarting).with(&checks);
            self.session.update(now, &id, starting, out);
            match start {
                Ok((command, environment, links)) => {
                    let sandbox = Some(sandbox.clone());
                    out.push(Effect::Log(Level::Info, format!("Starting task {id}")));
                    out.push(Effect::Start(Box::new(Start {
                        task: id.clone(),
                        command,
                        environment,
                        sandbox,
                        links,
                    })));
                }
                Err(message) => refused.push((id.clone(), message)),
            }
            let task = Task {
                info,
                group: self.groups,
                sandbox,
                running: false,
                acknowledged: false,
                killing: false,
                group_killing: false,
                too_long: false,
                checks,
            };
            self.tasks.insert(id.value, task);
        }
        // Only now, so that the others of the group are there to be killed.
        for (id, message) in refused {
            self.done(now, &id, Report::saying(TaskState::TaskFailed, message), out);
        }
    }

    fn started(&mut self, now: Time, id: &TaskId, pid: u32, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(&id.value) else { return };
        task.running = true;
        let text = format!("Forked command of task '{id}' at {pid} in child container {}", task.sandbox);
        out.push(Effect::Log(Level::Info, text));
        let most = task.info.max_completion_time.map(|most| most.nanoseconds);
        if let Some(most) = most.and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0) {
            let timer = Timer::Completion { task: id.clone() };
            out.push(Effect::Wake { at: now + Duration::from_nanos(most), timer });
        }
        let killing = task.killing;
        let running = Report::of(TaskState::TaskRunning).with(&task.checks);
        if !killing {
            task.checks.start(now, id, out);
        }
        self.session.update(now, id, running, out);
        if killing {
            // The kill came while the task was being started, and found no process.
            out.push(Effect::Signal { task: id.clone(), signal: Signal::Terminate });
        }
    }

    /// Checks tell what is new; a task that is not healthy for too long is killed, and its group with it.
    fn probed(&mut self, now: Time, attempt: &Attempt, finding: &Result<Finding, String>, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(&attempt.task.value) else { return };
        let Some(news) = task.checks.probed(now, attempt, finding, out) else { return };
        let report = Report::of_checks(&task.checks, news);
        let grace = kill_grace(None, task.info.kill_policy.as_ref());
        self.session.update(now, &attempt.task, report, out);
        if news.kill {
            self.unhealthy = true;
            self.kill(now, &attempt.task, grace, out);
        }
    }

    /// Nothing is checked while nobody could be told. Source: `disconnected` and `received` of SUBSCRIBED,
    /// default_executor.cpp 1.11.
    fn look_away_or_back(&mut self, now: Time, out: &mut Effects) {
        let subscribed = self.session.is_subscribed();
        for task in self.tasks.values_mut().filter(|task| task.running && !task.killing) {
            match subscribed {
                true => task.checks.resume(now, &task.info.task_id, out),
                false => task.checks.pause(&task.info.task_id, out),
            }
        }
    }

    fn kill_asked(&mut self, now: Time, id: &TaskId, policy: Option<&KillPolicy>, out: &mut Effects) {
        let ignoring =
            |why: &str| Effect::Log(Level::Warning, format!("Ignoring kill for task '{id}' {why}"));
        if self.shutting_down {
            out.push(ignoring("since the executor is shutting down"));
            return;
        }
        out.push(Effect::Log(Level::Info, format!("Received kill for task '{id}'")));
        match self.tasks.get(&id.value) {
            None => out.push(ignoring("as it is no longer active")),
            Some(task) if task.killing => out.push(ignoring("as it is in the process of getting killed")),
            Some(task) => {
                let grace = kill_grace(policy, task.info.kill_policy.as_ref());
                self.kill(now, id, grace, out);
            }
        }
    }

    /// SIGTERM now, SIGKILL after the grace.
    fn kill(&mut self, now: Time, id: &TaskId, grace: Duration, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(&id.value) else { return };
        task.killing = true;
        let text =
            format!("Killing task {id} running in child container {} with SIGTERM signal", task.sandbox);
        out.push(Effect::Log(Level::Info, text));
        let text = format!("Scheduling escalation to SIGKILL in {} from now", shown(grace));
        out.push(Effect::Log(Level::Info, text));
        out.push(Effect::Wake {
            at: now + grace,
            timer: Timer::Escalate { task: id.clone(), number: task.group },
        });
        task.checks.pause(id, out);
        if !task.too_long && self.session.knows_killing() {
            let killing = Report::of(TaskState::TaskKilling).with(&task.checks);
            self.session.update(now, id, killing, out);
        }
        out.push(Effect::Signal { task: id.clone(), signal: Signal::Terminate });
    }

    fn escalate(&mut self, id: &TaskId, out: &mut Effects) {
        let Some(task) = self.tasks.get(&id.value).filter(|task| task.killing) else { return };
        let text = format!(
            "Task '{id}' running in child container {} did not terminate in time, sending SIGKILL to the container",
            task.sandbox
        );
        out.push(Effect::Log(Level::Info, text));
        out.push(Effect::Signal { task: id.clone(), signal: Signal::Kill });
    }

    fn ran_too_long(&mut self, now: Time, id: &TaskId, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(&id.value).filter(|task| !task.killing) else { return };
        task.too_long = true;
        let text = format!("Killing task {id} which exceeded its maximum completion time");
        out.push(Effect::Log(Level::Info, text));
        self.kill(now, id, Duration::ZERO, out);
    }

    fn ended(&mut self, now: Time, id: &TaskId, end: End, out: &mut Effects) {
        let Some(task) = self.tasks.get(&id.value) else { return };
        let (state, reason) = if task.too_long {
            (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached))
        } else if task.killing {
            (TaskState::TaskKilled, None)
        } else if end.is_success() {
            (TaskState::TaskFinished, None)
        } else {
            (TaskState::TaskFailed, None)
        };
        let healthy = self.unhealthy.then_some(false);
        let report = Report { reason, healthy, ..Report::saying(state, format!("Command {end}")) };
        self.done(now, id, report, out);
    }

    /// A task's last word; one that is not TASK_FINISHED takes its group along.
    fn done(&mut self, now: Time, id: &TaskId, mut report: Report, out: &mut Effects) {
        let Some(mut task) = self.tasks.remove(&id.value) else { return };
        task.checks.pause(id, out);
        if task.killing && !task.running && !task.too_long {
            report.state = TaskState::TaskKilled;
        }
        let text = format!(
            "Child container {} of task '{id}' completed in state {}: {}",
            task.sandbox,
            report.state.as_str_name(),
            report.message.as_deref().unwrap_or_default()
        );
        out.push(Effect::Log(Level::Info, text));
        let state = report.state;
        self.session.update(now, id, report.with(&task.checks), out);
        if !self.shutting_down && !task.group_killing && state != TaskState::TaskFinished {
            self.kill_group(now, task.group, out);
        }
        if self.tasks.is_empty() {
            self.finish(now, out);
        }
    }

    fn kill_group(&mut self, now: Time, group: u64, out: &mut Effects) {
        let rest = self.tasks.values_mut().filter(|task| task.group == group);
        let mut killed = Vec::new();
        for task in rest {
            task.group_killing = true;
            if !task.killing {
                killed.push((task.info.task_id.clone(), DEFAULT_KILL_GRACE));
            }
        }
        if !killed.is_empty() {
            let ids: Vec<&str> = killed.iter().map(|(id, _)| id.value.as_str()).collect();
            let text = format!("Killing task group containing tasks [ {} ]", ids.join(", "));
            out.push(Effect::Log(Level::Info, text));
        }
        for (id, grace) in killed {
            self.kill(now, &id, grace, out);
        }
    }

    /// Nothing runs any more: the executor ends when the agent knows all.
    fn finish(&mut self, now: Time, out: &mut Effects) {
        if self.session.is_quiet() {
            out.push(Effect::Exit(0));
            return;
        }
        let patience = if self.shutting_down { SHUTDOWN_PATIENCE } else { ACKNOWLEDGEMENT_PATIENCE };
        out.push(Effect::Log(Level::Info, format!("Terminating after {}", shown(patience))));
        out.push(Effect::Wake { at: now + patience, timer: Timer::Unacknowledged });
    }

    fn acknowledged(&mut self, id: &TaskId, out: &mut Effects) {
        if let Some(task) = self.tasks.get_mut(&id.value) {
            task.acknowledged = true;
        }
        if self.tasks.is_empty() && self.session.is_quiet() {
            out.push(Effect::Exit(0));
        }
    }

    /// Wanted by the agent, or as that is gone; then nobody can be told, and nothing is waited for.
    fn shutdown(&mut self, now: Time, out: &mut Effects) {
        if self.shutting_down {
            out.push(Effect::Log(Level::Warning, "Ignoring shutdown since it is in progress".to_owned()));
            return;
        }
        out.push(Effect::Log(Level::Info, "Shutting down".to_owned()));
        self.shutting_down = true;
        let grace = self.session.config.shutdown_grace_period;
        out.push(Effect::Wake { at: now + grace, timer: Timer::Shutdown });
        if self.tasks.is_empty() {
            self.finish(now, out);
            return;
        }
        if !self.session.is_subscribed() {
            self.kill_all(out);
            out.push(Effect::Exit(0));
            return;
        }
        let running: Vec<TaskId> =
            self.tasks.values().filter(|task| !task.killing).map(|task| task.info.task_id.clone()).collect();
        for id in running {
            self.kill(now, &id, DEFAULT_KILL_GRACE, out);
        }
    }

    fn kill_all(&self, out: &mut Effects) {
        for task in self.tasks.values() {
            out.push(Effect::Signal { task: task.info.task_id.clone(), signal: Signal::Kill });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::proto::DurationInfo;

    fn running(ids: &[&str]) -> Driver<State> {
        let mut driver = Driver::subscribed(State::new(config()));
        driver.agent(launch_group(ids));
        for (index, id) in ids.iter().enumerate() {
            driver.happen(Event::Started { task: (*id).into(), pid: 100 + index as u32 });
        }
        driver
    }

    fn end(id: &str, end: End) -> Event {
        Event::Ended { task: id.into(), end }
    }

    fn last(driver: &Driver<State>, id: &str) -> &'static str {
        let of = |status: &&crate::proto::TaskStatus| status.task_id.value == id;
        driver.updates.iter().rev().find(of).unwrap().state().as_str_name()
    }

    #[test]
    fn a_group_runs_and_finishes() {
        let mut driver = running(&["a", "b"]);
        assert_eq!(driver.states(), ["TASK_STARTING", "TASK_STARTING", "TASK_RUNNING", "TASK_RUNNING"]);
        assert_ne!(driver.started("a").sandbox, driver.started("b").sandbox);
        driver.happen(end("a", End::Code(0)));
        assert_eq!(driver.signals, [""; 0]);
        driver.happen(end("b", End::Code(0)));
        assert_eq!((last(&driver, "a"), last(&driver, "b")), ("TASK_FINISHED", "TASK_FINISHED"));
        for number in 0..6 {
            assert_eq!(driver.exit, None);
            driver.acknowledge(number);
        }
        assert_eq!(driver.exit, Some(0));
    }

    #[test]
    fn one_that_fails_takes_its_group_along_and_no_other() {
        let mut driver = running(&["a", "b"]);
        driver.agent(launch_group(&["c"]));
        driver.happen(Event::Started { task: "c".into(), pid: 1 });
        driver.happen(end("a", End::Code(1)));
        assert_eq!(last(&driver, "a"), "TASK_FAILED");
        assert_eq!(driver.signals, ["b TERM"]);
        driver.happen(end("b", End::Signal(15)));
        assert_eq!(last(&driver, "b"), "TASK_KILLED");
        assert_eq!(last(&driver, "c"), "TASK_RUNNING");
        driver.pass(10);
        assert_eq!(driver.signals, ["b TERM"], "it ended within its grace");
    }

    #[test]
    fn killing_one_kills_its_group() {
        let mut driver = running(&["a", "b"]);
        driver.agent(kill("a", None));
        driver.agent(kill("a", None));
        assert_eq!(driver.signals, ["a TERM"]);
        driver.pass(4);
        assert_eq!(driver.signals, ["a TERM", "a KILL"]);
        driver.happen(end("a", End::Signal(9)));
        assert_eq!(driver.signals, ["a TERM", "a KILL", "b TERM"]);
        driver.happen(end("b", End::Code(0)));
        assert_eq!((last(&driver, "a"), last(&driver, "b")), ("TASK_KILLED", "TASK_KILLED"));
        driver.pass(61);
        assert_eq!(driver.exit, Some(0));
    }

    #[test]
    fn a_task_that_cannot_start_fails_its_group() {
        let mut driver = Driver::subscribed(State::new(config()));
        driver.agent(launch_group(&["a", "b"]));
        driver.happen(Event::NotStarted { task: "a".into(), message: "no such file".to_owned() });
        assert_eq!(driver.signals, ["b TERM"]);
        driver.happen(Event::NotStarted { task: "b".into(), message: "killed".to_owned() });
        assert_eq!((last(&driver, "a"), last(&driver, "b")), ("TASK_FAILED", "TASK_KILLED"));
    }

    #[test]
    fn a_kill_that_comes_before_the_start_waits_for_it() {
        let mut driver = Driver::subscribed(State::new(config()));
        driver.agent(launch_group(&["a"]));
        driver.agent(kill("a", None));
        driver.happen(Event::Started { task: "a".into(), pid: 1 });
        assert_eq!(driver.signals, ["a TERM", "a TERM"]);
        driver.happen(end("a", End::Signal(15)));
        assert_eq!(last(&driver, "a"), "TASK_KILLED");
    }

    #[test]
    fn a_task_that_takes_too_long_fails() {
        let mut driver = Driver::subscribed(State::new(config()));
        let mut group = launch_group(&["a"]);
        group.launch_group.as_mut().unwrap().task_group.tasks[0].max_completion_time =
            Some(DurationInfo { nanoseconds: 1_000_000_000 });
        driver.agent(group);
        driver.happen(Event::Started { task: "a".into(), pid: 1 });
        driver.pass(2);
        assert_eq!(driver.signals, ["a TERM", "a KILL"]);
        driver.happen(end("a", End::Signal(9)));
        assert_eq!(driver.updates[2].reason(), Reason::MaxCompletionTimeReached);
    }

    #[test]
    fn one_that_is_not_healthy_takes_its_group_along() {
        let recovering = State::new(checkpointed());
        let mut driver = Driver::subscribed(recovering);
        let mut group = launch_group(&["a", "b"]);
        let checked = &mut group.launch_group.as_mut().unwrap().task_group.tasks[0];
        checked.health_check = Some(crate::proto::HealthCheck {
            r#type: Some(crate::proto::health_check::Type::Command as i32),
            command: checked.command.clone(),
            delay_seconds: Some(1.0),
            interval_seconds: Some(2.0),
            grace_period_seconds: Some(0.0),
            consecutive_failures: Some(1),
            ..Default::default()
        });
        driver.agent(group);
        for (id, pid) in [("a", 1), ("b", 2)] {
            driver.happen(Event::Started { task: id.into(), pid });
        }
        driver.pass(1);
        driver.happen(Event::Disconnected("reset".to_owned()));
        assert_eq!(driver.probes, [], "nobody could be told");
        driver.pass(5);
        assert_eq!(driver.probes, []);
        driver.happen(Event::Connected);
        driver.agent(subscribed(false));
        driver.pass(0);
        driver.find(Ok(Finding::Exited(2)));
        assert_eq!(driver.signals, ["a TERM"]);
        driver.happen(end("a", End::Signal(15)));
        driver.happen(end("b", End::Signal(15)));
        assert_eq!((last(&driver, "a"), last(&driver, "b")), ("TASK_KILLED", "TASK_KILLED"));
        assert_eq!(driver.updates.last().unwrap().healthy, Some(false));
    }

    #[test]
    fn shutdown_kills_all() {
        let mut driver = running(&["a", "b"]);
        driver.agent(event(event::Type::Shutdown));
        assert_eq!(driver.signals, ["a TERM", "b TERM"]);
        driver.agent(launch_group(&["c"]));
        assert_eq!(driver.starts.len(), 2);
        driver.happen(end("a", End::Signal(15)));
        driver.happen(end("b", End::Signal(15)));
        assert_eq!((last(&driver, "a"), last(&driver, "b")), ("TASK_KILLED", "TASK_KILLED"));
        for number in 0..6 {
            driver.acknowledge(number);
        }
        assert_eq!(driver.exit, Some(0));
    }

    #[test]
    fn it_ends_with_an_agent_that_keeps_no_checkpoints() {
        let mut driver = running(&["a"]);
        driver.happen(Event::Disconnected("reset".to_owned()));
        assert_eq!((driver.signals, driver.exit), (vec!["a KILL".to_owned()], Some(0)));
    }
}
