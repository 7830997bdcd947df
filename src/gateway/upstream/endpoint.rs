//! One endpoint: where it is, whether it is healthy, how busy it is.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use pingora::upstreams::peer::HttpPeer;

use super::{speech::Speech, standing::Standing};
use crate::{clock, config, telemetry::EndpointMetrics};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// One address of an upstream, as one configuration has it. All state is in atomics: a request takes no lock.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: Arc<str>,
    weight: usize,
    speech: Arc<Speech>,
    timeouts: config::Timeouts,
    /// How many successes make it healthy, and failures unhealthy; none: it is always healthy.
    thresholds: Option<(usize, usize)>,
    /// Where to connect to; none until the name is resolved. It changes with the name's address only, apart from
    /// everything else that the gateway serves, which is why it is not behind the snapshot's one swap.
    peer: ArcSwapOption<HttpPeer>,
    state: Arc<State>,
}

/// What outlives a reload of the configuration.
#[derive(Debug)]
struct State {
    in_flight: AtomicUsize,
    healthy: AtomicBool,
    /// Whether any result is known: the first one decides alone.
    known: AtomicBool,
    successes: AtomicUsize,
    failures: AtomicUsize,
    /// What requests tell of it.
    standing: Standing,
    metrics: EndpointMetrics,
}

/// The right to send one request to an endpoint, which counts as in flight until this is dropped.
#[derive(Debug)]
pub struct EndpointGuard {
    endpoint: Arc<Endpoint>,
    position: usize,
    peer: Arc<HttpPeer>,
}

impl Endpoint {
    /// `before`: the same endpoint under the configuration before.
    pub(super) fn new(
        config: &config::Endpoint,
        (upstream, speech): (&config::Upstream, &Arc<Speech>),
        before: Option<&Self>,
        metrics: impl FnOnce() -> EndpointMetrics,
    ) -> Self {
        let config::Endpoint { address, weight } = config;
        let endpoint = Self {
            address: address.as_str().into(),
            weight: (*weight).max(1),
            speech: Arc::clone(speech),
            timeouts: upstream.timeouts,
            thresholds: upstream.health_check.as_ref().map(|check| (check.healthy.max(1), check.unhealthy.max(1))),
            peer: ArcSwapOption::empty(),
            state: before.map_or_else(|| Arc::new(State::new(metrics())), |before| Arc::clone(&before.state)),
        };
        if endpoint.thresholds.is_none() {
            // Nothing would bring it back.
            endpoint.state.healthy.store(true, Ordering::Relaxed);
        }
        if upstream.outlier.is_none() {
            endpoint.readmit(&upstream.name, true);
        }
        let resolved = address.parse().ok().or_else(|| before?.resolved());
        endpoint.set_resolved(resolved);
        endpoint
    }

    /// Whether any check or connection told of its health.
    pub(super) fn is_known(&self) -> bool {
        self.state.known.load(Ordering::Relaxed)
    }

    /// `host:port`, as configured.
    pub(super) fn address(&self) -> &Arc<str> {
        &self.address
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it can take a request: it is healthy, not put aside, and its address is known.
    pub(super) fn is_available(&self) -> bool {
        self.state.healthy.load(Ordering::Relaxed) && !self.standing().is_ejected() && self.peer.load().is_some()
    }

    /// What requests tell of it.
    pub(super) fn standing(&self) -> &Standing {
        &self.state.standing
    }

    /// Puts it aside for errors in a row.
    pub(super) fn eject(&self, upstream: &str, outlier: &config::Outlier) {
        let time = self.standing().eject(outlier);
        self.state.metrics.ejections.inc();
        self.show();
        let (address, failures) = (&self.address, outlier.consecutive_5xx);
        log::warn!(
            "upstream {upstream}: endpoint {address} is put aside for {time:?} after {failures} errors in a row"
        );
    }

    /// Takes it back when the time is over, or, with `any`, in any case.
    pub(super) fn readmit(&self, upstream: &str, any: bool) {
        if self.standing().readmit(any) {
            self.show();
            log::info!("upstream {upstream}: endpoint {} is no longer put aside", self.address);
        }
    }

    /// The address that is connected to.
    pub(super) fn resolved(&self) -> Option<SocketAddr> {
        self.peer.load().as_ref().and_then(|peer| peer._address.as_inet().copied())
    }

    /// Where and how to connect; none until the name is resolved.
    pub(super) fn peer(&self) -> Option<Arc<HttpPeer>> {
        self.peer.load_full()
    }

    /// Changes the address that is connected to.
    pub(super) fn set_resolved(&self, address: Option<SocketAddr>) {
        self.peer.store(address.map(|address| Arc::new(self.peer_at(address))));
        self.show();
    }

    /// Takes one result of a health check or of connecting, and logs when it changes the state.
    ///
    /// Invariant: without a health check an endpoint stays healthy, as nothing would bring it back.
    pub(super) fn report(&self, upstream: &str, success: bool, cause: &dyn Display) {
        let Some((healthy_after, unhealthy_after)) = self.thresholds else { return };
        let first = !self.state.known.swap(true, Ordering::Relaxed);
        let (counter, other, threshold) = if success {
            (&self.state.successes, &self.state.failures, healthy_after)
        } else {
            (&self.state.failures, &self.state.successes, unhealthy_after)
        };
        other.store(0, Ordering::Relaxed);
        let in_a_row = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let decided = first || in_a_row >= threshold;
        if decided && self.state.healthy.swap(success, Ordering::Relaxed) != success {
            self.show();
            if success {
                log::info!("upstream {upstream}: endpoint {} is healthy again", self.address);
            } else {
                log::warn!("upstream {upstream}: endpoint {} is unhealthy: {cause}", self.address);
            }
        }
    }

    /// The same as a success of [`Self::report`], but free while nothing failed before.
    fn connected(&self) {
        if self.state.failures.load(Ordering::Relaxed) != 0 {
            self.state.failures.store(0, Ordering::Relaxed);
        }
        self.standing().reached();
    }

    fn show(&self) {
        self.state.metrics.healthy.set(i64::from(self.is_available()));
        self.state.metrics.ejected.set(i64::from(self.standing().is_ejected()));
    }

    fn peer_at(&self, address: SocketAddr) -> HttpPeer {
        let config::Timeouts { connect, read, request: _ } = self.timeouts;
        let mut peer = self.speech.peer(&self.address, address);
        let options = &mut peer.options;
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
        options.read_timeout = Some(read);
        options.write_timeout = Some(read);
        options.idle_timeout = Some(IDLE);
        peer
    }
}

impl State {
    fn new(metrics: EndpointMetrics) -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            known: AtomicBool::new(false),
            successes: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            standing: Standing::new(clock::monotonic()),
            metrics,
        }
    }
}

