//! The table of the master's endpoints.

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get};

use super::{
    Site, absent, events, leader_only, legacy, operator, pages, registry, scheduler, settled, stats, through,
};
use crate::coordination::member;
use crate::http::route::{Endpoint, Routes};
use crate::webui;

const READ: Endpoint = Endpoint { json: true, authentication: true, ..Endpoint::DEFAULT };

const STATE: Endpoint = Endpoint {
    path: "/state",
    tldr: "Information about state of master.",
    description: &[
        "Shows the master, its flags, every agent, and every framework with its tasks, offers and executors.",
        "It may be large; `/state-summary` has counts in place of tasks.",
    ],
    ..READ
};

const SUMMARY: Endpoint = Endpoint {
    path: "/state-summary",
    tldr: "Summary of agents, tasks, and registered frameworks in cluster.",
    description: &["Shows agents and frameworks with how many tasks are in which state."],
    ..READ
};

const SLAVES: Endpoint = Endpoint {
    path: "/slaves",
    tldr: "Information about agents.",
    description: &[
        "Shows the agents that are registered, with their resources also in full, those of the registry that",
        "are not back since this master leads, and the ids of those that are unreachable.",
        "",
        "Query parameters:",
        "",
        ">        slave_id=VALUE       Only this agent.",
    ],
    ..READ
};

const FRAMEWORKS: Endpoint = Endpoint {
    path: "/frameworks",
    tldr: "Exposes the frameworks info.",
    description: &[
        "Shows the frameworks that are there, and completed ones.",
        "",
        "Query parameters:",
        "",
        ">        framework_id=VALUE   Only this framework.",
    ],
    ..READ
};

const TASKS: Endpoint = Endpoint {
    path: "/tasks",
    tldr: "Lists tasks from all active frameworks.",
    description: &[
        "Lists tasks that run, are unreachable or have ended, by the time of their first status.",
        "",
        "Query parameters:",
        "",
        ">        framework_id=VALUE   Only tasks of this framework.",
        ">        limit=VALUE          At most so many tasks (100 if not said).",
        ">        offset=VALUE         Begins behind so many tasks.",
        ">        order=(asc|desc)     Oldest or newest first (desc if not said).",
        ">        task_id=VALUE        Only tasks of this id.",
    ],
    ..READ
};

const ROLES: Endpoint = Endpoint {
    path: "/roles",
    tldr: "Information about roles.",
    description: &[
        "Shows each role's weight, what it holds, is offered and has reserved, and its frameworks.",
    ],
    ..READ
};

const WEIGHTS: Endpoint = Endpoint {
    path: "/weights",
    methods: &["GET", "PUT"],
    tldr: "Updates weights for the specified roles.",
    description: &[
        "GET shows the weights of roles that were set by `--weights`; any other role weighs 1.",
        "PUT, which changes them, is still to come: it answers 501 Not Implemented.",
    ],
    ..READ
};

const FLAGS: Endpoint = Endpoint { path: "/flags", tldr: "Exposes the master's flag configuration.", ..READ };

const HEALTH: Endpoint = Endpoint {
    path: "/health",
    tldr: "Health check of the Master.",
    description: &["Returns 200 OK as long as the master serves requests."],
    ..Endpoint::DEFAULT
};

const REDIRECT: Endpoint = Endpoint {
    path: "/redirect",
    tldr: "Redirects to the leading Master.",
    description: &["Returns 307 Temporary Redirect with the leading master's address."],
    ..Endpoint::DEFAULT
};

const TEARDOWN: Endpoint = Endpoint {
    path: "/teardown",
    methods: &["POST"],
    tldr: "Tears down a running framework by shutting down all tasks/executors and removing the framework.",
    description: &["Please provide a \"frameworkId\" value designating the running framework to tear down."],
    authentication: true,
    ..Endpoint::DEFAULT
};

