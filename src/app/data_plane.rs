//! What the gateway works with.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    analytics::{Watching, watch},
    events::Telling,
    trace::{Exporting, trace},
};
use crate::{
    config::{Config, Current},
    drain::Drain,
    gateway::{Parts, RoutingCell, Sources},
    profiles::{Profiles, Source},
    recent::Recent,
    snapshot::SnapshotCell,
    store::{self, Evaluations, Opened, ProfileStore},
    telemetry::{AccessLog, Arms, Metrics, Observers, Privacy, access_log},
};

/// The parts of the gateway, and what has to end after it.
pub(super) struct DataPlane {
    pub(super) parts: Parts,
    pub(super) access_log: access_log::Writer,
    pub(super) watching: Watching,
    pub(super) exporting: Exporting,
    pub(super) telling: Telling,
}

impl DataPlane {
    /// Prepares all parts; nothing is served yet.
    pub(super) fn prepare(
        config: &Arc<Config>,
        cell: &SnapshotCell,
        stores: &Opened,
        run: &Arc<str>,
        control: &Handle,
    ) -> Result<Self> {
        let metrics = Metrics::new();
        let privacy =
            Privacy::new(&config.privacy).context("failed to read the secret that user ids are hashed with")?;
        let (tracer, exporting) = trace(config, privacy.clone(), metrics.registry(), run)?;
        let (log, access_log) = AccessLog::start(&config.access_log, privacy, metrics.access_log_dropped().clone())
            .context("failed to open the access log")?;
        if config.access_log.path.is_some() {
            reopen_on_hangup(log.clone()).context("failed to watch for signals")?;
        }
        let telling = Telling::start(config, &metrics)?;
        let profiles = config.profiles.enabled.then(|| look_up(Arc::clone(&stores.profiles), config, &metrics));
        let (arms, runtime) = (Arms::new(), control.clone());
        let sources = Sources { metrics: metrics.clone(), arms: arms.clone(), profiles: profiles.clone(), runtime };
        let (watcher, watching) = watch(metrics.registry())?;
        let mut observers = telling.observers();
        if config.analytics.enabled {
            observers.push(watcher);
        }
        let parts = Parts {
            config: Arc::clone(config),
            current: Current::new(Arc::clone(config)),
            cell: cell.clone(),
            access_log: log,
            observers: Observers::new(observers),
            tracer,
            drain: Drain::new(metrics.requests_in_flight().clone()),
            metrics,
            arms,
            profiles,
            recent: Recent::new(&config.recent),
            routing: RoutingCell::new(Arc::clone(config), sources),
        };
        Ok(Self { parts, access_log, watching, exporting, telling })
    }
}

/// Opens the access log's file anew on SIGHUP, which is how a rotation says that it has moved it away.
fn reopen_on_hangup(log: AccessLog) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            log.reopen();
        }
    });
    Ok(())
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

/// Brings what is counted of arms to the store, until `stop`.
pub(super) fn count(stores: &Opened, parts: &Parts, run: Arc<str>, stop: &CancellationToken) -> JoinHandle<()> {
    let (arms, dropped) = (parts.arms.clone(), parts.metrics.counts_dropped().clone());
    let counters = Arc::clone(&stores.counters);
    let mut evaluations = Evaluations::new(parts.cell.clone());
    let counted = (arms, move || evaluations.take());
    tokio::spawn(store::flush_counts(counters, counted, run, dropped, stop.clone().cancelled_owned()))
}
