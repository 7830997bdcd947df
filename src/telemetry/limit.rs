//! So many in each second, and how many more there were.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// Lets so many a second through.
#[derive(Debug)]
pub(super) struct Limit {
    per_second: u64,
    /// The second in the upper half, and how many were let through in it.
    taken: AtomicU64,
    /// How many were not, since one was.
    passed_over: AtomicU64,
}

impl Limit {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), taken: AtomicU64::new(0), passed_over: AtomicU64::new(0) }
    }

    /// Lets one more through, and tells how many were passed over since the last; `None`: it is one of those.
    pub(super) fn take(&self, now: Timestamp) -> Option<u64> {
        let second = now.as_second().cast_unsigned() & u64::from(u32::MAX);
        let next = |taken: u64| match taken >> 32 == second {
            true if taken & u64::from(u32::MAX) >= self.per_second => None,
            true => Some(taken + 1),
            false => Some((second << 32) + 1).filter(|_| self.per_second > 0),
        };
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Some(self.passed_over.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.passed_over.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let limit = Limit::new(2);
        let taken = [10, 10, 10, 10, 11, 12].map(|second| limit.take(at(second)));
        assert_eq!(taken, [Some(0), Some(0), None, None, Some(2), Some(0)]);
        assert_eq!(Limit::new(0).take(at(1)), None);
    }
}
