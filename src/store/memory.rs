//! The store that lives and dies with the process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    clock,
    model::{DocumentKey, DocumentKind, WorldRevision},
};

use super::{
    AuditEntry, Contents, Entries, Gateway, Hint, Hints, Lease, Place, SeenGateway, Store, StoreError, Stored, Write,
    Written,
    commit::{
        AUDIT_BYTES, AUDIT_ENTRIES, audit_entry, audit_size, compare, hint, number_at, place_of, reseed_hint, reseeding,
    },
    feed::Feed,
    lease::Leases,
    presence::Presence,
};

/// Documents in memory; each store draws its own epoch.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    feed: Feed,
    presence: Presence,
}

#[derive(Debug)]
struct State {
    world: WorldRevision,
    documents: BTreeMap<DocumentKey, Document>,
    audit: VecDeque<AuditEntry>,
    audit_bytes: u64,
    /// Where each document's entries are in the audit log: the number of the world's revision, oldest first.
    history: BTreeMap<DocumentKey, VecDeque<u64>>,
    leases: Leases,
}

#[derive(Clone, Debug)]
struct Document {
    text: Arc<str>,
    revision: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let world = WorldRevision { epoch: Uuid::new_v4().to_string().into(), number: 0 };
        let state = State {
            world,
            documents: BTreeMap::new(),
            audit: VecDeque::new(),
            audit_bytes: 0,
            history: BTreeMap::new(),
            leases: Leases::default(),
        };
        Self { state: Mutex::new(state), feed: Feed::new(), presence: Presence::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<Contents, StoreError> {
        let state = self.state();
        Ok(Contents { revision: state.world.clone(), documents: state.documents.iter().map(stored).collect() })
    }

    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        let state = self.state();
        Ok(documents.iter().filter_map(|document| state.documents.get_key_value(document).map(stored)).collect())
    }

    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        Ok(self.state().documents.iter().filter(|(document, _)| document.kind == kind).map(stored).collect())
    }

    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        Ok(self.state().world.clone())
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let mut state = self.state();
        state.leases.check(&write)?;
        let (written, hint) = state.write(write)?;
        // Sent before the lock is let go, so that hints come in the order of the writes.
        self.feed.send(hint);
        Ok(written)
    }

    async fn subscribe(&self) -> Result<Hints, StoreError> {
        Ok(self.feed.subscribe())
    }

    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        let state = self.state();
        let end = match wanted.behind {
            None => u64::MAX,
            Some(place) => match number_at(place).and_then(|number| state.entry(number)) {
                Some(entry) if place_of(entry) == place => entry.revision.number,
                Some(_) | None => return Ok(Vec::new()),
            },
        };
        let placed = |entry: &AuditEntry| (place_of(entry), entry.clone());
        Ok(match wanted.of {
            None => {
                let end = state.audit.partition_point(|entry| entry.revision.number < end);
                state.audit.range(..end).rev().take(wanted.limit).map(placed).collect()
            }
            Some(document) => {
                let Some(numbers) = state.history.get(document) else { return Ok(Vec::new()) };
                let end = numbers.partition_point(|number| *number < end);
                let numbers = numbers.range(..end).rev().take(wanted.limit);
                numbers.filter_map(|number| state.entry(*number)).map(placed).collect()
            }
        })
    }

    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        Ok(self.state().leases.take(holder, within, clock::monotonic()))
    }

    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        self.state().leases.give_back(holder);
        Ok(())
    }

    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        let mut state = self.state();
        if state.world != *expected {
            return Err(StoreError::Moved { expected: expected.clone(), found: state.world.clone() });
        }
        state.world = WorldRevision { epoch: Uuid::new_v4().to_string().into(), number: expected.number };
        let there: Vec<DocumentKey> = state.documents.keys().cloned().collect();
        for write in reseeding(there, documents, actor, at) {
            state.write(write)?;
        }
        state.world.number += 1;
        self.feed.send(reseed_hint(state.world.clone()));
        Ok(state.world.clone())
    }

    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        self.presence.beat(gateway);
        Ok(())
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        self.presence.leave(id);
        Ok(())
    }

    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        Ok(self.presence.seen())
    }
}

impl State {
    fn write(&mut self, write: Write) -> Result<(Written, Hint), StoreError> {
        let current = self.documents.get(&write.document);
        let passed = compare(&write, current.map(|document| document.revision), self.last_revision(&write.document))?;
        let before = current.map(|document| document.text.clone());
        self.world.number += 1;
        match &write.text {
            Some(text) => {
                let document = Document { text: text.clone(), revision: passed.revision };
                self.documents.insert(write.document.clone(), document);
            }
            None => {
                self.documents.remove(&write.document);
            }
        }
        let entry = audit_entry(write, passed, self.world.clone(), before);
        let hint = hint(&entry);
        self.remember(entry);
        Ok((Written { revision: passed.revision, world: self.world.clone() }, hint))
    }

    /// The last revision of a document that the audit log knows.
    fn last_revision(&self, document: &DocumentKey) -> u64 {
        let newest = self.history.get(document).and_then(|numbers| self.entry(*numbers.back()?));
        newest.map_or(0, |entry| entry.document_revision)
    }

    /// The audit entry of this number.
    fn entry(&self, number: u64) -> Option<&AuditEntry> {
        let at = self.audit.binary_search_by_key(&number, |entry| entry.revision.number).ok()?;
        self.audit.get(at)
    }

    fn remember(&mut self, entry: AuditEntry) {
        self.audit_bytes += audit_size(&entry);
        self.history.entry(entry.document.clone()).or_default().push_back(entry.revision.number);
        self.audit.push_back(entry);
        while self.audit.len() > 1 && (self.audit.len() as u64 > AUDIT_ENTRIES || self.audit_bytes > AUDIT_BYTES) {
            let oldest = self.audit.pop_front().expect("there are at least two");
            self.audit_bytes -= audit_size(&oldest);
            let numbers = self.history.get_mut(&oldest.document).expect("each entry is in its document's history");
            numbers.pop_front();
            if numbers.is_empty() {
                self.history.remove(&oldest.document);
            }
        }
    }
}

fn stored((document, Document { text, revision }): (&DocumentKey, &Document)) -> Stored {
    Stored { document: document.clone(), text: text.clone(), revision: *revision }
}
