//! The cluster as a whole: `state`, `version`, `health`.

use serde_json::{Value, json};

use crate::ctl::Ctl;
use crate::ctl::args::Target;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::print::{Column, line};
use crate::ctl::units::{flag, items, lasting, megabytes, number, plain, resource, text};

/// States of tasks that have not ended, as metrics call them.
const ALIVE: [&str; 4] = ["running", "staging", "starting", "killing"];
const ENDED: [&str; 5] = ["finished", "failed", "killed", "lost", "error"];

/// What the table needs is counted by the master; the whole state, which may be large, goes into documents only.
pub fn state(ctl: &Ctl) -> Result<(), Error> {
    let master = ctl.master()?;
    if !ctl.output.for_people() {
        return ctl.output.document(&master.own_json("state")?);
    }
    let summary = master.own_json("state-summary")?;
    let metrics = master.json(&Request::get("/metrics/snapshot"))?;
    let version = master.json(&Request::get("/version"))?;
    let count = |name: &str| plain(number(&metrics, name));
    let counts = |states: &[&str]| {
        let counted =
            states.iter().map(|state| format!("{} {state}", count(&format!("master/tasks_{state}"))));
        counted.collect::<Vec<_>>().join(", ")
    };
    let mut pairs = vec![
        ("Master", master.address().to_string()),
        ("Version", text(&version, "version").to_owned()),
        ("Up", lasting(number(&metrics, "master/uptime_secs"))),
        (
            "Agents",
            format!("{} active, {} inactive", count("master/slaves_active"), count("master/slaves_inactive")),
        ),
        (
            "Frameworks",
            format!(
                "{} active, {} inactive",
                count("master/frameworks_active"),
                count("master/frameworks_inactive")
            ),
        ),
        ("Tasks", counts(&ALIVE)),
        ("", counts(&ENDED)),
    ];
    if !text(&summary, "cluster").is_empty() {
        pairs.insert(1, ("Cluster", text(&summary, "cluster").to_owned()));
    }
    let pairs: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    ctl.output.pairs(&pairs, &Value::Null)?;
    line("")?;
    let rows = used(&summary);
    let amount = |row: &Value, what: &str| {
        let amount = number(row, what);
        if matches!(text(row, "name"), "mem" | "disk") { megabytes(amount) } else { plain(amount) }
    };
    let columns = [
        Column::new("RESOURCE", |row| text(row, "name").to_owned()),
        Column::new("USED", |row| amount(row, "used")).right(),
        Column::new("OFFERED", |row| amount(row, "offered")).right(),
        Column::new("TOTAL", |row| amount(row, "total")).right(),
        Column::new("USED %", |row| percent(number(row, "used"), number(row, "total"))).right(),
    ];
    line(&ctl.output.table(&columns, &rows))
}

/// Sums over the active agents of a `/state-summary`; what no agent has is left out, but for the usual three.
pub fn used(summary: &Value) -> Vec<Value> {
    let agents = items(summary, "slaves");
    let sum = |of: &str, name: &str| -> f64 {
        agents.iter().filter(|agent| flag(agent, "active")).map(|agent| resource(agent, of, name)).sum()
    };
    let row = |name: &str| {
        json!({"name": name, "used": sum("used_resources", name), "offered": sum("offered_resources", name),
            "total": sum("resources", name)})
    };
    let rows = ["cpus", "mem", "disk", "gpus"].map(row);
    rows.into_iter().filter(|row| text(row, "name") != "gpus" || number(row, "total") > 0.0).collect()
}

pub fn percent(used: f64, total: f64) -> String {
    if total > 0.0 { format!("{:.0}%", used / total * 100.0) } else { "-".to_owned() }
}

pub fn version(ctl: &Ctl, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let version = server.json(&Request::get("/version"))?;
    let fields = version.as_object().into_iter().flatten();
    let pairs: Vec<(String, String)> = fields.map(|(name, value)| (name.clone(), shown(value))).collect();
    ctl.output.pairs(&pairs, &version)
}

/// A text without quotes, anything else as JSON has it.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The exit status tells as well.
pub fn health(ctl: &Ctl, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    server.open(&Request::get(&server.own("health")))?;
    let answer = json!({"healthy": true, "address": server.address().to_string()});
    if ctl.output.for_people() {
        return line(&format!("{} is healthy.", server.capital_name()));
    }
    ctl.output.pairs(&[(server.address().to_string(), String::new())], &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inactive_agents_do_not_count() {
        let agent = |active: bool| json!({"active": active, "resources": {"cpus": 2.0, "mem": 64.0}, "used_resources": {"cpus": 0.5}});
        let rows = used(&json!({"slaves": [agent(true), agent(true), agent(false)]}));
        assert_eq!((number(&rows[0], "used"), number(&rows[0], "total")), (1.0, 4.0));
        assert_eq!(rows.len(), 3);
        assert_eq!((percent(1.0, 4.0), percent(0.0, 0.0)), ("25%".to_owned(), "-".to_owned()));
    }
}
