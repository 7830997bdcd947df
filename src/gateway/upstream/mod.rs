//! Upstreams: named pools of endpoints, their health, and the choice of one endpoint for one request.

mod balance;
mod endpoint;
mod health;
mod probe;
mod resolve;
mod speech;

use std::{sync::Arc, time::Duration};

use crate::{
    config::{self, LoadBalance, UpstreamIndex},
    telemetry::Metrics,
};

use balance::{Rotation, random};
use endpoint::Endpoint;
use speech::Speech;

pub use endpoint::EndpointGuard;
pub use health::HealthChecks;
pub(super) use speech::as_http2;

/// All upstreams of a configuration, by their position there.
#[derive(Debug)]
pub struct Upstreams(Vec<Pool>);

/// One upstream.
#[derive(Debug)]
struct Pool {
    name: Arc<str>,
    config: config::Upstream,
    endpoints: Vec<Arc<Endpoint>>,
    rotation: Rotation,
}

impl Upstreams {
    /// Sets the pools up. An endpoint that is given by address can be used at once; one that is given by name when it
    /// has been resolved. One that was there under the configuration before keeps its health and what is in flight.
    #[must_use]
    pub fn new(upstreams: &[config::Upstream], metrics: &Metrics, before: Option<&Self>) -> Self {
        let before = |name: &str| before?.0.iter().find(|pool| *pool.name == *name);
        Self(upstreams.iter().map(|upstream| Pool::new(upstream, metrics, before(&upstream.name))).collect())
    }

    /// The upstream and address of every endpoint.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().flat_map(|pool| pool.endpoints.iter().map(|endpoint| (&pool.name, endpoint.address())))
    }

    /// Chooses an endpoint that can take a request and is not among `exclude` (positions of endpoints).
    #[must_use]
    pub fn select(&self, upstream: UpstreamIndex, exclude: &[usize]) -> Option<EndpointGuard> {
        let pool = &self.0[upstream];
        let position = pool.choose(|position| {
            !exclude.contains(&position) && pool.endpoints.get(position).is_some_and(|endpoint| endpoint.is_available())
        })?;
        EndpointGuard::new(&pool.endpoints[position], position)
    }

    /// Whether an upstream has an endpoint that can take a request.
    #[must_use]
    pub fn is_available(&self, upstream: UpstreamIndex) -> bool {
        self.has_other(upstream, &[])
    }

    /// Whether an upstream has an endpoint that can take a request and is not among `exclude`.
    #[must_use]
    pub fn has_other(&self, upstream: UpstreamIndex, exclude: &[usize]) -> bool {
        let mut endpoints = self.0[upstream].endpoints.iter().enumerate();
        endpoints.any(|(position, endpoint)| !exclude.contains(&position) && endpoint.is_available())
    }

    /// The name of an upstream.
    #[must_use]
    pub fn name(&self, upstream: UpstreamIndex) -> &Arc<str> {
        &self.0[upstream].name
    }

    /// How many tries a request has, at least 1.
    #[must_use]
    pub fn attempts(&self, upstream: UpstreamIndex) -> usize {
        self.0[upstream].config.retries.attempts.max(1)
    }

    /// How long an upstream may take from a request's header to its response's.
    #[must_use]
    pub fn request_timeout(&self, upstream: UpstreamIndex) -> Duration {
        self.0[upstream].config.timeouts.request
    }
}

