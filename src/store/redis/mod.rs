//! The store that many gateways share: Redis, alone, watched by sentinels, or as a cluster.
//!
//! The keys of the service that was there before are kept, and what it or anything else writes there is found and
//! adopted. Every step that must not be torn apart is a script. The store talks to one server, the one that takes
//! writes: in a cluster, `key_prefix` puts all keys into one slot.

mod analytics;
mod audit;
mod connection;
mod counters;
mod error;
mod events;
mod gateways;
mod names;
mod population;
mod profiles;
mod reading;
mod reconcile;
mod scripts;
mod subscription;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::{
    config,
    model::{DocumentKey, DocumentKind, WorldRevision},
};

pub use self::events::RedisEvents;
use self::{
    connection::{Link, Live},
    names::Names,
    reconcile::Reconcile,
    scripts::Scripts,
};
use super::{
    AuditEntry, Contents, Entries, Expected, Found, Gateway, Hints, Lease, Place, SeenGateway, Store, StoreError,
    Stored, Write, Written,
};

/// What something else wrote is looked for at most this often, by all gateways together, and never so often that it takes
/// more than a tenth of the time.
const RECONCILE_EVERY: Duration = Duration::from_secs(1);

/// How long a reseed may take: it is one step, for however many documents.
const RESEED_WITHIN: Duration = Duration::from_secs(30);

/// Documents in a Redis that other gateways, and the service that was there before, use too.
pub struct RedisStore {
    link: Arc<Link>,
    names: Arc<Names>,
    scripts: Arc<Scripts>,
    reconcile: Arc<Mutex<Reconcile>>,
    reconcile_every: Duration,
}

impl RedisStore {
    /// A store that connects when it is first asked something.
    #[must_use]
    pub fn new(config: config::Redis) -> Self {
        let names = Names::new(&config.key_prefix);
        Self {
            scripts: Arc::new(Scripts::new(&names)),
            link: Arc::new(Link::new(config, names.index())),
            names: Arc::new(names),
            reconcile: Arc::default(),
            reconcile_every: RECONCILE_EVERY,
        }
    }

    /// Looks for what something else wrote at most this often; zero: whenever the revision is asked for, and the answer
    /// waits for it.
    #[must_use]
    pub fn reconcile_every(self, every: Duration) -> Self {
        Self { reconcile_every: every, ..self }
    }

    async fn read_all(&self, live: &mut Live, kinds: &[DocumentKind]) -> Result<Contents, StoreError> {
        reading::read_all(live, &self.scripts, &self.names, kinds).await
    }

    async fn read_these(&self, live: &mut Live, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        let keys: Vec<String> = documents.iter().map(|document| self.names.key(&names::name(document))).collect();
        let mut found = BTreeMap::new();
        reading::read_keys(live, &self.scripts, &self.names, &keys, &mut found).await?;
        Ok(found.into_values().collect())
    }

    async fn read_revision(&self, live: &mut Live) -> Result<WorldRevision, StoreError> {
        if self.reconcile_every.is_zero() {
            let mut reconcile = self.reconcile.lock().await;
            reconcile.pass(live, &self.scripts, &self.names).await?;
        } else {
            self.reconcile(live.clone());
        }
        reading::revision(live, &self.scripts).await
    }

    /// Looks for what something else wrote, aside: who asks for the revision waits for nothing, and learns of what is
    /// found by its hints.
    fn reconcile(&self, mut live: Live) {
        let Ok(mut reconcile) = self.reconcile.clone().try_lock_owned() else { return };
        let (link, names, scripts) = (self.link.clone(), self.names.clone(), self.scripts.clone());
        let every = self.reconcile_every;
        tokio::spawn(async move {
            let passed = reconcile.pass_in_turn(&mut live, &scripts, &names, every).await;
            if let Err(error) = link.keep(&live, passed).await {
                log::debug!("store: what others wrote was not looked for to the end: {error}");
            }
        });
    }

