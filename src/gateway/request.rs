//! The request side: whether a request is taken, where it goes, and what its upstream is told.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts};
use jiff::Timestamp;
use pingora::http::RequestHeader;
use smallvec::SmallVec;

use super::{
    admission::{self, Refusal, admissible, as_http1},
    baggage::{BAGGAGE, baggage},
    context::{AllAttributes, Asked, Asker, Identity, RequestAttributes, client_address},
    decide::{Decision, Evaluated, RouteFlags, Tried},
    exchange::Exchange,
    failure::Failure,
    forwarded::{forwarded, rewrite},
    headers::{self, Protected},
    mirror::is_chosen,
    path,
    response::Vary,
    routes::RouteTable,
    sticky::Seal,
    subject,
    token::{Checked, Tokens},
    upstream::Upstreams,
};
use crate::{
    config::{AcceptIdentityFrom, Config, Listener, Route, UpstreamIndex},
    model::{Attributes as _, Context, WithProfile},
    profiles::{Found, Profiles},
    snapshot::Snapshot,
    telemetry::{TokenOutcome, Trace},
};

const TRUNCATED: HeaderName = HeaderName::from_static("x-flaggate-truncated");

/// What the requests of one listener are held against, compiled once.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) config: Arc<Config>,
    listener: Listener,
    routes: RouteTable,
    protected: Protected,
    /// What the answers of a route with flags depend on.
    vary: Vary,
    /// What signs the cookies of sticky routes.
    pub(super) seal: Seal,
    /// What verifies tokens, if any are believed.
    tokens: Option<Arc<Tokens>>,
    /// Where users' profiles are looked up, if they are.
    profiles: Option<Profiles>,
    /// For each route, whether its flags ever asked for what a request did not say: a hint to look into the cache first.
    asks_for_more: Vec<AtomicBool>,
}

/// A request that is taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The position of its route.
    pub(super) position: usize,
    /// In lower case and without its port.
    pub(super) host: String,
    /// The name that the client asked for when it connected (SNI); none without TLS.
    pub(super) asked_for: Option<Arc<str>>,
    /// The listener encrypts.
    pub(super) is_encrypted: bool,
    /// The canonical path.
    pub(super) path: String,
    /// The client's address.
    pub(super) client: String,
    pub(super) peer: IpAddr,
    /// The peer is a trusted proxy.
    pub(super) is_proxy: bool,
    /// Identity headers and cookies are believed.
    pub(super) trusted: bool,
    /// Its token, once somebody has asked for it.
    pub(super) token: OnceLock<Option<Checked>>,
}

/// What was decided for one request.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The position of the route.
    pub(super) route: usize,
    /// Where it goes.
    pub(super) upstream: UpstreamIndex,
    /// The hash of whose request it is, where the upstream's endpoint is chosen by that.
    pub(super) subject: u64,
    /// The strategy that said so.
    pub(super) strategy: &'static str,
    /// A copy of it goes to the route's mirror.
    pub(super) is_mirrored: bool,
    /// Cookies for the client.
    pub(super) set_cookies: SmallVec<[HeaderValue; 2]>,
    /// What was asked for that the configuration does not name.
    pub(super) asked: Asked,
    /// What the upstream is told.
    pub(super) inject: Vec<(HeaderName, HeaderValue)>,
}

/// Who watches while a request is decided.
pub(super) trait Witness {
    /// It begins, maybe once more: what was seen before does not count.
    fn begin(&mut self);
    /// A strategy was tried.
    fn tried(&mut self, tried: &Tried<'_>);
    /// It is decided.
    fn decided(&mut self, seen: &Seen<'_>);
}

/// What a decision rests on.
pub(super) struct Seen<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) context: Context<'a>,
    /// The attributes that the request itself says.
    pub(super) said: &'a dyn AllAttributes,
    /// What a look-up of the profile gave; `None`: no flag asked for it.
    pub(super) found: Option<&'a Found>,
    /// The user was unknown, and got an id.
    pub(super) is_drawn: bool,
    pub(super) route: &'a Route,
    pub(super) flags: &'a dyn Evaluated,
    pub(super) decision: Decision,
}

