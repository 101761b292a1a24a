//! A connection begins: with a session of its own, or with one that it had.
//!
//! Source: `ZooKeeperServer.processConnectRequest`, `finishSessionInit`, 3.8.

use rand::RngExt as _;

use super::tree::{Session, Tree};
use super::{ConnId, Hello, Round, Step};
use crate::zk::wire;

impl Round<'_> {
    pub(super) fn greet(&mut self, conn: ConnId, hello: &Hello) {
        let Some(from) = self.conns.get(&conn) else { return };
        if from.session != 0 {
            return self.gone(conn, "it said hello twice");
        }
        if hello.zxid > self.turn.tree.zxid {
            return self.gone(conn, "its client has seen more than this server");
        }
        let (least, most) = self.server.settings.timeouts_ms;
        let timeout_ms = hello.timeout_ms.clamp(least, most);
        let session = match hello.session {
            0 => Some(self.begin(conn, timeout_ms)),
            _ => self.resume(hello, timeout_ms),
        };
        let Some((id, password, timeout_ms)) = session else {
            let frame = wire::welcome(0, 0, &[0; 16], hello.has_flag);
            self.steps.push(Step::Send { conn, frame });
            return self.gone(conn, "its session is over");
        };
        if let Some(older) = self.bound.get(&id).copied() {
            self.gone(older, "its session has another connection");
        }
        if let Some(from) = self.conns.get_mut(&conn) {
            from.session = id;
        }
        self.bound.insert(id, conn);
        self.steps.push(Step::Bind { conn, session: id, timeout_ms });
        let frame = wire::welcome(timeout_ms, id, &password, hello.has_flag);
        self.steps.push(Step::Send { conn, frame });
    }

    fn begin(&mut self, conn: ConnId, timeout_ms: i32) -> (i64, [u8; 16], i32) {
        let server = &mut *self.server;
        // A draft that is made again names the same session: the store may have a lease for it by then.
        let drawn = server.drawn.get(&conn).copied();
        let (id, password) =
            drawn.filter(|(id, _)| self.turn.tree.session(*id).is_none()).unwrap_or_else(|| {
                loop {
                    // The highest bit stays clear: a lease has the same number.
                    let id = server.chance.random_range(1..i64::MAX);
                    if self.turn.tree.session(id).is_none() {
                        break (id, server.chance.random());
                    }
                }
            });
        server.drawn.insert(conn, (id, password));
        self.turn.open(id, Session { timeout_ms, password, ephemerals: Default::default() });
        (id, password, timeout_ms)
    }

    fn resume(&mut self, hello: &Hello, timeout_ms: i32) -> Option<(i64, [u8; 16], i32)> {
        let known = proven(&self.turn.tree, hello)?;
        let (id, password) = (hello.session, known.password);
        if !self.server.settings.expires {
            // A lease is as long as it was made.
            return Some((id, password, known.timeout_ms));
        }
        if known.timeout_ms != timeout_ms {
            let session = Session { timeout_ms, ..known.clone() };
            self.turn.open(id, session);
        }
        Some((id, password, timeout_ms))
    }
}

/// The session that a client says it had, if it proves that.
pub(super) fn proven<'a>(tree: &'a Tree, hello: &Hello) -> Option<&'a Session> {
    let known = tree.session(hello.session)?;
    // Which bytes differ is not told by how long it takes.
    let differ = known.password.iter().zip(&hello.password).fold(0, |all, (one, other)| all | (one ^ other));
    (hello.password.len() == known.password.len() && differ == 0).then_some(known)
}
