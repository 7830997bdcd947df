//! The rules.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{DeploymentView, FlagView, Insight, RouteView, SegmentView, Severity, View};
use crate::{
    analytics::{ArmReport, compared::quantile},
    model::{Arm, ArmCounts},
    statistics::{Compared, median, robust_score},
    store::Series,
};

/// Fewer evaluations say nothing of how they are spread.
const ENOUGH: u64 = 1_000;

/// A flag that draws and gives its variation to less than this is hardly adopted,
const LOW_SHARE: f64 = 0.01;

/// when it has been like that for so long.
const LONG: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A flag is called unused after it was watched for so long without an evaluation.
const UNUSED: SignedDuration = SignedDuration::from_hours(24);

/// Comparisons are told from this on: many flags are looked at at once.
const SURE: f64 = 0.01;

/// Latency has to be so much worse at least, surely.
const SLOWER: f64 = 0.05;

/// So many users have to have been tried.
const TRIED: usize = 100;

/// Blocks of so many seconds are compared with each other.
const BLOCK: i64 = 300;

/// An anomaly is so many robust standard deviations from the others.
const UNUSUAL: f64 = 4.0;

/// A block with fewer requests says nothing.
const BLOCK_REQUESTS: u64 = 50;

/// A deployment that stays for so long waits for somebody.
const WAITS: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn flag(view: &View, flag: &FlagView, found: &mut Vec<Insight>) {
    let insight = |rule, severity, finding: String, evidence, recommendation: String| Insight {
        rule,
        severity,
        kind: "flag",
        name: flag.key.clone(),
        finding,
        evidence,
        recommendation,
    };
    let key = &flag.key;
    for (reason, since) in &flag.stale {
        let (severity, what) = match reason.as_str() {
            "expired" => (Severity::Warning, "its `expires_at` is past"),
            "rolled_out" => (Severity::Info, "it gives everybody the same, and nobody changed it for long"),
            "off" => (Severity::Info, "it is off, and nobody changed it for long"),
            _ => (Severity::Info, "nobody evaluated it for long"),
        };
        let how =
            format!("keep the winning side in the code, remove the flag there, then `flaggate flags delete {key}`");
        found.push(insight(
            "stale",
            severity,
            format!("{what} (since {since})"),
            json!({ "reason": reason, "since": since }),
            how,
        ));
    }
    let evaluations = flag.day.as_ref().map_or(0, |day| day.evaluations.max(day.requests));
    let is_old = |at: Option<Timestamp>, age| at.is_some_and(|at| view.now.duration_since(at) >= age);
    let may_be_unused = is_old(view.watched_since, UNUSED) && flag.changed_at.is_none_or(|at| is_old(Some(at), UNUSED));
    if evaluations == 0 && may_be_unused && flag.stale.is_empty() {
        let how = format!("does the code still ask for it? If not: `flaggate flags delete {key}`");
        found.push(insight(
            "never_evaluated",
            Severity::Info,
            "nobody evaluated it in the last day".to_owned(),
            json!({ "evaluations": 0 }),
            how,
        ));
    }
    if let Some(day) = &flag.day {
        spread(view, flag, &day.variations, evaluations, found);
        for arm in day.variations.iter().filter(|arm| !arm.is_control) {
            worse(("flag", key), arm, day.variations.len() - 1, found);
        }
        if let Some(split) = day.sample_ratio.as_ref().filter(|split| split.is_mismatch) {
            let how = "look for what keeps users of one variation from being counted: a redirect, a crash, bots, a cache; \
                       until then believe no comparison of its variations";
            let finding = "users are not split as configured".to_owned();
            found.push(insight("wrong_split", Severity::Critical, finding, json!(split), how.to_owned()));
        }
    }
    for (position, tried, _) in flag.tried.rules.iter().filter(|(_, tried, matched)| *tried >= TRIED && *matched == 0) {
        let finding = format!("rule {position} matched none of the last {tried} users whom it was tried for");
        let how =
            format!("`flaggate explain` shows what the rule sees; remove it from {key} if it is meant for nobody");
        found.push(insight(
            "rule_never_matches",
            Severity::Info,
            finding,
            json!({ "position": position, "tried": tried }),
            how,
        ));
    }
    for (prerequisite, tried, _) in
        flag.tried.prerequisites.iter().filter(|(_, tried, met)| *tried >= TRIED && *met == 0)
    {
        let finding = format!(
            "its prerequisite {prerequisite:?} was met for none of the last {tried} users, so it gives its default"
        );
        let how = format!("turn {prerequisite} on, or remove it from the prerequisites of {key}");
        let evidence = json!({ "prerequisite": prerequisite, "tried": tried });
        found.push(insight("prerequisite_never_met", Severity::Warning, finding, evidence, how));
    }
    unusual(view, ("flag", key), &flag.series, found);
}

