//! The conductor: runs deployments. Every gateway has one, and the one with the lease acts.
//!
//! A step is: observe, ask the machine, store the status, set the flags. The status is stored first, by compare and set,
//! and the flags are set after it, each by compare and set; all of these writes carry the lease. So, whenever the process
//! dies or is stopped:
//!
//! - before the status is stored, nothing happened: the next conductor observes anew and comes to a step of its own;
//! - after the status is stored and before the flags are set, the next conductor reads the status, derives the same flags
//!   from it and sets them: the step is not left out. It does not go on before it has seen them stored;
//! - after the flags are set, the next conductor finds them as they have to be and writes nothing: no step is done twice;
//! - one who was stopped and wakes up late carries a lease that is not in force any more. The store refuses its writes,
//!   and would also without the lease, as the revisions have moved on.
//!
//! A rollback needs no lease: whoever takes an `abort` begins with it at once. All conductors come to the same flags
//! then, and compare-and-set keeps a late one from writing over what came after.

mod conduct;
mod fail;
mod metrics;
mod news;
mod observe;
mod prometheus;
mod smoke;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ::prometheus::IntCounter;
use futures_util::future::BoxFuture;
use serde::Deserialize as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    clock, config,
    delivery::{
        deployment::{Answered, Deployment, Query, Route, Sides},
        plan::State,
    },
    model::DeploymentDocument,
    outbound::notify::Notifier,
    snapshot::{Snapshot, SnapshotCell},
    store::{CounterStore, Lease, Store, SyncHandle},
};

use fail::Point;
pub use metrics::{DeploymentMetrics, Rollbacks, refused_writes};
use observe::Memory;
pub use prometheus::ask_prometheus;
use smoke::Target;

/// How long a lease holds that is not renewed.
pub const LEASE: Duration = Duration::from_secs(5);

/// How often it is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(1);

/// A gateway that cannot run all deployments tries so seldom, and lets its lease run out in between: another may.
const GIVING_WAY: Duration = Duration::from_secs(7);

/// How often deployments that run are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How often it is looked whether there are any, if no change tells it.
const IDLE: Duration = Duration::from_secs(5);

/// Asks a Prometheus.
pub type AskPrometheus = Arc<dyn Fn(Query) -> BoxFuture<'static, Answered> + Send + Sync>;

/// What a conductor works with.
pub struct Parts {
    /// Where deployments and flags are.
    pub store: Arc<dyn Store>,
    /// Where requests are counted, and what time it is.
    pub counters: Arc<dyn CounterStore>,
    /// What is served here: tells which deployments run.
    pub cell: SnapshotCell,
    /// Tells when that changes.
    pub sync: SyncHandle,
    /// Names this run of the gateway, as holder of the lease.
    pub holder: Arc<str>,
    /// What the routes and upstreams of the configuration are.
    pub world: World,
    /// Asks a Prometheus, if that is allowed.
    pub prometheus: Option<AskPrometheus>,
    /// Counts rollbacks.
    pub rollbacks: Rollbacks,
    /// Counts writes that the store refused, as somebody else had the lease.
    pub refused: IntCounter,
    /// Tells people, if there is anything to tell them by.
    pub notifier: Option<Notifier>,
}

/// The routes and upstreams of the configuration of the moment.
#[derive(Clone, Debug)]
pub struct World(config::Current);

impl World {
    /// Those of this configuration.
    #[must_use]
    pub fn new(config: config::Current) -> Self {
        Self(config)
    }

    /// What they are now.
    #[must_use]
    pub fn now(&self) -> Routes {
        Routes::of(&self.0.get())
    }
}

/// The routes and upstreams of a configuration, as far as deployments have to do with them.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The routes.
    pub routes: Arc<[Route]>,
    targets: Arc<BTreeMap<Arc<str>, Target>>,
}

/// Wakes the conductor of this gateway.
#[derive(Clone, Debug)]
pub struct Nudge(mpsc::UnboundedSender<String>);

/// The conductor of this gateway.
pub struct Conductor {
    parts: Parts,
    client: reqwest::Client,
    memory: Mutex<BTreeMap<String, Memory>>,
    /// Deployments begin one at a time, so that of two that touch the same one sees the other.
    beginning: tokio::sync::Mutex<()>,
    nudged: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
}

impl Nudge {
    /// A rollback begins here at once, whoever has the lease.
    pub fn roll_back(&self, id: &str) {
        // An error says that the conductor has stopped: then another will do it.
        self.0.send(id.to_owned()).ok();
    }
}

impl Routes {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &config::Config) -> Self {
        let upstream = |index: usize| -> Arc<str> { config.upstreams[index].name.as_str().into() };
        let route = |route: &config::Route| Route {
            name: route.name.as_str().into(),
            upstream: upstream(route.upstream),
            canary: route.canary.as_ref().map(|canary| (canary.flag.clone(), upstream(canary.upstream))),
            blue_green: route.blue_green.as_ref().map(|sides| Sides {
                flag: sides.flag.clone(),
                blue: upstream(sides.blue),
                green: upstream(sides.green),
            }),
            mirror: route.mirror.as_ref().map(|mirror| (mirror.flag.clone(), upstream(mirror.upstream))),
        };
        let targets = config.upstreams.iter().map(|upstream| (upstream.name.as_str().into(), Target::of(upstream)));
        Self { routes: config.routes.iter().map(route).collect(), targets: Arc::new(targets.collect()) }
    }
}

