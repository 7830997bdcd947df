//! How many requests a route takes: of each user, of each address, or of all together. Each gateway counts for itself.

mod table;

use std::{fmt, net::IpAddr, sync::Arc, time::Instant};

use ahash::RandomState;
use http::request::Parts;
use prometheus::IntCounter;

use super::{
    context::{Asker, cookie, header},
    failure::{Failure, Limited},
};
use crate::{
    clock,
    config::{Config, ContextConfig, IdentitySource, Per, RateLimit, Subject},
    telemetry::Metrics,
};

use table::{Over, Table};

/// The limits of all routes, by their position.
#[derive(Debug)]
pub(super) struct Limits(Vec<Option<Arc<Limit>>>);

/// The limit of one route.
struct Limit {
    config: RateLimit,
    table: Table,
    /// Seeded anew with each table: nobody can choose keys that share a place.
    hashes: RandomState,
    start: Instant,
    limited: IntCounter,
}

/// Whose requests are counted together. What is believed and what is not never meet.
#[derive(Hash)]
enum Counted<'a> {
    Route,
    User(&'a str),
    Value(&'a str),
    Address(IpAddr),
}

impl Limits {
    /// Those of a configuration. A limit that was there under the one before goes on as it stands.
    pub(super) fn new(config: &Config, metrics: &Metrics, before: Option<(&Config, &Self)>) -> Self {
        let known = |name: &str| {
            let (config, limits) = before?;
            let position = config.routes.iter().position(|route| route.name == name)?;
            limits.0[position].clone()
        };
        let routes = config.routes.iter().map(|route| {
            let rate = route.rate.as_ref()?;
            let known = known(&route.name).filter(|limit| limit.config == *rate);
            Some(known.unwrap_or_else(|| Arc::new(Limit::new(rate.clone(), metrics.limited(&route.name)))))
        });
        Self(routes.collect())
    }

    /// Refuses a request that is over the limit of its route.
    pub(super) fn check(&self, asker: Asker<'_>, now: Instant) -> Result<(), Failure> {
        let Some(limit) = self.0.get(asker.taken.position).and_then(Option::as_deref) else { return Ok(()) };
        let key = match &limit.config.per {
            Per::Route => limit.hashes.hash_one(Counted::Route),
            Per::Subject(subject) => limit.key(subject, asker),
        };
        limit.take(key, now)
    }
}

impl Limit {
    fn new(config: RateLimit, limited: IntCounter) -> Self {
        // Rounded up: nobody gets more than the rate.
        let interval = u64::try_from(config.interval().as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let keys = if config.per == Per::Route { 1 } else { config.max_keys };
        let table = Table::new(interval, config.burst, keys);
        Self { config, table, hashes: RandomState::new(), start: clock::monotonic(), limited }
    }

    /// Who cannot be believed is counted by the address: otherwise a new name with each request would be a way around.
    fn key(&self, subject: &Subject, asker: Asker<'_>) -> u64 {
        let Asker { config, request, taken, .. } = asker;
        let value = |value: &str| self.hashes.hash_one(Counted::Value(value));
        let by_name = match subject {
            Subject::User => {
                let identity = asker.identify();
                let is_known = !identity.user_id.is_empty() && identity.set_cookie.is_none();
                let is_named = is_known && !is_anonymous(config, request, &identity.user_id);
                is_named.then(|| self.hashes.hash_one(Counted::User(&identity.user_id)))
            }
            Subject::ClientIp => None,
            Subject::Header(name) => header(&request.headers, name).filter(|_| taken.trusted).map(value),
            Subject::Cookie(name) => cookie(&request.headers, name).filter(|_| taken.trusted).map(value),
        };
        by_name.unwrap_or_else(|| {
            let address = taken.client.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
            self.hashes.hash_one(Counted::Address(network(address)))
        })
    }

    fn take(&self, key: u64, now: Instant) -> Result<(), Failure> {
        let micros = u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX);
        self.table.take(key, micros).map_err(|Over { wait }| {
            self.limited.inc();
            Failure::limited(Limited {
                requests: self.config.requests,
                window: self.config.window.as_secs_f64().ceil() as u64,
                wait: wait.div_ceil(1_000_000).max(1),
            })
        })
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(out)
    }
}

/// Whether a user's id is the one of a cookie that anybody can make.
fn is_anonymous(context: &ContextConfig, request: &Parts, user_id: &str) -> bool {
    context.user_id.iter().any(|source| {
        matches!(source, IdentitySource::AnonymousCookie(name) if cookie(&request.headers, name) == Some(user_id))
    })
}

/// What one client has: an address, and of IPv6 the 64 bits that it was given.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => IpAddr::from((u128::from(long) & !u128::from(u64::MAX)).to_be_bytes()),
    }
}
