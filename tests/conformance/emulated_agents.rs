//! Agents of sockets that come, change, go and come back, at our master and at the real one; and where ours is more
//! careful on purpose, at ours alone.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener};

use mesos::proto::{self, Message, TaskState, internal};
use serde_json::{Value, json};

use crate::peer::beside_ours;
use crate::support::libprocess::{Emulated, Incoming, agent_info, bytes, capabilities, join, registration};
use crate::support::raw::{exchange, post};
use crate::support::scheduler::{Scheduler, command_task, framework};
use crate::support::{Cluster, wait_for};

fn agents(cluster: &Cluster) -> Vec<Value> {
    let slaves = cluster.json("/slaves").expect("agents");
    slaves["slaves"].as_array().expect("a list").clone()
}

/// The only agent that is registered, once that holds of it.
fn wait_until(cluster: &Cluster, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for("a state of the only agent", || match &agents(cluster)[..] {
        [only] if holds(only) => Some(only.clone()),
        _ => None,
    })
}

fn port_of(agent: &Emulated) -> u16 {
    agent.listener.local_addr().unwrap().port()
}

/// The agent as it comes back: under its id, with what has changed.
fn reregistration(agent: &Emulated, change: impl FnOnce(&mut proto::AgentInfo)) -> Message {
    let mut info = agent_info(port_of(agent));
    info.id = Some(agent.agent_id.as_str().into());
    change(&mut info);
    let version = Some("1.11.0".into());
    let agent_capabilities = capabilities();
    internal::ReregisterSlaveMessage { agent: info, version, agent_capabilities, ..Default::default() }.into()
}

/// The next message called so.
fn heard(link: &mut Incoming, name: &str) -> Message {
    let arrived = link.next_named(name);
    Message::decode(arrived.path.rsplit('/').next().unwrap(), &arrived.body).expect("a message")
}

/// A second agent says that it is at the address of one that is there: it is taken for that one, which repeats itself.
#[test]
fn two_at_one_address() {
    beside_ours("two_at_one_address", 0, &[], |cluster| {
        let mut first = join(cluster);
        first.pong();
        first.send("master", &registration(port_of(&first)));
        let Message::AgentRegistered(again) = heard(&mut first.link, "SlaveRegisteredMessage") else {
            panic!()
        };
        assert_eq!(again.agent_id.value, first.agent_id);

        // The first one is gone; a new one at its address is another, and takes its place.
        let mut scheduler = Scheduler::subscribe(cluster.port, framework("two at one address"));
        let offer = scheduler.offer();
        scheduler.launch(&offer, &[command_task("stranded", &offer, "true")]);
        heard(&mut first.link, "RunTaskMessage");
        first.link.stream.shutdown(Shutdown::Both).unwrap();
        wait_until(cluster, |agent| agent["active"] == false);
        first.send("master", &registration(port_of(&first)));
        let mut link = Incoming::accept(&first.listener);
        let Message::AgentRegistered(second) = heard(&mut link, "SlaveRegisteredMessage") else { panic!() };
        assert_ne!(second.agent_id.value, first.agent_id);
        let status = scheduler.status("stranded");
        assert_eq!((&status["state"], &status["agent_id"]), (&json!("TASK_LOST"), &offer["agent_id"]));
        wait_until(cluster, |agent| agent["id"] == second.agent_id.value.as_str() && agent["active"] == true);
    });
}

fn with_seven_cpus(agent: &Emulated) -> Message {
    reregistration(agent, |info| {
        info.resources[0].scalar = Some(proto::value::Scalar { value: 7.0 });
        info.attributes = vec![proto::Attribute {
            name: "rack".into(),
            r#type: proto::value::Type::Text as i32,
            text: Some(proto::value::Text { value: "r9".into() }),
            ..Default::default()
        }];
    })
}

#[test]
fn other_resources_and_attributes() {
    beside_ours("other_resources_and_attributes", 0, &[], |cluster| {
        let mut agent = join(cluster);
        agent.pong();
        let changed = with_seven_cpus(&agent);
        agent.send("master", &changed);
        heard(&mut agent.link, "SlaveReregisteredMessage");
        wait_until(cluster, |shown| {
            shown["id"] == agent.agent_id.as_str()
                && shown["resources"]["cpus"] == 7.0
                && shown["attributes"]["rack"] == "r9"
        });
        let offer = Scheduler::subscribe(cluster.port, framework("watches")).offer();
        assert_eq!(cpus(&offer), 7.0);
        assert_eq!(offer["attributes"][0]["text"]["value"], "r9");
    });
}

