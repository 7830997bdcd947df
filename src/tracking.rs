//! Keeps who is in which segment: works it out anew for users whose profile or activity was written.
//!
//! Flags never wait for this: they decide segments themselves. What is kept is for people and for events.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus::{IntCounterVec, Opts, Registry};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::{
    clock,
    model::Profile,
    snapshot::{Snapshot, SnapshotCell},
    store::{
        ChangedUsers, Count, Cursor, Moved, MovedUsers, Page, Patched, ProfilePatch, ProfileStore, Sample, StoreError,
        StoredProfile, Unwritten,
    },
};

/// How many users may wait; who writes more waits with them.
const WAITING: usize = 4096;

/// How many users are worked out together.
const TOGETHER: usize = 250;

/// A profile store whose writes are followed.
///
/// Invariant: every user who is written through it is worked out afterwards, once the segments are known.
pub struct Tracked {
    store: Arc<dyn ProfileStore>,
    written: mpsc::Sender<String>,
    moves: Moves,
}

/// Who moved, counted.
#[derive(Clone, Debug)]
pub struct Moves(IntCounterVec);

impl Moves {
    /// The counter, registered.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let about = Opts::new("flaggate_segment_moves_total", "Users who entered or left a segment, as seen here.");
        let counter = IntCounterVec::new(about, &["segment", "change"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self(counter))
    }

    /// Counts users who moved.
    pub fn count(&self, moved: &[Moved]) {
        for Moved { entered, left, .. } in moved {
            for (segments, change) in [(entered, "entered"), (left, "left")] {
                for segment in segments {
                    self.0.with_label_values(&[segment.as_str(), change]).inc();
                }
            }
        }
    }
}

impl Tracked {
    /// Follows the writes through the store that is answered.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn start(store: Arc<dyn ProfileStore>, cell: SnapshotCell, moves: Moves) -> Self {
        let (written, mut waiting) = mpsc::channel(WAITING);
        let (working, counting) = (Arc::clone(&store), moves.clone());
        tokio::spawn(async move {
            let mut users = Vec::with_capacity(TOGETHER);
            while waiting.recv_many(&mut users, TOGETHER).await > 0 {
                users.sort_unstable();
                users.dedup();
                if let Err(error) = work_out(&*working, &cell.load(), &users, &counting).await {
                    log::warn!(
                        "segments: the memberships of {} users were not brought up to date: {error}",
                        users.len()
                    );
                }
                users.clear();
            }
        });
        Self { store, written, moves }
    }

    async fn follow(&self, user_id: &str) {
        // An error says that the runtime ends.
        self.written.send(user_id.to_owned()).await.ok();
    }
}

/// Works out who is in which segments, and keeps what changed.
async fn work_out(
    store: &dyn ProfileStore,
    snapshot: &Snapshot,
    users: &[String],
    moves: &Moves,
) -> Result<(), StoreError> {
    if snapshot.segments().next().is_none() {
        return Ok(());
    }
    let found = store.stored_profiles(users).await?;
    let now = clock::now();
    let moved: Vec<Moved> = users
        .iter()
        .zip(found)
        .filter_map(|(user_id, stored)| {
            // Of whom only the activity is known, there is nowhere to keep anything.
            let is_profile =
                |stored: &StoredProfile| stored.last_updated.is_some() || !stored.profile.attributes.is_empty();
            let stored = stored.filter(is_profile)?;
            let segments = snapshot.stored_memberships(user_id, &stored.profile, now);
            moved(user_id, &stored.segment_memberships, segments.into_iter().map(str::to_owned).collect())
        })
        .collect();
    keep(store, &moved, moves).await
}

/// Keeps who moved, and counts it.
///
/// # Errors
/// The store does not take it.
pub async fn keep(store: &dyn ProfileStore, moved: &[Moved], moves: &Moves) -> Result<(), StoreError> {
    if !moved.is_empty() {
        store.set_memberships(moved).await?;
        moves.count(moved);
    }
    Ok(())
}

/// What changed from `before` to `segments`, which are sorted; `None`: nothing.
#[must_use]
pub fn moved(user_id: &str, before: &[String], segments: Vec<String>) -> Option<Moved> {
    let missing = |of: &[String], from: &[String]| of.iter().filter(|id| !from.contains(id)).cloned().collect();
    let (entered, left): (Vec<String>, Vec<String>) = (missing(&segments, before), missing(before, &segments));
    (!entered.is_empty() || !left.is_empty()).then(|| Moved { user_id: user_id.to_owned(), segments, entered, left })
}

#[async_trait]
impl ProfileStore for Tracked {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        self.store.profile(user_id).await
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        self.store.stored_profiles(user_ids).await
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        let is_new = self.store.put_profile(user_id, profile, at).await?;
        self.follow(user_id).await;
        Ok(is_new)
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        let unwritten = self.store.put_profiles(profiles, at).await?;
        for (user_id, _) in profiles {
            self.follow(user_id).await;
        }
        Ok(unwritten)
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        let patched = self.store.patch_profile(user_id, patch, at).await?;
        self.follow(user_id).await;
        Ok(patched)
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        self.store.set_memberships(moved).await
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.store.put_activity(user_id, activity, ttl).await?;
        self.follow(user_id).await;
        Ok(())
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        let was_known = self.store.remove_activity(user_id).await?;
        self.follow(user_id).await;
        Ok(was_known)
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        let stored = self.store.stored_profile(user_id).await?;
        let was_known = self.store.remove_profile(user_id).await?;
        let left = stored.and_then(|stored| moved(user_id, &stored.segment_memberships, Vec::new()));
        keep(&*self.store, left.as_slice(), &self.moves).await?;
        Ok(was_known)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.store.scan(after, limit).await
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        self.store.count_profiles().await
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        self.store.sample(size, seed).await
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        self.store.changed_users().await
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        self.store.moved_users().await
    }
}
