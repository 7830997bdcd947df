//! Upstreams: named pools of endpoints, their health, and the choice of one endpoint for one request.

mod balance;
mod budget;
mod endpoint;
mod hash;
mod health;
mod probe;
mod resolve;
mod speech;
mod standing;

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    time::{Duration, Instant},
};

use crate::{
    clock,
    config::{self, LoadBalance, Subject, UpstreamIndex},
    telemetry::{Metrics, RetryMetrics},
};

use balance::Rotation;
use budget::RetryBudget;
use endpoint::Endpoint;
use hash::Rendezvous;
use speech::Speech;

pub(super) use balance::random;
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
    balancer: Balancer,
    /// What may be tried again. It outlives a reload, as does the next.
    budget: Arc<RetryBudget>,
    retries: RetryMetrics,
    /// Whether somebody is about to put an endpoint aside: one at a time, so that it never is one too many.
    is_ejecting: Arc<AtomicBool>,
}

/// How a pool's endpoint is chosen.
#[derive(Debug)]
enum Balancer {
    RoundRobin(Rotation),
    LeastConn,
    P2c(Rotation),
    Hash(Rendezvous, Subject),
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

    /// What the choice of an endpoint goes by, if by anything that a request says.
    #[must_use]
    pub fn hash_on(&self, upstream: UpstreamIndex) -> Option<&Subject> {
        match &self.0[upstream].balancer {
            Balancer::Hash(_, subject) => Some(subject),
            Balancer::RoundRobin(_) | Balancer::LeastConn | Balancer::P2c(_) => None,
        }
    }

    /// Chooses an endpoint that can take a request and is not among `exclude` (positions of endpoints); `subject`: the
    /// hash of what [`Self::hash_on`] says.
    #[must_use]
    pub fn select(&self, upstream: UpstreamIndex, exclude: &[usize], subject: u64) -> Option<EndpointGuard> {
        let pool = &self.0[upstream];
        let is_able = |position: usize| !exclude.contains(&position) && pool.endpoints[position].is_available();
        let is_awake = |position: usize| is_able(position) && !pool.endpoints[position].standing().rests();
        let position = pool.choose(subject, is_awake).or_else(|| pool.choose(subject, is_able))?;
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

    /// A request is sent to an upstream for the first time.
    pub fn count_request(&self, upstream: UpstreamIndex, now: Instant) {
        self.0[upstream].budget.count(now);
    }

    /// Takes a retry out of an upstream's budget, if there is one left.
    #[must_use]
    pub fn take_retry(&self, upstream: UpstreamIndex) -> bool {
        let pool = &self.0[upstream];
        let is_allowed = pool.budget.take(pool.config.retries.budget_percent, clock::monotonic());
        let counter = if is_allowed { &pool.retries.sent } else { &pool.retries.refused };
        counter.inc();
        is_allowed
    }

    /// An endpoint answered a request, well or not: one that fails too often in a row is put aside, if that is asked for.
    pub fn answered(&self, upstream: UpstreamIndex, position: usize, is_good: bool) {
        let pool = &self.0[upstream];
        let (Some(outlier), Some(endpoint)) = (&pool.config.outlier, pool.endpoints.get(position)) else { return };
        if is_good {
            endpoint.standing().succeeded();
        } else if endpoint.standing().failed() >= outlier.consecutive_5xx {
            pool.eject(endpoint, outlier);
        }
    }

    /// How long an upstream may take from a request's header to its response's.
    #[must_use]
    pub fn request_timeout(&self, upstream: UpstreamIndex) -> Duration {
        self.0[upstream].config.timeouts.request
    }
}

impl Pool {
    fn new(config: &config::Upstream, metrics: &Metrics, before: Option<&Self>) -> Self {
        let endpoint_before = |address: &str| {
            before?.endpoints.iter().find(|endpoint| **endpoint.address() == *address).map(|endpoint| &**endpoint)
        };
        let speech = Arc::new(Speech::new(config));
        let endpoints = config.endpoints.iter().map(|endpoint| {
            let metrics = || metrics.endpoint(&config.name, &endpoint.address);
            Arc::new(Endpoint::new(endpoint, (config, &speech), endpoint_before(&endpoint.address), metrics))
        });
        let endpoints: Vec<_> = endpoints.collect();
        let rotation = || Rotation::by_weight(&config.endpoints.iter().map(|one| one.weight).collect::<Vec<_>>());
        let balancer = match &config.load_balance {
            LoadBalance::RoundRobin => Balancer::RoundRobin(rotation()),
            LoadBalance::LeastConn => Balancer::LeastConn,
            LoadBalance::P2c => Balancer::P2c(rotation()),
            LoadBalance::Hash(subject) => {
                let all = endpoints.iter().map(|endpoint| (&**endpoint.address(), endpoint.weight()));
                Balancer::Hash(Rendezvous::new(all), subject.clone())
            }
        };
        Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            endpoints,
            balancer,
            budget: before
                .map_or_else(|| Arc::new(RetryBudget::new(clock::monotonic())), |pool| Arc::clone(&pool.budget)),
            retries: metrics.retries(&config.name),
            is_ejecting: before.map_or_else(Arc::default, |pool| Arc::clone(&pool.is_ejecting)),
        }
    }

