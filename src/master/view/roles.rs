//! `/roles`.

use std::collections::{BTreeMap, BTreeSet};

use crate::master::core::state::Cluster;
use crate::master::flags::Flags;
use crate::proto::FrameworkId;
use crate::proto::json::text::Object;
use crate::resources::{Entry, Quantities, Resources, Value, roles, scalar};

/// What a role has, the roles below it included.
#[derive(Default)]
pub(super) struct Role<'a> {
    pub allocated: Quantities,
    pub offered: Quantities,
    reserved: Quantities,
    /// Of what is reserved, what is in use.
    reserved_in_use: Quantities,
    pub frameworks: BTreeSet<&'a FrameworkId>,
}

/// The roles that somebody subscribes to, holds something in, has reservations or a weight for, and those
/// above them; with `--roles` only those. Source: `Master::knownRoles`, `RoleResourceBreakdown` 1.11.
pub(super) fn known<'a>(cluster: &'a Cluster, flags: &'a Flags) -> BTreeMap<&'a str, Role<'a>> {
    let mut found: BTreeMap<&str, Role<'_>> = BTreeMap::new();
    let named = flags.weights.keys().chain(flags.roles.iter().flatten());
    for name in named.filter(|name| *name != roles::STAR || flags.roles.is_some()) {
        each(&mut found, name, |_| {});
    }
    for framework in cluster.frameworks.values() {
        for role in &framework.roles {
            each(&mut found, role, |_| {});
            found.entry(role).or_default().frameworks.insert(&framework.id);
        }
        sum(&mut found, &framework.used, allocation, |role| &mut role.allocated);
        sum(&mut found, &framework.offered, allocation, |role| &mut role.offered);
    }
    for agent in cluster.agents.values() {
        sum(&mut found, &agent.total, Entry::reservation_role, |role| &mut role.reserved);
        sum(&mut found, &agent.used, Entry::reservation_role, |role| &mut role.reserved_in_use);
    }
    if let Some(known) = &flags.roles {
        found.retain(|name, _| known.contains(*name));
    }
    found
}

pub fn roles(cluster: &Cluster, flags: &Flags) -> Vec<u8> {
    let found = known(cluster, flags);
    super::answer(64 + 512 * found.len(), |object| {
        object.array("roles", |array| {
            for (name, role) in &found {
                array.object(|object| write(object, name, role, flags.weights.get(*name).copied()));
            }
        });
    })
}

fn allocation(entry: &Entry) -> Option<&str> {
    entry.allocation().map(|role| &**role)
}

/// Changes a role and those above it.
fn each<'a>(found: &mut BTreeMap<&'a str, Role<'a>>, name: &'a str, mut change: impl FnMut(&mut Role<'a>)) {
    for name in std::iter::once(name).chain(roles::ancestors(name)) {
        change(found.entry(name).or_default());
    }
}

fn sum<'a>(
    found: &mut BTreeMap<&'a str, Role<'a>>,
    resources: &'a Resources,
    role_of: impl Fn(&'a Entry) -> Option<&'a str>,
    part: for<'r> fn(&'r mut Role<'a>) -> &'r mut Quantities,
) {
    for entry in resources {
        let Some(name) = role_of(entry) else { continue };
        let amount = match entry.value() {
            Value::Scalar(amount) => *amount,
            Value::Ranges(ranges) => i64::try_from(ranges.count().saturating_mul(1000)).unwrap_or(i64::MAX),
            Value::Set(set) => i64::try_from(set.len().saturating_mul(1000)).unwrap_or(i64::MAX),
        };
        each(found, name, |role| part(role).add_one(entry.name(), amount));
    }
}

fn write(object: &mut Object<'_>, name: &str, role: &Role<'_>, weight: Option<f64>) {
    let quantities = |object: &mut Object<'_>, name: &str, held: &Quantities| {
        object.object(name, |object| {
            held.iter().for_each(|(name, amount)| object.number(name, scalar::to_f64(amount)));
        });
    };
    let mut consumed = role.reserved.clone();
    consumed.subtract(&role.reserved_in_use);
    consumed.add(&role.allocated);
    let mut resources = role.allocated.clone();
    resources.add(&role.offered);

    object.string("name", name);
    object.number("weight", weight.unwrap_or(1.0));
    object.object("quota", |object| {
        object.string("role", name);
        // No role has a quota: setting one is still to come.
        object.object("guarantee", |_| {});
        object.object("limit", |_| {});
        quantities(object, "consumed", &consumed);
    });
    quantities(object, "resources", &resources);
    quantities(object, "allocated", &role.allocated);
    quantities(object, "offered", &role.offered);
    quantities(object, "reserved", &role.reserved);
    object.array("frameworks", |array| role.frameworks.iter().for_each(|id| array.string(&id.value)));
}
