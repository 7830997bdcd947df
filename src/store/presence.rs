//! Which gateways use a store.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};

use super::Store;
use crate::{clock, model::WorldRevision};

/// A gateway that gave a sign of life this long ago or less is live.
const LIVE_WITHIN: Duration = Duration::from_secs(15);

/// A gateway that gave none for so long is forgotten.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// How often a gateway gives a sign of life when nothing changes.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A sign of life comes at once, but so soon after the one before it waits until this long after that: many changes in
/// a row share one.
const APART: Duration = Duration::from_millis(10);

/// The pause after a sign of life that did not reach the store.
const PAUSE: Duration = Duration::from_secs(1);

/// What a gateway says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Names this run of it.
    pub id: Arc<str>,
    /// What people call it.
    pub name: String,
    /// The revision that it serves; `None`: none yet.
    pub applied: Option<WorldRevision>,
    /// When it said so, by its own clock.
    pub at: Timestamp,
    /// Where its admin API listens.
    pub admin: Option<String>,
    /// The version of the program.
    pub version: String,
}

/// A gateway, and how long ago it gave a sign of life, by the clock of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenGateway {
    /// What it said of itself.
    pub gateway: Gateway,
    /// How long ago.
    pub age: Duration,
}

impl SeenGateway {
    /// Whether it counts as running.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.age <= LIVE_WITHIN
    }
}

/// Tells the store which revision this gateway serves, at each change and now and then, until `stop` is ready; then says
/// goodbye, so that nobody waits for it.
pub async fn give_signs_of_life(
    store: Arc<dyn Store>,
    mut gateway: Gateway,
    mut applied: watch::Receiver<Option<WorldRevision>>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let beating = async {
        loop {
            (gateway.applied, gateway.at) = (applied.borrow_and_update().clone(), clock::now());
            let pause = match store.beat(&gateway).await {
                Ok(()) => BEAT_EVERY,
                Err(error) => {
                    log::debug!("store: a sign of life was lost: {error}");
                    PAUSE
                }
            };
            // An error says that the sync ended, and with it this will soon.
            let beaten = clock::monotonic();
            timeout(pause, applied.changed()).await.ok();
            sleep_until((beaten + APART).into()).await;
        }
    };
    tokio::select! {
        () = beating => {}
        () = &mut stop => {}
    }
    if let Err(error) = store.leave(&gateway.id).await {
        log::debug!("store: the goodbye was lost: {error}");
    }
}

/// The gateways of a store that lives in this process.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<BTreeMap<Arc<str>, (Gateway, Instant)>>);

impl Presence {
    pub(super) fn beat(&self, gateway: &Gateway) {
        let now = clock::monotonic();
        let mut seen = self.0.lock().expect("nothing panics while it holds the gateways");
        seen.retain(|_, (_, at)| now - *at <= FORGOTTEN_AFTER);
        seen.insert(gateway.id.clone(), (gateway.clone(), now));
    }

    pub(super) fn leave(&self, id: &str) {
        self.0.lock().expect("nothing panics while it holds the gateways").remove(id);
    }

    /// Sorted by id.
    pub(super) fn seen(&self) -> Vec<SeenGateway> {
        let now = clock::monotonic();
        let seen = self.0.lock().expect("nothing panics while it holds the gateways");
        let ages = seen.values().map(|(gateway, at)| SeenGateway { gateway: gateway.clone(), age: now - *at });
        ages.filter(|seen| seen.age <= FORGOTTEN_AFTER).collect()
    }
}
