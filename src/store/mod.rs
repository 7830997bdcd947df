//! The store: one trait, several homes, and the sync that turns what is stored into snapshots.

mod analytics;
mod backup;
mod commit;
mod counters;
mod embedded;
mod errors;
mod feed;
mod lease;
mod memory;
mod presence;
mod profiles;
mod redis;
mod seed;
mod sync;

use std::{slice, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, StoreKind},
    model::{DocumentKey, DocumentKind, WorldRevision},
};

pub use self::redis::{RedisEvents, RedisStore};
pub use crate::model::Action;
pub use analytics::{
    Acted, AnalyticsStore, Done, EXPERIMENT_KEPT, Experience, Experiment, Exposure, MOST_EXPERIMENTS,
    MOST_PARTICIPANTS, MemoryAnalytics, Participant, Series, Span, Step, read_series, roll_up,
};
pub use counters::{Batch, COUNTS_KEPT, Counted, CounterStore, Evaluations, MemoryCounters, Running, flush_counts};
pub use embedded::EmbeddedStore;
pub use errors::StoreErrors;
pub use lease::Lease;
pub use memory::MemoryStore;
pub use presence::{Gateway, SeenGateway, give_signs_of_life};
pub use profiles::{
    ChangedUsers, Count, Cursor, MAX_PROFILE_BYTES, MemoryProfiles, Moved, MovedUsers, Page, Patched, ProfilePatch,
    ProfileStore, Sample, StoredProfile, Unwritten, profile_bytes, tell_changes,
};
pub use seed::{SeedError, seed_if_empty, seeds};
pub use sync::{Applied, Follower, Refusal, RefusedBecause, SyncHandle, SyncOptions, SyncStatus, Timing};

/// A document as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which document.
    pub document: DocumentKey,
    /// Its JSON text, not yet parsed.
    pub text: Arc<str>,
    /// The document's own revision: one more with each write. A new one has 1; one that comes back goes on from where it
    /// was, as long as the audit log knows. 0: written by something else.
    pub revision: u64,
}

/// Everything that is stored, read at one moment.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The revision of the whole.
    pub revision: WorldRevision,
    /// All documents, sorted by kind and key.
    pub documents: Vec<Stored>,
}

/// What must be true of a document for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// There is no such document.
    Absent,
    /// It is at this revision.
    Revision(u64),
    /// It exists.
    Present,
    /// Nothing is asked.
    Any,
}

/// A write: one document, put or removed.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which document.
    pub document: DocumentKey,
    /// Its new JSON text; `None` removes it.
    pub text: Option<Arc<str>>,
    /// The compare of compare-and-set.
    pub expected: Expected,
    /// Who writes, for the audit log.
    pub actor: String,
    /// When, for the audit log.
    pub at: Timestamp,
    /// The lease under which its writer acts: the write happens only if that is the one in force.
    pub fence: Option<Lease>,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The document's own new revision (that of the removed document for a removal).
    pub revision: u64,
    /// The world's revision after the write.
    pub world: WorldRevision,
}

/// A hint that a document changed; never the truth itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The world's revision after the change.
    #[serde(flatten)]
    pub revision: WorldRevision,
    /// What changed.
    #[serde(flatten)]
    pub document: DocumentKey,
    /// How.
    pub action: Action,
    /// When, by the clock of who wrote it; none: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The world's revision after the change.
    #[serde(flatten)]
    pub revision: WorldRevision,
    /// What changed.
    #[serde(flatten)]
    pub document: DocumentKey,
    /// How.
    pub action: Action,
    /// The document's own revision after the change; of one that was removed, the last that it had.
    #[serde(default)]
    pub document_revision: u64,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// The text before; absent when the document is new.
    pub before: Option<Arc<str>>,
    /// The text after; absent when it was removed.
    pub after: Option<Arc<str>>,
}

/// Where an entry is in the audit log, for as long as that knows it. Each store has its own words for it.
pub type Place = String;

/// Which audit entries are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entries<'e> {
    /// Only those of this document, be it gone or not.
    pub of: Option<&'e DocumentKey>,
    /// Only those that are older than the one at this place.
    pub behind: Option<&'e str>,
    /// At most so many.
    pub limit: usize,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The compare of compare-and-set failed.
    #[error("{document} is {found}")]
    Conflict {
        /// The document.
        document: DocumentKey,
        /// What was found instead of what was expected.
        found: Found,
    },
    /// The store is not at the revision any more that a reseed was meant for; nothing was done.
    #[error("the store is at {found}, not at {expected} any more")]
    Moved {
        /// Where it was expected to be.
        expected: WorldRevision,
        /// Where it is.
        found: WorldRevision,
    },
    /// The lease of the writer is not in force any more; nothing was written.
    #[error("the {lease} ended; {}", held.as_ref().map_or("nobody holds one now".to_owned(), ToString::to_string))]
    Fenced {
        /// The lease that the write carried.
        lease: Lease,
        /// The one in force.
        held: Option<Lease>,
    },
    /// The store cannot be reached or does not answer.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store answers, but what it holds cannot be understood.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// What a failed compare found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No such document.
    Absent,
    /// The document, at this revision.
    Revision(u64),
}

