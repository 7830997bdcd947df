//! The order in which endpoints take turns, and cheap random numbers for drawing them.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Turns in one round at most; larger weights are scaled down.
const LONGEST_ROUND: usize = 4096;

/// One round of turns in which every endpoint comes as often as its weight says, spread evenly.
#[derive(Debug)]
pub(super) struct Rotation {
    round: Vec<usize>,
    turn: AtomicUsize,
}

impl Rotation {
    /// The smooth order: each turn goes to the endpoint that is furthest behind its share.
    pub(super) fn by_weight(weights: &[usize]) -> Self {
        let weights = scaled(weights);
        let total: i64 = weights.iter().sum();
        let mut credit = vec![0_i64; weights.len()];
        let mut round = Vec::new();
        for _ in 0..total {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += weight;
            }
            let best = (0..credit.len()).rev().max_by_key(|&position| credit[position]).unwrap_or_default();
            credit[best] -= total;
            round.push(best);
        }
        Self { round, turn: AtomicUsize::new(0) }
    }

    /// The next endpoint whose turn it is. A turn of one that is not eligible passes to the next turn, so its share is
    /// spread over all others.
    pub(super) fn next(&self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..self.round.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let position = self.round[turn % self.round.len()];
            if eligible(position) {
                return Some(position);
            }
        }
        // Other threads may have taken the eligible turns meanwhile.
        self.at(0, eligible)
    }

    /// The first eligible endpoint at or after a place in the round.
    pub(super) fn at(&self, place: usize, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let start = place.checked_rem(self.round.len())?;
        let (before, after) = self.round.split_at(start);
        after.iter().chain(before).copied().find(|&position| eligible(position))
    }
}

/// A random number of this thread (xorshift). For spreading load, not for secrets.
pub(in crate::gateway) fn random() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static STATE: Cell<u64> = Cell::new(mixed(SEED.fetch_add(1, Ordering::Relaxed)));
    }
    STATE.with(|state| {
        let mut bits = state.get();
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        state.set(bits);
        bits
    })
}

/// Spreads a small number over all bits (the finalizer of splitmix64); never 0 for the seeds used here.
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The weights divided by what they have in common, and scaled down to a round of bearable length.
fn scaled(weights: &[usize]) -> Vec<i64> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let total = weights.iter().fold(0_usize, |sum, weight| sum.saturating_add(weight / common));
    let divisor = total.div_ceil(LONGEST_ROUND).max(1);
    weights.iter().map(|weight| i64::try_from((weight / common / divisor).max(1)).unwrap_or(i64::MAX)).collect()
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        assert_eq!(Rotation::by_weight(&[5, 1, 1]).round, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(Rotation::by_weight(&[2, 2]).round, [0, 1]);
        assert!(Rotation::by_weight(&[]).next(|_| true).is_none());
    }

    #[test]
    fn large_weights_make_no_large_round() {
        let round = Rotation::by_weight(&[usize::MAX, 1]).round;
        assert!(round.len() <= LONGEST_ROUND + 1, "{}", round.len());
        assert!(round.contains(&1));
    }

    #[test]
    fn random_numbers_differ() {
        let drawn: std::collections::BTreeSet<u64> = (0..1000).map(|_| random()).collect();
        assert_eq!(drawn.len(), 1000);
    }
}
