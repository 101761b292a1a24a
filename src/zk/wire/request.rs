//! What clients say.
//!
//! Source: zookeeper.jute, `ZooDefs.OpCode`, `MultiOperationRecord`, 3.8.

use bytes::Bytes;

use super::{Acl, Id, Path};
use crate::zk::jute::{Malformed, Reader};

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The last change that the client knows of.
    pub zxid: i64,
    pub timeout_ms: i32,
    /// 0 begins a session.
    pub session: i64,
    pub password: Bytes,
    /// Whether the client says and expects the flag at the end, as those since 3.4 do.
    pub has_flag: bool,
}

impl Hello {
    pub fn read(frame: Bytes) -> Result<Hello, Malformed> {
        let mut reader = Reader::new(frame);
        let _protocol = reader.int()?;
        let (zxid, timeout_ms, session) = (reader.long()?, reader.int()?, reader.long()?);
        let password = reader.buffer()?.unwrap_or_default();
        let has_flag = !reader.is_empty();
        if has_flag {
            // Whether a server that lost the others would do: this one never has.
            reader.bool()?;
        }
        reader.end()?;
        Ok(Hello { zxid, timeout_ms, session, password, has_flag })
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// One change; with its answer's form.
    Write(Op),
    /// Changes that are all made, or none.
    Multi(Vec<Op>),
    Read(Read),
    MultiRead(Vec<Read>),
    Sync(Path),
    Ping,
    Auth {
        scheme: Path,
        auth: Bytes,
    },
    SetWatches {
        zxid: i64,
        list: WatchList,
    },
    AddWatch {
        path: Path,
        recursive: bool,
    },
    /// Also whether there is one: `remove` is false then.
    RemoveWatches {
        path: Path,
        kind: i32,
        remove: bool,
    },
    WhoAmI,
    Close,
    /// What no server does, or this one does not.
    Other(i32),
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create { path: Path, data: Option<Bytes>, acl: Vec<Acl>, flags: i32, with_stat: bool },
    Delete { path: Path, version: i32 },
    SetData { path: Path, data: Option<Bytes>, version: i32 },
    SetAcl { path: Path, acl: Vec<Acl>, version: i32 },
    Check { path: Path, version: i32 },
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Exists {
        path: Path,
        watch: bool,
    },
    Data {
        path: Path,
        watch: bool,
    },
    Children {
        path: Path,
        watch: bool,
        with_stat: bool,
    },
    Acl {
        path: Path,
    },
    /// How many nodes are below.
    Count {
        path: Path,
    },
    /// Those of the session below a path.
    Ephemerals {
        path: Path,
    },
}

/// Watches that a client had before its connection broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchList {
    pub data: Vec<Path>,
    pub exist: Vec<Path>,
    pub child: Vec<Path>,
    pub persistent: Vec<Path>,
    pub recursive: Vec<Path>,
}

mod code {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const EPHEMERALS: i32 = 103;
    pub const COUNT: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE: i32 = -11;
}

impl Request {
    /// A frame behind the first: the client's number for it, and what it asks.
    pub fn read(frame: Bytes) -> Result<(i32, Request), Malformed> {
        let mut reader = Reader::new(frame);
        let (xid, kind) = (reader.int()?, reader.int()?);
        let request = Request::of(kind, &mut reader)?;
        if !matches!(request, Request::Other(_) | Request::Ping | Request::Close | Request::WhoAmI) {
            reader.end()?;
        }
        Ok((xid, request))
    }

    fn of(kind: i32, reader: &mut Reader) -> Result<Request, Malformed> {
        Ok(match kind {
            // A check has an answer in a multi alone.
            code::CHECK => Request::Other(kind),
            _ if Op::is(kind) => Request::Write(Op::of(kind, reader)?),
            code::MULTI => {
                // ZooKeeper has no change of an ACL in one.
                Request::Multi(many(reader, |kind| Op::is(kind) && kind != code::SET_ACL, Op::of)?)
            }
            code::MULTI_READ => Request::MultiRead(many(
                reader,
                |kind| matches!(kind, code::GET_DATA | code::GET_CHILDREN),
                |kind, reader| Read::of(kind, reader)?.ok_or(Malformed::Operation),
            )?),
            code::SYNC => Request::Sync(reader.string()?),
            code::PING => Request::Ping,
            code::CLOSE => Request::Close,
            code::WHO_AM_I => Request::WhoAmI,
            code::AUTH => {
                let _kind = reader.int()?;
                Request::Auth { scheme: reader.string()?, auth: reader.buffer()?.unwrap_or_default() }
            }
            code::SET_WATCHES | code::SET_WATCHES2 => {
                let zxid = reader.long()?;
                let mut list = WatchList {
                    data: reader.vector(Reader::string)?,
                    exist: reader.vector(Reader::string)?,
                    child: reader.vector(Reader::string)?,
                    ..WatchList::default()
                };
                if kind == code::SET_WATCHES2 {
                    list.persistent = reader.vector(Reader::string)?;
                    list.recursive = reader.vector(Reader::string)?;
                }
                Request::SetWatches { zxid, list }
            }
            code::ADD_WATCH => Request::AddWatch { path: reader.string()?, recursive: reader.int()? == 1 },
            code::CHECK_WATCHES | code::REMOVE_WATCHES => Request::RemoveWatches {
                path: reader.string()?,
                kind: reader.int()?,
                remove: kind == code::REMOVE_WATCHES,
            },
            _ => match Read::of(kind, reader)? {
                Some(read) => Request::Read(read),
                None => Request::Other(kind),
            },
        })
    }

