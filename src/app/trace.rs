//! Traces of requests, and the task that exports them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use prometheus::Registry;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    outbound::SpanExporter,
    telemetry::{Privacy, Tracer, spans::SpanMetrics},
};

/// How long the end waits for the last spans to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// What exports spans, if requests are traced.
#[derive(Default)]
pub(super) struct Exporting(Option<(JoinHandle<()>, CancellationToken)>);

/// Traces requests, if that is configured. `run` tells this process from other gateways.
pub(super) fn trace(
    config: &Config,
    privacy: Privacy,
    registry: &Registry,
    run: &Arc<str>,
) -> Result<(Option<Tracer>, Exporting)> {
    let Some(tracing) = &config.tracing else { return Ok((None, Exporting::default())) };
    let metrics = SpanMetrics::register(registry).context("failed to register the metrics")?;
    let environment = config.context.environment.as_deref();
    let (tracer, spans) = Tracer::new(tracing, environment, privacy, &metrics);
    let exporter = SpanExporter::new(tracing, environment, Arc::clone(run), metrics);
    let exporter = exporter.context("failed to prepare the export of spans")?;
    let stop = CancellationToken::new();
    let exporting = tokio::spawn(exporter.run(spans, stop.clone()));
    Ok((Some(tracer), Exporting(Some((exporting, stop)))))
}

impl Exporting {
    /// Exports what is left, within a bound.
    pub(super) async fn end(self) {
        let Some((exporting, stop)) = self.0 else { return };
        stop.cancel();
        if timeout(LAST_SPANS, exporting).await.is_err() {
            log::warn!("tracing: no time for the last spans");
        }
    }
}
