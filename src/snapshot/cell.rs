//! The one place where the current snapshot is published.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// Where readers find the current snapshot, without a lock.
///
/// Invariant: only the holder of the [`Publisher`] replaces the snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotCell(Arc<ArcSwap<Snapshot>>);

/// The right to publish into a cell; there is one for each cell.
#[derive(Debug)]
pub struct Publisher(SnapshotCell);

impl SnapshotCell {
    /// A cell that holds the empty snapshot, and the right to publish into it.
    #[must_use]
    pub fn new() -> (Self, Publisher) {
        let cell = Self(Arc::new(ArcSwap::from_pointee(Snapshot::empty())));
        (cell.clone(), Publisher(cell))
    }

    /// The current snapshot. Hold it for as long as one request lasts, so that the request sees one revision.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

impl Publisher {
    /// Replaces the snapshot.
    ///
    /// Invariant: within one epoch the revision never decreases; an older snapshot is not published, and `false` says so.
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> bool {
        let current = self.0.load();
        let allowed = match (current.revision(), snapshot.revision()) {
            (Some(current), Some(next)) => next.may_follow(current),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if allowed {
            self.0.0.store(snapshot);
        }
        allowed
    }

    /// The cell that this publishes into.
    #[must_use]
    pub fn cell(&self) -> &SnapshotCell {
        &self.0
    }
}
