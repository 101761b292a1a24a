//! How long the reads of a large cluster take: 10,000 agents and 50,000 tasks. One JSON line a case.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench reads the clock and may fail")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use mesos::base::time::Time;
use mesos::master::core::state::{Agent, Cluster, Connection, Counters, Framework, Task};
use mesos::master::flags::Flags;
use mesos::master::view;
use mesos::master::view::v1::Ask;
use mesos::proto::writer::Encoding;
use mesos::proto::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, MasterInfo, TaskId, TaskState, TaskStatus,
};
use mesos::resources::{Resources, parse};

const AGENTS: usize = 10_000;
const FRAMEWORKS: usize = 10;
const TASKS: usize = 5_000;

fn held(text: &str) -> Resources {
    let mut resources = parse::parse(text, "*").unwrap();
    resources.allocate(&"web".into());
    resources
}

fn agent(number: usize) -> (AgentId, Arc<Agent>) {
    let id = AgentId::from(format!("8b5c94f0-4a8d-4c1c-b9c8-3f5b7a6d2e10-S{number}"));
    let info = AgentInfo {
        id: Some(id.clone()),
        hostname: format!("host-{number}.example.org"),
        ..AgentInfo::default()
    };
    let agent = Agent {
        id: id.clone(),
        info: Arc::new(info),
        pid: "slave(1)@127.0.0.1:5051".parse().unwrap(),
        version: "1.11.0".to_owned(),
        capabilities: BTreeSet::from([1, 2, 3, 4, 5, 6]),
        registered: Time(1_500_000_000),
        reregistered: None,
        connected: true,
        active: true,
        total: parse::parse("cpus:16;mem:65536;disk:100000;ports:[31000-32000]", "*").unwrap(),
        used: parse::parse("cpus:2.5;mem:640", "*").unwrap(),
        offered: Resources::new(),
        tasks: Default::default(),
        executors: Default::default(),
        offers: Default::default(),
    };
    (id, Arc::new(agent))
}

fn task(
    framework: &FrameworkId,
    number: usize,
    agent: AgentId,
    resources: &Resources,
) -> (TaskId, Arc<Task>) {
    let id = TaskId::from(format!("task-{number}"));
    let status = TaskStatus {
        task_id: id.clone(),
        state: TaskState::TaskRunning as i32,
        timestamp: Some(1_795_378_300.5),
        ..TaskStatus::default()
    };
    let task = Task {
        id: id.clone(),
        name: "web".to_owned(),
        framework: framework.clone(),
        agent,
        executor: None,
        state: TaskState::TaskRunning,
        resources: resources.clone(),
        statuses: vec![Arc::new(status)],
        update: None,
        extra: None,
    };
    (id, Arc::new(task))
}

fn framework(number: usize, agents: &[AgentId], resources: &Resources) -> (FrameworkId, Arc<Framework>) {
    let id = FrameworkId::from(format!("8b5c94f0-4a8d-4c1c-b9c8-3f5b7a6d2e10-{number:04}"));
    let place = |index: usize| agents[(number * TASKS + index) % agents.len()].clone();
    let tasks = (0..TASKS).map(|index| task(&id, index, place(index), resources)).collect();
    let framework = Framework {
        id: id.clone(),
        info: Arc::new(FrameworkInfo { name: "f".to_owned(), user: "root".to_owned(), ..Default::default() }),
        roles: BTreeSet::from(["web".into()]),
        suppressed: BTreeSet::new(),
        connection: Connection::None,
        connected: true,
        active: true,
        recovered: false,
        registered: Time(1_500_000_000),
        reregistered: None,
        unregistered: None,
        tasks,
        completed_tasks: Default::default(),
        unreachable_tasks: Default::default(),
        executors: Default::default(),
        offers: Default::default(),
        used: held("cpus:2500;mem:640000"),
        offered: Resources::new(),
    };
    (id, Arc::new(framework))
}

fn cluster() -> Cluster {
    let agents: imbl::OrdMap<_, _> = (0..AGENTS).map(agent).collect();
    let ids: Vec<AgentId> = agents.keys().cloned().collect();
    let resources = held("cpus:0.5;mem:128");
    Cluster {
        info: Arc::new(MasterInfo::default()),
        started: Time(0),
        elected: Time(0),
        agents,
        unreachable: Default::default(),
        gone: Default::default(),
        recovered: Default::default(),
        frameworks: (0..FRAMEWORKS).map(|number| framework(number, &ids, &resources)).collect(),
        completed_frameworks: Default::default(),
        offers: Default::default(),
        traffic: Default::default(),
        counters: Counters::default(),
    }
}

fn main() {
    let (cluster, flags) = (cluster(), Flags::from_args(&[]).unwrap());
    let v1 = |encoding| view::v1::answer(Ask::State, &cluster, &flags, encoding);
    let cases: [(&str, &dyn Fn() -> Vec<u8>); 8] = [
        ("GET_STATE in JSON", &|| v1(Encoding::Json)),
        ("GET_STATE in protobuf", &|| v1(Encoding::Protobuf)),
        ("state", &|| view::state(&cluster, &flags)),
        ("state-summary", &|| view::summary(&cluster, &flags)),
        ("slaves", &|| view::agents(&cluster, None)),
        ("frameworks", &|| view::frameworks(&cluster, None)),
        ("tasks", &|| view::tasks(&cluster, &view::Page::default())),
        ("roles", &|| view::roles(&cluster, &flags)),
    ];
    for (name, read) in cases {
        let times = (0..5).map(|_| {
            let start = Instant::now();
            let bytes = read().len();
            (start.elapsed().as_secs_f64() * 1000.0, bytes)
        });
        let (best, bytes) = times.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!(
            "{{\"case\":\"{name}\",\"agents\":{AGENTS},\"tasks\":{},\"ms\":{best:.1},\"bytes\":{bytes}}}",
            FRAMEWORKS * TASKS
        );
    }
    let start = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(cluster.clone());
    }
    println!("{{\"case\":\"snapshot\",\"us\":{:.2}}}", start.elapsed().as_secs_f64() * 1000.0);
}
