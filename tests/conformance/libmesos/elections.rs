//! The driver finds the leader through ZooKeeper, and the next one.

use mesos::proto::TaskState;

use super::driver::{Called, Driver, RUNNING, Whose, hex, use_driver};
use super::{framework, refused_for, task};
use crate::elections::{Pair, ZK_SESSION};
use crate::peer;
use crate::support::ensembles::Ensemble;

#[test]
fn a_driver_follows_the_leader_through_zookeeper() {
    follows(Whose::Ours);
    if peer::available("libmesos through ZooKeeper") {
        follows(Whose::Apaches);
    }
}

fn follows(whose: Whose) {
    use_driver(whose);
    let Some(ensemble) = Ensemble::zookeeper("libmesos through ZooKeeper", 1) else { return };
    let mut pair = Pair::start(&ensemble, ZK_SESSION);
    let mut driver = Driver::start_at(&ensemble.url(), &framework("elected"));
    let id = driver.registered();
    assert!(!id.value.is_empty());
    driver.run("before", "sleep 1000");
    pair.fail_over();
    // Offers of the next leader may come before the driver is asked.
    loop {
        if let Called::Registered(again, master) = driver.next() {
            assert_eq!((again, master.port), (id, u32::from(pair.standby)));
            break;
        }
    }
    // What is told of the task that runs on may come in between.
    let mut launched = false;
    loop {
        match driver.next() {
            Called::Offer(offer) if !launched => {
                let arguments = [hex(&offer.id), hex(&task("after", &offer, "true")), refused_for(0.0)];
                assert_eq!(driver.say("launchTasks", &arguments), RUNNING);
                launched = true;
            }
            Called::Update(status) if status.task_id.value == "before" => {
                assert_eq!(status.state(), TaskState::TaskRunning);
            }
            Called::Update(status) if status.state() == TaskState::TaskFinished => break,
            _ => {}
        }
    }
    driver.stop();
}
