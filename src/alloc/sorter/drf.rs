//! Smallest dominant share first.
//!
//! Each node keeps its active children sorted; one that changes is taken out before and put back after.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::share::Share;
use super::{Node, Policy, ROOT, Sorter};

impl Sorter {
    /// Puts a node into its parent's order.
    pub(super) fn enlist(&mut self, node: u32) {
        let parent = self.nodes[node as usize].parent as usize;
        let at = match self.policy {
            Policy::Drf => self.place(parent, node),
            Policy::Random => self.nodes[parent].order.len(),
        };
        self.nodes[parent].order.insert(at, node);
    }

    /// Takes it out again; its share must be what it was when it was put in.
    pub(super) fn delist(&mut self, node: u32) {
        let parent = self.nodes[node as usize].parent as usize;
        let guess = match self.policy {
            Policy::Drf => self.place(parent, node),
            Policy::Random => usize::MAX,
        };
        let order = &self.nodes[parent].order;
        let at = match order.get(guess) {
            Some(&found) if found == node => Some(guess),
            _ => order.iter().position(|&n| n == node),
        };
        if let Some(at) = at {
            self.nodes[parent].order.remove(at);
        }
    }

    fn place(&self, parent: usize, node: u32) -> usize {
        self.nodes[parent]
            .order
            .partition_point(|&other| self.compare_siblings(other, node) == Ordering::Less)
    }

    /// The total has changed, and every share with it.
    pub(super) fn sort_all(&mut self) {
        for node in &mut self.nodes {
            node.share = Share::dominant(&node.amounts, &self.total.amounts, &self.excluded, node.weight);
        }
        for node in 0..self.nodes.len() {
            let mut order = std::mem::take(&mut self.nodes[node].order);
            order.sort_by(|&a, &b| self.compare_siblings(a, b));
            self.nodes[node].order = order;
        }
    }

    /// Order of two leaves: where their paths part, the turn of the siblings there.
    pub(super) fn compare(&self, mut a: u32, mut b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let depth = |mut n: u32| {
            std::iter::from_fn(|| (n != ROOT).then(|| n = self.nodes[n as usize].parent)).count()
        };
        let (mut depth_a, mut depth_b) = (depth(a), depth(b));
        while depth_a > depth_b {
            a = self.nodes[a as usize].parent;
            depth_a -= 1;
        }
        while depth_b > depth_a {
            b = self.nodes[b as usize].parent;
            depth_b -= 1;
        }
        while self.nodes[a as usize].parent != self.nodes[b as usize].parent {
            a = self.nodes[a as usize].parent;
            b = self.nodes[b as usize].parent;
        }
        self.compare_siblings(a, b)
    }
}

/// Active leaves, depth first.
pub(crate) struct Walk<'a> {
    nodes: &'a [Node],
    /// Nodes entered, each with the position of its next child.
    path: SmallVec<[(u32, usize); 4]>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(sorter: &'a Sorter) -> Walk<'a> {
        Walk { nodes: &sorter.nodes, path: SmallVec::from_slice(&[(ROOT, 0)]) }
    }
}

impl Iterator for Walk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            let (node, position) = self.path.last_mut()?;
            let Some(&child) = self.nodes[*node as usize].order.get(*position) else {
                self.path.pop();
                continue;
            };
            *position += 1;
            match self.nodes[child as usize].client {
                Some(client) => return Some(client),
                None => self.path.push((child, 0)),
            }
        }
    }
}