impl std::fmt::Display for Found {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => out.write_str("absent"),
            Self::Revision(revision) => write!(out, "at revision {revision}"),
        }
    }
}

/// The hints of a store, from the moment of subscription on. It ends when the subscription is lost.
pub type Hints = Box<dyn Subscription>;

/// A live subscription.
#[async_trait]
pub trait Subscription: Send {
    /// The next hint; `None` when the subscription is lost or hints were missed: load in full and subscribe again.
    /// Cancel safe: when the future is dropped before it is ready, no hint is lost.
    async fn next(&mut self) -> Option<Hint>;
}

/// Where documents live. Every write is a compare-and-set, appends to the audit log in the same transaction and hints
/// to all subscribers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads everything at one moment.
    async fn load(&self) -> Result<Contents, StoreError>;
    /// Reads these documents, in any order; those that are not there are left out.
    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError>;
    /// Reads one document.
    async fn get(&self, document: &DocumentKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.read(slice::from_ref(document)).await?.pop())
    }
    /// Reads all documents of one kind, sorted by key.
    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError>;
    /// Reads the revision of the whole.
    async fn revision(&self) -> Result<WorldRevision, StoreError>;
    /// Writes one document.
    async fn write(&self, write: Write) -> Result<Written, StoreError>;
    /// Subscribes to hints. Once this returns, no later change goes without a hint or a lost subscription.
    async fn subscribe(&self) -> Result<Hints, StoreError>;
    /// Audit entries, newest first, each with its place. What is behind a place costs no more than what is in front, and
    /// behind a place that the audit log does not know, or no more, there is nothing.
    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError>;
    /// The newest audit entries, newest first.
    async fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(without_places(self.entries(Entries { limit, ..Entries::default() }).await?))
    }
    /// The newest audit entries of one document, newest first; also of one that is gone.
    async fn history(&self, document: &DocumentKey, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(without_places(self.entries(Entries { of: Some(document), limit, ..Entries::default() }).await?))
    }
    /// Takes the lease for this holder, or renews the one that it has, and says who holds it then: perhaps another.
    /// Who comes back after the end of its lease gets a new number.
    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError>;
    /// Ends the lease if this holder has it.
    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError>;
    /// Replaces everything by these documents, at once and under a new epoch, if the store still is at `expected`. Each
    /// document that comes, stays or goes is audited; the number of the revision grows on. Subscribers get one hint.
    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError>;
    /// Gives a sign of life.
    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError>;
    /// Ends the signs of life of the gateway `id`: it stops.
    async fn leave(&self, id: &str) -> Result<(), StoreError>;
    /// The gateways that gave a sign of life within the last hour, sorted by id.
    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError>;
}

/// The store that a configuration names.
#[derive(Clone)]
pub struct Opened {
    /// Where documents live.
    pub documents: Arc<dyn Store>,
    /// Where what is known of users lives.
    pub profiles: Arc<dyn ProfileStore>,
    /// Where what gateways count is added up.
    pub counters: Arc<dyn CounterStore>,
    /// What is kept of traffic for long.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// The store itself, where only one process at a time can hold it.
    pub exclusive: Option<Arc<EmbeddedStore>>,
}

/// Opens the store that the configuration names. Blocks; for the start of the process.
///
/// # Errors
/// The store cannot be opened; the message says what would help.
pub fn open(config: &config::Store) -> Result<Opened, StoreError> {
    // One gateway has its store for itself: it alone counts, and what it counted is of no use to the next run.
    let counters = Arc::new(MemoryCounters::new());
    Ok(match &config.kind {
        StoreKind::Memory => Opened {
            documents: Arc::new(MemoryStore::new()),
            profiles: Arc::new(MemoryProfiles::new()),
            counters,
            analytics: Arc::new(MemoryAnalytics::new()),
            exclusive: None,
        },
        StoreKind::Embedded { path } => {
            let store = Arc::new(EmbeddedStore::open(path)?);
            let (documents, analytics) = (Arc::clone(&store), Arc::clone(&store));
            Opened { documents, profiles: Arc::clone(&store) as _, counters, analytics, exclusive: Some(store) }
        }
        // Not connected to yet: a gateway starts without its Redis.
        StoreKind::Redis(config) => {
            let store = Arc::new(RedisStore::new((**config).clone()));
            let counters = Arc::clone(&store) as Arc<dyn CounterStore>;
            let analytics = Arc::clone(&store) as Arc<dyn AnalyticsStore>;
            Opened {
                documents: Arc::clone(&store) as Arc<dyn Store>,
                profiles: store,
                counters,
                analytics,
                exclusive: None,
            }
        }
    })
}

fn without_places(entries: Vec<(Place, AuditEntry)>) -> Vec<AuditEntry> {
    entries.into_iter().map(|(_, entry)| entry).collect()
}
