//! libprocess messages of strangers, forgers and broken peers: answered 202 (nobody reads it), told in the log,
//! and without effect.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd as _;

use mesos::proto::internal::{self, update_slave_message};
use mesos::proto::{self, Message, TaskState};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};

use super::{Case, Expect, Target, To, case, settled};
use crate::support::raw::{self, message};
use crate::support::scheduler::{Scheduler, framework};
use crate::support::wait_for;

const STRANGER: &str = "stranger@127.0.0.1:1";

/// What the cluster is called, and what runs in it.
struct Names {
    master: String,
    agent: String,
    agent_id: String,
    framework_id: String,
}

fn start() -> (Target, Scheduler, Names) {
    let target = Target::start();
    let mut scheduler = Scheduler::subscribe(target.cluster.port, framework("messages"));
    scheduler.run("task", "sleep 1000");
    scheduler.until("task", "TASK_RUNNING");
    let [master, _] = settled(&target);
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let names = Names {
        master: text(&master["pid"]),
        agent: text(&master["slaves"][0]["pid"]),
        agent_id: text(&master["slaves"][0]["id"]),
        framework_id: scheduler.framework_id.clone(),
    };
    (target, scheduler, names)
}

/// The end: the task of before still runs, and its kill still works.
fn finish(target: Target, mut scheduler: Scheduler) {
    scheduler.kill("task");
    scheduler.until("task", "TASK_KILLED");
    target.finish();
}

fn sent(name: &str, to: To, from: &str, message: impl Into<Message>) -> Case {
    let message = message.into();
    let receiver = if to == To::Master { "master" } else { "slave(1)" };
    let bytes = raw::message(&format!("/{receiver}/{}", message.name()), from, &message.encode());
    case(format!("{name} from {from}"), to, bytes, Expect::Status(202))
}

fn status(names: &Names, state: TaskState, uuid: Option<&[u8]>) -> internal::StatusUpdate {
    let uuid = uuid.map(|uuid| uuid.to_vec().into());
    internal::StatusUpdate {
        framework_id: names.framework_id.as_str().into(),
        executor_id: Some("task".into()),
        agent_id: Some(names.agent_id.as_str().into()),
        status: proto::TaskStatus {
            task_id: "task".into(),
            state: state as i32,
            uuid: uuid.clone(),
            agent_id: Some(names.agent_id.as_str().into()),
            ..Default::default()
        },
        timestamp: 1.0,
        uuid,
        latest_state: Some(state as i32),
    }
}

fn agent_info(id: Option<&str>) -> proto::AgentInfo {
    proto::AgentInfo {
        hostname: "stranger".into(),
        port: Some(1),
        id: id.map(Into::into),
        ..Default::default()
    }
}

/// What ended or changed Apache Mesos' master, one POST each.
fn to_master(names: &Names, from: &str) -> Vec<Case> {
    let agent_id = || proto::AgentId::from(names.agent_id.as_str());
    let operation = |agent: bool, uuid: bool, framework: bool| internal::UpdateOperationStatusMessage {
        agent_id: agent.then(agent_id),
        framework_id: framework.then(|| names.framework_id.as_str().into()),
        operation_uuid: uuid.then(|| proto::Uuid { value: vec![1; 16].into() }),
        status: proto::OperationStatus {
            state: proto::OperationState::OperationFinished as i32,
            ..Default::default()
        },
        ..Default::default()
    };
    let provider = || update_slave_message::ResourceProviders {
        providers: vec![update_slave_message::ResourceProvider {
            resource_version_uuid: proto::Uuid { value: vec![0; 16].into() },
            ..Default::default()
        }],
    };
    let update = |status| internal::StatusUpdateMessage { update: status, pid: None };
    let uuid = [0x47; 16];
    let m = |name: &str, message: Message| sent(name, To::Master, from, message);
    vec![
        m("status without a pid", update(status(names, TaskState::TaskFailed, Some(&uuid))).into()),
        m("status without a uuid", update(status(names, TaskState::TaskFailed, None)).into()),
        m("status whose uuid is none", update(status(names, TaskState::TaskFailed, Some(b"x"))).into()),
        m(
            "status with a pid that is none",
            internal::StatusUpdateMessage {
                pid: Some("nonsense".into()),
                ..update(status(names, TaskState::TaskFailed, Some(&uuid)))
            }
            .into(),
        ),
        m(
            "status with the agent's pid",
            internal::StatusUpdateMessage {
                pid: Some(names.agent.clone()),
                ..update(status(names, TaskState::TaskFailed, Some(&uuid)))
            }
            .into(),
        ),
        m("operation without an agent", operation(false, true, true).into()),
        m("operation without uuid and framework", operation(true, false, false).into()),
        m("operation of nobody", operation(true, true, true).into()),
        m(
            "return without an id",
            internal::ReregisterSlaveMessage { agent: agent_info(None), ..Default::default() }.into(),
        ),
        m(
            "return with a path for an id",
            internal::ReregisterSlaveMessage { agent: agent_info(Some("../..")), ..Default::default() }
                .into(),
        ),
        m(
            "return of another",
            internal::ReregisterSlaveMessage {
                agent: agent_info(Some(&names.agent_id)),
                ..Default::default()
            }
            .into(),
        ),
        m(
            "provider without info",
            internal::UpdateSlaveMessage {
                agent_id: agent_id(),
                resource_providers: Some(provider()),
                ..Default::default()
            }
            .into(),
        ),
        m(
            "oversubscribed by others",
            internal::UpdateSlaveMessage {
                agent_id: agent_id(),
                update_oversubscribed_resources: Some(true),
                oversubscribed_resources: vec![negative()],
                ..Default::default()
            }
            .into(),
        ),
        m("farewell", internal::UnregisterSlaveMessage { agent_id: agent_id() }.into()),
        m(
            "executor's end",
            internal::ExitedExecutorMessage {
                agent_id: agent_id(),
                framework_id: names.framework_id.as_str().into(),
                executor_id: "task".into(),
                status: 0,
            }
            .into(),
        ),
        m(
            "framework's farewell",
            internal::UnregisterFrameworkMessage { framework_id: names.framework_id.as_str().into() }.into(),
        ),
        m(
            "framework's silence",
            internal::DeactivateFrameworkMessage { framework_id: names.framework_id.as_str().into() }.into(),
        ),
        m("kill", kill_call(names).into()),
        m("status to a framework", internal::FrameworkErrorMessage { message: "go".into() }.into()),
        m(
            "acknowledgement",
            internal::StatusUpdateAcknowledgementMessage {
                agent_id: agent_id(),
                framework_id: names.framework_id.as_str().into(),
                task_id: "task".into(),
                uuid: vec![9].into(),
            }
            .into(),
        ),
    ]
}

