//! libprocess by the byte: an agent that is only sockets joins our master as a real one does, and our agent's
//! messages are those that a real master expects.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use mesos::proto::{self, Message, internal};

use crate::support::raw::{find, is_timeout, message};
use crate::support::scheduler::{Scheduler, command_task, framework};
use crate::support::{Cluster, DEADLINE, Process, free_port, wait_for};

/// A message as it arrived.
#[derive(Clone, Debug)]
struct Arrived {
    /// `/slave(1)/mesos.internal.PingSlaveMessage`.
    path: String,
    from: String,
    head: String,
    body: Vec<u8>,
}

/// One connection that somebody opened to us, read message by message.
struct Incoming {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Incoming {
    fn accept(listener: &TcpListener) -> Incoming {
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = wait_for("a connection", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Incoming { stream, buffer: Vec::new() }
    }

    /// The next message; none at the end of the stream. Never answered: real senders do not read answers.
    fn next(&mut self) -> Option<Arrived> {
        loop {
            if let Some(arrived) = self.take() {
                return Some(arrived);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
                Err(error) if is_timeout(&error) => {
                    panic!("nothing came: {:?}", String::from_utf8_lossy(&self.buffer))
                }
                Err(_) => return None,
            }
        }
    }

    /// The next message called so; others on the way are dropped.
    fn next_named(&mut self, name: &str) -> Arrived {
        loop {
            let arrived = self.next().unwrap_or_else(|| panic!("closed before {name}"));
            if arrived.path.ends_with(name) {
                return arrived;
            }
        }
    }

    fn take(&mut self) -> Option<Arrived> {
        let head_end = find(&self.buffer, b"\r\n\r\n")?;
        let head = String::from_utf8(self.buffer[..head_end].to_vec()).expect("ASCII");
        let rest = &self.buffer[head_end + 4..];
        let (body, used) = if head.contains("Transfer-Encoding: chunked") {
            let line = find(rest, b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16)
                .expect("lower-case hex");
            let start = line + 2;
            let end = start + size;
            // One chunk a message, then the last one.
            let tail = rest.get(end..end + 7)?;
            assert_eq!(tail, b"\r\n0\r\n\r\n");
            (rest[start..end].to_vec(), end + 7)
        } else {
            (Vec::new(), 0)
        };
        let header = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(&format!("{name}: ")[..]))
                .unwrap_or_default()
                .to_owned()
        };
        let path = head.split(' ').nth(1)?.to_owned();
        let arrived = Arrived { path, from: header("Libprocess-From"), head: head.clone(), body };
        self.buffer.drain(..head_end + 4 + used);
        Some(arrived)
    }
}

/// The head of a message as real libprocess writes it, header by header.
fn is_as_captured(arrived: &Arrived) {
    let lines: Vec<&str> = arrived.head.split("\r\n").collect();
    let from = &arrived.from;
    let mut expected = vec![
        format!("POST {} HTTP/1.1", arrived.path),
        format!("User-Agent: libprocess/{from}"),
        format!("Libprocess-From: {from}"),
        "Connection: Keep-Alive".to_owned(),
        "Host: ".to_owned(),
    ];
    if !arrived.body.is_empty() {
        expected.push("Transfer-Encoding: chunked".to_owned());
    }
    assert_eq!(lines, expected);
}

fn agent_info(port: u16) -> proto::AgentInfo {
    let scalar = |name: &str, value: f64| proto::Resource {
        name: name.into(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value }),
        ..Default::default()
    };
    proto::AgentInfo {
        hostname: "emulated".into(),
        port: Some(i32::from(port)),
        resources: vec![scalar("cpus", 2.0), scalar("mem", 1024.0)],
        ..Default::default()
    }
}

fn capabilities() -> Vec<proto::agent_info::Capability> {
    use proto::agent_info::capability::Type;
    [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement]
        .map(|kind| proto::agent_info::Capability { r#type: Some(kind as i32) })
        .to_vec()
}

fn registration(port: u16) -> Message {
    internal::RegisterSlaveMessage {
        agent: agent_info(port),
        version: Some("1.11.0".into()),
        agent_capabilities: capabilities(),
        ..Default::default()
    }
    .into()
}

/// The bytes of a message as captured: chunked, lower-case hex, empty Host.
fn bytes(receiver: &str, from: &str, message: &Message) -> Vec<u8> {
    let head = format!(
        "POST /{receiver}/{} HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\nLibprocess-From: {from}\r\n\
         Connection: Keep-Alive\r\nHost: \r\n",
        message.name()
    );
    let body = message.encode();
    if body.is_empty() {
        return format!("{head}\r\n").into_bytes();
    }
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
    [head.as_bytes(), chunked.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
}

/// An agent of sockets that has joined.
struct Emulated {
    pid: String,
    listener: TcpListener,
    /// What it sends by.
    out: TcpStream,
    /// What the master sends by.
    link: Incoming,
    agent_id: String,
    observer: String,
}

fn join(cluster: &Cluster) -> Emulated {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pid = format!("slave(1)@127.0.0.1:{port}");
    let mut out = TcpStream::connect(("127.0.0.1", cluster.port)).unwrap();
    out.write_all(&bytes("master", &pid, &registration(port))).unwrap();
    let mut link = Incoming::accept(&listener);
    // Ping and registration come together, in either order, without waiting for answers.
    let (mut observer, mut agent_id) = (None, None);
    while observer.is_none() || agent_id.is_none() {
        let arrived = link.next().expect("a link that stays");
        is_as_captured(&arrived);
        let name = arrived.path.rsplit('/').next().unwrap();
        match Message::decode(name, &arrived.body).expect("a message") {
            Message::PingAgent(ping) => {
                assert!(ping.connected);
                observer = Some(arrived.from.clone());
            }
            Message::AgentRegistered(registered) => {
                assert_eq!(arrived.from, format!("master@127.0.0.1:{}", cluster.port));
                agent_id = Some(registered.agent_id.value);
            }
            other => panic!("{other:?}"),
        }
        assert!(arrived.path.starts_with("/slave(1)/"), "{}", arrived.path);
    }
    let mut answer = [0; 12];
    out.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    let (observer, agent_id) = (observer.unwrap(), agent_id.unwrap());
    assert!(observer.starts_with("slave-observer("), "{observer}");
    Emulated { pid, listener, out, link, agent_id, observer }
}

impl Emulated {
    fn send(&mut self, receiver: &str, message: &Message) {
        self.out.write_all(&bytes(receiver, &self.pid, message)).unwrap();
    }

    fn pong(&mut self) {
        let receiver = self.observer.split('@').next().unwrap().to_owned();
        self.send(&receiver, &internal::PongSlaveMessage {}.into());
    }
}

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

/// Connect, write, FIN, without waiting for the answer.
fn one_shot(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
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
