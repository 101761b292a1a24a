//! `tasks` and `kill`.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::agents::hostnames;
use crate::ctl::Ctl;
use crate::ctl::args::Which;
use crate::ctl::client::{Request, Server};
use crate::ctl::error::Error;
use crate::ctl::find::{self, Want, has_ended, started};
use crate::ctl::print::{Column, line, remark};
use crate::ctl::units::{megabytes, plain, resource, since, text};

/// Between two questions whether a task has ended.
const PAUSE: Duration = Duration::from_millis(300);

/// How long `kill --wait` waits before it says that it does.
const QUIET: Duration = Duration::from_secs(3);

/// Which tasks to list.
pub struct Filter {
    pub all: bool,
    pub framework: Option<String>,
    pub agent: Option<String>,
    pub state: Option<String>,
}

fn id(task: &Value) -> String {
    text(task, "id").to_owned()
}

pub fn list(ctl: &Ctl, filter: &Filter) -> Result<(), Error> {
    let master = ctl.master()?;
    let agents = find::agents(&master)?;
    let agent = match &filter.agent {
        Some(word) => Some(text(find::agent(word, &agents)?, "id").to_owned()),
        None => None,
    };
    let framework = match &filter.framework {
        Some(word) => Some(text(find::framework(word, &master.own_json("frameworks")?)?, "id").to_owned()),
        None => None,
    };
    let wanted = filter.state.as_ref().map(|state| state.to_ascii_lowercase());
    let wanted = wanted.as_deref().map(|state| state.strip_prefix("task_").unwrap_or(state));
    let query: Vec<(&str, &str)> = framework.as_deref().map(|id| ("framework_id", id)).into_iter().collect();
    let mut tasks = find::tasks(&master, &query)?;
    tasks.retain(|task| {
        let state = wanted.map_or(filter.all || !has_ended(task), |state| state == find::state(task));
        state && agent.as_deref().is_none_or(|agent| agent == text(task, "slave_id"))
    });
    let names = hostnames(&agents);
    let columns = [
        Column::new("ID", id),
        Column::new("STATE", find::state).tinted(),
        Column::new("NAME", |task| text(task, "name").to_owned()).wide(),
        Column::new("FRAMEWORK", |task| text(task, "framework_id").to_owned()),
        Column::new("AGENT", |task| text(task, "slave_id").to_owned()).wide(),
        Column::new("HOST", |task| names.get(text(task, "slave_id")).cloned().unwrap_or_default()),
        Column::new("CPUS", |task| plain(resource(task, "resources", "cpus"))).right(),
        Column::new("MEM", |task| megabytes(resource(task, "resources", "mem"))).right(),
        Column::new("ROLE", |task| text(task, "role").to_owned()).wide(),
        Column::new("AGE", |task| since(started(task))).right(),
    ];
    ctl.output.list(&columns, id, &tasks)
}

pub fn kill(ctl: &Ctl, which: &Which, wait: bool) -> Result<(), Error> {
    let master = ctl.master()?;
    let task = ctl.task(&master, which, Want::Alive)?;
    let (framework, id) = find::task_id(&task);
    let form = [("frameworkId", framework), ("taskId", id)];
    master.open(&Request::post(&master.own("kill"), &form)).map_err(|error| match error {
        Error::NotThere(_) => Error::NotThere(format!(
            "{} cannot kill a single task for an operator, as Apache Mesos cannot. Ask its framework to, or end \
             the framework and all its tasks: mesos ctl teardown {framework}",
            master.capital_name()
        )),
        error => error,
    })?;
    line(&format!("Told to kill task '{id}' of framework {framework}."))?;
    if wait { wait_for_the_end(&master, framework, id) } else { Ok(()) }
}

fn wait_for_the_end(master: &Server<'_>, framework: &str, id: &str) -> Result<(), Error> {
    let since = Instant::now();
    let mut said = false;
    loop {
        let tasks = find::tasks(master, &[("framework_id", framework), ("task_id", id)])?;
        match tasks.iter().find(|task| text(task, "id") == id) {
            None => return line(&format!("Task '{id}' is gone.")),
            Some(task) if has_ended(task) => return line(&format!("Task '{id}' is {}.", find::state(task))),
            Some(task) if !said && since.elapsed() > QUIET => {
                remark(&format!("Task '{id}' is still {}; waiting.", find::state(task)));
                said = true;
            }
            Some(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
}
