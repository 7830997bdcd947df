//! Shadow traffic: copies of requests go to another upstream, and its answers are compared with those that clients get.
//!
//! Invariant: a copy never delays or changes the answer to a client. What the client's request waits for is a copy of its
//! header; everything else goes on elsewhere, bounded in number and time, and is never tried again.

mod send;

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Version,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use pingora::{connectors::http::Connector, http::RequestHeader};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
};

use super::upstream::Upstreams;
use crate::{
    config::{self, Config},
    model::{Arm, ArmCell, Users},
    telemetry::{Arms, Metrics, MirrorMetrics, Mirrored},
};

/// Tells an upstream that nobody waits for its answer. A request that comes with it is a copy, and is not copied again.
pub(super) const SHADOW: HeaderName = HeaderName::from_static("x-flaggate-shadow");

/// The strategy of the arm that copies are counted for.
const STRATEGY: &str = "mirror";

/// The largest body that is copied.
const LARGEST_BODY: usize = 64 << 10;

/// What ends at this hop, or is said anew for a copy that is sent in one piece.
const OF_THIS_HOP: [HeaderName; 6] = [CONNECTION, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// What lets its bearer act for a user.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The mirrors of a configuration's routes.
#[derive(Debug)]
pub(super) struct Mirrors(Vec<Option<Arc<Mirror>>>);

/// The mirror of one route.
pub(super) struct Mirror {
    config: config::Mirror,
    /// What a copy says in the header that tells how it was routed, but the revision.
    told: (HeaderName, String),
    /// Where copies are counted, for a judge.
    arm: Arc<ArmCell>,
    metrics: MirrorMetrics,
    slots: Arc<Semaphore>,
    upstreams: Arc<Upstreams>,
    connector: Arc<Connector>,
    /// Where copies are sent: not where requests are answered.
    runtime: Handle,
}

/// The copy of one request, seen from the request.
#[derive(Debug)]
pub(super) enum Shadow {
    /// Its body is still coming.
    Collecting { mirror: Arc<Mirror>, header: Box<RequestHeader>, body: BytesMut, user: Option<(u16, u8)> },
    /// It is on its way, and wants to know how the request itself ends.
    Sent { tell: oneshot::Sender<Answer>, body: Option<DefaultHasher> },
    /// There is none, or none any more.
    Over,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// A hash of the body, if it is compared.
    pub(super) body: Option<u64>,
}

impl Mirrors {
    /// The mirrors of these routes; copies are sent on `runtime`.
    pub(super) fn new(
        config: &Config,
        upstreams: &Arc<Upstreams>,
        arms: &Arms,
        metrics: &Metrics,
        runtime: &Handle,
    ) -> Self {
        let mut connector = None;
        let routes = config.routes.iter().map(|route| {
            let mirror = route.mirror.as_ref()?;
            let upstream = upstreams.name(mirror.upstream);
            let (name, strategy) = (Arc::from(route.name.as_str()), Arc::from(STRATEGY));
            Some(Arc::new(Mirror {
                told: (
                    config.inject.route.clone(),
                    format!("{};strategy={STRATEGY};upstream={upstream};revision=", route.name),
                ),
                arm: arms.cell(Arm::Route { route: name, strategy, upstream: Arc::clone(upstream) }),
                metrics: metrics.mirror(&route.name, upstream),
                slots: Arc::new(Semaphore::new(mirror.max_in_flight)),
                upstreams: Arc::clone(upstreams),
                connector: Arc::clone(connector.get_or_insert_with(|| Arc::new(Connector::new(None)))),
                runtime: runtime.clone(),
                config: mirror.clone(),
            }))
        });
        Self(routes.collect())
    }

    /// Copies a request as its upstream gets it; the body, if there is one, is still to come.
    pub(super) fn copy(
        &self,
        route: usize,
        request: &RequestHeader,
        revision: u64,
        has_body: bool,
        user: Option<(u16, u8)>,
    ) -> Shadow {
        let Some(Some(mirror)) = self.0.get(route) else { return Shadow::Over };
        let announced = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > LARGEST_BODY) {
            mirror.metrics.count(Mirrored::Dropped);
            return Shadow::Over;
        }
        let Some(header) = mirror.header(request, revision) else { return Shadow::Over };
        if has_body {
            Shadow::Collecting { mirror: Arc::clone(mirror), header: Box::new(header), body: BytesMut::new(), user }
        } else {
            mirror.send(header, Bytes::new(), user)
        }
    }
}

/// Whether requests of this method and user are copied, where the mirror's flag is on for the user. Who is unknown is drawn
/// by the request.
pub(super) fn is_chosen(
    mirror: &config::Mirror,
    method: &Method,
    route: &str,
    user_id: &str,
    request_id: &str,
) -> bool {
    let who = if user_id.is_empty() { request_id } else { user_id };
    let drawn = Users::hash(who) ^ Users::hash(route).rotate_left(32);
    // Spread once more: two routes do not copy the same users.
    let drawn = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    mirror.methods.contains(method) && (drawn * 100) >> 32 < mirror.percent
}

impl Mirror {
    fn header(&self, request: &RequestHeader, revision: u64) -> Option<RequestHeader> {
        let mut header = request.clone();
        header.set_version(Version::HTTP_11);
        for name in &OF_THIS_HOP {
            header.remove_header(name);
        }
        if !self.config.credentials {
            for name in &CREDENTIALS {
                header.remove_header(name);
            }
        }
        let (name, told) = &self.told;
        header.insert_header(name.clone(), format!("{told}{revision}")).ok()?;
        header.insert_header(SHADOW, HeaderValue::from_static("1")).ok()?;
        Some(header)
    }
}

impl Shadow {
    /// Takes a piece of the request's body.
    pub(super) fn take_body(&mut self, bytes: Option<&Bytes>, is_end: bool) {
        let Self::Collecting { mirror, body, .. } = self else { return };
        let bytes = bytes.map_or(&[][..], |bytes| bytes);
        if body.len() + bytes.len() > LARGEST_BODY {
            mirror.metrics.count(Mirrored::Dropped);
            *self = Self::Over;
            return;
        }
        body.extend_from_slice(bytes);
        if is_end && let Self::Collecting { mirror, mut header, body, user } = std::mem::replace(self, Self::Over) {
            // An error says that the copy cannot be made; nobody misses it.
            if header.insert_header(CONTENT_LENGTH, body.len()).is_ok() {
                *self = mirror.send(*header, body.freeze(), user);
            }
        }
    }

    /// The request's body comes once more from its beginning.
    pub(super) fn begin_again(&mut self) {
        if let Self::Collecting { body, .. } = self {
            body.clear();
        }
    }

    /// Sees a piece of the answer's body.
    pub(super) fn see_answer(&mut self, bytes: Option<&Bytes>) {
        if let (Self::Sent { body: Some(hasher), .. }, Some(bytes)) = (self, bytes) {
            hasher.write(bytes);
        }
    }

    /// Tells how the request ended; `None`: the client did not wait for it.
    pub(super) fn end(self, status: Option<u16>) {
        match self {
            Self::Sent { tell, body } => {
                if let Some(status) = status {
                    // An error says that the copy is not waited for any more.
                    tell.send(Answer { status, body: body.map(|hasher| hasher.finish()) }).ok();
                }
            }
            Self::Collecting { mirror, .. } => mirror.metrics.count(Mirrored::Dropped),
            Self::Over => {}
        }
    }
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Mirror").field("config", &self.config).finish_non_exhaustive()
    }
}
