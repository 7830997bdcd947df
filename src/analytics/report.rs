//! What is told of a flag, a route, or their variations and ways. Pure: from what was gathered to what is answered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Range, compared, compared::quantile};
use crate::{
    model::{Arm, ArmCounts},
    statistics::{Compared, Moments, Test, compare, sample_ratio},
    store::{Experiment, Participant, Series},
};

/// A split this unlikely is wrong. Lower than elsewhere, as it makes everything else void.
const MISMATCH: f64 = 0.001;

/// Kinds of actions that are told of, those that most users did first.
const MOST_METRICS: usize = 20;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Over which time.
    pub range: Range,
    /// The variation that the others are compared with; of a route the strategy.
    pub control: Option<&'a str>,
    /// How sure comparisons have to be.
    pub test: Test,
    /// The part of the users that each variation should have, where one draw decides.
    pub shares: Option<Vec<(String, f64)>>,
    /// Since when the split is as it is.
    pub split_since: Option<Timestamp>,
}

/// A flag over some time.
#[derive(Clone, Debug, Serialize)]
pub struct FlagReport {
    /// The flag.
    pub flag: String,
    /// From when,
    pub from: Timestamp,
    /// until when.
    pub to: Timestamp,
    /// The length of a step of the series, in seconds.
    pub step: i64,
    /// The variation that the others are compared with.
    pub control: Option<String>,
    /// The probability with which comparisons tell of an effect that is not there, each over all looks.
    pub alpha: f64,
    /// How often it was evaluated, for requests and because applications asked.
    pub evaluations: u64,
    /// The requests that it was evaluated for.
    pub requests: u64,
    /// The users whom a draw put into a variation in this time; all of them, or one in `one_in`.
    pub participants: usize,
    /// Of more users than are kept, one in so many is.
    pub one_in: u64,
    /// Users who saw more than one variation, as the flag was changed. They count as of the first that they saw.
    pub crossed: usize,
    /// Whether users were split as they should be.
    pub sample_ratio: Option<SampleRatio>,
    /// Each variation.
    pub variations: Vec<ArmReport>,
    /// What happened in each step.
    pub series: Vec<Point>,
}

/// A route over some time.
#[derive(Clone, Debug, Serialize)]
pub struct RouteReport {
    /// The route.
    pub route: String,
    /// From when,
    pub from: Timestamp,
    /// until when.
    pub to: Timestamp,
    /// The length of a step of the series, in seconds.
    pub step: i64,
    /// The way that the others are compared with, as strategy and upstream.
    pub control: Option<String>,
    /// As for flags.
    pub alpha: f64,
    /// Its requests.
    pub requests: u64,
    /// Each way that requests went.
    pub ways: Vec<ArmReport>,
    /// What happened in each step.
    pub series: Vec<Point>,
}

/// A variation of a flag or a way of a route.
#[derive(Clone, Debug, Serialize)]
pub struct ArmReport {
    /// The variation; of a route, strategy and upstream.
    pub name: String,
    /// Whether the others are compared with this one.
    pub is_control: bool,
    /// How often the flag gave it.
    pub evaluations: u64,
    /// The part of all evaluations, of a route of all requests.
    pub share: f64,
    /// Requests.
    pub requests: u64,
    /// Those that ended in an error.
    pub errors: u64,
    /// Their part; none without requests.
    pub error_rate: Option<f64>,
    /// Latencies, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p95_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
    /// About how many distinct users it had.
    pub users: u64,
    /// How its error rate compares with the control's.
    pub errors_compared: Option<Compared>,
    /// How its latency does: the lift is that of the geometric mean.
    pub latency_compared: Option<Compared>,
    /// The users whom a draw put here first.
    pub participants: usize,
    /// What they did afterwards, by kind of action.
    pub metrics: BTreeMap<String, MetricReport>,
}

