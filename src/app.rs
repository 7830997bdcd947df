//! Builds and wires everything, and starts and stops it in order: store, sync, first snapshot, listeners.

mod calls;
mod conduct;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{
        self, Access, Admin, Explain, FlagMetrics, KillMetrics, Live, LiveLimits, Recomputes, Training, UsageWatch,
    },
    clock,
    config::{self, Config},
    demo,
    drain::{Drain, NOTICE},
    gateway::{self, Explainer, Mirrors, Parts, upstream::Upstreams},
    profiles::{Profiles, Source},
    recent::Recent,
    snapshot::SnapshotCell,
    store::{
        self, CounterStore, Follower, ProfileStore, SeedError, SeenGateway, Store, StoreError, SyncHandle, SyncOptions,
        seed_if_empty,
    },
    telemetry::{AccessLog, Arms, Metrics, access_log},
    tracking::{Moves, Tracked},
};

/// How long the start waits for the first snapshot; the listeners open then all the same.
const FIRST_SNAPSHOT: Duration = Duration::from_millis(800);

/// How long the end waits for the backup to be brought up to date.
const LAST_BACKUP: Duration = Duration::from_secs(1);

/// How long the end waits for the last counts to reach the store.
const LAST_COUNTS: Duration = Duration::from_secs(1);

/// How long the end waits for the goodbye to reach the store.
const GOODBYE: Duration = Duration::from_millis(200);

/// Everything but the data plane runs: the store is followed and the admin listener answers.
pub struct App {
    parts: Parts,
    control: Runtime,
    signals: Signals,
    following: Following,
    /// Runs deployments.
    conducting: JoinHandle<()>,
    /// Brings what is counted to the store.
    counting: JoinHandle<()>,
    access_log: access_log::Writer,
    /// What was started beside the gateway ends with it.
    stop: CancellationToken,
}

/// Documents that an empty store is filled with at start.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Texts of documents, see [`store::seeds`], each with where it comes from, for messages.
    pub texts: Vec<(String, String)>,
}

impl App {
    /// Starts all but the data plane. `seed` stands in for `store.seed` and `store.seed_segments`.
    ///
    /// # Errors
    /// An address is taken, or the store, the seed or the access log cannot be opened.
    pub fn start(config: Config, seed: Option<Seed>) -> Result<Self> {
        let config = Arc::new(config);
        gateway::check_listeners(&config)?;
        let seed = match seed {
            Some(seed) => seed,
            None => Seed::read(&config.store)?,
        };
        let control = Runtime::new().context("failed to start the control runtime")?;
        let signals = control.block_on(async { Signals::watch() }).context("failed to watch for signals")?;
        let address = config.admin.address;
        let admin_listener = control
            .block_on(tokio::net::TcpListener::bind(address))
            .with_context(|| format!("the admin listener cannot listen on {address}"))?;
        let store::Opened { documents: store, profiles: profile_store, counters } = store::open(&config.store)?;
        let run: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let (cell, sync, following) = control.block_on(follow_store(&config, &store, seed, address, &run))?;
        let metrics = Metrics::new();
        let registry = metrics.registry().clone();
        FlagMetrics::register(&registry, cell.clone(), sync.clone()).context("failed to register the metrics")?;
        KillMetrics::register(&registry, cell.clone()).context("failed to register the metrics")?;
        let profiles = config
            .profiles
            .enabled
            .then(|| control.block_on(async { look_up(profile_store.clone(), &config, &metrics) }));
        let moves = Moves::register(&registry).context("failed to register the metrics")?;
        let profile_store: Arc<dyn ProfileStore> =
            Arc::new(control.block_on(async { Tracked::start(profile_store, cell.clone(), moves.clone()) }));
        let drain = Drain::new(metrics.requests_in_flight().clone());
        let named = config.flags().map(str::to_owned).collect();
        let services = config.services().map(str::to_owned).collect();
        let access = Access::new(&config.admin).context("failed to prepare the access to the admin API")?;
        let (access_log, writer) = AccessLog::start(&config.access_log, metrics.access_log_dropped().clone())
            .context("failed to open the access log")?;
        let upstreams = Arc::new(Upstreams::new(&config.upstreams, &metrics));
        let recent = Recent::new(&config.recent);
        let stop = CancellationToken::new();
        let (arms, counting) = count(&control, counters.clone(), run.clone(), &metrics, &stop);
        let mirrors = Arc::new(Mirrors::new(&config, &upstreams, &arms, &metrics, control.handle()));
        let parts = Parts {
            mirrors,
            config,
            cell: cell.clone(),
            metrics,
            arms,
            access_log,
            drain: drain.clone(),
            profiles: profiles.clone(),
            recent: recent.clone(),
            upstreams,
        };
        let (client, notifier) = calls::calls(&parts)?;
        calls::trip(&control, &parts, (store.clone(), counters.clone()), notifier.clone(), &stop);
        let live = control.block_on(async { Live::start(&sync, cell.clone(), drain.clone(), LiveLimits::default()) });
        control.block_on(async { live.tell_moves(profile_store.clone()) });
        let conducting = (store.clone(), counters.clone(), sync.clone());
        let (conducting, deployments) =
            conduct::conduct(&control, &parts, conducting, (client, notifier.clone()), run, &stop)?;
        let admin = Admin {
            access,
            store,
            cell,
            sync,
            profiles,
            recent,
            profile_store,
            counters,
            registry,
            named,
            services,
            drain,
            live,
            notifier,
            explain: Some(explain(&parts)),
            ready_stale_after: parts.config.store.ready_stale_after,
            usage: UsageWatch::default(),
            moves,
            recomputes: Recomputes::default(),
            training: Training::default(),
            deployments,
        };
        serve_admin(&control, admin_listener, admin);
        log::info!("admin listens on {address}");
        Ok(Self { parts, control, signals, following, conducting, counting, access_log: writer, stop })
    }

