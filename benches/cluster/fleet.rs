//! Emulated agents: thousands of v0 agents in one thread, at addresses of their own (127.x.y.z), linked to the
//! master and linked by it, as real agents are.
//!
//! Other than real ones they run nothing: a task goes through its states as fast as the master lets it. And
//! large fleets share addresses, some agents to each (`slave(1)`, `slave(2)`…), since both masters and the
//! emulator must stay within a limit of 20,000 open files.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mesos::base::upid::Upid;
use mesos::process::frame;
use mesos::proto::agent_info::{Capability, capability};
use mesos::proto::{self, AgentId, AgentInfo, FrameworkInfo, Message, Resource, TaskId, TaskState, internal};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::wire::{self, Messages, Outlet};

/// Connections being opened at once: a storm would only measure the kernel's retransmissions.
const OPENING: usize = 256;

/// Addresses of a fleet; each takes two connections at either end.
const ADDRESSES: usize = 2_500;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What libprocess answers to a message.
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// What an emulated agent does with a task.
pub const RUNNING: &[TaskState] = &[TaskState::TaskRunning];
pub const WHOLE_LIFE: &[TaskState] =
    &[TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished];

/// What the fleet has seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub registered: usize,
    pub reregistered: usize,
}

pub struct Fleet {
    master: Upid,
    /// The number of the first address.
    first: usize,
    /// Agents at each address.
    each: usize,
    agents: RefCell<Vec<Agent>>,
    script: Cell<&'static [TaskState]>,
    seen: Cell<Seen>,
    pub changed: Notify,
}

struct Agent {
    pid: Upid,
    info: AgentInfo,
    /// Its address' connection to the master.
    outlet: Option<Rc<Outlet>>,
    /// States that a task has still to tell of.
    tasks: HashMap<TaskId, Life>,
}

struct Life {
    framework: proto::FrameworkId,
    left: VecDeque<TaskState>,
}

fn address(index: usize) -> Ipv4Addr {
    let [_, a, b, c] = (index as u32 + 1).to_be_bytes();
    Ipv4Addr::new(127, 1 + a, b, c)
}

fn index(ip: Ipv4Addr) -> usize {
    let [_, a, b, c] = ip.octets();
    u32::from_be_bytes([0, a - 1, b, c]) as usize - 1
}

pub fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value }),
        ..Resource::default()
    }
}

fn resources() -> Vec<Resource> {
    let range = proto::value::Range { begin: 31000, end: 32000 };
    let ports = Resource {
        name: "ports".to_owned(),
        r#type: proto::value::Type::Ranges as i32,
        ranges: Some(proto::value::Ranges { range: vec![range] }),
        ..Resource::default()
    };
    vec![scalar("cpus", 16.0), scalar("mem", 65536.0), scalar("disk", 1_000_000.0), ports]
}

