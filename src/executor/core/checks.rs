//! Checks and health checks of a running task: when to look, what a finding means, when to kill.
//!
//! A check tells the framework what it found whenever that changes; a health check tells whether the task is
//! healthy, and has it killed after so many failures on end. Both look again only an interval after they are
//! done with the last look, so that a slow one never overlaps itself. How to look is the shell's
//! (`executor::probes`).
//!
//! Source: checks/checker.cpp, health_checker.cpp and checker_process.cpp 1.11. There a task whose check makes
//! no sense runs unchecked; here it fails with the reason.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Effect, Effects, Level, Timer, shown};
use crate::base::time::Time;
use crate::proto::health_check::Type;
use crate::proto::task_status::Reason;
use crate::proto::{
    CheckInfo, CheckStatusInfo, CommandInfo, HealthCheck, TaskId, TaskInfo, check_info, check_status_info,
    network_info,
};

/// What stands for "for ever": time is counted in 64 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Check,
    Health,
}

/// One look, of which there is at most one per task and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub task: TaskId,
    pub kind: Kind,
    /// What earlier ones find, or wake for, is stale.
    pub number: u64,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Where the task runs, with this as its whole environment.
    Command {
        command: CommandInfo,
        environment: BTreeMap<String, String>,
    },
    Http(String),
    Tcp(SocketAddr),
}

/// Look once. `Probed` follows, unless it is stopped before.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub attempt: Attempt,
    pub target: Target,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Exited(i32),
    Status(u16),
    Connected(bool),
}

/// What the framework is to hear, and whether the task is to be killed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    pub reason: Reason,
    pub kill: bool,
}

/// All that is checked of one task, and what is known.
#[derive(Debug, Default)]
pub struct Checks {
    list: Vec<Checker>,
    /// What the last TASK_RUNNING said, and the next one says too.
    pub healthy: Option<bool>,
    /// Set, if only with a type, as soon as the task has a check.
    pub status: Option<CheckStatusInfo>,
}

#[derive(Debug)]
struct Checker {
    kind: Kind,
    /// `COMMAND health check`.
    name: String,
    target: Target,
    delay: Duration,
    interval: Duration,
    timeout: Option<Duration>,
    number: u64,
    state: Activity,
    health: Option<Health>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Paused,
    Waiting,
    Looking,
}

#[derive(Debug)]
struct Health {
    /// Failures are nothing until then, or until the first success.
    grace_end: Option<Time>,
    grace: Duration,
    /// So many failures on end kill the task.
    most: u32,
    passed: bool,
    failures: u32,
}

