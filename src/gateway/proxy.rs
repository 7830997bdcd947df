//! One request's way through the gateway.

use std::{net::IpAddr, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, request::Parts};
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    proxy::{FailToProxy, ProxyHttp, Session},
    upstreams::peer::HttpPeer,
};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    admission::{Refusal, admissible},
    context::{Identity, RequestAttributes, client_address, identify},
    decide::{Decision, RouteFlags, decide},
    headers::{self, Protected},
    path, problem,
    routes::RouteTable,
    upstream::{EndpointGuard, Upstreams},
};
use crate::{
    clock,
    config::{AcceptIdentityFrom, Config, Listener, Route},
    model::Context,
    snapshot::{Snapshot, SnapshotCell},
    telemetry::{AccessLine, AccessLog, CodeClass, Metrics, RequestMetrics},
};

/// The proxy of one listener.
pub struct Gateway {
    config: Arc<Config>,
    listener: Listener,
    cell: SnapshotCell,
    routes: RouteTable,
    protected: Protected,
    upstreams: Arc<Upstreams>,
    metrics: RequestMetrics,
    in_flight: prometheus::IntGauge,
    access_log: AccessLog,
}

/// What is known of one request.
pub struct RequestState {
    /// Invariant: one request, one revision.
    snapshot: Arc<Snapshot>,
    started: Instant,
    chosen_at: Option<Instant>,
    request_id: String,
    route: Option<usize>,
    decision: Option<Decision>,
    inject: Vec<(HeaderName, HeaderValue)>,
    set_cookie: Option<String>,
    endpoint: Option<EndpointGuard>,
    tried: SmallVec<[usize; 4]>,
    body_bytes: u64,
    error: Option<String>,
}

