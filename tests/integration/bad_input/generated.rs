//! Messages and calls that nobody wrote: well formed, with the ids of things that exist or nearly do, and values
//! at every edge. They come from those who may send them, so they change what they like; nobody may fall over,
//! and what comes after must work.
//!
//! `MESOS_SEED=n` plays one seed again, `MESOS_SEEDS=n` more of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use mesos::proto::table::{self, Enum, Field, Kind, Label, Message as Table};
use mesos::proto::{executor, internal, scheduler as api};
use prost::encoding::{WireType, encode_key, encode_varint};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{Target, To};
use crate::support::raw::{self, request};
use crate::support::scheduler::{PATH, Scheduler, framework, with};
use crate::support::wait_for;

/// Messages a connection and a seed.
const COUNT: usize = 400;

/// What is known of a cluster, to speak of things that exist.
struct Names {
    frameworks: Vec<String>,
    agents: Vec<String>,
    offers: Vec<String>,
    executors: Vec<String>,
    tasks: Vec<String>,
    pids: Vec<String>,
}

struct Generator<'a> {
    random: ChaCha8Rng,
    names: &'a Names,
}

impl Generator<'_> {
    fn message(&mut self, table: &Table, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for field in table.fields {
            let count = match field.label {
                Label::Required => 1,
                Label::Optional if depth == 0 && matches!(field.kind, Kind::Message(_)) => 0,
                Label::Optional => usize::from(self.random.random_bool(0.6)),
                Label::Repeated | Label::Map if depth == 0 => 0,
                Label::Repeated | Label::Map => self.random.random_range(0..3),
            };
            for _ in 0..count {
                self.field(table, field, depth, &mut out);
            }
        }
        out
    }

    fn field(&mut self, table: &Table, field: &Field, depth: usize, out: &mut Vec<u8>) {
        let number = field.number;
        let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        };
        match field.kind {
            Kind::Message(inner) => {
                let inner = self.message(inner, depth.saturating_sub(1));
                bytes(&inner, out);
            }
            Kind::String => {
                let text = self.text(table.name, field.names[1]);
                bytes(text.as_bytes(), out);
            }
            Kind::Bytes => {
                let length = *[16, 16, 16, 0, 1, 15, 1000].choose(&mut self.random).expect("some");
                let mut value = vec![0; length];
                self.random.fill_bytes(&mut value);
                bytes(&value, out);
            }
            Kind::Double => {
                let value = self.double();
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
                encode_key(number, WireType::ThirtyTwoBit, out);
                out.extend_from_slice(&(self.double() as f32).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 => {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&self.integer().to_le_bytes());
            }
            Kind::Enum(values) => {
                let value = self.enumerated(values);
                encode_key(number, WireType::Varint, out);
                encode_varint(i64::from(value) as u64, out);
            }
            Kind::Bool => {
                encode_key(number, WireType::Varint, out);
                encode_varint(u64::from(self.random.random_bool(0.5)), out);
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => {
                encode_key(number, WireType::Varint, out);
                encode_varint(self.integer(), out);
            }
        }
    }

    /// An id that exists where one is meant, mostly; else what a name may or may not be.
    fn text(&mut self, of: &str, field: &str) -> String {
        let known = match of.rsplit('.').next().unwrap_or_default() {
            "FrameworkID" => &self.names.frameworks,
            "SlaveID" | "AgentID" => &self.names.agents,
            "OfferID" => &self.names.offers,
            "ExecutorID" => &self.names.executors,
            "TaskID" => &self.names.tasks,
            _ if field == "pid" => &self.names.pids,
            _ => &Vec::new(),
        };
        if self.random.random_bool(0.8)
            && let Some(name) = known.choose(&mut self.random)
        {
            return name.clone();
        }
        if self.random.random_bool(0.8) {
            return (*["*", "*", "cpus", "mem", "ports", "x", "true"]
                .choose(&mut self.random)
                .expect("some"))
            .to_owned();
        }
        let texts = [
            "*",
            "*",
            "*",
            "cpus",
            "cpus",
            "mem",
            "disk",
            "ports",
            "gpus",
            "web",
            "a/b",
            "x",
            "new",
            "",
            "..",
            "a/../b",
            "\0",
            "sleep 1",
            "true",
            "root",
            "127.0.0.1",
            "master@127.0.0.1:1",
            "1.11.0",
            "\u{1F600}",
            "/tmp/x",
            "http://127.0.0.1:1/x",
        ];
        (*texts.choose(&mut self.random).expect("some")).to_owned()
    }

    fn double(&mut self) -> f64 {
        if self.random.random_bool(0.8) {
            return *[0.1, 0.5, 1.0].choose(&mut self.random).expect("some");
        }
        let values = [
            0.0,
            1.0,
            0.1,
            0.5,
            2.0,
            32.0,
            100.0,
            -1.0,
            0.0001,
            1e15,
            1e308,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
        ];
        *values.choose(&mut self.random).expect("some")
    }

    fn integer(&mut self) -> u64 {
        if self.random.random_bool(0.7) {
            return *[1, 31_000, 31_001, 1_000_000_000].choose(&mut self.random).expect("some");
        }
        let values = [
            0,
            1,
            2,
            31_000,
            31_001,
            32_000,
            65_535,
            1 << 31,
            u64::MAX,
            i64::MAX as u64,
            1 << 63,
            1_000_000_000,
        ];
        *values.choose(&mut self.random).expect("some")
    }

    fn enumerated(&mut self, of: &Enum) -> i32 {
        if self.random.random_bool(0.03) {
            return *[-1, 77, i32::MAX, i32::MIN].choose(&mut self.random).expect("some");
        }
        of.values.choose(&mut self.random).map_or(0, |value| value.number)
    }
}

