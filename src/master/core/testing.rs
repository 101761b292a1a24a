//! A master core on a bench: events in, effects kept, its registry and its allocator played.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::alloc::{Call, Grant};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::base::uuid::numbered;
use crate::master::flags::Flags;
use crate::proto::framework_info::{Capability, capability};
use crate::proto::internal::{
    RegisterSlaveMessage, ReregisterSlaveMessage, StatusUpdate, StatusUpdateMessage,
};
use crate::proto::message::Message;
use crate::proto::offer::operation;
use crate::proto::scheduler::{self, call, event};
use crate::proto::{
    self, AgentId, AgentInfo, CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, MasterInfo,
    Offer, Resource, TaskId, TaskInfo, TaskState, TaskStatus, agent_info, value,
};
use crate::registry::{Outcome, Registry};
use crate::resources::Resources;

use super::{Answer, Effect, Effects, Event, ReplyId, State, StreamId, Timer, check, handle};

pub struct Bench {
    pub state: State,
    pub now: Time,
    /// Since the last `take`.
    pub out: Effects,
    pub registry: Registry,
    replies: u64,
}

pub fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

pub fn some(cpus: f64, mem: f64) -> Vec<Resource> {
    vec![scalar("cpus", cpus), scalar("mem", mem)]
}

pub fn pid(id: &str, port: u16) -> Upid {
    Upid::new(id, SocketAddr::from(([127, 0, 0, 1], port)))
}

