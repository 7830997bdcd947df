//! What requests themselves tell of an endpoint: whether it is put aside for errors in a row, and whether it rests as it
//! could not be connected to.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{clock, config::Outlier};

/// How long an endpoint that could not be connected to is passed over where there is another.
const REST: Duration = Duration::from_secs(1);

/// How many times as long as the first the longest ejection is.
const LONGEST: u64 = 10;

/// What requests tell of one endpoint, in atomics. It outlives a reload of the configuration.
#[derive(Debug)]
pub(super) struct Standing {
    start: Instant,
    /// Failures in a row.
    failures: AtomicUsize,
    is_ejected: AtomicBool,
    /// When the last ejection ends or ended, in milliseconds after the start.
    ejected_until: AtomicU64,
    /// How often in a row it was ejected.
    times: AtomicU64,
    /// Until when it rests, in milliseconds after the start; 0: it does not.
    rests_until: AtomicU64,
}

impl Standing {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            failures: AtomicUsize::new(0),
            is_ejected: AtomicBool::new(false),
            ejected_until: AtomicU64::new(0),
            times: AtomicU64::new(0),
            rests_until: AtomicU64::new(0),
        }
    }

    /// Whether it is put aside. The clock is read only if it is or was until a moment ago.
    pub(super) fn is_ejected(&self) -> bool {
        self.is_ejected.load(Ordering::Relaxed) && self.now() < self.ejected_until.load(Ordering::Relaxed)
    }

    /// A request was answered well: free while nothing failed before.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed; gives how many did in a row. What was under way when it was put aside does not count.
    pub(super) fn failed(&self) -> usize {
        if self.is_ejected.load(Ordering::Relaxed) {
            return 0;
        }
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Puts it aside and gives for how long: longer each time, unless it was good for as long as it was away.
    pub(super) fn eject(&self, outlier: &Outlier) -> Duration {
        let (now, first) = (self.now(), millis(outlier.ejection));
        let before = self.times.load(Ordering::Relaxed);
        let was_good = now.saturating_sub(self.ejected_until.load(Ordering::Relaxed)) > first.saturating_mul(before);
        let times = if was_good { 1 } else { (before + 1).min(LONGEST) };
        let time = first.saturating_mul(times);
        self.times.store(times, Ordering::Relaxed);
        self.ejected_until.store(now.saturating_add(time), Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.is_ejected.store(true, Ordering::Relaxed);
        Duration::from_millis(time)
    }

    /// Ends an ejection that is over, or any; gives whether there was one to end.
    pub(super) fn readmit(&self, any: bool) -> bool {
        let is_over = self.is_ejected.load(Ordering::Relaxed) && (any || !self.is_ejected());
        is_over && self.is_ejected.swap(false, Ordering::Relaxed)
    }

    /// Whether it is passed over where there is another. The clock is read only if it could not be connected to before.
    pub(super) fn rests(&self) -> bool {
        let until = self.rests_until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    /// It was chosen: when a rest is over, this request tries it, and others still pass it over.
    pub(super) fn chosen(&self) {
        let until = self.rests_until.load(Ordering::Relaxed);
        if until != 0 {
            let next = self.now().saturating_add(millis(REST));
            // Who loses tries it as well.
            self.rests_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }

    /// It could not be connected to.
    pub(super) fn unreachable(&self) {
        self.rests_until.store(self.now().saturating_add(millis(REST)), Ordering::Relaxed);
    }

    /// It was connected to.
    pub(super) fn reached(&self) {
        if self.rests_until.load(Ordering::Relaxed) != 0 {
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// Milliseconds since the start, from 1.
    fn now(&self) -> u64 {
        millis(clock::monotonic().saturating_duration_since(self.start)) + 1
    }
}

/// Milliseconds, at most some thousands of years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlier(ejection: Duration) -> Outlier {
        Outlier { consecutive_5xx: 3, ejection, max_percent: 50 }
    }

    #[test]
    fn each_ejection_in_a_row_is_longer_up_to_ten_times() {
        let standing = Standing::new(clock::monotonic());
        let minute = outlier(Duration::from_secs(60));
        let mut minutes = Vec::new();
        for _ in 0..12 {
            minutes.push(standing.eject(&minute).as_secs() / 60);
            assert!(standing.is_ejected() && !standing.readmit(false));
            assert!(standing.readmit(true) && !standing.readmit(true) && !standing.is_ejected());
        }
        assert_eq!(minutes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
    }

    #[test]
    fn one_that_was_good_for_long_enough_begins_anew() {
        let now = clock::monotonic();
        // It began a minute ago, and the first ejection ended at once.
        let standing = Standing::new(now - Duration::from_secs(60));
        let moment = outlier(Duration::ZERO);
        standing.eject(&moment);
        standing.ejected_until.store(1, Ordering::Relaxed);
        assert!(!standing.is_ejected() && standing.readmit(false));
        assert_eq!(standing.eject(&moment), Duration::ZERO);
        assert_eq!(standing.times.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn failures_count_in_a_row_and_not_while_it_is_away() {
        let standing = Standing::new(clock::monotonic());
        assert_eq!((standing.failed(), standing.failed()), (1, 2));
        standing.succeeded();
        assert_eq!(standing.failed(), 1);
        standing.eject(&outlier(Duration::from_secs(60)));
        assert_eq!(standing.failed(), 0);
        standing.readmit(true);
        assert_eq!(standing.failed(), 1);
    }

    #[test]
    fn one_that_cannot_be_reached_rests_and_then_one_request_tries() {
        let standing = Standing::new(clock::monotonic());
        assert!(!standing.rests());
        standing.unreachable();
        assert!(standing.rests());
        standing.rests_until.store(1, Ordering::Relaxed);
        assert!(!standing.rests());
        standing.chosen();
        assert!(standing.rests(), "others pass it over meanwhile");
        standing.reached();
        assert!(!standing.rests());
    }
}