macro_rules! tables {
    ($($kind:ident)*) => { [$(table::of::<internal::$kind>()),*] };
}

/// What an agent or a driver sends to a master.
fn for_master() -> Vec<&'static Table> {
    tables!(RegisterSlaveMessage ReregisterSlaveMessage ReregisterSlaveMessage UpdateSlaveMessage StatusUpdateMessage
        StatusUpdateMessage ExitedExecutorMessage UnregisterSlaveMessage UpdateOperationStatusMessage
        RegisterFrameworkMessage ReregisterFrameworkMessage UnregisterFrameworkMessage DeactivateFrameworkMessage
        ResourceRequestMessage LaunchTasksMessage KillTaskMessage ReconcileTasksMessage ReviveOffersMessage
        ExecutorToFrameworkMessage FrameworkToExecutorMessage StatusUpdateAcknowledgementMessage AuthenticateMessage
        SubmitSchedulerRequest PongSlaveMessage)
    .into_iter()
    .chain([table::of::<api::CallV0>(), table::of::<api::Call>(), table::of::<api::Call>()])
    .collect()
}

/// What a master, an executor or a driver sends to an agent; but not the order to end.
fn for_agent() -> Vec<&'static Table> {
    tables!(RunTaskMessage RunTaskMessage RunTaskGroupMessage KillTaskMessage ShutdownFrameworkMessage
        ShutdownExecutorMessage UpdateFrameworkMessage CheckpointResourcesMessage ApplyOperationMessage
        StatusUpdateAcknowledgementMessage StatusUpdateMessage RegisterExecutorMessage ReregisterExecutorMessage
        ExecutorToFrameworkMessage FrameworkToExecutorMessage PingSlaveMessage ReconcileOperationsMessage
        AcknowledgeOperationStatusMessage DrainSlaveMessage SlaveReregisteredMessage)
    .into_iter()
    .collect()
}

/// `mesos.scheduler.CallV0` travels by the name of the call that it is.
fn name_on_the_wire(table: &Table) -> &str {
    if table.name.ends_with("CallV0") { "mesos.scheduler.Call" } else { table.name }
}

fn seeds() -> Vec<u64> {
    match std::env::var("MESOS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => {
            let count = std::env::var("MESOS_SEEDS").ok().and_then(|count| count.parse().ok());
            (0..count.unwrap_or(4)).collect()
        }
    }
}

fn start() -> (Target, Scheduler, Names) {
    // Frameworks that come into being here answer no offers.
    let target = Target::start_with(&["--offer_timeout=1secs"]);
    let info = with(framework("generated"), json!({"failover_timeout": 1000.0, "checkpoint": true}));
    let mut scheduler = Scheduler::subscribe(target.cluster.port, info);
    scheduler.run("task", "sleep 1000");
    scheduler.until("task", "TASK_RUNNING");
    let offer = scheduler.offer();
    let [master, _] = target.states();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let names = Names {
        frameworks: vec![scheduler.framework_id.clone()],
        agents: vec![text(&master["slaves"][0]["id"])],
        offers: vec![text(&offer["id"]["value"])],
        executors: vec!["task".into(), "other".into()],
        tasks: vec!["task".into(), "t1".into(), "t2".into()],
        pids: vec![text(&master["slaves"][0]["pid"]), text(&master["pid"]), "scheduler-1@127.0.0.1:1".into()],
    };
    (target, scheduler, names)
}

