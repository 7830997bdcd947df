//! The metrics of the sync.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use prometheus::{Histogram, HistogramOpts, Registry};

use crate::{model::WorldRevision, store::Hint};

/// From a tenth of a millisecond, which one flag takes, to what a world of a million would.
const APPLY_SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// From a millisecond to a minute.
const PROPAGATION_SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How many writes may wait to be served; of more, the oldest are not measured.
const MOST_WAITING: usize = 4096;

/// How long changes take.
#[derive(Clone, Debug)]
pub(super) struct SyncMetrics {
    /// From what was read to the snapshot that is served.
    apply: Histogram,
    /// From a write, anywhere, to the snapshot that has it.
    propagation: Histogram,
    waiting: Arc<Mutex<Waiting>>,
}

/// The writes that were heard of and are not served yet.
#[derive(Debug, Default)]
struct Waiting {
    served: Option<WorldRevision>,
    epoch: Option<Arc<str>>,
    /// When each was made, by the number of its revision.
    written: BTreeMap<u64, Timestamp>,
}

impl SyncMetrics {
    pub(super) fn new() -> Self {
        let histogram = |name, help, seconds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(seconds.to_vec());
            Histogram::with_opts(options).expect("the names of metrics are valid")
        };
        Self {
            apply: histogram(
                "flaggate_snapshot_apply_seconds",
                "Time to compile what changed and to publish it.",
                &APPLY_SECONDS,
            ),
            propagation: histogram(
                "flaggate_propagation_seconds",
                "Time from a write, by its writer's clock, to its being served here. Changes that were found without a hint are not in it.",
                &PROPAGATION_SECONDS,
            ),
            waiting: Arc::default(),
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.apply.clone()))?;
        registry.register(Box::new(self.propagation.clone()))
    }

    /// A compile took so long.
    pub(super) fn applied(&self, took: Duration) {
        self.apply.observe(took.as_secs_f64());
    }

    /// There is a write that is yet to be served.
    pub(super) fn heard(&self, hint: &Hint) {
        let Some(at) = hint.at else { return };
        let mut waiting = self.waiting();
        if waiting.served.as_ref().is_some_and(|served| served.has(&hint.revision)) {
            return;
        }
        if waiting.epoch.as_ref() != Some(&hint.revision.epoch) {
            waiting.epoch = Some(Arc::clone(&hint.revision.epoch));
            waiting.written.clear();
        }
        waiting.written.insert(hint.revision.number, at);
        if waiting.written.len() > MOST_WAITING {
            waiting.written.pop_first();
        }
    }

    /// This revision is served now, and every write before it.
    pub(super) fn served(&self, revision: &WorldRevision, now: Timestamp) {
        let mut waiting = self.waiting();
        waiting.served = Some(revision.clone());
        if waiting.epoch.as_ref() != Some(&revision.epoch) {
            return;
        }
        let later = waiting.written.split_off(&(revision.number + 1));
        for at in std::mem::replace(&mut waiting.written, later).into_values() {
            // Another clock may be ahead of this one.
            self.propagation.observe(now.duration_since(at).as_secs_f64().max(0.0));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds what waits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, DocumentKey};

    fn revision(number: u64) -> WorldRevision {
        WorldRevision { epoch: "e".into(), number }
    }

    #[test]
    fn each_write_is_measured_once() {
        let metrics = SyncMetrics::new();
        let hear = |number, at: Option<&str>| {
            let at = at.map(|at| at.parse().unwrap());
            metrics.heard(&Hint {
                revision: revision(number),
                document: DocumentKey::flag("a"),
                action: Action::Updated,
                at,
            });
        };
        hear(1, Some("2026-01-01T00:00:00Z"));
        hear(1, Some("2026-01-01T00:00:00Z"));
        hear(2, Some("2026-01-01T00:00:01Z"));
        hear(3, None);
        hear(4, Some("2026-01-01T01:00:00Z"));
        let now = "2026-01-01T00:00:02Z".parse().unwrap();
        for (served, count, sum) in [(0, 0, 0.0), (3, 2, 3.0), (3, 2, 3.0), (4, 3, 3.0)] {
            metrics.served(&revision(served), now);
            let seen = (metrics.propagation.get_sample_count(), metrics.propagation.get_sample_sum());
            assert_eq!(seen, (count, sum), "{served}");
        }
        // Late hints at what is served already say nothing.
        hear(2, Some("2026-01-01T00:00:01Z"));
        metrics.served(&revision(5), now);
        assert_eq!(metrics.propagation.get_sample_count(), 3);
    }
}
