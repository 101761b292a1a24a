//! The events of SUBSCRIBE.

use super::{parts, state};
use crate::master::core::Happening;
use crate::master::core::state::Cluster;
use crate::proto::master::Event;
use crate::proto::master::event::Type;
use crate::proto::writer::{Encoding, encode, write};

/// Seconds between HEARTBEATs. Source: `DEFAULT_HEARTBEAT_INTERVAL`, 1.11.
pub const HEARTBEAT_SECS: u64 = 15;

/// The first event: everything, as GET_STATE has it.
pub fn subscribed(cluster: &Cluster, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(state::size(super::Ask::State, cluster));
    write::<Event>(&mut out, encoding, |event| {
        event.enumeration("type", Type::Subscribed as i32);
        event.object("subscribed", |subscribed| {
            subscribed.object("get_state", |fields| state::state(fields, cluster));
            subscribed.double("heartbeat_interval_seconds", HEARTBEAT_SECS as f64);
        });
    });
    out
}

pub fn heartbeat(encoding: Encoding) -> Vec<u8> {
    encode(&Event { r#type: Some(Type::Heartbeat as i32), ..Event::default() }, encoding)
}

/// What a happening is called; `None` for one that is not told.
pub fn kind(happening: &Happening) -> Option<Type> {
    Some(match happening {
        Happening::Opened => return None,
        Happening::TaskAdded(_) => Type::TaskAdded,
        Happening::TaskUpdated(_) => Type::TaskUpdated,
        Happening::AgentAdded { .. } => Type::AgentAdded,
        Happening::AgentRemoved(_) => Type::AgentRemoved,
        Happening::FrameworkAdded(_) => Type::FrameworkAdded,
        Happening::FrameworkUpdated(_) => Type::FrameworkUpdated,
        Happening::FrameworkRemoved(_) => Type::FrameworkRemoved,
    })
}

/// A happening as its event.
pub fn event(happening: &Happening, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write::<Event>(&mut out, encoding, |event| {
        if let Some(kind) = kind(happening) {
            event.enumeration("type", kind as i32);
        }
        match happening {
            Happening::Opened => {}
            Happening::TaskAdded(task) => event.object("task_added", |added| {
                added.object("task", |fields| parts::task(fields, task));
            }),
            Happening::TaskUpdated(update) => event.object("task_updated", |updated| {
                updated.message("framework_id", &update.framework);
                updated.message("status", &update.status);
                updated.enumeration("state", update.state as i32);
            }),
            Happening::AgentAdded { agent, used, offered } => event.object("agent_added", |added| {
                added.object("agent", |fields| parts::agent(fields, agent, used, offered));
            }),
            Happening::AgentRemoved(id) => {
                event.object("agent_removed", |removed| removed.message("agent_id", id));
            }
            Happening::FrameworkAdded(framework) => event.object("framework_added", |added| {
                added.object("framework", |fields| parts::framework(fields, framework));
            }),
            Happening::FrameworkUpdated(framework) => event.object("framework_updated", |updated| {
                updated.object("framework", |fields| parts::framework(fields, framework));
            }),
            Happening::FrameworkRemoved(framework) => {
                event.object("framework_removed", |removed| {
                    removed.message("framework_info", &*framework.info);
                });
            }
        }
    });
    out
}
