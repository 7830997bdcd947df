//! What is said of a request when it is over.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use pingora::proxy::Session;
use smallvec::SmallVec;

use super::{exchange::Exchange, failure, mirror::Shadow, proxy::Gateway};
use crate::{
    clock,
    config::UpstreamIndex,
    eval::{CompiledFlag, Evaluation},
    model::CodeClass,
    telemetry::{AccessLine, Observed, ObservedFlag, access_log},
};

/// How a request ended.
pub(super) struct End<'s> {
    pub(super) status: Option<u16>,
    /// Whether that was an error of its upstream; none: its end says nothing about the upstream.
    is_error: Option<bool>,
    pub(super) duration: Duration,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) decision: Option<(&'static str, UpstreamIndex)>,
    given: SmallVec<[(&'s CompiledFlag, Evaluation<'s>); 8]>,
}

impl Gateway {
    /// Counts the request, tells who observes or traces it, and writes its access line.
    pub(super) fn report(&self, session: &Session, exchange: &mut Exchange) {
        let endpoint = exchange.last_endpoint();
        let shadow = std::mem::replace(&mut exchange.shadow, Shadow::Over);
        let exchange = &*exchange;
        let status = session.response_written().map(|response| response.status.as_u16());
        let end = End {
            status,
            is_error: verdict(status, exchange.failure),
            duration: clock::monotonic().duration_since(exchange.started),
            endpoint,
            decision: exchange.prepared.as_ref().map(|prepared| (prepared.strategy, prepared.upstream)),
            given: exchange.given.iter().filter_map(|given| given.resolve(&*exchange.snapshot)).collect(),
        };
        let class = CodeClass::of(status);
        if let Some(outcome) = exchange.token {
            exchange.routing.metrics.count_token(outcome);
        }
        exchange.routing.metrics.count(exchange.route, end.decision, class, end.duration);
        end.given.iter().for_each(|(_, evaluation)| evaluation.count_request(class));
        self.count_arms(exchange, &end);
        shadow.end(status.filter(|_| exchange.failure != Some(failure::CLIENT_CLOSED)));
        let (is_observed, is_traced) = (self.observers.is_wanted(), exchange.is_sampled());
        if is_observed || is_traced {
            let flags: SmallVec<[_; 8]> = end.given.iter().map(observed).collect();
            if is_observed {
                self.tell_observers(session, exchange, &end, &flags);
            }
            if is_traced {
                self.trace(session, exchange, &end, &flags);
            }
        }
        let failed = end.status.is_none_or(|status| status >= 500) || end.is_error == Some(true);
        if self.access_log.takes(&exchange.request_id, failed) {
            self.access_log.push(self.access_line(session, exchange, end));
        }
    }

    /// Counts what became of the request for each arm that it took, if that says anything about the arm.
    fn count_arms(&self, exchange: &Exchange, end: &End<'_>) {
        let (Some(prepared), Some(is_error)) = (&exchange.prepared, end.is_error) else { return };
        // How long a connection is held that was given to the client says nothing of the upstream.
        let upgraded = end.status == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        let duration = exchange.upstream_time.filter(|_| upgraded).unwrap_or(end.duration);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(cell) = exchange.routing.arms.cell(prepared.route, prepared.strategy, prepared.upstream) {
            cell.count(micros, is_error, exchange.user);
        }
        for (flag, evaluation) in &end.given {
            let cell = evaluation.arm(|| exchange.routing.arms.variation(flag.key(), evaluation.variation()));
            cell.count(micros, is_error, exchange.user);
        }
    }

    fn tell_observers(&self, session: &Session, exchange: &Exchange, end: &End<'_>, flags: &[ObservedFlag<'_>]) {
        let request = session.req_header();
        self.observers.request(&Observed {
            time: exchange.time,
            duration: end.duration,
            upstream_duration: exchange.upstream_time,
            request_id: &exchange.request_id,
            method: &request.method,
            headers: &request.headers,
            path: request.uri.path(),
            status: end.status,
            is_error: end.is_error,
            failure: exchange.failure,
            route: exchange.route.map(|route| &exchange.routing.route_names[route]),
            strategy: end.decision.map(|(strategy, _)| strategy),
            upstream: end.decision.map(|(_, upstream)| exchange.routing.upstreams.name(upstream)),
            endpoint: end.endpoint.as_ref(),
            user_id: exchange.user_id.as_deref(),
            revision: exchange.revision(),
            flags,
        });
    }

    fn access_line(&self, session: &Session, exchange: &Exchange, end: End<'_>) -> AccessLine {
        let request = session.req_header();
        AccessLine {
            time: exchange.time,
            request_id: exchange.request_id.clone(),
            method: request.method.clone(),
            path: path(request.raw_path()),
            status: end.status,
            route: exchange.route.map(|route| Arc::clone(&exchange.routing.route_names[route])),
            strategy: end.decision.map(|(strategy, _)| strategy),
            upstream: end.decision.map(|(_, upstream)| Arc::clone(exchange.routing.upstreams.name(upstream))),
            endpoint: end.endpoint,
            tries: exchange.tries,
            revision: exchange.revision(),
            duration: end.duration,
            upstream_duration: exchange.upstream_time,
            bytes_received: session.body_bytes_read() as u64,
            bytes_sent: session.body_bytes_sent() as u64,
            error: exchange.failure,
            profile_unavailable: exchange.profile_unavailable,
            flags: access_log::flags(end.given.iter().map(|(flag, evaluation)| (flag.key(), evaluation.variation()))),
            user_id: exchange.user_id.as_deref().and_then(|user_id| self.access_log.shown(user_id)),
            trace: exchange.trace.as_ref().map(|trace| (trace.id(), trace.is_sampled())),
        }
    }
}

fn observed<'f>((flag, evaluation): &'f (&CompiledFlag, Evaluation<'_>)) -> ObservedFlag<'f> {
    ObservedFlag {
        key: flag.shared_key(),
        variation: evaluation.variation(),
        reason: evaluation.reason,
        detail: evaluation.detail,
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
