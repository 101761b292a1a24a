//! Offers, tasks and executors, as the driver sees them.

use std::time::Duration;

use mesos::proto::task_status::Reason;
use mesos::proto::{self, TaskState, offer, scheduler};

use super::driver::{Called, Driver, RUNNING, hex, hex_bytes};
use super::{
    find, framework, metric, play, refused_for, registered, resources, task, task_of_executor, wait_until,
    wait_until_removed,
};
use crate::mesos_go;
use crate::support::{get, wait_for};

#[test]
fn tasks_live_and_die() {
    play("tasks_live_and_die", &[], |cluster| {
        let mut driver = Driver::start(cluster.port, &framework("life"), "implicit");
        let Called::Registered(id, master) = driver.next() else { panic!() };
        assert_eq!(master.pid, Some(format!("master@{}", cluster.address())));
        assert_eq!(master.version.as_deref(), Some("1.11.0"));
        driver.run("finishes", "true");
        driver.status("finishes", TaskState::TaskFinished);

        let offer = driver.offer();
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: vec![task("fails", &offer, "exit 3")] }),
            ..Default::default()
        };
        driver.say("acceptOffers", &[hex(&offer.id), hex(&launch), refused_for(0.0)]);
        driver.status("fails", TaskState::TaskStarting);
        driver.status("fails", TaskState::TaskRunning);
        let failed = driver.status("fails", TaskState::TaskFailed);
        assert_eq!(failed.message(), "Command exited with status 3");
        // Implicit acknowledgements have arrived.
        wait_until(cluster, &id, |framework| {
            framework["tasks"] == serde_json::json!([])
                && framework["completed_tasks"].as_array().is_some_and(|tasks| tasks.len() == 2)
        });

        driver.run("sleeps", "sleep 1000");
        driver.kill("sleeps");
        driver.status("sleeps", TaskState::TaskKilled);
        driver.kill("nobody");
        driver.reconciled("nobody", TaskState::TaskLost);
        driver.stop();
        wait_until_removed(cluster, &id);
    });
}

#[test]
fn what_cannot_run_is_told() {
    play("what_cannot_run_is_told", &[], |cluster| {
        let (mut driver, _) = registered(cluster, "refused");
        let huge = |offer: &proto::Offer| proto::TaskInfo {
            resources: resources(1000.0, 32.0),
            ..task("huge", offer, "true")
        };
        let offer = driver.launch(huge);
        let refused = driver.status("huge", TaskState::TaskError);
        assert_eq!(refused.reason(), Reason::TaskInvalid);
        let late = hex(&task("late", &offer, "true"));
        driver.say("launchTasks", &[hex(&offer.id), late, refused_for(0.0)]);
        let refused = driver.status("late", TaskState::TaskLost);
        assert_eq!(refused.reason(), Reason::InvalidOffers);
        driver.stop();
    });
}

/// One update at a time is on its way; the next one comes once it is acknowledged.
#[test]
fn explicit_acknowledgements() {
    play("explicit_acknowledgements", &[], |cluster| {
        let mut driver = Driver::start(cluster.port, &framework("explicit"), "explicit");
        let id = driver.registered();
        driver.launch(|offer| task("task", offer, "true"));
        for state in [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished] {
            let status = driver.status("task", state);
            // The task itself does not wait.
            wait_for("the executor's last word", || {
                let agent = get(cluster.agent_ports[0], "/state").ok()?;
                agent.contains("TASK_FINISHED").then_some(())
            });
            let news: Vec<_> = driver.so_far();
            assert!(news.iter().all(|called| matches!(called, Called::Offer(_))), "{news:?}");
            let shown = find(cluster, "frameworks", &id).expect("it is registered");
            assert_eq!(shown["tasks"][0]["id"], "task", "forgotten before it is acknowledged");
            driver.say("acknowledgeStatusUpdate", &[hex(&status)]);
        }
        wait_until(cluster, &id, |framework| framework["completed_tasks"][0]["id"] == "task");
        driver.stop();
    });
}

#[test]
fn tasks_are_reconciled() {
    play("tasks_are_reconciled", &[], |cluster| {
        let (mut driver, _) = registered(cluster, "reconciles");
        driver.run("sleeps", "sleep 1000");
        driver.reconcile(&[]);
        driver.reconciled("sleeps", TaskState::TaskRunning);
        driver.reconcile(&["sleeps", "nobody"]);
        driver.reconciled("sleeps", TaskState::TaskRunning);
        driver.reconciled("nobody", TaskState::TaskLost);
        driver.stop();
    });
}

// ---- offers ----

/// Whether an offer comes within a few rounds of allocation.
fn is_offered(driver: &mut Driver) -> bool {
    driver.next_within(Duration::from_secs(1)).is_some_and(|called| matches!(called, Called::Offer(_)))
}

