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

use std::cmp::Ordering;

pub use generated::*;
pub use message::Message;
pub use table::Spelling;

/// An order of ids: shorter ones first, so that `…-S9` stands before `…-S10`, and of equal ones by their last
/// bytes, then by the others.
///
/// The ids of a cluster begin with the same forty characters; an order that begins with these would read them
/// a dozen times to find an agent.
fn by_tail(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len().cmp(&other.len()).then_with(|| {
        match (one.split_last_chunk::<8>(), other.split_last_chunk::<8>()) {
            (Some((head, tail)), Some((other_head, other_tail))) => {
                let (tail, other_tail) = (u64::from_be_bytes(*tail), u64::from_be_bytes(*other_tail));
                tail.cmp(&other_tail).then_with(|| head.cmp(other_head))
            }
            _ => one.cmp(other),
        }
    })
}

/// Ids are used as they come off the wire; these give them an order, a short constructor and their text.
macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Ord for $name {
            fn cmp(&self, other: &$name) -> Ordering {
                by_tail(&self.value, &other.value)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &$name) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_order() {
        let ids = ["", "a", "b", "S9", "S10", "12345678", "aaaaaaaa", "xaaaaaaaa", "xaaaaaaab", "yaaaaaaaa"];
        for (index, one) in ids.iter().enumerate() {
            for (other_index, other) in ids.iter().enumerate() {
                let (one, other) = (AgentId::from(*one), AgentId::from(*other));
                assert_eq!((one == other), one.cmp(&other).is_eq());
                assert_eq!(one.cmp(&other), other.cmp(&one).reverse(), "{one} {other}");
                let later = one.value.len() > other.value.len();
                assert!(!later || one > other, "{index} {other_index}");
            }
        }
        let mut sorted: Vec<AgentId> = ids.iter().map(|id| AgentId::from(*id)).collect();
        sorted.sort();
        let sorted: Vec<&str> = sorted.iter().map(|id| id.value.as_str()).collect();
        let expected =
            ["", "a", "b", "S9", "S10", "12345678", "aaaaaaaa", "xaaaaaaaa", "yaaaaaaaa", "xaaaaaaab"];
        assert_eq!(sorted, expected);
    }
}
