//! The conductor, with what it works with.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::Deployments,
    conductor::{self, Conductor, DeploymentMetrics, Rollbacks, World},
    gateway::Parts,
    outbound::{Client, Notifier},
    store::{CounterStore, Store, SyncHandle},
};

/// Runs deployments until `stop`, and tells the admin API of it.
pub(super) fn conduct(
    parts: &Parts,
    (store, counters, sync): (Arc<dyn Store>, Arc<dyn CounterStore>, SyncHandle),
    (client, notifier): (Client, Notifier),
    holder: Arc<str>,
    stop: &CancellationToken,
) -> Result<(JoinHandle<()>, Deployments)> {
    let (cell, registry) = (parts.cell.clone(), parts.metrics.registry());
    let failed = "failed to register the metrics";
    DeploymentMetrics::register(registry, cell.clone()).context(failed)?;
    let rollbacks = Rollbacks::register(registry).context(failed)?;
    let refused = conductor::refused_writes(registry).context(failed)?;
    let world = World::new(parts.current.clone());
    let counted = rollbacks.clone();
    let notifier = Some(notifier);
    let prometheus = Some(conductor::ask_prometheus(client));
    let parts =
        conductor::Parts { store, counters, cell, sync, holder, world, prometheus, rollbacks, refused, notifier };
    let (conductor, nudge) = Conductor::new(parts);
    let conducting = tokio::spawn(conductor.run(stop.clone().cancelled_owned()));
    Ok((conducting, Deployments { nudge: Some(nudge), rollbacks: Some(counted) }))
}
