//! What a configuration says of requests, compiled: all of it is swapped as one when the configuration is read anew.
//!
//! It has a cell of its own beside the snapshot's: the two change apart from each other, and a request pins one of each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::watch};

use super::{
    limits::Limits, mirror::Mirrors, request::Requests, tls::Certificates, token::Tokens, upstream::Upstreams,
};
use crate::{
    config::Config,
    profiles::Profiles,
    telemetry::{Arms, Metrics, RequestMetrics, RouteArms},
};

/// The routes, upstreams and rules of one configuration.
#[derive(Debug)]
pub(super) struct Routing {
    pub(super) config: Arc<Config>,
    /// By the position of the listener.
    pub(super) requests: Vec<Requests>,
    /// By the position of the listener; none: it does not encrypt.
    pub(super) certificates: Vec<Option<Certificates>>,
    /// What verifies tokens, if any are believed; shared with the next one for as long as nothing changes in whose are.
    tokens: Option<Arc<Tokens>>,
    pub(super) route_names: Vec<Arc<str>>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) mirrors: Mirrors,
    pub(super) limits: Limits,
    pub(super) metrics: RequestMetrics,
    pub(super) arms: RouteArms,
}

/// What a routing is made with, besides its configuration.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Where they are counted by arm.
    pub arms: Arms,
    /// Where users' profiles are looked up, if they are.
    pub profiles: Option<Profiles>,
    /// Where copies of requests are sent.
    pub runtime: Handle,
}

/// Where the routing of requests is. Cheap to clone.
///
/// Invariant: a request sees one routing from its beginning to its end.
#[derive(Clone, Debug)]
pub struct RoutingCell {
    current: Arc<ArcSwap<Routing>>,
    upstreams: watch::Sender<Arc<Upstreams>>,
    sources: Arc<Sources>,
}

impl RoutingCell {
    /// The routing of the first configuration.
    #[must_use]
    pub fn new(config: Arc<Config>, sources: Sources) -> Self {
        let routing = Routing::new(config, &sources, None);
        let upstreams = watch::Sender::new(Arc::clone(&routing.upstreams));
        Self { current: Arc::new(ArcSwap::from_pointee(routing)), upstreams, sources: Arc::new(sources) }
    }

    /// Routes from now on by another configuration with the same listeners. Requests that are under way end as they began.
    /// Endpoints that are new are looked at first, for half a second at most; those that stay keep their health.
    pub async fn replace(&self, config: Arc<Config>) {
        let before = self.current.load_full();
        let routing = Arc::new(Routing::new(config, &self.sources, Some(&before)));
        routing.upstreams.look_at_new().await;
        self.current.store(Arc::clone(&routing));
        self.upstreams.send_replace(Arc::clone(&routing.upstreams));
        self.sources.metrics.forget(&before.config, &routing.config);
    }

    /// The upstreams, now and whenever they change.
    #[must_use]
    pub fn upstreams(&self) -> watch::Receiver<Arc<Upstreams>> {
        self.upstreams.subscribe()
    }

    /// The routing of this moment.
    pub(super) fn load(&self) -> Arc<Routing> {
        self.current.load_full()
    }
}

impl Routing {
    fn new(config: Arc<Config>, sources: &Sources, before: Option<&Self>) -> Self {
        let Sources { metrics, arms, profiles, runtime } = sources;
        let upstreams = Arc::new(Upstreams::new(&config.upstreams, metrics, before.map(|before| &*before.upstreams)));
        let jwt = &config.context.jwt;
        let known = before.filter(|before| before.config.context.jwt == *jwt).map(|before| before.tokens.clone());
        let tokens = known.unwrap_or_else(|| jwt.as_ref().map(|jwt| Arc::new(Tokens::new(jwt))));
        let requests = config
            .listeners
            .iter()
            .map(|listener| Requests::new(Arc::clone(&config), listener, profiles.clone(), tokens.clone()));
        metrics.show_certificates(&config);
        Self {
            requests: requests.collect(),
            certificates: config.listeners.iter().map(|one| one.tls.as_ref().map(Certificates::new)).collect(),
            tokens,
            route_names: config.routes.iter().map(|route| route.name.as_str().into()).collect(),
            limits: Limits::new(&config, metrics, before.map(|before| (&*before.config, &before.limits))),
            mirrors: Mirrors::new(&config, &upstreams, arms, metrics, runtime),
            metrics: metrics.for_config(&config),
            arms: RouteArms::new(arms, &config),
            upstreams,
            config,
        }
    }
}
