//! What the rest of the program sees of the sync.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::watch, time::timeout};

use super::Refusal;
use crate::model::WorldRevision;

/// How the snapshot stands to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncStatus {
    /// The revision that is served; `None` before the first snapshot.
    pub applied: Option<WorldRevision>,
    /// When it was published.
    pub applied_at: Option<Timestamp>,
    /// Whether the store answers and the subscription to its hints lives.
    pub store_up: bool,
    /// The latest failure of the store; kept after it recovered.
    pub last_error: Option<String>,
    /// Since when the snapshot may be behind the store, or what the store holds is not served; `None`: it is in step.
    pub stale_since: Option<Timestamp>,
    /// Whether what is served is the backup.
    pub from_backup: bool,
    /// Why what the store holds is not served.
    pub alarm: Option<Refusal>,
}

/// Watches a [`Follower`](super::Follower). Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    pub(super) status: watch::Receiver<SyncStatus>,
    pub(super) applied: watch::Receiver<Option<WorldRevision>>,
}

impl SyncHandle {
    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    /// Whether there is a snapshot to serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.applied.borrow().is_some()
    }

    /// Waits for the first snapshot; `false`: the sync ended before there was one.
    pub async fn ready(&self) -> bool {
        self.applied.clone().wait_for(Option::is_some).await.is_ok()
    }

    /// Waits until `revision`, or a later one of its epoch, is served here; `false`: that did not come to pass in time.
    pub async fn applied(&self, revision: &WorldRevision, within: Duration) -> bool {
        let reached = |applied: &Option<WorldRevision>| {
            applied.as_ref().is_some_and(|applied| applied.epoch == revision.epoch && applied.number >= revision.number)
        };
        timeout(within, self.applied.clone().wait_for(reached)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Tells each revision that is served, though not every one if the reader is slow.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<WorldRevision>> {
        self.applied.clone()
    }
}
