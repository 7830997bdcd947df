//! Which flags are still evaluated.

use std::sync::Arc;

use ahash::AHashMap;
use jiff::Timestamp;

use super::Snapshot;
use crate::model::Reason;

/// When each flag's counts were last seen to grow. Evaluation itself reads no clock, so this is as exact as it is told to
/// look often; and it knows only what this process evaluated since it started.
#[derive(Debug, Default)]
pub struct Usage {
    began: Option<Timestamp>,
    flags: AHashMap<Arc<str>, Seen>,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    grew: Timestamp,
}

impl Usage {
    /// Looks at the counts.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.began.get_or_insert(now);
        self.flags.retain(|key, _| snapshot.flag(key).is_some());
        for flag in snapshot.flags() {
            let of_variation = |tally: &crate::eval::VariationTally| Reason::ALL.map(|reason| tally.get(reason));
            let count = flag.compiled.tallies().flat_map(|(_, tally)| of_variation(tally)).sum();
            match self.flags.get_mut(flag.compiled.key()) {
                Some(seen) if seen.count == count => {}
                Some(seen) => *seen = Seen { count, grew: now },
                None => drop(self.flags.insert(Arc::clone(&flag.compiled.key), Seen { count, grew: now })),
            }
        }
    }

    /// Since when this has been looking; `None`: it has not yet.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        self.began
    }

    /// Since when a flag was not evaluated; one that never was: since this knows it.
    #[must_use]
    pub fn idle_since(&self, key: &str) -> Option<Timestamp> {
        self.flags.get(key).map(|seen| seen.grew)
    }
}
