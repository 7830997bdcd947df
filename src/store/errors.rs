//! Counts the questions that a store did not answer, whatever its home.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus::{IntCounterVec, Opts, Registry};
use serde_json::{Map, Value};

use super::{
    AuditEntry, Batch, ChangedUsers, Contents, Count, Counted, CounterStore, Cursor, Entries, Gateway, Hints, Lease,
    Moved, MovedUsers, Opened, Page, Patched, Place, ProfilePatch, ProfileStore, Sample, SeenGateway, Store,
    StoreError, Stored, StoredProfile, Unwritten, Write, Written,
};
use crate::model::{Arm, DocumentKey, DocumentKind, Profile, WorldRevision};

/// What is asked of a store: the values of the label `op`.
const OPERATIONS: [&str; 16] = [
    "load",
    "read",
    "list",
    "revision",
    "write",
    "subscribe",
    "audit",
    "lease",
    "reseed",
    "beat",
    "gateways",
    "profile_read",
    "profile_write",
    "profile_scan",
    "counts_write",
    "counts_read",
];

/// Questions that a store did not answer: it cannot be reached, or what it holds cannot be understood. What it refuses with
/// good reason (a conflict, a lease that is over) is an answer.
#[derive(Clone, Debug)]
pub struct StoreErrors(IntCounterVec);

/// A store whose errors are counted.
struct Watched<S: ?Sized> {
    store: Arc<S>,
    errors: StoreErrors,
}

impl StoreErrors {
    /// No errors yet.
    #[must_use]
    pub fn new() -> Self {
        let about = Opts::new("flaggate_store_errors_total", "Questions that the store did not answer.");
        let counter = IntCounterVec::new(about, &["op"]).expect("the names of metrics are valid");
        // A counter that comes with its first error grows from nothing, which no rate sees.
        OPERATIONS.iter().for_each(|operation| drop(counter.with_label_values(&[operation])));
        Self(counter)
    }

    /// Adds the counter to a registry.
    ///
    /// # Errors
    /// It is there already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.0.clone()))
    }

    /// The same stores, with their errors counted.
    #[must_use]
    pub fn watch(&self, opened: Opened) -> Opened {
        let Opened { documents, profiles, counters, analytics, exclusive } = opened;
        Opened {
            documents: Arc::new(Watched { store: documents, errors: self.clone() }),
            profiles: Arc::new(Watched { store: profiles, errors: self.clone() }),
            counters: Arc::new(Watched { store: counters, errors: self.clone() }),
            // What it lacks comes with the next batch, and is counted where it is given up.
            analytics,
            exclusive,
        }
    }
}

impl Default for StoreErrors {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: ?Sized> Watched<S> {
    fn seen<T>(&self, operation: &str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Err(StoreError::Unavailable(_) | StoreError::Damaged(_)) => {
                self.errors.0.with_label_values(&[operation]).inc();
            }
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Moved { .. } | StoreError::Fenced { .. }) => {}
        }
        answer
    }
}

#[async_trait]
impl Store for Watched<dyn Store> {
    async fn load(&self) -> Result<Contents, StoreError> {
        self.seen("load", self.store.load().await)
    }

    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        self.seen("read", self.store.read(documents).await)
    }

    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        self.seen("list", self.store.list(kind).await)
    }

    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        self.seen("revision", self.store.revision().await)
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.seen("write", self.store.write(write).await)
    }

    async fn subscribe(&self) -> Result<Hints, StoreError> {
        self.seen("subscribe", self.store.subscribe().await)
    }

    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        self.seen("audit", self.store.entries(wanted).await)
    }

    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        self.seen("lease", self.store.take_lease(holder, within).await)
    }

    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        self.seen("lease", self.store.give_back_lease(holder).await)
    }

    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        self.seen("reseed", self.store.reseed(expected, documents, actor, at).await)
    }

    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        self.seen("beat", self.store.beat(gateway).await)
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        self.seen("beat", self.store.leave(id).await)
    }

    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        self.seen("gateways", self.store.gateways().await)
    }
}

#[async_trait]
impl ProfileStore for Watched<dyn ProfileStore> {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        self.seen("profile_read", self.store.profile(user_id).await)
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        self.seen("profile_read", self.store.stored_profiles(user_ids).await)
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        self.seen("profile_write", self.store.put_profile(user_id, profile, at).await)
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        self.seen("profile_write", self.store.put_profiles(profiles, at).await)
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        self.seen("profile_write", self.store.patch_profile(user_id, patch, at).await)
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        self.seen("profile_write", self.store.set_memberships(moved).await)
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.seen("profile_write", self.store.put_activity(user_id, activity, ttl).await)
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        self.seen("profile_write", self.store.remove_activity(user_id).await)
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        self.seen("profile_write", self.store.remove_profile(user_id).await)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.seen("profile_scan", self.store.scan(after, limit).await)
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        self.seen("profile_scan", self.store.count_profiles().await)
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        self.seen("profile_scan", self.store.sample(size, seed).await)
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        self.seen("subscribe", self.store.changed_users().await)
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        self.seen("subscribe", self.store.moved_users().await)
    }
}

#[async_trait]
impl CounterStore for Watched<dyn CounterStore> {
    async fn deliver(&self, batch: &Batch) -> Result<(), StoreError> {
        self.seen("counts_write", self.store.deliver(batch).await)
    }

    async fn counts(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        self.seen("counts_read", self.store.counts(arms, from, to).await)
    }

    async fn all_counts(&self, from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        self.seen("counts_read", self.store.all_counts(from, to).await)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.seen("counts_read", self.store.now().await)
    }
}
