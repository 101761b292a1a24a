//! Why a command did not do what it was asked, and the exit status that says so to a script.

/// The command line cannot be understood.
pub const USAGE: u8 = 2;
/// Nothing answers, or not in time.
pub const UNREACHABLE: u8 = 3;

/// Each sentence says what to try, where there is something to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// What was asked for is not there, or the word fits several.
    #[error("{0}")]
    NotFound(String),
    /// The other side does not know such a request: an older or another Mesos.
    #[error("{0}")]
    NotThere(String),
    /// The other side refused, or something failed on the way.
    #[error("{0}")]
    Failed(String),
    /// Standard output is closed.
    #[error("standard output is closed")]
    Closed,
}

impl Error {
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Closed => 0,
            Error::Failed(_) => 1,
            Error::Unreachable(_) => UNREACHABLE,
            Error::NotFound(_) => 4,
            Error::NotThere(_) => 5,
        }
    }

    /// Writing to standard output failed.
    pub fn printing(error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::Closed,
            _ => Error::Failed(format!("Cannot write to standard output: {error}.")),
        }
    }
}
