//! How events get on, as metrics. Their labels are kinds and the names of sinks.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::EventKind;

/// Counts events. A clone is the same.
#[derive(Clone, Debug)]
pub struct EventMetrics {
    told: Vec<IntCounter>,
    pub(super) dropped: IntCounterVec,
    exposures_dropped: IntCounter,
    pub(super) delivered: IntCounterVec,
    pub(super) failures: IntCounterVec,
    waiting: IntGaugeVec,
    up: IntGaugeVec,
}

impl EventMetrics {
    /// The metrics, registered.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["sink"])?;
            registry.register(Box::new(gauges.clone()))?;
            prometheus::Result::Ok(gauges)
        };
        let told = counters("flaggate_events_total", "Events that were taken, by type.", &["type"])?;
        let exposures_dropped = IntCounter::new(
            "flaggate_exposures_dropped_total",
            "Exposures (flag_evaluated) that found no place, or that a sink did not get.",
        )?;
        registry.register(Box::new(exposures_dropped.clone()))?;
        Ok(Self {
            told: EventKind::ALL.map(|kind| told.with_label_values(&[kind.as_str()])).to_vec(),
            dropped: counters(
                "flaggate_events_dropped_total",
                "Events that found no place in the queue, or that a sink did not get, by type.",
                &["sink", "type"],
            )?,
            exposures_dropped,
            delivered: counters("flaggate_events_delivered_total", "Events that a sink took.", &["sink"])?,
            failures: counters("flaggate_event_sink_failures_total", "Tries to deliver that failed.", &["sink"])?,
            waiting: gauges("flaggate_events_waiting", "Events that wait for a sink.")?,
            up: gauges("flaggate_event_sink_up", "Whether a sink took what it was last given.")?,
        })
    }

    pub(super) fn told(&self, kind: EventKind, count: usize) {
        self.told[kind.index()].inc_by(count as u64);
    }

    /// Counts events that `sink` did not get.
    pub(super) fn dropped(&self, sink: &str, kind: EventKind, count: usize) {
        self.dropped.with_label_values(&[sink, kind.as_str()]).inc_by(count as u64);
        if kind == EventKind::FlagEvaluated {
            self.exposures_dropped.inc_by(count as u64);
        }
    }

    /// What one sink counts.
    pub(super) fn of_sink(&self, sink: &str) -> SinkMetrics {
        let (delivered, failures) =
            (self.delivered.with_label_values(&[sink]), self.failures.with_label_values(&[sink]));
        let up = self.up.with_label_values(&[sink]);
        // Until something is known to be wrong.
        up.set(1);
        SinkMetrics { delivered, failures, waiting: self.waiting.with_label_values(&[sink]), up }
    }

    /// How many exposures were dropped so far.
    #[must_use]
    pub fn exposures_dropped(&self) -> u64 {
        self.exposures_dropped.get()
    }
}

/// What one sink counts.
#[derive(Clone, Debug)]
pub(super) struct SinkMetrics {
    pub(super) delivered: IntCounter,
    pub(super) failures: IntCounter,
    pub(super) waiting: prometheus::IntGauge,
    pub(super) up: prometheus::IntGauge,
}
