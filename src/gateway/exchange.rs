//! What the gateway remembers of one request and its response.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use jiff::Timestamp;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    decide::GivenFlags, flip::Flip, mirror::Shadow, request::Prepared, routing::Routing, upstream::EndpointGuard,
};
use crate::{
    clock,
    config::UpstreamIndex,
    drain::InFlight,
    snapshot::Snapshot,
    telemetry::{TokenOutcome, Trace},
};

/// How long the body of a stream may come more slowly than it must.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// One request on its way.
///
/// Invariant: one request sees one snapshot and one configuration.
#[derive(Debug)]
pub struct Exchange {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) routing: Arc<Routing>,
    pub(super) time: Timestamp,
    pub(super) started: Instant,
    pub(super) request_id: Box<str>,
    /// The name that the client asked for when it connected (SNI); none without TLS.
    pub(super) asked_for: Option<Arc<str>>,
    /// Its place in a trace, if requests are traced.
    pub(super) trace: Option<Trace>,
    /// The position of the route that matched.
    pub(super) route: Option<usize>,
    /// What was decided; none while, or if, it could not be.
    pub(super) prepared: Option<Prepared>,
    /// What its flags gave.
    pub(super) given: GivenFlags,
    /// Who asked, as arms count it; none: nobody known.
    pub(super) user: Option<(u16, u8)>,
    /// Who asked, if anybody wants to know; none: nobody known.
    pub(super) user_id: Option<Box<str>>,
    /// How its token fared; none: there is none, or nobody asked for it.
    pub(super) token: Option<TokenOutcome>,
    /// What is remembered of it where the route ends what lives long.
    pub(super) flip: Option<Box<Flip>>,
    /// The decision, for a client that may see it.
    pub(super) explained: Option<HeaderValue>,
    /// The copy that goes to the route's mirror.
    pub(super) shadow: Shadow,
    /// When the response's header is due.
    pub(super) response_due: Option<Instant>,
    /// The endpoint that is being tried.
    pub(super) endpoint: Option<EndpointGuard>,
    /// The one that was tried last, for the access log.
    last_endpoint: Option<Arc<str>>,
    pub(super) tries: usize,
    pub(super) tried_at: Option<Instant>,
    /// Positions of the endpoints that failed.
    pub(super) failed: SmallVec<[usize; 4]>,
    pub(super) upstream_time: Option<Duration>,
    pub(super) body_bytes: u64,
    /// Whether its body is not whole yet.
    pub(super) awaits_body: bool,
    /// Flags were evaluated without the user's profile, which did not come in time.
    pub(super) profile_unavailable: bool,
    /// What went wrong, in one word.
    pub(super) failure: Option<&'static str>,
    _in_flight: InFlight,
}

impl Exchange {
    pub(super) fn new(snapshot: Arc<Snapshot>, routing: Arc<Routing>, in_flight: InFlight) -> Self {
        let time = clock::now();
        Self {
            snapshot,
            routing,
            time,
            started: clock::monotonic(),
            request_id: request_id(time),
            asked_for: None,
            trace: None,
            route: None,
            prepared: None,
            given: SmallVec::new(),
            user: None,
            user_id: None,
            token: None,
            flip: None,
            explained: None,
            shadow: Shadow::Over,
            response_due: None,
            endpoint: None,
            last_endpoint: None,
            tries: 0,
            tried_at: None,
            failed: SmallVec::new(),
            upstream_time: None,
            body_bytes: 0,
            awaits_body: false,
            profile_unavailable: false,
            failure: None,
            _in_flight: in_flight,
        }
    }

    pub(super) fn upstream(&self) -> Option<UpstreamIndex> {
        self.prepared.as_ref().map(|prepared| prepared.upstream)
    }

    /// The revision of its flags.
    pub(super) fn revision(&self) -> Option<u64> {
        self.snapshot.revision().map(|revision| revision.number)
    }

    /// How long the response's header may still take.
    pub(super) fn response_time_left(&self) -> Duration {
        remaining(self.response_due)
    }

    /// Starts a try; the body is sent from its beginning.
    pub(super) fn try_endpoint(&mut self, endpoint: EndpointGuard) {
        self.tries += 1;
        self.body_bytes = 0;
        self.tried_at = Some(clock::monotonic());
        self.last_endpoint = Some(Arc::clone(endpoint.address()));
        self.endpoint = Some(endpoint);
    }

    /// Ends a try that failed, so that the next one goes elsewhere.
    pub(super) fn endpoint_failed(&mut self) -> Option<EndpointGuard> {
        let endpoint = self.endpoint.take()?;
        self.failed.push(endpoint.position());
        Some(endpoint)
    }

    /// The endpoint that is being tried answered, well or not.
    pub(super) fn endpoint_answered(&self, is_good: bool) {
        if let (Some(upstream), Some(endpoint)) = (self.upstream(), &self.endpoint) {
            self.routing.upstreams.answered(upstream, endpoint.position(), is_good);
        }
    }

    /// Whether the request's body comes more slowly than at `rate` bytes a second, and the upstream waits for it.
    pub(super) fn body_is_slow(&self, rate: u64) -> bool {
        let elapsed = clock::monotonic().duration_since(self.started);
        let is_slow = elapsed > BODY_GRACE && self.body_bytes < elapsed.as_secs().saturating_mul(rate);
        is_slow && self.awaits_body && self.upstream_time.is_none()
    }

    /// The endpoint that was tried last.
    pub(super) fn last_endpoint(&mut self) -> Option<Arc<str>> {
        self.endpoint = None;
        self.last_endpoint.take()
    }
}

/// An id that sorts by time (UUID version 7). `Uuid::now_v7` would take a lock.
fn request_id(time: Timestamp) -> Box<str> {
    // The bytes of version 4 that hold nothing but random bits.
    let source = Uuid::new_v4();
    let mut random = [0; 10];
    random[..6].copy_from_slice(&source.as_bytes()[..6]);
    random[6..].copy_from_slice(&source.as_bytes()[12..]);
    let id = uuid::Builder::from_unix_timestamp_millis(u64::try_from(time.as_millisecond()).unwrap_or(0), &random);
    (&*id.into_uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer())).into()
}

/// The time until an instant; nothing when it is over or unknown.
pub(super) fn remaining(until: Option<Instant>) -> Duration {
    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(clock::monotonic()))
}
