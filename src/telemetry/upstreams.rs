//! What is told of upstreams' endpoints and of what is tried again.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::{register, remove};

/// The metrics of upstreams, registered.
#[derive(Clone, Debug)]
pub(super) struct Upstreams {
    healthy: IntGaugeVec,
    ejected: IntGaugeVec,
    ejections: IntCounterVec,
    retries: IntCounterVec,
}

/// The handles of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointMetrics {
    /// 1 while it takes requests.
    pub healthy: IntGauge,
    /// 1 while it is put aside for its errors.
    pub ejected: IntGauge,
    /// How often it was.
    pub ejections: IntCounter,
}

/// The handles of what one upstream's requests do again.
#[derive(Clone, Debug)]
pub struct RetryMetrics {
    /// Tries after the first.
    pub sent: IntCounter,
    /// Those that the budget did not allow.
    pub refused: IntCounter,
}

impl Upstreams {
    pub(super) fn register(registry: &Registry) -> Self {
        let endpoint = ["upstream", "endpoint"];
        let healthy = Opts::new("flaggate_upstream_endpoint_healthy", "1 while an endpoint takes requests, else 0.");
        let ejected = Opts::new(
            "flaggate_upstream_endpoint_ejected",
            "1 while an endpoint is put aside for errors in a row, else 0.",
        );
        let ejections =
            Opts::new("flaggate_upstream_ejections_total", "How often an endpoint was put aside for errors in a row.");
        let retries = Opts::new(
            "flaggate_upstream_retries_total",
            "Requests that were to be tried again, by whether the budget allowed it.",
        );
        Self {
            healthy: register(registry, IntGaugeVec::new(healthy, &endpoint)),
            ejected: register(registry, IntGaugeVec::new(ejected, &endpoint)),
            ejections: register(registry, IntCounterVec::new(ejections, &endpoint)),
            retries: register(registry, IntCounterVec::new(retries, &["upstream", "result"])),
        }
    }

    pub(super) fn endpoint(&self, upstream: &str, endpoint: &str) -> EndpointMetrics {
        let labels = [upstream, endpoint];
        EndpointMetrics {
            healthy: self.healthy.with_label_values(&labels),
            ejected: self.ejected.with_label_values(&labels),
            ejections: self.ejections.with_label_values(&labels),
        }
    }

    pub(super) fn retries(&self, upstream: &str) -> RetryMetrics {
        let result = |result: &str| self.retries.with_label_values(&[upstream, result]);
        RetryMetrics { sent: result("sent"), refused: result("refused") }
    }

    pub(super) fn forget_endpoint(&self, upstream: &str, endpoint: &str) {
        let labels = [upstream, endpoint];
        remove(&self.healthy, &labels);
        remove(&self.ejected, &labels);
        remove(&self.ejections, &labels);
    }

    pub(super) fn forget(&self, upstream: &str) {
        for result in ["sent", "refused"] {
            remove(&self.retries, &[upstream, result]);
        }
    }
}
