//! The revision of the whole world of documents.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Numbers the states of a store. Within one epoch the number only grows; a store that is seeded anew draws a new epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorldRevision {
    /// Names one life of the store.
    pub epoch: Arc<str>,
    /// Grows by one with each write.
    pub number: u64,
}

impl WorldRevision {
    /// Whether `self` may follow `earlier`: another epoch, or the same with a number at least as high.
    #[must_use]
    pub fn may_follow(&self, earlier: &Self) -> bool {
        self.epoch != earlier.epoch || self.number >= earlier.number
    }

    /// Whether who is at `self` has, in one epoch, also got `revision`.
    #[must_use]
    pub fn has(&self, revision: &Self) -> bool {
        self.epoch == revision.epoch && self.number >= revision.number
    }
}

impl fmt::Display for WorldRevision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.epoch, self.number)
    }
}
