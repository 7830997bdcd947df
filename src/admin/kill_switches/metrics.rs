//! The metrics of kill switches, read when they are asked for.

use prometheus::{
    IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::snapshot::SnapshotCell;

/// Shows which switches are active, as this gateway serves them. A removed switch's series go with it.
#[derive(Debug)]
pub struct KillMetrics {
    cell: SnapshotCell,
    descriptions: Vec<Desc>,
}

/// The metrics of one moment.
struct Shown {
    active: IntGaugeVec,
    activations: IntCounterVec,
}

impl KillMetrics {
    /// Adds them to a registry.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(registry: &Registry, cell: SnapshotCell) -> prometheus::Result<()> {
        let Shown { active, activations } = Shown::new()?;
        let descriptions = active.desc().into_iter().chain(activations.desc()).cloned().collect();
        registry.register(Box::new(Self { cell, descriptions }))
    }

    fn shown(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let (Shown { active, activations }, snapshot) = (Shown::new()?, self.cell.load());
        for switch in snapshot.checked_kill_switches() {
            active.get_metric_with_label_values(&[&switch.id])?.set(i64::from(switch.status.is_active()));
            activations.get_metric_with_label_values(&[&switch.id])?.inc_by(switch.status.activations);
        }
        Ok(active.collect().into_iter().chain(activations.collect()).collect())
    }
}

impl Shown {
    fn new() -> prometheus::Result<Self> {
        let active =
            Opts::new("flaggate_kill_switch_active", "1 while a kill switch is triggered or recovering, else 0.");
        let activations = Opts::new(
            "flaggate_kill_switch_activations_total",
            "How often a kill switch was activated, by people and breakers, at any gateway.",
        );
        Ok(Self {
            active: IntGaugeVec::new(active, &["switch"])?,
            activations: IntCounterVec::new(activations, &["switch"])?,
        })
    }
}

impl Collector for KillMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shown().unwrap_or_else(|error| {
            log::error!("failed to show the metrics of kill switches: {error}");
            Vec::new()
        })
    }
}