/// What the participants of one variation did of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct MetricReport {
    /// How many did it.
    pub converted: u64,
    /// Their part of the participants.
    pub rate: f64,
    /// How often it was done.
    pub times: u64,
    /// What all of it is worth.
    pub value: f64,
    /// The same by participant.
    pub value_per_user: f64,
    /// How the rate compares with the control's.
    pub rate_compared: Option<Compared>,
    /// How the value by user does.
    pub value_compared: Option<Compared>,
}

/// Whether users were split as they should be.
#[derive(Clone, Debug, Serialize)]
pub struct SampleRatio {
    /// Only users who were drawn since then count, as the split was another before.
    pub since: Timestamp,
    /// The parts that are configured.
    pub expected: BTreeMap<String, f64>,
    /// The users that there are.
    pub counted: BTreeMap<String, u64>,
    /// How likely chance makes such a split, at all looks together.
    pub p_value: f64,
    /// Whether that is too unlikely: then nothing that compares variations can be trusted.
    pub is_mismatch: bool,
}

/// One step of a series.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    /// What each variation or way had.
    pub arms: BTreeMap<String, PointFigures>,
}

/// The figures of an arm in a step.
#[derive(Clone, Debug, Serialize)]
pub struct PointFigures {
    /// How often the flag gave it.
    pub evaluations: u64,
    /// Requests.
    pub requests: u64,
    /// Those that ended in an error.
    pub errors: u64,
    /// Latencies, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p95_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
    /// About how many distinct users.
    pub users: u64,
}

/// What a flag did. `users` says how many distinct users each arm had; `experiment`, who took part.
#[must_use]
pub fn flag(
    key: &str,
    asked: &Asked<'_>,
    series: &Series,
    users: &BTreeMap<Arm, f64>,
    experiment: Option<&Experiment>,
) -> FlagReport {
    let total = series.total();
    let nobody = Experiment::default();
    let experiment = experiment.unwrap_or(&nobody);
    let Range { from, to, step } = asked.range;
    let took_part: Vec<&Participant> =
        experiment.participants.iter().filter(|who| who.at >= from && who.at < to).collect();
    let mut names: BTreeSet<&str> = total.keys().map(name_of).collect();
    names.extend(took_part.iter().map(|who| &*who.variation));
    let control = control(&names, asked.control, |name| {
        total.iter().find(|(arm, _)| name_of(arm) == name).map_or(0, |(_, counts)| counts.evaluations)
    });
    let arms: Vec<(&str, ArmCounts, f64)> = names
        .iter()
        .map(|name| {
            let counts = total.iter().find(|(arm, _)| name_of(arm) == *name).map(|(_, counts)| counts.clone());
            let users = users.iter().find(|(arm, _)| name_of(arm) == *name).map_or(0.0, |(_, users)| *users);
            (*name, counts.unwrap_or_default(), users)
        })
        .collect();
    let evaluations = arms.iter().map(|(_, counts, _)| counts.evaluations.max(counts.requests)).sum::<u64>();
    let weight = |counts: &ArmCounts| counts.evaluations.max(counts.requests);
    let mut variations = reports(&arms, control.as_deref(), &asked.test, weight);
    add_metrics(&mut variations, &took_part, control.as_deref(), &asked.test);
    FlagReport {
        flag: key.to_owned(),
        from,
        to,
        step,
        alpha: asked.test.alpha,
        evaluations,
        requests: variations.iter().map(|arm| arm.requests).sum(),
        participants: took_part.len(),
        one_in: 1_u64.checked_shl(experiment.level).unwrap_or(u64::MAX),
        crossed: took_part.iter().filter(|who| who.crossed).count(),
        sample_ratio: asked.shares.as_deref().and_then(|shares| {
            let since = asked.split_since.map_or(from, |since| since.max(from));
            split(shares, since, took_part.iter().copied().filter(|who| who.at >= since))
        }),
        control,
        variations,
        series: points(series, step, |arm| name_of(arm).to_owned()),
    }
}