impl Checks {
    /// What the task asks for. `environment` is what the commands of its checks get, over which goes what these
    /// bring themselves. What makes no sense is refused with the reason.
    pub fn of(task: &TaskInfo, environment: &BTreeMap<String, String>) -> Result<Checks, String> {
        let mut checks = Checks::default();
        if let Some(check) = &task.check {
            checks.list.push(checker(check, environment).ok_or_else(|| refusal("check", task))?);
            checks.status = Some(empty_status(check.r#type()));
        }
        if let Some(check) = &task.health_check {
            checks
                .list
                .push(health_checker(check, environment).ok_or_else(|| refusal("health check", task))?);
        }
        Ok(checks)
    }

    /// A status that says nothing yet, as in every update but those of TASK_RUNNING.
    pub fn empty_status(&self) -> Option<CheckStatusInfo> {
        self.status.as_ref().map(|status| empty_status(status.r#type()))
    }

    /// The task runs.
    pub fn start(&mut self, now: Time, task: &TaskId, out: &mut Effects) {
        for checker in &mut self.list {
            if let Some(health) = &mut checker.health {
                health.grace_end = Some(now + health.grace);
            }
            checker.wait(now + checker.delay, task, out);
        }
    }

    /// Nothing is looked at any more, and what is found is nothing.
    pub fn pause(&mut self, task: &TaskId, out: &mut Effects) {
        if !self.list.is_empty() {
            out.push(Effect::StopProbes(task.clone()));
        }
        for checker in &mut self.list {
            checker.state = Activity::Paused;
            checker.number += 1;
        }
    }

    /// Looks at once.
    pub fn resume(&mut self, now: Time, task: &TaskId, out: &mut Effects) {
        for checker in self.list.iter_mut().filter(|checker| checker.state == Activity::Paused) {
            checker.wait(now, task, out);
        }
    }

    /// A timer of ours.
    pub fn due(&mut self, attempt: Attempt, out: &mut Effects) {
        let Some(checker) = self.waiting_for(&attempt, Activity::Waiting) else { return };
        checker.state = Activity::Looking;
        let (target, timeout) = (checker.target.clone(), checker.timeout);
        out.push(Effect::Probe(Box::new(Probe { attempt, target, timeout })));
    }

    fn waiting_for(&mut self, attempt: &Attempt, state: Activity) -> Option<&mut Checker> {
        let is_it = |checker: &&mut Checker| {
            checker.kind == attempt.kind && checker.number == attempt.number && checker.state == state
        };
        self.list.iter_mut().find(is_it)
    }

    /// A look is over; with what went wrong if nothing was found.
    pub fn probed(
        &mut self,
        now: Time,
        attempt: &Attempt,
        finding: &Result<Finding, String>,
        out: &mut Effects,
    ) -> Option<News> {
        let task = &attempt.task;
        let checker = self.waiting_for(attempt, Activity::Looking)?;
        checker.wait(now + checker.interval, task, out);
        let about = format!("{} for task '{task}'", checker.name);
        if let Ok(Finding::Exited(number)) = finding {
            out.push(Effect::Log(Level::Info, format!("{about} returned: {number}")));
        }
        if let Ok(Finding::Status(number)) = finding {
            out.push(Effect::Log(Level::Info, format!("{about} returned: {number}")));
        }
        if let Some(health) = &mut checker.health {
            let (healthy, kill) = health.judge(now, &about, finding, out)?;
            self.healthy = Some(healthy);
            let text = format!("Received task health update, healthy: {healthy}");
            out.push(Effect::Log(Level::Info, text));
            return Some(News { reason: Reason::TaskHealthCheckStatusUpdated, kill });
        }
        if let Err(failure) = finding {
            out.push(Effect::Log(Level::Warning, format!("{about} failed: {failure}")));
        }
        let last = self.status?;
        let status = status(last.r#type(), finding.as_ref().ok());
        if status == last {
            return None;
        }
        self.status = Some(status);
        Some(News { reason: Reason::TaskCheckStatusUpdated, kill: false })
    }
}

impl Checker {
    fn wait(&mut self, at: Time, task: &TaskId, out: &mut Effects) {
        self.number += 1;
        self.state = Activity::Waiting;
        let attempt = Attempt { task: task.clone(), kind: self.kind, number: self.number };
        out.push(Effect::Wake { at, timer: Timer::Check(attempt) });
    }
}

impl Health {
    /// Whether the task is healthy and is to be killed, if that is to be told.
    fn judge(
        &mut self,
        now: Time,
        about: &str,
        finding: &Result<Finding, String>,
        out: &mut Effects,
    ) -> Option<(bool, bool)> {
        let failure = match finding {
            Ok(finding) => unhealthy(*finding),
            Err(failure) => Some(failure.clone()),
        };
        let Some(failure) = failure else {
            let is_new = !self.passed || self.failures > 0;
            self.passed = true;
            self.failures = 0;
            return is_new.then_some((true, false));
        };
        out.push(Effect::Log(Level::Warning, format!("{about} failed: {failure}")));
        if !self.passed && self.grace_end.is_some_and(|end| now <= end) && !self.grace.is_zero() {
            let text = format!("Ignoring failure of {about}: still in grace period");
            out.push(Effect::Log(Level::Info, text));
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let text = format!("{about} failed {} times consecutively", self.failures);
        out.push(Effect::Log(Level::Warning, text));
        Some((false, self.failures >= self.most))
    }
}

/// Why a task of which this was found is not healthy.
fn unhealthy(finding: Finding) -> Option<String> {
    match finding {
        Finding::Exited(0) | Finding::Status(200..400) | Finding::Connected(true) => None,
        Finding::Exited(code) => Some(format!("Command exited with status {code}")),
        Finding::Status(status) => Some(format!("Unexpected HTTP response code: {status}")),
        Finding::Connected(false) => Some("TCP connection failed".to_owned()),
    }
}

fn empty_status(kind: check_info::Type) -> CheckStatusInfo {
    status(kind, None)
}

fn status(kind: check_info::Type, finding: Option<&Finding>) -> CheckStatusInfo {
    let mut status = CheckStatusInfo { r#type: Some(kind as i32), ..CheckStatusInfo::default() };
    match kind {
        check_info::Type::Command => {
            let exit_code = finding.and_then(|finding| match finding {
                Finding::Exited(code) => Some(*code),
                _ => None,
            });
            status.command = Some(check_status_info::Command { exit_code });
        }
        check_info::Type::Http => {
            let status_code = finding.and_then(|finding| match finding {
                Finding::Status(code) => Some(u32::from(*code)),
                _ => None,
            });
            status.http = Some(check_status_info::Http { status_code });
        }
        check_info::Type::Tcp => {
            let succeeded = finding.and_then(|finding| match finding {
                Finding::Connected(succeeded) => Some(*succeeded),
                _ => None,
            });
            status.tcp = Some(check_status_info::Tcp { succeeded });
        }
        check_info::Type::Unknown => {}
    }
    status
}

fn refusal(what: &str, task: &TaskInfo) -> String {
    format!("The {what} of task '{}' says not what to look at, so the task was not started", task.task_id)
}

/// `None` if it does not say what to look at.
fn checker(check: &CheckInfo, environment: &BTreeMap<String, String>) -> Option<Checker> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let target = match check.r#type() {
        check_info::Type::Command => command(&check.command.as_ref()?.command, environment)?,
        check_info::Type::Http => {
            let http = check.http.as_ref()?;
            url("http", ip, http.port, http.path.as_deref())?
        }
        check_info::Type::Tcp => Target::Tcp(SocketAddr::new(ip, port(check.tcp.as_ref()?.port)?)),
        check_info::Type::Unknown => return None,
    };
    Some(Checker {
        kind: Kind::Check,
        name: format!("{} check", check.r#type().as_str_name()),
        target,
        delay: seconds(check.delay_seconds()),
        interval: seconds(check.interval_seconds()),
        timeout: Some(seconds(check.timeout_seconds())).filter(|timeout| !timeout.is_zero()),
        number: 0,
        state: Activity::Paused,
        health: None,
    })
}

fn health_checker(check: &HealthCheck, environment: &BTreeMap<String, String>) -> Option<Checker> {
    let ip = |protocol: network_info::Protocol| match protocol {
        network_info::Protocol::IPv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        network_info::Protocol::IPv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let target = match check.r#type() {
        Type::Command => command(check.command.as_ref()?, environment)?,
        Type::Http => {
            let http = check.http.as_ref()?;
            let scheme = http.scheme.as_deref().unwrap_or("http");
            url(scheme, ip(http.protocol()), http.port, http.path.as_deref())?
        }
        Type::Tcp => {
            let tcp = check.tcp.as_ref()?;
            Target::Tcp(SocketAddr::new(ip(tcp.protocol()), port(tcp.port)?))
        }
        Type::Unknown => return None,
    };
    let grace = seconds(check.grace_period_seconds());
    Some(Checker {
        kind: Kind::Health,
        name: format!("{} health check", check.r#type().as_str_name()),
        target,
        delay: seconds(check.delay_seconds()),
        interval: seconds(check.interval_seconds()),
        timeout: Some(seconds(check.timeout_seconds())).filter(|timeout| !timeout.is_zero()),
        number: 0,
        state: Activity::Paused,
        health: Some(Health {
            grace_end: None,
            grace,
            most: check.consecutive_failures(),
            passed: false,
            failures: 0,
        }),
    })
}

fn command(command: &CommandInfo, environment: &BTreeMap<String, String>) -> Option<Target> {
    command.value.as_ref()?;
    let mut environment = environment.clone();
    super::add_variables(&mut environment, command);
    Some(Target::Command { command: command.clone(), environment })
}

fn url(scheme: &str, ip: IpAddr, number: u32, path: Option<&str>) -> Option<Target> {
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let address = SocketAddr::new(ip, port(number)?);
    Some(Target::Http(format!("{scheme}://{address}{}", path.unwrap_or_default())))
}

fn port(number: u32) -> Option<u16> {
    u16::try_from(number).ok()
}

/// Negative and absurd numbers do not get past the master.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
}

/// For the log of the shell: `timed out after 20secs`.
pub fn timed_out(what: &str, timeout: Option<Duration>) -> String {
    format!("{what} timed out after {}", shown(timeout.unwrap_or(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::task;
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn health(kind: Type) -> HealthCheck {
        let command = CommandInfo { value: Some("true".to_owned()), ..Default::default() };
        let http = crate::proto::health_check::HttpCheckInfo {
            port: 80,
            path: Some("/h".to_owned()),
            ..Default::default()
        };
        HealthCheck {
            r#type: Some(kind as i32),
            command: Some(command),
            http: Some(http),
            tcp: Some(crate::proto::health_check::TcpCheckInfo { port: 80, ..Default::default() }),
            delay_seconds: Some(1.0),
            interval_seconds: Some(2.0),
            grace_period_seconds: Some(5.0),
            consecutive_failures: Some(2),
            ..Default::default()
        }
    }

    fn check(kind: check_info::Type) -> CheckInfo {
        CheckInfo {
            r#type: Some(kind as i32),
            http: Some(check_info::Http { port: 80, path: None }),
            tcp: Some(check_info::Tcp { port: 80 }),
            ..Default::default()
        }
    }

    fn of(check: Option<CheckInfo>, health_check: Option<HealthCheck>) -> Result<Checks, String> {
        let environment = BTreeMap::from([("BASE".to_owned(), "1".to_owned())]);
        Checks::of(&TaskInfo { check, health_check, ..task("t") }, &environment)
    }

    /// A clock, and what the last effects asked for.
    struct Play {
        checks: Checks,
        now: Time,
        out: Effects,
    }

    impl Play {
        fn new(check: Option<CheckInfo>, health_check: Option<HealthCheck>) -> Play {
            let mut play = Play { checks: of(check, health_check).unwrap(), now: NOW, out: Vec::new() };
            play.checks.start(play.now, &"t".into(), &mut play.out);
            play
        }

        fn wakes(&mut self) -> Vec<(Time, Attempt)> {
            let wake = |effect| match effect {
                Effect::Wake { at, timer: Timer::Check(attempt) } => Some((at, attempt)),
                _ => None,
            };
            self.out.drain(..).filter_map(wake).collect()
        }

        /// Waits for the next look, and finds this.
        fn look(&mut self, finding: Result<Finding, String>) -> Option<News> {
            let mut wakes = self.wakes();
            let (at, attempt) = wakes.pop().expect("it wants to look");
            self.now = at;
            self.checks.due(attempt.clone(), &mut self.out);
            assert!(self.out.iter().any(|effect| matches!(effect, Effect::Probe(_))));
            self.checks.probed(self.now, &attempt, &finding, &mut self.out)
        }
    }

    fn said(kill: bool) -> Option<News> {
        Some(News { reason: Reason::TaskHealthCheckStatusUpdated, kill })
    }

    #[test]
    fn health_is_told_when_it_changes_and_kills_in_the_end() {
        let mut play = Play::new(None, Some(health(Type::Command)));
        assert_eq!(play.look(Ok(Finding::Exited(0))), said(false));
        assert_eq!((play.now, play.checks.healthy), (NOW + Duration::from_secs(1), Some(true)));
        assert_eq!(play.look(Ok(Finding::Exited(0))), None);
        assert_eq!(play.now, NOW + Duration::from_secs(3));
        assert_eq!(play.look(Ok(Finding::Exited(1))), said(false));
        assert_eq!(play.checks.healthy, Some(false));
        assert_eq!(play.look(Ok(Finding::Exited(0))), said(false));
        assert_eq!(play.look(Err("gone".to_owned())), said(false));
        assert_eq!(play.look(Ok(Finding::Exited(1))), said(true));
    }

    #[test]
    fn failures_in_the_grace_are_nothing() {
        let mut play = Play::new(None, Some(health(Type::Tcp)));
        for _ in 0..3 {
            // After 1, 3 and 5 seconds.
            assert_eq!(play.look(Ok(Finding::Connected(false))), None);
        }
        assert_eq!(play.look(Ok(Finding::Connected(false))), said(false));
        assert_eq!(play.look(Ok(Finding::Connected(false))), said(true));
        let mut at_once = health(Type::Http);
        at_once.grace_period_seconds = Some(0.0);
        at_once.consecutive_failures = Some(1);
        assert_eq!(Play::new(None, Some(at_once)).look(Ok(Finding::Status(500))), said(true));
    }

    #[test]
    fn a_success_ends_the_grace() {
        let mut play = Play::new(None, Some(health(Type::Http)));
        assert_eq!(play.look(Ok(Finding::Status(302))), said(false));
        assert_eq!(play.look(Ok(Finding::Status(404))), said(false));
        assert_eq!(play.checks.healthy, Some(false));
    }

    #[test]
    fn checks_tell_what_changed() {
        let told = Some(News { reason: Reason::TaskCheckStatusUpdated, kill: false });
        let mut play = Play::new(Some(check(check_info::Type::Http)), None);
        assert_eq!(play.checks.status.unwrap().http.unwrap().status_code, None);
        assert_eq!(play.look(Err("refused".to_owned())), None);
        assert_eq!(play.look(Ok(Finding::Status(200))), told);
        assert_eq!(play.look(Ok(Finding::Status(200))), None);
        assert_eq!(play.look(Ok(Finding::Status(503))), told);
        assert_eq!(play.checks.status.unwrap().http.unwrap().status_code, Some(503));
        assert_eq!(play.look(Err("refused".to_owned())), told);
        assert_eq!(play.checks.status, play.checks.empty_status());
        let mut play = Play::new(Some(check(check_info::Type::Tcp)), None);
        assert_eq!(play.look(Ok(Finding::Connected(false))), told);
        assert_eq!(play.checks.status.unwrap().tcp.unwrap().succeeded, Some(false));
    }

    #[test]
    fn what_is_paused_is_stale() {
        let mut play = Play::new(None, Some(health(Type::Command)));
        let (_, attempt) = play.wakes().pop().unwrap();
        play.checks.due(attempt.clone(), &mut play.out);
        play.checks.pause(&"t".into(), &mut play.out);
        assert!(play.out.iter().any(|effect| matches!(effect, Effect::StopProbes(_))));
        assert_eq!(play.checks.probed(NOW, &attempt, &Ok(Finding::Exited(1)), &mut play.out), None);
        play.out.clear();
        play.checks.due(attempt, &mut play.out);
        assert!(play.out.is_empty());
        play.checks.resume(NOW, &"t".into(), &mut play.out);
        assert_eq!(play.wakes().pop().unwrap().0, NOW);
    }

    #[test]
    fn targets_are_on_this_machine() {
        let target = |check: HealthCheck| of(None, Some(check)).unwrap().list.remove(0).target;
        assert_eq!(target(health(Type::Http)), Target::Http("http://127.0.0.1:80/h".to_owned()));
        let mut six = health(Type::Http);
        six.http.as_mut().unwrap().protocol = Some(network_info::Protocol::IPv6 as i32);
        six.http.as_mut().unwrap().scheme = Some("https".to_owned());
        assert_eq!(target(six), Target::Http("https://[::1]:80/h".to_owned()));
        assert_eq!(target(health(Type::Tcp)), Target::Tcp("127.0.0.1:80".parse().unwrap()));
        let Target::Command { environment, .. } = target(health(Type::Command)) else { panic!() };
        assert_eq!(environment["BASE"], "1");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut far = health(Type::Tcp);
        far.tcp.as_mut().unwrap().port = 65_536;
        let mut gopher = health(Type::Http);
        gopher.http.as_mut().unwrap().scheme = Some("gopher".to_owned());
        for bad in
            [far, gopher, health(Type::Unknown), HealthCheck { command: None, ..health(Type::Command) }]
        {
            assert!(of(None, Some(bad)).unwrap_err().starts_with("The health check of task 't'"));
        }
        assert!(of(Some(check(check_info::Type::Command)), None).is_err());
    }
}