impl Requests {
    pub(super) fn new(
        config: Arc<Config>,
        listener: &Listener,
        profiles: Option<Profiles>,
        tokens: Option<Arc<Tokens>>,
    ) -> Self {
        Self {
            tokens,
            profiles,
            asks_for_more: config.routes.iter().map(|_| AtomicBool::new(false)).collect(),
            routes: RouteTable::new(&config),
            protected: Protected::new(&config),
            seal: Seal::new(&config.sticky),
            vary: Vary::of(&config.context),
            listener: listener.clone(),
            config,
        }
    }

    /// Finds the route of a request that is not refused. The path is made canonical in `header`.
    pub(super) fn take(
        &self,
        header: &mut RequestHeader,
        peer: IpAddr,
        exchange: &mut Exchange,
    ) -> Result<Taken, Failure> {
        as_http1(header).map_err(refused)?;
        let host = admissible(header).map_err(refused)?;
        admission::join_codings(header).map_err(refused)?;
        let raw = header.uri.path().to_owned();
        let canonical = |merge| path::canonical(&raw, merge).ok_or_else(|| refused((400, "the path is ambiguous")));
        let strict = canonical(false)?;
        let merged = if strict.contains("//") { canonical(true)? } else { strict.clone() };
        let find = |path: &str| self.routes.find(&host, path, &header.method, &header.headers);
        let position = find(&merged).ok_or_else(|| refused((404, "no route takes this request")))?;
        let route = &self.config.routes[position];
        let path = if route.merge_slashes { merged } else { strict };
        // What is forwarded must lead to the same route, else one could get round another route's rules.
        if !route.merge_slashes && path.contains("//") && find(&path) != Some(position) {
            return Err(refused((400, "the path is ambiguous")));
        }
        exchange.route = Some(position);
        let length = header.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > route.body_limit) {
            return Err(Failure::body_too_large());
        }
        let is_proxy = self.is_proxy(peer);
        let trusted = match self.config.context.accept_identity_from {
            AcceptIdentityFrom::TrustedProxies => is_proxy,
            AcceptIdentityFrom::Anyone => true,
            AcceptIdentityFrom::Nobody => false,
        };
        let client = client_address(&header.headers, peer, |address| self.is_proxy(address)).to_string();
        rewrite(header, route, &path)?;
        let path = path.into_owned();
        let (asked_for, token) = (exchange.asked_for.clone(), OnceLock::new());
        let is_encrypted = self.listener.tls.is_some();
        let taken = Taken { position, host, asked_for, is_encrypted, path, client, peer, is_proxy, trusted, token };
        self.take_request_id(header, &taken, exchange);
        self.require_token(header, &taken, exchange)?;
        Ok(taken)
    }

    /// Refuses a request without a good token, where its route wants one.
    fn require_token(&self, request: &Parts, taken: &Taken, exchange: &mut Exchange) -> Result<(), Failure> {
        let (Some(tokens), true) = (&self.tokens, self.config.routes[taken.position].require_jwt) else {
            return Ok(());
        };
        let outcome = match taken.token(tokens, &request.headers, exchange.time) {
            Some(Ok(_)) => return Ok(()),
            Some(Err(outcome)) => Some(*outcome),
            None => None,
        };
        exchange.token = outcome;
        Err(Failure::unauthenticated(outcome))
    }

    /// Evaluates, decides, and prepares what the upstream is told. The user's profile is looked up only if a flag asks
    /// for what the request does not say.
    pub(super) async fn prepare(
        &self,
        taken: &Taken,
        request: &Parts,
        exchange: &mut Exchange,
        upstreams: &Upstreams,
        witness: &mut impl Witness,
    ) -> Prepared {
        let mut found = None;
        loop {
            match self.decide(taken, request, exchange, upstreams, found, witness) {
                Ok(prepared) => {
                    exchange.token = taken.token_outcome();
                    return prepared;
                }
                Err(NeedsProfile { profiles, user_id }) => {
                    let profile = profiles.get(&user_id).await;
                    exchange.profile_unavailable = profile == Found::Unavailable;
                    found = Some(profile);
                }
            }
        }
    }

    /// Makes the request anew without the client's copies of what the gateway alone may say, and says it. Names are in
    /// lower case, which is how HTTP/2 has them and what recipients must take alike: keeping the client's spelling costs
    /// a second map of headers.
    ///
    /// Invariant: injected headers reach the upstream exactly once.
    pub(super) fn forward(&self, downstream: &Parts, request: &mut RequestHeader, prepared: &Prepared) {
        let nominated = headers::nominated(&downstream.headers);
        let mut headers = HeaderMap::with_capacity(request.headers.len() + prepared.inject.len());
        for (name, value) in &request.headers {
            if !self.protected.drops(name) && !nominated.contains(name) {
                headers.append(name, value.clone());
            }
        }
        for (name, value) in &prepared.inject {
            headers.insert(name, value.clone());
        }
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = request.method.clone();
        parts.uri = request.uri.clone();
        parts.version = request.version;
        parts.headers = headers;
        *request = parts.into();
    }

    /// What a route's answers depend on; nothing without flags.
    pub(super) fn vary(&self, route: usize) -> Option<&Vary> {
        let route = &self.config.routes[route];
        let decides = !route.features.is_empty() || route.canary.is_some() || route.blue_green.is_some();
        let has_flags = decides || !route.flags.is_empty() || !route.flag_headers.is_empty();
        (has_flags && route.vary).then_some(&self.vary)
    }

    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.listener.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    fn take_request_id(&self, request: &Parts, taken: &Taken, exchange: &mut Exchange) {
        let given = request.headers.get(&self.config.inject.request_id).and_then(|id| id.to_str().ok());
        if let Some(id) = given.filter(|id| taken.trusted && id.len() <= 128) {
            exchange.request_id = id.into();
        }
    }

    /// What a request can be asked for who sent it.
    pub(super) fn asker<'r>(&'r self, taken: &'r Taken, request: &'r Parts, now: Timestamp) -> Asker<'r> {
        Asker { config: &self.config.context, request, taken, tokens: self.tokens.as_deref(), now }
    }

    /// `found`: what a look-up of the profile gave; none before there was one.
    fn decide(
        &self,
        taken: &Taken,
        request: &Parts,
        exchange: &Exchange,
        upstreams: &Upstreams,
        found: Option<Found>,
        witness: &mut impl Witness,
    ) -> Result<Prepared, NeedsProfile<'_>> {
        witness.begin();
        let route = &self.config.routes[taken.position];
        let asker = self.asker(taken, request, exchange.time);
        let Identity { user_id, set_cookie } = asker.identify();
        // Who was unknown until now has no profile.
        let profiles = self.profiles.as_ref().filter(|_| !user_id.is_empty() && set_cookie.is_none());
        let asks_for_more = &self.asks_for_more[taken.position];
        let found = found.or_else(|| {
            profiles.filter(|_| asks_for_more.load(Ordering::Relaxed)).and_then(|all| all.cached(&user_id))
        });
        let profile = found.as_ref().and_then(Found::profile);
        let said = RequestAttributes::new(asker);
        let attributes = WithProfile::new(&said, profile);
        let context = Context { user_id: &user_id, attributes: &attributes, now: exchange.time };
        let mut flags = RouteFlags::new(&exchange.snapshot, exchange.snapshot.evaluator(context));
        let (decision, sticky) = self.direct(asker, &user_id, &mut flags, upstreams, witness);
        for key in route.flags.iter().chain(route.flag_headers.iter().map(|own| &own.flag)) {
            flags.evaluate(key);
        }
        let is_mirrored = route.mirror.as_ref().is_some_and(|mirror| {
            let is_on = flags.evaluate(&mirror.flag).is_some_and(|evaluation| evaluation.is_truthy());
            let is_copied = is_on && is_chosen(mirror, &request.method, &route.name, &user_id, &exchange.request_id);
            is_copied && !flags.is_killed(route, mirror.upstream, upstreams)
        });
        let segments = flags.segments(&self.config.inject.segments);
        if let (None, true, Some(profiles)) = (&found, attributes.lacked(), profiles) {
            asks_for_more.store(true, Ordering::Relaxed);
            return Err(NeedsProfile { profiles, user_id: user_id.into_owned() });
        }
        let names = &self.config.inject;
        let shown = names
            .context_attributes
            .iter()
            .filter_map(|name| Some((name.clone(), attributes.attribute(name)?.to_json())));
        let shown: serde_json::Map<_, _> = shown.collect();
        // What witnesses look at has no say in the answer.
        let asked = said.asked();
        witness.decided(&Seen {
            snapshot: &exchange.snapshot,
            context,
            said: &said,
            found: found.as_ref(),
            is_drawn: set_cookie.is_some(),
            route,
            flags: &flags,
            decision,
        });
        let mut prepared = Prepared {
            route: taken.position,
            upstream: decision.upstream,
            subject: upstreams
                .hash_on(decision.upstream)
                .map_or(0, |on| subject::hash(on, &request.headers, &user_id, &taken.client)),
            strategy: decision.strategy,
            is_mirrored,
            set_cookies: [set_cookie, sticky].iter().filter_map(|cookie| headers::value(cookie.as_deref()?)).collect(),
            asked,
            inject: Vec::with_capacity(10),
        };
        if !user_id.is_empty() {
            prepared.tell(&names.user_id, &user_id);
        }
        if !segments.is_empty() {
            prepared.tell(&names.user_segments, &headers::segments(&segments));
        }
        self.tell_flags(route, &mut flags, &mut prepared);
        if !shown.is_empty() {
            prepared.tell(&names.user_context, &headers::context(shown));
        }
        let parts = [&route.name, ";strategy=", decision.strategy, ";upstream=", upstreams.name(decision.upstream)];
        prepared.tell(&names.route, &format!("{};revision={}", parts.concat(), exchange.revision().unwrap_or(0)));
        prepared.tell(&names.request_id, &exchange.request_id);
        prepared.inject.extend(exchange.trace.iter().flat_map(Trace::headers));
        if names.baggage {
            prepared.inject.extend(baggage(&request.headers, flags.variations()).map(|value| (BAGGAGE, value)));
        }
        forwarded(request, taken, &mut prepared);
        Ok(prepared)
    }

    fn tell_flags<'r>(&self, route: &'r Route, flags: &mut RouteFlags<'_, '_, 'r>, prepared: &mut Prepared) {
        let (text, truncated) =
            headers::flags(route.flags.iter().filter_map(|key| Some((&**key, flags.evaluate(key)?))));
        if !text.is_empty() {
            prepared.tell(&self.config.inject.flags, &text);
        }
        if truncated {
            prepared.tell(&TRUNCATED, "1");
        }
        for own in &route.flag_headers {
            if let Some(evaluation) = flags.evaluate(&own.flag) {
                prepared.tell(&own.header, evaluation.variation());
            }
        }
    }
}

