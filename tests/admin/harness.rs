//! An admin listener over a store in memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use flaggate::{
    admin::{
        self, Access, Admin, Deployments, FlagMetrics, KillMetrics, Live, LiveLimits, Recomputes, Training, UsageWatch,
    },
    clock, config,
    drain::Drain,
    outbound::{self, Notifier},
    profiles::{Profiles, Source},
    recent::Recent,
    snapshot::SnapshotCell,
    store::{
        CounterStore, Follower, Gateway, MemoryAnalytics, MemoryCounters, MemoryProfiles, MemoryStore, ProfileStore,
        Store, SyncHandle, SyncOptions, give_signs_of_life,
    },
    telemetry::{Metrics, Observers, Privacy, Tail},
    tracking::{Moves, Tracked},
};
use reqwest::{Client, Method, redirect::Policy};
use serde_json::Value;
use tokio::net::TcpListener;

/// A running admin listener.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) client: Client,
}

pub(crate) async fn serve() -> Served {
    let store = Arc::new(MemoryStore::new());
    Served { address: listen(store.clone()).await, store, client: client() }
}

/// A listener of a gateway that gives signs of life, so that a write can wait for it.
pub(crate) async fn serve_among() -> Served {
    let store = Arc::new(MemoryStore::new());
    let (nobody, config) = (Arc::new(MemoryProfiles::new()), config::Admin::default());
    let (address, sync) = listen_followed(store.clone(), nobody, &config, None, no_counts()).await;
    let gateway = Gateway {
        id: "this".into(),
        name: "this".to_owned(),
        applied: None,
        at: clock::now(),
        admin: None,
        version: "test".to_owned(),
    };
    tokio::spawn(give_signs_of_life(store.clone(), gateway, sync.subscribe(), std::future::pending()));
    Served { address, store, client: client() }
}

/// A listener that asks for what the configuration says.
pub(crate) async fn serve_as(config: &config::Admin) -> Served {
    let store = Arc::new(MemoryStore::new());
    Served { address: listen_as(store.clone(), config).await, store, client: client() }
}

/// A listener that looks profiles up here, and remembers who was here.
pub(crate) async fn serve_with_profiles(source: Source) -> Served {
    let store = Arc::new(MemoryStore::new());
    let (nobody, config) = (Arc::new(MemoryProfiles::new()), config::Admin::default());
    let address = listen_with(store.clone(), nobody, &config, Some(cached(source)), no_counts()).await;
    Served { address, store, client: client() }
}

/// Serves what a store holds; gives where.
pub(crate) async fn listen(store: Arc<dyn Store>) -> SocketAddr {
    listen_as(store, &config::Admin::default()).await
}

/// A listener whose users are in this store.
pub(crate) async fn serve_profiles(profiles: Arc<dyn ProfileStore>) -> Served {
    let store = Arc::new(MemoryStore::new());
    let address = listen_with(store.clone(), profiles, &config::Admin::default(), None, no_counts()).await;
    Served { address, store, client: client() }
}

async fn listen_as(store: Arc<dyn Store>, config: &config::Admin) -> SocketAddr {
    listen_with(store, Arc::new(MemoryProfiles::new()), config, None, no_counts()).await
}

/// A listener that shows what was counted here.
pub(crate) async fn serve_counters(counters: Arc<dyn CounterStore>) -> Served {
    let store = Arc::new(MemoryStore::new());
    let (nobody, config) = (Arc::new(MemoryProfiles::new()), config::Admin::default());
    let address = listen_with(store.clone(), nobody, &config, None, counters).await;
    Served { address, store, client: client() }
}

/// A listener whose observers are these, that looks profiles up here.
pub(crate) async fn serve_observed(observers: Observers, source: Source) -> Served {
    let store = Arc::new(MemoryStore::new());
    let (nobody, config) = (Arc::new(MemoryProfiles::new()), config::Admin::default());
    let address = listen_to(store.clone(), nobody, &config, Some(cached(source)), no_counts(), observers).await.0;
    Served { address, store, client: client() }
}

