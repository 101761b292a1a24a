//! libprocess by the byte: messages as captured from real ones, and an agent and a v0 driver that are only sockets.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use mesos::proto::{self, Message, internal};

use super::raw::{find, is_timeout};
use super::{Cluster, DEADLINE, wait_for};

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// `/slave(1)/mesos.internal.PingSlaveMessage`.
    pub path: String,
    pub from: String,
    pub head: String,
    pub body: Vec<u8>,
}

/// All connections that are opened to us: who sends one message and links then may say the next over either.
pub struct Arrivals<'a> {
    listener: &'a TcpListener,
    links: Vec<Incoming>,
}

impl Arrivals<'_> {
    pub fn of(listener: &TcpListener) -> Arrivals<'_> {
        listener.set_nonblocking(true).unwrap();
        Arrivals { listener, links: Vec::new() }
    }

    /// The next message, whichever way it comes.
    pub fn next(&mut self) -> Arrived {
        wait_for("a message", || {
            if let Ok((stream, _)) = self.listener.accept() {
                self.links.push(Incoming { stream, buffer: Vec::new() });
            }
            self.links.iter_mut().find_map(Incoming::poll)
        })
    }
}

/// One connection that somebody opened to us, read message by message.
pub struct Incoming {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Incoming {
    pub fn accept(listener: &TcpListener) -> Incoming {
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = wait_for("a connection", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Incoming { stream, buffer: Vec::new() }
    }

    /// The next message; none at the end of the stream. Never answered: real senders do not read answers.
    pub fn next(&mut self) -> Option<Arrived> {
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

    /// A message that is there already.
    fn poll(&mut self) -> Option<Arrived> {
        self.stream.set_nonblocking(true).unwrap();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut piece) {
            self.buffer.extend_from_slice(&piece[..count]);
        }
        self.take()
    }

    /// The next message called so; others on the way are dropped.
    pub fn next_named(&mut self, name: &str) -> Arrived {
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
pub fn is_as_captured(arrived: &Arrived) {
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

pub fn agent_info(port: u16) -> proto::AgentInfo {
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

pub fn capabilities() -> Vec<proto::agent_info::Capability> {
    use proto::agent_info::capability::Type;
    [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement]
        .map(|kind| proto::agent_info::Capability { r#type: Some(kind as i32) })
        .to_vec()
}

pub fn registration(port: u16) -> Message {
    internal::RegisterSlaveMessage {
        agent: agent_info(port),
        version: Some("1.11.0".into()),
        agent_capabilities: capabilities(),
        ..Default::default()
    }
    .into()
}

/// The bytes of a message as captured: chunked, lower-case hex, empty Host.
pub fn bytes(receiver: &str, from: &str, message: &Message) -> Vec<u8> {
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
pub struct Emulated {
    pub pid: String,
    pub listener: TcpListener,
    /// What it sends by.
    pub out: TcpStream,
    /// What the master sends by.
    pub link: Incoming,
    pub agent_id: String,
    pub observer: String,
}

pub fn join(cluster: &Cluster) -> Emulated {
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
    pub fn send(&mut self, receiver: &str, message: &Message) {
        self.out.write_all(&bytes(receiver, &self.pid, message)).unwrap();
    }

    pub fn pong(&mut self) {
        let receiver = self.observer.split('@').next().unwrap().to_owned();
        self.send(&receiver, &internal::PongSlaveMessage {}.into());
    }
}

/// Connect, write, FIN, without waiting for the answer.
pub fn one_shot(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}
