//! Each rule with a planted case that it finds, and a clean world in which none finds anything.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    analytics::{Asked, Range, report},
    model::{Arm, ArmCounts, DocumentKind, Latency, Users},
    statistics::Test,
};

fn now() -> Timestamp {
    "2026-11-30T12:00:30Z".parse().unwrap()
}

fn arm(variation: &str) -> Arm {
    Arm::Variation { flag: "f".into(), variation: variation.into() }
}

/// A minute of an arm: 60 requests of as many users.
fn minute(number: i64, of_thousand_fail: u64, micros: u64) -> ArmCounts {
    let mut counts = ArmCounts { evaluations: 60, requests: 60, ..ArmCounts::default() };
    for request in 0..60 {
        let drawn = Users::hash(&format!("{number}-{request}"));
        counts.latency.add(Latency::bucket(micros + drawn % (micros / 2)), 1);
        let user = Users::place(drawn);
        counts.users.add(user);
        if drawn % 1_000 < of_thousand_fail {
            counts.errors += 1;
            counts.users_with_error.add(user);
        }
    }
    counts
}

/// Two hours of two variations; what the treatment does is told minute by minute.
fn series(treatment: impl Fn(i64) -> ArmCounts) -> Series {
    let end = now().as_second() / 60;
    let mut pieces = Vec::new();
    for number in end - 120..end {
        pieces.push((number * 60, arm("off"), minute(number, 5, 20_000)));
        pieces.push((number * 60, arm("on"), treatment(number)));
    }
    Series { pieces }
}

fn clean(number: i64) -> ArmCounts {
    minute(number + 500, 5, 20_000)
}

fn flag_with(series: Series) -> FlagView {
    let range = Range { from: now() - SignedDuration::from_hours(24), to: now(), step: 600 };
    let shares = Some(vec![("off".to_owned(), 0.5), ("on".to_owned(), 0.5)]);
    let asked = Asked { range, control: Some("off"), test: Test::default(), shares, split_since: None };
    let day = report::flag("f", &asked, &series, &BTreeMap::new(), None);
    FlagView {
        key: "f".to_owned(),
        changed_at: Some(now() - SignedDuration::from_hours(24 * 10)),
        draws: true,
        day: Some(day),
        series,
        tried: Tried { rules: vec![(0, 200, 20)], prerequisites: vec![("p".to_owned(), 200, 150)] },
        ..FlagView::default()
    }
}

fn world(flag: FlagView) -> View {
    View {
        now: now(),
        watched_since: Some(now() - SignedDuration::from_hours(48)),
        flags: vec![flag],
        routes: Vec::new(),
        segments: vec![SegmentView { id: "s".to_owned(), users: 300, members: 20, flags: Vec::new() }],
        deployments: vec![DeploymentView {
            id: "d".to_owned(),
            state: "completed".to_owned(),
            ..DeploymentView::default()
        }],
    }
}

fn found(view: &View) -> Vec<(&'static str, Severity)> {
    insights(view).into_iter().map(|insight| (insight.rule, insight.severity)).collect()
}

#[test]
fn a_clean_world_has_none() {
    assert_eq!(insights(&world(flag_with(series(clean)))), []);
}

#[test]
fn worse_variations() {
    let slow = world(flag_with(series(|number| minute(number + 500, 5, 24_000))));
    assert_eq!(found(&slow), [("worse_latency", Severity::Warning)]);
    let broken = world(flag_with(series(|number| minute(number + 500, 60, 20_000))));
    assert_eq!(found(&broken), [("worse_errors", Severity::Critical)]);
}

#[test]
fn what_is_unlike_the_hour_before() {
    let end = now().as_second() / 60;
    let late = |number: i64| if number >= end - 5 { minute(number, 300, 20_000) } else { clean(number) };
    assert!(found(&world(flag_with(series(late)))).contains(&("anomaly", Severity::Warning)));
    let slow = |number: i64| if number >= end - 5 { minute(number, 5, 60_000) } else { clean(number) };
    assert!(found(&world(flag_with(series(slow)))).contains(&("anomaly", Severity::Warning)));
}