/// How evaluations are spread over variations.
fn spread(view: &View, flag: &FlagView, arms: &[ArmReport], evaluations: u64, found: &mut Vec<Insight>) {
    let Some(largest) = arms.iter().max_by(|one, other| one.share.total_cmp(&other.share)) else { return };
    if !flag.draws || evaluations < ENOUGH {
        return;
    }
    let (kind, name) = ("flag", flag.key.clone());
    let evidence = json!({ "variation": largest.name, "share": largest.share, "evaluations": evaluations });
    if largest.share >= 1.0 {
        let finding = format!("it draws, but gave {:?} all {evaluations} times in the last day", largest.name);
        let recommendation =
            "check who reaches its rollout: rules, prerequisites and the attribute that it draws by".to_owned();
        found.push(Insight {
            rule: "always_the_same",
            severity: Severity::Warning,
            kind,
            name,
            finding,
            evidence,
            recommendation,
        });
    } else if largest.is_control
        && 1.0 - largest.share < LOW_SHARE
        && flag.changed_at.is_some_and(|at| view.now.duration_since(at) >= LONG)
    {
        let finding =
            format!("all its other variations together have {:.2} % after a week", (1.0 - largest.share) * 100.0);
        let recommendation = "raise the rollout, or end it: a feature for hardly anybody costs the same".to_owned();
        found.push(Insight {
            rule: "low_adoption",
            severity: Severity::Info,
            kind,
            name,
            finding,
            evidence,
            recommendation,
        });
    }
}

pub(super) fn route(view: &View, route: &RouteView, found: &mut Vec<Insight>) {
    for way in route.day.ways.iter().filter(|way| !way.is_control) {
        worse(("route", &route.name), way, route.day.ways.len() - 1, found);
    }
    unusual(view, ("route", &route.name), &route.series, found);
}

