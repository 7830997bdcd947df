//! A sum that goes on: each second is read once, however often and for however long somebody looks.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{Counted, CounterStore};
use crate::{
    model::{Arm, ArmCounts},
    store::StoreError,
};

/// What was counted of some arms from one moment on. It outlives what the store keeps, as long as it is advanced at least
/// once within [`super::COUNTS_KEPT`]; one that begins further back than that has what the store still knows.
#[derive(Clone, Debug)]
pub struct Running {
    arms: Vec<Arm>,
    totals: BTreeMap<Arm, ArmCounts>,
    last_seen: BTreeMap<Arc<str>, Timestamp>,
    /// All seconds before this one are in the sum.
    until: Timestamp,
}

impl Running {
    /// The sum of what is counted of these arms from the first whole second after `from` on.
    #[must_use]
    pub fn new(arms: Vec<Arm>, from: Timestamp) -> Self {
        Self { arms, totals: BTreeMap::new(), last_seen: BTreeMap::new(), until: from }
    }

    /// Adds the seconds that are over by now. When it fails, the sum is as it was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn advance(&mut self, store: &dyn CounterStore) -> Result<(), StoreError> {
        let now = store.now().await?;
        let to = Timestamp::from_second(now.as_second()).unwrap_or(now).max(self.until);
        let Counted { arms, last_seen } = store.counts(&self.arms, self.until, to).await?;
        for (arm, seconds) in arms {
            let total = self.totals.entry(arm).or_default();
            seconds.iter().for_each(|(_, counts)| total.merge(counts));
        }
        (self.last_seen, self.until) = (last_seen, to);
        Ok(())
    }

    /// What was counted of an arm.
    #[must_use]
    pub fn total(&self, arm: &Arm) -> ArmCounts {
        self.totals.get(arm).cloned().unwrap_or_default()
    }

    /// When each gateway last gave its counts, as of the last advance.
    #[must_use]
    pub fn last_seen(&self) -> &BTreeMap<Arc<str>, Timestamp> {
        &self.last_seen
    }

    /// The time up to which all is in the sum.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::store::MemoryCounters;

    #[tokio::test]
    async fn it_has_each_second_once_and_longer_than_the_store() {
        let time = Arc::new(AtomicI64::new(1_000_000_500));
        let clock = Arc::clone(&time);
        let now = move || Timestamp::from_millisecond(clock.load(Ordering::Relaxed)).unwrap_or_default();
        let store = MemoryCounters::with_clock(now.clone());
        let arm = Arm::Variation { flag: "f".into(), variation: "on".into() };
        let mut running = Running::new(vec![arm.clone()], now());
        let mut expected = 0;
        for step in 0..10_000_u64 {
            store.add("g", vec![(arm.clone(), ArmCounts { requests: step, ..ArmCounts::default() })]).await.unwrap();
            // The second in which it began is not whole.
            if now().as_second() > 1_000_000 {
                expected += step;
            }
            time.fetch_add(300, Ordering::Relaxed);
            if step % 7 == 0 {
                running.advance(&store).await.unwrap();
                running.advance(&store).await.unwrap();
            }
        }
        time.fetch_add(1_000, Ordering::Relaxed);
        running.advance(&store).await.unwrap();
        assert_eq!((running.total(&arm).requests, running.last_seen().len()), (expected, 1));
        let kept = store.all_counts(Timestamp::MIN, Timestamp::MAX).await.unwrap().total(&arm).requests;
        assert!(kept < expected);
        // A time that goes back adds nothing twice.
        time.fetch_sub(5_000, Ordering::Relaxed);
        running.advance(&store).await.unwrap();
        assert_eq!(running.total(&arm).requests, expected);
    }
}
