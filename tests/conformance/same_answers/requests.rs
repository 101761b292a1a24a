//! The requests. `{FRAMEWORK}`, `{AGENT}` and `{STREAM}` stand for each side's own.

use mesos::proto::Spelling;
use mesos::proto::json::from_json;
use prost::Message as _;

pub enum Body {
    Text(String),
    /// JSON of a scheduler's call, to be sent as protobuf.
    SchedulerCall(String),
    /// JSON of an operator's call, to be sent as protobuf.
    OperatorCall(String),
    /// The same to an agent.
    AgentCall(String),
}

impl Body {
    pub fn bytes(&self, fill: impl Fn(&str) -> String) -> Vec<u8> {
        match self {
            Body::Text(text) => fill(text).into_bytes(),
            Body::SchedulerCall(json) => {
                from_json::<mesos::proto::scheduler::Call>(fill(json).as_bytes(), Spelling::V1)
                    .expect("a call")
                    .encode_to_vec()
            }
            Body::AgentCall(json) => {
                from_json::<mesos::proto::agent::Call>(fill(json).as_bytes(), Spelling::V1)
                    .expect("a call")
                    .encode_to_vec()
            }
            Body::OperatorCall(json) => {
                from_json::<mesos::proto::master::Call>(fill(json).as_bytes(), Spelling::V1)
                    .expect("a call")
                    .encode_to_vec()
            }
        }
    }
}

pub struct Ask {
    pub name: String,
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Body,
}

fn ask(
    name: &str,
    method: &'static str,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: Body,
) -> Ask {
    Ask { name: name.to_owned(), method, path: path.to_owned(), headers: headers.to_vec(), body }
}

fn plain(method: &'static str, path: &str) -> Ask {
    ask(&format!("{method} {path}"), method, path, &[], Body::Text(String::new()))
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const ACCEPT_JSON: (&str, &str) = ("Accept", "application/json");
const ACCEPT_PROTOBUF: (&str, &str) = ("Accept", "application/x-protobuf");
const STREAM: (&str, &str) = ("Mesos-Stream-Id", "{STREAM}");
const SCHEDULER: &str = "/api/v1/scheduler";
const OPERATOR: &str = "/api/v1";

/// In this order: what changes something comes last.
pub fn all() -> Vec<Ask> {
    let mut all: Vec<Ask> = READS.iter().map(|path| plain("GET", path)).collect();
    all.extend(
        ["/state", "/health", "/slaves", "/metrics/snapshot", "/version", "/flags"].map(|p| plain("POST", p)),
    );
    all.extend(["/state", "/tasks"].map(|path| plain("HEAD", path)));
    all.extend(["/teardown", SCHEDULER, OPERATOR].map(|path| plain("GET", path)));
    all.extend(["/teardown", SCHEDULER, OPERATOR].map(|path| plain("PUT", path)));
    all.extend(["/teardown", SCHEDULER, OPERATOR].map(|path| plain("POST", path)));
    all.extend(forms());
    all.extend(operator());
    all.extend(negotiation());
    all.extend(calls());
    all
}

const READS: &[&str] = &[
    "/state",
    "/master/state",
    "/state.json",
    "/state?jsonp=callback",
    "/state-summary",
    "/slaves",
    "/slaves?slave_id={AGENT}",
    "/slaves?slave_id=none",
    "/frameworks",
    "/frameworks?framework_id={FRAMEWORK}",
    "/frameworks?framework_id=none",
    "/tasks",
    "/tasks?limit=1&order=asc",
    "/tasks?framework_id={FRAMEWORK}&task_id=steady",
    "/tasks?limit=x",
    "/tasks?nonsense=1",
    "/tasks?offset=x",
    "/tasks?order=x",
    "/roles",
    "/flags",
    "/health",
    "/version",
    "/redirect",
    "/metrics/snapshot",
    "/metrics/snapshot?timeout=x",
    "/files/debug",
    "/files/browse",
    "/files/browse?path=/none",
    "/files/read",
    "/files/read?path=/none",
    "/files/read?path=/none&offset=x",
    "/files/download",
    "/files/download?path=/none",
    "/none",
    "/master/none",
    "/none/none",
];

fn forms() -> Vec<Ask> {
    let form = |name: &str, text: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        ask(name, "POST", "/master/teardown", &headers, Body::Text(text.to_owned()))
    };
    vec![
        form("teardown without an id", "other=1"),
        form("teardown of none", "frameworkId=none"),
        form("teardown of nothing", "frameworkId="),
    ]
}

