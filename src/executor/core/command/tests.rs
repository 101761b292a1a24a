use super::super::testing::*;
use super::*;
use crate::proto::DurationInfo;

fn running() -> Driver<State> {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(launch(task("t")));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver
}

fn policy(seconds: i64) -> KillPolicy {
    KillPolicy { grace_period: Some(DurationInfo { nanoseconds: seconds * 1_000_000_000 }) }
}

#[test]
fn a_task_starts_runs_and_finishes() {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(launch(task("t")));
    assert_eq!(driver.states(), ["TASK_STARTING"]);
    let start = driver.started("t");
    assert_eq!(start.environment["MESOS_TASK_ID"], "t");
    assert_eq!(start.environment["BASE"], "1");
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.happen(Event::Ended { task: "t".into(), end: End::Code(0) });
    assert_eq!(driver.states(), ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]);
    assert_eq!(driver.updates[2].message(), "Command exited with status 0");
    driver.acknowledge(0);
    driver.acknowledge(1);
    assert_eq!(driver.exit, None);
    driver.acknowledge(2);
    assert_eq!(driver.exit, Some(0));
    assert!(driver.log.iter().any(|line| line == "Command exited with status 0 (pid: 42)"));
}

#[test]
fn a_task_fails() {
    let mut driver = running();
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(9) });
    assert_eq!(driver.states()[2], "TASK_FAILED");
    assert_eq!(driver.updates[2].message(), "Command terminated with signal Killed");
    driver.pass(61);
    assert_eq!(driver.exit, Some(1), "the agent never acknowledged");
}

#[test]
fn what_cannot_start_fails_with_the_reason() {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(launch(task("t")));
    driver.happen(Event::NotStarted { task: "t".into(), message: "no such file".to_owned() });
    assert_eq!(driver.states(), ["TASK_STARTING", "TASK_FAILED"]);
    assert_eq!(driver.updates[1].message(), "no such file");

    let mut driver = Driver::subscribed(State::new(config()));
    let mut checked = task("t");
    checked.health_check = Some(Default::default());
    driver.agent(launch(checked));
    assert!(driver.updates[1].message().starts_with("The health check of task 't' says not what"));
    let mut driver = Driver::subscribed(State::new(config()));
    let mut empty = task("t");
    empty.command = None;
    driver.agent(launch(empty));
    assert_eq!(driver.updates[1].message(), "Expecting task 't' to have a command");
}

/// Looks after one second and then every two; dead after two failures on end.
fn checked(mut task: TaskInfo) -> TaskInfo {
    task.health_check = Some(crate::proto::HealthCheck {
        r#type: Some(crate::proto::health_check::Type::Command as i32),
        command: task.command.clone(),
        delay_seconds: Some(1.0),
        interval_seconds: Some(2.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..Default::default()
    });
    task
}

#[test]
fn a_task_tells_its_health_and_is_killed_for_it() {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(launch(checked(task("t"))));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.pass(1);
    driver.find(Ok(Finding::Exited(0)));
    driver.pass(2);
    driver.find(Ok(Finding::Exited(1)));
    assert_eq!(driver.states()[1..], ["TASK_RUNNING"; 3]);
    let healthy: Vec<Option<bool>> = driver.updates.iter().map(|status| status.healthy).collect();
    assert_eq!(healthy, [None, None, Some(true), Some(false)]);
    assert_eq!(driver.updates[3].reason(), Reason::TaskHealthCheckStatusUpdated);
    driver.pass(2);
    driver.find(Ok(Finding::Exited(1)));
    assert_eq!(driver.signals, ["t TERM"]);
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(15) });
    let last = driver.updates.last().unwrap();
    assert_eq!((last.state(), last.healthy), (TaskState::TaskKilled, Some(false)));
    driver.pass(10);
    assert_eq!(driver.probes, [], "nothing is looked at any more");
}

