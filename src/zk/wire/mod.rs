//! What clients and server say to each other, as bytes: frames of ZooKeeper's protocol.
//!
//! A frame is a length and a body. The first of a connection is a [`Hello`]; then each is a header (the client's
//! number of the request, and what is asked) and what belongs to it. `request.rs` reads them, `reply.rs` writes.

mod reply;
mod request;

use std::sync::Arc;

pub use reply::{Answer, Outcome, Reply, event, read_answer, welcome};
pub use request::{Hello, Op, Read, Request, WatchList};

/// The path of a node.
pub type Path = Arc<str>;

/// The longest frame that is read; ZooKeeper's default of jute.maxbuffer.
pub const LONGEST: usize = 0xf_ffff;

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    pub perms: i32,
    pub id: Id,
}

/// Somebody: `world:anyone`, `digest:user:hash`, `ip:10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pub scheme: Arc<str>,
    pub id: Arc<str>,
}

/// What may be done, bits of an ACL.
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
}

/// A node's numbers, as clients see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    /// Milliseconds since 1970.
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    /// The session that an ephemeral node ends with, or 0.
    pub owner: i64,
    pub length: i32,
    pub children: i32,
    pub pzxid: i64,
}

/// Why something was not done. Source: `KeeperException.Code`, 3.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    RuntimeInconsistency = -2,
    Marshalling = -5,
    Unimplemented = -6,
    BadArguments = -8,
    NoNode = -101,
    NoAuth = -102,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    InvalidAcl = -114,
    AuthFailed = -115,
    NoWatcher = -121,
    ReconfigDisabled = -123,
}

/// What happened to a node that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum Change {
    Created = 1,
    Deleted = 2,
    Data = 3,
    Children = 4,
}
