//! Builds and wires everything, and starts and stops it in order: store, sync, first snapshot, listeners.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use pingora::{
    proxy::http_proxy_service_with_name,
    server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, configuration::ServerConf},
    services::background::background_service,
};
use prometheus::IntGauge;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    time::sleep,
};

use crate::{
    admin::{self, Admin, FlagMetrics},
    clock,
    config::Config,
    gateway::{
        Gateway,
        upstream::{HealthChecks, Upstreams},
    },
    snapshot::{SnapshotCell, World},
    store::{self, Follower, Intervals, Store, SyncHandle, seed_if_empty},
    telemetry::{AccessLog, Metrics},
};

/// How long the start waits for the first snapshot; the listeners open then all the same.
const FIRST_SNAPSHOT: Duration = Duration::from_millis(800);

/// Runs the gateway until SIGTERM or SIGINT.
///
/// # Errors
/// An address is taken, or the store, the seed or the access log cannot be opened.
pub fn run(config: Config) -> Result<()> {
    let config = Arc::new(config);
    for listener in &config.listeners {
        // pingora would try again for half a minute without a word.
        let free = TcpListener::bind(listener.address);
        free.with_context(|| format!("listener {:?} cannot listen on {}", listener.name, listener.address))?;
    }
    let control = Runtime::new().context("failed to start the control runtime")?;
    let signals = control.block_on(async { Signals::watch() }).context("failed to watch for signals")?;
    let address = config.admin.address;
    let admin_listener = control
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("the admin listener cannot listen on {address}"))?;
    let (cell, sync) = control.block_on(follow_store(&config))?;
    let metrics = Metrics::new();
    FlagMetrics::register(metrics.registry(), cell.clone(), sync.clone()).context("failed to register the metrics")?;
    let draining = Arc::new(AtomicBool::new(false));
    let named = config.flags().map(str::to_owned).collect();
    let registry = metrics.registry().clone();
    let admin = Admin { cell: cell.clone(), sync, registry, named, draining: Arc::clone(&draining) };
    control.spawn(async move {
        if let Err(error) = admin::serve(admin_listener, admin).await {
            log::error!("admin: {error}");
        }
    });
    log::info!("admin listens on {address}");
    let (access_log, writer) = AccessLog::start(&config.access_log, metrics.access_log_dropped().clone())
        .context("failed to open the access log")?;
    let drain = Drain {
        signals: Mutex::new(signals),
        draining,
        in_flight: metrics.requests_in_flight().clone(),
        timeout: config.server.drain_timeout,
    };
    serve(&config, &cell, &metrics, &access_log, drain);
    drop(access_log);
    drop(writer);
    control.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

/// Opens the store, seeds it, and follows it; waits for the first snapshot for a moment.
async fn follow_store(config: &Config) -> Result<(SnapshotCell, SyncHandle)> {
    let store = store::open(&config.store)?;
    if let Some(seed) = &config.store.seed {
        let written = seed_from(&*store, seed).await?;
        log::info!("store: seeded with {written} flags from {}", seed.display());
    }
    let (cell, publisher) = SnapshotCell::new();
    let world = World::new(config.context.environment.as_deref());
    let (follower, mut handle) = Follower::new(store, world, publisher, Intervals::default());
    tokio::spawn(follower.run());
    if tokio::time::timeout(FIRST_SNAPSHOT, handle.ready()).await.is_err() {
        log::warn!("store: no flags yet; every flag is unknown until it answers");
    }
    let snapshot = cell.load();
    for key in config.flags().filter(|key| snapshot.flag(key).is_none()) {
        log::warn!("a route names the flag {key:?}, which does not exist");
    }
    Ok((cell, handle))
}

async fn seed_from(store: &dyn Store, path: &Path) -> Result<usize> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read the seed {}", path.display()))?;
    let documents: Vec<serde_json::Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is not a JSON array of flags", path.display()))?;
    seed_if_empty(store, &documents, "seed", clock::now())
        .await
        .with_context(|| format!("failed to seed from {}", path.display()))
}

fn serve(config: &Arc<Config>, cell: &SnapshotCell, metrics: &Metrics, access_log: &AccessLog, drain: Drain) {
    let conf = ServerConf { threads: config.server.workers, grace_period_seconds: Some(0), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let upstreams = Arc::new(Upstreams::new(&config.upstreams, metrics));
    server.add_service(background_service("health checks", HealthChecks::new(Arc::clone(&upstreams))));
    for listener in &config.listeners {
        let gateway = Gateway::new(
            Arc::clone(config),
            listener,
            cell.clone(),
            Arc::clone(&upstreams),
            metrics,
            access_log.clone(),
        );
        let mut service = http_proxy_service_with_name(&server.configuration, gateway, &listener.name);
        service.add_tcp(&listener.address.to_string());
        server.add_service(service);
        log::info!("listener {:?} listens on {}", listener.name, listener.address);
    }
    server.run(RunArgs { shutdown_signal: Box::new(drain) });
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

/// Waits for a signal. After SIGTERM requests in flight are finished first, for at most the drain time-out; new ones are
/// still taken meanwhile.
struct Drain {
    signals: Mutex<Signals>,
    draining: Arc<AtomicBool>,
    in_flight: IntGauge,
    timeout: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        let Signals { terminate, interrupt } = &mut *signals;
        tokio::select! {
            _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
            _ = terminate.recv() => {}
        }
        self.draining.store(true, Ordering::Relaxed);
        log::info!("stopping: {} requests in flight", self.in_flight.get());
        let deadline = clock::monotonic() + self.timeout;
        while self.in_flight.get() > 0 && clock::monotonic() < deadline {
            tokio::select! {
                _ = interrupt.recv() => break,
                () = sleep(Duration::from_millis(10)) => {}
            }
        }
        ShutdownSignal::FastShutdown
    }
}
