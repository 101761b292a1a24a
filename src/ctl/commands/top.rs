//! `top`: how busy the cluster is, again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{percent, used};
use super::ps;
use super::screen::{Key, Screen};
use super::{agents, frameworks};
use crate::ctl::Ctl;
use crate::ctl::args::By;
use crate::ctl::client::{Request, Server};
use crate::ctl::error::Error;
use crate::ctl::find;
use crate::ctl::print::{Column, line};
use crate::ctl::units::{lasting, megabytes, number, plain, resource, take, text};

/// Rows that are looked at: more than any screen has, and as many as a large cluster can be asked for again and again.
const MOST: usize = 200;

/// Letters of a bar.
const BAR: usize = 30;

pub fn run(ctl: &Ctl, once: bool, by: By, every: Duration) -> Result<(), Error> {
    let master = ctl.master()?;
    let mut look = Look { ctl, master, busy: BTreeMap::new(), at: Instant::now() };
    if once || !Screen::is_there() {
        return line(&look.picture(by)?.join("\n"));
    }
    let first = look.picture(by)?;
    let mut screen = Screen::open()?;
    let mut by = by;
    screen.show(&first)?;
    loop {
        by = match screen.key(every)? {
            Some(Key::End) => return Ok(()),
            Some(Key::Letter('a')) => By::Agents,
            Some(Key::Letter('f')) => By::Frameworks,
            Some(Key::Letter('t')) => By::Tasks,
            _ => by,
        };
        // A master that is away for a moment is no reason to end.
        let lines = look.picture(by).unwrap_or_else(|error| vec![error.to_string()]);
        screen.show(&lines)?;
    }
}

/// What is looked at, and what was seen last.
struct Look<'a> {
    ctl: &'a Ctl,
    master: Server<'a>,
    /// Processor time of executors at the last look, by framework and task.
    busy: BTreeMap<(String, String), f64>,
    at: Instant,
}

impl Look<'_> {
    fn picture(&mut self, by: By) -> Result<Vec<String>, Error> {
        let summary = self.master.own_json("state-summary")?;
        let metrics = self.master.json(&Request::get("/metrics/snapshot"))?;
        let mut lines = head(&self.master, &metrics);
        lines.extend(used(&summary).iter().map(bar));
        lines.push(String::new());
        let table = match by {
            By::Agents => self.ctl.output.table(&agent_columns(), &sorted(take(summary, "slaves"))),
            By::Frameworks => {
                self.ctl.output.table(&framework_columns(), &sorted(take(summary, "frameworks")))
            }
            By::Tasks => self.ctl.output.table(&task_columns(), &self.tasks()?),
        };
        lines.extend(table.lines().map(str::to_owned));
        Ok(lines)
    }

    /// Tasks with how many processors each used since the last look, busiest first.
    fn tasks(&mut self) -> Result<Vec<Value>, Error> {
        let (mut tasks, _) = ps::running(self.ctl, &self.master, MOST)?;
        let lasted = self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        let before = std::mem::take(&mut self.busy);
        for task in &mut tasks {
            let Some(now) = task.get("usage").map(ps::cpu_time) else { continue };
            let (framework, id) = find::task_id(task);
            let key = (framework.to_owned(), id.to_owned());
            if let Some(before) = before.get(&key).filter(|_| lasted > 0.0) {
                task["cpus_now"] = json!((now - before).max(0.0) / lasted);
            }
            self.busy.insert(key, now);
        }
        let weight = |task: &Value| (number(task, "cpus_now"), resource(task, "resources", "cpus"));
        tasks.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal));
        Ok(tasks)
    }
}

fn head(master: &Server<'_>, metrics: &Value) -> Vec<String> {
    let count = |name: &str| plain(number(metrics, &format!("master/{name}")));
    let tasks = ["running", "staging", "starting", "killing", "finished", "failed", "killed", "lost"];
    let tasks: Vec<String> =
        tasks.iter().map(|state| format!("{} {state}", count(&format!("tasks_{state}")))).collect();
    vec![
        format!(
            "{}, up {}: {} agents, {} frameworks",
            master.capital_name(),
            lasting(number(metrics, "master/uptime_secs")),
            count("slaves_active"),
            count("frameworks_active")
        ),
        format!("tasks: {}", tasks.join(", ")),
    ]
}