impl Taken {
    /// The token of the request, verified when it is asked for first; none: there is none.
    pub(super) fn token(&self, tokens: &Tokens, headers: &HeaderMap, now: Timestamp) -> Option<&Checked> {
        self.token.get_or_init(|| tokens.of(headers, now)).as_ref()
    }

    /// How its token fared; none: there is none, or nobody asked.
    fn token_outcome(&self) -> Option<TokenOutcome> {
        self.token
            .get()?
            .as_ref()
            .map(|token| token.as_ref().map_or_else(|outcome| *outcome, |_| TokenOutcome::Verified))
    }

    #[cfg(test)]
    pub(super) fn for_testing(trusted: bool) -> Self {
        let (host, path, client) = ("h".to_owned(), "/a".to_owned(), "192.0.2.1".to_owned());
        let (peer, token) = (IpAddr::from([192, 0, 2, 1]), OnceLock::new());
        let (asked_for, is_encrypted, is_proxy) = (None, false, trusted);
        Self { position: 0, host, asked_for, is_encrypted, path, client, peer, is_proxy, trusted, token }
    }
}

/// A flag asks for what the request does not say.
struct NeedsProfile<'p> {
    profiles: &'p Profiles,
    user_id: String,
}

impl Prepared {
    pub(super) fn tell(&mut self, name: &HeaderName, text: &str) {
        if let Some(value) = headers::value(text) {
            self.inject.push((name.clone(), value));
        }
    }
}

/// After what makes a request ambiguous nothing on its connection can be trusted.
pub(super) fn refused((status, detail): Refusal) -> Failure {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let code = if status == StatusCode::NOT_FOUND { "no_route" } else { "refused" };
    Failure { close: status != StatusCode::NOT_FOUND, ..Failure::new(status, code, detail) }
}
