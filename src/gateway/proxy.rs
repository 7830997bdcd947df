//! The way of a request through pingora's phases.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, SET_COOKIE},
};
use pingora::{
    Error, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::{ALPN, HttpPeer},
};

use super::{
    admission::TOO_MANY_HEADERS,
    counting::Counting,
    exchange::{Exchange, remaining},
    explained,
    failure::{self, Failure},
    flip::Flips,
    grpc,
    mirror::{self, Shadow},
    patience::Deadline,
    request::refused,
    response, retry,
    routing::RoutingCell,
    service::Parts,
    tls::asked_for,
    upgrade::ConnectForUpgrade,
};
use crate::{
    clock,
    drain::Drain,
    recent::Recent,
    snapshot::SnapshotCell,
    telemetry::{AccessLog, Observers, Tracer},
};

/// The longest pause in a request's body.
const BODY_PAUSE: Duration = Duration::from_secs(15);

/// How long a client of HTTP/2 may take no more of an answer that is there for it.
const READER_PAUSE: Duration = Duration::from_secs(30);

/// Tells the client which upstream answered, where the route allows it.
const UPSTREAM_HEADER: &str = "X-Flaggate-Upstream";

/// The gateway: routes each request by feature flag.
#[derive(Debug)]
pub struct Gateway {
    /// The position of its listener.
    listener: usize,
    routing: RoutingCell,
    cell: SnapshotCell,
    pub(super) access_log: AccessLog,
    pub(super) observers: Observers,
    pub(super) tracer: Option<Tracer>,
    drain: Drain,
    pub(super) recent: Recent,
    flips: Flips,
}

impl Gateway {
    /// The proxy of the listener at a position of the configuration.
    #[must_use]
    pub fn new(parts: &Parts, listener: usize) -> Self {
        let Parts { cell, access_log, observers, tracer, drain, recent, routing, .. } = parts;
        Self {
            listener,
            flips: Flips::new(listener, cell.clone(), routing.clone()),
            routing: routing.clone(),
            drain: drain.clone(),
            recent: recent.clone(),
            cell: cell.clone(),
            access_log: access_log.clone(),
            observers: observers.clone(),
            tracer: tracer.clone(),
        }
    }

    /// Answers with a problem instead of an upstream's response.
    async fn refuse(&self, session: &mut Session, exchange: &Exchange, failure: &Failure) -> Result<()> {
        if self.drain.is_draining() {
            session.set_keepalive(None);
        }
        failure::respond(session, &exchange.request_id, exchange.explained.as_ref(), failure).await
    }

    /// Whether a client takes too long for a body. A call of gRPC may pause between its messages.
    fn waits_for_body(&self, session: &Session, exchange: &Exchange) -> bool {
        let rate = exchange.routing.config.listeners[self.listener].min_body_rate;
        exchange.body_is_slow(rate) && !grpc::is_call(session.req_header())
    }

