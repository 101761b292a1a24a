use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;
use crate::base::time::Time;
use crate::master::core::state::{Agent, Cluster, Connection, Counters, Framework, Offer, Task, TaskExtra};
use crate::master::flags::Flags;
use crate::proto::{
    self, AgentId, ExecutorId, FrameworkId, OfferId, TaskId, TaskState, executor_info, framework_info,
};
use crate::resources::Resources;

/// JSON with its keys in the order written.
#[derive(Debug)]
enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Leaf(String),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Object(fields))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Node::Array(elements))
            }
            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Leaf(text.to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Leaf(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Leaf(format!("{value:?}")))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Leaf(value.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Node {
    fn of(json: &[u8]) -> Node {
        serde_json::from_slice(json).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(json)))
    }

    /// Follows field names; of arrays, the first element.
    fn at(&self, path: &str) -> &Node {
        path.split_whitespace().fold(self, |node, name| node.field(name)).first()
    }

    fn field(&self, name: &str) -> &Node {
        let Node::Object(fields) = self.first() else { panic!("no object above {name}") };
        let found = fields.iter().find(|(key, _)| key == name);
        found.map(|(_, node)| node).unwrap_or_else(|| panic!("no {name} in {fields:?}"))
    }

    fn first(&self) -> &Node {
        match self {
            Node::Array(elements) => elements.first().expect("an array with elements"),
            node => node,
        }
    }

    fn keys(&self) -> Vec<&str> {
        let Node::Object(fields) = self else { panic!("not an object: {self:?}") };
        fields.iter().map(|(key, _)| key.as_str()).collect()
    }

    fn leaf(&self, path: &str) -> &str {
        let Node::Leaf(text) = self.at(path) else { panic!("not a leaf: {path}") };
        text
    }

    fn len(&self, name: &str) -> usize {
        let Node::Array(elements) = self.field(name) else { panic!("not an array: {name}") };
        elements.len()
    }
}

fn held(text: &str) -> Resources {
    let mut resources = total(text);
    resources.allocate(&"eng/web".into());
    resources
}

fn total(text: &str) -> Resources {
    crate::resources::parse::parse(text, "*").expect("valid resources")
}

fn task(id: &str, state: TaskState, agent: &str) -> Arc<Task> {
    let label = proto::Label { key: "k".to_owned(), value: Some("v".to_owned()) };
    Arc::new(Task {
        id: id.into(),
        name: "n".to_owned(),
        framework: "F0".into(),
        agent: agent.into(),
        executor: Some("ex".into()),
        state,
        resources: held("cpus:0.5;mem:32"),
        statuses: vec![Arc::new(proto::TaskStatus {
            state: state as i32,
            timestamp: Some(if id == "t1" { 1.5 } else { 2.5 }),
            healthy: Some(true),
            ..Default::default()
        })],
        update: None,
        extra: Some(Arc::new(TaskExtra {
            user: Some("root".to_owned()),
            labels: Some(proto::Labels { labels: vec![label] }),
            discovery: Some(proto::DiscoveryInfo::default()),
            ..TaskExtra::default()
        })),
    })
}

