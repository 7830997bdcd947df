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
use tokio::{sync::mpsc, time::timeout};

use crate::{
    model::{DocumentKey, DocumentKind, WorldRevision},
    store::{
        AuditEntry, Contents, Entries, Expected, Gateway, Hints, Lease, Place, SeenGateway, Store, StoreError, Stored,
        Write, Written,
    },
    telemetry::Events,
};

/// How long what was before is waited for.
const WITHIN: Duration = Duration::from_secs(2);

/// So many writes may wait to be looked at; of more nothing is told.
const WAITING: usize = 1_024;

/// How many of the newest changes of a document are looked through for the one that was just made.
const LOOKED_THROUGH: usize = 16;

/// A store whose writes are told as events.
///
/// Invariant: a write that is done is told once, and one that is refused is not.
pub struct Telling {
    store: Arc<dyn Store>,
    events: Events,
    /// What is looked at aside: nobody's write waits for it.
    looking: mpsc::Sender<(DocumentKey, Written)>,
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
    /// Tells the writes through the store that is answered. Needs a tokio runtime.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, events: Events) -> Self {
        let (looking, mut waiting) = mpsc::channel::<(DocumentKey, Written)>(WAITING);
        let (looked_at, told) = (Arc::clone(&store), events.clone());
        tokio::spawn(async move {
            while let Some((document, written)) = waiting.recv().await {
                tell_difference(&*looked_at, &told, &document, &written).await;
            }
        });
        Self { store, events, looking }
    }
}

/// Tells what became of a deployment or a kill switch.
async fn tell_difference(store: &dyn Store, events: &Events, document: &DocumentKey, written: &Written) {
    let entries = match timeout(WITHIN, store.history(document, LOOKED_THROUGH)).await {
        Ok(Ok(entries)) => entries,
        Ok(Err(error)) => return log::warn!("events: what became of {document} is not told: {error}"),
        Err(_) => return log::warn!("events: what became of {document} is not told: no answer within {WITHIN:?}"),
    };
    match entries.iter().find(|entry| entry.revision == written.world) {
        Some(entry) => differences::of(entry).into_iter().for_each(|happening| events.happened(happening)),
        None => log::warn!("events: what became of {document} is not told: others changed it too often since"),
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
                if self.looking.try_send((about.document, written.clone())).is_err() {
                    log::warn!("events: what became of a deployment or a kill switch is not told: too many wait");
                }
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

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clock, config,
        store::MemoryStore,
        telemetry::{
            EventMetrics, Privacy,
            events::{FileSink, Origin},
        },
    };

    fn write(document: DocumentKey, expected: Expected, text: Value) -> Write {
        let text = Some(text.to_string().into());
        Write { document, text, expected, actor: "ann".to_owned(), at: clock::now(), fence: None }
    }

    #[tokio::test]
    async fn each_write_is_told_once_and_one_that_is_refused_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = FileSink::new(&config::EventFile { path: path.clone(), max_size: 1 << 20, keep: 0 });
        let metrics = EventMetrics::register(&Registry::new()).unwrap();
        let origin = Origin { service: "test".into(), environment: None, region: None };
        let config = config::Events::default();
        let (events, running) =
            Events::start(&config, origin, Privacy::default(), vec![Arc::new(sink)], &metrics).unwrap();
        // Two gateways over one store.
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let [one, other] = [(); 2].map(|()| Telling::new(Arc::clone(&store), events.clone()));
        let flag = || json!({ "key": "a", "name": "A" });
        one.write(write(DocumentKey::flag("a"), Expected::Absent, flag())).await.unwrap();
        assert!(other.write(write(DocumentKey::flag("a"), Expected::Absent, flag())).await.is_err());
        other.write(write(DocumentKey::flag("a"), Expected::Revision(1), flag())).await.unwrap();
        let switch = |name: &str, activations: u64| json!({ "id": "k", "name": name, "status": { "state": "triggered", "activations": activations } });
        for (gateway, switch) in [(&one, switch("a", 1)), (&other, switch("b", 1)), (&one, switch("b", 2))] {
            gateway.write(write(DocumentKey::kill_switch("k"), Expected::Any, switch)).await.unwrap();
        }
        let deployment = |state: &str, stage: &str| json!({ "id": "d", "status": { "state": state, "epoch": 1, "stages": [{ "name": "s", "state": stage }] } });
        for (gateway, state, stage) in [
            (&one, "in_progress", "pending"),
            (&other, "in_progress", "in_progress"),
            (&other, "completed", "completed"),
            (&one, "completed", "completed"),
        ] {
            let written = write(DocumentKey::deployment("d"), Expected::Any, deployment(state, stage));
            gateway.write(written).await.unwrap();
        }
        // What is looked at aside comes to the sink a second after it.
        let by = clock::monotonic() + Duration::from_secs(20);
        while std::fs::read_to_string(&path).unwrap_or_default().lines().count() < 6 {
            assert!(clock::monotonic() < by, "too few are told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.end(Duration::from_secs(10)).await;
        let text = std::fs::read_to_string(path).unwrap();
        let mut told: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|event| format!("{} {}", event["event_type"].as_str().unwrap(), event["data"]["revision"]))
            .collect();
        let expected = [
            "flag_updated 1",
            "flag_updated 2",
            "kill_switch_triggered 3",
            "kill_switch_triggered 5",
            "deployment_started 6",
            "deployment_stage_completed 8",
        ];
        // Two gateways look at their writes side by side.
        told.sort_by_key(|told| told.split(' ').next_back().map(str::to_owned));
        assert_eq!(told, expected);
    }
}