    /// The copy of a request that is about to be sent: made with the first try.
    fn shadow(&self, session: &mut Session, request: &RequestHeader, exchange: &mut Exchange) -> Shadow {
        if exchange.tries > 1 {
            exchange.shadow.begin_again();
            return std::mem::replace(&mut exchange.shadow, Shadow::Over);
        }
        if session.is_upgrade_req() || session.req_header().headers.contains_key(mirror::SHADOW) {
            return Shadow::Over;
        }
        let Some(route) = exchange.route else { return Shadow::Over };
        let revision = exchange.snapshot.revision().map_or(0, |revision| revision.number);
        exchange.routing.mirrors.copy(route, request, revision, !session.is_body_empty(), exchange.user)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.cell.load(), self.routing.load(), self.drain.enter())
    }

    /// No module: the gateway neither compresses nor caches.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let is_cut = Deadline::of(session.stream()).is_some_and(|deadline| {
            deadline.header_complete();
            deadline.head_was_cut()
        });
        session.set_read_timeout(Some(BODY_PAUSE));
        if session.as_downstream().is_http2() {
            // The connection goes on being read while a stream waits for its client.
            session.set_write_timeout(Some(READER_PAUSE));
        }
        let peer =
            session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_canonical());
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let routing = Arc::clone(&exchange.routing);
        let (requests, upstreams) = (&routing.requests[self.listener], &routing.upstreams);
        if let Some(tracer) = &self.tracer {
            exchange.trace = Some(tracer.begin(&session.req_header().headers, || requests.is_proxy(peer)));
        }
        exchange.asked_for = asked_for(session);
        let whole = if is_cut { Err(refused(TOO_MANY_HEADERS)) } else { Ok(()) };
        let taken = whole.and_then(|()| requests.take(session.req_header_mut(), peer, exchange)).and_then(|taken| {
            let asker = requests.asker(&taken, session.req_header(), exchange.time);
            routing.limits.check(asker, exchange.started).map(|()| taken)
        });
        match taken {
            Ok(taken) => {
                let header = session.req_header();
                let may_see = explained::may_see(&routing.config.explain, &header.headers, exchange.time);
                let mut counting = Counting::new(self, exchange, may_see.then_some(&**upstreams));
                let prepared = requests.prepare(&taken, header, exchange, upstreams, &mut counting).await;
                (exchange.user, exchange.user_id, exchange.given) = (counting.user, counting.user_id, counting.given);
                exchange.explained = counting.explained;
                upstreams.count_request(prepared.upstream, exchange.started);
                let time = upstreams.request_timeout(prepared.upstream);
                exchange.response_due = Some(exchange.started + time);
                exchange.awaits_body = !session.is_body_empty();
                if let Some(deadline) = Deadline::of(session.stream()) {
                    deadline.await_response(remaining(exchange.response_due));
                    if exchange.awaits_body {
                        deadline.await_body();
                    }
                }
                exchange.prepared = Some(prepared);
                self.flips.remember(taken, exchange);
                Ok(false)
            }
            Err(failure) => {
                exchange.failure = Some(failure.code);
                self.refuse(session, exchange, &failure).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let upstream = exchange.upstream().ok_or_else(|| Error::new_in(ErrorType::InternalError))?;
        let subject = exchange.prepared.as_ref().map_or(0, |prepared| prepared.subject);
        // The one that failed before is tried again only where there is no other.
        let guard = exchange
            .routing
            .upstreams
            .select(upstream, &exchange.failed, subject)
            .or_else(|| exchange.routing.upstreams.select(upstream, &[], subject));
        let Some(guard) = guard else {
            exchange.failure = Some(failure::NO_ENDPOINT);
            return Err(Error::new_up(ErrorType::HTTPStatus(StatusCode::SERVICE_UNAVAILABLE.as_u16())));
        };
        let mut peer = guard.peer();
        let time_left = exchange.response_time_left();
        let connect = peer.options.connection_timeout.map_or(time_left, |connect| connect.min(time_left));
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        if session.as_downstream().is_http2() && !grpc::may_pause(session.req_header()) {
            // On a stream there is no deadline for the response as on a connection (`Deadline`): the upstream's pauses are
            // bounded instead.
            peer.options.read_timeout = Some(peer.options.read_timeout.map_or(time_left, |read| read.min(time_left)));
        }
        if session.is_upgrade_req() && session.is_body_empty() {
            // An upgrade is one of HTTP/1.1, whatever else the upstream speaks.
            peer.options.alpn = ALPN::H1;
            if !peer.is_tls() {
                peer.options.custom_l4 = Some(Arc::new(ConnectForUpgrade { timeout: connect }));
            }
            unshare(&mut peer);
        } else if exchange.tries > 0 {
            // The pool may hold more than one dead connection: what is tried again gets a new one.
            unshare(&mut peer);
        }
        exchange.try_endpoint(guard);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        retry::not_connected(exchange, &mut error);
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(endpoint) = &exchange.endpoint {
            endpoint.connected();
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        match &exchange.prepared {
            Some(prepared) => {
                exchange.routing.requests[self.listener].forward(session.req_header(), request, prepared);
                if prepared.is_mirrored {
                    exchange.shadow = self.shadow(session, request, exchange);
                }
                Ok(())
            }
            None => Err(Error::new_in(ErrorType::InternalError)),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.shadow.take_body(body.as_ref(), end_of_stream);
        if end_of_stream {
            exchange.awaits_body = false;
            if let Some(deadline) = Deadline::of(session.stream()) {
                deadline.body_complete();
            }
        }
        let Some(prepared) = &exchange.prepared else { return Ok(()) };
        if session.was_upgraded() {
            return Ok(());
        }
        exchange.body_bytes += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if exchange.body_bytes > exchange.routing.config.routes[prepared.route].body_limit {
            return Err(Error::new_down(ErrorType::HTTPStatus(StatusCode::PAYLOAD_TOO_LARGE.as_u16())));
        }
        // A stream has no deadline as a connection has (`Deadline`).
        if session.as_downstream().is_http2() && self.waits_for_body(session, exchange) {
            return Err(Error::new_down(ErrorType::HTTPStatus(StatusCode::REQUEST_TIMEOUT.as_u16())));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "101 without a request to upgrade").into_up());
        }
        response::clean(response)?;
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if let Some(deadline) = Deadline::of(session.stream()) {
            deadline.response_started();
            if response.status == StatusCode::SWITCHING_PROTOCOLS {
                deadline.begin_tunnel();
            }
        }
        if self.drain.is_draining() {
            session.set_keepalive(None);
        }
        self.flips.see_header(session, response, exchange);
        let Some(prepared) = &exchange.prepared else { return Ok(()) };
        exchange.upstream_time = exchange.tried_at.map(|tried| clock::monotonic().duration_since(tried));
        if let Some(time) = exchange.upstream_time {
            exchange.routing.metrics.upstream_answered(prepared.upstream, time);
        }
        exchange.endpoint_answered(!response.status.is_server_error());
        if let Some(vary) = exchange.routing.requests[self.listener].vary(prepared.route) {
            vary.add_to(response, prepared.asked)?;
        }
        for cookie in &prepared.set_cookies {
            response.append_header(SET_COOKIE, cookie.clone())?;
        }
        if !prepared.set_cookies.is_empty() {
            response::keep_private(response)?;
        }
        if let Some(decision) = &exchange.explained {
            response.insert_header(explained::DECISION, decision.clone())?;
            response.insert_header(CACHE_CONTROL, "private, no-store")?;
        }
        if exchange.routing.config.routes[prepared.route].expose
            && let Ok(name) = HeaderValue::from_str(exchange.routing.upstreams.name(prepared.upstream))
        {
            response.insert_header(UPSTREAM_HEADER, name)?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        if let Some(flip) = &exchange.flip {
            if flip.is_over() {
                return Err(Error::new_down(ErrorType::ConnectionClosed));
            }
            self.flips.see_body(session, exchange);
        }
        exchange.shadow.see_answer(body.as_ref());
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        retry::broke_off(session, exchange, &mut error, reused);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        let deadline = Deadline::of(session.stream());
        let failure = if exchange.flip.as_ref().is_some_and(|flip| flip.is_over()) {
            Failure::drained()
        } else if deadline.is_some_and(|deadline| deadline.body_is_late()) || self.waits_for_body(session, exchange) {
            Failure::request_too_slow()
        } else {
            Failure::of(error, deadline.is_some_and(|deadline| deadline.response_is_late()), exchange.failure)
        };
        exchange.failure = Some(failure.code);
        // An endpoint cannot answer what it was not sent yet.
        let is_owed = exchange.awaits_body && failure.code == failure::TIMED_OUT;
        if failure::is_upstreams(failure.code) && exchange.upstream_time.is_none() && !is_owed {
            exchange.endpoint_answered(false);
        }
        if failure.is_ours() {
            let trace_id = exchange.trace.as_ref().map(|trace| tracing::field::display(trace.id()));
            tracing::error!(request_id = &*exchange.request_id, trace_id, %error, "failed to serve a request");
        }
        // The response may be under way: then the client sees it cut off.
        if failure.status.is_some() && session.response_written().is_none_or(|sent| sent.status.is_informational()) {
            session.set_keepalive(None);
            if let Err(error) = self.refuse(session, exchange, &failure).await {
                tracing::debug!(request_id = &*exchange.request_id, %error, "failed to send a problem to the client");
            }
        }
        FailToProxy { error_code: failure.status.map_or(0, |status| status.as_u16()), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, exchange: &mut Exchange) {
        if let Some(deadline) = Deadline::of(session.stream()) {
            deadline.between_requests();
        }
        self.report(session, exchange);
    }

    /// What fails is counted and stands in the access log.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Makes a connection that was not used before and will not be used again.
fn unshare(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}
