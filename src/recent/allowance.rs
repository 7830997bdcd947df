//! So many in each second.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// How many of what happens in one second are let through.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: u64,
    /// The second in the upper half, and how many were let through in it.
    taken: AtomicU64,
}

/// Requests that run at once end in any order: one from the second before counts as one of this second.
const BEHIND: u64 = 60;

impl Allowance {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), taken: AtomicU64::new(0) }
    }

    /// Whether one more is let through at this time. Without a lock: who meets others tries again, at most as often as
    /// there are others.
    pub(super) fn take(&self, now: Timestamp) -> bool {
        let second = now.as_second().cast_unsigned() & u64::from(u32::MAX);
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let (current, count) = (taken >> 32, taken & u64::from(u32::MAX));
            // A clock that was set back far begins anew.
            let is_over = second > current || current - second > BEHIND;
            if !is_over && count >= self.per_second {
                return false;
            }
            let next = if is_over { (second << 32) + 1 } else { taken + 1 };
            match self.taken.compare_exchange_weak(taken, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => taken = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_each_second() {
        let allowance = Allowance::new(2);
        let taken = |second| allowance.take(Timestamp::from_second(second).unwrap());
        let at = 1_800_000_000;
        assert_eq!([at, at, at, at - 1, at + 1, at, at + 1].map(taken), [true, true, false, false, true, true, false]);
        // A clock that is set back.
        assert_eq!([at - 3600, at - 3600, at - 3600].map(taken), [true, true, false]);
        // Before 1970.
        assert_eq!([-5, -5, -5].map(taken), [true, true, false]);
    }
}
