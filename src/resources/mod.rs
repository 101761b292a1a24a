//! Exact resource arithmetic: what agents have, offers hold and tasks use.
//!
//! `Resources` is the bag that everything counts with; `Quantities` is only how much of each name, for the
//! allocator's shares. Scalars are thousandths in an `i64`, so nothing is ever compared as a float.
//! Inside, reservations are always in the form of Mesos 1.4 and later (a stack in `reservations`); `convert`
//! takes the older `role` field in and gives it to clients that know nothing else.
//!
//! Absent on purpose: fit and order of offers (`alloc`), what a task may ask for (`master::validate`).
//! Start reading at `resources.rs`.

#![allow(deprecated, reason = "`Resource.role` is deprecated, and what half of all clients send and expect")]

pub mod attributes;
pub mod convert;
mod entry;
pub mod json;
mod name;
pub mod parse;
mod quantities;
mod ranges;
#[allow(clippy::module_inception, reason = "the bag is what the folder is named after")]
mod resources;
pub mod roles;
pub mod scalar;
mod sets;
pub mod validate;

use std::sync::Arc;

pub use entry::{Details, Entry, Value};
pub use name::Name;
pub use quantities::Quantities;
pub use ranges::Ranges;
pub use resources::Resources;
pub use sets::Set;

/// A role's name, shared by all that mention it.
pub type Role = Arc<str>;

/// Why a value is refused, in words that a client or operator will read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    fn new<T>(text: impl Into<String>) -> Result<T, Invalid> {
        Err(Invalid(text.into()))
    }
}