fn framework() -> Framework {
    let capability =
        framework_info::Capability { r#type: Some(framework_info::capability::Type::MultiRole as i32) };
    let executor = proto::ExecutorInfo {
        r#type: Some(executor_info::Type::Custom as i32),
        executor_id: "ex".into(),
        name: Some("<exn>".to_owned()),
        command: Some(proto::CommandInfo {
            value: Some("sleep 5".to_owned()),
            environment: Some(proto::Environment::default()),
            ..Default::default()
        }),
        resources: held("cpus:0.1").to_protos(),
        ..Default::default()
    };
    Framework {
        id: "F0".into(),
        info: Arc::new(proto::FrameworkInfo {
            user: "root".to_owned(),
            name: "f".to_owned(),
            roles: vec!["eng/web".to_owned()],
            capabilities: vec![capability],
            labels: Some(proto::Labels::default()),
            ..Default::default()
        }),
        roles: BTreeSet::from(["eng/web".into()]),
        suppressed: BTreeSet::new(),
        connection: Connection::Http("s".into()),
        connected: true,
        active: true,
        recovered: false,
        registered: Time(2_000_000_000),
        reregistered: None,
        unregistered: None,
        tasks: [(TaskId::from("t1"), task("t1", TaskState::TaskRunning, "S0"))].into_iter().collect(),
        completed_tasks: [task("t2", TaskState::TaskFinished, "S0")].into_iter().collect(),
        unreachable_tasks: Default::default(),
        executors: [((AgentId::from("S0"), ExecutorId::from("ex")), Arc::new(executor))]
            .into_iter()
            .collect(),
        offers: [OfferId::from("O0")].into_iter().collect(),
        used: held("cpus:0.6;mem:32"),
        offered: held("cpus:1;ports:[31000-31001]"),
    }
}

fn agent(id: &str) -> Arc<Agent> {
    Arc::new(Agent {
        id: id.into(),
        info: Arc::new(proto::AgentInfo {
            id: Some(id.into()),
            hostname: "h".to_owned(),
            ..Default::default()
        }),
        pid: "slave(1)@127.0.0.1:5051".parse().unwrap(),
        version: "1.11.0".to_owned(),
        capabilities: BTreeSet::from([1, 2]),
        registered: Time(1_500_000_000),
        reregistered: Some(Time(1_600_000_000)),
        connected: true,
        active: true,
        total: total("cpus:4;mem:1024;ports:[31000-32000];cpus(eng):2"),
        used: total("cpus:0.6;mem:32"),
        offered: total("cpus:1;ports:[31000-31001]"),
        tasks: Default::default(),
        executors: Default::default(),
        offers: Default::default(),
    })
}

pub(in crate::master) fn cluster() -> Cluster {
    let plain = total("cpus:1;ports:[31000-31001]");
    let offer = Offer::new("O0".into(), "F0".into(), "S0".into(), "eng/web".into(), plain, Time(0));
    let info = proto::MasterInfo {
        id: "m".to_owned(),
        port: 5050,
        pid: Some("master@127.0.0.1:5050".to_owned()),
        hostname: Some("localhost".to_owned()),
        ..Default::default()
    };
    Cluster {
        info: Arc::new(info),
        started: Time(1_000_000_000),
        elected: Time(1_000_000_000),
        agents: [(AgentId::from("S0"), agent("S0"))].into_iter().collect(),
        unreachable: Default::default(),
        gone: Default::default(),
        recovered: [(AgentId::from("S9"), Arc::new(proto::AgentInfo::default()))].into_iter().collect(),
        frameworks: [(FrameworkId::from("F0"), Arc::new(framework()))].into_iter().collect(),
        completed_frameworks: Default::default(),
        offers: [(OfferId::from("O0"), Arc::new(offer))].into_iter().collect(),
        counters: Counters::default(),
        traffic: Default::default(),
    }
}

fn endpoint(name: &str) -> Node {
    let (cluster, flags) = (cluster(), Flags::from_args(&["--log_dir=/logs", "--cluster=c"]).unwrap());
    Node::of(&match name {
        "/state" => state(&cluster, &flags),
        "/state-summary" => summary(&cluster, &flags),
        "/slaves" => agents(&cluster, None),
        "/frameworks" => frameworks(&cluster, None),
        "/tasks" => tasks(&cluster, &Page::default()),
        "/roles" => roles(&cluster, &flags),
        other => panic!("no endpoint {other}"),
    })
}

/// Each line of a fixture: an endpoint and the way to an object in it, then the object's keys.
fn golden(text: &str) -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(text).expect("a fixture")
}

#[test]
fn keys_come_in_the_order_of_a_real_master() {
    for (place, keys) in golden(include_str!("../../../tests/fixtures/golden/master_keys.json")) {
        let (name, path) = place.split_once(' ').unwrap_or((&place, ""));
        let answer = endpoint(name);
        let ours = answer.at(path).keys();
        let mut rest = ours.iter();
        for key in keys.iter().filter(|key| *key != "git_sha") {
            assert!(rest.any(|ours| ours == key), "{place}: {key} is missing or out of order in {ours:?}");
        }
    }
}

