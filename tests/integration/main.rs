//! Real processes, real sockets, things killed: one file per part.
#![allow(clippy::disallowed_methods, reason = "tests start processes and read files")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod containers;
