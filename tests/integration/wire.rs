//! libprocess by the byte: an agent that is only sockets joins our master as a real one does, and our agent's
//! messages are those that a real master expects.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use mesos::proto::{self, Message, internal};

use crate::support::libprocess::{
    Incoming, agent_info, bytes, capabilities, is_as_captured, join, one_shot, registration,
};
use crate::support::raw::{is_timeout, message};
use crate::support::scheduler::{Scheduler, command_task, framework};
use crate::support::{Cluster, Process, free_port, wait_for};

#[test]
fn an_agent_of_bytes_joins_runs_and_leaves() {
    let cluster = Cluster::start_with(0, &["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"], &[]);
    let mut agent = join(&cluster);
    agent.pong();
    // Pings go on, from the same observer, on the same connection.
    for _ in 0..5 {
        let ping = agent.link.next_named("PingSlaveMessage");
        assert_eq!(ping.from, agent.observer);
        agent.pong();
    }
    let slaves = cluster.json("/slaves").expect("slaves");
    assert_eq!(slaves["slaves"][0]["pid"], agent.pid);
    assert_eq!(slaves["slaves"][0]["hostname"], "emulated");
    assert_eq!(slaves["slaves"][0]["id"], agent.agent_id);

    let mut scheduler = Scheduler::subscribe(cluster.port, framework("bytes"));
    let offer = scheduler.offer();
    assert_eq!(offer["agent_id"]["value"], agent.agent_id);
    scheduler.launch(&offer, &[command_task("task", &offer, "true")]);
    let run = loop {
        let arrived = agent.link.next().expect("a link that stays");
        if arrived.path.ends_with("PingSlaveMessage") {
            agent.pong();
        } else if arrived.path.ends_with("RunTaskMessage") {
            break arrived;
        }
    };
    is_as_captured(&run);
    let Ok(Message::RunTask(run)) = Message::decode("mesos.internal.RunTaskMessage", &run.body) else {
        panic!()
    };
    assert_eq!(run.task.task_id.value, "task");
    assert_eq!(run.framework.id.as_ref().map(|id| id.value.as_str()), Some(scheduler.framework_id.as_str()));
    let uuid: Vec<u8> = (0x40..0x50).collect();
    let status = proto::TaskStatus {
        task_id: "task".into(),
        state: proto::TaskState::TaskFinished as i32,
        uuid: Some(uuid.clone().into()),
        agent_id: Some(agent.agent_id.as_str().into()),
        source: Some(proto::task_status::Source::Executor as i32),
        ..Default::default()
    };
    let update = internal::StatusUpdate {
        framework_id: scheduler.framework_id.as_str().into(),
        executor_id: Some("task".into()),
        agent_id: Some(agent.agent_id.as_str().into()),
        status,
        timestamp: 1.0,
        uuid: Some(uuid.clone().into()),
        latest_state: Some(proto::TaskState::TaskFinished as i32),
    };
    let update = internal::StatusUpdateMessage { update, pid: Some(agent.pid.clone()) };
    agent.send("master", &update.into());
    let seen = scheduler.status("task");
    assert_eq!(seen["state"], "TASK_FINISHED");
    // The scheduler's acknowledgement finds its way to the agent.
    let acknowledged = loop {
        let arrived = agent.link.next().expect("a link that stays");
        if arrived.path.ends_with("PingSlaveMessage") {
            agent.pong();
        } else if arrived.path.ends_with("StatusUpdateAcknowledgementMessage") {
            break arrived;
        }
    };
    let decoded = Message::decode("mesos.internal.StatusUpdateAcknowledgementMessage", &acknowledged.body);
    let Ok(Message::StatusUpdateAcknowledgement(acknowledged)) = decoded else { panic!() };
    assert_eq!(&acknowledged.uuid[..], &uuid[..]);

    // Leaves, by a message that FIN follows at once on a connection of its own.
    let farewell = internal::UnregisterSlaveMessage { agent_id: agent.agent_id.as_str().into() };
    one_shot(cluster.port, &bytes("master", &agent.pid, &farewell.into()));
    wait_for("its leave", || (cluster.json("/slaves")?["slaves"].as_array()?.is_empty()).then_some(()));
}

/// 200 registrations, each followed by FIN at once: all are taken, and the copies answered once.
#[test]
fn a_message_that_fin_follows_is_taken() {
    let cluster = Cluster::start(0);
    let listeners: Vec<TcpListener> = (0..50).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for listener in &listeners {
        let port = listener.local_addr().unwrap().port();
        let from = format!("slave(1)@127.0.0.1:{port}");
        for _ in 0..4 {
            one_shot(cluster.port, &bytes("master", &from, &registration(port)));
        }
    }
    wait_for("all of them", || {
        let slaves = cluster.json("/slaves")?;
        (slaves["slaves"].as_array()?.len() == listeners.len()).then_some(())
    });
}

/// A reset in place of the FIN, as a closing sender's kernel gives once an answer arrives.
#[test]
fn messages_before_a_reset_are_taken() {
    let cluster = Cluster::start(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let from = format!("slave(1)@127.0.0.1:{port}");
    // Several messages on one connection, then gone without reading the answers.
    let mut all = bytes("master", &from, &internal::PongSlaveMessage {}.into());
    all.extend(bytes("nobody", &from, &internal::PongSlaveMessage {}.into()));
    all.extend(bytes("master", &from, &registration(port)));
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port)).unwrap();
    stream.write_all(&all).unwrap();
    drop(stream);
    wait_for("the agent", || (cluster.json("/slaves")?["slaves"].as_array()?.len() == 1).then_some(()));
}