#[test]
fn every_update_of_a_checked_task_says_so() {
    let mut driver = Driver::subscribed(State::new(config()));
    let mut checked = checked(task("t"));
    checked.health_check = None;
    checked.check = Some(crate::proto::CheckInfo {
        r#type: Some(crate::proto::check_info::Type::Tcp as i32),
        tcp: Some(crate::proto::check_info::Tcp { port: 1 }),
        delay_seconds: Some(0.0),
        ..Default::default()
    });
    driver.agent(launch(checked));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.pass(0);
    driver.find(Ok(Finding::Connected(true)));
    driver.agent(kill("t", None));
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(15) });
    let succeeded = |status: &crate::proto::TaskStatus| status.check_status.unwrap().tcp.unwrap().succeeded;
    let told: Vec<Option<bool>> = driver.updates.iter().map(succeeded).collect();
    assert_eq!(told, [None, None, Some(true), None]);
    assert_eq!(driver.updates[2].reason(), Reason::TaskCheckStatusUpdated);
}

#[test]
fn there_is_one_task() {
    let mut driver = running();
    driver.agent(launch(task("u")));
    let last = driver.updates.last().unwrap();
    assert_eq!((last.task_id.value.as_str(), driver.states()[2]), ("u", "TASK_FAILED"));
    driver.acknowledge(2);
    assert_eq!(driver.exit, None);
    driver.agent(launch(task("t")));
    assert_eq!((driver.updates.len(), driver.starts.len()), (3, 1), "a repeated launch is no other task");
}

#[test]
fn a_kill_terminates_and_then_kills() {
    let mut driver = running();
    driver.agent(kill("t", None));
    assert_eq!(driver.signals, ["t TERM"]);
    driver.pass(2);
    assert_eq!(driver.signals.len(), 1);
    driver.pass(2);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(9) });
    assert_eq!(driver.states()[2..], ["TASK_KILLED"]);
}

#[test]
fn a_second_kill_only_shortens() {
    let mut driver = running();
    driver.agent(kill("t", Some(policy(20))));
    driver.agent(kill("t", Some(policy(30))));
    driver.pass(4);
    driver.agent(kill("t", Some(policy(5))));
    assert_eq!(driver.signals, ["t TERM"]);
    driver.pass(2);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
    driver.pass(30);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
}

#[test]
fn a_kill_that_comes_before_the_start_waits_for_it() {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(launch(task("t")));
    driver.agent(kill("t", Some(policy(1))));
    assert_eq!(driver.signals, [""; 0]);
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    assert_eq!(driver.signals, ["t TERM"]);
    driver.pass(2);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
}

#[test]
fn a_kill_of_nothing_ends_the_executor() {
    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(kill("t", None));
    assert_eq!(driver.exit, Some(1));
}

#[test]
fn a_framework_that_wants_it_hears_of_the_kill() {
    let mut driver = Driver::new(State::new(config()));
    driver.happen(Event::Connected);
    driver.agent(subscribed(true));
    driver.agent(launch(task("t")));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.agent(kill("t", None));
    assert_eq!(driver.states()[2..], ["TASK_KILLING"]);
}

#[test]
fn a_task_that_takes_too_long_fails() {
    let mut driver = Driver::subscribed(State::new(config()));
    let mut long = task("t");
    long.max_completion_time = Some(DurationInfo { nanoseconds: 10_000_000_000 });
    driver.agent(launch(long));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.pass(11);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(15) });
    assert_eq!(driver.updates[2].reason(), Reason::MaxCompletionTimeReached);
    assert_eq!(driver.states()[2], "TASK_FAILED");
}

#[test]
fn shutdown_kills_within_the_grace() {
    let mut driver = running();
    driver.agent(event(event::Type::Shutdown));
    assert_eq!(driver.signals, ["t TERM"]);
    driver.pass(4);
    assert_eq!(driver.signals, ["t TERM", "t KILL"]);
    driver.pass(2);
    assert_eq!(driver.exit, Some(1));

    let mut driver = Driver::subscribed(State::new(config()));
    driver.agent(event(event::Type::Shutdown));
    assert_eq!(driver.exit, Some(0));

    let mut driver = running();
    driver.agent(event(event::Type::Shutdown));
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(15) });
    driver.pass(2);
    assert_eq!(driver.exit, Some(0), "nobody acknowledges while the framework is removed");
}

