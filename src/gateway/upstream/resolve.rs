//! Resolves the names of endpoints, off the way of requests.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{Endpoint, Upstreams};

/// Between two resolutions of every name.
pub(super) const INTERVAL: Duration = Duration::from_secs(15);

/// An endpoint that is given by name.
#[derive(Debug)]
pub(super) struct Name {
    upstream: Arc<str>,
    endpoint: Arc<Endpoint>,
    failing: bool,
}

/// Every endpoint that is given by name.
pub(super) fn names(upstreams: &Upstreams) -> Vec<Name> {
    let all = upstreams.0.iter().flat_map(|pool| pool.endpoints.iter().map(|endpoint| (&pool.name, endpoint)));
    all.filter(|(_, endpoint)| endpoint.address().parse::<SocketAddr>().is_err())
        .map(|(upstream, endpoint)| Name {
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(endpoint),
            failing: false,
        })
        .collect()
}

/// Resolves every name once. One that cannot be resolved keeps the address that it had.
pub(super) async fn resolve(names: &mut [Name]) {
    for name in names {
        let found = tokio::net::lookup_host(name.endpoint.address().as_ref()).await.map(Iterator::collect::<Vec<_>>);
        let cause = match found {
            Ok(addresses) if !addresses.is_empty() => {
                name.take(&addresses);
                continue;
            }
            Ok(_) => "the name has no address".to_owned(),
            Err(error) => error.to_string(),
        };
        if !name.failing {
            log::warn!("upstream {}: failed to resolve {}: {cause}", name.upstream, name.endpoint.address());
        }
        name.failing = true;
    }
}

impl Name {
    /// Keeps the current address while it is among those found; else takes the first, IPv4 before IPv6.
    fn take(&mut self, addresses: &[SocketAddr]) {
        self.failing = false;
        let current = self.endpoint.resolved();
        if current.is_some_and(|current| addresses.contains(&current)) {
            return;
        }
        let chosen = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
        if let Some(chosen) = chosen {
            log::info!("upstream {}: {} is {chosen}", self.upstream, self.endpoint.address());
            self.endpoint.set_resolved(Some(*chosen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, LoadBalance, Retries, Timeouts},
        telemetry::Metrics,
    };

    fn upstreams(address: &str) -> Upstreams {
        let second = Duration::from_secs(1);
        let upstream = config::Upstream {
            name: "u".to_owned(),
            endpoints: vec![config::Endpoint { address: address.to_owned(), weight: 1 }],
            load_balance: LoadBalance::RoundRobin,
            protocol: config::Protocol::Http1,
            tls: None,
            timeouts: Timeouts { connect: second, read: second, request: second },
            retries: Retries { attempts: 1, budget_percent: 10 },
            health_check: None,
            outlier: None,
        };
        Upstreams::new(&[upstream], &Metrics::new(), None)
    }

    #[tokio::test]
    async fn a_name_becomes_available_when_resolved_and_prefers_ipv4() {
        let upstreams = upstreams("localhost:81");
        assert!(!upstreams.is_available(0));
        resolve(&mut names(&upstreams)).await;
        assert!(upstreams.is_available(0));
        assert_eq!(upstreams.0[0].endpoints[0].resolved(), Some(([127, 0, 0, 1], 81).into()));
    }

    #[test]
    fn an_address_stays_while_the_name_still_has_it() {
        let upstreams = upstreams("several.example:80");
        let mut names = names(&upstreams);
        let [one, two]: [SocketAddr; 2] = [([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()];
        names[0].take(&[one, two]);
        names[0].take(&[two, one]);
        assert_eq!(upstreams.0[0].endpoints[0].resolved(), Some(one));
        names[0].take(&[two]);
        assert_eq!(upstreams.0[0].endpoints[0].resolved(), Some(two));
    }

    #[test]
    fn addresses_are_not_names() {
        assert!(names(&upstreams("127.0.0.1:80")).is_empty());
        assert!(names(&upstreams("[::1]:80")).is_empty());
    }
}
