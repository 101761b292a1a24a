//! Whose turn it is.
//!
//! A sorter holds clients (roles, or the frameworks of one role) by path and says in which order they are
//! to be offered resources. A path with slashes makes a tree: siblings are ordered among themselves, and a
//! subtree's turn is spent inside it. Only active clients are in the order; an inactive one costs nothing.
//!
//! `drf` and `random` are the two orders; the tree and its sums are common to both. Nothing is sorted
//! twice: a change moves the changed client and its ancestors, a change of the cluster's total re-sorts once,
//! when the order is next asked for.
//!
//! Source: `DRFSorter`, `RandomSorter` of Mesos 1.11.

mod drf;
mod random;
mod share;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) use share::{ONE, Share, weight_from};

use super::amounts::Amounts;

/// Which order a sorter gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Smallest dominant share first.
    #[default]
    Drf,
    /// Chance, by weight.
    Random,
}

impl std::str::FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Policy, String> {
        match text {
            "drf" => Ok(Policy::Drf),
            "random" => Ok(Policy::Random),
            _ => Err(format!("'{text}' is not a sorter, 'drf' and 'random' are")),
        }
    }
}

/// Chance of an allocator: seeded, so that a run repeats.
pub(super) type Dice = rand_chacha::ChaCha8Rng;

/// The cluster's total, with a number that changes when it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) amounts: Amounts,
    pub(super) version: u64,
}

/// A client's node; given by `add`, good until `remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf(u32);

const ROOT: u32 = 0;

#[derive(Clone, Debug)]
pub(super) struct Sorter {
    policy: Policy,
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    clients: BTreeMap<Arc<str>, u32>,
    /// By path, for nodes that exist and those to come. Millionths.
    weights: BTreeMap<Arc<str>, u64>,
    /// Kinds that do not count for fairness.
    excluded: BTreeSet<usize>,
    total: Total,
    /// For `random`: active clients with their chance, made anew when empty.
    chances: Vec<random::Chance>,
}

/// An inner node, or the leaf of a client. A leaf is the child `.` of the node with its path when that
/// node has other children, and that node itself otherwise.
#[derive(Clone, Debug)]
struct Node {
    path: Arc<str>,
    parent: u32,
    /// Of a leaf: the caller's number for it.
    client: Option<u32>,
    active: bool,
    children: Vec<u32>,
    /// Children with an active leaf in them, in order of turn.
    order: Vec<u32>,
    weight: u64,
    amounts: Amounts,
    /// How often it was chosen; equal shares take turns by it.
    count: u64,
    share: Share,
}

impl Sorter {
    pub(super) fn new(policy: Policy, excluded: BTreeSet<usize>) -> Sorter {
        Sorter {
            policy,
            nodes: vec![Node::new("".into(), ROOT, ONE)],
            vacant: Vec::new(),
            clients: BTreeMap::new(),
            weights: BTreeMap::new(),
            excluded,
            total: Total::default(),
            chances: Vec::new(),
        }
    }

    /// A new client, inactive; `client` is what the order will call it. A known path keeps its leaf.
    pub(super) fn add(&mut self, path: &str, client: u32) -> Leaf {
        if let Some(&leaf) = self.clients.get(path) {
            self.nodes[leaf as usize].client = Some(client);
            return Leaf(leaf);
        }
        self.chances.clear();
        let mut at = ROOT;
        let mut end = 0;
        for name in path.split('/') {
            end += name.len();
            at = self.step(at, &path[..end]);
            end += 1;
        }
        let leaf = if self.nodes[at as usize].children.is_empty() {
            at
        } else {
            self.child(at, format!("{path}/.").into())
        };
        self.nodes[leaf as usize].client = Some(client);
        self.clients.insert(path.into(), leaf);
        Leaf(leaf)
    }

    /// The child of `parent` with this path, made if it is missing.
    fn step(&mut self, parent: u32, path: &str) -> u32 {
        let known =
            self.nodes[parent as usize].children.iter().find(|&&n| &*self.nodes[n as usize].path == path);
        if let Some(&known) = known {
            return known;
        }
        self.push_down(parent);
        self.child(parent, path.into())
    }