#[test]
fn every_field_of_the_tutorial_is_there() {
    for (place, keys) in golden(include_str!("../../../tests/fixtures/golden/master_keys_0.15.json")) {
        let (name, path) = place.split_once(' ').unwrap_or((&place, ""));
        let answer = endpoint(name);
        let ours = answer.at(path).keys();
        for key in keys {
            assert!(ours.contains(&key.as_str()), "{place}: {key} is missing in {ours:?}");
        }
    }
}

#[test]
fn values_of_state() {
    let state = endpoint("/state");
    assert_eq!(state.leaf("activated_slaves"), "1.0");
    assert_eq!(state.leaf("start_time"), "1.0");
    assert_eq!(state.leaf("cluster"), "c");
    assert_eq!(state.leaf("slaves resources cpus"), "6.0");
    assert_eq!(state.leaf("slaves unreserved_resources cpus"), "4.0");
    assert_eq!(state.leaf("slaves reserved_resources eng cpus"), "2.0");
    assert_eq!(state.leaf("slaves resources ports"), "[31000-32000]");
    assert_eq!(state.leaf("frameworks resources cpus"), "1.6");
    assert_eq!(state.leaf("frameworks executors name"), "<exn>");
    assert_eq!(state.leaf("frameworks tasks role"), "eng/web");
    assert_eq!(state.leaf("recovered_slaves hostname"), "");
}

#[test]
fn slaves_and_frameworks_can_be_chosen() {
    let (cluster, none) = (cluster(), "none");
    let only = |id: &str| Node::of(&agents(&cluster, Some(&id.into()))).len("slaves");
    assert_eq!((only("S0"), only(none)), (1, 0));
    let only = |id: &str| Node::of(&frameworks(&cluster, Some(&id.into()))).len("frameworks");
    assert_eq!((only("F0"), only(none)), (1, 0));
    let slaves = endpoint("/slaves");
    assert_eq!(slaves.leaf("slaves unreserved_resources_full role"), "*");
    assert_eq!(slaves.leaf("slaves reserved_resources_full eng role"), "eng");
}

#[test]
fn tasks_are_ordered_and_paged() {
    let cluster = cluster();
    let first = |page: &Page| {
        let answer = Node::of(&tasks(&cluster, page));
        (answer.len("tasks") > 0).then(|| answer.leaf("tasks id").to_owned())
    };
    let page = Page::default();
    assert_eq!(first(&page).as_deref(), Some("t2"));
    assert_eq!(first(&Page { order: Order::Ascending, ..page.clone() }).as_deref(), Some("t1"));
    assert_eq!(first(&Page { offset: 1, ..page.clone() }).as_deref(), Some("t1"));
    assert_eq!(first(&Page { task: Some("t1".into()), ..page.clone() }).as_deref(), Some("t1"));
    assert_eq!(first(&Page { offset: 2, ..page.clone() }), None);
    assert_eq!(first(&Page { limit: 0, ..page.clone() }), None);
    assert_eq!(first(&Page { framework: Some("F1".into()), ..page }), None);
}

#[test]
fn roles_count_what_is_below_them() {
    let roles = endpoint("/roles");
    let Node::Array(all) = roles.field("roles") else { panic!("roles") };
    let names: Vec<_> = all.iter().map(|role| role.leaf("name")).collect();
    assert_eq!(names, ["eng", "eng/web"]);
    for role in all {
        assert_eq!(role.leaf("allocated cpus"), "0.6");
        assert_eq!(role.leaf("offered ports"), "2.0");
    }
    assert_eq!((all[0].leaf("reserved cpus"), all[0].leaf("quota consumed cpus")), ("2.0", "2.6"));
    assert_eq!(all[1].leaf("frameworks"), "F0");
}

#[test]
fn summaries_count_tasks() {
    let summary = endpoint("/state-summary");
    assert_eq!(summary.leaf("slaves TASK_RUNNING"), "1");
    assert_eq!(summary.leaf("slaves TASK_FINISHED"), "1");
    assert_eq!(summary.leaf("slaves framework_ids"), "F0");
    assert_eq!(summary.leaf("frameworks slave_ids"), "S0");
}