fn capabilities() -> Vec<Capability> {
    use capability::Type;
    let types = [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement, Type::AgentDraining];
    types.map(|kind| Capability { r#type: Some(kind as i32) }).to_vec()
}

impl Fleet {
    /// Agents that nobody has heard of yet, and their common listener.
    pub async fn new(master: SocketAddr, agents: usize) -> io::Result<Rc<Fleet>> {
        Fleet::new_from(master, 0, agents).await
    }

    /// As `new`, at the addresses from number `first` on.
    pub async fn new_from(master: SocketAddr, first: usize, agents: usize) -> io::Result<Rc<Fleet>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        let each = agents.div_ceil(ADDRESSES).max(1);
        let agent = |number| {
            let info = AgentInfo {
                hostname: format!("agent-{first}-{number}.example.org"),
                port: Some(i32::from(port)),
                resources: resources(),
                ..AgentInfo::default()
            };
            let ip = IpAddr::V4(address(first + number / each));
            let pid = Upid::new(&format!("slave({})", number % each + 1), SocketAddr::new(ip, port));
            Agent { pid, info, outlet: None, tasks: HashMap::new() }
        };
        let fleet = Rc::new(Fleet {
            master: Upid::new("master", master),
            first,
            each,
            agents: RefCell::new((0..agents).map(agent).collect()),
            script: Cell::new(RUNNING),
            seen: Cell::default(),
            changed: Notify::new(),
        });
        tokio::task::spawn_local(fleet.clone().listen(listener));
        Ok(fleet)
    }

    pub fn seen(&self) -> Seen {
        self.seen.get()
    }

    pub fn play(&self, script: &'static [TaskState]) {
        self.script.set(script);
    }

    /// The agents are no more: their master has ended, and another fleet needs their descriptors.
    pub fn leave(&self) {
        for agent in self.agents.borrow_mut().iter_mut() {
            agent.outlet = None;
        }
    }

    fn count(&self, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.get();
        change(&mut seen);
        self.seen.set(seen);
        self.changed.notify_waiters();
    }

    /// Connects all agents and registers them.
    pub fn register(self: &Rc<Self>) {
        self.introduce(|info| {
            internal::RegisterSlaveMessage {
                agent: info.clone(),
                version: Some("1.11.0".to_owned()),
                agent_capabilities: capabilities(),
                ..Default::default()
            }
            .into()
        });
    }

    /// Connects all agents anew and lets each come back with `tasks` running tasks of a framework.
    pub fn reregister(self: &Rc<Self>, framework: &FrameworkInfo, tasks: usize) {
        let framework = framework.clone();
        self.introduce(move |info| {
            internal::ReregisterSlaveMessage {
                agent: info.clone(),
                version: Some("1.11.0".to_owned()),
                agent_capabilities: capabilities(),
                tasks: (0..tasks).map(|number| running(info, &framework, number)).collect(),
                frameworks: vec![framework.clone()],
                ..Default::default()
            }
            .into()
        });
    }

    fn introduce(self: &Rc<Self>, message: impl Fn(&AgentInfo) -> Message + 'static) {
        let fleet = self.clone();
        let addresses = self.agents.borrow().len().div_ceil(self.each);
        tokio::task::spawn_local(async move {
            let (opening, message) = (Arc::new(Semaphore::new(OPENING)), Rc::new(message));
            for number in 0..addresses {
                let permit = opening.clone().acquire_owned().await.expect("never closed");
                let (fleet, message) = (fleet.clone(), message.clone());
                tokio::task::spawn_local(async move {
                    let from = Some(IpAddr::V4(address(fleet.first + number)));
                    let outlet = Outlet::open(from, fleet.master.address).await.expect("the master listens");
                    drop(permit);
                    let count = fleet.agents.borrow().len();
                    for agent in number * fleet.each..((number + 1) * fleet.each).min(count) {
                        fleet.agents.borrow_mut()[agent].outlet = Some(outlet.clone());
                        let first = message(&fleet.agents.borrow()[agent].info);
                        fleet.send(agent, "master", &first);
                    }
                    // It ends with the master.
                    let _ = outlet.serve(|answers| answers.clear()).await;
                });
            }
        });
    }

    fn send(&self, agent: usize, to: &str, message: &Message) {
        let agents = self.agents.borrow();
        let agent = &agents[agent];
        let to = Upid::new(to, self.master.address);
        let mut bytes = Vec::new();
        let large = frame::write(&mut bytes, &agent.pid, &to, message.name(), message.encode().into());
        if let Some(outlet) = &agent.outlet {
            outlet.send(|out| {
                out.extend_from_slice(&bytes);
                if let Some(large) = large {
                    out.extend_from_slice(&large);
                    out.extend_from_slice(frame::TRAILER);
                }
            });
        }
    }

    async fn listen(self: Rc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let Ok(SocketAddr::V4(local)) = stream.local_addr() else { continue };
            tokio::task::spawn_local(self.clone().hear(stream, index(*local.ip()) - self.first));
        }
    }

    /// What the master sends to the agents at one address.
    async fn hear(self: Rc<Self>, stream: TcpStream, address: usize) {
        let mut messages = Messages::default();
        while stream.readable().await.is_ok() {
            if wire::read(&stream, messages.buffer()).is_err() {
                return;
            }
            let mut answers = BytesMut::new();
            while let Some((head, body)) = messages.take() {
                answers.extend_from_slice(ACCEPTED);
                self.received(address, &head, &body);
            }
            // As many answers as messages are small beside the socket's buffer.
            let _ = stream.try_write(&answers);
        }
    }

    fn received(&self, address: usize, head: &wire::Head, body: &Bytes) {
        let path = head.first.split(' ').nth(1).unwrap_or_default();
        let mut parts = path.trim_start_matches("/slave(").split(")/");
        let (number, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let number: usize = number.parse().expect("it is sent to slave(N)");
        let agent = address * self.each + number - 1;
        let Ok(message) = Message::decode(name, body) else {
            panic!("the master sent what nobody understands: {}", head.first);
        };
        match message {
            Message::AgentRegistered(message) => {
                self.registered(agent, message.agent_id);
                self.count(|seen| seen.registered += 1);
            }
            Message::AgentReregistered(message) => {
                self.registered(agent, message.agent_id);
                self.count(|seen| seen.reregistered += 1);
            }
            Message::PingAgent(_) => {
                let observer = head.header("libprocess-from").and_then(|from| from.split('@').next());
                self.send(agent, observer.unwrap_or_default(), &internal::PongSlaveMessage {}.into());
            }
            Message::RunTask(message) => {
                let framework = message.framework.id.clone().expect("the master adds it");
                let life = Life { framework, left: self.script.get().iter().copied().collect() };
                let task = message.task.task_id.clone();
                self.agents.borrow_mut()[agent].tasks.insert(task.clone(), life);
                self.tell(agent, &task);
            }
            Message::StatusUpdateAcknowledgement(message) => self.tell(agent, &message.task_id),
            Message::Shutdown(message) => panic!("an agent is told to end: {:?}", message.message),
            _ => {}
        }
    }

    fn registered(&self, agent: usize, id: AgentId) {
        self.agents.borrow_mut()[agent].info.id = Some(id.clone());
        let update = internal::UpdateSlaveMessage {
            agent_id: id,
            update_oversubscribed_resources: Some(false),
            ..Default::default()
        };
        self.send(agent, "master", &update.into());
    }

    /// A task's next state, if it has one left.
    fn tell(&self, agent: usize, task: &TaskId) {
        let update = {
            let mut agents = self.agents.borrow_mut();
            let agent = &mut agents[agent];
            let Some(life) = agent.tasks.get_mut(task) else { return };
            let Some(state) = life.left.pop_front() else {
                agent.tasks.remove(task);
                return;
            };
            let framework = life.framework.clone();
            status_update(agent, framework, task, state)
        };
        self.send(agent, "master", &update.into());
    }
}

fn status_update(
    agent: &Agent,
    framework: proto::FrameworkId,
    task: &TaskId,
    state: TaskState,
) -> internal::StatusUpdateMessage {
    let uuid = Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let status = proto::TaskStatus {
        task_id: task.clone(),
        state: state as i32,
        source: Some(proto::task_status::Source::Executor as i32),
        agent_id: agent.info.id.clone(),
        executor_id: Some(task.value.clone().into()),
        timestamp: Some(1.8e9),
        uuid: Some(uuid.clone()),
        ..Default::default()
    };
    internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: framework,
            executor_id: Some(task.value.clone().into()),
            agent_id: agent.info.id.clone(),
            timestamp: 1.8e9,
            uuid: Some(uuid),
            latest_state: Some(state as i32),
            status,
        },
        pid: Some(agent.pid.to_string()),
    }
}

/// A task as an agent that comes back knows it.
fn running(agent: &AgentInfo, framework: &FrameworkInfo, number: usize) -> proto::Task {
    let allocated = |mut resource: Resource| {
        let role = Some("*".to_owned());
        resource.allocation_info = Some(proto::resource::AllocationInfo { role });
        resource
    };
    let agent_id = agent.id.clone().expect("it was registered");
    proto::Task {
        name: "sleep".to_owned(),
        task_id: format!("{agent_id}-{number}").into(),
        framework_id: framework.id.clone().expect("it was subscribed"),
        agent_id,
        state: TaskState::TaskRunning as i32,
        resources: vec![allocated(scalar("cpus", 0.1)), allocated(scalar("mem", 32.0))],
        status_update_state: Some(TaskState::TaskRunning as i32),
        ..Default::default()
    }
}