    /// A leaf that is to get children hands its client to a new child `.`.
    fn push_down(&mut self, node: u32) {
        let Some(client) = self.nodes[node as usize].client else { return };
        let path: Arc<str> = format!("{}/.", self.nodes[node as usize].path).into();
        let leaf = self.child(node, path);
        let Node { amounts, count, active, path, .. } = self.nodes[node as usize].clone();
        self.clients.insert(path, leaf);
        let moved = &mut self.nodes[leaf as usize];
        (moved.client, moved.amounts, moved.count, moved.active) = (Some(client), amounts, count, active);
        moved.share = Share::dominant(&moved.amounts, &self.total.amounts, &self.excluded, moved.weight);
        let node = &mut self.nodes[node as usize];
        (node.client, node.active) = (None, false);
        if active {
            node.order.push(leaf);
        }
    }

    fn child(&mut self, parent: u32, path: Arc<str>) -> u32 {
        let weight = self.weights.get(&path).copied().unwrap_or(ONE);
        let node = Node::new(path, parent, weight);
        let number = match self.vacant.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.nodes[parent as usize].children.push(number);
        number
    }

    /// The leaf of a client. Leaves move when the tree grows below them, so callers ask by path.
    pub(super) fn leaf(&self, path: &str) -> Option<Leaf> {
        self.clients.get(path).map(|&leaf| Leaf(leaf))
    }

    /// Forgets a client and what it holds.
    pub(super) fn remove(&mut self, path: &str) {
        let Some(leaf) = self.leaf(path) else { return };
        self.set_active(path, false);
        self.chances.clear();
        let held = self.nodes[leaf.0 as usize].amounts.clone();
        self.change(leaf.0, |node| node.amounts.subtract(&held));
        self.clients.remove(path);
        self.nodes[leaf.0 as usize].client = None;
        let mut at = leaf.0;
        while at != ROOT
            && self.nodes[at as usize].children.is_empty()
            && self.nodes[at as usize].client.is_none()
        {
            let parent = self.nodes[at as usize].parent;
            self.nodes[parent as usize].children.retain(|&n| n != at);
            self.vacant.push(at);
            at = parent;
        }
        self.pull_up(at);
    }

    /// A node left with nothing but its child `.` is a leaf again.
    fn pull_up(&mut self, node: u32) {
        let [only] = self.nodes[node as usize].children[..] else { return };
        if node == ROOT || !self.nodes[only as usize].path.ends_with("/.") {
            return;
        }
        let Node { client, active, .. } = self.nodes[only as usize].clone();
        let kept = &mut self.nodes[node as usize];
        (kept.client, kept.active) = (client, active);
        kept.children.clear();
        kept.order.clear();
        self.clients.insert(kept.path.clone(), node);
        self.vacant.push(only);
    }

    /// Puts a client into the order, or takes it out. True if that changed anything.
    pub(super) fn set_active(&mut self, path: &str, active: bool) -> bool {
        let Some(Leaf(leaf)) = self.leaf(path) else { return false };
        if self.nodes[leaf as usize].active == active {
            return false;
        }
        self.chances.clear();
        self.nodes[leaf as usize].active = active;
        let mut at = leaf;
        // Ancestors are listed while anything active is below them.
        while at != ROOT {
            let parent = self.nodes[at as usize].parent;
            if active {
                let first = self.nodes[parent as usize].order.is_empty();
                self.enlist(at);
                if !first {
                    break;
                }
            } else {
                self.delist(at);
                if !self.nodes[parent as usize].order.is_empty() {
                    break;
                }
            }
            at = parent;
        }
        true
    }

    /// Any client in the order?
    pub(super) fn has_active(&self) -> bool {
        !self.nodes[ROOT as usize].order.is_empty()
    }

    /// Millionths, for a path that may have no client (yet).
    pub(super) fn set_weight(&mut self, path: &str, weight: u64) {
        self.weights.insert(path.into(), weight);
        self.chances.clear();
        let mut at = ROOT;
        let mut end = 0;
        for name in path.split('/') {
            end += name.len();
            let next = self.nodes[at as usize]
                .children
                .iter()
                .copied()
                .find(|&n| *self.nodes[n as usize].path == path[..end]);
            let Some(next) = next else { return };
            at = next;
            end += 1;
        }
        self.move_by(at, |node| node.weight = weight);
    }

    /// The client was chosen and now holds this much more.
    pub(super) fn allocated(&mut self, path: &str, amounts: &Amounts) {
        let Some(leaf) = self.leaf(path) else { return };
        self.change(leaf.0, |node| {
            node.amounts.add(amounts);
            node.count += 1;
        });
    }

