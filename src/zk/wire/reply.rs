//! What the server says.
//!
//! Source: zookeeper.jute, `MultiResponse`, `FinalRequestProcessor`, 3.8.

use bytes::Bytes;

use super::{Acl, Change, Id, Path, Refusal, Stat};
use crate::zk::jute::{Malformed, Reader, Writer};

/// To one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done(Outcome),
    /// Each with the number of an error where there is no outcome: 0 for what would have been done, had no other been
    /// refused.
    Multi(Vec<Result<Outcome, i32>>),
    Refused(Refusal),
}

/// What there is to tell of something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Nothing,
    Path(Path),
    /// A node was made, and how it is.
    Made(Path, Stat),
    Stat(Stat),
    Data(Option<Bytes>, Stat),
    Children(Vec<Path>, Option<Stat>),
    Acl(Vec<Acl>, Stat),
    Count(i32),
    Paths(Vec<Path>),
    Ids(Vec<Id>),
    /// Of a change in a multi, which says what it was.
    Deleted,
    Set(Stat),
    Checked,
}

impl Reply {
    /// A frame. `zxid` is the last change that this answer knows of.
    pub fn frame(&self, xid: i32, zxid: i64) -> Bytes {
        let mut writer = Writer::frame();
        writer.int(xid).long(zxid);
        match self {
            Reply::Refused(refusal) => drop(writer.int(*refusal as i32)),
            Reply::Done(outcome) => {
                writer.int(0);
                outcome.write(&mut writer);
            }
            Reply::Multi(results) => {
                writer.int(0);
                for result in results {
                    match result {
                        Ok(outcome) => {
                            writer.int(outcome.kind()).bool(false).int(0);
                            outcome.write(&mut writer);
                        }
                        Err(error) => drop(writer.int(-1).bool(false).int(*error).int(*error)),
                    }
                }
                writer.int(-1).bool(true).int(-1);
            }
        }
        writer.framed()
    }
}

impl Outcome {
    /// Which operation this is an answer to, in a multi.
    fn kind(&self) -> i32 {
        match self {
            Outcome::Path(_) => 1,
            Outcome::Made(..) => 15,
            Outcome::Deleted => 2,
            Outcome::Set(_) => 5,
            Outcome::Checked => 13,
            Outcome::Data(..) => 4,
            Outcome::Children(..) => 8,
            // In no multi.
            _ => -1,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Outcome::Nothing | Outcome::Deleted | Outcome::Checked => {}
            Outcome::Path(path) => drop(writer.string(path)),
            Outcome::Made(path, stat) => stat.write(writer.string(path)),
            Outcome::Stat(stat) | Outcome::Set(stat) => stat.write(writer),
            Outcome::Data(data, stat) => stat.write(writer.buffer(data.as_deref())),
            Outcome::Children(names, stat) => {
                strings(writer, names);
                if let Some(stat) = stat {
                    stat.write(writer);
                }
            }
            Outcome::Acl(acls, stat) => {
                writer.count(acls.len());
                acls.iter().for_each(|acl| acl.write(writer));
                stat.write(writer);
            }
            Outcome::Count(count) => drop(writer.int(*count)),
            Outcome::Paths(paths) => strings(writer, paths),
            Outcome::Ids(ids) => {
                writer.count(ids.len());
                for id in ids {
                    writer.string(&id.scheme).string(&id.id);
                }
            }
        }
    }
}

fn strings(writer: &mut Writer, all: &[Path]) {
    writer.count(all.len());
    for one in all {
        writer.string(one);
    }
}

impl Acl {
    pub fn write(&self, writer: &mut Writer) {
        writer.int(self.perms).string(&self.id.scheme).string(&self.id.id);
    }
}

impl Stat {
    fn write(&self, writer: &mut Writer) {
        writer.long(self.czxid).long(self.mzxid).long(self.ctime).long(self.mtime);
        writer.int(self.version).int(self.cversion).int(self.aversion).long(self.owner);
        writer.int(self.length).int(self.children).long(self.pzxid);
    }
}

/// The answer to a hello: a session, or 0 for none. `has_flag` as the hello had it.
pub fn welcome(timeout_ms: i32, session: i64, password: &[u8], has_flag: bool) -> Bytes {
    let mut writer = Writer::frame();
    writer.int(0).int(timeout_ms).long(session).buffer(Some(password));
    if has_flag {
        writer.bool(false);
    }
    writer.framed()
}

/// What tells a client that something it watches has changed.
pub fn event(change: Change, path: &str) -> Bytes {
    /// Connected, and heard.
    const STATE: i32 = 3;
    let mut writer = Writer::frame();
    writer.int(-1).long(-1).int(0).int(change as i32).int(STATE).string(path);
    writer.framed()
}

/// The header of an answer, and what is behind it.
#[derive(Debug)]
pub struct Answer {
    pub xid: i32,
    pub zxid: i64,
    pub error: i32,
    pub rest: Reader,
}

/// For clients: tests and the simulation.
pub fn read_answer(frame: Bytes) -> Result<Answer, Malformed> {
    let mut rest = Reader::new(frame);
    Ok(Answer { xid: rest.int()?, zxid: rest.long()?, error: rest.int()?, rest })
}