/// What a route did.
#[must_use]
pub fn route(name: &str, asked: &Asked<'_>, series: &Series, users: &BTreeMap<Arm, f64>) -> RouteReport {
    let total = series.total();
    let ways: Vec<(String, ArmCounts, f64)> = total
        .iter()
        .map(|(arm, counts)| (way_of(arm), counts.clone(), users.get(arm).copied().unwrap_or_default()))
        .collect();
    let names: BTreeSet<&str> = ways.iter().map(|(name, _, _)| name.as_str()).collect();
    let requests_of = |name: &str| ways.iter().find(|(way, _, _)| way == name).map_or(0, |(_, way, _)| way.requests);
    let wanted = asked.control.unwrap_or("default");
    let control = names.iter().find(|way| way.split(' ').next() == Some(wanted) || **way == wanted);
    let control = control.map(|way| (*way).to_owned()).or_else(|| control_by_size(&names, requests_of));
    let arms: Vec<(&str, ArmCounts, f64)> =
        ways.iter().map(|(name, counts, users)| (name.as_str(), counts.clone(), *users)).collect();
    let Range { from, to, step } = asked.range;
    let reports = reports(&arms, control.as_deref(), &asked.test, |counts| counts.requests);
    RouteReport {
        route: name.to_owned(),
        from,
        to,
        step,
        control,
        alpha: asked.test.alpha,
        requests: reports.iter().map(|way| way.requests).sum(),
        ways: reports,
        series: points(series, step, way_of),
    }
}

/// The variation of an arm.
fn name_of(arm: &Arm) -> &str {
    match arm {
        Arm::Variation { variation, .. } => variation,
        Arm::Route { upstream, .. } => upstream,
    }
}

/// Strategy and upstream of an arm.
fn way_of(arm: &Arm) -> String {
    match arm {
        Arm::Variation { variation, .. } => variation.to_string(),
        Arm::Route { strategy, upstream, .. } => format!("{strategy} {upstream}"),
    }
}

/// The control that is asked for, if it is there; else the largest.
fn control(names: &BTreeSet<&str>, wanted: Option<&str>, size: impl Fn(&str) -> u64) -> Option<String> {
    let found = wanted.filter(|wanted| names.contains(wanted)).map(str::to_owned);
    found.or_else(|| control_by_size(names, size))
}

fn control_by_size(names: &BTreeSet<&str>, size: impl Fn(&str) -> u64) -> Option<String> {
    names.iter().max_by_key(|name| size(name)).map(|name| (*name).to_owned())
}

fn reports(
    arms: &[(&str, ArmCounts, f64)],
    control: Option<&str>,
    test: &Test,
    weight: impl Fn(&ArmCounts) -> u64,
) -> Vec<ArmReport> {
    let all: u64 = arms.iter().map(|(_, counts, _)| weight(counts)).sum();
    let base = arms.iter().find(|(name, _, _)| Some(*name) == control);
    let test = test.one_of(arms.len().saturating_sub(1));
    let report = |(name, counts, users): &(&str, ArmCounts, f64)| {
        let is_control = Some(*name) == control;
        let base = base.filter(|_| !is_control).map(|(_, counts, _)| counts);
        ArmReport {
            name: (*name).to_owned(),
            is_control,
            evaluations: counts.evaluations,
            share: if all > 0 { weight(counts) as f64 / all as f64 } else { 0.0 },
            requests: counts.requests,
            errors: counts.errors,
            error_rate: (counts.requests > 0).then(|| counts.errors as f64 / counts.requests as f64),
            p50_ms: quantile(&counts.latency, 0.5),
            p95_ms: quantile(&counts.latency, 0.95),
            p99_ms: quantile(&counts.latency, 0.99),
            users: users.round() as u64,
            errors_compared: base.and_then(|base| compared::errors(counts, base, &test)),
            latency_compared: base.and_then(|base| compared::latency(counts, base, &test)),
            participants: 0,
            metrics: BTreeMap::new(),
        }
    };
    arms.iter().map(report).collect()
}

/// What the participants of one variation did of one kind, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    converted: u64,
    times: u64,
    /// Of the values of those who did it.
    values: Moments,
}

