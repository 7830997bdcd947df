//! The demo world: upstreams that show what they were told, users who ask, and commands to try.
//!
//! All of it runs inside the process, on loopback, until a token is cancelled. `config/demo.toml`,
//! `config/demo-flags.json` and `config/segments/` are the rest of the demo; they are compiled in, so that it runs from any
//! folder.

mod commands;
mod faults;
mod page;
mod shoppers;
mod traffic;
mod upstreams;

use std::{net::SocketAddr, time::Duration};

pub use commands::curl_lines;
pub use faults::Faults;
pub use shoppers::shoppers;
pub use traffic::{MODEST, Traffic, traffic};
pub use upstreams::{DemoUpstreams, upstreams};

use crate::config::Config;

/// `config/demo.toml`.
pub const CONFIG: &str = include_str!("../../config/demo.toml");

/// `config/demo-deployment.json`.
pub const DEPLOYMENT: &str = include_str!("../../config/demo-deployment.json");

/// With `--traffic` this upstream takes so much longer than the others.
pub const SLOW: (&str, Duration) = ("v2-canary", Duration::from_millis(20));

/// What the demo's store is filled with: the flags, and the segments that many shops have.
pub const SEED: &[(&str, &str)] = &[
    ("config/demo-flags.json", include_str!("../../config/demo-flags.json")),
    ("config/segments/at_risk_churn.json", include_str!("../../config/segments/at_risk_churn.json")),
    ("config/segments/checkout_abandoners.json", include_str!("../../config/segments/checkout_abandoners.json")),
    ("config/segments/high_engagement.json", include_str!("../../config/segments/high_engagement.json")),
    ("config/segments/high_value_users.json", include_str!("../../config/segments/high_value_users.json")),
    ("config/segments/mobile_power_users.json", include_str!("../../config/segments/mobile_power_users.json")),
    ("config/segments/new_users.json", include_str!("../../config/segments/new_users.json")),
    ("config/segments/paying_customers.json", include_str!("../../config/segments/paying_customers.json")),
];

/// The name and address of every endpoint of `config` that the demo can stand in for: those on loopback.
#[must_use]
pub fn addresses(config: &Config) -> Vec<(String, SocketAddr)> {
    let endpoints = config.upstreams.iter().flat_map(|upstream| {
        let parsed = upstream.endpoints.iter().filter_map(|endpoint| endpoint.address.parse().ok());
        parsed.map(|address| (upstream.name.clone(), address))
    });
    endpoints.filter(|(_, address): &(String, SocketAddr)| address.ip().is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_on_loopback_are_stood_in_for() {
        let config = Config::for_testing();
        let found = addresses(&config);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, config.upstreams[0].name);
        assert!(found[0].1.ip().is_loopback());
    }
}