fn negative() -> proto::Resource {
    proto::Resource {
        name: "cpus".into(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value: f64::NAN }),
        ..Default::default()
    }
}

fn kill_call(names: &Names) -> proto::scheduler::Call {
    proto::scheduler::Call {
        framework_id: Some(names.framework_id.as_str().into()),
        r#type: Some(proto::scheduler::call::Type::Kill as i32),
        kill: Some(proto::scheduler::call::Kill { task_id: "task".into(), ..Default::default() }),
        ..Default::default()
    }
}

/// What ended or changed Apache Mesos' agent, one POST each.
fn to_agent(names: &Names, from: &str) -> Vec<Case> {
    let uuid = [0x47; 16];
    let update = |status| internal::StatusUpdateMessage { update: status, pid: None };
    let framework_id = || proto::FrameworkId::from(names.framework_id.as_str());
    let a = |name: &str, message: Message| sent(name, To::Agent, from, message);
    vec![
        a("status whose uuid is none", update(status(names, TaskState::TaskFailed, Some(b"no uuid"))).into()),
        a("status without a uuid", update(status(names, TaskState::TaskFailed, None)).into()),
        a("status of a running task", update(status(names, TaskState::TaskFinished, Some(&uuid))).into()),
        a(
            "another id",
            internal::SlaveRegisteredMessage { agent_id: "other-S1".into(), ..Default::default() }.into(),
        ),
        a(
            "another id again",
            internal::SlaveReregisteredMessage { agent_id: "other-S1".into(), ..Default::default() }.into(),
        ),
        a("shutdown", internal::ShutdownMessage { message: Some("go".into()) }.into()),
        a("framework's end", internal::ShutdownFrameworkMessage { framework_id: framework_id() }.into()),
        a(
            "kill",
            internal::KillTaskMessage {
                framework_id: framework_id(),
                task_id: "task".into(),
                ..Default::default()
            }
            .into(),
        ),
        a(
            "run",
            internal::RunTaskMessage {
                framework: proto::FrameworkInfo {
                    user: "root".into(),
                    name: "x".into(),
                    id: Some(framework_id()),
                    ..Default::default()
                },
                task: proto::TaskInfo {
                    name: "x".into(),
                    task_id: "../../x".into(),
                    agent_id: names.agent_id.as_str().into(),
                    command: Some(proto::CommandInfo { value: Some("true".into()), ..Default::default() }),
                    ..Default::default()
                },
                ..Default::default()
            }
            .into(),
        ),
        a(
            "acknowledgement",
            internal::StatusUpdateAcknowledgementMessage {
                agent_id: names.agent_id.as_str().into(),
                framework_id: framework_id(),
                task_id: "task".into(),
                uuid: vec![9].into(),
            }
            .into(),
        ),
        a("ping", internal::PingSlaveMessage { connected: false }.into()),
        a(
            "executor",
            internal::RegisterExecutorMessage { framework_id: framework_id(), executor_id: "../x".into() }
                .into(),
        ),
        a(
            "executor's return",
            internal::ReregisterExecutorMessage {
                framework_id: framework_id(),
                executor_id: "task".into(),
                ..Default::default()
            }
            .into(),
        ),
        a(
            "framework's new address",
            internal::UpdateFrameworkMessage {
                framework_id: framework_id(),
                pid: Some("nonsense".into()),
                ..Default::default()
            }
            .into(),
        ),
    ]
}

