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
    /// After so many seconds the canary's error rate is what it is; before, it is the baseline's.
    after: u64,
    /// The share of users for whom everything fails, on either side.
    broken: f64,
    /// Time between two looks, and in all.
    every: u64,
    seconds: u64,
}

const NO_CHANGE: Scenario =
    Scenario { errors: (0.005, 0.005), slower: None, after: 0, broken: 0.0, every: 10, seconds: 1_800 };

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
        let errors = if second > scenario.after { scenario.errors.1 } else { scenario.errors.0 };
        canary.second(&mut draws, to_canary, errors, &of_canary);
        baseline.second(&mut draws, PER_SECOND - to_canary, scenario.errors.0, &of_baseline);
        if second.is_multiple_of(scenario.every) && look(second, &canary, &baseline) {
            return Some(second);
        }
    }
    None
}

fn analysis<const N: usize>(metrics: [Value; N]) -> Analysis {
    Analysis::parse(&json!({ "metrics": metrics.to_vec(), "alpha": 0.01 }), "").unwrap()
}

fn errors(max_ratio: f64) -> Value {
    json!({ "name": "error_rate", "max_ratio": max_ratio, "max_absolute": 0.05 })
}

fn latency(max_ratio: f64) -> Value {
    json!({ "name": "latency", "quantile": 0.95, "max_ratio": max_ratio })
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

/// The median time from the fault to an alarm, and the time within which nine of ten are caught; who is never caught counts as
/// at the end.
fn caught(scenario: Scenario, analysis: &Analysis, runs: u64) -> (u64, u64) {
    let time = |seed| judged(scenario, analysis, seed).0.unwrap_or(scenario.seconds).saturating_sub(scenario.after);
    let mut times: Vec<u64> = (1..=runs).map(time).collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 9 / 10])
}

fn alarms(scenario: Scenario, analysis: &Analysis, runs: u64) -> f64 {
    share(runs, |seed| judged(scenario, analysis, seed).0.is_some())
}

#[test]
fn no_change_is_no_alarm() {
    let scenario = Scenario { seconds: 900, ..NO_CHANGE };
    assert!(alarms(scenario, &analysis([errors(1.0)]), 100) <= 1.0);
    assert_eq!(alarms(scenario, &analysis([errors(1.5)]), 20), 0.0);
    let just_tolerated = Scenario { errors: (0.005, 0.007_5), ..scenario };
    assert!(alarms(just_tolerated, &analysis([errors(1.5)]), 100) <= 1.0);
    assert!(share(200, |seed| rollout(NO_CHANGE, seed, z_test).is_some()) > 5.0, "the naive test is wrong often");
    assert!(share(20, |seed| rollout(NO_CHANGE, seed, twice_in_a_minute()).is_some()) > 90.0);
}

/// 1 user in 1 000 is one for whom everything fails, and the canary may get more of them than its part.
#[test]
fn broken_users_are_no_alarm() {
    let scenario = Scenario { broken: 0.001, ..NO_CHANGE };
    assert!(alarms(Scenario { seconds: 900, ..scenario }, &analysis([errors(1.5)]), 50) <= 2.0);
    assert!(
        share(50, |seed| rollout(scenario, seed, z_test).is_some()) > 15.0,
        "the naive test takes each error for another"
    );
}

#[test]
fn a_worse_canary_is_caught() {
    let worse = |canary, every| Scenario { errors: (0.005, canary), every, ..NO_CHANGE };
    assert!(caught(worse(0.01, 10), &analysis([errors(1.0)]), 15).0 <= 600);
    assert!(caught(worse(0.02, 10), &analysis([errors(1.0)]), 40).0 <= 90);
    assert!(caught(worse(0.5, 1), &analysis([errors(1.5)]), 40).1 <= 4);
    let slower = Scenario { slower: Some(1.25), ..NO_CHANGE };
    assert!(caught(slower, &analysis([latency(1.2)]), 9).0 <= 240);
}

#[test]
fn a_canary_that_is_no_worse_is_promoted() {
    let scenario = Scenario { slower: Some(1.0), every: 60, seconds: 300, ..NO_CHANGE };
    assert!(share(100, |seed| judged(scenario, &analysis([errors(1.5), latency(1.2)]), seed).1) >= 99.0);
}

#[test]
fn table() {
    if std::env::var("FLAGGATE_MEASURE").as_deref() != Ok("full") {
        return;
    }
    println!("| simulated | `max_ratio` | result |\n|---|---|---|");
    let line = |what: &str, ratio: &str, found: String| println!("| {what} | {ratio} | {found} |");
    let worse = |canary, every| Scenario { errors: (0.005, canary), every, ..NO_CHANGE };
    let sticky = Scenario { broken: 0.001, ..NO_CHANGE };
    let slower = |slower| Scenario { slower: Some(slower), ..NO_CHANGE };
    let false_alarms = |percent: f64| format!("{percent:.2} % false alarms");
    for (what, scenario) in [("no change", NO_CHANGE), ("no change, all requests of 1 user in 1 000 fail", sticky)] {
        let z = share(2_000, |seed| rollout(scenario, seed, z_test).is_some());
        line(&format!("{what}: z-test at each look, level 1 %"), "", false_alarms(z));
        let twice = share(500, |seed| rollout(scenario, seed, twice_in_a_minute()).is_some());
        line(&format!("{what}: twice the baseline's rate in a minute"), "", false_alarms(twice));
        for ratio in [1.0, 1.5] {
            let found = alarms(scenario, &analysis([errors(ratio)]), 2_000);
            line(&format!("{what}: the judge"), &ratio.to_string(), false_alarms(found));
        }
    }
    let edge = alarms(worse(0.007_5, 10), &analysis([errors(1.5)]), 2_000);
    line("0.5 → 0.75 % errors, just tolerated", "1.5", false_alarms(edge));
    let times = |scenario: Scenario, metric: fn(f64) -> Value, ratio: f64, runs| {
        let (median, most) = caught(scenario, &analysis([metric(ratio)]), runs);
        let end = scenario.seconds - scenario.after;
        let most = if most < end { format!("nine of ten within {most} s") } else { format!("not all within {end} s") };
        format!("caught in a median of {median} s, {most}")
    };
    for ratio in [1.0, 1.5] {
        let told = ratio.to_string();
        let slow = Scenario { seconds: 7_200, ..worse(0.01, 10) };
        line("0.5 → 1 % errors", &told, times(slow, errors, ratio, 301));
        line("0.5 → 2 % errors", &told, times(worse(0.02, 10), errors, ratio, 1_001));
        line("0.5 → 5 % errors, a look each second", &told, times(worse(0.05, 1), errors, ratio, 301));
        line("0.5 → 50 % errors, a look each second", &told, times(worse(0.5, 1), errors, ratio, 1_001));
    }
    let late = Scenario { after: 3_600, seconds: 4_500, ..worse(0.05, 5) };
    line("0.5 → 5 % errors after an hour, a look each 5 s", "1.5", times(late, errors, 1.5, 101));
    for ratio in [1.0, 1.2] {
        let told = ratio.to_string();
        line("latencies the same", &told, false_alarms(alarms(slower(1.0), &analysis([latency(ratio)]), 500)));
        line("latencies × 1.25", &told, times(slower(1.25), latency, ratio, 301));
    }
    let promoted = share(300, |seed| judged(slower(1.0), &analysis([errors(1.5), latency(1.2)]), seed).1);
    line("no change: promoted after 30 minutes", "1.5, 1.2", format!("{promoted:.1} %"));
}
