//! Who asked how much lately, in a fixed amount of memory and without a lock: the generic cell rate algorithm (ITU-T I.371),
//! one number for each key.
//!
//! That number is the time at which a key has its whole burst again. A key whose time is over is as good as one that was
//! never seen, so that its place is free. Where all places of a bucket are taken, a newcomer takes the one that has the
//! least to make up for, and takes that over with it (as in Metwally, Agrawal, El Abbadi: Efficient computation of frequent
//! and top-k elements in data streams, 2005): it may be limited too early, but nobody gets more by being forgotten.

use std::sync::atomic::{AtomicU64, Ordering};

/// The places of a bucket: one line of the processor's cache.
const PLACES: usize = 8;

/// The bits of a time, in ticks: it comes round after 12 days, or after 256 times what a burst takes to come back.
const TIME_BITS: u32 = 40;

/// The bits of an entry that hold the time.
const TIME: u64 = (1 << TIME_BITS) - 1;

/// The bits of the longest time to make up for: of those that come round hardly any looks like one.
const MOST_BITS: u32 = 32;

/// How far apart the times of two threads may be, in microseconds.
const SLACK: u64 = 60_000_000;

/// A limit for each of many keys.
///
/// Invariant: a key gets no more than its burst at once and no more than its rate afterwards, however many others there are.
pub(super) struct Table {
    /// Entries: part of the key's hash above, the time when it has made up for everything below; 0: nobody's.
    entries: Box<[AtomicU64]>,
    /// Microseconds; one, unless a burst takes more than an hour to come back.
    tick: u64,
    /// Ticks between two requests.
    interval: u64,
    /// The ticks that a whole burst takes to come back.
    most: u64,
}

/// A request is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// How long until the next one is taken, in microseconds.
    pub(super) wait: u64,
}

impl Table {
    /// One request in `interval` microseconds, `burst` at once, for about `keys` keys at a time.
    pub(super) fn new(interval: u64, burst: u64, keys: usize) -> Self {
        // Twice as many places as keys, so that hardly any bucket is full.
        let entries = (2 * keys).next_power_of_two().max(PLACES);
        let tick = ((interval * burst.max(1)) >> MOST_BITS) + 1;
        let interval = interval.div_ceil(tick).max(1);
        let entries = (0..entries).map(|_| AtomicU64::new(0)).collect();
        Self { entries, tick, interval, most: interval * burst.max(1) }
    }