fn no_counts() -> Arc<dyn CounterStore> {
    Arc::new(MemoryCounters::new())
}

/// Profiles are kept in memory for long, so that what is stale shows.
fn cache(store: &Arc<dyn ProfileStore>) -> Profiles {
    let store = Arc::clone(store);
    cached(Box::new(move |user_id| {
        let (store, user_id) = (Arc::clone(&store), user_id.to_owned());
        Box::pin(async move { store.profile(&user_id).await.map_err(|error| error.to_string()) })
    }))
}

fn cached(source: Source) -> Profiles {
    let minute = Duration::from_secs(60);
    let config = config::Profiles { enabled: true, budget: minute, cache_entries: 1000, cache_ttl: minute };
    Profiles::new(source, &config, Metrics::new().profiles())
}

async fn listen_with(
    store: Arc<dyn Store>,
    profile_store: Arc<dyn ProfileStore>,
    config: &config::Admin,
    profiles: Option<Profiles>,
    counters: Arc<dyn CounterStore>,
) -> SocketAddr {
    listen_followed(store, profile_store, config, profiles, counters).await.0
}

async fn listen_followed(
    store: Arc<dyn Store>,
    profile_store: Arc<dyn ProfileStore>,
    config: &config::Admin,
    profiles: Option<Profiles>,
    counters: Arc<dyn CounterStore>,
) -> (SocketAddr, SyncHandle) {
    listen_to(store, profile_store, config, profiles, counters, Observers::default()).await
}

async fn listen_to(
    store: Arc<dyn Store>,
    profile_store: Arc<dyn ProfileStore>,
    config: &config::Admin,
    profiles: Option<Profiles>,
    counters: Arc<dyn CounterStore>,
    observers: Observers,
) -> (SocketAddr, SyncHandle) {
    let (cell, publisher) = SnapshotCell::new();
    let (follower, sync) = Follower::new(store.clone(), publisher, SyncOptions::default());
    tokio::spawn(follower.run(std::future::pending()));
    assert!(sync.ready().await);
    let metrics = Metrics::new();
    let drain = Drain::new(metrics.requests_in_flight().clone());
    let registry = metrics.registry().clone();
    FlagMetrics::register(&registry, cell.clone(), sync.clone()).unwrap();
    KillMetrics::register(&registry, cell.clone()).unwrap();
    let live = Live::start(&sync, cell.clone(), drain.clone(), LiveLimits::default());
    let moves = Moves::register(&registry, cell.clone()).unwrap();
    let profile_store: Arc<dyn ProfileStore> = Arc::new(Tracked::start(profile_store, cell.clone(), moves.clone()));
    live.tell_moves(profile_store.clone());
    let admin = Admin {
        access: Access::new(config).unwrap(),
        store,
        cell,
        sync: sync.clone(),
        profiles: profiles.or_else(|| Some(cache(&profile_store))),
        profile_store,
        counters,
        analytics: Arc::new(MemoryAnalytics::new()),
        recent: Recent::new(&config::Recent::default()),
        registry,
        config: config::Current::new(Arc::new(routes())),
        reload: None,
        drain,
        observers,
        tail: Arc::new(Tail::new(Privacy::default())),
        live,
        notifier: Notifier::new(outbound::Client::new(config::Outbound::default()).unwrap(), "test"),
        explain: None,
        ready_stale_after: None,
        usage: UsageWatch::default(),
        moves,
        recomputes: Recomputes::default(),
        training: Training::default(),
        deployments: Deployments::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(admin::serve(listener, admin));
    (address, sync)
}

pub(crate) fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

impl Served {
    /// The status and the JSON of an answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask(Method::DELETE, path, None).await
    }
}

/// A route `web`, and its upstream.
fn routes() -> config::Config {
    let text = "
        listeners = [{ name = \"web\", address = \"127.0.0.1:0\" }]
        upstreams.checkout-v2.endpoints = [{ address = \"127.0.0.1:9\" }]
        routes = [{ name = \"web\", upstream = \"checkout-v2\" }]
    ";
    config::Config::parse("testing", text, std::iter::empty()).unwrap()
}