/// `cpus [|||       ] 1/4 25%`.
fn bar(row: &Value) -> String {
    let (name, used, total) = (text(row, "name"), number(row, "used"), number(row, "total"));
    let write = if matches!(name, "mem" | "disk") { megabytes } else { plain };
    let share = if total > 0.0 { (used / total).clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * BAR as f64).round() as usize;
    format!("{name:<5}[{:<BAR$}] {}/{} {}", "|".repeat(full), write(used), write(total), percent(used, total))
}

/// Those that use the largest share of their processors first, or the most of them.
fn sorted(mut list: Vec<Value>) -> Vec<Value> {
    let weight =
        |item: &Value| (resource(item, "used_resources", "cpus"), resource(item, "used_resources", "mem"));
    list.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal));
    list.truncate(MOST);
    list
}

fn task_counts() -> [Column<'static>; 3] {
    let count = |name: &'static str| move |item: &Value| plain(number(item, name));
    [
        Column::new("RUNNING", count("TASK_RUNNING")).right(),
        Column::new("STAGING", count("TASK_STAGING")).right().wide(),
        Column::new("FAILED", count("TASK_FAILED")).right(),
    ]
}

fn agent_columns() -> Vec<Column<'static>> {
    let share = |agent: &Value, name: &str| {
        percent(resource(agent, "used_resources", name), resource(agent, "resources", name))
    };
    let mut columns = vec![
        Column::new("AGENT", |agent| text(agent, "id").to_owned()),
        Column::new("HOST", |agent| text(agent, "hostname").to_owned()),
        Column::new("STATE", |agent| agents::state(agent).to_owned()).tinted(),
        Column::new("CPUS", |agent| plain(resource(agent, "used_resources", "cpus"))).right(),
        Column::new("CPU %", move |agent| share(agent, "cpus")).right(),
        Column::new("MEM", |agent| megabytes(resource(agent, "used_resources", "mem"))).right(),
        Column::new("MEM %", move |agent| share(agent, "mem")).right(),
    ];
    columns.extend(task_counts());
    columns
}

fn framework_columns() -> Vec<Column<'static>> {
    let mut columns = vec![
        Column::new("FRAMEWORK", |framework| text(framework, "id").to_owned()),
        Column::new("NAME", |framework| text(framework, "name").to_owned()),
        Column::new("STATE", |framework| frameworks::state(framework).to_owned()).tinted(),
        Column::new("CPUS", |framework| plain(resource(framework, "used_resources", "cpus"))).right(),
        Column::new("MEM", |framework| megabytes(resource(framework, "used_resources", "mem"))).right(),
    ];
    columns.extend(task_counts());
    columns
}

fn task_columns() -> Vec<Column<'static>> {
    let seen = |task: &Value, of: fn(&Value) -> f64, write: fn(f64) -> String| {
        task.get("usage").map_or_else(|| "-".to_owned(), |usage| write(of(usage)))
    };
    vec![
        Column::new("TASK", |task| text(task, "id").to_owned()),
        Column::new("STATE", find::state).tinted(),
        Column::new("HOST", |task| text(task, "host").to_owned()),
        Column::new("CPUS", |task| plain(resource(task, "resources", "cpus"))).right(),
        Column::new("CPU NOW", |task| {
            task.get("cpus_now")
                .and_then(Value::as_f64)
                .map_or_else(|| "-".to_owned(), |cpus| format!("{cpus:.2}"))
        })
        .right(),
        Column::new("CPU TIME", move |task| seen(task, ps::cpu_time, lasting)).right(),
        Column::new("MEM", |task| megabytes(resource(task, "resources", "mem"))).right(),
        Column::new("MEM USED", move |task| seen(task, ps::mem_used, megabytes)).right(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_full_as_the_cluster() {
        let row = |used: f64, total: f64| bar(&json!({"name": "cpus", "used": used, "total": total}));
        assert_eq!(row(1.0, 2.0), format!("cpus [{}{}] 1/2 50%", "|".repeat(15), " ".repeat(15)));
        assert_eq!(row(0.0, 0.0), format!("cpus [{}] 0/0 -", " ".repeat(30)));
        assert!(row(3.0, 2.0).contains(&"|".repeat(30)));
    }

    #[test]
    fn the_busiest_come_first() {
        let item = |id: &str, cpus: f64| json!({"id": id, "used_resources": {"cpus": cpus}});
        let list = sorted(vec![item("a", 0.5), item("b", 2.0), item("c", 1.0)]);
        assert_eq!(list.iter().map(|item| text(item, "id")).collect::<String>(), "bca");
    }
}