/// A link without a word is left alone, whichever side it belongs to.
#[test]
fn an_idle_link_stays() {
    let cluster = Cluster::start(0);
    let mut agent = join(&cluster);
    agent.pong();
    // No clock is involved on our side that is shorter than this wait: it only shows that nothing ends early.
    agent.out.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut rest = Vec::new();
    let ended = agent.out.read_to_end(&mut rest);
    assert!(ended.as_ref().is_err_and(is_timeout), "the master closed an idle connection: {ended:?}");
    // And it still carries messages.
    let farewell = internal::UnregisterSlaveMessage { agent_id: agent.agent_id.as_str().into() };
    agent.send("master", &farewell.into());
    wait_for("its leave", || (cluster.json("/slaves")?["slaves"].as_array()?.is_empty()).then_some(()));
}

/// The master's link to an agent breaks: the agent is disconnected; it comes back by registering again.
#[test]
fn a_broken_link_is_noticed() {
    let cluster = Cluster::start(0);
    let mut agent = join(&cluster);
    agent.pong();
    agent.link.stream.shutdown(Shutdown::Both).unwrap();
    wait_for("the disconnection", || {
        (cluster.json("/slaves")?["slaves"][0]["active"] == false).then_some(())
    });
    let again = internal::ReregisterSlaveMessage {
        agent: proto::AgentInfo {
            id: Some(agent.agent_id.as_str().into()),
            ..agent_info(agent.listener.local_addr().unwrap().port())
        },
        version: Some("1.11.0".into()),
        agent_capabilities: capabilities(),
        ..Default::default()
    };
    agent.send("master", &again.into());
    let mut link = Incoming::accept(&agent.listener);
    let arrived = link.next_named("SlaveReregisteredMessage");
    is_as_captured(&arrived);
    wait_for("its return", || (cluster.json("/slaves")?["slaves"][0]["active"] == true).then_some(()));
}

/// Everything that libmesos accepts though it never sends it so.
#[test]
fn other_spellings_of_a_message_are_taken() {
    let cluster = Cluster::start(0);
    type Spelling = fn(&str, &[u8]) -> Vec<u8>;
    let spellings: [Spelling; 5] = [
        |from, body| message("/master/mesos.internal.RegisterSlaveMessage", from, body),
        |from, body| {
            let head = format!(
                "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\nlibprocess-from: {from}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        },
        |from, body| {
            let head = format!(
                "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\nHost: elsewhere\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        },
        |from, body| {
            let head = format!(
                "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.0\r\nLibprocess-From: {from}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        },
        |from, body| {
            let head = format!(
                "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\nLibprocess-From: {from}\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        },
    ];
    let listeners: Vec<TcpListener> =
        spellings.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (spelling, listener) in spellings.iter().zip(&listeners) {
        let port = listener.local_addr().unwrap().port();
        one_shot(
            cluster.port,
            &spelling(&format!("slave(1)@127.0.0.1:{port}"), &registration(port).encode()),
        );
    }
    wait_for("all of them", || {
        let slaves = cluster.json("/slaves")?;
        (slaves["slaves"].as_array()?.len() == listeners.len()).then_some(())
    });
}

/// Our agent, seen by a master of bytes.
#[test]
fn our_agent_speaks_as_a_real_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let master_port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let args = [
        "slave".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={port}"),
        format!("--master=127.0.0.1:{master_port}"),
        format!("--work_dir={}", dir.path().display()),
        "--resources=cpus:1;mem:64".to_owned(),
        "--registration_backoff_factor=10ms".to_owned(),
    ];
    let _agent = Process::start(&args);
    let mut link = Incoming::accept(&listener);
    let arrived = link.next().expect("a registration");
    is_as_captured(&arrived);
    assert_eq!(arrived.path, "/master/mesos.internal.RegisterSlaveMessage");
    assert_eq!(arrived.from, format!("slave(1)@127.0.0.1:{port}"));
    let Ok(Message::RegisterAgent(registration)) =
        Message::decode("mesos.internal.RegisterSlaveMessage", &arrived.body)
    else {
        panic!()
    };
    assert_eq!(
        (registration.agent.hostname.as_str(), registration.agent.port),
        ("localhost", Some(i32::from(port)))
    );
    assert_eq!(registration.version.as_deref(), Some("1.11.0"));
    assert!(!registration.agent_capabilities.is_empty());
    // Unanswered, it asks again, on the same connection.
    assert_eq!(link.next().expect("another").path, arrived.path);

    let master = format!("master@127.0.0.1:{master_port}");
    let mut out = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let ping: Message = internal::PingSlaveMessage { connected: true }.into();
    let registered: Message =
        internal::SlaveRegisteredMessage { agent_id: "id-S0".into(), ..Default::default() }.into();
    // Not by the master: not believed.
    let other: Message =
        internal::SlaveRegisteredMessage { agent_id: "other-S0".into(), ..Default::default() }.into();
    out.write_all(&bytes("slave(1)", "other@127.0.0.1:1", &other)).unwrap();
    out.write_all(&bytes("slave(1)", &format!("slave-observer(7)@127.0.0.1:{master_port}"), &ping)).unwrap();
    out.write_all(&bytes("slave(1)", &master, &registered)).unwrap();
    let pong = link.next_named("PongSlaveMessage");
    assert_eq!(pong.path, "/slave-observer(7)/mesos.internal.PongSlaveMessage");
    is_as_captured(&pong);
    let update = link.next_named("UpdateSlaveMessage");
    let Ok(Message::UpdateAgent(update)) = Message::decode("mesos.internal.UpdateSlaveMessage", &update.body)
    else {
        panic!()
    };
    assert_eq!(update.agent_id.value, "id-S0");
}
