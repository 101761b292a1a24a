//! The table of the agent's endpoints.

use axum::routing::any;

use super::{Site, executor, operator, reads};
use crate::http::error::HttpError;
use crate::http::route::{Endpoint, Routes};
use crate::webui;

const READ: Endpoint = Endpoint { json: true, authentication: true, ..Endpoint::DEFAULT };

const STATE: Endpoint = Endpoint {
    path: "/state",
    tldr: "Information about state of the Agent.",
    description: &[
        "Shows the agent, its flags and resources, and every framework with its executors and their tasks.",
    ],
    ..READ
};

const FLAGS: Endpoint = Endpoint { path: "/flags", tldr: "Exposes the agent's flag configuration.", ..READ };

const HEALTH: Endpoint = Endpoint {
    path: "/health",
    tldr: "Health check of the Agent.",
    description: &["Returns 200 OK as long as the agent serves requests."],
    ..Endpoint::DEFAULT
};

const CONTAINERS: Endpoint = Endpoint {
    path: "/containers",
    tldr: "Retrieve container status and usage information.",
    description: &["Shows the containers of executors that run."],
    ..READ
};

const STATISTICS: Endpoint = Endpoint {
    path: "/monitor/statistics",
    tldr: "Retrieve resource monitoring information.",
    description: &["Shows what every executor that runs uses, as it is now."],
    ..READ
};

const PRESSURE: Endpoint = Endpoint {
    path: "/monitor/pressure",
    methods: &["GET"],
    tldr: "How much of the time somebody waits for a resource.",
    description: &[
        "Shows shares of the time, in percent, in which some or all wait for cpu, memory or io: of the machine, and",
        "of every executor that runs in control groups of version 2. What the kernel does not tell is left out.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const LEADER: Endpoint = Endpoint {
    path: "/leader",
    methods: &["GET"],
    tldr: "Which agent this is, and which master leads as far as it knows.",
    ..Endpoint::DEFAULT
};

const OPERATOR: Endpoint = Endpoint {
    path: "/api/v1",
    methods: &["POST"],
    tldr: "Endpoint for API calls against the agent.",
    description: &[
        "Takes calls of the operator API in JSON or protobuf, and answers in what `Accept` allows.",
        "",
        "There are GET_HEALTH, GET_FLAGS, GET_VERSION, GET_METRICS, GET_LOGGING_LEVEL, SET_LOGGING_LEVEL,",
        "LIST_FILES, READ_FILE, GET_STATE, GET_CONTAINERS, GET_FRAMEWORKS, GET_EXECUTORS,",
        "GET_OPERATIONS, GET_TASKS and GET_AGENT.",
        "Calls whose subject is still to come (nested containers, images...) answer 501 and say so.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const EXECUTOR: Endpoint = Endpoint {
    path: "/api/v1/executor",
    methods: &["POST"],
    tldr: "Endpoint for the Executor HTTP API.",
    description: &[
        "Takes calls of the executor API in JSON or protobuf. SUBSCRIBE answers with a stream of events",
        "in RecordIO, every other call with 202.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const STATS: Endpoint = Endpoint {
    path: "/stats.json",
    methods: &["GET"],
    tldr: "Numbers of the agent, as Mesos 0.15 had them.",
    description: &["/metrics/snapshot took its place and shows far more."],
    authentication: true,
    ..Endpoint::DEFAULT
};

const RESOURCE_PROVIDER: Endpoint = Endpoint {
    path: "/api/v1/resource_provider",
    methods: &["POST"],
    tldr: "Endpoint for the local resource provider HTTP API.",
    description: &["Not there yet: answers 501 Not Implemented, and why."],
    ..Endpoint::DEFAULT
};

const DEBUG: Endpoint = Endpoint {
    path: "/containerizer/debug",
    methods: &["GET"],
    tldr: "Retrieve debugging information of the containerizer.",
    description: &["Not there yet: answers 501 Not Implemented, and why."],
    ..Endpoint::DEFAULT
};

/// Binds every row below the agent's process, `slave(1)` for the first.
pub fn bind(routes: &mut Routes, process: &str, site: &Site) {
    routes.add(process, &STATE, any(reads::state).with_state(site.clone()));
    routes.add(process, &FLAGS, any(reads::flags).with_state(site.clone()));
    routes.add(process, &HEALTH, any(reads::health));
    routes.add(process, &CONTAINERS, any(reads::containers).with_state(site.clone()));
    routes.add(process, &STATISTICS, any(reads::statistics).with_state(site.clone()));
    routes.add(process, &PRESSURE, any(reads::pressure).with_state(site.clone()));
    routes.add(process, &LEADER, any(reads::leader).with_state(site.clone()));
    routes.add(process, &OPERATOR, any(operator::operator).with_state(site.clone()));
    routes.add(process, &STATS, any(reads::stats).with_state(site.clone()));
    for (endpoint, why) in [(&RESOURCE_PROVIDER, "resource providers are"), (&DEBUG, "what it shows is")] {
        let name = endpoint.path;
        let refusal = HttpError::not_implemented(format!("{name} is not here: {why} still to come"));
        routes.add(process, endpoint, any(async move || refusal));
    }
    routes.add(process, &EXECUTOR, any(executor::executor).with_state(site.clone()));
    // The folder of `--webui_dir` is the master's to serve: agents have no such flag. Their pages ask nobody else.
    webui::bind(routes, process, None, Vec::new);
}
