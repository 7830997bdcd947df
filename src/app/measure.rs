//! The metrics that are not the gateway's own.

use anyhow::{Context as _, Result};

use crate::{
    admin::{FlagMetrics, KillMetrics},
    gateway::Parts,
    store::{StoreErrors, SyncHandle},
};

/// Registers what is told of flags, kill switches, the sync and the store.
pub(super) fn measure(parts: &Parts, sync: &SyncHandle, errors: &StoreErrors) -> Result<()> {
    let (registry, cell) = (parts.metrics.registry(), &parts.cell);
    let failed = "failed to register the metrics";
    FlagMetrics::register(registry, cell.clone(), sync.clone()).context(failed)?;
    KillMetrics::register(registry, cell.clone()).context(failed)?;
    sync.register(registry).context(failed)?;
    errors.register(registry).context(failed)
}
