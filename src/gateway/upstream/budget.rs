//! How many requests may be tried again: a share of those of the last ten seconds, so that a failing upstream does not get
//! twice the load that it fails under.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// The window, in seconds.
const WINDOW: u64 = 10;

/// What may be tried again in a second whatever there is of requests.
const AT_LEAST: u64 = 3;

/// More than the window has, so that a second that is over is not counted into while it still counts.
const SLOTS: usize = 16;

/// The requests and retries of an upstream, by second.
///
/// Invariant: in any ten seconds of the clock, no more retries are allowed than the share, and three a second besides.
#[derive(Debug)]
pub(super) struct RetryBudget {
    start: Instant,
    requests: Seconds,
    retries: Seconds,
}

/// Counts by second: each slot has the second in its upper half and the count in its lower.
#[derive(Debug, Default)]
struct Seconds([AtomicU64; SLOTS]);

impl RetryBudget {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, requests: Seconds::default(), retries: Seconds::default() }
    }

    /// A request is sent for the first time.
    pub(super) fn count(&self, now: Instant) {
        self.requests.add(self.second(now));
    }

    /// Takes a retry out of the budget, if there is one left.
    pub(super) fn take(&self, percent: u64, now: Instant) -> bool {
        let second = self.second(now);
        let slot = self.retries.add(second);
        let allowed = self.requests.sum(second) * percent / 100 + AT_LEAST * WINDOW;
        let is_allowed = self.retries.sum(second) <= allowed;
        if !is_allowed {
            slot.fetch_sub(1, Ordering::Relaxed);
        }
        is_allowed
    }

    /// Seconds since the start, from 1: a slot that was never used is in none.
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() + 1
    }
}

impl Seconds {
    fn add(&self, second: u64) -> &AtomicU64 {
        let slot = &self.0[second as usize % SLOTS];
        let mut seen = slot.load(Ordering::Relaxed);
        while seen >> 32 < second {
            match slot.compare_exchange_weak(seen, second << 32 | 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return slot,
                Err(now) => seen = now,
            }
        }
        slot.fetch_add(1, Ordering::Relaxed);
        slot
    }

    /// The count of the window that ends with this second.
    fn sum(&self, second: u64) -> u64 {
        let slots = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        slots.filter(|slot| (slot >> 32) + WINDOW > second).map(|slot| slot & u64::from(u32::MAX)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    /// How many of these tries are allowed.
    fn allowed(budget: &RetryBudget, percent: u64, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| budget.take(percent, now)).count()
    }

    #[test]
    fn a_share_of_the_last_ten_seconds_and_a_few_besides() {
        let start = clock::monotonic();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let budget = RetryBudget::new(start);
        assert_eq!(allowed(&budget, 10, at(0), 100), 30, "without requests there are three a second");
        let count = |seconds: std::ops::Range<u64>| {
            seconds.for_each(|second| (0..100).for_each(|_| budget.count(at(second))));
        };
        count(0..10);
        assert_eq!(allowed(&budget, 10, at(9), 1_000), 100, "a tenth of 1 000, and 30 besides that are taken");
        count(10..11);
        assert_eq!(allowed(&budget, 10, at(10), 1_000), 30, "those of the first second count no more");
        count(11..16);
        assert_eq!(allowed(&budget, 0, at(15), 1_000), 0, "the last ten seconds had more than 30 already");
        assert_eq!(allowed(&budget, 10, at(60), 1_000), 30);
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let budget = RetryBudget::new(clock::monotonic());
        let now = clock::monotonic();
        let taken = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| budget.count(now));
                    taken.fetch_add(allowed(&budget, 10, now, 2_000), Ordering::Relaxed);
                });
            }
        });
        let taken = taken.into_inner();
        assert!((30..=430).contains(&taken), "{taken}");
        assert_eq!(taken + allowed(&budget, 10, now, 2_000), 430);
    }
}
