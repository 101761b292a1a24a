//! What can go wrong with a store.

use std::io;

use crate::registry::Failure;

/// Why a store did not do what it was asked for. `place` is what the store calls itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the registry in {place} is in use by another process: a work_dir belongs to one master")]
    InUse { place: String },
    #[error(
        "the registry in {place} is damaged ({why}): put a copy of it back, or move it away to begin with an \
         empty one, to which agents come back as unknown ones"
    )]
    Damaged { place: String, why: String },
    #[error("{doing} the registry in {place}")]
    Io { doing: &'static str, place: String, source: io::Error },
    #[error("there is no registry in {place}")]
    Absent { place: String },
    /// Trying again cannot help.
    #[error("the registry in {place} is refused to us: {why}")]
    Refused { place: String, why: String },
    /// It may be there again soon.
    #[error("the registry in {place} cannot be reached: {why}")]
    Unavailable { place: String, why: String },
    #[error("another master has taken the registry in {place}: this one does not lead any more")]
    Deposed { place: String },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable { .. } => Failure::Unavailable(error.to_string()),
            Error::Io { ref source, .. } => Failure::Fatal(format!("{error}: {source}")),
            other => Failure::Fatal(other.to_string()),
        }
    }
}
