//! What the judge does over thousands of simulated rollouts, with fixed seeds; a few of them run with the tests.
//! `make simulate-judge` runs all and prints the table of `docs/delivery.md`.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// Requests a second; 5 % of them are the canary's.
const PER_SECOND: u64 = 200;
const CANARY: f64 = 0.05;

/// All users; each has the same number of requests, on average.
const USERS: f64 = 20_000.0;

/// Drawn numbers: `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, up to 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `tries` succeed: the gaps between successes are geometric.
    fn successes(&mut self, tries: u64, chance: f64) -> u64 {
        if chance <= 0.0 {
            return 0;
        }
        let (mut left, mut found) = (tries as f64, 0);
        let ln_fail = (-chance).ln_1p();
        loop {
            left -= (self.share().ln() / ln_fail).floor() + 1.0;
            if left < 0.0 {
                return found;
            }
            found += 1;
        }
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// What is simulated.
#[derive(Clone, Copy)]
struct Scenario {
    /// The error rates of baseline and canary.
    errors: (f64, f64),
    /// How many times as long as the baseline's the canary's latencies are; none: latencies are not compared.
    slower: Option<f64>,
    /// The share of users for whom everything fails, on either side.
    broken: f64,
    /// Time between two looks, and in all.
    every: u64,
    seconds: u64,
}

const NO_CHANGE: Scenario = Scenario { errors: (0.005, 0.005), slower: None, broken: 0.0, every: 10, seconds: 1_800 };

/// One side.
#[derive(Default)]
struct Side {
    requests: u64,
    errors: u64,
    of_broken: u64,
    broken: u64,
    users: f64,
    latency: Latency,
}

impl Side {
    fn second(&mut self, draws: &mut Draws, requests: u64, errors: f64, latencies: &[LatencyBucket]) {
        let of_broken = draws.successes(requests, self.broken as f64 / self.users);
        self.requests += requests;
        self.of_broken += of_broken;
        self.errors += of_broken + draws.successes(requests - of_broken, errors);
        if !latencies.is_empty() {
            for _ in 0..requests {
                self.latency.add(latencies[(draws.next() % latencies.len() as u64) as usize], 1);
            }
        }
    }

    fn sample(&self) -> Sample<'_> {
        let hit = |users: f64, times: u64| if users > 0.0 { users * -(-(times as f64) / users).exp_m1() } else { 0.0 };
        let (broken, others) = (self.broken as f64, self.users - self.broken as f64);
        let (requests, errors) = (self.requests - self.of_broken, self.errors - self.of_broken);
        Sample {
            requests: self.requests as f64,
            errors: self.errors as f64,
            users: hit(broken, self.of_broken) + hit(others, requests),
            users_with_error: hit(broken, self.of_broken) + hit(others, errors),
            latency: &self.latency,
        }
    }
}

/// Log-normal latencies with a median of 100 ms, as buckets to draw from.
fn latencies(slower: f64) -> Vec<LatencyBucket> {
    let mut draws = Draws(7);
    (0..65_536).map(|_| Latency::bucket((100_000.0 * slower * (0.5 * draws.normal()).exp()) as u64)).collect()
}