    /// The client holds this much less.
    pub(super) fn unallocated(&mut self, path: &str, amounts: &Amounts) {
        let Some(leaf) = self.leaf(path) else { return };
        self.change(leaf.0, |node| node.amounts.subtract(amounts));
    }

    /// What a client holds, by the sorter's sums.
    pub(super) fn held(&self, path: &str) -> Option<&Amounts> {
        self.leaf(path).map(|leaf| &self.nodes[leaf.0 as usize].amounts)
    }

    /// The largest share that what is held at this path, or below it, has of any kind, divided by the weight;
    /// none if turns do not go by it.
    pub(super) fn dominant_share(&self, path: &str, total: &Total) -> Option<f64> {
        let node = self.clients.get(path).filter(|_| self.policy == Policy::Drf)?;
        let node = &self.nodes[*node as usize];
        Some(Share::dominant(&node.amounts, &total.amounts, &self.excluded, node.weight).to_f64())
    }

    /// Takes over the cluster's total; shares are of it. Cheap when it has not changed.
    pub(super) fn refresh(&mut self, total: &Total) {
        if self.total.version == total.version {
            return;
        }
        self.total = total.clone();
        if self.policy == Policy::Drf {
            self.sort_all();
        }
    }

    /// Applies a change to a node and its ancestors, keeping each at its place in the order.
    fn change(&mut self, leaf: u32, change: impl Fn(&mut Node)) {
        let mut at = leaf;
        while at != ROOT {
            self.move_by(at, &change);
            at = self.nodes[at as usize].parent;
        }
        change(&mut self.nodes[ROOT as usize]);
    }

    fn move_by(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        let listed = self.is_listed(node);
        if listed {
            self.delist(node);
        }
        change(&mut self.nodes[node as usize]);
        if self.policy == Policy::Drf {
            let n = &self.nodes[node as usize];
            let share = Share::dominant(&n.amounts, &self.total.amounts, &self.excluded, n.weight);
            self.nodes[node as usize].share = share;
        }
        if listed {
            self.enlist(node);
        }
    }

    fn is_listed(&self, node: u32) -> bool {
        let n = &self.nodes[node as usize];
        node != ROOT && (n.active || !n.order.is_empty())
    }

    /// Asks for turns one by one; `next` draws lazily, since mostly the first takes everything.
    pub(super) fn turns(&mut self, dice: &mut Dice) -> Turns<'_> {
        match self.policy {
            Policy::Drf => Turns::Drf(drf::Walk::new(self)),
            Policy::Random => {
                self.find_chances();
                Turns::Random(Box::new(random::Draw::new(self.chances.clone(), dice)))
            }
        }
    }

    /// The given clients in order of turn; those that are not active are dropped.
    pub(super) fn turns_of(&mut self, paths: &[&str], dice: &mut Dice) -> Vec<u32> {
        let mut leaves: Vec<u32> =
            paths.iter().filter_map(|path| self.leaf(path)).map(|leaf| leaf.0).collect();
        leaves.retain(|&leaf| self.nodes[leaf as usize].active);
        match self.policy {
            Policy::Drf => leaves.sort_by(|&a, &b| self.compare(a, b)),
            Policy::Random if leaves.len() > 1 => {
                self.find_chances();
                let some = self.chances.iter().filter(|c| leaves.contains(&c.leaf)).cloned().collect();
                let mut draw = random::Draw::new(some, dice);
                return std::iter::from_fn(|| draw.next()).collect();
            }
            Policy::Random => {}
        }
        leaves.into_iter().filter_map(|leaf| self.nodes[leaf as usize].client).collect()
    }

    /// Siblings: share, then how often chosen, then path.
    fn compare_siblings(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
        a.share.cmp(&b.share).then(a.count.cmp(&b.count)).then_with(|| a.path.cmp(&b.path))
    }
}

/// Clients in the order of their turns.
pub(super) enum Turns<'a> {
    Drf(drf::Walk<'a>),
    Random(Box<random::Draw>),
}

impl Iterator for Turns<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Turns::Drf(walk) => walk.next(),
            Turns::Random(draw) => draw.next(),
        }
    }
}

impl Node {
    fn new(path: Arc<str>, parent: u32, weight: u64) -> Node {
        Node {
            path,
            parent,
            client: None,
            active: false,
            children: Vec::new(),
            order: Vec::new(),
            weight,
            amounts: Amounts::default(),
            count: 0,
            share: Share::ZERO,
        }
    }
}