    /// Takes one request of a key, by its hash, at a time in microseconds.
    pub(super) fn take(&self, hash: u64, now: u64) -> Result<(), Over> {
        let now = now / self.tick;
        let key = hash >> TIME_BITS | 1;
        let bucket = hash as usize & (self.entries.len() / PLACES - 1);
        let bucket = &self.entries[bucket * PLACES..][..PLACES];
        loop {
            let (place, seen, debt) = self.place(bucket, key, now);
            let debt = debt + self.interval;
            if debt > self.most {
                return Err(Over { wait: (debt - self.most) * self.tick });
            }
            let entry = key << TIME_BITS | (now.wrapping_add(debt) & TIME);
            // Who was faster may have been the same key.
            if place.compare_exchange(seen, entry, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
    }

    /// The place of a key, what stands there, and how much time it has to make up for.
    fn place<'b>(&self, bucket: &'b [AtomicU64], key: u64, now: u64) -> (&'b AtomicU64, u64, u64) {
        let mut least = (&bucket[0], 0, u64::MAX);
        for place in bucket {
            let seen = place.load(Ordering::Relaxed);
            let debt = if seen == 0 { 0 } else { self.debt(seen, now) };
            if seen >> TIME_BITS == key {
                return (place, seen, debt);
            }
            if debt < least.2 {
                least = (place, seen, debt);
            }
        }
        least
    }

    /// The time until an entry has made up for everything: no more than a burst takes, even for a thread that is late. What
    /// is longer than it can be has come round.
    fn debt(&self, entry: u64, now: u64) -> u64 {
        let left = entry.wrapping_sub(now) & TIME;
        if left > self.most + SLACK / self.tick { 0 } else { left.min(self.most) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn taken(table: &Table, hash: u64, now: u64, times: usize) -> usize {
        (0..times).filter(|_| table.take(hash, now).is_ok()).count()
    }

    #[test]
    fn a_burst_at_once_and_then_the_rate() {
        let table = Table::new(100_000, 5, 10);
        assert_eq!(taken(&table, 7, 1_000, 20), 5);
        assert_eq!(table.take(7, 1_000), Err(Over { wait: 100_000 }));
        assert_eq!(table.take(7, 51_000), Err(Over { wait: 50_000 }));
        assert_eq!(taken(&table, 7, 101_000, 20), 1);
        assert_eq!(taken(&table, 7, 401_000, 20), 3);
        assert_eq!(taken(&table, 7, 10_000_000, 20), 5, "no more than a burst is saved up");
    }

    #[test]
    fn a_thread_that_is_late_gains_nothing() {
        let table = Table::new(100_000, 5, 10);
        assert_eq!(taken(&table, 7, 30_000_000, 20), 5);
        assert_eq!(taken(&table, 7, 29_999_000, 20), 0);
    }

    #[test]
    fn time_comes_round() {
        let table = Table::new(100_000, 5, 10);
        let end = TIME - 200_000;
        assert_eq!(taken(&table, 7, end, 20), 5);
        assert_eq!(taken(&table, 7, end + 100_000, 20), 1);
        assert_eq!(taken(&table, 7, end + 300_000, 20), 2);
        assert_eq!(taken(&table, 7, end + 20 * TIME / 30, 20), 5);
    }

    #[test]
    fn who_comes_back_after_weeks_has_a_whole_burst() {
        const DAY: u64 = 24 * 3600 * 1_000_000;
        let table = Table::new(DAY, 6, 10);
        assert_eq!(taken(&table, 7, DAY, 20), 6);
        assert_eq!(table.take(7, DAY + 1), Err(Over { wait: table.interval * table.tick }), "one comes back in a day");
        for days in 1..6 {
            assert_eq!(taken(&table, 7, (1 + 20 * days) * DAY, 20), 6, "after {days} times 20 days");
            assert_eq!(taken(&table, 7, (1 + 20 * days) * DAY + 2 * DAY + DAY / 100, 20), 2);
            assert_eq!(taken(&table, 7, (1 + 20 * days) * DAY + 10 * DAY, 20), 6);
            assert_eq!(taken(&table, 7, (1 + 20 * days) * DAY + 10 * DAY, 20), 0);
        }
    }

    #[test]
    fn a_million_keys_within_memory_for_a_tenth_and_nobody_gets_more() {
        let table = Table::new(1_000_000, 2, 100_000);
        let hashes = ahash::RandomState::with_seeds(1, 2, 3, 4);
        assert_eq!(table.entries.len() * 8, 2 << 20);
        let all: usize = (0..1_000_000_u32).map(|key| taken(&table, hashes.hash_one(key), 0, 3)).sum();
        assert!(all <= 2_000_000 && all > 400_000, "{all}");
        // One that asks all the while, among all others, gets no more than it may.
        let asked: usize = (0..1_000_u32)
            .map(|round| {
                let now = u64::from(round) * 10_000;
                (0..20).for_each(|other| {
                    assert!(taken(&table, hashes.hash_one(round * 20 + other + 5_000_000), now, 1) < 2)
                });
                taken(&table, hashes.hash_one("one"), now, 1)
            })
            .sum();
        assert!(asked <= 2 + 10, "{asked} in ten seconds");
    }

    #[test]
    fn threads_together_get_no_more() {
        let table = Table::new(1_000_000, 100, 10);
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&table, 99, 5, 200))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 100);
    }

    proptest! {
        /// Against a token bucket for each key, with memory for all of them.
        #[test]
        fn each_key_has_a_bucket_of_its_own(asks in prop::collection::vec((0_u64..12, 0_u64..400_000), 1..400)) {
            let table = Table::new(100_000, 4, 1_000);
            let hashes = ahash::RandomState::with_seeds(1, 2, 3, 4);
            let mut full_at: BTreeMap<u64, u64> = BTreeMap::new();
            let mut now = 1_000;
            for (key, pause) in asks {
                now += pause;
                let full = full_at.entry(key).or_default();
                let next = (*full).max(now) + 100_000;
                let expected = next <= now + 400_000;
                if expected {
                    *full = next;
                }
                prop_assert_eq!(table.take(hashes.hash_one(key), now).is_ok(), expected);
            }
        }
    }
}
