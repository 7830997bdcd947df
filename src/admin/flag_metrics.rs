//! The metrics of flags and of the snapshot, read when they are asked for: counting costs a request one atomic addition.

use prometheus::{
    Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    clock,
    model::{CodeClass, DocumentKind, Reason},
    snapshot::{Snapshot, SnapshotCell},
    store::SyncHandle,
    telemetry::DurationFamily,
};

/// Shows the counts that the snapshot holds. A removed flag's series go with it.
#[derive(Debug)]
pub struct FlagMetrics {
    cell: SnapshotCell,
    sync: SyncHandle,
    descriptions: Vec<Desc>,
}

/// The metrics of one moment.
struct Shown {
    evaluations: IntCounterVec,
    requests: IntCounterVec,
    revision: IntGauge,
    flags: IntGauge,
    age: IntGauge,
    store_up: IntGauge,
    stale: Gauge,
    refused: IntGauge,
    diagnostics: IntGaugeVec,
    build: IntGaugeVec,
}

impl FlagMetrics {
    /// Adds them to a registry.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(registry: &Registry, cell: SnapshotCell, sync: SyncHandle) -> prometheus::Result<()> {
        let descriptions =
            Shown::new()?.collectors().into_iter().flat_map(|shown| shown.desc().into_iter().cloned()).collect();
        registry.register(Box::new(Self { cell, sync, descriptions }))
    }

    fn shown(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let (shown, snapshot, sync) = (Shown::new()?, self.cell.load(), self.sync.status());
        let durations = shown.count(&snapshot)?;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        shown.revision.set(snapshot.revision().map_or(0, |revision| number(revision.number)));
        shown.flags.set(i64::try_from(snapshot.len()).unwrap_or(i64::MAX));
        shown.age.set(sync.applied_at.map_or(0, |applied| clock::now().as_second() - applied.as_second()));
        shown.store_up.set(i64::from(sync.store_up));
        shown.stale.set(sync.stale_for(clock::now()).as_secs_f64());
        shown.refused.set(i64::from(sync.alarm.is_some()));
        for kind in DocumentKind::ALL {
            shown.diagnostics.get_metric_with_label_values(&[kind.as_str()])?.set(0);
        }
        for diagnostic in snapshot.diagnostics() {
            shown.diagnostics.get_metric_with_label_values(&[diagnostic.document.kind.as_str()])?.inc();
        }
        shown.build.get_metric_with_label_values(&[env!("CARGO_PKG_VERSION")])?.set(1);
        Ok(shown.collectors().into_iter().flat_map(|collector| collector.collect()).chain(durations).collect())
    }
}

impl Shown {
    fn new() -> prometheus::Result<Self> {
        let evaluations = Opts::new("flaggate_flag_evaluations_total", "Evaluations by flag, variation and reason.");
        let requests = Opts::new(
            "flaggate_variation_requests_total",
            "Requests by the variations that their route's flags gave, and by what became of them.",
        );
        let diagnostics = Opts::new("flaggate_diagnostics", "Faults of documents in the store, by kind of document.");
        let build = Opts::new("flaggate_build_info", "1, labelled with the version.");
        Ok(Self {
            evaluations: IntCounterVec::new(evaluations, &["flag", "variation", "reason"])?,
            requests: IntCounterVec::new(requests, &["flag", "variation", "code_class"])?,
            revision: IntGauge::new("flaggate_snapshot_revision", "Number of the revision that is served.")?,
            flags: IntGauge::new("flaggate_snapshot_flags", "Flags that are served.")?,
            age: IntGauge::new("flaggate_snapshot_age_seconds", "Time since the snapshot was applied.")?,
            store_up: IntGauge::new("flaggate_store_up", "1 while the store answers, else 0.")?,
            stale: Gauge::new(
                "flaggate_snapshot_stale_seconds",
                "For how long the snapshot may have been behind the store; 0 while it is in step.",
            )?,
            refused: IntGauge::new(
                "flaggate_store_refused",
                "1 while the store is empty or older than what is served and so not served, else 0.",
            )?,
            diagnostics: IntGaugeVec::new(diagnostics, &["kind"])?,
            build: IntGaugeVec::new(build, &["version"])?,
        })
    }

    /// Takes over what the flags counted, and gives how long their requests took.
    fn count(&self, snapshot: &Snapshot) -> prometheus::Result<Option<MetricFamily>> {
        let mut durations = DurationFamily::new(
            "flaggate_variation_duration_seconds",
            "Time from the header of a variation's request to the end of its response, of those that say something of \
             the upstream. The sum is worked out from buckets that are 1/16 wide.",
        );
        for (flag, variation, tally) in snapshot.tallies() {
            let counts = Reason::ALL.into_iter().map(|reason| (&self.evaluations, reason.as_str(), tally.get(reason)));
            let requests =
                CodeClass::ALL.into_iter().map(|class| (&self.requests, class.as_str(), tally.requests(class)));
            for (counter, label, count) in counts.chain(requests).filter(|(_, _, count)| *count > 0) {
                counter.get_metric_with_label_values(&[flag, variation, label])?.inc_by(count);
            }
            durations.add(&[("flag", flag), ("variation", variation)], &tally.latency());
        }
        Ok(durations.finish())
    }

    fn collectors(&self) -> [&dyn Collector; 10] {
        let Self { evaluations, requests, revision, flags, age, store_up, stale, refused, diagnostics, build } = self;
        [evaluations, requests, revision, flags, age, store_up, stale, refused, diagnostics, build]
    }
}

impl Collector for FlagMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shown().unwrap_or_else(|error| {
            log::error!("failed to show the metrics of flags: {error}");
            Vec::new()
        })
    }
}
