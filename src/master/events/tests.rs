use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::http::recordio::Decoder;
use crate::master::core::state::Cluster;
use crate::master::run;
use crate::master::view::tests::cluster;
use crate::proto::Spelling;
use crate::proto::json::to_json;
use crate::proto::master::event::Type;
use crate::proto::writer::Encoding;

const SOON: Duration = Duration::from_secs(20);

/// A hub whose thread is the test.
struct Told {
    hub: Hub,
    core: Core,
    _inbox: run::Inbox,
    cluster: Cluster,
    number: u64,
}

impl Told {
    fn new(most: usize, limits: Limits) -> Told {
        let (core, inbox) = run::channel();
        let (_, hub, _) = channel("life", most, limits);
        let mut told = Told { hub, core, _inbox: inbox, cluster: cluster(), number: 0 };
        told.tell(Happening::Opened);
        told
    }

    fn tell(&mut self, happening: Happening) {
        self.number += 1;
        self.hub.shared.append([(self.number, Box::new(happening))].into_iter());
    }

    fn add_task(&mut self) {
        let framework = self.cluster.frameworks.values().next().expect("one");
        self.tell(Happening::TaskAdded(framework.tasks.values().next().expect("one").clone()));
    }

    fn lose_agent(&mut self, id: &str) {
        self.tell(Happening::AgentRemoved(id.into()));
    }

    fn follow(&self, after: u64, form: Form) -> Stream {
        let watch = Watch { core: self.core.clone(), lingers: false, runtime: Handle::current() };
        self.hub.follow(Start { after, first: vec![] }, form, None, watch)
    }

    fn records(&self) -> Stream {
        self.follow(self.number, Form::Records(Encoding::Json))
    }
}

async fn piece(stream: &mut Stream) -> Option<io::Result<Bytes>> {
    timeout(SOON, stream.next()).await.expect("soon")
}

async fn text(stream: &mut Stream) -> String {
    String::from_utf8(piece(stream).await.unwrap().unwrap().to_vec()).unwrap()
}

/// Nothing more is there now.
async fn is_silent(stream: &mut Stream) -> bool {
    timeout(Duration::from_millis(20), stream.next()).await.is_err()
}

