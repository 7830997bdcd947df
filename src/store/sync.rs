//! Turns what is stored into snapshots: loads everything, then follows the hints.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

use super::{Contents, Hint, Store, StoreError};
use crate::{
    clock,
    model::{Change, WorldRevision},
    snapshot::{Publisher, World},
};

/// How long things wait.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Between two comparisons of the applied revision with the store's, which find changes without a hint; ± 10 %.
    pub compare: Duration,
    /// Before the first try to reach the store again; doubles up to `longest_retry`.
    pub first_retry: Duration,
    /// The longest wait between two tries.
    pub longest_retry: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            compare: Duration::from_secs(10),
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(2),
        }
    }
}

/// What the sync knows.
#[derive(Clone, Debug, Default)]
pub struct SyncStatus {
    /// The revision that is served.
    pub applied: Option<WorldRevision>,
    /// When it was applied.
    pub applied_at: Option<Timestamp>,
    /// Whether the store answered last time.
    pub store_up: bool,
    /// Why it did not.
    pub last_error: Option<String>,
    /// Why what the store holds is not served: it went back, or it is empty though it was not.
    pub alarm: Option<String>,
}

/// Follows one store for as long as it runs.
///
/// Invariant: an empty or older store never replaces a good snapshot.
pub struct Follower {
    store: Arc<dyn Store>,
    world: World,
    publisher: Publisher,
    status: watch::Sender<SyncStatus>,
    intervals: Intervals,
}

/// Watches a [`Follower`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle(watch::Receiver<SyncStatus>);

impl Follower {
    /// Prepares following a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, world: World, publisher: Publisher, intervals: Intervals) -> (Self, SyncHandle) {
        let (status, watching) = watch::channel(SyncStatus::default());
        (Self { store, world, publisher, status, intervals }, SyncHandle(watching))
    }

    /// Follows the store for ever; drop the future to stop.
    pub async fn run(mut self) {
        let mut wait = self.intervals.first_retry;
        loop {
            let before = self.status.borrow().applied.clone();
            if let Err(error) = self.follow().await {
                log::warn!("store: {error}; going on with what was loaded, trying again in {wait:?}");
                self.status.send_modify(|status| {
                    status.store_up = false;
                    status.last_error = Some(error.to_string());
                });
            }
            if self.status.borrow().applied != before {
                wait = self.intervals.first_retry;
            }
            sleep(jittered(wait)).await;
            wait = (wait * 2).min(self.intervals.longest_retry);
        }
    }

    /// Loads everything and follows the hints until the subscription or the store is lost.
    async fn follow(&mut self) -> Result<(), StoreError> {
        // Subscribed first, so that no change falls between the loading and the listening.
        let mut hints = self.store.subscribe().await?;
        self.reload().await?;
        loop {
            let hint = tokio::select! {
                hint = hints.next() => match hint {
                    Some(hint) => Some(hint),
                    None => return Ok(()),
                },
                () = sleep(jittered(self.intervals.compare)) => None,
            };
            match hint {
                Some(hint) => self.take(hint).await?,
                None if Some(self.store.revision().await?) != self.status.borrow().applied => self.reload().await?,
                None => {}
            }
        }
    }

    /// Applies the change that a hint tells of. A hint that was seen is nothing new; after a gap everything is loaded.
    async fn take(&mut self, hint: Hint) -> Result<(), StoreError> {
        let Some(applied) = self.status.borrow().applied.clone() else { return self.reload().await };
        let same_epoch = hint.revision.epoch == applied.epoch;
        if same_epoch && hint.revision.number <= applied.number {
            return Ok(());
        }
        if !same_epoch || hint.revision.number > applied.number + 1 {
            return self.reload().await;
        }
        let text = self.store.get(&hint.document).await?.map(|stored| stored.text);
        let snapshot = self.world.apply(hint.revision.clone(), &[Change { document: hint.document, text }]);
        if self.publisher.publish(snapshot) {
            self.applied(hint.revision);
        }
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        let contents = self.store.load().await?;
        if let Some(alarm) = self.refusal(&contents) {
            let known = self.status.borrow().alarm.as_ref() == Some(&alarm);
            if !known {
                log::error!("store: {alarm}");
            }
            self.status
                .send_modify(|status| (status.store_up, status.last_error, status.alarm) = (true, None, Some(alarm)));
            return Ok(());
        }
        let documents = contents.documents.into_iter().map(|stored| (stored.document, stored.text));
        let snapshot = self.world.load(contents.revision.clone(), documents);
        if self.publisher.publish(snapshot) {
            self.applied(contents.revision);
        }
        Ok(())
    }

    /// Why contents must not replace what is served.
    fn refusal(&self, contents: &Contents) -> Option<String> {
        let served = self.publisher.cell().load();
        let applied = served.revision()?;
        if !contents.revision.may_follow(applied) {
            return Some(format!(
                "it went back from {applied} to {}; going on with what was loaded",
                contents.revision
            ));
        }
        let emptied = contents.revision.epoch != applied.epoch && contents.documents.is_empty() && !served.is_empty();
        emptied.then(|| {
            format!(
                "it is empty and new ({}); going on with the {} flags of {applied}",
                contents.revision,
                served.len()
            )
        })
    }

    fn applied(&self, revision: WorldRevision) {
        let now = clock::now();
        self.status.send_modify(|status| {
            *status = SyncStatus {
                applied: Some(revision),
                applied_at: Some(now),
                store_up: true,
                last_error: None,
                alarm: None,
            };
        });
    }
}

impl SyncHandle {
    /// What is known now.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.0.borrow().clone()
    }

    /// Whether there is a snapshot.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().applied.is_some()
    }

    /// Waits until there is a snapshot; `false` if the sync ended before.
    pub async fn ready(&mut self) -> bool {
        self.0.wait_for(|status| status.applied.is_some()).await.is_ok()
    }

    /// Waits until this revision, or one after it, is served; `false` when `within` is over first.
    pub async fn applied(&self, revision: &WorldRevision, within: Duration) -> bool {
        let mut watching = self.0.clone();
        let reached = |status: &SyncStatus| {
            status
                .applied
                .as_ref()
                .is_some_and(|applied| applied.epoch != revision.epoch || applied.number >= revision.number)
        };
        matches!(tokio::time::timeout(within, watching.wait_for(reached)).await, Ok(Ok(_)))
    }
}

/// The time ± 10 %, so that many gateways do not ask all at once.
fn jittered(time: Duration) -> Duration {
    let share = getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX));
    time.mul_f64(0.9 + 0.2 * share)
}