#[test]
fn without_checkpoints_it_ends_with_its_agent() {
    let mut driver = running();
    driver.happen(Event::Disconnected("reset".to_owned()));
    assert_eq!(driver.signals, ["t TERM"]);
    assert_eq!(driver.connects, 1);
    driver.happen(Event::Ended { task: "t".into(), end: End::Signal(15) });
    driver.pass(2);
    assert_eq!(driver.exit, Some(0));
}

#[test]
fn with_checkpoints_it_waits_and_tells_what_was_missed() {
    let mut driver = Driver::subscribed(State::new(checkpointed()));
    driver.agent(launch(task("t")));
    driver.acknowledge(0);
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.happen(Event::Disconnected("reset".to_owned()));
    driver.happen(Event::Ended { task: "t".into(), end: End::Code(0) });
    driver.pass(3);
    driver.happen(Event::Disconnected("refused".to_owned()));
    driver.pass(3);
    assert_eq!(driver.connects, 3);
    driver.pass(10 * 60);
    driver.happen(Event::Connected);
    let subscribe = driver.subscribes.last().unwrap();
    let states: Vec<&str> =
        subscribe.unacknowledged_updates.iter().map(|update| update.status.state().as_str_name()).collect();
    assert_eq!(states, ["TASK_RUNNING", "TASK_FINISHED"]);
    assert!(subscribe.unacknowledged_tasks.is_empty(), "its first update was acknowledged");
    driver.agent(subscribed(false));
    driver.pass(20 * 60);
    assert_eq!(driver.exit, Some(1), "nobody acknowledged within a minute");
}

/// Too late for SUBSCRIBE, and too early for an update.
#[test]
fn what_happens_while_it_subscribes_is_told_once_it_is() {
    let mut driver = Driver::subscribed(State::new(checkpointed()));
    driver.agent(launch(task("t")));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.acknowledge(0);
    driver.happen(Event::Disconnected("reset".to_owned()));
    driver.pass(3);
    driver.happen(Event::Connected);
    driver.happen(Event::Ended { task: "t".into(), end: End::Code(0) });
    let subscribe = driver.subscribes.last().unwrap();
    assert_eq!(subscribe.unacknowledged_updates.len(), 1, "TASK_RUNNING");
    assert_eq!(driver.states(), ["TASK_STARTING", "TASK_RUNNING"]);
    driver.agent(subscribed(false));
    assert_eq!(driver.states(), ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]);
    driver.acknowledge(1);
    driver.acknowledge(2);
    assert_eq!(driver.exit, Some(0));
}

#[test]
fn an_agent_that_stays_away_is_not_waited_for_longer() {
    let mut driver = Driver::subscribed(State::new(checkpointed()));
    driver.agent(launch(task("t")));
    driver.happen(Event::Started { task: "t".into(), pid: 42 });
    driver.happen(Event::Disconnected("reset".to_owned()));
    for _ in 0..110 {
        driver.pass(9);
        if driver.exit.is_none() {
            driver.happen(Event::Disconnected("refused".to_owned()));
        }
    }
    assert_eq!(driver.signals, ["t TERM", "t KILL", "t KILL"]);
    assert_eq!(driver.exit, Some(1));
}

#[test]
fn subscribing_is_repeated_after_a_refusal_only() {
    let mut driver = Driver::new(State::new(config()));
    driver.happen(Event::Connected);
    driver.pass(5);
    assert_eq!(driver.subscribes.len(), 1);
    driver.happen(Event::Refused("'503 Service Unavailable'".to_owned()));
    driver.pass(2);
    assert_eq!(driver.subscribes.len(), 2);
    driver.agent(subscribed(false));
    driver.pass(5);
    assert_eq!(driver.subscribes.len(), 2);
}

#[test]
fn unknown_acknowledgements_are_ignored() {
    let mut driver = running();
    driver.acknowledge(0);
    driver.acknowledge(0);
    assert!(driver.log.last().unwrap().contains("for unknown status update"));
}
