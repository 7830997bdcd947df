//! Tells as events what becomes of flags, deployments and kill switches, for all gateways together.
//!
//! Whoever writes tells: an admin API, a conductor, a breaker. A write is done by one gateway and once, as it compares and sets,
//! so its events are told once in a fleet, and none if it is refused. What it changed is read from the audit log, which has what
//! was before in the same transaction. A process that dies between the write and the event tells nothing; what the replaced
//! service or a script writes into Redis by itself, and a reseed, are not told.

mod differences;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::{
    model::{DocumentKey, DocumentKind, WorldRevision},
    store::{
        AuditEntry, Contents, Entries, Expected, Gateway, Hints, Lease, Place, SeenGateway, Store, StoreError, Stored,
        Write, Written,
    },
    telemetry::Events,
};

/// How long what was before is waited for: who writes waits with it.
const WITHIN: Duration = Duration::from_millis(500);

/// How many of the newest changes of a document are looked through for the one that was just made.
const LOOKED_THROUGH: usize = 16;

/// A store whose writes are told as events.
///
/// Invariant: a write that is done is told once, and one that is refused is not.
pub struct Telling {
    store: Arc<dyn Store>,
    events: Events,
}

/// What is remembered of a write until it is done.
#[derive(Clone, Debug)]
struct About {
    document: DocumentKey,
    actor: String,
    at: Timestamp,
    expected: Expected,
    removes: bool,
}

impl About {
    fn of(write: &Write) -> Self {
        let Write { document, actor, at, expected, .. } = write;
        let (document, actor) = (document.clone(), actor.clone());
        Self { document, actor, at: *at, expected: *expected, removes: write.text.is_none() }
    }
}

impl Telling {
    /// Tells the writes through the store that is answered.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, events: Events) -> Self {
        Self { store, events }
    }

    /// Tells what became of a deployment or a kill switch.
    async fn tell_difference(&self, document: &DocumentKey, written: &Written) {
        let looked = timeout(WITHIN, self.store.history(document, LOOKED_THROUGH)).await;
        let entries = match looked {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => return log::warn!("events: what became of {document} is not told: {error}"),
            Err(_) => return log::warn!("events: what became of {document} is not told: no answer within {WITHIN:?}"),
        };
        let made = entries.iter().find(|entry| entry.revision == written.world);
        match made {
            Some(entry) => differences::of(entry).into_iter().for_each(|happening| self.events.happened(happening)),
            None => log::warn!("events: what became of {document} is not told: others changed it too often since"),
        }
    }
}

#[async_trait]
impl Store for Telling {
    async fn load(&self) -> Result<Contents, StoreError> {
        self.store.load().await
    }

    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        self.store.read(documents).await
    }

    async fn get(&self, document: &DocumentKey) -> Result<Option<Stored>, StoreError> {
        self.store.get(document).await
    }

    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        self.store.list(kind).await
    }

    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        self.store.revision().await
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let about = About::of(&write);
        let written = self.store.write(write).await?;
        match about.document.kind {
            DocumentKind::Flag => self.events.happened(differences::flag(&about, &written)),
            DocumentKind::Deployment | DocumentKind::KillSwitch => {
                self.tell_difference(&about.document, &written).await;
            }
            DocumentKind::Segment | DocumentKind::MlModel => {}
        }
        Ok(written)
    }

    async fn subscribe(&self) -> Result<Hints, StoreError> {
        self.store.subscribe().await
    }

    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        self.store.entries(wanted).await
    }

    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        self.store.take_lease(holder, within).await
    }

    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        self.store.give_back_lease(holder).await
    }

    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        self.store.reseed(expected, documents, actor, at).await
    }

    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        self.store.beat(gateway).await
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        self.store.leave(id).await
    }

    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        self.store.gateways().await
    }
}