fn cpus(offer: &Value) -> f64 {
    let resources = offer["resources"].as_array().expect("resources");
    let cpus = resources.iter().find(|resource| resource["name"] == "cpus");
    cpus.and_then(|resource| resource["scalar"]["value"].as_f64()).unwrap_or(0.0)
}

/// Apache Mesos leaves offers of what is no more where they are.
#[test]
fn at_ours_offers_of_what_has_changed_are_taken_back() {
    let cluster = Cluster::start(0);
    let mut agent = join(&cluster);
    agent.pong();
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("watches"));
    let before = scheduler.offer();
    assert_eq!(cpus(&before), 2.0);
    let changed = with_seven_cpus(&agent);
    agent.send("master", &changed);
    assert_eq!(scheduler.next("RESCIND")["rescind"]["offer_id"], before["id"]);
    assert_eq!(cpus(&scheduler.offer()), 7.0);
}

#[test]
fn another_host_of_the_same_id_is_shut_down() {
    beside_ours("another_host_of_the_same_id_is_shut_down", 0, &[], |cluster| {
        let mut agent = join(cluster);
        agent.pong();
        let moved = reregistration(&agent, |info| info.hostname = "elsewhere".into());
        agent.send("master", &moved);
        let Message::Shutdown(shutdown) = heard(&mut agent.link, "ShutdownMessage") else { panic!() };
        let why = "Agent attempted to reregister with different IP / hostname";
        assert_eq!(shutdown.message.as_deref(), Some(why));
        wait_until(cluster, |shown| shown["hostname"] == "emulated");
    });
}

/// The same agent at another port, as after a restart: it is spoken to there, and its old pid has no say.
#[test]
fn another_port_of_the_same_id() {
    beside_ours("another_port_of_the_same_id", 0, &[], |cluster| {
        let mut old = join(cluster);
        old.pong();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = format!("slave(1)@127.0.0.1:{port}");
        let back = reregistration(&old, |info| info.port = Some(i32::from(port)));
        old.out.write_all(&bytes("master", &pid, &back)).unwrap();
        let mut link = Incoming::accept(&listener);
        heard(&mut link, "SlaveReregisteredMessage");
        wait_until(cluster, |shown| shown["pid"] == pid.as_str() && shown["id"] == old.agent_id.as_str());

        let farewell: Message =
            internal::UnregisterSlaveMessage { agent_id: old.agent_id.as_str().into() }.into();
        old.send("master", &farewell);
        // Messages of one connection are read in turn.
        old.out.write_all(&bytes("master", &pid, &back)).unwrap();
        heard(&mut link, "SlaveReregisteredMessage");
        wait_until(cluster, |shown| shown["active"] == true);
        old.out.write_all(&bytes("master", &pid, &farewell)).unwrap();
        wait_for("its leave", || agents(cluster).is_empty().then_some(()));
    });
}

/// An agent that unregistered is no agent until it says so itself; its old id is as good as any.
#[test]
fn a_removed_agent_may_come_back() {
    beside_ours("a_removed_agent_may_come_back", 0, &[], |cluster| {
        let mut agent = join(cluster);
        agent.pong();
        let id: proto::AgentId = agent.agent_id.as_str().into();
        agent.send("master", &internal::UnregisterSlaveMessage { agent_id: id.clone() }.into());
        wait_for("its leave", || agents(cluster).is_empty().then_some(()));

        // Nothing that it says as if nothing had happened is taken.
        let update = internal::UpdateSlaveMessage { agent_id: id.clone(), ..Default::default() };
        agent.send("master", &update.into());
        agent.send("master", &status(&id, "nobody", &agent.pid));
        let back = reregistration(&agent, |_| ());
        agent.send("master", &back);
        heard(&mut agent.link, "SlaveReregisteredMessage");
        wait_until(cluster, |shown| shown["id"] == agent.agent_id.as_str() && shown["active"] == true);
    });
}

