//! A change in the error rate or latency of an arm, laid beside what was changed before. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    analytics::compared,
    model::{Arm, ArmCounts, DocumentKind},
    statistics::{Compared, Test},
    store::Series,
};

/// The time before a change that is compared with the time after it, in seconds.
const WINDOW: i64 = 900;

/// A change takes effect within so many seconds.
const SETTLE: i64 = 5;

/// How sure a difference has to be, over all arms and changes together.
const SURE: f64 = 0.01;

/// A difference of a smaller part of what was is not worth telling.
const LEAST: f64 = 0.1;

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The kind of document.
    pub kind: DocumentKind,
    /// Its key.
    pub key: String,
    /// What became of it.
    pub action: String,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// The flags, routes and upstreams that it is about.
    pub about: Vec<String>,
}

/// What changed on an arm, and what may have caused it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribution {
    /// The arm.
    pub arm: Arm,
    /// `error_rate` or `latency`.
    pub measure: &'static str,
    /// What was changed before, the likeliest first: what is about this arm before what is not, then by the size of the
    /// difference from before to after.
    pub causes: Vec<Cause>,
}

/// A change, and what was different after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// What was changed.
    #[serde(flatten)]
    pub change: Change,
    /// Whether it is about this arm.
    pub is_about_it: bool,
    /// After beside before.
    pub compared: Compared,
}

/// Lays what changed on arms beside changes. A change is never the cause of what was already so before it.
#[must_use]
pub fn attribute(series: &[&Series], changes: &[Change], now: Timestamp) -> Vec<Attribution> {
    let mut arms: BTreeMap<&Arm, Vec<(i64, &ArmCounts)>> = BTreeMap::new();
    for (at, arm, counts) in series.iter().flat_map(|series| &series.pieces) {
        arms.entry(arm).or_default().push((*at, counts));
    }
    let comparisons = (arms.len() * changes.len() * 2).max(1);
    let test = Test { alpha: SURE, sharpest_at: 5_000.0 }.one_of(comparisons);
    let mut found = Vec::new();
    for (arm, pieces) in arms {
        for measure in ["error_rate", "latency"] {
            let causes = changes.iter().filter_map(|change| {
                let compared = difference(&pieces, change.at.as_second(), now.as_second(), measure, &test)?;
                Some(Cause { is_about_it: is_about(arm, change), change: change.clone(), compared })
            });
            let mut causes: Vec<Cause> = causes.collect();
            causes.sort_by(|one, other| {
                let size = |cause: &Cause| cause.compared.standard_errors.abs();
                other.is_about_it.cmp(&one.is_about_it).then(size(other).total_cmp(&size(one)))
            });
            if !causes.is_empty() {
                found.push(Attribution { arm: arm.clone(), measure, causes });
            }
        }
    }
    let size = |found: &Attribution| found.causes.first().map_or(0.0, |cause| cause.compared.standard_errors.abs());
    found.sort_by(|one, other| size(other).total_cmp(&size(one)));
    found
}

/// What was different after a moment, if it surely was.
fn difference(pieces: &[(i64, &ArmCounts)], at: i64, now: i64, measure: &str, test: &Test) -> Option<Compared> {
    let sum = |from: i64, to: i64| {
        let mut total = ArmCounts::default();
        pieces.iter().filter(|(at, _)| *at >= from && *at < to).for_each(|(_, counts)| total.merge(counts));
        total
    };
    // Pieces are minutes or seconds: the minute of the change has some of both and is left out.
    let begin = at.div_euclid(60) * 60;
    let (before, after) =
        (sum(begin - WINDOW, begin), sum((at + SETTLE).div_euclid(60) * 60 + 60, now.min(at + WINDOW)));
    let compared = match measure {
        "latency" => compared::latency(&after, &before, test),
        _ => compared::errors(&after, &before, test),
    }?;
    let is_large = compared.lift.is_none_or(|lift| lift.estimate.abs() >= LEAST);
    (compared.p_value < test.alpha && is_large).then_some(compared)
}

fn is_about(arm: &Arm, change: &Change) -> bool {
    let names: Vec<&str> = match arm {
        Arm::Variation { flag, .. } => vec![flag],
        Arm::Route { route, upstream, .. } => vec![route, upstream],
    };
    let is_it = change.kind == DocumentKind::Flag && names.contains(&change.key.as_str());
    is_it || change.about.iter().any(|about| names.contains(&about.as_str()))
}
