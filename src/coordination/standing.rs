//! Who stands for election, by what their nodes hold: for those who must find another master when theirs is gone.
//!
//! An election is decided by numbers alone (`election.rs`); nothing here changes who leads.

use std::collections::BTreeMap;

use super::member::Member;
use crate::proto::MasterInfo;

/// More masters than anybody has; what stands beyond is not read.
const MOST: usize = 64;

/// What a member's node holds, as far as it is known.
#[derive(Debug, PartialEq)]
enum Node {
    Asked,
    Holds(Box<MasterInfo>),
    /// Gone by now, or nothing that can be read.
    Nothing,
}

#[derive(Debug, Default)]
pub struct Standing {
    /// By number and name, so the leader comes first.
    nodes: BTreeMap<(u64, String), Node>,
    told: Vec<MasterInfo>,
}

impl Standing {
    /// These stand now. Comes back with those whose nodes have to be read.
    pub fn members(&mut self, members: &[Member]) -> Vec<Member> {
        let key = |member: &Member| (member.number, member.name.clone());
        self.nodes.retain(|known, _| members.iter().any(|member| key(member) == *known));
        let mut unread = Vec::new();
        for member in members {
            if self.nodes.len() < MOST && !self.nodes.contains_key(&key(member)) {
                self.nodes.insert(key(member), Node::Asked);
                unread.push(member.clone());
            }
        }
        unread
    }

    /// A node was read; none if it is gone.
    pub fn data(&mut self, member: &Member, data: Option<&[u8]>) {
        if let Some(node) = self.nodes.get_mut(&(member.number, member.name.clone())) {
            let read = data.and_then(|data| member.read(data).ok());
            *node = read.map_or(Node::Nothing, |info| Node::Holds(Box::new(info)));
        }
    }

    /// All who stand, if that is another list than the last time and nobody's node is still to be read.
    pub fn changed(&mut self) -> Option<Vec<MasterInfo>> {
        let mut infos = Vec::new();
        for node in self.nodes.values() {
            match node {
                Node::Asked => return None,
                Node::Holds(info) => infos.push(MasterInfo::clone(info)),
                Node::Nothing => {}
            }
        }
        (infos != self.told).then(|| {
            self.told.clone_from(&infos);
            infos
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::member::written;

    fn node(number: u64) -> Member {
        Member { number, name: format!("json.info_{number:010}") }
    }

    fn info(id: &str) -> MasterInfo {
        MasterInfo { id: id.to_owned(), ip: 1, port: 5050, ..MasterInfo::default() }
    }

    fn ids(infos: Option<Vec<MasterInfo>>) -> Option<String> {
        infos.map(|infos| infos.into_iter().map(|info| info.id).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_who_stand_are_told_once_all_are_read() {
        let mut standing = Standing::default();
        assert_eq!(standing.members(&[node(7), node(3)]), [node(7), node(3)]);
        standing.data(&node(7), Some(&written(&info("seven"))));
        assert_eq!(standing.changed(), None);
        standing.data(&node(3), Some(&written(&info("three"))));
        assert_eq!(ids(standing.changed()).as_deref(), Some("three seven"));
        assert_eq!(standing.changed(), None, "told before");
        assert_eq!(standing.members(&[node(7), node(9)]), [node(9)]);
        // One that cannot be read, or is gone, is nobody.
        standing.data(&node(9), Some(b"{"));
        standing.data(&node(3), Some(&written(&info("late"))));
        assert_eq!(ids(standing.changed()).as_deref(), Some("seven"));
        assert_eq!(standing.members(&[]), []);
        assert_eq!(ids(standing.changed()).as_deref(), Some(""));
    }

    #[test]
    fn so_many_are_read_and_no_more() {
        let mut standing = Standing::default();
        let all: Vec<Member> = (0..1000).map(node).collect();
        assert_eq!(standing.members(&all).len(), MOST);
        assert_eq!(standing.members(&all), []);
    }
}