const KILL: Endpoint = Endpoint {
    path: "/kill",
    methods: &["POST"],
    tldr: "Kills a task.",
    description: &[
        "An addition to Apache Mesos, where only the framework of a task can kill it. The framework is told by",
        "the task's status updates, as if it had killed the task itself.",
        "",
        "Please provide a \"frameworkId\" and a \"taskId\" value as a form in the body.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const OPERATOR: Endpoint = Endpoint {
    path: "/api/v1",
    methods: &["POST"],
    tldr: "Endpoint for API calls against the master.",
    description: &[
        "Takes calls of the operator API in JSON or protobuf, and answers in what `Accept` allows.",
        "",
        "There are GET_HEALTH, GET_FLAGS, GET_VERSION, GET_METRICS, GET_LOGGING_LEVEL, SET_LOGGING_LEVEL,",
        "LIST_FILES, READ_FILE, GET_STATE, GET_AGENTS, GET_FRAMEWORKS, GET_EXECUTORS, GET_OPERATIONS,",
        "GET_TASKS, GET_ROLES, GET_WEIGHTS, GET_MASTER, SUBSCRIBE, TEARDOWN and MARK_AGENT_GONE.",
        "SUBSCRIBE answers with a stream of events in RecordIO.",
        "Calls whose subject is still to come (changing quota, reservations, maintenance...) answer 501 and say so.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const EVENTS: Endpoint = Endpoint {
    path: "/events",
    methods: &["GET"],
    tldr: "What happens in the cluster, as server-sent events.",
    description: &[
        "Tells the events of SUBSCRIBE (operator API) as they happen: `event` is their type, `data` the",
        "event as JSON on one line, `id` where it stands. Nothing is told of the state so far: follow",
        "first, then read `/state` or GET_STATE.",
        "",
        "A client that comes back with `Last-Event-ID` gets what it missed, as far as that is remembered",
        "(the last 100,000 events, as long as somebody followed in the last five minutes). Otherwise, also",
        "if the id is another master's, the first event is `reset`: the state has to be read anew.",
        "Every 15 seconds there is a comment with the present `id`.",
        "",
        "Query parameters:",
        "",
        ">        types=VALUE          Only these types, with commas: TASK_ADDED, TASK_UPDATED,",
        ">                             AGENT_ADDED, AGENT_REMOVED, FRAMEWORK_ADDED,",
        ">                             FRAMEWORK_UPDATED, FRAMEWORK_REMOVED.",
        ">        framework=VALUE      Only of this framework and its tasks.",
        ">        agent=VALUE          Only of this agent and the tasks on it.",
        ">        task=VALUE           Only of tasks of this id.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const OVERVIEW: Endpoint = Endpoint {
    path: "/overview",
    methods: &["GET"],
    tldr: "The cluster as the web pages show it, as rows.",
    description: &[
        "Agents, frameworks and tasks, each an array whose places `columns` names: a fraction of `/state`.",
        "`at` says where it stands: `/overview/changes` tells what changes from there on.",
        "It is meant for the pages of the same version, and may look otherwise in the next.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const CHANGES: Endpoint = Endpoint {
    path: "/overview/changes",
    methods: &["GET"],
    tldr: "What changes of `/overview`, as server-sent events.",
    description: &[
        "Once a second, if anything changed: an event `change` with rows that are new or read differently (`set`,",
        "by their first place), ids of those that are no more (`gone`), and for lists of what is over how many of",
        "the oldest were `dropped` and which were `added`. Every 15 seconds there is a comment.",
        "",
        "`Last-Event-ID` (or the query parameter `after`) says which is the last that is known: the `at` of an",
        "overview, or the `id` of a change. If what follows it is not remembered, the only event is `reset`: the",
        "overview has to be read anew. An event `masters` has no id: it names all who stand for election, first of all",
        "and whenever they change.",
        "",
        "Query parameters:",
        "",
        ">        after=VALUE          The last that is known.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const OFFERS: Endpoint = Endpoint {
    path: "/overview/offers",
    methods: &["GET"],
    tldr: "The offers that are out, as rows.",
    description: &["Has an ETag, as `/state` has."],
    authentication: true,
    ..Endpoint::DEFAULT
};

const TASK: Endpoint = Endpoint {
    path: "/overview/task",
    methods: &["GET"],
    tldr: "All that is known of one task.",
    description: &[
        "Answers as GET_TASKS does, with those tasks only that the framework has, or had, by this id.",
        "",
        "Query parameters:",
        "",
        ">        framework_id=VALUE   The framework.",
        ">        task_id=VALUE        The task.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const LEADER: Endpoint = Endpoint {
    path: "/leader",
    methods: &["GET"],
    tldr: "Who leads, as far as this master knows, and all who stand for election.",
    description: &[
        "Answered by every master, where `/redirect` sends on to the leader. Of other sites, only pages of masters",
        "that stand may read it, or that stood: theirs may be gone.",
    ],
    ..Endpoint::DEFAULT
};

const AGENT: Endpoint = Endpoint {
    path: "/agent",
    methods: &["GET"],
    any_query: true,
    tldr: "Reads from an agent, through the master.",
    description: &[
        "`/master/agent/ID/state` answers as `/state` of the agent does; so do `monitor/statistics`,",
        "`monitor/pressure`, `containers`, `flags`, `metrics/snapshot`, `files/browse`, `files/read` and",
        "`files/download`. For web pages: a browser has to reach the master only.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

const SCHEDULER: Endpoint = Endpoint {
    path: "/api/v1/scheduler",
    methods: &["POST"],
    tldr: "Endpoint for schedulers to make calls against the master.",
    description: &[
        "Takes calls of the scheduler API in JSON or protobuf. SUBSCRIBE answers with a stream of events",
        "in RecordIO; every other call needs its `Mesos-Stream-Id`.",
    ],
    authentication: true,
    ..Endpoint::DEFAULT
};

/// The process that all of them belong to, and that unknown paths are tried below.
const MASTER: &str = "master";

/// Binds every row. A master that does not lead answers only for itself, and sends the rest on to the leader.
pub fn bind(routes: &mut Routes, site: &Site) {
    routes.delegate(MASTER);
    let leader = from_fn_with_state(site.clone(), leader_only);
    let mut of_the_leader = |row: &Endpoint, handler: MethodRouter<Site>| {
        routes.add(MASTER, row, handler.with_state(site.clone()).layer(leader.clone()));
    };
    of_the_leader(&STATE, any(legacy::state));
    of_the_leader(&SUMMARY, any(legacy::summary));
    of_the_leader(&SLAVES, any(legacy::slaves));
    of_the_leader(&FRAMEWORKS, any(legacy::frameworks));
    of_the_leader(&TASKS, any(legacy::tasks));
    of_the_leader(&ROLES, any(legacy::roles));
    of_the_leader(&TEARDOWN, any(legacy::teardown));
    of_the_leader(&KILL, any(legacy::kill));
    of_the_leader(&EVENTS, any(events::events));
    of_the_leader(&OVERVIEW, any(pages::overview));
    of_the_leader(&CHANGES, any(pages::changes));
    of_the_leader(&OFFERS, any(pages::offers));
    of_the_leader(&TASK, any(pages::task));
    of_the_leader(&AGENT, any(through::agent));
    of_the_leader(&settled::SCHEDULE, any(settled::schedule));
    of_the_leader(&settled::STATUS, any(settled::status));
    of_the_leader(&settled::QUOTA, any(settled::quota));
    of_the_leader(&OPERATOR, any(operator::operator));
    of_the_leader(&SCHEDULER, any(scheduler::scheduler));
    of_the_leader(&WEIGHTS, get(legacy::weights).put(legacy::change_weights));
    routes.add(MASTER, &FLAGS, any(legacy::flags).with_state(site.clone()));
    routes.add(MASTER, &LEADER, any(pages::leader).with_state(site.clone()));
    routes.add(MASTER, &HEALTH, any(legacy::health));
    routes.add(MASTER, &REDIRECT, any(legacy::redirect).with_state(site.clone()));
    routes.add(MASTER, &stats::STATS, any(stats::stats).with_state(site.clone()));
    let shown = any(registry::registry).with_state(site.clone()).layer(leader.clone());
    routes.add(registry::REGISTRAR, &registry::REGISTRY, shown);
    absent::bind(routes);
    let seat = site.inner.seat.clone();
    let masters = move || seat.standing().borrow().iter().map(member::authority_of).collect();
    webui::bind(routes, MASTER, site.webui_dir(), masters);
}