#[test]
fn strangers_are_not_believed() {
    let (mut target, scheduler, names) = start();
    let [mut for_master, mut for_agent] = [Vec::new(), Vec::new()];
    for from in [STRANGER, "garbage", "@", "master@127.0.0.1:1", "slave(1)@127.0.0.1:1"] {
        for_master.extend(to_master(&names, from));
        for_agent.extend(to_agent(&names, from));
    }
    let before = log_length(&target);
    target.play(for_master);
    target.play(for_agent);
    settles_as_it_was(&mut target);
    wait_for("a line in each log", || {
        let now = log_length(&target);
        (now[0] > before[0] && now[1] > before[1]).then_some(())
    });
    finish(target, scheduler);
}

/// The sender's name is no proof: it must come from the address that it names.
#[test]
fn forgers_are_not_believed() {
    let Some(elsewhere) = elsewhere() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let (mut target, scheduler, names) = start();
    let mut before = settled(&target);
    let mut cases = to_master(&names, &names.agent);
    cases.extend(to_agent(&names, &names.master));
    for case in cases {
        let status = send_from(elsewhere, target.port(case.to), &case.bytes);
        // Refusing it outright, as libprocess can be told to, is as good.
        let verdict =
            if matches!(status, 202 | 400 | 403) { Ok(()) } else { Err(format!("answered {status}")) };
        target.note(&case.name, verdict);
        target.unchanged(&case.name, &mut before);
    }
    settles_as_it_was(&mut target);
    finish(target, scheduler);
}

/// Messages are handled after they are answered.
fn settles_as_it_was(target: &mut Target) {
    let [master, agent] = settled(target);
    let fine = master["slaves"][0]["active"] == true
        && master["frameworks"][0]["active"] == true
        && master["frameworks"][0]["tasks"][0]["state"] == "TASK_RUNNING"
        && agent["frameworks"][0]["executors"][0]["tasks"][0]["state"] == "TASK_RUNNING"
        && master["slaves"].as_array().is_some_and(|agents| agents.len() == 1);
    target.note(
        "afterwards",
        if fine { Ok(()) } else { Err(format!("{}\n{}", master["slaves"], master["frameworks"])) },
    );
}

fn log_length(target: &Target) -> [usize; 2] {
    [target.cluster.master.log().len(), target.cluster.agents[0].log().len()]
}

/// An address of this machine that is not loopback's: a connection from it is a stranger's, whatever it says.
///
/// Over loopback itself every process of the machine comes from the same address, and may rightly go by another.
fn elsewhere() -> Option<Ipv4Addr> {
    let addresses = nix::ifaddrs::getifaddrs().expect("the machine's addresses");
    let mut ips = addresses.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    ips.find(|ip| !ip.is_loopback() && !ip.is_link_local())
}

/// Sends from this address of the machine.
fn send_from(ip: Ipv4Addr, port: u16, bytes: &[u8]) -> u16 {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    let address = |ip, port| SockaddrIn::from(SocketAddrV4::new(ip, port));
    socket::bind(socket.as_raw_fd(), &address(ip, 0)).expect("an address of this machine");
    socket::connect(socket.as_raw_fd(), &address(Ipv4Addr::LOCALHOST, port)).expect("connecting");
    let mut stream = TcpStream::from(socket);
    stream.write_all(bytes).expect("sending");
    raw::read_answer(&stream, false).status()
}

