//! The shell around the core, without sockets: the loop, reads, streams.
#![allow(clippy::disallowed_methods, reason = "waits with deadlines")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::core::{Answer, Event, Operate, State, StreamId};
use super::flags::Flags;
use super::registrar::Measures;
use super::run::{self, Core, Shell};
use super::{allocator, events, streams};
use crate::coordination::lease::Lease;
use crate::http::content::ContentType;
use crate::http::recordio::Decoder;
use crate::metrics::Metrics;
use crate::process::clock::Clock;
use crate::process::link::Links;
use crate::proto::json::from_json;
use crate::proto::scheduler::call::{Subscribe, Type};
use crate::proto::scheduler::{self, Call, event};
use crate::proto::{FrameworkInfo, MasterInfo, Spelling};
use crate::registry::Change;
use crate::registry::store::{Error, Memory, Record, Store};

const SOON: Duration = Duration::from_secs(20);

/// A core's loop with all that it needs, but no server.
fn master() -> (Core, tokio::sync::oneshot::Receiver<String>) {
    master_with(Box::new(Memory))
}

fn master_with(store: Box<dyn Store>) -> (Core, tokio::sync::oneshot::Receiver<String>) {
    let flags = Arc::new(Flags::for_tests());
    let clock = Clock::new();
    let (core, inbox) = run::channel();
    let numbers = Metrics::default();
    let options = allocator::options(&flags).unwrap();
    let calls = allocator::start(options, clock, core.clone(), &numbers).unwrap();
    let (links, _) = Links::new();
    let pid = "master@127.0.0.1:5050".parse().unwrap();
    let (publisher, hub, happenings) = events::channel("m", 10, events::Limits::default());
    events::start(&hub, happenings).unwrap();
    let measures = Measures::of(&numbers);
    let (patience, info) = (flags.registry_patience, Arc::default());
    let lease = Lease::forever();
    let shell = Shell { clock, links, calls, store, patience, measures, info, events: publisher, lease, pid };
    let started = clock.now();
    let make = move |registry: &_, now, out: &mut _| {
        State::new(flags, MasterInfo::default(), registry, started, now, out)
    };
    let ended = run::start(inbox, shell, make).unwrap();
    (core, ended)
}

fn subscribe_call(user: &str) -> Box<Call> {
    let framework_info = FrameworkInfo { user: user.to_owned(), name: "n".to_owned(), ..Default::default() };
    Box::new(Call {
        r#type: Some(Type::Subscribe as i32),
        subscribe: Some(Subscribe { framework_info, ..Default::default() }),
        ..Default::default()
    })
}

async fn subscribe(core: &Core, id: &str) -> (Answer, Body) {
    let stream = StreamId::from(id);
    let (outlet, body) = streams::open(core.clone(), stream.clone(), ContentType::Json, None);
    let event = |reply| Event::Subscribe { reply, stream: stream.clone(), call: subscribe_call("u") };
    let answer = timeout(SOON, core.subscribe(stream.clone(), outlet, event)).await.unwrap().unwrap();
    (answer, body)
}

async fn next(body: &mut Body) -> scheduler::Event {
    let frame: Bytes = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(&frame);
    let record = decoder.next_record().unwrap().expect("one record a frame");
    from_json(&record, Spelling::V1).unwrap()
}

#[tokio::test]
async fn a_subscriber_gets_its_events_and_its_end_is_noticed() {
    let (core, _ended) = master();
    let (answer, mut body) = subscribe(&core, "s1").await;
    assert_eq!(answer, Answer::Subscribed);
    assert_eq!(next(&mut body).await.r#type(), event::Type::Subscribed);
    assert_eq!(next(&mut body).await.r#type(), event::Type::Heartbeat);
    let count = async || core.snapshot().await.unwrap().cluster.frameworks.len();
    assert_eq!(count().await, 1, "what was answered is seen by the next read");
    drop(body);
    // Its failover timeout is nothing, so it is gone with its stream.
    let gone = async {
        while count().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, gone).await.unwrap();
}

/// Is read once it is let.
struct Slow(std::sync::mpsc::Receiver<()>);

impl Store for Slow {
    fn place(&self) -> String {
        "slow".to_owned()
    }

    fn peek(&mut self) -> Result<Vec<Record>, Error> {
        Ok(Vec::new())
    }

    fn load(&mut self) -> Result<Vec<Record>, Error> {
        self.0.recv().expect("let");
        Ok(Vec::new())
    }

    fn write(&mut self, _batch: &[Change]) -> Result<(), Error> {
        Ok(())
    }
}

/// Apache Mesos refuses calls meanwhile, drops messages, and shows a cluster without agents.
#[tokio::test]
async fn what_comes_while_the_registry_is_read_waits_for_it() {
    let (go, wait) = std::sync::mpsc::channel();
    let (core, _ended) = master_with(Box::new(Slow(wait)));
    let (calling, reading) = (core.clone(), core.clone());
    let operation = Operate::Teardown("none".into());
    let mut call =
        tokio::spawn(async move { calling.ask(|reply| Event::Operate { reply, operation }).await });
    let mut read = tokio::spawn(async move { reading.snapshot().await });
    let early = timeout(Duration::from_millis(50), async {
        tokio::select!(_ = &mut call => (), _ = &mut read => ())
    });
    assert!(early.await.is_err(), "answered from what was not read yet");
    go.send(()).unwrap();
    let answer = timeout(SOON, call).await.unwrap().unwrap();
    assert!(matches!(answer, Ok(Answer::BadRequest(_) | Answer::NotFound(_))), "{answer:?}");
    assert!(timeout(SOON, read).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_call_is_answered_by_the_core() {
    let (core, _ended) = master();
    let operation = Operate::Teardown("none".into());
    let answer = timeout(SOON, core.ask(|reply| Event::Operate { reply, operation })).await.unwrap();
    assert!(matches!(answer, Ok(Answer::BadRequest(_) | Answer::NotFound(_))), "{answer:?}");
}

#[tokio::test]
async fn reads_share_a_snapshot_while_nothing_happens() {
    let (core, _ended) = master();
    // The interval's tick may fall in between, once.
    let mut shared = false;
    for _ in 0..3 {
        let (first, second) = (core.snapshot().await.unwrap(), core.snapshot().await.unwrap());
        shared |= first.version == second.version && Arc::ptr_eq(&first.cluster, &second.cluster);
    }
    assert!(shared);
    let many = futures::future::join_all((0..100).map(|_| core.snapshot())).await;
    assert!(many.iter().all(Result::is_ok));
}

#[tokio::test]
async fn who_stops_it_is_told_why_and_nobody_waits_for_ever() {
    let (core, ended) = master();
    core.stop("enough");
    assert_eq!(timeout(SOON, ended).await.unwrap().unwrap(), "enough");
    for _ in 0..2 {
        assert!(timeout(SOON, core.snapshot()).await.unwrap().is_err());
    }
    let operation = Operate::Teardown("none".into());
    assert!(timeout(SOON, core.ask(|reply| Event::Operate { reply, operation })).await.unwrap().is_err());
}
