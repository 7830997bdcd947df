//! The metrics of the gateway, and handles to them that cost no look-up on the way of a request.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use super::{
    histogram::{DurationVec, Durations},
    limits::{ConnectionMetrics, LimitVecs},
    mirror::{MirrorMetrics, Mirrors},
    tokens::{TokenMetrics, TokenOutcome},
    upstreams::{EndpointMetrics, RetryMetrics, Upstreams},
};
use crate::{
    config::{self, Config, UpstreamIndex},
    model::CodeClass,
};

/// The label of a route, strategy or upstream where there is none.
pub const NONE: &str = "none";

/// The label of a request that goes to its route's own upstream.
pub const DEFAULT_STRATEGY: &str = "default";

/// The label of a request whose user is held to where an earlier one went.
pub const STICKY_STRATEGY: &str = "sticky";

const STRATEGIES: [&str; 4] = ["features", "canary", "blue_green", DEFAULT_STRATEGY];

/// Every metric of the gateway, registered.
///
/// Invariant: labels come from the configuration only, never from a request.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: DurationVec,
    upstream_duration: DurationVec,
    certificate_expiry: IntGaugeVec,
    upstreams: Upstreams,
    limits: LimitVecs,
    requests_in_flight: IntGauge,
    access_log_dropped: IntCounter,
    counts_dropped: IntCounter,
    mirrors: Mirrors,
    profiles: ProfileMetrics,
    tokens: TokenMetrics,
}

/// How look-ups of profiles went.
#[derive(Clone, Debug)]
pub struct ProfileMetrics {
    /// The cache knew.
    pub cached: IntCounter,
    /// The store knew.
    pub looked_up: IntCounter,
    /// There was no answer in time: evaluated without a profile.
    pub unavailable: IntCounter,
}

/// The handles of one configuration's routes and upstreams.
#[derive(Debug)]
pub struct RequestMetrics {
    routes: Vec<RouteHandles>,
    unmatched: RouteHandles,
    upstream_duration: Vec<Arc<Durations>>,
    tokens: TokenMetrics,
}

#[derive(Debug)]
struct RouteHandles {
    arms: Vec<Arm>,
    durations: Vec<(Option<UpstreamIndex>, Arc<Durations>)>,
}

/// One way that a route's requests can go.
#[derive(Debug)]
struct Arm {
    strategy: &'static str,
    upstream: Option<UpstreamIndex>,
    requests: [IntCounter; CodeClass::ALL.len()],
}

