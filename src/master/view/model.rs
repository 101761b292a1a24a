//! Parts of messages as `/state` and its relatives show them, where that is not the message as it is.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::proto::json::text::{Array, Object};
use crate::proto::{
    Attribute, CommandInfo, DomainInfo, ExecutorInfo, FrameworkId, Labels, Resource, Spelling,
};
use crate::proto::{executor_info, value};
use crate::resources::convert::endpoint_resource;
use crate::resources::{Ranges, Resources, Set, Value, scalar};

/// Always shown, in this order. Source: `json(ObjectWriter*, const Resources&)`, common/http.cpp 1.11.
const ALWAYS: [&str; 4] = ["disk", "mem", "gpus", "cpus"];

/// Sums of resources by name, whoever holds them: `{"disk":0.0,"mem":32.0,…,"ports":"[31000-32000]"}`.
pub(super) fn resources(object: &mut Object<'_>, parts: &[&Resources]) {
    let mut scalars: SmallVec<[(Cow<'_, str>, i64); 8]> =
        ALWAYS.iter().map(|name| (Cow::Borrowed(*name), 0)).collect();
    let mut ranges: SmallVec<[(Cow<'_, str>, Cow<'_, Ranges>); 2]> = SmallVec::new();
    let mut sets: SmallVec<[(Cow<'_, str>, Cow<'_, Set>); 2]> = SmallVec::new();
    for entry in parts.iter().copied().flatten() {
        let name: Cow<'_, str> = match entry.is_revocable() {
            false => Cow::Borrowed(entry.name()),
            true => Cow::Owned(format!("{}_revocable", entry.name())),
        };
        match entry.value() {
            Value::Scalar(amount) => match scalars.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(*amount),
                None => scalars.push((name, *amount)),
            },
            Value::Ranges(more) => match ranges.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => sum.to_mut().add(more),
                None => ranges.push((name, Cow::Borrowed(more))),
            },
            Value::Set(more) => match sets.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => sum.to_mut().add(more),
                None => sets.push((name, Cow::Borrowed(more))),
            },
        }
    }
    scalars.iter().for_each(|(name, amount)| object.number(name, scalar::to_f64(*amount)));
    ranges.iter().for_each(|(name, ranges)| object.string(name, &ranges.to_string()));
    sets.iter().for_each(|(name, set)| object.string(name, &set.to_string()));
}

/// The same resources as messages, in both forms of a reservation where both can say it.
pub(super) fn full(resources: &Resources) -> Vec<Resource> {
    let mut messages = resources.to_protos();
    messages.iter_mut().for_each(endpoint_resource);
    messages
}

/// The role a task's resources are allocated to: one, as they may not be mixed.
pub(super) fn role(resources: &Resources) -> &str {
    resources.iter().next().and_then(|entry| entry.allocation()).map_or("", |role| role)
}

pub(super) fn attributes(object: &mut Object<'_>, attributes: &[Attribute]) {
    for attribute in attributes {
        let name = &attribute.name;
        match attribute.r#type() {
            value::Type::Scalar => {
                object.number(name, attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value))
            }
            value::Type::Ranges => {
                let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
                let ranges: Vec<_> = ranges.map(|range| format!("{}-{}", range.begin, range.end)).collect();
                object.string(name, &format!("[{}]", ranges.join(", ")));
            }
            value::Type::Set => {
                let items = attribute.set.as_ref().map(|set| set.item.join(", ")).unwrap_or_default();
                object.string(name, &format!("{{{items}}}"));
            }
            value::Type::Text => object.string(name, attribute.text.as_ref().map_or("", |text| &text.value)),
        }
    }
}

pub(super) fn domain(object: &mut Object<'_>, domain: &DomainInfo) {
    if let Some(fault) = &domain.fault_domain {
        object.object("fault_domain", |object| {
            object.object("region", |object| object.string("name", &fault.region.name));
            object.object("zone", |object| object.string("name", &fault.zone.name));
        });
    }
}

/// Labels without the message around them.
pub(super) fn labels(array: &mut Array<'_>, labels: &Labels) {
    labels.labels.iter().for_each(|label| array.message(label, Spelling::V0));
}

pub(super) fn executor(object: &mut Object<'_>, info: &ExecutorInfo, framework: &FrameworkId) {
    object.string("executor_id", &info.executor_id.value);
    object.string("name", info.name());
    object.string("framework_id", &framework.value);
    object.object("command", |object| {
        if let Some(command) = &info.command {
            self::command(object, command);
        }
    });
    // Checked when the executor was launched; one an agent came back with in a newer form shows none.
    let held = Resources::from_protos(&info.resources).unwrap_or_default();
    object.object("resources", |object| resources(object, &[&held]));
    if !info.resources.is_empty() {
        object.string("role", role(&held));
    }
    if let Some(labels) = &info.labels {
        object.array("labels", |array| self::labels(array, labels));
    }
    if let Some(kind) = info.r#type.and_then(|kind| executor_info::Type::try_from(kind).ok()) {
        object.string("type", kind.as_str_name());
    }
}

fn command(object: &mut Object<'_>, command: &CommandInfo) {
    if let Some(shell) = command.shell {
        object.boolean("shell", shell);
    }
    if let Some(value) = &command.value {
        object.string("value", value);
    }
    object.array("argv", |array| command.arguments.iter().for_each(|argument| array.string(argument)));
    if let Some(environment) = &command.environment {
        object.message("environment", environment, Spelling::V0);
    }
    object.array("uris", |array| {
        for uri in &command.uris {
            array.object(|object| {
                object.string("value", &uri.value);
                object.boolean("executable", uri.executable());
            });
        }
    });
}
