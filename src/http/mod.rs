//! What the HTTP endpoints of every role share: which content types, RecordIO, event streams, error answers, tags,
//! the endpoint table.
//!
//! Absent on purpose: sockets (`process::server`) and what any endpoint says. Start reading at `route.rs`.

pub mod content;
pub mod error;
pub mod etag;
pub mod json;
pub mod origin;
pub mod query;
pub mod recordio;
pub mod route;
pub mod stream;
