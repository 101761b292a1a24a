//! What the tree answers to questions.
//!
//! Source: `FinalRequestProcessor.processRequest`, 3.8.

use super::access;
use super::paths::is_at_or_below;
use super::tree::{Node, Tree};
use super::turn::Caller;
use super::watches::Kind;
use crate::zk::wire::{Outcome, Path, Read, Refusal, perms};

/// An answer, and the watch that goes with it.
pub fn answer(
    tree: &Tree,
    caller: Caller<'_>,
    read: &Read,
) -> (Result<Outcome, Refusal>, Option<(Kind, Path)>) {
    let watched = match read {
        // Also of a node that is not there: its making is told.
        Read::Exists { path, watch: true } => Some((Kind::Data, path.clone())),
        Read::Data { path, watch: true } => Some((Kind::Data, path.clone())),
        Read::Children { path, watch: true, .. } => Some((Kind::Children, path.clone())),
        _ => None,
    };
    let answer = outcome(tree, caller, read);
    let is_kept = match read {
        Read::Exists { .. } => matches!(answer, Ok(_) | Err(Refusal::NoNode)),
        _ => answer.is_ok(),
    };
    (answer, watched.filter(|_| is_kept))
}

fn outcome(tree: &Tree, caller: Caller<'_>, read: &Read) -> Result<Outcome, Refusal> {
    if read.path().is_empty() {
        // A path that is none.
        return Err(Refusal::Marshalling);
    }
    let allowed = |path: &Path, perm: i32| -> Result<&Node, Refusal> {
        let node = tree.get(path).ok_or(Refusal::NoNode)?;
        access::may(&node.acl, perm, caller.ids)?;
        Ok(node)
    };
    match read {
        Read::Exists { path, .. } => Ok(Outcome::Stat(tree.get(path).ok_or(Refusal::NoNode)?.stat())),
        Read::Data { path, .. } => {
            let node = allowed(path, perms::READ)?;
            Ok(Outcome::Data(node.data.clone(), node.stat()))
        }
        Read::Children { path, with_stat, .. } => {
            let node = allowed(path, perms::READ)?;
            let stat = with_stat.then(|| node.stat());
            Ok(Outcome::Children(node.children.iter().cloned().collect(), stat))
        }
        Read::Acl { path } => {
            let node = allowed(path, perms::READ | perms::ADMIN)?;
            Ok(Outcome::Acl(access::redacted(&node.acl, caller.ids), node.stat()))
        }
        Read::Count { path } => {
            allowed(path, perms::READ)?;
            Ok(Outcome::Count(i32::try_from(below(tree, path)).unwrap_or(i32::MAX)))
        }
        Read::Ephemerals { path } => {
            let session = tree.session(caller.session).ok_or(Refusal::SessionExpired)?;
            let of = session.ephemerals.iter().filter(|one| one.starts_with(&**path));
            Ok(Outcome::Paths(of.cloned().collect()))
        }
    }
}

/// How many nodes are below one.
fn below(tree: &Tree, path: &str) -> usize {
    tree.paths().filter(|one| is_at_or_below(one, path)).count() - 1
}
