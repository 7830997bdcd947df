//! What is told of a request to who traces it.

use http::{Version, header::HOST};
use pingora::proxy::Session;

use super::{exchange::Exchange, proxy::Gateway, report::End};
use crate::telemetry::{ObservedFlag, RequestSpans, Tracer, Try};

impl Gateway {
    /// Hands the spans of a request that is over to the tracer, if it is sampled.
    pub(super) fn trace(&self, session: &Session, exchange: &Exchange, end: &End<'_>, flags: &[ObservedFlag<'_>]) {
        let (Some(tracer), Some(trace)) = (&self.tracer, &exchange.trace) else { return };
        let request = session.req_header();
        let route = exchange.route.map(|route| &exchange.routing.config.routes[route]);
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        let host = || request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let call = exchange.tried_at.zip(end.endpoint.as_deref()).map(|(tried_at, endpoint)| Try {
            endpoint,
            after: tried_at.duration_since(exchange.started),
            before: exchange.tries.saturating_sub(1),
            status: end.status.filter(|_| exchange.upstream_time.is_some()),
        });
        let user_id = exchange.user_id.as_deref().and_then(|user_id| tracer.shown(user_id));
        tracer.record(&RequestSpans {
            trace,
            time: exchange.time,
            duration: end.duration,
            method: &request.method,
            version: version(request.version),
            authority: authority.or_else(host).unwrap_or_default(),
            path: request.uri.path(),
            status: end.status,
            failure: exchange.failure,
            request_id: &exchange.request_id,
            route: route.map(|route| (&*route.name, &*route.matches.path_prefix)),
            strategy: end.decision.map(|(strategy, _)| strategy),
            upstream: end.decision.map(|(_, upstream)| &**exchange.routing.upstreams.name(upstream)),
            call,
            revision: exchange.revision(),
            environment: tracer.environment(),
            user_id: user_id.as_deref(),
            flags,
        });
    }
}

impl Exchange {
    /// Whether its spans are recorded.
    pub(super) fn is_sampled(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.is_sampled())
    }

    /// Whether its spans will name the user.
    pub(super) fn names_user(&self, tracer: Option<&Tracer>) -> bool {
        self.is_sampled() && tracer.is_some_and(Tracer::tells_user_ids)
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
