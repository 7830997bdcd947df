//! What is told of what the gateway does not take.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::{register, remove};

/// The metrics of limits, registered.
#[derive(Clone, Debug)]
pub(super) struct LimitVecs {
    limited: IntCounterVec,
    connections: IntGaugeVec,
    refused: IntCounterVec,
}

/// The handles of one listener's connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Those that are open.
    pub open: IntGauge,
    /// Those that were closed at once, as there were too many.
    pub refused: IntCounter,
    /// Those that were closed at once, as there were too many of their address.
    pub refused_by_address: IntCounter,
}

impl LimitVecs {
    pub(super) fn register(registry: &Registry) -> Self {
        let limited = Opts::new(
            "flaggate_requests_limited_total",
            "Requests that were answered 429, as their route's rate was over.",
        );
        let connections = Opts::new("flaggate_connections", "Connections of clients that are open.");
        let refused = Opts::new(
            "flaggate_connections_refused_total",
            "Connections of clients that were closed at once, by which limit was reached.",
        );
        Self {
            limited: register(registry, IntCounterVec::new(limited, &["route"])),
            connections: register(registry, IntGaugeVec::new(connections, &["listener"])),
            refused: register(registry, IntCounterVec::new(refused, &["listener", "limit"])),
        }
    }

    pub(super) fn limited(&self, route: &str) -> IntCounter {
        self.limited.with_label_values(&[route])
    }

    pub(super) fn forget(&self, route: &str) {
        remove(&self.limited, &[route]);
    }

    pub(super) fn connections(&self, listener: &str) -> ConnectionMetrics {
        let refused = |limit: &str| self.refused.with_label_values(&[listener, limit]);
        ConnectionMetrics {
            open: self.connections.with_label_values(&[listener]),
            refused: refused("max_connections"),
            refused_by_address: refused("max_connections_per_ip"),
        }
    }
}
