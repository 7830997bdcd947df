//! Drawing users, each as likely as any other, without knowing how many there are.

use std::collections::BTreeSet;

/// Users who were drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The users, in an order that is drawn as well, so that a part of them is a sample too.
    pub user_ids: Vec<String>,
    /// How many users they were drawn from. In Redis, users who come or go meanwhile may make it a few too many.
    pub total: u64,
}

/// Keeps the users whose ids have the lowest hashes: who is kept depends on the seed and on who else is there alone, not on
/// the order in which users come, nor on how often.
#[derive(Debug)]
pub(in crate::store) struct Sampler {
    size: usize,
    seed: [u8; 8],
    /// Invariant: at most `size`.
    kept: BTreeSet<(u128, String)>,
    total: u64,
}

impl Sampler {
    pub(in crate::store) fn new(size: usize, seed: u64) -> Self {
        Self { size, seed: seed.to_be_bytes(), kept: BTreeSet::new(), total: 0 }
    }

    pub(in crate::store) fn see(&mut self, user_id: &str) {
        self.total += 1;
        let text = [&self.seed, user_id.as_bytes()].concat();
        let rank = murmur3::murmur3_x64_128(&mut &*text, 0).expect("reading from memory cannot fail");
        let is_full = self.kept.len() == self.size;
        if is_full && self.kept.last().is_none_or(|(last, _)| *last <= rank) {
            return;
        }
        self.kept.insert((rank, user_id.to_owned()));
        if self.kept.len() > self.size {
            self.kept.pop_last();
        }
    }

    pub(in crate::store) fn end(self) -> Sample {
        Sample { user_ids: self.kept.into_iter().map(|(_, user_id)| user_id).collect(), total: self.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: usize, seed: u64, users: impl IntoIterator<Item = usize>) -> Sample {
        let mut sampler = Sampler::new(size, seed);
        users.into_iter().for_each(|user| sampler.see(&format!("user-{user}")));
        sampler.end()
    }

    #[test]
    fn the_order_and_repetitions_do_not_matter_but_the_seed_does() {
        let drawn = sample(50, 7, 0..1000);
        assert_eq!((drawn.user_ids.len(), drawn.total), (50, 1000));
        assert_eq!(sample(50, 7, (0..1000).rev()).user_ids, drawn.user_ids);
        assert_eq!(sample(50, 7, (0..1000).chain(0..1000)).user_ids, drawn.user_ids);
        assert_ne!(sample(50, 8, 0..1000).user_ids, drawn.user_ids);
        assert_eq!(sample(20, 7, 0..1000).user_ids, drawn.user_ids[..20]);
        assert_eq!(sample(50, 7, 0..10).user_ids.len(), 10);
        assert_eq!(sample(0, 7, 0..10), Sample { user_ids: Vec::new(), total: 10 });
    }

    /// Chi-squared over ten equal parts of the users, summed over seeds: 9 degrees of freedom, the 99.99 % quantile is 33.7.
    #[test]
    fn all_are_as_likely() {
        let mut drawn = [0_u32; 10];
        for seed in 0..200 {
            for user in sample(50, seed, 0..1000).user_ids {
                let user: usize = user["user-".len()..].parse().unwrap();
                drawn[user / 100] += 1;
            }
        }
        let expected = 1000.0;
        let chi: f64 = drawn.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi < 33.7, "{chi}: {drawn:?}");
    }
}