    /// Starts the demo's upstreams, with what is wrong with them, and on request users who ask the first listener so often
    /// each second.
    ///
    /// # Errors
    /// An upstream's address is taken.
    pub fn start_demo(&self, faults: &demo::Faults, traffic: Option<u32>) -> Result<()> {
        let config = &self.parts.config;
        self.control.block_on(demo::upstreams(&demo::addresses(config), faults, self.stop.clone()))?.detach();
        if let (Some(per_second), Some(listener)) = (traffic, config.listeners.first()) {
            self.control.spawn(demo::traffic(listener.address, per_second, self.stop.clone()));
        }
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT.
    pub fn serve(self) {
        let Self { parts, control, signals, following, conducting, counting, access_log, stop } = self;
        serve(parts, signals);
        stop.cancel();
        drop(access_log);
        if control.block_on(async { timeout(GOODBYE, conducting).await }).is_err() {
            log::debug!("conductor: no time to give the lease back");
        }
        if control.block_on(async { timeout(LAST_COUNTS, counting).await }).is_err() {
            log::warn!("counts: no time for the last ones");
        }
        control.block_on(following.end());
        control.shutdown_timeout(Duration::from_millis(100));
    }
}

impl Seed {
    fn read(config: &config::Store) -> Result<Self> {
        let mut paths: Vec<PathBuf> = config.seed.iter().cloned().collect();
        if let Some(folder) = &config.seed_segments {
            let failed = || format!("failed to read the folder {}", folder.display());
            let entries =
                fs::read_dir(folder).with_context(failed)?.collect::<Result<Vec<_>, _>>().with_context(failed)?;
            let mut found: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
            found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
            found.sort_unstable();
            paths.extend(found);
        }
        let read = |path: PathBuf| {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).with_context(|| format!("failed to read the seed {name}"))?;
            Ok((name, text))
        };
        Ok(Self { texts: paths.into_iter().map(read).collect::<Result<_>>()? })
    }