/// A rollout; `look` is told both sides at each look and ends it by answering `true`. The answer is when that was.
fn rollout(scenario: Scenario, seed: u64, mut look: impl FnMut(u64, &Side, &Side) -> bool) -> Option<u64> {
    let mut draws = Draws(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let broken = draws.successes(USERS as u64, scenario.broken);
    let of_canary = draws.successes(broken, CANARY);
    let mut canary = Side { users: USERS * CANARY, broken: of_canary, ..Side::default() };
    let mut baseline = Side { users: USERS * (1.0 - CANARY), broken: broken - of_canary, ..Side::default() };
    let (of_baseline, of_canary) =
        scenario.slower.map_or_else(Default::default, |slower| (latencies(1.0), latencies(slower)));
    for second in 1..=scenario.seconds {
        let to_canary = draws.successes(PER_SECOND, CANARY);
        canary.second(&mut draws, to_canary, scenario.errors.1, &of_canary);
        baseline.second(&mut draws, PER_SECOND - to_canary, scenario.errors.0, &of_baseline);
        if second.is_multiple_of(scenario.every) && look(second, &canary, &baseline) {
            return Some(second);
        }
    }
    None
}

fn analysis(metrics: &Value) -> Analysis {
    Analysis::parse(&json!({ "metrics": metrics, "alpha": 0.01 }), "").unwrap()
}

fn errors_alone() -> Analysis {
    analysis(&json!([{ "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.05 }]))
}

fn latency_alone() -> Analysis {
    analysis(&json!([{ "name": "latency", "quantile": 0.95, "max_ratio": 1.2 }]))
}

fn both() -> Analysis {
    analysis(&json!([
        { "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.05 },
        { "name": "latency", "quantile": 0.95, "max_ratio": 1.2 },
    ]))
}

/// When the judge fails the canary, and whether it passes it at the end.
fn judged(scenario: Scenario, analysis: &Analysis, seed: u64) -> (Option<u64>, bool) {
    let mut judge = Judge::new();
    let mut passes = false;
    let failed = rollout(scenario, seed, |second, canary, baseline| {
        let sight = Sight {
            since_start: Duration::from_secs(second),
            canary: canary.sample(),
            baseline: baseline.sample(),
            expected_share: Some(CANARY),
            is_fresh: true,
        };
        let decision = judge.weigh(analysis, &sight).decision;
        passes = decision == Decision::Pass;
        decision == Decision::Fail
    });
    (failed, passes)
}

/// What many do instead: a z-test of the two error rates at each look, at a level of 1 %.
fn z_test(_: u64, canary: &Side, baseline: &Side) -> bool {
    let (n, m) = (canary.requests as f64, baseline.requests as f64);
    let pooled = (canary.errors + baseline.errors) as f64 / (n + m);
    let difference = canary.errors as f64 / n - baseline.errors as f64 / m;
    difference / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt() > 2.326
}

/// Or: more than twice the baseline's rate in the last minute.
fn twice_in_a_minute() -> impl FnMut(u64, &Side, &Side) -> bool {
    let mut seen: Vec<[u64; 4]> = vec![[0; 4]];
    move |_, canary, baseline| {
        seen.push([canary.errors, canary.requests, baseline.errors, baseline.requests]);
        let (now, then) = (seen[seen.len() - 1], seen[seen.len().saturating_sub(7)]);
        let [bad, all, baseline_bad, baseline_all] = std::array::from_fn(|at| (now[at] - then[at]) as f64);
        bad / all > 2.0 * baseline_bad / baseline_all
    }
}

/// The share of seeds for which it holds, in percent.
fn share(runs: u64, holds: impl Fn(u64) -> bool) -> f64 {
    100.0 * (1..=runs).filter(|seed| holds(*seed)).count() as f64 / runs as f64
}

/// The median time to an alarm, and the time within which nine of ten are caught; all of them have to be.
fn caught(scenario: Scenario, analysis: &Analysis, runs: u64) -> (u64, u64) {
    let mut times: Vec<u64> =
        (1..=runs).map(|seed| judged(scenario, analysis, seed).0.expect("it is caught in time")).collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 9 / 10])
}

fn alarms(scenario: Scenario, analysis: &Analysis, runs: u64) -> f64 {
    share(runs, |seed| judged(scenario, analysis, seed).0.is_some())
}

#[test]
fn no_change_is_no_alarm() {
    let scenario = Scenario { seconds: 900, ..NO_CHANGE };
    assert_eq!(alarms(scenario, &errors_alone(), 40), 0.0);
    let just_tolerated = Scenario { errors: (0.005, 0.007_5), ..scenario };
    assert_eq!(alarms(just_tolerated, &errors_alone(), 40), 0.0);
    let with_broken_users = Scenario { broken: 0.001, ..scenario };
    assert_eq!(alarms(with_broken_users, &errors_alone(), 40), 0.0);
    assert!(share(200, |seed| rollout(NO_CHANGE, seed, z_test).is_some()) > 5.0, "the naive test is wrong often");
    assert!(share(20, |seed| rollout(NO_CHANGE, seed, twice_in_a_minute()).is_some()) > 90.0);
}

#[test]
fn a_worse_canary_is_caught() {
    let worse = |canary, every| Scenario { errors: (0.005, canary), every, ..NO_CHANGE };
    assert!(caught(worse(0.02, 10), &errors_alone(), 40).0 <= 90);
    assert!(caught(worse(0.5, 1), &errors_alone(), 40).1 <= 4);
    let slower = Scenario { slower: Some(1.25), ..NO_CHANGE };
    assert!(caught(slower, &latency_alone(), 9).0 <= 240);
}

#[test]
fn a_canary_that_is_no_worse_is_promoted() {
    let scenario = Scenario { slower: Some(1.0), every: 60, seconds: 300, ..NO_CHANGE };
    assert!(share(100, |seed| judged(scenario, &both(), seed).1) >= 99.0);
}

#[test]
#[expect(clippy::print_stdout, reason = "this prints the table")]
fn table() {
    if std::env::var("FLAGGATE_MEASURE").as_deref() != Ok("full") {
        return;
    }
    let line = |what: &str, found: String| println!("| {what} | {found} |");
    let times = |(median, most): (u64, u64)| format!("median {median} s, nine of ten within {most} s");
    let worse = |canary, every| Scenario { errors: (0.005, canary), every, ..NO_CHANGE };
    println!("| simulated | result |\n|---|---|");
    let z = share(2_000, |seed| rollout(NO_CHANGE, seed, z_test).is_some());
    line("no change, 0.5 % errors: z-test at each look, level 1 %", format!("{z:.1} % false alarms"));
    let twice = share(1_000, |seed| rollout(NO_CHANGE, seed, twice_in_a_minute()).is_some());
    line("no change: twice the baseline's rate in a minute", format!("{twice:.0} % false alarms"));
    let none = alarms(NO_CHANGE, &errors_alone(), 2_000);
    line("no change: the judge", format!("{none:.2} % false alarms"));
    let edge = alarms(worse(0.007_5, 10), &errors_alone(), 2_000);
    line("0.5 → 0.75 %, just tolerated: the judge", format!("{edge:.2} % false alarms"));
    let sticky = Scenario { broken: 0.001, ..NO_CHANGE };
    let z = share(2_000, |seed| rollout(sticky, seed, z_test).is_some());
    line("no change, all requests of 1 user in 1 000 fail: z-test at each look", format!("{z:.1} % false alarms"));
    let judged_sticky = alarms(sticky, &errors_alone(), 2_000);
    line("the same: the judge", format!("{judged_sticky:.2} % false alarms"));
    line("0.5 → 1 %", times(caught(Scenario { seconds: 7_200, ..worse(0.01, 10) }, &errors_alone(), 1_001)));
    line("0.5 → 2 %", times(caught(worse(0.02, 10), &errors_alone(), 1_001)));
    line("0.5 → 50 %, a look each second", times(caught(worse(0.5, 1), &errors_alone(), 1_001)));
    let slower = |slower| Scenario { slower: Some(slower), ..NO_CHANGE };
    line("latencies the same", format!("{:.2} % false alarms", alarms(slower(1.0), &latency_alone(), 500)));
    line("latencies × 1.25", times(caught(slower(1.25), &latency_alone(), 301)));
    let promoted = share(500, |seed| judged(slower(1.0), &both(), seed).1);
    line("no change: promoted after 30 minutes, errors and latency compared", format!("{promoted:.1} %"));
}