    /// What is asked for, for logs and numbers.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Write(op) => op.name(),
            Request::Multi(_) => "MULT",
            Request::Read(Read::Exists { .. }) => "EXIS",
            Request::Read(Read::Data { .. }) => "GETD",
            Request::Read(Read::Children { .. }) => "GETC",
            Request::Read(Read::Acl { .. }) => "GETA",
            Request::Read(Read::Count { .. }) => "GACN",
            Request::Read(Read::Ephemerals { .. }) => "GETE",
            Request::MultiRead(_) => "MLTR",
            Request::Sync(_) => "SYNC",
            Request::Ping => "PING",
            Request::Auth { .. } => "AUTH",
            Request::SetWatches { .. } => "SETW",
            Request::AddWatch { .. } => "ADDW",
            Request::RemoveWatches { .. } => "REMW",
            Request::WhoAmI => "HOMI",
            Request::Close => "CLOS",
            Request::Other(_) => "NA",
        }
    }
}

impl Op {
    fn is(kind: i32) -> bool {
        matches!(
            kind,
            code::CREATE | code::CREATE2 | code::DELETE | code::SET_DATA | code::SET_ACL | code::CHECK
        )
    }

    fn of(kind: i32, reader: &mut Reader) -> Result<Op, Malformed> {
        let path = reader.string()?;
        Ok(match kind {
            code::DELETE => Op::Delete { path, version: reader.int()? },
            code::SET_DATA => Op::SetData { path, data: reader.buffer()?, version: reader.int()? },
            code::SET_ACL => Op::SetAcl { path, acl: reader.vector(acl)?, version: reader.int()? },
            code::CHECK => Op::Check { path, version: reader.int()? },
            _ => Op::Create {
                path,
                data: reader.buffer()?,
                acl: reader.vector(acl)?,
                flags: reader.int()?,
                with_stat: kind == code::CREATE2,
            },
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Op::Create { .. } => "CREA",
            Op::Delete { .. } => "DELE",
            Op::SetData { .. } => "SETD",
            Op::SetAcl { .. } => "SETA",
            Op::Check { .. } => "CHEC",
        }
    }
}

impl Read {
    pub fn path(&self) -> &Path {
        match self {
            Read::Exists { path, .. }
            | Read::Data { path, .. }
            | Read::Children { path, .. }
            | Read::Acl { path }
            | Read::Count { path }
            | Read::Ephemerals { path } => path,
        }
    }

    fn of(kind: i32, reader: &mut Reader) -> Result<Option<Read>, Malformed> {
        Ok(Some(match kind {
            code::EXISTS => Read::Exists { path: reader.string()?, watch: reader.bool()? },
            code::GET_DATA => Read::Data { path: reader.string()?, watch: reader.bool()? },
            code::GET_CHILDREN | code::GET_CHILDREN2 => Read::Children {
                path: reader.string()?,
                watch: reader.bool()?,
                with_stat: kind == code::GET_CHILDREN2,
            },
            code::GET_ACL => Read::Acl { path: reader.string()? },
            code::COUNT => Read::Count { path: reader.string()? },
            code::EPHEMERALS => Read::Ephemerals { path: reader.string()? },
            _ => return Ok(None),
        }))
    }
}

pub fn acl(reader: &mut Reader) -> Result<Acl, Malformed> {
    Ok(Acl { perms: reader.int()?, id: Id { scheme: reader.string()?, id: reader.string()? } })
}

/// Operations, each behind a header, up to one that says that it is over.
fn many<T>(
    reader: &mut Reader,
    known: impl Fn(i32) -> bool,
    read: impl Fn(i32, &mut Reader) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut all = Vec::new();
    loop {
        let (kind, is_over, _error) = (reader.int()?, reader.bool()?, reader.int()?);
        if is_over {
            return Ok(all);
        }
        if !known(kind) {
            return Err(Malformed::Operation);
        }
        all.push(read(kind, reader)?);
    }
}
