//! What is said of a request when it is over.

use std::sync::Arc;

use pingora::proxy::Session;

use super::{exchange::Exchange, proxy::Gateway};
use crate::{
    clock,
    telemetry::{AccessLine, CodeClass},
};

impl Gateway {
    /// Counts the request and writes its access line.
    pub(super) fn report(&self, session: &Session, exchange: &mut Exchange) {
        let endpoint = exchange.last_endpoint();
        let status = session.response_written().map(|response| response.status.as_u16());
        let duration = clock::monotonic().duration_since(exchange.started);
        let prepared = exchange.prepared.as_ref();
        let decision = prepared.map(|prepared| (prepared.strategy, prepared.upstream));
        self.metrics.count(exchange.route, decision, CodeClass::of(status), duration);
        if !self.access_log.is_on() {
            return;
        }
        let request = session.req_header();
        self.access_log.push(AccessLine {
            time: exchange.time,
            request_id: exchange.request_id.clone(),
            method: request.method.clone(),
            path: path(request.raw_path()),
            status,
            route: exchange.route.map(|route| Arc::clone(&self.route_names[route])),
            strategy: decision.map(|(strategy, _)| strategy),
            upstream: decision.map(|(_, upstream)| Arc::clone(self.upstreams.name(upstream))),
            endpoint,
            tries: exchange.tries,
            revision: exchange.snapshot.revision().map(|revision| revision.number),
            duration,
            upstream_duration: exchange.upstream_time,
            bytes_received: session.body_bytes_read() as u64,
            bytes_sent: session.body_bytes_sent() as u64,
            error: exchange.failure,
            profile_unavailable: exchange.profile_unavailable,
        });
    }
}

/// The path of a request's target, without the query.
fn path(target: &[u8]) -> Box<str> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    String::from_utf8_lossy(path).into()
}
