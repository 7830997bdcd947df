//! Who calls other hosts, and who trips kill switches and tells of it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::Parts,
    outbound::{Client, Notifier},
    store::{CounterStore, Store},
    tripping::Tripping,
};

/// The one client and the one notifier of the process.
pub(super) fn calls(parts: &Parts) -> Result<(Client, Notifier)> {
    let client = Client::new(parts.config.outbound.clone()).context("failed to prepare calls to other hosts")?;
    let notifier = Notifier::new(client.clone(), &parts.config.server.name);
    notifier.register(parts.metrics.registry()).context("failed to register the metrics")?;
    Ok((client, notifier))
}

/// Lets kill switches act by themselves, until `stop`.
pub(super) fn trip(
    parts: &Parts,
    (store, counters): (Arc<dyn Store>, Arc<dyn CounterStore>),
    notifier: Notifier,
    stop: &CancellationToken,
) {
    let tripping = Tripping {
        store,
        counters,
        cell: parts.cell.clone(),
        region: parts.config.context.region.clone(),
        name: parts.config.server.name.clone(),
        notifier,
    };
    tokio::spawn(tripping.run(parts.arms.watch(), stop.clone().cancelled_owned()));
}