/// A variation or way whose requests go worse than the control's.
fn worse((kind, name): (&'static str, &str), arm: &ArmReport, comparisons: usize, found: &mut Vec<Insight>) {
    let is_sure = |compared: &Compared| compared.p_value < SURE / comparisons.max(1) as f64;
    let how = format!("`flaggate analytics {name}` shows more; send fewer users to {:?} until it is mended", arm.name);
    let insight = |rule, severity, finding: String, compared: &Compared| Insight {
        rule,
        severity,
        kind,
        name: name.to_owned(),
        finding,
        evidence: json!({ "arm": arm.name, "requests": arm.requests, "errors": arm.errors, "p95_ms": arm.p95_ms, "compared": compared }),
        recommendation: how.clone(),
    };
    if let Some(compared) = arm.errors_compared.as_ref().filter(|found| is_sure(found) && found.difference.low > 0.0) {
        let more = compared.difference.estimate * 100.0;
        let severity = if more >= 1.0 { Severity::Critical } else { Severity::Warning };
        let rate = arm.error_rate.unwrap_or_default() * 100.0;
        let finding = format!(
            "{:?} ends in an error in {rate:.2} % of {} requests, {more:.2} points more than the control",
            arm.name, arm.requests
        );
        found.push(insight("worse_errors", severity, finding, compared));
    }
    let slower = arm.latency_compared.as_ref().filter(|found| is_sure(found));
    if let Some((compared, lift)) =
        slower.and_then(|found| Some((found, found.lift?))).filter(|(_, lift)| lift.low > SLOWER)
    {
        let severity = if lift.low > 0.5 { Severity::Critical } else { Severity::Warning };
        let finding = format!(
            "requests of {:?} take {:.0} % longer than the control's (surely {:.0} % or more)",
            arm.name,
            lift.estimate * 100.0,
            lift.low * 100.0,
        );
        found.push(insight("worse_latency", severity, finding, compared));
    }
}

/// An arm whose last five minutes are unlike the rest of the last hour.
fn unusual(view: &View, (kind, name): (&'static str, &str), series: &Series, found: &mut Vec<Insight>) {
    // Only whole blocks are compared.
    let end = view.now.as_second().div_euclid(BLOCK);
    let mut blocks: BTreeMap<&Arm, BTreeMap<i64, ArmCounts>> = BTreeMap::new();
    for (at, arm, counts) in &series.pieces {
        let block = at.div_euclid(BLOCK);
        if (end - 12..end).contains(&block) {
            blocks.entry(arm).or_default().entry(block).or_default().merge(counts);
        }
    }
    for (arm, blocks) in blocks {
        let Some(last) = blocks.get(&(end - 1)).filter(|last| last.requests >= BLOCK_REQUESTS) else { continue };
        let others: Vec<&ArmCounts> = blocks
            .iter()
            .filter(|(block, counts)| **block < end - 1 && counts.requests >= BLOCK_REQUESTS)
            .map(|(_, counts)| counts)
            .collect();
        let errors = |counts: &ArmCounts| counts.errors as f64 / counts.requests as f64;
        let p95 = |counts: &ArmCounts| quantile(&counts.latency, 0.95).unwrap_or_default();
        let measures: [(&str, f64, Vec<f64>, f64); 2] = [
            ("error rate", errors(last), others.iter().map(|counts| errors(counts)).collect(), 0.01),
            ("p95 latency", p95(last), others.iter().map(|counts| p95(counts)).collect(), 0.0),
        ];
        for (measure, now, before, least) in measures {
            let (Some(score), Some(usual)) = (score(now, &before), median(&before)) else { continue };
            if score > UNUSUAL && now - usual > least.max(usual * 0.2) {
                found.push(Insight {
                    rule: "anomaly",
                    severity: Severity::Warning,
                    kind,
                    name: name.to_owned(),
                    finding: format!("{measure} of {} in the last five minutes: {now:.4}, usually {usual:.4}", told(arm)),
                    evidence: json!({ "arm": arm, "measure": measure, "now": now, "usual": usual, "robust_z": score, "blocks": before.len() }),
                    recommendation: "`attributions` lay it beside what was changed before".to_owned(),
                });
            }
        }
    }
}

/// The robust score; where all others are the same, anything else is unusual.
fn score(now: f64, before: &[f64]) -> Option<f64> {
    let flat = before.len() >= 8 && before.iter().all(|other| (other - before[0]).abs() < 1e-12);
    if flat { Some(if now > before[0] { f64::from(u16::MAX) } else { 0.0 }) } else { robust_score(now, before) }
}

/// An arm for people.
pub(super) fn told(arm: &Arm) -> String {
    match arm {
        Arm::Variation { flag, variation } => format!("{flag} = {variation}"),
        Arm::Route { route, strategy, upstream } => format!("{route} by {strategy} to {upstream}"),
    }
}

pub(super) fn segment(segment: &SegmentView, found: &mut Vec<Insight>) {
    let SegmentView { id, users, members, flags } = segment;
    if *members > 0 || *users < TRIED {
        return;
    }
    let severity = if flags.is_empty() { Severity::Info } else { Severity::Warning };
    found.push(Insight {
        rule: "empty_segment",
        severity,
        kind: "segment",
        name: id.clone(),
        finding: format!("none of the last {users} users is in it"),
        evidence: json!({ "users": users, "members": 0, "flags": flags }),
        recommendation: format!(
            "`flaggate segments evaluate {id}` shows what it asks for; are the attributes that it needs sent?"
        ),
    });
}

pub(super) fn deployment(view: &View, deployment: &DeploymentView, found: &mut Vec<Insight>) {
    let DeploymentView { id, state, since, waiting_on } = deployment;
    let waits = matches!(state.as_str(), "paused" | "validating") || !waiting_on.is_empty();
    let is_running = matches!(state.as_str(), "paused" | "validating" | "in_progress" | "rolling_back");
    let Some(since) = since.filter(|since| waits && is_running && view.now.duration_since(*since) >= WAITS) else {
        return;
    };
    let hours = view.now.duration_since(since).as_secs_f64() / 3_600.0;
    found.push(Insight {
        rule: "deployment_waits",
        severity: Severity::Warning,
        kind: "deployment",
        name: id.clone(),
        finding: format!("it is {state} for {hours:.1} hours"),
        evidence: json!({ "state": state, "since": since, "waiting_on": waiting_on }),
        recommendation: format!(
            "`flaggate deployments get {id}` says what it waits for; approve, resume, promote or abort it"
        ),
    });
}
