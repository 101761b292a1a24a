//! Messages and calls that nobody wrote: well formed, with the ids of things that exist or nearly do, and values
//! at every edge. They come from those who may send them, so they change what they like; nobody may fall over,
//! and what comes after must work.
//!
//! `MESOS_SEED=n` plays one seed again, `MESOS_SEEDS=n` more of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use mesos::proto::table::{self, Message as Table};
use mesos::proto::{agent, executor, internal, master, scheduler as api};
use prost::Message as _;
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{Target, To};
use crate::support::generate::{Generator, Names};
use crate::support::raw::{self, request};
use crate::support::scheduler::{PATH, Scheduler, framework, with};
use crate::support::wait_for;

/// Messages a connection and a seed.
const COUNT: usize = 400;

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
fn calls_of_operators() {
    for seed in seeds() {
        let (target, _scheduler, names) = start();
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), names: &names };
        let headers = [("Content-Type", "application/x-protobuf")];
        for (to, path, table) in [
            (To::Master, "/master/api/v1", table::of::<master::Call>()),
            (To::Agent, "/slave(1)/api/v1", table::of::<agent::Call>()),
        ] {
            let mut requests = Vec::new();
            for _ in 0..COUNT {
                let body = generator.message(table, 4);
                // A SUBSCRIBE turns its connection into a stream, so each has one.
                match master::Call::decode(&body[..]) {
                    Ok(call) if to == To::Master && call.r#type() == master::call::Type::Subscribe => {
                        let mut stream = raw::connect(target.port(to));
                        stream.write_all(&request("POST", path, &headers, &body)).expect("sending");
                        stream.read_exact(&mut [0; 12]).expect("an answer");
                    }
                    _ => requests.extend(request("POST", path, &headers, &body)),
                }
            }
            converse(target.port(to), &requests);
        }
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
