//! The choice of endpoints.

use super::*;
use crate::config::{HealthCheck, Outlier, Retries, Timeouts};

fn config(load_balance: LoadBalance, endpoints: &[(&str, usize)]) -> config::Upstream {
    let endpoints = endpoints
        .iter()
        .map(|(address, weight)| config::Endpoint { address: (*address).to_owned(), weight: *weight })
        .collect();
    let second = Duration::from_secs(1);
    let health_check = HealthCheck { path: None, interval: second, timeout: second, healthy: 2, unhealthy: 3 };
    config::Upstream {
        name: "pool".to_owned(),
        endpoints,
        load_balance,
        protocol: config::Protocol::Http1,
        tls: None,
        timeouts: Timeouts { connect: second, read: second, request: second },
        retries: Retries { attempts: 2, budget_percent: 10 },
        health_check: Some(health_check),
        outlier: None,
    }
}

fn upstreams(load_balance: LoadBalance, endpoints: &[(&str, usize)]) -> Upstreams {
    Upstreams::new(&[config(load_balance, endpoints)], &Metrics::new(), None)
}

fn counts(upstreams: &Upstreams, draws: usize) -> Vec<usize> {
    let mut counts = vec![0; upstreams.0[0].endpoints.len()];
    for _ in 0..draws {
        counts[upstreams.select(0, &[], 0).unwrap().position()] += 1;
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
    let upstreams = upstreams(LoadBalance::RoundRobin, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1), ("127.0.0.1:3", 1)]);
    upstreams.0[0].endpoints[1].report("pool", false, &"refused");
    assert_eq!(counts(&upstreams, 300), [150, 0, 150]);
}

#[test]
fn p2c_takes_the_idle_one() {
    let upstreams = upstreams(LoadBalance::P2c, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1)]);
    let busy = upstreams.select(0, &[1], 0).unwrap();
    assert_eq!(counts(&upstreams, 100), [0, 100]);
    drop(busy);
    let shares = counts(&upstreams, 1000);
    assert!(shares.iter().all(|share| (300..700).contains(share)), "{shares:?}");
}

#[test]
fn the_guard_gives_the_endpoint_back() {
    let upstreams = upstreams(LoadBalance::P2c, &[("127.0.0.1:1", 1)]);
    let guard = upstreams.select(0, &[], 0).unwrap();
    assert_eq!(upstreams.0[0].endpoints[0].in_flight(), 1);
    drop(guard);
    assert_eq!(upstreams.0[0].endpoints[0].in_flight(), 0);
}

#[test]
fn an_excluded_or_unresolved_endpoint_is_not_chosen() {
    for load_balance in
        [LoadBalance::RoundRobin, LoadBalance::LeastConn, LoadBalance::P2c, LoadBalance::Hash(Subject::User)]
    {
        let upstreams = upstreams(load_balance, &[("127.0.0.1:1", 1), ("not-resolved.example:80", 1)]);
        assert_eq!(upstreams.select(0, &[], 0).unwrap().position(), 0);
        assert!(upstreams.select(0, &[0], 0).is_none());
        assert!(upstreams.is_available(0));
        assert!(!upstreams.has_other(0, &[0]));
    }
}

#[test]
fn least_conn_takes_the_idle_ones_by_weight() {
    let upstreams = upstreams(LoadBalance::LeastConn, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 3), ("127.0.0.1:3", 1)]);
    let shares = counts(&upstreams, 2_000);
    let expected = [400, 1_200, 400];
    assert!(shares.iter().zip(expected).all(|(share, expected)| share.abs_diff(expected) < 120), "{shares:?}");
    let held: Vec<EndpointGuard> = (0..10).map(|_| upstreams.select(0, &[], 0).unwrap()).collect();
    let mut busy = [0; 3];
    held.iter().for_each(|guard| busy[guard.position()] += 1);
    assert_eq!(busy, [2, 6, 2], "what is in flight follows the weights exactly");
}

#[test]
fn hash_holds_a_subject_and_moves_only_those_of_an_unhealthy_endpoint() {
    let all = [("127.0.0.1:1", 1), ("127.0.0.1:2", 1), ("127.0.0.1:3", 1), ("127.0.0.1:4", 1)];
    let upstreams = upstreams(LoadBalance::Hash(Subject::User), &all);
    let owners = || (0..4_000_u64).map(|subject| upstreams.select(0, &[], subject).unwrap().position());
    let before: Vec<usize> = owners().collect();
    assert_eq!(before, owners().collect::<Vec<_>>());
    upstreams.0[0].endpoints[2].report("pool", false, &"refused");
    let mut taken_over = [0; 4];
    for (before, after) in before.iter().zip(owners()) {
        assert!(*before == after || *before == 2, "{before} {after}");
        taken_over[after] += usize::from(*before == 2);
    }
    assert!(taken_over[2] == 0 && [0, 1, 3].iter().all(|other| taken_over[*other] > 250), "{taken_over:?}");
}

#[test]
fn who_is_put_aside_stays_so_through_a_reload_unless_that_is_turned_off() {
    let outlier = Outlier { consecutive_5xx: 2, ejection: Duration::from_secs(60), max_percent: 50 };
    let mut config = config(LoadBalance::RoundRobin, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1)]);
    config.outlier = Some(outlier);
    let metrics = Metrics::new();
    let first = Upstreams::new(std::slice::from_ref(&config), &metrics, None);
    (0..2).for_each(|_| first.answered(0, 1, false));
    (0..5).for_each(|_| first.answered(0, 0, false));
    assert_eq!(counts(&first, 10), [10, 0], "one of two at most");
    config.timeouts.read = Duration::from_secs(9);
    let second = Upstreams::new(std::slice::from_ref(&config), &metrics, Some(&first));
    assert_eq!(counts(&second, 10), [10, 0]);
    second.answered(0, 0, false);
    assert_eq!(counts(&second, 10), [10, 0], "still one of two at most");
    config.outlier = None;
    let third = Upstreams::new(&[config], &metrics, Some(&second));
    assert_eq!(counts(&third, 10), [5, 5]);
}

#[test]
fn one_that_could_not_be_connected_to_rests_where_there_is_another() {
    let upstreams = upstreams(LoadBalance::RoundRobin, &[("127.0.0.1:1", 1), ("127.0.0.1:2", 1)]);
    let guard = upstreams.select(0, &[1], 0).unwrap();
    guard.failed_to_connect("pool", &"refused");
    // The first result of a check or a connection decides alone.
    upstreams.0[0].endpoints[0].report("pool", true, &"");
    upstreams.0[0].endpoints[0].report("pool", true, &"");
    assert_eq!(counts(&upstreams, 10), [0, 10]);
    assert_eq!(upstreams.select(0, &[1], 0).unwrap().position(), 0, "it is better than none");
    guard.connected();
    assert_eq!(counts(&upstreams, 10), [5, 5]);
}
