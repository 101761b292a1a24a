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
    let agents = find::agents(&ctl.master()?)?;
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
        Column::new("AGE", |agent| since(number(agent, "registered_time"))).right(),
    ];
    ctl.output.list(&columns, id, &agents)
}

pub fn state(agent: &Value) -> &'static str {
    if flag(agent, "deactivated") {
        "deactivated"
    } else if flag(agent, "active") {
        "active"
    } else {
        "disconnected"
    }
}

/// `1/4`: used of all.
fn of(agent: &Value, name: &str, write: fn(f64) -> String) -> String {
    format!(
        "{}/{}",
        write(resource(agent, "used_resources", name)),
        write(resource(agent, "resources", name))
    )
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
