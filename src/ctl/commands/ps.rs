//! `ps`: tasks that run, and what their executors use at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::ctl::Ctl;
use crate::ctl::client::Server;
use crate::ctl::error::Error;
use crate::ctl::find::{self, has_ended, started};
use crate::ctl::print::{Column, remark};
use crate::ctl::progress::Progress;
use crate::ctl::units::{lasting, megabytes, number, plain, resource, since, text};

/// Agents that are asked at once.
const AT_ONCE: usize = 16;

/// By framework and executor.
pub type Usage = BTreeMap<(String, String), Value>;

pub fn list(ctl: &Ctl) -> Result<(), Error> {
    let master = ctl.master()?;
    let (tasks, silent) = running(ctl, &master, usize::MAX)?;
    let columns = [
        Column::new("ID", |task| text(task, "id").to_owned()),
        Column::new("STATE", find::state).tinted(),
        Column::new("FRAMEWORK", |task| text(task, "framework_id").to_owned()),
        Column::new("AGENT", |task| text(task, "slave_id").to_owned()).wide(),
        Column::new("HOST", |task| text(task, "host").to_owned()),
        Column::new("CPUS", |task| plain(resource(task, "resources", "cpus"))).right(),
        Column::new("CPU TIME", |task| used(task, cpu_time, lasting)).right(),
        Column::new("MEM", |task| megabytes(resource(task, "resources", "mem"))).right(),
        Column::new("MEM USED", |task| used(task, mem_used, megabytes)).right(),
        Column::new("AGE", |task| since(started(task))).right(),
    ];
    ctl.output.list(&columns, |task| text(task, "id").to_owned(), &tasks)?;
    if silent > 0 {
        remark(&format!("{silent} agents did not answer: what is used there is not known."));
    }
    Ok(())
}

fn used(task: &Value, of: fn(&Value) -> f64, write: fn(f64) -> String) -> String {
    task.get("usage").map_or_else(|| "-".to_owned(), |usage| write(of(usage)))
}

/// Processor time of an executor, in seconds.
pub fn cpu_time(usage: &Value) -> f64 {
    number(usage, "cpus_user_time_secs") + number(usage, "cpus_system_time_secs")
}

/// Resident memory of an executor, in megabytes.
pub fn mem_used(usage: &Value) -> f64 {
    number(usage, "mem_rss_bytes") / 1024.0 / 1024.0
}

/// Tasks that have not ended, the largest first and so many at most, each with `host` and, where its agent answers,
/// `usage` of its executor; and how many agents did not answer.
pub fn running(ctl: &Ctl, master: &Server<'_>, most: usize) -> Result<(Vec<Value>, usize), Error> {
    let mut tasks = find::tasks(master, &[])?;
    tasks.retain(|task| !has_ended(task));
    let size = |task: &Value| resource(task, "resources", "cpus");
    tasks.sort_by(|a, b| size(b).total_cmp(&size(a)));
    tasks.truncate(most);
    let places: BTreeSet<&str> = tasks.iter().map(|task| text(task, "slave_id")).collect();
    let mut agents = find::agents(master)?;
    agents.retain(|agent| places.contains(text(agent, "id")));
    let (usage, silent) = ask(ctl, master, &agents);
    let hosts: BTreeMap<&str, &str> =
        agents.iter().map(|agent| (text(agent, "id"), text(agent, "hostname"))).collect();
    for task in &mut tasks {
        let host = hosts.get(text(task, "slave_id")).copied().unwrap_or_default().to_owned();
        let (framework, id) = find::task_id(task);
        let executor = match text(task, "executor_id") {
            "" => id,
            executor => executor,
        };
        let usage = usage.get(&(framework.to_owned(), executor.to_owned())).cloned();
        task["host"] = json!(host);
        if let Some(usage) = usage {
            task["usage"] = usage;
        }
    }
    Ok((tasks, silent))
}

/// Asks agents what their executors use, several at once.
fn ask(ctl: &Ctl, master: &Server<'_>, agents: &[Value]) -> (Usage, usize) {
    let (next, silent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let usage = Mutex::new(Usage::new());
    let progress = Mutex::new(Progress::count(agents.len() as u64, "asked", "agents"));
    let work = || {
        while let Some(agent) = agents.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer =
                ctl.agent_server(master, agent).and_then(|server| server.own_json("monitor/statistics"));
            match answer {
                Ok(answer) => {
                    note(&answer, &mut usage.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
                }
                Err(_) => {
                    silent.fetch_add(1, Ordering::Relaxed);
                }
            }
            progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(agents.len()) {
            scope.spawn(work);
        }
    });
    (usage.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), silent.into_inner())
}

fn note(answer: &Value, usage: &mut Usage) {
    let executors = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    for executor in executors {
        let key = (text(executor, "framework_id").to_owned(), text(executor, "executor_id").to_owned());
        if let Some(statistics) = executor.get("statistics") {
            usage.insert(key, statistics.clone());
        }
    }
}
