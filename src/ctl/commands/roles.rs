//! `roles`.

use serde_json::Value;

use crate::ctl::Ctl;
use crate::ctl::error::Error;
use crate::ctl::print::Column;
use crate::ctl::units::{items, megabytes, number, plain, resource, take, text};

fn name(role: &Value) -> String {
    text(role, "name").to_owned()
}

pub fn list(ctl: &Ctl) -> Result<(), Error> {
    let roles = take(ctl.master()?.own_json("roles")?, "roles");
    let columns = [
        Column::new("ROLE", name),
        Column::new("WEIGHT", |role| plain(number(role, "weight"))).right(),
        Column::new("FRAMEWORKS", |role| items(role, "frameworks").len().to_string()).right(),
        Column::new("CPUS", |role| plain(resource(role, "resources", "cpus"))).right(),
        Column::new("MEM", |role| megabytes(resource(role, "resources", "mem"))).right(),
        Column::new("DISK", |role| megabytes(resource(role, "resources", "disk"))).right().wide(),
        Column::new("GPUS", |role| plain(resource(role, "resources", "gpus"))).right().wide(),
    ];
    ctl.output.list(&columns, name, &roles)
}