impl Gateway {
    /// The proxy of `listener`.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        listener: &Listener,
        cell: SnapshotCell,
        upstreams: Arc<Upstreams>,
        metrics: &Metrics,
        access_log: AccessLog,
    ) -> Self {
        Self {
            routes: RouteTable::new(&config),
            protected: Protected::new(&config.inject),
            metrics: metrics.for_config(&config),
            in_flight: metrics.requests_in_flight().clone(),
            listener: listener.clone(),
            config,
            cell,
            upstreams,
            access_log,
        }
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.listener.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Matches, evaluates, decides, and prepares what the upstream is told. The path is made canonical in `header`.
    fn admit(&self, header: &mut RequestHeader, peer: IpAddr, state: &mut RequestState) -> Result<(), Refusal> {
        let host = admissible(header)?;
        let raw = header.uri.path().to_owned();
        let strict = path::canonical(&raw, false).ok_or((400, "the path is ambiguous"))?;
        let merged = path::canonical(&raw, true).ok_or((400, "the path is ambiguous"))?;
        let position = self
            .routes
            .find(&host, &merged, &header.method, &header.headers)
            .ok_or((404, "no route takes this request"))?;
        state.route = Some(position);
        let route = &self.config.routes[position];
        let path = if route.merge_slashes { merged } else { strict };
        let length = header.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > route.body_limit) {
            return Err((413, "the request's body is larger than the route allows"));
        }
        let is_proxy = self.is_proxy(peer);
        let trusted = match self.config.context.accept_identity_from {
            AcceptIdentityFrom::TrustedProxies => is_proxy,
            AcceptIdentityFrom::Anyone => true,
            AcceptIdentityFrom::Nobody => false,
        };
        let client = client_address(&header.headers, peer, |address| self.is_proxy(address)).to_string();
        if let Some(id) = header
            .headers
            .get(&self.config.inject.request_id)
            .and_then(|id| id.to_str().ok())
            .filter(|id| trusted && id.len() <= 128)
        {
            state.request_id = id.to_owned();
        }
        self.decide(route, header, trusted, &path, &host, &client, state);
        self.forwarded(header, &host, &client, peer, is_proxy, state);
        let forwarded = match &route.rewrite.strip_prefix {
            Some(prefix) if path::is_below(&path, prefix) => &path[prefix.trim_end_matches('/').len()..],
            Some(_) | None => &path,
        };
        let query = header.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let uri = format!("{}{forwarded}{query}", if forwarded.starts_with('/') { "" } else { "/" });
        if header.uri.path_and_query().is_none_or(|known| known.as_str() != uri) {
            header.set_uri(uri.parse().map_err(|_| (400, "the path is ambiguous"))?);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a fact of the one request")]
    fn decide(
        &self,
        route: &Route,
        request: &Parts,
        trusted: bool,
        path: &str,
        host: &str,
        client: &str,
        state: &mut RequestState,
    ) {
        let Identity { user_id, set_cookie } = identify(&self.config.context, request, trusted);
        let attributes = RequestAttributes::new(&self.config.context, request, trusted, path, host, client);
        let snapshot = Arc::clone(&state.snapshot);
        let context = Context { user_id: &user_id, attributes: &attributes, now: clock::now() };
        let mut flags = RouteFlags::new(&snapshot, snapshot.evaluator(context));
        let decision = decide(route, &mut flags, |upstream| self.upstreams.is_available(upstream));
        let names = &self.config.inject;
        let mut inject = |name: &HeaderName, text: &str| {
            if let Some(value) = headers::value(text) {
                state.inject.push((name.clone(), value));
            }
        };
        if !user_id.is_empty() {
            inject(&names.user_id, &user_id);
        }
        let (text, truncated) =
            headers::flags(route.flags.iter().filter_map(|key| Some((&**key, flags.evaluate(key)?))));
        if !text.is_empty() {
            inject(&names.flags, &text);
        }
        if truncated {
            inject(&HeaderName::from_static("x-flaggate-truncated"), "1");
        }
        for own in &route.flag_headers {
            if let Some(evaluation) = flags.evaluate(&own.flag) {
                inject(&own.header, evaluation.variation());
            }
        }
        let shown = names.context_attributes.iter().filter_map(|name| Some((name.clone(), attributes.json(name)?)));
        let shown: serde_json::Map<_, _> = shown.collect();
        if !shown.is_empty() {
            inject(&names.user_context, &headers::context(shown));
        }
        let revision = snapshot.revision().map_or(0, |revision| revision.number);
        let upstream = self.upstreams.name(decision.upstream);
        inject(
            &names.route,
            &format!("{};strategy={};upstream={upstream};revision={revision}", route.name, decision.strategy),
        );
        inject(&names.request_id, &state.request_id.clone());
        state.set_cookie = set_cookie;
        state.decision = Some(decision);
    }

    /// `X-Forwarded-For`, `-Proto` and `-Host`: continued from a trusted proxy, begun anew for anyone else.
    fn forwarded(
        &self,
        request: &Parts,
        host: &str,
        client: &str,
        peer: IpAddr,
        is_proxy: bool,
        state: &mut RequestState,
    ) {
        let before = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).filter(|_| is_proxy);
        let chain = before("x-forwarded-for").map_or_else(|| client.to_owned(), |before| format!("{before}, {peer}"));
        let named = [
            ("x-forwarded-for", chain.as_str()),
            ("x-forwarded-proto", before("x-forwarded-proto").unwrap_or("http")),
            ("x-forwarded-host", before("x-forwarded-host").unwrap_or(host)),
        ];
        let values =
            named.into_iter().filter_map(|(name, text)| Some((HeaderName::from_static(name), headers::value(text)?)));
        state.inject.extend(values);
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestState;

    fn new_ctx(&self) -> RequestState {
        self.in_flight.inc();
        RequestState {
            snapshot: self.cell.load(),
            started: clock::monotonic(),
            chosen_at: None,
            request_id: Uuid::new_v4().to_string(),
            route: None,
            decision: None,
            inject: Vec::with_capacity(10),
            set_cookie: None,
            endpoint: None,
            tried: SmallVec::new(),
            body_bytes: 0,
            error: None,
        }
    }

    async fn request_filter(&self, session: &mut Session, state: &mut RequestState) -> Result<bool> {
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical();
        match self.admit(session.req_header_mut(), peer, state) {
            Ok(()) => Ok(false),
            Err((status, detail)) => {
                state.error = Some(detail.to_owned());
                problem::respond(session, status, detail, &state.request_id).await?;
                Ok(true)
            }
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        state: &mut RequestState,
    ) -> Result<()> {
        state.body_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        match state.route.map(|route| self.config.routes[route].body_limit) {
            Some(limit) if state.body_bytes > limit => {
                Error::e_explain(ErrorType::HTTPStatus(413), "the request's body is larger than the route allows")
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, state: &mut RequestState) -> Result<Box<HttpPeer>> {
        let decision =
            state.decision.ok_or_else(|| Error::explain(ErrorType::InternalError, "no decision was made"))?;
        // Unhealthy endpoints are better than none at all only where there was no choice: then this is a 503.
        let chosen = self.upstreams.select(decision.upstream, &state.tried);
        let Some(endpoint) = chosen.or_else(|| self.upstreams.select(decision.upstream, &[])) else {
            return Err(Error::explain(ErrorType::HTTPStatus(503), "the upstream has no healthy endpoint"));
        };
        let peer = endpoint.peer();
        state.chosen_at.get_or_insert_with(clock::monotonic);
        state.endpoint = Some(endpoint);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        state: &mut RequestState,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let (Some(endpoint), Some(decision)) = (state.endpoint.take(), state.decision) {
            endpoint.failed_to_connect(self.upstreams.name(decision.upstream), &error);
            state.tried.push(endpoint.position());
            // Nothing was sent, so any method may be tried again.
            error.set_retry(state.tried.len() < self.upstreams.attempts(decision.upstream));
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        state: &mut RequestState,
    ) -> Result<()> {
        let nominated = headers::nominated(&session.req_header().headers);
        let dropped: Vec<HeaderName> = request
            .headers
            .keys()
            .filter(|name| self.protected.drops(name) || nominated.contains(name))
            .cloned()
            .collect();
        for name in dropped {
            request.remove_header(&name);
        }
        // Invariant: injected headers reach the upstream exactly once.
        for (name, value) in &state.inject {
            request.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        state: &mut RequestState,
    ) -> Result<()> {
        if let (Some(chosen), Some(decision)) = (state.chosen_at, state.decision) {
            self.metrics.upstream_answered(decision.upstream, clock::monotonic() - chosen);
        }
        if let Some(endpoint) = &state.endpoint {
            endpoint.connected();
        }
        response.insert_header("Server", "flaggate")?;
        if let Some(cookie) = &state.set_cookie {
            response.append_header("Set-Cookie", cookie.as_str())?;
        }
        let route = state.route.map(|route| &self.config.routes[route]);
        if let (Some(decision), Some(true)) = (state.decision, route.map(|route| route.expose)) {
            response.insert_header("X-Flaggate-Upstream", &**self.upstreams.name(decision.upstream))?;
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, state: &mut RequestState) -> FailToProxy {
        let (status, detail) = verdict(error);
        state.error = Some(error.to_string());
        if status > 0
            && session.response_written().is_none()
            && let Err(unsent) = problem::respond(session, status, detail, &state.request_id).await
        {
            log::debug!("failed to send an error response: {unsent}");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, state: &mut RequestState) {
        self.in_flight.dec();
        let status = session.response_written().map(|response| response.status.as_u16());
        let duration = clock::monotonic() - state.started;
        let taken = state.decision.map(|decision| (decision.strategy, decision.upstream));
        self.metrics.count(state.route, taken, CodeClass::of(status), duration);
        if self.access_log.is_on() {
            self.access_log.push(self.line(session, state, status, duration));
        }
    }
}

impl Gateway {
    fn line(
        &self,
        session: &Session,
        state: &mut RequestState,
        status: Option<u16>,
        duration: std::time::Duration,
    ) -> AccessLine {
        let request = session.req_header();
        AccessLine {
            time: clock::now(),
            request_id: state.request_id.as_str().into(),
            method: request.method.clone(),
            path: request.uri.path().into(),
            status,
            route: state.route.map(|route| self.config.routes[route].name.as_str().into()),
            strategy: state.decision.map(|decision| decision.strategy),
            upstream: state.decision.map(|decision| Arc::clone(self.upstreams.name(decision.upstream))),
            endpoint: state.endpoint.as_ref().map(|endpoint| Arc::clone(endpoint.address())),
            tries: state.tried.len() + usize::from(state.endpoint.is_some()),
            revision: state.snapshot.revision().map(|revision| revision.number),
            duration,
            upstream_duration: None,
            bytes_received: state.body_bytes,
            bytes_sent: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
            error: state.error.take().map(Into::into),
        }
    }
}

/// The status for an error, and what the client is told. 0: the client is gone.
fn verdict(error: &Error) -> (u16, &'static str) {
    match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(413), _) => (413, "the request's body is larger than the route allows"),
        (ErrorType::HTTPStatus(503), _) => (503, "the upstream has no healthy endpoint"),
        (ErrorType::HTTPStatus(status), _) => (*status, "the request cannot be answered"),
        (ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => {
            (504, "the upstream did not answer in time")
        }
        (_, ErrorSource::Upstream) => (502, "the upstream failed"),
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => (408, "the request did not arrive in time"),
        (ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => {
            (0, "")
        }
        (_, ErrorSource::Downstream) => (400, "the request is not valid HTTP"),
        (_, ErrorSource::Internal | ErrorSource::Unset) => (500, "the gateway failed"),
    }
}
