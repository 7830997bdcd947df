//! Analytics: who is watched, and what is brought to the store and summed up there.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    analytics::{AnalyticsMetrics, Notes, Watcher, flush_experience},
    gateway::Parts,
    store::{self, Opened},
};

/// What is noted, and has yet to be brought to the store.
pub(super) struct Watching {
    notes: Notes,
    metrics: AnalyticsMetrics,
}

/// Who watches requests, applications and users.
pub(super) fn watch(registry: &Registry) -> Result<(Arc<Watcher>, Watching)> {
    let metrics = AnalyticsMetrics::register(registry).context("failed to register the metrics")?;
    let (watcher, notes) = Watcher::new(&metrics);
    Ok((watcher, Watching { notes, metrics }))
}

/// Brings what is noted to the store, and sums up there what is counted, until `stop`.
pub(super) fn analyse(
    watching: Watching,
    stores: &Opened,
    parts: &Parts,
    run: Arc<str>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let Watching { notes, metrics } = watching;
    let (counters, analytics) = (Arc::clone(&stores.counters), Arc::clone(&stores.analytics));
    if parts.config.analytics.enabled {
        tokio::spawn(store::roll_up(counters, Arc::clone(&analytics), stop.clone().cancelled_owned()));
    }
    let cell = parts.cell.clone();
    tokio::spawn(flush_experience(analytics, cell, run, notes, metrics, stop.clone().cancelled_owned()))
}