impl Metrics {
    /// Registers every metric in a registry of its own.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = Opts::new("flaggate_requests_total", "Requests by what became of them.");
        let request_duration = DurationVec::new(
            "flaggate_request_duration_seconds",
            "Time from a request's header to the end of its response.",
            &["route", "upstream"],
        );
        let upstream_duration = DurationVec::new(
            "flaggate_upstream_duration_seconds",
            "Time from choosing an endpoint to its response's header.",
            &["upstream"],
        );
        let look_ups = Opts::new("flaggate_profile_lookups_total", "Look-ups of users' profiles by how they went.");
        let look_ups = register(&registry, IntCounterVec::new(look_ups, &["result"]));
        let look_up = |result: &str| look_ups.with_label_values(&[result]);
        let expiry = Opts::new(
            "flaggate_tls_certificate_expiry_timestamp_seconds",
            "Until when a listener's certificate holds, in seconds since 1970.",
        );
        Self {
            requests: register(
                &registry,
                IntCounterVec::new(requests, &["route", "strategy", "upstream", "code_class"]),
            ),
            request_duration: register(&registry, request_duration),
            upstream_duration: register(&registry, upstream_duration),
            certificate_expiry: register(&registry, IntGaugeVec::new(expiry, &["listener", "file"])),
            upstreams: Upstreams::register(&registry),
            limits: LimitVecs::register(&registry),
            requests_in_flight: register(
                &registry,
                IntGauge::new("flaggate_requests_in_flight", "Requests that are being answered."),
            ),
            access_log_dropped: register(
                &registry,
                IntCounter::new(
                    "flaggate_access_log_dropped_total",
                    "Access lines dropped because the queue was full.",
                ),
            ),
            counts_dropped: register(
                &registry,
                IntCounter::new(
                    "flaggate_counts_dropped_total",
                    "Requests whose counts by arm did not reach the store in time.",
                ),
            ),
            mirrors: Mirrors::register(&registry),
            tokens: TokenMetrics::register(&registry),
            profiles: ProfileMetrics {
                cached: look_up("cached"),
                looked_up: look_up("looked_up"),
                unavailable: look_up("unavailable"),
            },
            registry,
        }
    }

    /// The registry, for reading it and for further collectors.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The number of requests that are being answered.
    #[must_use]
    pub fn requests_in_flight(&self) -> &IntGauge {
        &self.requests_in_flight
    }

    /// Access lines that were dropped.
    #[must_use]
    pub fn access_log_dropped(&self) -> &IntCounter {
        &self.access_log_dropped
    }

    /// Requests whose counts by arm did not reach the store.
    #[must_use]
    pub fn counts_dropped(&self) -> &IntCounter {
        &self.counts_dropped
    }

    /// The handles of a route's mirror.
    #[must_use]
    pub fn mirror(&self, route: &str, upstream: &str) -> MirrorMetrics {
        self.mirrors.handles(route, upstream)
    }

    /// How look-ups of profiles go.
    #[must_use]
    pub fn profiles(&self) -> ProfileMetrics {
        self.profiles.clone()
    }

    /// Whether an endpoint takes requests.
    #[must_use]
    pub fn endpoint_healthy(&self, upstream: &str, endpoint: &str) -> IntGauge {
        self.endpoint(upstream, endpoint).healthy
    }

    /// The handles of an endpoint.
    #[must_use]
    pub fn endpoint(&self, upstream: &str, endpoint: &str) -> EndpointMetrics {
        self.upstreams.endpoint(upstream, endpoint)
    }

    /// Requests over the rate of a route.
    #[must_use]
    pub fn limited(&self, route: &str) -> IntCounter {
        self.limits.limited(route)
    }

    /// The handles of a listener's connections.
    #[must_use]
    pub fn connections(&self, listener: &str) -> ConnectionMetrics {
        self.limits.connections(listener)
    }

    /// The handles of what an upstream's requests do again.
    #[must_use]
    pub fn retries(&self, upstream: &str) -> RetryMetrics {
        self.upstreams.retries(upstream)
    }

    /// Shows until when the certificates of a configuration's listeners hold.
    pub fn show_certificates(&self, config: &Config) {
        for (listener, tls) in config.listeners.iter().filter_map(|one| Some((&one.name, one.tls.as_ref()?))) {
            for certificate in &tls.certificates {
                self.certificate_expiry.with_label_values(&[listener, &certificate.cert]).set(certificate.expires_at);
            }
        }
    }

    /// The handles of a configuration's routes and upstreams.
    #[must_use]
    pub fn for_config(&self, config: &Config) -> RequestMetrics {
        let upstreams = &config.upstreams;
        RequestMetrics {
            routes: config.routes.iter().map(|route| self.route(&route.name, &arms(route), upstreams)).collect(),
            tokens: self.tokens.clone(),
            unmatched: self.route(NONE, &[(NONE, None)], upstreams),
            upstream_duration: upstreams
                .iter()
                .map(|upstream| self.upstream_duration.with(&[upstream.name.as_str()]))
                .collect(),
        }
    }

    /// Forgets the series of what only the configuration before had. A request that it still holds is counted no more.
    pub fn forget(&self, before: &Config, now: &Config) {
        let (before, now) = (Named::of(before), Named::of(now));
        for [route, strategy, upstream] in before.ways.difference(&now.ways) {
            for class in CodeClass::ALL {
                remove(&self.requests, &[route, strategy, upstream, class.as_str()]);
            }
        }
        for route in before.limited.difference(&now.limited) {
            self.limits.forget(route);
        }
        for [route, upstream] in before.durations.difference(&now.durations) {
            self.request_duration.remove(&[route, upstream]);
        }
        for upstream in before.upstreams.difference(&now.upstreams) {
            self.upstream_duration.remove(&[upstream]);
            self.upstreams.forget(upstream);
        }
        for [upstream, endpoint] in before.endpoints.difference(&now.endpoints) {
            self.upstreams.forget_endpoint(upstream, endpoint);
        }
        for [listener, file] in before.certificates.difference(&now.certificates) {
            remove(&self.certificate_expiry, &[listener, file]);
        }
        for [route, upstream] in before.mirrors.difference(&now.mirrors) {
            self.mirrors.forget(route, upstream);
        }
    }

    fn route(
        &self,
        route: &str,
        arms: &[(&'static str, Option<UpstreamIndex>)],
        upstreams: &[config::Upstream],
    ) -> RouteHandles {
        let name = |upstream: Option<UpstreamIndex>| upstream.map_or(NONE, |index| upstreams[index].name.as_str());
        let mut durations: Vec<(Option<UpstreamIndex>, Arc<Durations>)> = Vec::new();
        for &(_, upstream) in arms {
            if durations.iter().all(|(known, _)| *known != upstream) {
                durations.push((upstream, self.request_duration.with(&[route, name(upstream)])));
            }
        }
        let arms = arms.iter().map(|&(strategy, upstream)| Arm {
            strategy,
            upstream,
            requests: CodeClass::ALL
                .map(|class| self.requests.with_label_values(&[route, strategy, name(upstream), class.as_str()])),
        });
        RouteHandles { arms: arms.collect(), durations }
    }
}

/// The labels that a configuration gives.
#[derive(Default)]
struct Named<'c> {
    ways: BTreeSet<[&'c str; 3]>,
    durations: BTreeSet<[&'c str; 2]>,
    upstreams: BTreeSet<&'c str>,
    limited: BTreeSet<&'c str>,
    endpoints: BTreeSet<[&'c str; 2]>,
    mirrors: BTreeSet<[&'c str; 2]>,
    certificates: BTreeSet<[&'c str; 2]>,
}

impl<'c> Named<'c> {
    fn of(config: &'c Config) -> Self {
        let name = |upstream: Option<UpstreamIndex>| upstream.map_or(NONE, |index| &*config.upstreams[index].name);
        let mut named = Self::default();
        for route in &config.routes {
            for (strategy, upstream) in arms(route) {
                named.ways.insert([&*route.name, strategy, name(upstream)]);
                named.durations.insert([&*route.name, name(upstream)]);
            }
            named.limited.extend(route.rate.iter().map(|_| &*route.name));
            named.mirrors.extend(route.mirror.iter().map(|mirror| [&*route.name, name(Some(mirror.upstream))]));
        }
        for (listener, tls) in config.listeners.iter().filter_map(|one| Some((&one.name, one.tls.as_ref()?))) {
            named.certificates.extend(tls.certificates.iter().map(|one| [&**listener, &*one.cert]));
        }
        for upstream in &config.upstreams {
            named.upstreams.insert(&upstream.name);
            named.endpoints.extend(upstream.endpoints.iter().map(|endpoint| [&*upstream.name, &*endpoint.address]));
        }
        named
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestMetrics {
    /// Counts one request: the position of its route, and the strategy and upstream that were chosen, where there were.
    pub fn count(
        &self,
        route: Option<usize>,
        decision: Option<(&str, UpstreamIndex)>,
        class: CodeClass,
        duration: Duration,
    ) {
        let handles = route.and_then(|route| self.routes.get(route)).unwrap_or(&self.unmatched);
        let (strategy, upstream) = decision.map_or((NONE, None), |(strategy, upstream)| (strategy, Some(upstream)));
        if let Some(arm) = handles.arms.iter().find(|arm| arm.upstream == upstream && arm.strategy == strategy) {
            arm.requests[class.index()].inc();
        }
        if let Some((_, histogram)) = handles.durations.iter().find(|(known, _)| *known == upstream) {
            histogram.observe(duration);
        }
    }

    /// Counts one token.
    pub fn count_token(&self, outcome: TokenOutcome) {
        self.tokens.count(outcome);
    }

    /// Records how long an upstream took to answer.
    pub fn upstream_answered(&self, upstream: UpstreamIndex, duration: Duration) {
        if let Some(histogram) = self.upstream_duration.get(upstream) {
            histogram.observe(duration);
        }
    }
}

/// Every strategy and upstream that a route's requests can have.
pub(super) fn arms(route: &config::Route) -> Vec<(&'static str, Option<UpstreamIndex>)> {
    let [features, canary, blue_green, default] = STRATEGIES;
    let mut arms = vec![(NONE, None), (default, Some(route.upstream))];
    let targets = route.features.iter().flat_map(|feature| &feature.variations);
    arms.extend(targets.map(|(_, upstream)| (features, Some(*upstream))));
    arms.extend(route.canary.iter().map(|target| (canary, Some(target.upstream))));
    arms.extend(
        route.blue_green.iter().flat_map(|target| [target.blue, target.green]).map(|up| (blue_green, Some(up))),
    );
    if route.sticky.is_some() {
        let held: Vec<_> = arms.iter().filter_map(|(_, up)| Some((STICKY_STRATEGY, Some((*up)?)))).collect();
        arms.extend(held);
    }
    arms.sort_unstable();
    arms.dedup();
    arms
}

/// Takes a series away, if it is there.
pub(super) fn remove<T: MetricVecBuilder>(metrics: &MetricVec<T>, labels: &[&str]) {
    // An error says that nothing ever made it.
    metrics.remove_label_values(labels).ok();
}

pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the names of metrics are valid");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}