fn add_metrics(variations: &mut [ArmReport], took_part: &[&Participant], control: Option<&str>, test: &Test) {
    let mut sums: BTreeMap<&str, BTreeMap<&str, Sum>> = BTreeMap::new();
    let mut participants: BTreeMap<&str, usize> = BTreeMap::new();
    for who in took_part {
        *participants.entry(&who.variation).or_default() += 1;
        for (event, done) in &who.done {
            let sum = sums.entry(event).or_default().entry(&who.variation).or_default();
            sum.converted += 1;
            sum.times += done.times;
            sum.values.add(done.value, 1);
        }
    }
    let mut kinds: Vec<(&str, u64)> =
        sums.iter().map(|(event, sums)| (*event, sums.values().map(|sum| sum.converted).sum())).collect();
    kinds.sort_by_key(|(_, converted)| std::cmp::Reverse(*converted));
    kinds.truncate(MOST_METRICS);
    let test = test.one_of(variations.len().saturating_sub(1));
    let of = |event: &str, name: &str| sums.get(event).and_then(|sums| sums.get(name)).copied().unwrap_or_default();
    let all = |name: &str| participants.get(name).copied().unwrap_or_default() as u64;
    for variation in variations {
        let name = variation.name.clone();
        let users = all(&name);
        variation.participants = usize::try_from(users).unwrap_or(usize::MAX);
        for (event, _) in &kinds {
            let sum = of(event, &name);
            let base = control.filter(|control| *control != name).map(|control| (of(event, control), all(control)));
            let rates = |(sum, users): (Sum, u64)| Moments::of_rate(sum.converted, users);
            // Who did nothing is worth 0.
            let values = |(sum, users): (Sum, u64)| Moments { count: users as f64, ..sum.values };
            let here = (sum, users);
            let report = MetricReport {
                converted: sum.converted,
                rate: if users > 0 { sum.converted as f64 / users as f64 } else { 0.0 },
                times: sum.times,
                value: sum.values.sum,
                value_per_user: if users > 0 { sum.values.sum / users as f64 } else { 0.0 },
                rate_compared: base.and_then(|base| compare(&rates(here), &rates(base), &test)),
                value_compared: base.and_then(|base| compare(&values(here), &values(base), &test)),
            };
            variation.metrics.insert((*event).to_owned(), report);
        }
    }
}

fn split<'p>(
    shares: &[(String, f64)],
    since: Timestamp,
    took_part: impl Iterator<Item = &'p Participant>,
) -> Option<SampleRatio> {
    let mut counts = vec![0; shares.len()];
    for who in took_part {
        // Who saw something that is not in the split was not drawn by it.
        if let Some(position) = shares.iter().position(|(name, _)| **name == *who.variation) {
            counts[position] += 1;
        }
    }
    let parts: Vec<f64> = shares.iter().map(|(_, share)| *share).collect();
    let p_value = sample_ratio(&counts, &parts)?;
    Some(SampleRatio {
        since,
        expected: shares.iter().cloned().collect(),
        counted: shares.iter().map(|(name, _)| name.clone()).zip(counts).collect(),
        p_value,
        is_mismatch: p_value < MISMATCH,
    })
}

fn points(series: &Series, step: i64, name: impl Fn(&Arm) -> String) -> Vec<Point> {
    let figures = |counts: &ArmCounts| PointFigures {
        evaluations: counts.evaluations,
        requests: counts.requests,
        errors: counts.errors,
        p50_ms: quantile(&counts.latency, 0.5),
        p95_ms: quantile(&counts.latency, 0.95),
        p99_ms: quantile(&counts.latency, 0.99),
        users: counts.users.count().round() as u64,
    };
    let steps = series.steps(step).into_iter().map(|(at, arms)| Point {
        at: Timestamp::from_second(at).unwrap_or_default(),
        arms: arms.iter().map(|(arm, counts)| (name(arm), figures(counts))).collect(),
    });
    steps.collect()
}