impl Conductor {
    /// A conductor that has not begun, and what wakes it.
    #[must_use]
    pub fn new(parts: Parts) -> (Arc<Self>, Nudge) {
        let (nudge, nudged) = mpsc::unbounded_channel();
        let client = smoke::client();
        let conductor = Self {
            parts,
            client,
            memory: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
            nudged: Mutex::new(Some(nudged)),
        };
        (Arc::new(conductor), Nudge(nudge))
    }

    /// Runs deployments until `stop` is ready; then the lease is given back.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let Some(nudged) = self.nudged.lock().expect("nothing panics while it holds this").take() else { return };
        tokio::select! {
            () = Arc::clone(&self).lead(nudged) => {}
            () = &mut stop => {}
        }
        self.give_back().await;
    }

    async fn give_back(&self) {
        fail::reach(Point::BeforeGiveBack);
        if let Err(error) = self.parts.store.give_back_lease(&self.parts.holder).await {
            log::debug!("conductor: the lease was not given back: {error}");
        }
    }

    async fn lead(self: Arc<Self>, mut nudged: mpsc::UnboundedReceiver<String>) {
        let mut applied = self.parts.sync.subscribe();
        let mut under_way: JoinSet<String> = JoinSet::new();
        let mut busy = BTreeSet::new();
        let mut held: Option<(Lease, Instant)> = None;
        loop {
            applied.borrow_and_update();
            let snapshot = self.parts.cell.load();
            let live = live(&snapshot);
            held = self.renew(held, &snapshot, &live).await;
            let now = clock::monotonic();
            let is_mine =
                |(lease, at): &&(Lease, Instant)| lease.holder == self.parts.holder && now.duration_since(*at) < LEASE;
            if let Some((lease, _)) = held.as_ref().filter(is_mine) {
                for id in live.iter().filter(|id| !busy.contains(*id)).cloned().collect::<Vec<_>>() {
                    busy.insert(id.clone());
                    let (conductor, lease) = (Arc::clone(&self), lease.clone());
                    under_way.spawn(async move {
                        conductor.conduct(&id, Some(&lease)).await;
                        id
                    });
                }
            }
            let pause = if live.is_empty() { IDLE } else { TICK };
            tokio::select! {
                // An error says that the sync ended, and with it this will soon.
                changed = applied.changed() => if changed.is_err() { sleep(pause).await },
                Some(done) = under_way.join_next() => match done {
                    Ok(id) => {
                        busy.remove(&id);
                        sleep(TICK / 4).await;
                    }
                    Err(error) => {
                        log::error!("conductor: a step failed: {error}");
                        busy.clear();
                    }
                },
                Some(id) = nudged.recv() => self.roll_back(&id).await,
                () = sleep(pause) => {}
            }
        }
    }

    /// Takes the lease or renews it, as long as there is something to do.
    async fn renew(
        &self,
        held: Option<(Lease, Instant)>,
        snapshot: &Snapshot,
        live: &[String],
    ) -> Option<(Lease, Instant)> {
        let store = &self.parts.store;
        let every = if live.iter().all(|id| self.can(snapshot, id)) { RENEWED_EVERY } else { GIVING_WAY };
        if live.is_empty() {
            self.memory.lock().expect("nothing panics while it holds this").clear();
            let is_mine = held.as_ref().is_some_and(|(lease, _)| lease.holder == self.parts.holder);
            if is_mine {
                self.give_back().await;
            }
            return None;
        }
        let now = clock::monotonic();
        if let Some((_, at)) = held.as_ref().filter(|(_, at)| now.duration_since(*at) < every) {
            let at = *at;
            return held.map(|(lease, _)| (lease, at));
        }
        let known = held.map(|(lease, _)| lease);
        match timeout(LEASE, store.take_lease(&self.parts.holder, LEASE)).await {
            Ok(Ok(lease)) => {
                if known.as_ref() != Some(&lease) && lease.holder == self.parts.holder {
                    log::info!("conductor: this gateway runs the deployments, with {lease}");
                    fail::reach(Point::AfterLease);
                }
                Some((lease, now))
            }
            Ok(Err(error)) => {
                log::debug!("conductor: no lease: {error}");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether a deployment can be run with the configuration of this gateway.
    fn can(&self, snapshot: &Snapshot, id: &str) -> bool {
        let Some(document) = snapshot.deployment(id).filter(|document| state_of(document).is_live()) else {
            return true;
        };
        Deployment::read(document, &self.parts.world.now().routes).is_ok()
    }

    /// A rollback without the lease.
    async fn roll_back(&self, id: &str) {
        self.conduct(id, None).await;
    }
}

/// The deployments that were started and have not ended, or of which people are still to be told.
fn live(snapshot: &Snapshot) -> Vec<String> {
    let has_news = |document: &DeploymentDocument| {
        let news = document.fields().get("status").and_then(|status| status.get("news")?.as_array());
        news.is_some_and(|news| !news.is_empty())
    };
    let is_live = |document: &&DeploymentDocument| state_of(document).is_live() || has_news(document);
    snapshot.deployments().filter(is_live).map(|document| document.id().to_owned()).collect()
}

/// The state of a deployment, without reading all of its status: this is asked very often.
fn state_of(document: &DeploymentDocument) -> State {
    let state = document.fields().get("status").and_then(|status| status.get("state"));
    state.and_then(|state| State::deserialize(state).ok()).unwrap_or_default()
}