    async fn lease(&self, live: &mut Live, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        let mut call = self.scripts.lease.key(self.names.lease());
        call.arg(holder).arg(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        let (number, holder): (u64, String) = live.script(&call).await?;
        Ok(Lease { holder: holder.into(), number })
    }

    async fn write_one(&self, live: &mut Live, write: Write) -> Result<Written, StoreError> {
        let name = names::name(&write.document);
        let mut call = self.scripts.write(live, &self.names.key(&name), &write.at.to_string());
        call.arg(&name).arg(match write.expected {
            Expected::Absent => "absent".to_owned(),
            Expected::Present => "present".to_owned(),
            Expected::Any => "any".to_owned(),
            Expected::Revision(revision) => revision.to_string(),
        });
        call.arg(if write.text.is_some() { "put" } else { "remove" });
        call.arg(write.text.as_deref().unwrap_or_default()).arg(&write.actor).arg(without_zone(write.at));
        call.arg(write.fence.as_ref().map(|lease| format!("{}:{}", lease.number, lease.holder)).unwrap_or_default());
        let (outcome, revision, epoch, number): (String, i64, String, u64) = live.script(&call).await?;
        match (&*outcome, u64::try_from(revision)) {
            ("written", Ok(revision)) => Ok(Written { revision, world: WorldRevision { epoch: epoch.into(), number } }),
            ("fenced", _) => {
                let held = (!epoch.is_empty()).then(|| Lease { holder: epoch.into(), number });
                let lease =
                    write.fence.ok_or_else(|| StoreError::Damaged("a write without a lease was fenced".to_owned()))?;
                Err(StoreError::Fenced { lease, held })
            }
            (_, found) => {
                let found = found.map_or(Found::Absent, Found::Revision);
                Err(StoreError::Conflict { document: write.document, found })
            }
        }
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn load(&self) -> Result<Contents, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_all(&mut live, &DocumentKind::ALL).await;
        self.link.keep(&live, read).await
    }

    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_these(&mut live, documents).await;
        self.link.keep(&live, read).await
    }

    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_all(&mut live, &[kind]).await;
        Ok(self.link.keep(&live, read).await?.documents)
    }

    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_revision(&mut live).await;
        self.link.keep(&live, read).await
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let mut live = self.link.live().await?;
        let written = self.write_one(&mut live, write).await;
        self.link.keep(&live, written).await
    }

    async fn subscribe(&self) -> Result<Hints, StoreError> {
        subscription::subscribe(self.link.clone(), &self.names).await
    }

    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        let mut live = self.link.live().await?;
        let read = match wanted.of {
            None => audit::newest(&mut live, &self.names, wanted).await,
            Some(document) => audit::history(&mut live, &self.names, document, wanted).await,
        };
        self.link.keep(&live, read).await
    }

    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        let mut live = self.link.live().await?;
        let taken = self.lease(&mut live, holder, within).await;
        self.link.keep(&live, taken).await
    }

    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        let mut live = self.link.live().await?;
        let given = self.lease(&mut live, holder, Duration::ZERO).await;
        self.link.keep(&live, given).await.map(drop)
    }

    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        let mut live = self.link.live().await?.patient(RESEED_WITHIN);
        let mut call = self.scripts.reseed(&live, expected, &at.to_string());
        call.arg(actor).arg(without_zone(at));
        // One that is named twice is written once.
        let documents: BTreeMap<DocumentKey, Arc<str>> = documents.into_iter().collect();
        for (document, text) in &documents {
            call.arg(names::name(document)).arg(&**text);
        }
        let reseeded: Result<(String, String, u64), StoreError> = live.script(&call).await;
        let (outcome, epoch, number) = self.link.keep(&live, reseeded).await?;
        let found = WorldRevision { epoch: epoch.into(), number };
        match outcome == "reseeded" {
            true => Ok(found),
            false => Err(StoreError::Moved { expected: expected.clone(), found }),
        }
    }

    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        let mut live = self.link.live().await?;
        let beaten = gateways::beat(&mut live, &self.scripts, &self.names, gateway).await;
        self.link.keep(&live, beaten).await
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        let mut live = self.link.live().await?;
        let left = live.command(redis::cmd("HDEL").arg(self.names.gateways()).arg(id)).await;
        self.link.keep(&live, left).await
    }

    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        let mut live = self.link.live().await?;
        let read = gateways::seen(&mut live, &self.scripts, &self.names).await;
        self.link.keep(&live, read).await
    }
}

/// A time as the service that was there before writes it: UTC, without saying so.
fn without_zone(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