/// Writes all, reads answers until the other side is done with them.
fn converse(port: u16, requests: &[u8]) {
    let stream = raw::connect(port);
    let mut writer = stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = writer.write_all(requests);
            let _ = writer.shutdown(Shutdown::Write);
        });
        let stream: &TcpStream = &stream;
        let _ = std::io::copy(&mut stream.take(1 << 30), &mut std::io::sink());
    });
}

/// A cluster after all that is as good as a new one: another agent joins and runs a task.
fn works(mut target: Target, seed: u64) {
    eprintln!("seed {seed}");
    let name = format!("after-{seed}");
    let running = target.cluster.master.running();
    assert!(running, "seed {seed}: the master has ended");
    target.cluster.add_agent(1, &["--attributes=fresh:yes"]);
    let mut scheduler = Scheduler::subscribe(target.cluster.port, framework("after"));
    // Whoever is older may be offered to as well; the fresh one is surely there.
    let offer = wait_for("an offer of the fresh agent", || {
        let offer = scheduler.offer();
        (!offer["attributes"].is_null()).then_some(offer)
    });
    let task = crate::support::scheduler::command_task(&name, &offer, "true");
    scheduler.launch(&offer, &[task]);
    scheduler.until(&name, "TASK_FINISHED");
    target.finish();
}

#[test]
fn messages_to_a_master() {
    for seed in seeds() {
        let (target, _scheduler, names) = start();
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names };
        let mut requests = Vec::new();
        for _ in 0..COUNT {
            let table = *for_master().choose(&mut generator.random).expect("some");
            let body = generator.message(table, 4);
            let from = names.pids.choose(&mut generator.random).expect("some").clone();
            requests.extend(raw::message(&format!("/master/{}", name_on_the_wire(table)), &from, &body));
        }
        converse(target.port(To::Master), &requests);
        works(target, seed);
    }
}

#[test]
fn messages_to_an_agent() {
    for seed in seeds() {
        let (target, _scheduler, names) = start();
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names };
        let mut requests = Vec::new();
        for _ in 0..COUNT {
            let table = *for_agent().choose(&mut generator.random).expect("some");
            let body = generator.message(table, 4);
            let from = names.pids[1..].choose(&mut generator.random).expect("some").clone();
            requests.extend(raw::message(&format!("/slave(1)/{}", table.name), &from, &body));
        }
        converse(target.port(To::Agent), &requests);
        works(target, seed);
    }
}

#[test]
fn calls_of_a_scheduler() {
    for seed in seeds() {
        let (target, scheduler, names) = start();
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names };
        let mut requests = Vec::new();
        let headers =
            [("Content-Type", "application/x-protobuf"), ("Mesos-Stream-Id", scheduler.stream_id.as_str())];
        for _ in 0..COUNT {
            let body = generator.message(table::of::<api::Call>(), 5);
            requests.extend(request("POST", PATH, &headers, &body));
        }
        converse(target.port(To::Master), &requests);
        works(target, seed);
    }
}

#[test]
fn calls_of_an_executor() {
    for seed in seeds() {
        let (target, _scheduler, names) = start();
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names };
        let headers = [("Content-Type", "application/x-protobuf"), ("Accept", "application/json")];
        for _ in 0..COUNT / 4 {
            let body = generator.message(table::of::<executor::Call>(), 5);
            // A SUBSCRIBE that is taken turns its connection into a stream, so each has one.
            let mut stream = raw::connect(target.port(To::Agent));
            stream.write_all(&request("POST", "/api/v1/executor", &headers, &body)).expect("sending");
            let mut first = [0; 12];
            stream.read_exact(&mut first).expect("an answer");
            let status = String::from_utf8_lossy(&first[9..]).into_owned();
            assert!(status.starts_with(['2', '4']) || status == "501", "seed {seed}: {status}");
        }
        works(target, seed);
    }
}
