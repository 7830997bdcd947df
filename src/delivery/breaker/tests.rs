use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings {
        error_threshold: Some(20.0),
        watches_latency: true,
        volume_threshold: 50,
        failure_count_threshold: Some(30),
        success_count_threshold: 20,
        timeout: Duration::from_secs(5),
        half_open_requests: 10,
    }
}

/// The states and trips of a breaker that is told one (requests, errors, slow) a second.
fn run(seconds: &[(u64, u64, u64)]) -> (Breaker, Vec<(usize, Trip)>) {
    let mut breaker = Breaker::new(settings());
    let mut trips = Vec::new();
    for (second, (requests, errors, slow)) in seconds.iter().enumerate() {
        let trip = breaker.step(Duration::from_secs(second as u64), *requests, *errors, *slow);
        trips.extend(trip.map(|trip| (second, trip)));
    }
    (breaker, trips)
}

fn check(seconds: &[(u64, u64, u64)], state: State, reasons: &[(usize, TripReason)]) {
    let (breaker, trips) = run(seconds);
    let found: Vec<_> = trips.iter().map(|(second, trip)| (*second, trip.reason)).collect();
    assert_eq!((breaker.state(), &*found), (state, reasons), "{seconds:?}");
}

#[test]
fn what_opens_it() {
    use TripReason::{ErrorRate, FailuresInARow, Latency};
    let fine = (100, 1, 2);
    check(&[fine; 30], State::Closed, &[]);
    check(&[fine, fine, (100, 20, 0)], State::Open, &[(2, ErrorRate)]);
    check(&[fine, (100, 19, 0), (100, 19, 0)], State::Closed, &[]);
    check(&[fine, (100, 0, 49), (100, 0, 50)], State::Open, &[(2, Latency)]);
    check(&[(10, 9, 0); 4], State::Closed, &[]);
    check(&[(10, 9, 0); 5], State::Open, &[(4, ErrorRate)]);
    check(&[(10, 10, 0); 3], State::Open, &[(2, FailuresInARow)]);
    check(&[(10, 10, 0), (0, 0, 0), (10, 10, 0), (10, 10, 0)], State::Open, &[(3, FailuresInARow)]);
    check(&[(10, 10, 0), (10, 10, 0), (9, 8, 0), (10, 10, 0)], State::Closed, &[]);
    check(&[(4, 3, 0); 60], State::Closed, &[]);
    // A quarter of a burst is not hidden by the good seconds before it.
    check(&[(1_000, 0, 0), (60, 12, 0)], State::Open, &[(1, ErrorRate)]);
}

#[test]
fn the_way_back() {
    use TripReason::{ErrorRate, Relapse};
    let burst = (100, 50, 0);
    let none = (0, 0, 0);
    let mut told = vec![burst, none, none, none, none];
    check(&told, State::Open, &[(0, ErrorRate)]);
    told.push(none);
    check(&told, State::HalfOpen, &[(0, ErrorRate)]);
    let (breaker, _) = run(&told);
    assert!((breaker.share() - 0.1).abs() < 1e-9, "10 of 100 requests a second: {}", breaker.share());
    let with = |more: &[(u64, u64, u64)]| [&told[..], more].concat();
    check(&with(&[(10, 0, 0)]), State::HalfOpen, &[(0, ErrorRate)]);
    check(&with(&[(10, 1, 0), (10, 1, 0)]), State::HalfOpen, &[(0, ErrorRate)]);
    check(&with(&[(10, 1, 0), (10, 1, 0), (2, 0, 0)]), State::Closed, &[(0, ErrorRate)]);
    check(&with(&[(10, 0, 0), (10, 4, 0)]), State::Open, &[(0, ErrorRate), (7, Relapse)]);
    check(&with(&[(1, 1, 0)]), State::Open, &[(0, ErrorRate), (6, Relapse)]);
    check(&with(&[(10, 0, 5)]), State::Open, &[(0, ErrorRate), (6, Relapse)]);
}

#[test]
fn without_a_percentage_any_failure_is_a_relapse() {
    let settings = Settings { error_threshold: None, ..settings() };
    let mut breaker = Breaker::new(settings);
    breaker.open(Duration::ZERO);
    assert_eq!(breaker.step(Duration::from_secs(5), 0, 0, 0), None);
    let trip = breaker.step(Duration::from_secs(6), 10, 1, 0);
    assert_eq!(trip, Some(Trip { reason: TripReason::Relapse, requests: 10, bad: 1 }));
}

#[test]
fn somebody_else_may_open_and_close_it() {
    let mut breaker = Breaker::new(settings());
    breaker.open(Duration::from_secs(1));
    assert_eq!((breaker.state(), breaker.share()), (State::Open, 0.0));
    breaker.close(Duration::from_secs(2));
    assert_eq!((breaker.state(), breaker.share()), (State::Closed, 1.0));
}

proptest! {
    #[test]
    fn it_keeps_its_promises(seconds in prop::collection::vec((0_u64..200, 0_u64..200, 0_u64..200), 1..80)) {
        let settings = settings();
        let mut breaker = Breaker::new(settings.clone());
        let (mut opened, mut good) = (Duration::ZERO, 0);
        for (second, (requests, errors, slow)) in seconds.into_iter().enumerate() {
            let now = Duration::from_secs(second as u64);
            let (errors, slow) = (errors.min(requests), slow.min(requests));
            let before = breaker.state();
            let trip = breaker.step(now, requests, errors, slow);
            prop_assert_eq!(trip.is_some(), before != State::Open && breaker.state() == State::Open);
            prop_assert!((0.0..=1.0).contains(&breaker.share()));
            if let Some(trip) = trip {
                prop_assert!(trip.bad > 0 && trip.bad <= trip.requests);
                prop_assert!(trip.reason == TripReason::Relapse || trip.requests >= 30);
                opened = now;
            }
            match (before, breaker.state()) {
                (State::Open, State::HalfOpen) => {
                    prop_assert!(now - opened >= settings.timeout);
                    good = 0;
                }
                (State::HalfOpen, State::HalfOpen) => good += requests - errors,
                (State::HalfOpen, State::Closed) => {
                    prop_assert!(good + requests - errors >= settings.success_count_threshold);
                }
                (State::Open, State::Closed) => prop_assert!(false, "it closed without a trial"),
                (State::Closed, State::Closed) => {
                    let is_burst = requests >= 50 && errors * 100 >= requests * 20;
                    prop_assert!(!is_burst, "a burst within one second opens it");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn without_errors_and_slow_requests_it_never_opens(requests in prop::collection::vec(0_u64..1_000, 1..60)) {
        let seconds: Vec<_> = requests.into_iter().map(|requests| (requests, 0, 0)).collect();
        prop_assert_eq!(run(&seconds).1, vec![]);
    }
}
