//! `agents`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cluster::shown;
use crate::ctl::Ctl;
use crate::ctl::error::Error;
use crate::ctl::find;
use crate::ctl::print::Column;
use crate::ctl::units::{flag, megabytes, number, plain, resource, since, text};

fn id(agent: &Value) -> String {
    text(agent, "id").to_owned()
}

pub fn list(ctl: &Ctl) -> Result<(), Error> {
    let agents = find::all_agents(&ctl.master()?)?;
    let columns = [
        Column::new("ID", id),
        Column::new("HOST", |agent| text(agent, "hostname").to_owned()),
        Column::new("STATE", |agent| state(agent).to_owned()).tinted(),
        Column::new("CPUS", |agent| of(agent, "cpus", plain)).right(),
        Column::new("MEM", |agent| of(agent, "mem", megabytes)).right(),
        Column::new("DISK", |agent| of(agent, "disk", megabytes)).right().wide(),
        Column::new("GPUS", |agent| of(agent, "gpus", plain)).right().wide(),
        Column::new("ADDRESS", address).wide(),
        Column::new("ATTRIBUTES", attributes).wide(),
        Column::new("VERSION", |agent| text(agent, "version").to_owned()),
        Column::new("AGE", age).right(),
    ];
    ctl.output.list(&columns, id, &agents)
}

/// Those that are registered do not say their state.
pub fn state(agent: &Value) -> &str {
    let state = text(agent, "state");
    if !state.is_empty() {
        state
    } else if flag(agent, "deactivated") {
        "deactivated"
    } else if flag(agent, "active") {
        "active"
    } else {
        "disconnected"
    }
}

/// `1/4`: used of all.
fn of(agent: &Value, name: &str, write: fn(f64) -> String) -> String {
    if agent.get("resources").is_none() {
        return String::new();
    }
    format!(
        "{}/{}",
        write(resource(agent, "used_resources", name)),
        write(resource(agent, "resources", name))
    )
}

/// Since it registered, or was lost.
fn age(agent: &Value) -> String {
    let time = ["registered_time", "unreachable_time"].into_iter().find(|name| agent.get(*name).is_some());
    time.map(|name| since(number(agent, name))).unwrap_or_default()
}

fn address(agent: &Value) -> String {
    text(agent, "pid").rsplit('@').next().unwrap_or_default().to_owned()
}

fn attributes(agent: &Value) -> String {
    let pairs = agent.get("attributes").and_then(Value::as_object).into_iter().flatten();
    pairs.map(|(name, value)| format!("{name}:{}", shown(value))).collect::<Vec<_>>().join(";")
}

/// Hostnames by agent id.
pub fn hostnames(agents: &[Value]) -> BTreeMap<String, String> {
    agents.iter().map(|agent| (id(agent), text(agent, "hostname").to_owned())).collect()
}
