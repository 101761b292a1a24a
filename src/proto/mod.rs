//! The messages of wire and disk: generated types, and what is common to all of them.
//!
//! One set of types serves v0 and v1: on the wire the two are the same, but for SUBSCRIBE
//! (`scheduler::CallV0`). Names are those of v1 (`AgentInfo`, `agent_id`); the other spelling is in the
//! tables that `tools/protogen` writes beside the types, and only `json` needs it.

pub mod check;
pub mod json;
pub mod message;
pub mod table;
#[rustfmt::skip]
#[allow(dead_code, reason = "every enum has a table, used or not")]
#[path = "gen/tables.rs"]
mod tables;
pub mod wire;
pub mod writer;

#[allow(clippy::all, clippy::pedantic)]
#[rustfmt::skip]
mod generated {
    include!("gen/mesos.rs");
    pub mod agent {
        include!("gen/mesos.agent.rs");
    }
    pub mod allocator {
        include!("gen/mesos.allocator.rs");
    }
    pub mod executor {
        include!("gen/mesos.executor.rs");
    }
    pub mod internal {
        include!("gen/mesos.internal.rs");
    }
    pub mod maintenance {
        include!("gen/mesos.maintenance.rs");
    }
    pub mod master {
        include!("gen/mesos.master.rs");
    }
    pub mod quota {
        include!("gen/mesos.quota.rs");
    }
    pub mod resource_provider {
        include!("gen/mesos.resource_provider.rs");
    }
    pub mod scheduler {
        include!("gen/mesos.scheduler.rs");
    }
}

pub use generated::*;
pub use message::Message;
pub use table::Spelling;

/// Ids are used as they come off the wire; these give them a short constructor and their text.
macro_rules! ids {
    ($($name:ident)*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.value)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> $name {
                $name { value: value.to_owned() }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> $name {
                $name { value }
            }
        }
    )*};
}

ids!(AgentId FrameworkId ExecutorId TaskId OfferId OperationId);
