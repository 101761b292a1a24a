//! The shapes that clients parse.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::agent::containerizer::Report;
use crate::agent::core::state::{Config, ReconfigurationPolicy, Recover};
use crate::agent::core::{Effect, Event, Leader, State, Timer};
use crate::agent::flags::Flags;
use crate::base::time::Time;
use crate::proto::internal::{RunTaskMessage, SlaveRegisteredMessage};
use crate::proto::message::Message;
use crate::proto::{AgentInfo, CommandInfo, FrameworkInfo, ResourceStatistics, TaskInfo};
use crate::resources::parse;

fn state() -> State {
    let config = Config {
        pid: "slave(1)@127.0.0.1:5051".parse().unwrap(),
        work_dir: "/work".into(),
        binary: "/bin/mesos".into(),
        launcher_dir: String::new(),
        default_executor_flags: vec![],
        switch_user: false,
        bounds_cpus: false,
        bounds_mem: false,
        registration_backoff: Duration::ZERO,
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_reregistration_retry_interval: None,
        recovery_timeout: Duration::from_secs(900),
        checkpoint: false,
        recover: Recover::Reconnect,
        reconfiguration_policy: ReconfigurationPolicy::Equal,
        executor_environment: BTreeMap::new(),
        max_completed_executors_per_framework: 150,
    };
    let resources = parse::parse("cpus:4;mem:1024;ports:[1-5];cpus(web):2", "*").unwrap();
    let info = AgentInfo {
        hostname: "h".to_owned(),
        resources: resources.to_old_protos().unwrap(),
        ..AgentInfo::default()
    };
    let mut state = State::new(config, info, Time(1_500_000_000), 1);
    let pid: crate::base::upid::Upid = "master@127.0.0.1:5050".parse().unwrap();
    let tell = |state: &mut State, event| {
        let mut out = Vec::new();
        state.handle(Time(2_000_000_000), event, &mut out);
        out
    };
    let master = |message: Message| Event::Message {
        from: pid.clone(),
        peer: "127.0.0.1:9".parse().unwrap(),
        message: Box::new(message),
    };
    let out =
        tell(&mut state, Event::LeaderSeen(Some(Leader { pid: pid.clone(), hostname: "m".to_owned() })));
    assert!(matches!(&out[..], [Effect::Wake { timer: Timer::Register { .. }, .. }]));
    tell(&mut state, master(SlaveRegisteredMessage { agent_id: "A".into(), connection: None }.into()));
    let task = TaskInfo {
        name: "n".to_owned(),
        task_id: "t".into(),
        agent_id: "A".into(),
        resources: parse::parse("cpus:1;mem:32", "*").unwrap().to_protos(),
        command: Some(CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    };
    let framework = FrameworkInfo { name: "f".to_owned(), id: Some("F".into()), ..FrameworkInfo::default() };
    let out =
        tell(&mut state, master(RunTaskMessage { framework, task, ..RunTaskMessage::default() }.into()));
    let container = out.iter().find_map(|effect| match effect {
        Effect::Launch(launch) => Some(launch.container.clone()),
        _ => None,
    });
    tell(&mut state, Event::Report(Report::Launched { container: container.unwrap(), pid: 7 }));
    state
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn state_has_every_key_of_both_versions() {
    let flags = Flags::from_args(&["--master=127.0.0.1:5050"]).unwrap();
    let json: Value = serde_json::from_slice(&super::state(&state().node, &flags)).unwrap();
    for key in [
        "attributes",
        "build_date",
        "build_time",
        "build_user",
        "completed_frameworks",
        "failed_tasks",
        "finished_tasks",
        "frameworks",
        "hostname",
        "id",
        "killed_tasks",
        "lost_tasks",
        "master_hostname",
        "pid",
        "resources",
        "staged_tasks",
        "start_time",
        "started_tasks",
        "version",
        "capabilities",
        "flags",
        "reserved_resources_full",
        "unreserved_resources_allocated",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["id"], "A");
    assert_eq!(json["resources"]["cpus"], 6.0);
    assert_eq!(json["reserved_resources"]["web"]["cpus"], 2.0);
    assert_eq!(json["unreserved_resources_full"][0]["role"], "*");
    assert_eq!(json["unreserved_resources_allocated"]["cpus"], 1.1);
    let executor = &json["frameworks"][0]["executors"][0];
    assert_eq!(executor["id"], "t");
    assert_eq!(executor["source"], "t");
    assert_eq!(executor["resources"]["mem"], 64.0);
    assert_eq!(executor["queued_tasks"][0]["id"], "t");
    assert_eq!(executor["queued_tasks"][0]["command"]["value"], "true");
    assert!(
        executor["directory"].as_str().unwrap().starts_with("/work/slaves/A/frameworks/F/executors/t/runs/")
    );
}

#[test]
fn statistics_name_executors_and_limits() {
    let state = state();
    let measured = ResourceStatistics { timestamp: 3.0, mem_rss_bytes: Some(9), ..Default::default() };
    let usage =
        super::running(&state.node).into_iter().map(|container| (container, measured.clone())).collect();
    let json: Value = serde_json::from_slice(&super::statistics(&state.node, &usage)).unwrap();
    assert_eq!(json[0]["framework_id"], "F");
    assert_eq!(json[0]["statistics"]["cpus_limit"], 1.1);
    assert_eq!(json[0]["statistics"]["mem_limit_bytes"], 64 << 20);
    assert_eq!(json[0]["statistics"]["mem_rss_bytes"], 9);
    let json: Value = serde_json::from_slice(&super::containers(&state.node, &usage)).unwrap();
    assert_eq!(json[0]["status"]["executor_pid"], 7);
    assert!(keys(&json[0]).contains(&"container_id"));
    assert_eq!(super::statistics(&state.node, &super::Usage::new()), b"[]");
}

#[test]
fn v1_says_the_same_in_both_encodings() {
    use super::v1::{Ask, answer, containers};
    use crate::proto::Spelling;
    use crate::proto::agent::Response;
    use crate::proto::json::to_json;
    use crate::proto::writer::Encoding;
    use crate::proto::writer::testing::without_empty_lists;

    let state = state();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let of_protobuf =
        |bytes: &[u8]| json(&to_json(&crate::proto::check::decode::<Response>(bytes).unwrap(), Spelling::V1));
    for ask in [Ask::Frameworks, Ask::Executors, Ask::Operations, Ask::Tasks, Ask::Agent, Ask::State] {
        let [written, other] =
            [Encoding::Json, Encoding::Protobuf].map(|encoding| answer(ask, &state.node, encoding));
        assert_eq!(without_empty_lists(json(&written)), of_protobuf(&other), "{ask:?}");
    }
    let tasks = json(&answer(Ask::State, &state.node, Encoding::Json));
    let tasks = &tasks["get_state"]["get_tasks"];
    assert_eq!(tasks["queued_tasks"][0]["task_id"]["value"], "t");
    assert_eq!(tasks["queued_tasks"][0]["state"], "TASK_STAGING");
    assert_eq!(tasks["pending_tasks"], Value::Array(Vec::new()));
    let agent = json(&answer(Ask::Agent, &state.node, Encoding::Json));
    let resources = agent["get_agent"]["agent_info"]["resources"].as_array().unwrap();
    assert!(resources.iter().all(|resource| resource.get("role").is_none()), "{resources:?}");
    assert!(resources.iter().any(|resource| resource["reservations"][0]["role"] == "web"), "{resources:?}");
    let usage = super::Usage::new();
    let shown = json(&containers(&state.node, &usage, Encoding::Json));
    assert_eq!(shown, of_protobuf(&containers(&state.node, &usage, Encoding::Protobuf)));
    let container = &shown["get_containers"]["containers"][0];
    assert_eq!(
        (&container["executor_id"]["value"], &container["container_status"]["executor_pid"]),
        (&"t".into(), &7.into())
    );
}