impl Pool {
    fn new(config: &config::Upstream, metrics: &Metrics, before: Option<&Self>) -> Self {
        let before = |address: &str| {
            before?.endpoints.iter().find(|endpoint| **endpoint.address() == *address).map(|endpoint| &**endpoint)
        };
        let speech = Arc::new(Speech::new(config));
        let endpoints = config.endpoints.iter().map(|endpoint| {
            let gauge = || metrics.endpoint_healthy(&config.name, &endpoint.address);
            Arc::new(Endpoint::new(endpoint, (config, &speech), before(&endpoint.address), gauge))
        });
        let weights: Vec<usize> = config.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            endpoints: endpoints.collect(),
            rotation: Rotation::by_weight(&weights),
        }
    }

    fn choose(&self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        match self.config.load_balance {
            LoadBalance::RoundRobin => self.rotation.next(eligible),
            LoadBalance::P2c => self.choose_of_two(eligible),
        }
    }

    /// Draws two endpoints by weight and takes the one with fewer requests in flight for its weight.
    fn choose_of_two(&self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let seed = random();
        let one = self.rotation.at(seed as usize, &eligible)?;
        let Some(other) = self.rotation.at((seed >> 32) as usize, |position| position != one && eligible(position))
        else {
            return Some(one);
        };
        let (first, second) = (&self.endpoints[one], &self.endpoints[other]);
        let one_is_busier = first.in_flight() * second.weight() > second.in_flight() * first.weight();
        Some(if one_is_busier { other } else { one })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HealthCheck, Retries, Timeouts};

    fn upstreams(load_balance: LoadBalance, endpoints: &[(&str, usize)]) -> Upstreams {
        let endpoints = endpoints
            .iter()
            .map(|(address, weight)| config::Endpoint { address: (*address).to_owned(), weight: *weight })
            .collect();
        let second = Duration::from_secs(1);
        let health_check = HealthCheck { path: None, interval: second, timeout: second, healthy: 2, unhealthy: 3 };
        let upstream = config::Upstream {
            name: "pool".to_owned(),
            endpoints,
            load_balance,
            protocol: config::Protocol::Http1,
            tls: None,
            timeouts: Timeouts { connect: second, read: second, request: second },
            retries: Retries { attempts: 2 },
            health_check: Some(health_check),
        };
        Upstreams::new(&[upstream], &Metrics::new(), None)
    }

    fn counts(upstreams: &Upstreams, draws: usize) -> Vec<usize> {
        let mut counts = vec![0; upstreams.0[0].endpoints.len()];
        for _ in 0..draws {
            counts[upstreams.select(0, &[]).unwrap().position()] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_exact_by_weight() {
        let upstreams = upstreams(LoadBalance::RoundRobin, &[("127.0.0.1:1", 3), ("127.0.0.1:2", 1)]);
        assert_eq!(counts(&upstreams, 400), [300, 100]);
    }

    #[test]
    fn the_share_of_an_unhealthy_endpoint_goes_to_all_others() {
        let upstreams =
            upstreams(LoadBalance::RoundRobin, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1), ("127.0.0.1:3", 1)]);
        upstreams.0[0].endpoints[1].report("pool", false, &"refused");
        assert_eq!(counts(&upstreams, 300), [150, 0, 150]);
    }

    #[test]
    fn p2c_takes_the_idle_one() {
        let upstreams = upstreams(LoadBalance::P2c, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1)]);
        let busy = upstreams.select(0, &[1]).unwrap();
        assert_eq!(counts(&upstreams, 100), [0, 100]);
        drop(busy);
        let shares = counts(&upstreams, 1000);
        assert!(shares.iter().all(|share| (300..700).contains(share)), "{shares:?}");
    }

    #[test]
    fn the_guard_gives_the_endpoint_back() {
        let upstreams = upstreams(LoadBalance::P2c, &[("127.0.0.1:1", 1)]);
        let guard = upstreams.select(0, &[]).unwrap();
        assert_eq!(upstreams.0[0].endpoints[0].in_flight(), 1);
        drop(guard);
        assert_eq!(upstreams.0[0].endpoints[0].in_flight(), 0);
    }

    #[test]
    fn an_excluded_or_unresolved_endpoint_is_not_chosen() {
        for load_balance in [LoadBalance::RoundRobin, LoadBalance::P2c] {
            let upstreams = upstreams(load_balance, &[("127.0.0.1:1", 1), ("not-resolved.example:80", 1)]);
            assert_eq!(upstreams.select(0, &[]).unwrap().position(), 0);
            assert!(upstreams.select(0, &[0]).is_none());
            assert!(upstreams.is_available(0));
            assert!(!upstreams.has_other(0, &[0]));
        }
    }
}