#[tokio::test]
async fn each_reads_what_follows_its_place() {
    let mut told = Told::new(10, Limits::default());
    let mut early = told.records();
    told.add_task();
    let mut late = told.records();
    told.lose_agent("S0");
    let removed = r#"{"type":"AGENT_REMOVED","agent_removed":{"agent_id":{"value":"S0"}}}"#;
    let record = format!("{}\n{removed}", removed.len());
    assert!(text(&mut early).await.contains(r#""type":"TASK_ADDED","task_added":{"task":{"name":"n""#));
    assert_eq!((text(&mut early).await, text(&mut late).await), (record.clone(), record));
    assert!(is_silent(&mut early).await && is_silent(&mut late).await);
    told.add_task();
    assert!(text(&mut late).await.contains("TASK_ADDED"), "woken");
}

#[tokio::test]
async fn both_encodings_say_the_same() {
    let mut told = Told::new(10, Limits::default());
    let mut json = told.records();
    let mut protobuf = told.follow(told.number, Form::Records(Encoding::Protobuf));
    let (agent, framework) = {
        let cluster = &told.cluster;
        (cluster.agents.values().next().unwrap().clone(), cluster.frameworks.values().next().unwrap().clone())
    };
    let (used, offered) = told.cluster.held_on(&agent);
    told.tell(Happening::AgentAdded { agent, used, offered });
    told.tell(Happening::FrameworkAdded(framework.clone()));
    told.tell(Happening::FrameworkRemoved(framework));
    told.add_task();
    for kind in [Type::AgentAdded, Type::FrameworkAdded, Type::FrameworkRemoved, Type::TaskAdded] {
        let record = |bytes: Bytes| {
            let mut decoder = Decoder::new(1 << 20);
            decoder.push(&bytes);
            decoder.next_record().unwrap().unwrap()
        };
        let of_json = record(piece(&mut json).await.unwrap().unwrap());
        let of_protobuf = record(piece(&mut protobuf).await.unwrap().unwrap());
        let event: crate::proto::master::Event = crate::proto::check::decode(&of_protobuf).unwrap();
        assert_eq!(event.r#type(), kind);
        // JSON shows defaults.
        assert_eq!(of_json, to_json(&event, Spelling::V1));
    }
}

#[tokio::test]
async fn a_slow_one_is_cut_off_and_no_other() {
    let mut told = Told::new(10, Limits { entries: 3, bytes: 1 << 20 });
    let (mut slow, mut quick) = (told.records(), told.records());
    for number in 0..10 {
        told.lose_agent(&format!("S{number}"));
        assert!(text(&mut quick).await.contains(&format!(r#""S{number}""#)));
    }
    assert_eq!(told.hub.followers(), 1, "the slow one is known as such before it is read again");
    assert!(piece(&mut slow).await.unwrap().is_err(), "not an end, which would say that this was all");
    assert!(is_silent(&mut quick).await);
}

#[tokio::test]
async fn bytes_are_bounded_too_and_a_large_one_passes() {
    let mut told = Told::new(10, Limits { entries: 100, bytes: 200 });
    let start = told.number;
    told.lose_agent(&"S".repeat(1000));
    assert!(told.hub.remembers(start));
    told.lose_agent("S0");
    assert!(!told.hub.remembers(start) && told.hub.remembers(start + 1));
}

#[tokio::test]
async fn the_oldest_makes_room() {
    let mut told = Told::new(2, Limits::default());
    let (mut first, mut second, mut third) = (told.records(), told.records(), told.records());
    assert!(piece(&mut first).await.is_none(), "an orderly end");
    told.lose_agent("S0");
    assert!(text(&mut second).await.contains("S0") && text(&mut third).await.contains("S0"));
    drop(second);
    assert_eq!(told.hub.followers(), 1);
    let mut fourth = told.records();
    told.lose_agent("S1");
    assert!(text(&mut third).await.contains("S1") && text(&mut fourth).await.contains("S1"));
}

#[tokio::test]
async fn sent_events_are_chosen_and_numbered() {
    let mut told = Told::new(10, Limits::default());
    let of = |filter: Filter| Form::Sent(filter);
    let start = told.number;
    told.add_task();
    told.lose_agent("S0");
    told.lose_agent("S1");
    let mut by_type =
        told.follow(start, of(Filter { types: Some([Type::TaskAdded].into()), ..Filter::default() }));
    let mut by_agent = told.follow(start, of(Filter { agent: Some("S0".into()), ..Filter::default() }));
    let mut by_framework =
        told.follow(start, of(Filter { framework: Some("none".into()), ..Filter::default() }));
    let task = text(&mut by_type).await;
    assert!(task.starts_with(&format!("id: life:{}\nevent: TASK_ADDED\ndata: {{", start + 1)), "{task}");
    assert!(task.ends_with("}\n\n") && task.matches('\n').count() == 4);
    assert!(text(&mut by_agent).await.contains("TASK_ADDED"), "its task runs there");
    assert!(text(&mut by_agent).await.contains("AGENT_REMOVED"));
    for stream in [&mut by_type, &mut by_agent, &mut by_framework] {
        assert!(is_silent(stream).await);
        assert_eq!(stream.heartbeat(), format!(": heartbeat\nid: life:{}\n\n", start + 3));
    }
}

#[tokio::test]
async fn gaps_are_told() {
    let mut told = Told::new(10, Limits::default());
    told.lose_agent("S0");
    let before = told.number;
    let mut sent = told.follow(before, Form::Sent(Filter::default()));
    let mut records = told.records();
    // One happening was lost on its way.
    told.number += 1;
    told.lose_agent("S1");
    assert!(!told.hub.remembers(before));
    assert!(piece(&mut sent).await.unwrap().is_err() && piece(&mut records).await.unwrap().is_err());
    // Nobody followed for a while.
    let before = told.number;
    told.tell(Happening::Opened);
    assert!(!told.hub.remembers(before) && told.hub.remembers(told.number));
    assert!(!told.hub.remembers(told.number + 1) && !told.hub.remembers(u64::MAX));
}

#[tokio::test]
async fn the_thread_tells_what_the_core_gives_out() {
    let (publisher, hub, inbox) = channel("life", 10, Limits::default());
    start(&hub, inbox).unwrap();
    publisher.publish(1, Happening::Opened.into());
    publisher.publish(2, Happening::AgentRemoved("S0".into()).into());
    timeout(SOON, hub.reached(2)).await.unwrap();
    assert!(hub.remembers(1) && !hub.remembers(0));
}
