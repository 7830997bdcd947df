//! Counts that live and die with the process: for one gateway that has its store for itself.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Batch, COUNTS_KEPT, Counted, CounterStore};
use crate::{
    clock,
    model::{Arm, ArmCounts},
    store::StoreError,
};

/// Counts are forgotten this much later than promised, so that nothing that is asked for just in time is gone.
const SPARE: Duration = Duration::from_secs(60);

/// Counts in memory.
pub struct MemoryCounters {
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By second since 1970.
    seconds: BTreeMap<i64, BTreeMap<Arm, ArmCounts>>,
    gateways: BTreeMap<Arc<str>, Seen>,
}

/// What is known of a gateway.
#[derive(Debug)]
struct Seen {
    at: Timestamp,
    /// The number of its last batch.
    number: u64,
}

impl MemoryCounters {
    /// No counts. Time begins with the clock on the wall and then goes on evenly, whoever sets that clock.
    #[must_use]
    pub fn new() -> Self {
        let (began, monotonic) = (clock::now(), clock::monotonic());
        Self::with_clock(move || began + clock::monotonic().duration_since(monotonic))
    }

    /// No counts, and a time of its own.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the counts")
    }
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryCounters").finish_non_exhaustive()
    }
}

#[async_trait]
impl CounterStore for MemoryCounters {
    async fn deliver(&self, batch: &Batch) -> Result<(), StoreError> {
        // Within the lock: a second that is over does not change any more.
        let mut state = self.state();
        let now = (self.clock)();
        state.forget(now);
        if state.is_new(batch, now) {
            let second = state.seconds.entry(now.as_second()).or_default();
            for (arm, counts) in &batch.counts {
                second.entry(arm.clone()).or_default().merge(counts);
            }
        }
        Ok(())
    }

    async fn counts(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        Ok(self.state().counted(from, to, |arm| arms.contains(arm)))
    }

    async fn all_counts(&self, from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        Ok(self.state().counted(from, to, |_| true))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok((self.clock)())
    }
}

impl State {
    /// Notes that a gateway was here, and says whether its batch has yet to be added.
    fn is_new(&mut self, batch: &Batch, now: Timestamp) -> bool {
        let seen = self.gateways.entry(Arc::clone(&batch.gateway)).or_insert(Seen { at: now, number: 0 });
        seen.at = now;
        let Some(number) = batch.number else { return true };
        let is_new = number > seen.number;
        seen.number = number.max(seen.number);
        is_new
    }

    /// Forgets what is older than anybody may ask for.
    fn forget(&mut self, now: Timestamp) {
        let oldest = now - (COUNTS_KEPT + SPARE);
        self.seconds = self.seconds.split_off(&oldest.as_second());
        self.gateways.retain(|_, seen| seen.at >= oldest);
    }

    fn counted(&self, from: Timestamp, to: Timestamp, is_wanted: impl Fn(&Arm) -> bool) -> Counted {
        let mut counted = Counted {
            last_seen: self.gateways.iter().map(|(gateway, seen)| (Arc::clone(gateway), seen.at)).collect(),
            ..Counted::default()
        };
        let seconds = seconds(from, to);
        if seconds.is_empty() {
            return counted;
        }
        for (second, arms) in self.seconds.range(seconds) {
            let Ok(second) = Timestamp::from_second(*second) else { continue };
            for (arm, counts) in arms.iter().filter(|(arm, _)| is_wanted(arm)) {
                counted.arms.entry(arm.clone()).or_default().push((second, counts.clone()));
            }
        }
        counted
    }
}

/// The seconds that begin at or after `from` and before `to`.
pub(in crate::store) fn seconds(from: Timestamp, to: Timestamp) -> Range<i64> {
    let first_after = |time: Timestamp| time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    first_after(from)..first_after(to)
}