/// Calls of the operator API, by a name of ours.
const OPERATOR_CALLS: &[(&str, &str)] = &[
    ("GET_HEALTH", r#"{"type":"GET_HEALTH"}"#),
    ("GET_VERSION", r#"{"type":"GET_VERSION"}"#),
    ("GET_FLAGS", r#"{"type":"GET_FLAGS"}"#),
    ("GET_METRICS", r#"{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":5000000000}}}"#),
    ("GET_LOGGING_LEVEL", r#"{"type":"GET_LOGGING_LEVEL"}"#),
    (
        "SET_LOGGING_LEVEL",
        r#"{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":0,"duration":{"nanoseconds":1000000000}}}"#,
    ),
    ("LIST_FILES of none", r#"{"type":"LIST_FILES","list_files":{"path":"/none"}}"#),
    ("READ_FILE of none", r#"{"type":"READ_FILE","read_file":{"path":"/none","offset":0}}"#),
    ("GET_STATE", r#"{"type":"GET_STATE"}"#),
    ("GET_AGENTS", r#"{"type":"GET_AGENTS"}"#),
    ("GET_FRAMEWORKS", r#"{"type":"GET_FRAMEWORKS"}"#),
    ("GET_EXECUTORS", r#"{"type":"GET_EXECUTORS"}"#),
    ("GET_OPERATIONS", r#"{"type":"GET_OPERATIONS"}"#),
    ("GET_TASKS", r#"{"type":"GET_TASKS"}"#),
    ("GET_ROLES", r#"{"type":"GET_ROLES"}"#),
    ("GET_WEIGHTS", r#"{"type":"GET_WEIGHTS"}"#),
    ("GET_MASTER", r#"{"type":"GET_MASTER"}"#),
    ("TEARDOWN of none", r#"{"type":"TEARDOWN","teardown":{"framework_id":{"value":"none"}}}"#),
    (
        "MARK_AGENT_GONE of none",
        r#"{"type":"MARK_AGENT_GONE","mark_agent_gone":{"agent_id":{"value":"none"}}}"#,
    ),
];

/// Calls that need more than their type.
const UNFINISHED: &[&str] = &[
    "GET_METRICS",
    "SET_LOGGING_LEVEL",
    "LIST_FILES",
    "READ_FILE",
    "UPDATE_WEIGHTS",
    "RESERVE_RESOURCES",
    "UNRESERVE_RESOURCES",
    "CREATE_VOLUMES",
    "DESTROY_VOLUMES",
    "GROW_VOLUME",
    "SHRINK_VOLUME",
    "UPDATE_MAINTENANCE_SCHEDULE",
    "START_MAINTENANCE",
    "STOP_MAINTENANCE",
    "DRAIN_AGENT",
    "DEACTIVATE_AGENT",
    "REACTIVATE_AGENT",
    "UPDATE_QUOTA",
    "SET_QUOTA",
    "REMOVE_QUOTA",
    "TEARDOWN",
    "MARK_AGENT_GONE",
];

fn operator() -> Vec<Ask> {
    let mut all = Vec::new();
    for (name, call) in OPERATOR_CALLS {
        let text = || Body::Text((*call).to_owned());
        let message = || Body::OperatorCall((*call).to_owned());
        all.push(ask(&format!("{name} in JSON"), "POST", OPERATOR, &[JSON], text()));
        all.push(ask(&format!("{name} in protobuf"), "POST", OPERATOR, &[PROTOBUF, ACCEPT_JSON], message()));
        let headers = [PROTOBUF, ACCEPT_PROTOBUF];
        all.push(ask(&format!("{name} answered in protobuf"), "POST", OPERATOR, &headers, message()));
    }
    for kind in UNFINISHED {
        let call = Body::Text(format!(r#"{{"type":"{kind}"}}"#));
        all.push(ask(&format!("operator: {kind} without its message"), "POST", OPERATOR, &[JSON], call));
    }
    for (name, body) in [
        ("no JSON", "{"),
        ("nothing", ""),
        ("an array", "[]"),
        ("an empty object", "{}"),
        ("an unknown type", r#"{"type":"NO_SUCH"}"#),
        ("a type that is a number", r#"{"type":{}}"#),
        ("the type UNKNOWN", r#"{"type":"UNKNOWN"}"#),
    ] {
        all.push(ask(&format!("operator: {name}"), "POST", OPERATOR, &[JSON], Body::Text(body.to_owned())));
    }
    all.push(ask("operator: bad protobuf", "POST", OPERATOR, &[PROTOBUF], Body::Text("none".to_owned())));
    all
}

fn negotiation() -> Vec<Ask> {
    let health = || Body::Text(r#"{"type":"GET_HEALTH"}"#.to_owned());
    let mut all = Vec::new();
    for path in [OPERATOR, SCHEDULER] {
        let at = |name: &str, headers: &[(&'static str, &'static str)]| {
            let body = match path {
                OPERATOR => health(),
                _ => Body::Text(r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"none"}}}}"#.to_owned()),
            };
            ask(&format!("{path}: {name}"), "POST", path, headers, body)
        };
        all.push(at("no Content-Type", &[ACCEPT_JSON]));
        all.push(at("Content-Type text/plain", &[("Content-Type", "text/plain")]));
        all.push(at("Content-Type application/recordio", &[("Content-Type", "application/recordio")]));
        all.push(at("Content-Type with a charset", &[("Content-Type", "application/json; charset=utf-8")]));
        all.push(at("Accept text/html", &[JSON, ("Accept", "text/html")]));
        all.push(at("Accept application/recordio", &[JSON, ("Accept", "application/recordio")]));
        all.push(at("Accept application/*", &[JSON, ("Accept", "application/*")]));
        all.push(at("Accept text/html, */*", &[JSON, ("Accept", "text/html, */*")]));
    }
    all
}

/// Bodies of scheduler calls and what is said of them.
const CALLS: &[(&str, &str)] = &[
    ("no JSON", "{"),
    ("nothing", ""),
    ("an array", "[]"),
    ("an empty object", "{}"),
    ("an unknown type", r#"{"type":"NO_SUCH"}"#),
    ("the type UNKNOWN", r#"{"type":"UNKNOWN"}"#),
    ("a field of another type", r#"{"type":"ACCEPT","accept":[]}"#),
    (
        "a string for a number",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"DECLINE","decline":{"offer_ids":[],"filters":{"refuse_seconds":"x"}}}"#,
    ),
    ("no framework id", r#"{"type":"REVIVE"}"#),
    ("another framework", r#"{"framework_id":{"value":"none"},"type":"REVIVE"}"#),
    ("SUBSCRIBE without its message", r#"{"type":"SUBSCRIBE"}"#),
    ("SUBSCRIBE without a framework", r#"{"type":"SUBSCRIBE","subscribe":{}}"#),
    (
        "SUBSCRIBE on a stream",
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#,
    ),
    ("ACCEPT without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACCEPT"}"#),
    ("DECLINE without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"DECLINE"}"#),
    ("KILL without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"KILL"}"#),
    ("SHUTDOWN without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"SHUTDOWN"}"#),
    ("ACKNOWLEDGE without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACKNOWLEDGE"}"#),
    (
        "ACKNOWLEDGE of no uuid",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACKNOWLEDGE","acknowledge":{"agent_id":{"value":"{AGENT}"},"task_id":{"value":"steady"},"uuid":"bm9uZQ=="}}"#,
    ),
    (
        "ACKNOWLEDGE of bad base64",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACKNOWLEDGE","acknowledge":{"agent_id":{"value":"{AGENT}"},"task_id":{"value":"steady"},"uuid":"!"}}"#,
    ),
    ("RECONCILE without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"RECONCILE"}"#),
    ("MESSAGE without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"MESSAGE"}"#),
    ("REQUEST without its message", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"REQUEST"}"#),
    (
        "ACCEPT_INVERSE_OFFERS without its message",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACCEPT_INVERSE_OFFERS"}"#,
    ),
    (
        "DECLINE_INVERSE_OFFERS without its message",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"DECLINE_INVERSE_OFFERS"}"#,
    ),
    (
        "REVIVE of a strange role",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"REVIVE","revive":{"roles":["strange"]}}"#,
    ),
    (
        "SUPPRESS of a strange role",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"SUPPRESS","suppress":{"roles":["strange"]}}"#,
    ),
    (
        "SUPPRESS of a bad role",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"SUPPRESS","suppress":{"roles":["/"]}}"#,
    ),
    (
        "DECLINE of an unknown offer",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"DECLINE","decline":{"offer_ids":[{"value":"none"}]}}"#,
    ),
    (
        "ACCEPT of an unknown offer",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"none"}],"operations":[]}}"#,
    ),
    (
        "KILL of an unknown task",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"KILL","kill":{"task_id":{"value":"none"}}}"#,
    ),
    (
        "RECONCILE of everything",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"RECONCILE","reconcile":{"tasks":[]}}"#,
    ),
    (
        "MESSAGE to an unknown executor",
        r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"MESSAGE","message":{"agent_id":{"value":"{AGENT}"},"executor_id":{"value":"none"},"data":"aGk="}}"#,
    ),
    ("REQUEST", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"REQUEST","request":{"requests":[]}}"#),
    ("SUPPRESS", r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"SUPPRESS"}"#),
];

fn calls() -> Vec<Ask> {
    let text = |body: &str| Body::Text(body.to_owned());
    let mut all = Vec::new();
    for (name, body) in CALLS {
        all.push(ask(&format!("call: {name}"), "POST", SCHEDULER, &[JSON, STREAM], text(body)));
        // As protobuf, if it has a form in protobuf.
        let filled = body.replace("{FRAMEWORK}", "f").replace("{AGENT}", "a");
        if from_json::<mesos::proto::scheduler::Call>(filled.as_bytes(), Spelling::V1).is_ok() {
            let body = Body::SchedulerCall((*body).to_owned());
            all.push(ask(&format!("call in protobuf: {name}"), "POST", SCHEDULER, &[PROTOBUF, STREAM], body));
        }
    }
    all.push(ask("call: bad protobuf", "POST", SCHEDULER, &[PROTOBUF, STREAM], text("none")));
    let revive = r#"{"framework_id":{"value":"{FRAMEWORK}"},"type":"SUPPRESS"}"#;
    all.push(ask("call: no stream id", "POST", SCHEDULER, &[JSON], text(revive)));
    let other = [JSON, ("Mesos-Stream-Id", "none")];
    all.push(ask("call: another stream id", "POST", SCHEDULER, &other, text(revive)));
    for (name, framework) in SUBSCRIPTIONS {
        let call = format!(r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{framework}}}}}"#);
        all.push(ask(&format!("SUBSCRIBE: {name}"), "POST", SCHEDULER, &[JSON], text(&call)));
    }
    let differing = r#"{"type":"SUBSCRIBE","framework_id":{"value":"a"},"subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"b"}}}}"#;
    all.push(ask("SUBSCRIBE: two ids", "POST", SCHEDULER, &[JSON], text(differing)));
    all
}

/// FrameworkInfos that are refused.
const SUBSCRIPTIONS: &[(&str, &str)] = &[
    ("no user", r#"{"name":"n"}"#),
    ("no name", r#"{"user":"u"}"#),
    ("an id with a slash", r#"{"user":"u","name":"n","id":{"value":"a/b"}}"#),
    ("a bad role", r#"{"user":"u","name":"n","role":"a b"}"#),
    ("roles without MULTI_ROLE", r#"{"user":"u","name":"n","roles":["a"]}"#),
    ("role with MULTI_ROLE", r#"{"user":"u","name":"n","role":"a","capabilities":[{"type":"MULTI_ROLE"}]}"#),
    ("a role twice", r#"{"user":"u","name":"n","roles":["a","a"],"capabilities":[{"type":"MULTI_ROLE"}]}"#),
    ("an unknown id", r#"{"user":"u","name":"n","id":{"value":"none"}}"#),
];

/// Subscriptions whose answer is a stream of protobuf.
pub fn subscriptions() -> Vec<Ask> {
    let call = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;
    let accept = ("Accept", "application/x-protobuf");
    vec![
        ask(
            "SUBSCRIBE in protobuf",
            "POST",
            SCHEDULER,
            &[PROTOBUF, accept],
            Body::SchedulerCall(call.to_owned()),
        ),
        ask(
            "SUBSCRIBE in JSON for protobuf",
            "POST",
            SCHEDULER,
            &[JSON, accept],
            Body::Text(call.to_owned()),
        ),
    ]
}

const AGENT_READS: &[&str] = &[
    "/state",
    "/flags",
    "/health",
    "/containers",
    "/monitor/statistics",
    "/none",
    "/api/v1",
    "/api/v1/executor",
];

const AGENT_CALLS: &[(&str, &str)] = &[
    ("no JSON", "{"),
    ("an empty object", "{}"),
    ("an unknown type", r#"{"type":"NO_SUCH"}"#),
    ("GET_HEALTH", r#"{"type":"GET_HEALTH"}"#),
    ("GET_VERSION", r#"{"type":"GET_VERSION"}"#),
    ("GET_FLAGS", r#"{"type":"GET_FLAGS"}"#),
    ("GET_METRICS", r#"{"type":"GET_METRICS","get_metrics":{}}"#),
    ("GET_LOGGING_LEVEL", r#"{"type":"GET_LOGGING_LEVEL"}"#),
    (
        "SET_LOGGING_LEVEL",
        r#"{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":0,"duration":{"nanoseconds":1000000000}}}"#,
    ),
    ("LIST_FILES of none", r#"{"type":"LIST_FILES","list_files":{"path":"/none"}}"#),
    ("READ_FILE of none", r#"{"type":"READ_FILE","read_file":{"path":"/none","offset":0}}"#),
    ("GET_STATE", r#"{"type":"GET_STATE"}"#),
    ("GET_CONTAINERS", r#"{"type":"GET_CONTAINERS","get_containers":{"show_nested":true}}"#),
    ("GET_FRAMEWORKS", r#"{"type":"GET_FRAMEWORKS"}"#),
    ("GET_EXECUTORS", r#"{"type":"GET_EXECUTORS"}"#),
    ("GET_OPERATIONS", r#"{"type":"GET_OPERATIONS"}"#),
    ("GET_TASKS", r#"{"type":"GET_TASKS"}"#),
    ("GET_AGENT", r#"{"type":"GET_AGENT"}"#),
    ("GET_METRICS without its message", r#"{"type":"GET_METRICS"}"#),
    ("READ_FILE without its message", r#"{"type":"READ_FILE"}"#),
    ("LAUNCH_CONTAINER without its message", r#"{"type":"LAUNCH_CONTAINER"}"#),
    ("WAIT_NESTED_CONTAINER without its message", r#"{"type":"WAIT_NESTED_CONTAINER"}"#),
];

const EXECUTOR_CALLS: &[(&str, &str)] = &[
    ("no JSON", "{"),
    ("an empty object", "{}"),
    ("no executor", r#"{"type":"SUBSCRIBE","framework_id":{"value":"f"}}"#),
    (
        "SUBSCRIBE without its message",
        r#"{"type":"SUBSCRIBE","framework_id":{"value":"f"},"executor_id":{"value":"e"}}"#,
    ),
    (
        "SUBSCRIBE of an unknown framework",
        r#"{"type":"SUBSCRIBE","framework_id":{"value":"f"},"executor_id":{"value":"e"},"subscribe":{}}"#,
    ),
    (
        "UPDATE without its message",
        r#"{"type":"UPDATE","framework_id":{"value":"f"},"executor_id":{"value":"e"}}"#,
    ),
    (
        "UPDATE of an unknown framework",
        r#"{"type":"UPDATE","framework_id":{"value":"f"},"executor_id":{"value":"e"},"update":{"status":{"task_id":{"value":"t"},"executor_id":{"value":"e"},"state":"TASK_RUNNING","source":"SOURCE_EXECUTOR","uuid":"AAAAAAAAQACAAAAAAAAAAA=="}}}"#,
    ),
    (
        "MESSAGE without its message",
        r#"{"type":"MESSAGE","framework_id":{"value":"f"},"executor_id":{"value":"e"}}"#,
    ),
    (
        "MESSAGE of an unknown framework",
        r#"{"type":"MESSAGE","framework_id":{"value":"f"},"executor_id":{"value":"e"},"message":{"data":"aGk="}}"#,
    ),
];

/// Requests to an agent that has nothing to do.
pub fn of_agents() -> Vec<Ask> {
    let mut all: Vec<Ask> =
        AGENT_READS.iter().map(|path| plain("GET", &format!("/slave(1){path}"))).collect();
    all.extend(
        ["/state", "/health", "/api/v1", "/api/v1/executor"].map(|p| plain("POST", &format!("/slave(1){p}"))),
    );
    let path = "/slave(1)/api/v1";
    for (name, call) in AGENT_CALLS {
        if from_json::<mesos::proto::agent::Call>(call.as_bytes(), Spelling::V1).is_ok() {
            let call = Body::AgentCall((*call).to_owned());
            let headers = [PROTOBUF, ACCEPT_PROTOBUF];
            all.push(ask(&format!("{path} in protobuf: {name}"), "POST", path, &headers, call));
        }
    }
    // With the call of each that is well-formed.
    for (path, calls, valid) in
        [("/slave(1)/api/v1", AGENT_CALLS, 3), ("/slave(1)/api/v1/executor", EXECUTOR_CALLS, 4)]
    {
        for (name, body) in calls {
            let text = || Body::Text((*body).to_owned());
            all.push(ask(&format!("{path}: {name}"), "POST", path, &[JSON, ACCEPT_JSON], text()));
        }
        let text = || Body::Text(calls[valid].1.to_owned());
        let at = |name: &str, headers: &[(&'static str, &'static str)]| {
            ask(&format!("{path}: {name}"), "POST", path, headers, text())
        };
        all.push(at("no Content-Type", &[ACCEPT_JSON]));
        all.push(at("Content-Type text/plain", &[("Content-Type", "text/plain")]));
        all.push(at("Content-Type application/recordio", &[("Content-Type", "application/recordio")]));
        all.push(at("Accept text/html", &[JSON, ("Accept", "text/html")]));
        all.push(at("Accept application/recordio", &[JSON, ("Accept", "application/recordio")]));
        all.push(at(
            "a stream where there is none",
            &[JSON, ("Accept", "application/recordio"), ("Message-Accept", "application/json")],
        ));
        all.push(ask(
            &format!("{path}: bad protobuf"),
            "POST",
            path,
            &[PROTOBUF],
            Body::Text("none".to_owned()),
        ));
    }
    all
}
