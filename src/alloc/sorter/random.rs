//! Chance, by weight.
//!
//! A node shares out its chance among its active children by their weights; clients are then drawn one
//! after the other, without putting back. Source: `RandomSorter`, 1.11.

use rand::{RngExt, SeedableRng};

use super::{Dice, ROOT, Sorter};

#[derive(Clone, Debug)]
pub(super) struct Chance {
    pub(super) leaf: u32,
    client: u32,
    /// Of 2^32, at least 1.
    chance: u64,
}

impl Sorter {
    pub(super) fn find_chances(&mut self) {
        if self.chances.is_empty() {
            let mut chances = Vec::new();
            self.share_out(ROOT, 1 << 32, &mut chances);
            self.chances = chances;
        }
    }

    fn share_out(&self, node: u32, chance: u64, out: &mut Vec<Chance>) {
        let order = &self.nodes[node as usize].order;
        let sum: u128 = order.iter().map(|&n| u128::from(self.nodes[n as usize].weight)).sum();
        for &child in order {
            let n = &self.nodes[child as usize];
            let part = u128::from(chance) * u128::from(n.weight) / sum.max(1);
            let part = (part as u64).max(1);
            match n.client {
                Some(client) => out.push(Chance { leaf: child, client, chance: part }),
                None => self.share_out(child, part, out),
            }
        }
    }
}

/// Draws from what is left.
pub(crate) struct Draw {
    left: Vec<Chance>,
    sum: u64,
    dice: Dice,
}

impl Draw {
    pub(super) fn new(left: Vec<Chance>, dice: &mut Dice) -> Draw {
        let sum = left.iter().map(|c| c.chance).sum();
        Draw { left, sum, dice: Dice::from_rng(dice) }
    }
}

impl Iterator for Draw {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.left.is_empty() {
            return None;
        }
        let mut at = self.dice.random_range(0..self.sum.max(1));
        let drawn = self.left.iter().position(|c| {
            let hit = at < c.chance;
            at = at.saturating_sub(c.chance);
            hit
        });
        let drawn = self.left.swap_remove(drawn.unwrap_or(0));
        self.sum -= drawn.chance;
        Some(drawn.client)
    }
}