#[test]
fn an_agent_that_is_gone_may_not() {
    beside_ours("an_agent_that_is_gone_may_not", 0, &[], |cluster| {
        let mut agent = join(cluster);
        agent.pong();
        let gone = json!({"type": "MARK_AGENT_GONE",
            "mark_agent_gone": {"agent_id": {"value": agent.agent_id}}});
        let call = post("/api/v1", "application/json", gone.to_string().as_bytes());
        assert_eq!(exchange(cluster.port, &call).status(), 200);
        for _ in 0..2 {
            let Message::Shutdown(shutdown) = heard(&mut agent.link, "ShutdownMessage") else { panic!() };
            assert_eq!(shutdown.message.as_deref(), Some("Agent has been marked gone"));
            let back = reregistration(&agent, |_| ());
            agent.send("master", &back);
        }
        assert!(agents(cluster).is_empty());
    });
}

fn status(agent: &proto::AgentId, framework: &str, pid: &str) -> Message {
    let uuid: Vec<u8> = (0x40..0x50).collect();
    let status = proto::TaskStatus {
        task_id: "task".into(),
        state: TaskState::TaskFinished as i32,
        uuid: Some(uuid.clone().into()),
        agent_id: Some(agent.clone()),
        ..Default::default()
    };
    let update = internal::StatusUpdate {
        framework_id: framework.into(),
        executor_id: Some("task".into()),
        agent_id: Some(agent.clone()),
        status,
        timestamp: 1.0,
        uuid: Some(uuid.into()),
        latest_state: Some(TaskState::TaskFinished as i32),
    };
    internal::StatusUpdateMessage { update, pid: Some(pid.to_owned()) }.into()
}

/// Apache Mesos takes updates of tasks, executors and resources from whoever names the agent's id.
#[test]
fn at_ours_only_the_agent_speaks_for_itself() {
    let cluster = Cluster::start(0);
    let mut agent = join(&cluster);
    agent.pong();
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("lied to"));
    let offer = scheduler.offer();
    scheduler.launch(&offer, &[command_task("task", &offer, "true")]);
    heard(&mut agent.link, "RunTaskMessage");
    let id: proto::AgentId = agent.agent_id.as_str().into();
    let framework_id: proto::FrameworkId = scheduler.framework_id.as_str().into();
    let lies: [Message; 5] = [
        status(&id, &framework_id.value, &agent.pid),
        internal::ExitedExecutorMessage {
            agent_id: id.clone(),
            framework_id: framework_id.clone(),
            executor_id: "task".into(),
            status: 0,
        }
        .into(),
        internal::UpdateSlaveMessage {
            agent_id: id.clone(),
            update_oversubscribed_resources: Some(true),
            ..Default::default()
        }
        .into(),
        internal::ExecutorToFrameworkMessage {
            agent_id: id.clone(),
            framework_id,
            executor_id: "task".into(),
            data: b"lie".to_vec().into(),
        }
        .into(),
        internal::UnregisterSlaveMessage { agent_id: id }.into(),
    ];
    for lie in &lies {
        agent.out.write_all(&bytes("master", "slave(1)@127.0.0.1:1", lie)).unwrap();
    }
    // The same connection, so that all of them have been read once this is answered.
    agent.send("master", &registration(port_of(&agent)));
    heard(&mut agent.link, "SlaveRegisteredMessage");
    let shown = wait_until(&cluster, |shown| shown["active"] == true);
    assert_eq!(shown["used_resources"]["cpus"], 0.1, "{shown}");
    let state = cluster.json("/state").expect("state");
    assert_eq!(state["frameworks"][0]["tasks"][0]["state"], "TASK_STAGING");
    // The truth of it.
    let truth = status(&agent.agent_id.as_str().into(), &scheduler.framework_id, &agent.pid);
    agent.send("master", &truth);
    assert_eq!(scheduler.status("task")["state"], "TASK_FINISHED");
}

/// Apache Mesos keeps two agents of one pid in its books, and mixes them up when one of them leaves.
#[test]
fn at_ours_one_id_is_at_one_address() {
    let cluster = Cluster::start(0);
    let mut agent = join(&cluster);
    agent.pong();
    let other = reregistration(&agent, |info| info.id = Some("another-S7".into()));
    agent.send("master", &other);
    // By the link that there is or by a new one.
    wait_until(&cluster, |shown| shown["id"] == "another-S7" && shown["active"] == true);
}
