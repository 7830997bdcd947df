//! Experiments that are looked at again and again, with fixed seeds: where there is no effect, hardly any look tells of one;
//! effects that were planted are found. Run with `FLAGGATE_MEASURE=full` it prints the table of `docs/telemetry.md`.

use super::{Moments, Test, compare, sample_ratio};

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

    fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// What one user brings.
#[derive(Clone, Copy)]
enum Metric {
    /// 1 with this probability, times so much for the treatment.
    Rate(f64, f64),
    /// The logarithm of a log-normal time, times so much for the treatment.
    Latency(f64),
    /// What a user who buys spends: log-normal, with a heavy tail; the treatment buys so much more often.
    Value(f64, f64),
}

impl Metric {
    fn draw(self, draws: &mut Draws, is_treated: bool) -> f64 {
        let times = |effect: f64| if is_treated { effect } else { 1.0 };
        match self {
            Self::Rate(rate, effect) => f64::from(u8::from(draws.share() <= rate * times(effect))),
            Self::Latency(effect) => 0.5 * draws.normal() + times(effect).ln(),
            Self::Value(rate, effect) if draws.share() <= rate * times(effect) => draws.normal().exp() * 20.0,
            Self::Value(..) => 0.0,
        }
    }
}

/// After how many users a look told of an effect, at a look each 100 users; none: none of them did.
fn told(metric: Metric, share: f64, users: u64, seed: u64) -> Option<u64> {
    let mut draws = Draws(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let (mut treated, mut control) = (Moments::default(), Moments::default());
    let test = Test::default();
    for user in 1..=users {
        let is_treated = draws.share() <= share;
        let value = metric.draw(&mut draws, is_treated);
        if is_treated {
            treated.add(value, 1)
        } else {
            control.add(value, 1)
        }
        let looks = user % 100 == 0;
        if looks && compare(&treated, &control, &test).is_some_and(|found| found.p_value < test.alpha) {
            return Some(user);
        }
    }
    None
}

/// What many do instead: a t-test at each look, at a level of 5 %.
fn naive(rate: f64, users: u64, seed: u64) -> bool {
    let mut draws = Draws(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let (mut treated, mut control) = (Moments::default(), Moments::default());
    (1..=users).any(|user| {
        let is_treated = draws.share() <= 0.5;
        let value = Metric::Rate(rate, 1.0).draw(&mut draws, is_treated);
        if is_treated {
            treated.add(value, 1)
        } else {
            control.add(value, 1)
        }
        let error = (treated.variance() / treated.count + control.variance() / control.count).sqrt();
        user % 100 == 0 && ((treated.mean() - control.mean()) / error).abs() > 1.96
    })
}

fn percent(runs: u64, holds: impl Fn(u64) -> bool) -> f64 {
    100.0 * (1..=runs).filter(|seed| holds(*seed)).count() as f64 / runs as f64
}

fn mismatch(shares: [f64; 2], configured: [f64; 2], users: u64, seed: u64) -> Option<u64> {
    let mut draws = Draws(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut counts = [0, 0];
    (1..=users).find(|user| {
        counts[usize::from(draws.share() > shares[0])] += 1;
        user % 100 == 0 && sample_ratio(&counts, &configured).is_some_and(|p| p < 0.01)
    })
}

const NO_EFFECT: [(&str, Metric, f64); 6] = [
    ("conversion 20 %, half and half", Metric::Rate(0.2, 1.0), 0.5),
    ("conversion 2 %, half and half", Metric::Rate(0.02, 1.0), 0.5),
    ("conversion 5 %, one in ten treated", Metric::Rate(0.05, 1.0), 0.1),
    ("conversion 0.5 %, one in ten treated", Metric::Rate(0.005, 1.0), 0.1),
    ("latency", Metric::Latency(1.0), 0.5),
    ("value per user, 10 % buy", Metric::Value(0.1, 1.0), 0.5),
];

const EFFECTS: [(&str, Metric, f64); 4] = [
    ("conversion 20 % → 23 % (+ 15 %)", Metric::Rate(0.2, 1.15), 0.5),
    ("conversion 10 % → 11.5 % (+ 15 %)", Metric::Rate(0.1, 1.15), 0.5),
    ("latency + 20 %", Metric::Latency(1.2), 0.5),
    ("latency + 20 %, one in ten treated", Metric::Latency(1.2), 0.1),
];

/// 200 seeds, 100 looks each.
#[test]
fn no_effect_is_hardly_ever_told() {
    for (name, metric, share) in NO_EFFECT {
        let alarms = percent(200, |seed| told(metric, share, 10_000, seed).is_some());
        assert!(alarms <= 5.0, "{name}: {alarms} % false alarms");
    }
    assert!(percent(200, |seed| naive(0.2, 10_000, seed)) > 20.0, "the naive test is wrong often");
    let alarms = percent(200, |seed| mismatch([0.5, 0.5], [0.5, 0.5], 10_000, seed).is_some());
    assert!(alarms <= 1.0, "{alarms} % of right splits are called wrong");
}

#[test]
fn effects_are_found() {
    for (name, metric, share) in [EFFECTS[0], EFFECTS[2], EFFECTS[3]] {
        let found = percent(40, |seed| told(metric, share, 20_000, seed).is_some());
        assert!(found >= 95.0, "{name}: found in {found} %");
    }
    let found = percent(40, |seed| mismatch([0.53, 0.47], [0.5, 0.5], 20_000, seed).is_some());
    assert!(found >= 95.0, "a wrong split is found in {found} %");
}

#[test]
fn table() {
    if std::env::var("FLAGGATE_MEASURE").as_deref() != Ok("full") {
        return;
    }
    println!("| simulated | result |\n|---|---|");
    let alarms = percent(2_000, |seed| naive(0.2, 10_000, seed));
    println!("| no effect, a t-test at each of 100 looks, level 5 % | {alarms:.1} % false alarms |");
    for (name, metric, share) in NO_EFFECT {
        let alarms = percent(2_000, |seed| told(metric, share, 10_000, seed).is_some());
        println!("| no effect, {name} | {alarms:.2} % false alarms |");
    }
    for (name, metric, share) in EFFECTS {
        let mut when: Vec<u64> = (1..=400).map(|seed| told(metric, share, 60_000, seed).unwrap_or(u64::MAX)).collect();
        when.sort_unstable();
        println!("| {name} | found after {} users (median), {} (nine of ten) |", when[200], when[360]);
    }
    let wrong = percent(2_000, |seed| mismatch([0.5, 0.5], [0.5, 0.5], 10_000, seed).is_some());
    println!("| a right split, looked at 100 times, p < 0.01 | {wrong:.2} % called wrong |");
    let mut when: Vec<u64> =
        (1..=400).map(|seed| mismatch([0.52, 0.48], [0.5, 0.5], 60_000, seed).unwrap_or(u64::MAX)).collect();
    when.sort_unstable();
    println!("| a split of 52 to 48 for 50 to 50, p < 0.01 | found after {} users (median) |", when[200]);
}