impl EndpointGuard {
    pub(super) fn new(endpoint: &Arc<Endpoint>, position: usize) -> Option<Self> {
        let peer = endpoint.peer.load_full()?;
        endpoint.standing().chosen();
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Self { endpoint: Arc::clone(endpoint), position, peer })
    }

    /// The position of the endpoint in its upstream.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// `host:port`, as configured.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        self.endpoint.address()
    }

    /// Where and how to connect.
    #[must_use]
    pub fn peer(&self) -> HttpPeer {
        HttpPeer::clone(&self.peer)
    }

    /// A connection was made.
    pub fn connected(&self) {
        self.endpoint.connected();
    }

    /// A connection could not be made.
    pub fn failed_to_connect(&self, upstream: &str, cause: &dyn Display) {
        self.endpoint.standing().unreachable();
        self.endpoint.report(upstream, false, cause);
    }
}

impl Drop for EndpointGuard {
    fn drop(&mut self) {
        self.endpoint.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HealthCheck, LoadBalance, Retries, Timeouts};
    use crate::telemetry::Metrics;

    fn endpoint(health_check: bool) -> Endpoint {
        let second = Duration::from_secs(1);
        let health_check = health_check.then_some(HealthCheck {
            path: None,
            interval: second,
            timeout: second,
            healthy: 2,
            unhealthy: 3,
        });
        let upstream = config::Upstream {
            name: "u".to_owned(),
            endpoints: Vec::new(),
            load_balance: LoadBalance::P2c,
            protocol: config::Protocol::Http1,
            tls: None,
            timeouts: Timeouts { connect: second, read: second, request: second },
            retries: Retries { attempts: 2, budget_percent: 10 },
            health_check,
            outlier: None,
        };
        let config = config::Endpoint { address: "127.0.0.1:1".to_owned(), weight: 1 };
        let speech = Arc::new(Speech::new(&upstream));
        Endpoint::new(&config, (&upstream, &speech), None, || Metrics::new().endpoint("u", "e"))
    }

    /// Reports the results (`+` and `-`) and gives the state after each.
    fn states(endpoint: &Endpoint, results: &str) -> String {
        let mut states = String::new();
        for result in results.chars() {
            endpoint.report("u", result == '+', &"test");
            states.push(if endpoint.is_available() { '+' } else { '-' });
            assert_eq!(endpoint.state.metrics.healthy.get() == 1, endpoint.is_available());
        }
        states
    }

    #[test]
    fn the_first_result_decides_and_then_the_thresholds_do() {
        assert_eq!(states(&endpoint(true), "-++"), "--+");
        assert_eq!(states(&endpoint(true), "+--+---"), "++++++-");
        assert_eq!(states(&endpoint(true), "-+-++-"), "----++");
    }

    #[test]
    fn without_a_health_check_nothing_makes_it_unhealthy() {
        assert_eq!(states(&endpoint(false), "------"), "++++++");
    }

    #[test]
    fn without_an_address_it_is_not_available() {
        let endpoint = endpoint(true);
        endpoint.set_resolved(None);
        assert!(!endpoint.is_available());
        endpoint.set_resolved(Some(([127, 0, 0, 1], 2).into()));
        assert_eq!(endpoint.resolved(), Some(([127, 0, 0, 1], 2).into()));
        assert!(endpoint.is_available());
    }
}
