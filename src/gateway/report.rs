//! What is said of a request when it is over.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use pingora::proxy::Session;

use super::{exchange::Exchange, failure, mirror::Shadow, proxy::Gateway};
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
        self.count_arms(status, duration, exchange);
        let seen = status.filter(|_| exchange.failure != Some(failure::CLIENT_CLOSED));
        std::mem::replace(&mut exchange.shadow, Shadow::Over).end(seen);
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

    /// Counts what became of the request for each arm that it took, if that says anything about the arm.
    fn count_arms(&self, status: Option<u16>, duration: Duration, exchange: &Exchange) {
        let Some(prepared) = &exchange.prepared else { return };
        let Some(is_error) = verdict(status, exchange.failure) else { return };
        // How long a connection is held that was given to the client says nothing of the upstream.
        let upgraded = status == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        let duration = exchange.upstream_time.filter(|_| upgraded).unwrap_or(duration);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(cell) = self.arms.cell(prepared.route, prepared.strategy, prepared.upstream) {
            cell.count(micros, is_error, exchange.user);
        }
        for cell in &exchange.variations {
            cell.count(micros, is_error, exchange.user);
        }
    }
}

/// Whether a request ended in an error of its upstream; `None`: its end says nothing about the upstream, as the client
/// or the gateway brought it about.
fn verdict(status: Option<u16>, failure: Option<&str>) -> Option<bool> {
    match failure {
        Some(code) => failure::is_upstreams(code).then_some(true),
        None => status.map(|status| status >= 500),
    }
}

/// The path of a request's target, without the query.
fn path(target: &[u8]) -> Box<str> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    String::from_utf8_lossy(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_upstream_did_counts() {
        for (status, failure, expected) in [
            (Some(200), None, Some(false)),
            (Some(404), None, Some(false)),
            (Some(101), None, Some(false)),
            (Some(500), None, Some(true)),
            (None, None, None),
            (Some(502), Some("connect_failed"), Some(true)),
            (Some(502), Some("upstream_closed"), Some(true)),
            (Some(200), Some("upstream_closed"), Some(true)),
            (Some(502), Some("upstream_invalid"), Some(true)),
            (Some(503), Some("no_endpoint"), Some(true)),
            (Some(504), Some("upstream_timed_out"), Some(true)),
            (Some(504), Some("connect_timed_out"), Some(true)),
            (Some(200), Some("client_closed"), None),
            (Some(500), Some("client_closed"), None),
            (Some(400), Some("bad_request"), None),
            (Some(408), Some("request_too_slow"), None),
            (Some(413), Some("body_too_large"), None),
            (Some(500), Some("internal"), None),
        ] {
            assert_eq!(verdict(status, failure), expected, "{status:?} {failure:?}");
        }
    }
}
