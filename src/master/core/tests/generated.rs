//! Whatever comes, and in whatever order: the books agree after every event.

use std::time::Duration;

use prost::Message as _;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::testing::{Bench, aware, framework_info, launch, pid, some, task};
use super::super::{Effect, Event, ReplyId};
use crate::alloc::Grant;
use crate::base::upid::Upid;
use crate::proto::framework_info::capability::Type as Capability;
use crate::proto::message::{DriverCall, Message};
use crate::proto::scheduler::{self, call};
use crate::proto::table::{self, Message as Table};
use crate::proto::{AgentId, FrameworkId, FrameworkInfo, TaskState, internal};
use crate::registry::Registry;
use crate::resources::Resources;

#[path = "../../../../tests/support/generate.rs"]
mod generate;
use generate::{Generator, Names};

const SEEDS: u64 = 40;
const STEPS: usize = 300;

macro_rules! tables {
    ($($kind:ident)*) => { [$(table::of::<internal::$kind>()),*] };
}

fn messages() -> Vec<&'static Table> {
    tables!(RegisterSlaveMessage ReregisterSlaveMessage UpdateSlaveMessage StatusUpdateMessage ExitedExecutorMessage
        UnregisterSlaveMessage UpdateOperationStatusMessage RegisterFrameworkMessage ReregisterFrameworkMessage
        UnregisterFrameworkMessage DeactivateFrameworkMessage LaunchTasksMessage KillTaskMessage
        ReconcileTasksMessage ReviveOffersMessage ExecutorToFrameworkMessage FrameworkToExecutorMessage
        StatusUpdateAcknowledgementMessage AuthenticateMessage PongSlaveMessage)
    .into_iter()
    .chain([table::of::<scheduler::CallV0>()])
    .collect()
}

struct World {
    bench: Bench,
    random: ChaCha8Rng,
    pids: Vec<Upid>,
    streams: u32,
    /// Tasks sent to agents, and statuses sent to schedulers.
    done: (usize, usize),
}

impl World {
    fn new(seed: u64) -> World {
        let mut bench = Bench::with(&["--offer_timeout=20secs"], Registry::default());
        let pids = vec![bench.agent(1).0, bench.agent(2).0, pid("scheduler", 3), pid("scheduler", 4)];
        bench.subscribe("1", aware());
        bench.subscribe("2", framework_info(&[Capability::MultiRole]));
        World { bench, random: ChaCha8Rng::seed_from_u64(seed), pids, streams: 2, done: (0, 0) }
    }

    fn agents(&self) -> Vec<AgentId> {
        self.bench.state.cluster().agents.keys().cloned().collect()
    }

    fn frameworks(&self) -> Vec<FrameworkId> {
        self.bench.state.cluster().frameworks.keys().cloned().collect()
    }

    fn names(&self) -> Names {
        let cluster = self.bench.state.cluster();
        let mut agents: Vec<String> = self.agents().into_iter().map(|id| id.value).collect();
        agents.extend(["M-S0".to_owned(), "M-S1".to_owned(), "M-S7".to_owned()]);
        Names {
            frameworks: self
                .frameworks()
                .into_iter()
                .map(|id| id.value)
                .chain(["M-0000".to_owned()])
                .collect(),
            agents,
            offers: cluster.offers.keys().map(|id| id.value.clone()).collect(),
            executors: vec!["e".into(), "t1".into()],
            tasks: (0..5).map(|i| format!("t{i}")).collect(),
            pids: self.pids.iter().map(ToString::to_string).collect(),
        }
    }

