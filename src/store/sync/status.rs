//! What the rest of the program sees of the sync.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::{broadcast, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{Applied, Refusal, compiler::Compiler, metrics::SyncMetrics};
use crate::model::{DocumentKey, WorldRevision};

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

impl SyncStatus {
    /// For how long the snapshot may have been behind the store; nothing when it is in step.
    #[must_use]
    pub fn stale_for(&self, now: Timestamp) -> Duration {
        let since = self.stale_since.map(|since| now.duration_since(since).unsigned_abs());
        since.unwrap_or_default()
    }
}

/// Watches a [`Follower`](super::Follower). Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    pub(super) status: watch::Receiver<SyncStatus>,
    pub(super) applied: watch::Receiver<Option<WorldRevision>>,
    pub(super) changes: broadcast::Sender<Arc<Applied>>,
    pub(super) compiler: Arc<Compiler>,
    pub(super) metrics: SyncMetrics,
}

impl SyncHandle {
    /// Adds the metrics of how long changes take to a registry.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)
    }

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

    /// The last good text of every document that is served; `None` before there is a snapshot.
    pub async fn last_good(&self) -> Option<Vec<(DocumentKey, Arc<str>)>> {
        let compiler = Arc::clone(&self.compiler);
        // It waits for a compile that is under way.
        let last_good = spawn_blocking(move || compiler.last_good()).await;
        last_good.unwrap_or_else(|panic| resume_unwind(panic.into_panic())).map(|last| last.documents)
    }

    /// Waits for the first snapshot; `false`: the sync ended before there was one.
    pub async fn ready(&self) -> bool {
        self.applied.clone().wait_for(Option::is_some).await.is_ok()
    }

    /// Waits until `revision`, or a later one of its epoch, is served here; `false`: that did not come to pass in time.
    pub async fn applied(&self, revision: &WorldRevision, within: Duration) -> bool {
        let reached = |applied: &Option<WorldRevision>| applied.as_ref().is_some_and(|applied| applied.has(revision));
        timeout(within, self.applied.clone().wait_for(reached)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Tells each revision that is served, though not every one if the reader is slow.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<WorldRevision>> {
        self.applied.clone()
    }

    /// Tells what each publish changed, from now on. Who is too slow is told that it missed some.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Applied>> {
        self.changes.subscribe()
    }
}