#[test]
fn flags_to_be_tidied() {
    let with = |change: fn(&mut FlagView)| {
        let mut flag = flag_with(series(clean));
        change(&mut flag);
        found(&world(flag))
    };
    assert_eq!(
        with(|flag| flag.stale = vec![("expired".to_owned(), Timestamp::UNIX_EPOCH)]),
        [("stale", Severity::Warning)]
    );
    assert_eq!(with(|flag| flag.stale = vec![("off".to_owned(), Timestamp::UNIX_EPOCH)]), [("stale", Severity::Info)]);
    let unused = |flag: &mut FlagView| (flag.day, flag.series) = (None, Series::default());
    assert_eq!(with(unused), [("never_evaluated", Severity::Info)]);
    assert_eq!(with(|flag| flag.tried.rules = vec![(1, 200, 0)]), [("rule_never_matches", Severity::Info)]);
    assert_eq!(with(|flag| flag.tried.rules = vec![(1, 20, 0)]), []);
    assert_eq!(
        with(|flag| flag.tried.prerequisites = vec![("p".to_owned(), 200, 0)]),
        [("prerequisite_never_met", Severity::Warning)]
    );
    let mut same = series(clean);
    same.pieces.retain(|(_, piece, _)| *piece == arm("off"));
    assert_eq!(found(&world(flag_with(same.clone()))), [("always_the_same", Severity::Warning)]);
    let few = ArmCounts { evaluations: 20, ..ArmCounts::default() };
    same.pieces.push((now().as_second() - 4_000, arm("on"), few));
    assert_eq!(found(&world(flag_with(same))), [("low_adoption", Severity::Info)]);
}

#[test]
fn a_wrong_split() {
    let mut flag = flag_with(series(clean));
    let day = flag.day.as_mut().unwrap();
    day.sample_ratio = Some(report::SampleRatio {
        since: now(),
        expected: BTreeMap::new(),
        counted: BTreeMap::new(),
        p_value: 1e-6,
        is_mismatch: true,
    });
    assert_eq!(found(&world(flag)), [("wrong_split", Severity::Critical)]);
}

#[test]
fn segments_and_deployments() {
    let mut view = world(flag_with(series(clean)));
    view.segments[0].members = 0;
    assert_eq!(found(&view), [("empty_segment", Severity::Info)]);
    view.segments[0].flags = vec!["f".to_owned()];
    assert_eq!(found(&view), [("empty_segment", Severity::Warning)]);
    view.segments.clear();
    view.deployments[0].state = "paused".to_owned();
    view.deployments[0].since = Some(now() - SignedDuration::from_mins(59));
    assert_eq!(found(&view), []);
    view.deployments[0].since = Some(now() - SignedDuration::from_mins(61));
    assert_eq!(found(&view), [("deployment_waits", Severity::Warning)]);
}

#[test]
fn what_changed_is_laid_beside_the_changes_before() {
    let at = now() - SignedDuration::from_mins(10);
    let change = |key: &str, at: Timestamp| Change {
        kind: DocumentKind::Flag,
        key: key.to_owned(),
        action: "updated".to_owned(),
        actor: "ann".to_owned(),
        at,
        about: Vec::new(),
    };
    let changes = [
        change("other", at - SignedDuration::from_mins(1)),
        change("f", at),
        change("f", at - SignedDuration::from_mins(40)),
    ];
    let broke = at.as_second() / 60;
    let broken = series(|number| if number >= broke { minute(number, 150, 20_000) } else { clean(number) });
    let found = attribute(&[&broken], &changes, now());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((&found[0].arm, found[0].measure), (&arm("on"), "error_rate"));
    let causes: Vec<(&str, Timestamp)> =
        found[0].causes.iter().map(|cause| (cause.change.key.as_str(), cause.change.at)).collect();
    assert_eq!(causes[0], ("f", at));
    assert!(causes.iter().all(|(_, cause)| *cause > at - SignedDuration::from_mins(20)), "{causes:?}");
    assert_eq!(attribute(&[&series(clean)], &changes, now()), []);
}