    fn generated(&mut self, table: &Table) -> Vec<u8> {
        let names = self.names();
        let seed = self.random.random();
        Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names }.message(table, 4)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.choose(&mut self.random).cloned()
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.message(),
            25..35 => self.call(),
            35..55 => self.grant(),
            55..70 => self.launch(),
            70..80 => self.update(),
            80..84 => self.connection(),
            84..88 => self.subscribe(),
            88..92 => self.agent_returns(),
            _ => {
                let seconds = self.random.random_range(0..30);
                self.bench.pass(Duration::from_secs(seconds));
            }
        }
        for effect in &self.bench.out {
            match effect {
                Effect::Send { message, .. } if matches!(**message, Message::RunTask(_)) => self.done.0 += 1,
                Effect::Stream { event, .. } if event.update.is_some() => self.done.1 += 1,
                _ => {}
            }
        }
        // Only what is to come counts.
        self.bench.out.retain(|effect| matches!(effect, Effect::Wake { .. }));
    }

    fn message(&mut self) {
        let table = self.pick(&messages()).expect("some");
        let bytes = self.generated(table);
        let name = if table.name.ends_with("CallV0") { "mesos.scheduler.Call" } else { table.name };
        let from = self.pick(&self.pids.clone()).expect("some");
        if let Ok(message) = Message::decode(name, &bytes) {
            let to = if matches!(message, Message::PongAgent(_)) { "slave-observer(1)" } else { "master" };
            let peer = std::net::SocketAddr::from((from.address.ip(), 40_000));
            self.bench.event(Event::Message { from, peer, to: to.into(), message: Box::new(message) });
        }
    }

    fn stream(&mut self) -> String {
        self.random.random_range(1..=self.streams).to_string()
    }

    fn call(&mut self) {
        let bytes = self.generated(table::of::<scheduler::Call>());
        let stream = self.stream();
        let Ok(call) = scheduler::Call::decode(&bytes[..]) else { return };
        if crate::master::validate::call::validate(&call).is_err() || call.r#type() == call::Type::Subscribe {
            return;
        }
        if self.random.random_bool(0.5) {
            let call = Message::SchedulerCall(Box::new(DriverCall { call, force: false }));
            let from = self.pids[2..].choose(&mut self.random).expect("some").clone();
            self.bench.message(&from, call);
        } else {
            self.bench.event(Event::Call {
                reply: ReplyId(1),
                stream: Some(stream.into()),
                call: Box::new(call),
            });
        }
    }

    /// Free resources, as the allocator would offer them; at times a stale one.
    fn grant(&mut self) {
        let (Some(agent), Some(framework)) = (self.pick(&self.agents()), self.pick(&self.frameworks()))
        else {
            return;
        };
        let mut resources = self.bench.state.cluster().agent(&agent).expect("known").free();
        if resources.is_empty() {
            return;
        }
        if self.random.random_bool(0.5)
            && resources.contains(&Resources::from_protos(&some(1.0, 64.0)).expect("fine"))
        {
            resources = Resources::from_protos(&some(1.0, 64.0)).expect("fine");
        }
        let role =
            self.bench.state.cluster().framework(&framework).and_then(|known| known.roles.first().cloned());
        let role = role.unwrap_or_else(|| "*".into());
        let number = self.bench.state.watches.get(&agent).map_or(0, |watch| watch.observer);
        let number = number + u64::from(self.random.random_bool(0.05));
        self.bench.event(Event::Granted(vec![Grant { framework, role, agent, number, resources }]));
    }

    fn launch(&mut self) {
        let offers: Vec<_> =
            self.bench.state.cluster().offers.iter().map(|(id, offer)| (id.clone(), offer.clone())).collect();
        let Some((id, offer)) = self.pick(&offers) else { return };
        let name = format!("t{}", self.random.random_range(0..5));
        let operations = vec![launch(vec![task(&name, &offer.agent)])];
        let accept = call::Accept { offer_ids: vec![id], operations, filters: None };
        let call = scheduler::Call {
            framework_id: Some(offer.framework.clone()),
            r#type: Some(call::Type::Accept as i32),
            accept: Some(accept),
            ..Default::default()
        };
        let connection =
            self.bench.state.cluster().framework(&offer.framework).expect("known").connection.clone();
        match connection {
            super::super::state::Connection::Http(stream) => {
                let reply = ReplyId(1);
                self.bench.event(Event::Call { reply, stream: Some(stream), call: Box::new(call) });
            }
            super::super::state::Connection::Pid(from) => {
                self.bench.message(&from, DriverCall { call, force: false });
            }
            _ => {}
        }
    }

    fn update(&mut self) {
        let states =
            [TaskState::TaskRunning, TaskState::TaskFinished, TaskState::TaskStarting, TaskState::TaskGone];
        let (Some(agent), Some(framework)) = (self.pick(&self.agents()), self.pick(&self.frameworks()))
        else {
            return;
        };
        let from = self.bench.state.cluster().agent(&agent).expect("known").pid.clone();
        let name = format!("t{}", self.random.random_range(0..5));
        let (state, byte) = (self.pick(&states).expect("some"), self.random.random_range(0..4));
        self.bench.update(&from, &agent, &framework, &name, state, byte);
        if self.random.random_bool(0.5) {
            let stream = self.stream();
            self.bench.acknowledge(&stream, &agent, &name, byte);
        }
    }

    fn connection(&mut self) {
        if self.random.random_bool(0.5) {
            let address = self.pick(&self.pids.clone()).expect("some").address;
            self.bench.event(Event::Exited(address));
        } else {
            let stream = self.stream();
            self.bench.event(Event::StreamClosed(stream.as_str().into()));
        }
    }

    fn subscribe(&mut self) {
        let id = if self.random.random_bool(0.6) { self.pick(&self.frameworks()) } else { None };
        let info = FrameworkInfo { id, ..aware() };
        self.streams += 1;
        let stream = self.streams.to_string();
        self.bench.subscribe(&stream, info);
    }

    fn agent_returns(&mut self) {
        let ids: Vec<AgentId> = self.names().agents.iter().map(|id| id.as_str().into()).collect();
        let id = self.pick(&ids).expect("some");
        let from = self.pids[..2].choose(&mut self.random).expect("some").clone();
        let message = self.bench.coming_back(&id);
        self.bench.message(&from, message);
    }
}

#[test]
fn the_books_agree_after_every_event() {
    let mut done = (0, 0);
    for seed in 0..SEEDS {
        let played = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..STEPS).for_each(|_| world.step());
            world.done
        });
        let played = played.unwrap_or_else(|_| panic!("seed {seed}"));
        done = (done.0 + played.0, done.1 + played.1);
    }
    // Or else it would all have been refused.
    assert!(done.0 > 10 * SEEDS as usize && done.1 > 10 * SEEDS as usize, "{done:?}");
}