#[test]
fn broken_messages() {
    let (mut target, scheduler, names) = start();
    let mut cases = Vec::new();
    let nobody =
        |path: &str, expect| case(format!("to {path}"), To::Master, message(path, STRANGER, b""), expect);
    cases.push(nobody("/", Expect::Status(404)));
    cases.push(nobody("/nobody/mesos.internal.PongSlaveMessage", Expect::Status(404)));
    cases.push(nobody("/master%zz/mesos.internal.PongSlaveMessage", Expect::Refused));
    cases.push(nobody("/%/x", Expect::Refused));
    cases.push(nobody("/%ff/x", Expect::Refused));
    cases.push(nobody("*", Expect::NotHttp));
    cases.push(nobody("", Expect::NotHttp));
    cases.push(nobody("master", Expect::NotHttp));
    cases.push(nobody("/master", Expect::Status(202)));
    cases.push(nobody("/master/", Expect::Status(202)));
    cases.push(nobody("/master/mesos.internal.Nothing", Expect::Status(202)));
    cases.push(nobody("/master/../slave(1)/x", Expect::Harmless));
    cases.push(nobody(&format!("/master/{}", "x".repeat(50_000)), Expect::Status(202)));
    cases.push(nobody("/master/%0a%1b[31mI1122 forged line", Expect::NotHttp));
    cases.push(nobody("/master/%0aI1122%20forged", Expect::Status(202)));
    for from in ["", " ", "a", "a@", "@b", "a@b:c", "a@127.0.0.1:99999", "a@[::1]:5", &"a".repeat(50_000)] {
        let bytes = message("/master/mesos.internal.PongSlaveMessage", from, b"");
        cases.push(case(format!("from {from:.20}"), To::Master, bytes, Expect::Status(202)));
    }
    for message in [
        Message::from(internal::RegisterSlaveMessage { agent: agent_info(None), ..Default::default() }),
        internal::StatusUpdateMessage {
            update: status(&names, TaskState::TaskFailed, Some(&[7; 16])),
            pid: None,
        }
        .into(),
        internal::ReregisterSlaveMessage { agent: agent_info(Some("x-S1")), ..Default::default() }.into(),
        kill_call(&names).into(),
    ] {
        cases.extend(cut(To::Master, &names.agent, &message));
    }
    for message in [
        Message::from(internal::SlaveRegisteredMessage { agent_id: "x-S1".into(), ..Default::default() }),
        internal::KillTaskMessage {
            framework_id: names.framework_id.as_str().into(),
            task_id: "task".into(),
            ..Default::default()
        }
        .into(),
    ] {
        // From the very master, so that only the cut is wrong; the whole of the first is another test.
        cases.extend(cut(To::Agent, &names.master, &message));
    }
    target.play(cases);
    settles_as_it_was(&mut target);
    finish(target, scheduler);
}

/// The message cut at every length but its own, and with nonsense in its place.
fn cut(to: To, from: &str, message: &Message) -> Vec<Case> {
    let (whole, name) = (message.encode(), message.name());
    let receiver = if to == To::Master { "master" } else { "slave(1)" };
    let path = format!("/{receiver}/{name}");
    let of = |what: String, body: &[u8]| {
        case(format!("{name} {what}"), to, raw::message(&path, from, body), Expect::Status(202))
    };
    let mut cases: Vec<Case> =
        (0..whole.len()).map(|length| of(format!("cut at {length}"), &whole[..length])).collect();
    cases.push(of("of JSON".into(), b"{}"));
    cases.push(of("of 0xff".into(), &[0xff; 1000]));
    cases.push(of("in groups".into(), &vec![0x0b; 100_000]));
    cases
}

/// Agents that cannot be: hosts that are markup, ports that are none, resources that are no amounts.
#[test]
fn agents_that_cannot_be() {
    let mut target = Target::start();
    let mut cases = Vec::new();
    let info = |change: &dyn Fn(&mut proto::AgentInfo)| {
        let mut info = agent_info(None);
        change(&mut info);
        internal::RegisterSlaveMessage { agent: info, version: Some("1.11.0".into()), ..Default::default() }
    };
    let mut add = |name: &str, message: internal::RegisterSlaveMessage| {
        cases.push(sent(name, To::Master, "slave(1)@127.0.0.1:1", message));
    };
    for hostname in ["", "<script>alert(1)</script>", "a\nb", "a b", "a\u{0}", "../..", &"h".repeat(1 << 20)]
    {
        add(&format!("host {hostname:.20}"), info(&|info| hostname.clone_into(&mut info.hostname)));
    }
    for port in [-5, 65_536, 1 << 30, i32::MIN] {
        add(&format!("port {port}"), info(&|info| info.port = Some(port)));
    }
    for value in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        add(
            &format!("{value} cpus"),
            info(&|info| {
                let scalar = Some(proto::value::Scalar { value });
                info.resources = vec![proto::Resource { scalar, ..negative() }];
            }),
        );
    }
    for version in ["", "x", "0.1.0", "99999999999999999999.0.0"] {
        let message = internal::RegisterSlaveMessage { version: Some(version.into()), ..info(&|_| ()) };
        add(&format!("version {version}"), message);
    }
    target.play(cases);
    settled(&target);
    let [master, _] = target.states();
    let agents = master["slaves"].as_array().map_or(0, Vec::len);
    target.note("agents", if agents == 1 { Ok(()) } else { Err(format!("{}", master["slaves"])) });
    target.finish();
}