    /// Puts an endpoint aside unless too many are. Who comes while another is put aside has its turn with its next failure.
    fn eject(&self, endpoint: &Endpoint, outlier: &config::Outlier) {
        if self.is_ejecting.swap(true, Acquire) {
            return;
        }
        let aside = self.endpoints.iter().filter(|endpoint| endpoint.standing().is_ejected()).count();
        if aside < self.endpoints.len() * outlier.max_percent / 100 && !endpoint.standing().is_ejected() {
            endpoint.eject(&self.name, outlier);
        }
        self.is_ejecting.store(false, Release);
    }

    fn choose(&self, subject: u64, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.balancer {
            Balancer::RoundRobin(rotation) => rotation.next(eligible),
            Balancer::LeastConn => self.choose_least_busy(eligible),
            Balancer::P2c(rotation) => self.choose_of_two(rotation, eligible),
            Balancer::Hash(rendezvous, _) => rendezvous.owner(subject, eligible),
        }
    }

    /// Takes the endpoint with the fewest requests in flight for its weight; of equals one at random, by weight.
    fn choose_least_busy(&self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut weight_of_equals = 0;
        for position in (0..self.endpoints.len()).filter(|position| eligible(*position)) {
            let endpoint = &self.endpoints[position];
            let order = best.map(|best| self.busier(position, best));
            match order {
                Some(Ordering::Greater) => {}
                Some(Ordering::Less) | None => (best, weight_of_equals) = (Some(position), endpoint.weight()),
                Some(Ordering::Equal) => {
                    // Each of several ends up chosen as often as its weight says.
                    weight_of_equals += endpoint.weight();
                    if random() % (weight_of_equals as u64) < endpoint.weight() as u64 {
                        best = Some(position);
                    }
                }
            }
        }
        best
    }

    /// Which of two endpoints has more requests in flight for its weight.
    fn busier(&self, one: usize, other: usize) -> Ordering {
        let (one, other) = (&self.endpoints[one], &self.endpoints[other]);
        (one.in_flight() * other.weight()).cmp(&(other.in_flight() * one.weight()))
    }

    /// Draws two endpoints by weight and takes the one with fewer requests in flight for its weight.
    fn choose_of_two(&self, rotation: &Rotation, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let seed = random();
        let one = rotation.at(seed as usize, &eligible)?;
        let Some(other) = rotation.at((seed >> 32) as usize, |position| position != one && eligible(position)) else {
            return Some(one);
        };
        Some(if self.busier(one, other) == Ordering::Greater { other } else { one })
    }
}

#[cfg(test)]
mod tests;