#[test]
fn offers_are_declined_suppressed_and_revived() {
    play("offers_are_declined_suppressed_and_revived", &[], |cluster| {
        let info = proto::FrameworkInfo {
            roles: vec!["a".into(), "b".into()],
            capabilities: vec![proto::framework_info::Capability {
                r#type: Some(proto::framework_info::capability::Type::MultiRole as i32),
            }],
            ..framework("picky")
        };
        let mut driver = Driver::start(cluster.port, &info, "implicit");
        let id = driver.registered();
        // The whole agent, in one role and, that one declined, in the other.
        let mut roles = vec![];
        for _ in 0..2 {
            let offer = driver.offer();
            roles.push(offer.allocation_info.clone().and_then(|info| info.role).expect("a role"));
            driver.say("declineOffer", &[hex(&offer.id), refused_for(1000.0)]);
        }
        roles.sort();
        assert_eq!(roles, ["a", "b"]);
        assert!(!is_offered(&mut driver), "offered what was declined");
        let wish = scheduler_request(&resources(1.0, 32.0));
        assert_eq!(driver.say("requestResources", &[wish]), RUNNING);

        driver.say("reviveOffers", &[hex_bytes(b"b")]);
        let offer = driver.offer();
        assert_eq!(offer.allocation_info.and_then(|info| info.role).as_deref(), Some("b"));
        driver.say("suppressOffers", &["-".into()]);
        driver.say("declineOffer", &[hex(&offer.id), refused_for(0.0)]);
        assert!(!is_offered(&mut driver), "offered although suppressed");
        driver.say("reviveOffers", &["-".into()]);
        let offer = driver.offer();

        // Another description: the offer of a role that it left is taken back.
        let other = proto::FrameworkInfo { id: Some(id.clone()), roles: vec!["c".into()], ..info.clone() };
        let constraints = scheduler::OfferConstraints::default();
        assert_eq!(driver.say("updateFramework", &[hex(&other), "-".into(), hex(&constraints)]), RUNNING);
        match driver.next() {
            Called::Rescinded(rescinded) => assert_eq!(rescinded, offer.id),
            other => panic!("{other:?}"),
        }
        let offer = driver.offer();
        assert_eq!(offer.allocation_info.and_then(|info| info.role).as_deref(), Some("c"));
        driver.stop();
        wait_until_removed(cluster, &id);
    });
}

fn scheduler_request(resources: &[proto::Resource]) -> String {
    hex(&proto::Request { agent_id: None, resources: resources.to_vec() })
}

// ---- executors ----

/// Messages go straight between the scheduler and the agent, past the master.
#[test]
fn messages_to_an_executor_and_back() {
    let Some(program) = mesos_go::program() else { return };
    play("messages_to_an_executor_and_back", &[], |cluster| {
        let (mut driver, _) = registered(cluster, "talks");
        let offer = driver.launch(|offer| task_of_executor("listens", offer, program));
        driver.status("listens", TaskState::TaskRunning);
        let (executor, agent) = (proto::ExecutorId::from("go"), offer.agent_id.clone());
        for number in 0..20 {
            let text = format!("message {number}");
            driver.say("sendFrameworkMessage", &[hex(&executor), hex(&agent), hex_bytes(text.as_bytes())]);
            match driver.next_news() {
                Called::Message { executor: from, agent: at, data } => {
                    assert_eq!((from, at), (executor.clone(), agent.clone()));
                    assert_eq!(String::from_utf8_lossy(&data), format!("back: {text}"));
                }
                other => panic!("{other:?} instead of a message"),
            }
        }
        assert_eq!(metric(cluster, "messages_framework_to_executor"), 0.0);
        assert_eq!(metric(cluster, "messages_executor_to_framework"), 0.0);
        driver.kill("listens");
        driver.status("listens", TaskState::TaskKilled);
        driver.stop();
    });
}

#[test]
fn an_executor_that_dies_is_lost() {
    let Some(program) = mesos_go::program() else { return };
    play("an_executor_that_dies_is_lost", &[], |cluster| {
        let (mut driver, _) = registered(cluster, "loses an executor");
        let offer = driver.launch(|offer| task_of_executor("orphan", offer, program));
        driver.status("orphan", TaskState::TaskRunning);
        let die = [hex(&proto::ExecutorId::from("go")), hex(&offer.agent_id), hex_bytes(b"die")];
        driver.say("sendFrameworkMessage", &die);
        driver.status("orphan", TaskState::TaskFailed);
        match driver.next_news() {
            Called::ExecutorLost { executor, agent, status } => {
                assert_eq!((executor.value.as_str(), agent, status), ("go", offer.agent_id, 7 << 8));
            }
            other => panic!("{other:?}"),
        }
        driver.stop();
    });
}

#[test]
fn an_agent_that_dies_is_lost() {
    let quick = [("agent_ping_timeout", "1secs"), ("max_agent_ping_timeouts", "2")];
    play("an_agent_that_dies_is_lost", &quick, |cluster| {
        let lasting = proto::FrameworkInfo { checkpoint: Some(true), ..framework("loses an agent") };
        let mut driver = Driver::start(cluster.port, &lasting, "implicit");
        driver.registered();
        // Ends with the test's folder, since nobody is left to kill it.
        let offer = driver.run("stranded", "while [ -e stdout ]; do sleep 0.2; done");
        cluster.agents[0].kill();
        let lost = driver.status("stranded", TaskState::TaskLost);
        assert_eq!(lost.reason(), Reason::AgentRemoved);
        match driver.next_news() {
            Called::AgentLost(agent) => assert_eq!(agent, offer.agent_id),
            other => panic!("{other:?}"),
        }
        driver.reconcile(&["stranded"]);
        driver.reconciled("stranded", TaskState::TaskLost);
        driver.stop();
    });
}
