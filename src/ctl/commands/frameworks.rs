//! `frameworks`, the `offers` they hold, and `teardown`.

use serde_json::Value;

use super::agents::hostnames;
use crate::ctl::Ctl;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::find;
use crate::ctl::print::{Column, line};
use crate::ctl::units::{flag, items, megabytes, number, plain, resource, since, text};

fn id(item: &Value) -> String {
    text(item, "id").to_owned()
}

pub fn list(ctl: &Ctl, all: bool) -> Result<(), Error> {
    let mut answer = ctl.master()?.own_json("frameworks")?;
    let mut list = answer.get_mut("frameworks").map(Value::take).unwrap_or_default();
    if let (true, Some(list)) = (all, list.as_array_mut()) {
        list.extend(items(&answer, "completed_frameworks").iter().cloned());
    }
    let columns = [
        Column::new("ID", id),
        Column::new("NAME", |framework| text(framework, "name").to_owned()),
        Column::new("STATE", |framework| state(framework).to_owned()).tinted(),
        Column::new("ROLES", roles),
        Column::new("TASKS", |framework| items(framework, "tasks").len().to_string()).right(),
        Column::new("CPUS", |framework| plain(resource(framework, "used_resources", "cpus"))).right(),
        Column::new("MEM", |framework| megabytes(resource(framework, "used_resources", "mem"))).right(),
        Column::new("OFFERS", |framework| items(framework, "offers").len().to_string()).right().wide(),
        Column::new("USER", |framework| text(framework, "user").to_owned()).wide(),
        Column::new("PRINCIPAL", |framework| text(framework, "principal").to_owned()).wide(),
        Column::new("HOST", |framework| text(framework, "hostname").to_owned()).wide(),
        Column::new("AGE", |framework| since(number(framework, "registered_time"))).right(),
    ];
    ctl.output.list(&columns, id, list.as_array().map(Vec::as_slice).unwrap_or_default())
}

pub fn state(framework: &Value) -> &'static str {
    if number(framework, "unregistered_time") > 0.0 {
        "completed"
    } else if flag(framework, "recovered") {
        "recovered"
    } else if framework.get("connected").is_some_and(|connected| connected == false) {
        "disconnected"
    } else if flag(framework, "active") {
        "active"
    } else {
        "inactive"
    }
}

fn roles(framework: &Value) -> String {
    match items(framework, "roles") {
        [] => text(framework, "role").to_owned(),
        roles => roles.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
    }
}

pub fn offers(ctl: &Ctl) -> Result<(), Error> {
    let master = ctl.master()?;
    let answer = master.own_json("frameworks")?;
    let frameworks = items(&answer, "frameworks");
    let list: Vec<Value> =
        frameworks.iter().flat_map(|framework| items(framework, "offers")).cloned().collect();
    let names = hostnames(&find::agents(&master)?);
    let columns = [
        Column::new("ID", id),
        Column::new("FRAMEWORK", |offer| text(offer, "framework_id").to_owned()),
        Column::new("AGENT", |offer| text(offer, "slave_id").to_owned()).wide(),
        Column::new("HOST", |offer| names.get(text(offer, "slave_id")).cloned().unwrap_or_default()),
        Column::new("CPUS", |offer| plain(resource(offer, "resources", "cpus"))).right(),
        Column::new("MEM", |offer| megabytes(resource(offer, "resources", "mem"))).right(),
        Column::new("DISK", |offer| megabytes(resource(offer, "resources", "disk"))).right().wide(),
    ];
    ctl.output.list(&columns, id, &list)
}

pub fn teardown(ctl: &Ctl, word: &str) -> Result<(), Error> {
    let master = ctl.master()?;
    let answer = master.own_json("frameworks")?;
    let framework = find::framework(word, &answer)?;
    let (id, name) = (text(framework, "id"), text(framework, "name"));
    if state(framework) == "completed" {
        return Err(Error::NotFound(format!("Framework {id} ({name}) has ended already.")));
    }
    master.open(&Request::post(&master.own("teardown"), &[("frameworkId", id)]))?;
    line(&format!("Framework {id} ({name}) is torn down; its tasks are being killed."))
}
