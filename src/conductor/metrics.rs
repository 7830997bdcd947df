//! The metrics of deployments.

use prometheus::{
    GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    delivery::plan::{StageState, Status},
    snapshot::SnapshotCell,
};

/// Counts rollbacks that this gateway began.
#[derive(Clone, Debug)]
pub struct Rollbacks(IntCounterVec);

/// Reads the metrics of stages from what is served. Their labels are names of documents.
#[derive(Debug)]
pub struct DeploymentMetrics {
    cell: SnapshotCell,
    descriptions: Vec<Desc>,
}

/// The metrics of one moment.
struct Shown {
    states: IntGaugeVec,
    durations: GaugeVec,
}

/// Registers the counter of writes that the store refused, as somebody else had the lease.
///
/// # Errors
/// There is one already.
pub fn refused_writes(registry: &Registry) -> prometheus::Result<IntCounter> {
    let help = "Writes of a conductor that the store refused, as another gateway had the lease.";
    let counter = IntCounter::new("flaggate_conductor_refused_writes_total", help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

impl Rollbacks {
    /// Registers the counter.
    ///
    /// # Errors
    /// There is one already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new("flaggate_deployment_rollbacks_total", "Rollbacks that this gateway began.");
        let counter = IntCounterVec::new(options, &["stage", "reason"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self(counter))
    }

    /// Counts one: the stage that failed, and why: `failed`, `max_duration` or `abort`.
    pub fn count(&self, stage: &str, reason: &str) {
        self.0.with_label_values(&[stage, reason]).inc();
    }
}

impl DeploymentMetrics {
    /// Registers the metrics of the deployments that are served.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry, cell: SnapshotCell) -> prometheus::Result<()> {
        let Shown { states, durations } = Shown::new()?;
        let descriptions = states.desc().into_iter().chain(durations.desc()).cloned().collect();
        registry.register(Box::new(Self { cell, descriptions }))
    }

    fn shown(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let Shown { states, durations } = Shown::new()?;
        for document in self.cell.load().deployments() {
            let Ok(status) = Status::read(document.fields().get("status")) else { continue };
            for stage in &status.stages {
                for state in StageState::ALL {
                    let is_in = i64::from(state == stage.state);
                    let labels = [document.id(), &stage.name, state.as_str()];
                    states.get_metric_with_label_values(&labels)?.set(is_in);
                }
                let until = stage.ended_at.or(stage.since);
                if let (Some(from), Some(until)) = (stage.started_at, until) {
                    let seconds = until.duration_since(from).as_secs_f64().max(0.0);
                    durations.get_metric_with_label_values(&[document.id(), &stage.name])?.set(seconds);
                }
            }
        }
        Ok(states.collect().into_iter().chain(durations.collect()).collect())
    }
}

impl Shown {
    fn new() -> prometheus::Result<Self> {
        let states = Opts::new("flaggate_deployment_stage", "1 for the state that a stage of a deployment is in.");
        let durations = Opts::new(
            "flaggate_deployment_stage_duration_seconds",
            "How long a stage took, or takes so far until its last step.",
        );
        Ok(Self {
            states: IntGaugeVec::new(states, &["deployment", "stage", "state"])?,
            durations: GaugeVec::new(durations, &["deployment", "stage"])?,
        })
    }
}

impl Collector for DeploymentMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shown().unwrap_or_else(|error| {
            log::error!("failed to show the metrics of deployments: {error}");
            Vec::new()
        })
    }
}