pub fn framework_info(capabilities: &[capability::Type]) -> FrameworkInfo {
    FrameworkInfo {
        user: "nobody".to_owned(),
        name: "test".to_owned(),
        capabilities: capabilities.iter().map(|kind| Capability { r#type: Some(*kind as i32) }).collect(),
        ..FrameworkInfo::default()
    }
}

pub fn aware() -> FrameworkInfo {
    FrameworkInfo { failover_timeout: Some(60.0), ..framework_info(&[capability::Type::PartitionAware]) }
}

/// A command task of one cpu and 32 MB.
pub fn task(id: &str, agent: &AgentId) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: agent.clone(),
        resources: some(1.0, 32.0),
        command: Some(CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

pub fn executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: id.into(),
        command: Some(CommandInfo { value: Some("./run".to_owned()), ..CommandInfo::default() }),
        resources: some(0.5, 32.0),
        ..ExecutorInfo::default()
    }
}

pub fn launch(tasks: Vec<TaskInfo>) -> proto::offer::Operation {
    proto::offer::Operation {
        r#type: Some(operation::Type::Launch as i32),
        launch: Some(operation::Launch { task_infos: tasks }),
        ..Default::default()
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[], Registry::default())
    }

    pub fn with(args: &[&str], registry: Registry) -> Bench {
        let mut all = vec!["--ip=127.0.0.1", "--port=0", "--hostname=localhost"];
        all.extend(args);
        let flags = Arc::new(Flags::from_args(&all).expect("valid flags"));
        let info = MasterInfo {
            id: "M".to_owned(),
            pid: Some("master@127.0.0.1:5050".into()),
            ..Default::default()
        };
        let (now, mut out) = (Time(1_000_000_000_000), Vec::new());
        let state = State::new(flags, info, &registry, now, now, &mut out);
        Bench { state, now, out, registry, replies: 0 }
    }

    /// One event, and whatever it has stored at once. The books must agree afterwards.
    pub fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let from = self.out.len();
            handle(&mut self.state, event, self.now, &mut self.out);
            check(&self.state).expect("invariants");
            for effect in &self.out[from..] {
                if let Effect::Store { operation, then } = effect {
                    let done = self.registry.apply(operation);
                    assert_eq!(done, Outcome::Stored, "{operation:?}");
                    events.insert(0, Event::Stored { then: then.clone(), done });
                }
            }
        }
    }

    pub fn take(&mut self) -> Effects {
        std::mem::take(&mut self.out)
    }

    pub fn message(&mut self, from: &Upid, message: impl Into<Message>) {
        let peer = SocketAddr::from((from.address.ip(), 40_000));
        self.message_from(from, peer, "master", message);
    }

    pub fn message_from(&mut self, from: &Upid, peer: SocketAddr, to: &str, message: impl Into<Message>) {
        let message = Box::new(message.into());
        self.event(Event::Message { from: from.clone(), peer, to: to.into(), message });
    }

    /// Lets time pass, and wakes all timers that were asked for meanwhile and are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.out.iter().enumerate().filter_map(|(index, effect)| match effect {
                Effect::Wake { at, .. } if *at <= end => Some((*at, index)),
                _ => None,
            });
            let Some((at, index)) = due.min() else { break };
            let Effect::Wake { timer, .. } = self.out.remove(index) else { continue };
            self.now = self.now.max(at);
            if timer != Timer::Allocate {
                self.event(Event::Timer(timer));
            }
        }
        self.now = end;
    }

    pub fn agent_message(resources: Vec<Resource>) -> RegisterSlaveMessage {
        RegisterSlaveMessage {
            agent: AgentInfo {
                hostname: "host".to_owned(),
                port: Some(5051),
                resources,
                ..Default::default()
            },
            version: Some("1.11.0".to_owned()),
            agent_capabilities: agent_capabilities(),
            ..Default::default()
        }
    }

    /// Registers an agent of 4 cpus and 1024 MB; gives its pid and id.
    pub fn agent(&mut self, port: u16) -> (Upid, AgentId) {
        let from = pid("slave(1)", port);
        self.message(&from, Bench::agent_message(some(4.0, 1024.0)));
        let id = self.sent_to(&from).into_iter().find_map(|message| match message {
            Message::AgentRegistered(registered) => Some(registered.agent_id.clone()),
            _ => None,
        });
        (from, id.expect("registered"))
    }

    /// The re-registration of a registered agent without tasks.
    pub fn coming_back(&self, id: &AgentId) -> ReregisterSlaveMessage {
        let resources = some(4.0, 1024.0);
        let message = Bench::agent_message(resources);
        ReregisterSlaveMessage {
            agent: AgentInfo { id: Some(id.clone()), ..message.agent },
            version: message.version,
            agent_capabilities: message.agent_capabilities,
            ..Default::default()
        }
    }

    /// Subscribes over a stream; gives the framework's id if it was taken.
    pub fn subscribe(&mut self, stream: &str, info: FrameworkInfo) -> Option<FrameworkId> {
        let call = scheduler::Call {
            framework_id: info.id.clone(),
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Default::default()
        };
        let from = self.out.len();
        self.event(Event::Subscribe { reply: ReplyId(0), stream: stream.into(), call: Box::new(call) });
        self.out[from..].iter().find_map(|effect| match effect {
            Effect::Stream { event, .. } => event.subscribed.as_ref().map(|own| own.framework_id.clone()),
            _ => None,
        })
    }

    pub fn call(&mut self, stream: &str, mut call: scheduler::Call) -> Answer {
        if call.framework_id.is_none() {
            let stream: StreamId = stream.into();
            let frameworks = &self.state.cluster().frameworks;
            let own = super::state::Connection::Http(stream);
            call.framework_id =
                frameworks.values().find(|known| known.connection == own).map(|known| known.id.clone());
        }
        self.replies += 1;
        let reply = ReplyId(self.replies);
        let stream = (!stream.is_empty()).then(|| stream.into());
        self.event(Event::Call { reply, stream, call: Box::new(call) });
        let answer = self.out.iter().find_map(|effect| match effect {
            Effect::Reply { reply: to, answer } if *to == reply => Some(answer.clone()),
            _ => None,
        });
        answer.expect("every call is answered")
    }

    /// An offer of `resources` to the framework.
    pub fn offer(&mut self, framework: &FrameworkId, agent: &AgentId, resources: Vec<Resource>) -> Offer {
        let number = self.number(agent);
        let resources = Resources::from_protos(&resources).expect("resources");
        let (framework, agent) = (framework.clone(), agent.clone());
        let grant = Grant { framework, role: "*".into(), agent, number, resources };
        let from = self.out.len();
        self.event(Event::Granted(vec![grant]));
        let offers = self.out[from..].iter().find_map(|effect| match effect {
            Effect::Stream { event, .. } => event.offers.clone(),
            Effect::Send { message, .. } => match &**message {
                Message::ResourceOffers(message) => Some(event::Offers { offers: message.offers.clone() }),
                _ => None,
            },
            _ => None,
        });
        offers.expect("an offer").offers.remove(0)
    }

    pub fn number(&self, agent: &AgentId) -> u64 {
        self.state.watches[agent].observer
    }

    pub fn accept(
        &mut self,
        stream: &str,
        offers: &[&Offer],
        operations: Vec<proto::offer::Operation>,
    ) -> Answer {
        let accept = call::Accept {
            offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
            operations,
            filters: None,
        };
        self.call(
            stream,
            scheduler::Call {
                r#type: Some(call::Type::Accept as i32),
                accept: Some(accept),
                ..Default::default()
            },
        )
    }

    /// An update of a task by its agent; the byte makes its uuid.
    pub fn update(
        &mut self,
        from: &Upid,
        agent: &AgentId,
        framework: &FrameworkId,
        task: &str,
        state: TaskState,
        byte: u8,
    ) {
        let uuid = Some(numbered(byte));
        let update = StatusUpdate {
            framework_id: framework.clone(),
            agent_id: Some(agent.clone()),
            status: TaskStatus {
                task_id: task.into(),
                state: state as i32,
                uuid: uuid.clone(),
                source: Some(proto::task_status::Source::Executor as i32),
                ..Default::default()
            },
            timestamp: 1.0,
            uuid,
            latest_state: Some(state as i32),
            ..Default::default()
        };
        self.message(from, StatusUpdateMessage { update, pid: Some(from.to_string()) });
    }

    pub fn acknowledge(&mut self, stream: &str, agent: &AgentId, task: &str, byte: u8) -> Answer {
        let acknowledge =
            call::Acknowledge { agent_id: agent.clone(), task_id: task.into(), uuid: numbered(byte) };
        self.call(
            stream,
            scheduler::Call {
                r#type: Some(call::Type::Acknowledge as i32),
                acknowledge: Some(acknowledge),
                ..Default::default()
            },
        )
    }

    // What came out since the last `take`.

    pub fn sent_to(&self, to: &Upid) -> Vec<&Message> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { to: own, message, .. } if own == to => Some(&**message),
                _ => None,
            })
            .collect()
    }

    pub fn events(&self, stream: &str) -> Vec<&scheduler::Event> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Stream { stream: own, event } if **own == *stream => Some(&**event),
                _ => None,
            })
            .collect()
    }

    pub fn updates(&self, stream: &str) -> Vec<&TaskStatus> {
        self.events(stream)
            .into_iter()
            .filter_map(|event| event.update.as_ref().map(|update| &update.status))
            .collect()
    }

    pub fn errors(&self, stream: &str) -> Vec<&str> {
        self.events(stream)
            .into_iter()
            .filter_map(|event| event.error.as_ref().map(|error| error.message.as_str()))
            .collect()
    }

    pub fn closed(&self, stream: &str) -> bool {
        self.out.iter().any(|effect| matches!(effect, Effect::CloseStream(own) if **own == *stream))
    }

    pub fn told_allocator(&self) -> Vec<&Call> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Alloc(call) => Some(call),
                _ => None,
            })
            .collect()
    }

    /// What went back to the allocator, all together.
    pub fn recovered(&self) -> Resources {
        let mut all = Resources::default();
        for call in self.told_allocator() {
            if let Call::Recover { resources, .. } = call {
                all += resources;
            }
        }
        all.unallocate();
        all
    }

    pub fn task(&self, framework: &FrameworkId, id: &str) -> Option<&super::state::Task> {
        self.state.cluster().framework(framework)?.tasks.get(&TaskId::from(id)).map(|task| &**task)
    }

    /// A registered agent, a subscribed framework on stream "s", and a task "t" on all of the agent's offer.
    pub fn running(info: FrameworkInfo) -> (Bench, Upid, AgentId, FrameworkId) {
        let mut bench = Bench::new();
        let (from, agent) = bench.agent(5051);
        let framework = bench.subscribe("s", info).expect("subscribed");
        let offer = bench.offer(&framework, &agent, some(4.0, 1024.0));
        bench.accept("s", &[&offer], vec![launch(vec![task("t", &agent)])]);
        bench.take();
        (bench, from, agent, framework)
    }
}

fn agent_capabilities() -> Vec<agent_info::Capability> {
    use agent_info::capability::Type;
    [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement]
        .map(|kind| agent_info::Capability { r#type: Some(kind as i32) })
        .to_vec()
}

/// A running task and its framework, as an agent that comes back describes them.
pub fn task_on(agent: &AgentId, framework: &FrameworkId, id: &str, executor: Option<&str>) -> proto::Task {
    let mut resources = some(1.0, 32.0);
    for resource in &mut resources {
        resource.allocation_info = Some(proto::resource::AllocationInfo { role: Some("*".to_owned()) });
    }
    proto::Task {
        name: id.to_owned(),
        task_id: id.into(),
        framework_id: framework.clone(),
        agent_id: agent.clone(),
        executor_id: executor.map(ExecutorId::from),
        state: TaskState::TaskRunning as i32,
        resources,
        ..Default::default()
    }
}