    /// Where the documents come from.
    fn names(&self) -> String {
        self.texts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// How many documents were written: none when the store is not empty, or is known to have held something before: what
    /// was lost is not replaced by how it all began.
    async fn write(&self, store: &dyn Store, backup: Option<&Path>) -> Result<usize, SeedError> {
        let mut documents = Vec::new();
        for (name, text) in &self.texts {
            documents.extend(store::seeds(name, text)?);
        }
        if let Some(backup) = backup {
            log::info!("store: not seeded, as the backup {} is there", backup.display());
            return Ok(0);
        }
        let serves = |seen: &SeenGateway| seen.gateway.applied.as_ref().is_some_and(|applied| applied.number > 0);
        if store.gateways().await?.iter().any(|seen| seen.is_live() && serves(seen)) {
            log::info!("store: not seeded, as another gateway serves what it held");
            return Ok(0);
        }
        seed_if_empty(store, &documents, "seed", clock::now()).await
    }
}

/// Seeds the store, and follows it; waits for the first snapshot for a moment.
async fn follow_store(
    config: &Config,
    store: &Arc<dyn Store>,
    seed: Seed,
    admin: SocketAddr,
    run: &Arc<str>,
) -> Result<(SnapshotCell, SyncHandle, Following)> {
    if !seed.texts.is_empty() {
        let backup = config.store.backup.as_deref().filter(|path| path.exists());
        match seed.write(&**store, backup).await {
            Ok(written) => log::info!("store: seeded with {written} documents from {}", seed.names()),
            Err(SeedError::Store(error @ StoreError::Unavailable(_))) => {
                log::warn!("store: not seeded from {}: {error}", seed.names());
            }
            Err(error) => return Err(error).with_context(|| format!("failed to seed from {}", seed.names())),
        }
    }
    let (cell, publisher) = SnapshotCell::new();
    let options = SyncOptions {
        environment: config.context.environment.clone(),
        region: config.context.region.clone(),
        backup: config.store.backup.clone(),
        ..SyncOptions::default()
    };
    let (follower, handle) = Follower::new(Arc::clone(store), publisher, options);
    let stop = CancellationToken::new();
    let task = tokio::spawn(follower.run(stop.clone().cancelled_owned()));
    let gateway = store::Gateway {
        id: Arc::clone(run),
        name: config.server.name.clone(),
        applied: None,
        at: clock::now(),
        admin: Some(admin.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (store, stopped) = (Arc::clone(store), stop.clone().cancelled_owned());
    let beating = tokio::spawn(store::give_signs_of_life(store, gateway, handle.subscribe(), stopped));
    if timeout(FIRST_SNAPSHOT, handle.ready()).await.is_err() {
        log::warn!("store: no flags yet; every flag is unknown until it answers");
    }
    let snapshot = cell.load();
    for key in config.flags().filter(|key| snapshot.flag(key).is_none()) {
        log::warn!("a route names the flag {key:?}, which does not exist");
    }
    Ok((cell, handle, Following { stop, task, beating }))
}

/// Looks profiles up in their store, and forgets those that change there.
fn look_up(store: Arc<dyn ProfileStore>, config: &Config, metrics: &Metrics) -> Profiles {
    let from = Arc::clone(&store);
    let source: Source = Box::new(move |user_id| {
        let (store, user_id) = (Arc::clone(&from), user_id.to_owned());
        Box::pin(async move { store.profile(&user_id).await.map_err(|error| error.to_string()) })
    });
    let profiles = Profiles::new(source, &config.profiles, metrics.profiles());
    let cached = profiles.clone();
    tokio::spawn(store::tell_changes(store, move |user_id| match user_id {
        Some(user_id) => cached.forget(user_id),
        None => cached.forget_all(),
    }));
    profiles
}

/// Brings what will be counted of arms to the store, until `stop`.
fn count(
    control: &Runtime,
    counters: Arc<dyn CounterStore>,
    run: Arc<str>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> (Arms, JoinHandle<()>) {
    let (arms, dropped) = (Arms::new(), metrics.counts_dropped().clone());
    let flushing = store::flush_counts(counters, arms.clone(), run, dropped, stop.clone().cancelled_owned());
    (arms, control.spawn(flushing))
}

fn serve_admin(control: &Runtime, listener: tokio::net::TcpListener, admin: Admin) {
    control.spawn(async move {
        if let Err(error) = admin::serve(listener, admin).await {
            log::error!("admin: {error}");
        }
    });
}

/// Explains as the gateway decides.
fn explain(parts: &Parts) -> Explain {
    let explainer = Arc::new(Explainer::new(parts));
    Arc::new(move |request| {
        let explainer = Arc::clone(&explainer);
        Box::pin(async move { explainer.explain(&request).await.map_err(|error| error.to_string()) })
    })
}

/// The sync while it runs.
struct Following {
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// The signs of life.
    beating: JoinHandle<()>,
}

impl Following {
    /// Stops the sync, which writes what it has not yet written to the backup.
    async fn end(self) {
        self.stop.cancel();
        if timeout(GOODBYE, self.beating).await.is_err() {
            log::debug!("store: no time for a goodbye");
        }
        match timeout(LAST_BACKUP, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("store: the sync ended early: {error}"),
            Err(_) => log::warn!("store: the backup was not brought up to date in time"),
        }
    }
}

fn serve(parts: Parts, signals: Signals) {
    let stop = StopOnSignal {
        signals: Mutex::new(signals),
        drain: parts.drain.clone(),
        timeout: parts.config.server.drain_timeout,
    };
    let mut server = Server::new_with_opt_and_conf(None, gateway::server_conf(&parts.config));
    server.bootstrap();
    for listener in &parts.config.listeners {
        log::info!("listener {:?} listens on {}", listener.name, listener.address);
    }
    gateway::add_services(&mut server, &parts);
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
}

/// The signals that stop the gateway; watched before the listeners open, so that none is lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

/// Waits for a signal. SIGTERM drains; SIGINT, or a second signal, stops at once.
struct StopOnSignal {
    signals: Mutex<Signals>,
    drain: Drain,
    timeout: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for StopOnSignal {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        let Signals { terminate, interrupt } = &mut *signals;
        tokio::select! {
            _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
            _ = terminate.recv() => {}
        }
        tokio::select! {
            _ = self.drain.run(NOTICE, self.timeout) => {}
            _ = interrupt.recv() => log::warn!("a second signal: stopping at once"),
            _ = terminate.recv() => log::warn!("a second signal: stopping at once"),
        }
        ShutdownSignal::FastShutdown
    }
}
