use serde_json::json;

use super::*;
use crate::model::{ArmCounts, Users};

fn mixed(number: u64) -> u64 {
    let mut hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Each user has two requests; each error hits another user.
fn arm(requests: u64, errors: u64, micros: u64) -> ArmCounts {
    let mut counts = ArmCounts { requests, errors, ..ArmCounts::default() };
    (0..requests / 2).for_each(|user| counts.users.add(Users::place(mixed(user))));
    (0..errors).for_each(|user| counts.users_with_error.add(Users::place(mixed(user))));
    for request in 0..requests {
        counts.latency.add(Latency::bucket(micros * (100 + request % 100) / 100), 1);
    }
    counts
}

fn analysis(changes: &serde_json::Value) -> Analysis {
    let mut fields = json!({
        "metrics": [{ "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.05 }, { "name": "latency" }],
    });
    let all = fields.as_object_mut().unwrap();
    all.extend(changes.as_object().unwrap().clone());
    Analysis::parse(&fields, "").unwrap()
}

fn look<'c>(seconds: u64, canary: &'c ArmCounts, baseline: &'c ArmCounts) -> Look<'c> {
    let since_start = Duration::from_secs(seconds);
    Look { since_start, baseline, canary, expected_share: Some(0.05), is_fresh: true }
}

/// A judge who has seen a minute without a difference.
fn used(analysis: &Analysis) -> Judge {
    let mut judge = Judge::new();
    judge.look(analysis, &look(60, &arm(500, 2, 100_000), &arm(9_500, 47, 100_000)));
    judge
}

#[test]
fn a_canary_that_is_no_worse_passes() {
    let analysis = analysis(&json!({}));
    let mut judge = used(&analysis);
    let verdict = judge.look(&analysis, &look(120, &arm(1_000, 5, 100_000), &arm(19_000, 95, 100_000)));
    assert_eq!((verdict.decision, verdict.cause), (Decision::Pass, Cause::NoWorse), "{}", verdict.sentence);
    assert!(verdict.sentence.starts_with("no worse: canary 0.5 % errors (5 of 1 000) against 0.5 % (95 of 19 000):"));
    assert_eq!(verdict.figures.metrics.len(), 2);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
}

#[test]
fn a_worse_canary_fails() {
    let analysis = analysis(&json!({}));
    for (canary, cause, said) in [
        (
            arm(1_000, 41, 100_000),
            Cause::Worse,
            "canary 4.1 % errors (41 of 1 000) against 0.5 % (95 of 19 000): evidence",
        ),
        (arm(1_000, 5, 150_000), Cause::Worse, "slower than"),
        (
            arm(1_000, 500, 100_000),
            Cause::TooManyErrors,
            "canary 50 % errors (500 of 1 000): surely more than the 5 % that are allowed at most",
        ),
    ] {
        let verdict = used(&analysis).look(&analysis, &look(120, &canary, &arm(19_000, 95, 100_000)));
        assert_eq!((verdict.decision, verdict.cause), (Decision::Fail, cause), "{}", verdict.sentence);
        assert!(verdict.sentence.contains(said), "{}", verdict.sentence);
    }
}

/// Missing, impossible, stale or few counts: neither pass nor fail, and a failure at the deadline.
#[test]
fn bad_inputs_never_pass() {
    let analysis = analysis(&json!({ "initial_delay": "10s" }));
    let (canary, baseline) = (arm(1_000, 5, 100_000), arm(19_000, 95, 100_000));
    let good = look(120, &canary, &baseline);
    assert_eq!(used(&analysis).look(&analysis, &good).decision, Decision::Pass);
    let nothing = ArmCounts::default();
    let more_errors_than_requests = ArmCounts { errors: 1_001, ..canary.clone() };
    let without_latency = ArmCounts { latency: Latency::default(), ..canary.clone() };
    let without_baseline_latency = ArmCounts { latency: Latency::default(), ..baseline.clone() };
    let without_users = ArmCounts { users: Users::default(), users_with_error: Users::default(), ..canary.clone() };
    let (few, lower) = (arm(600, 3, 100_000), arm(400, 2, 100_000));
    let many = arm(2_000, 10, 100_000);
    for (cause, bad) in [
        (Cause::Stale, Look { is_fresh: false, ..good }),
        (Cause::Impossible, Look { expected_share: Some(f64::NAN), ..good }),
        (Cause::Impossible, Look { expected_share: Some(f64::INFINITY), ..good }),
        (Cause::Impossible, Look { expected_share: Some(0.0), ..good }),
        (Cause::Impossible, Look { canary: &more_errors_than_requests, ..good }),
        (Cause::Impossible, Look { canary: &nothing, ..good }),
        (Cause::Impossible, Look { baseline: &nothing, ..good }),
        (Cause::Impossible, Look { canary: &lower, ..good }),
        (Cause::Impossible, Look { since_start: Duration::from_secs(59), ..good }),
        (Cause::SampleRatio, Look { canary: &many, ..good }),
        (Cause::SampleRatio, Look { canary: &without_users, ..good }),
        (Cause::FewUsers, Look { canary: &without_users, expected_share: None, ..good }),
        (Cause::FewRequests, Look { canary: &few, expected_share: None, ..good }),
        (Cause::FewRequests, Look { canary: &without_latency, ..good }),
        (Cause::FewRequests, Look { baseline: &without_baseline_latency, ..good }),
    ] {
        let verdict = used(&analysis).look(&analysis, &bad);
        assert_eq!((verdict.decision, verdict.cause), (Decision::Inconclusive, cause), "{}", verdict.sentence);
        if bad.since_start > Duration::from_secs(60) {
            let late = used(&analysis).look(&analysis, &Look { since_start: Duration::from_secs(7_200), ..bad });
            assert_eq!((late.decision, late.cause), (Decision::Fail, Cause::Deadline), "{}", late.sentence);
            assert!(late.sentence.starts_with("no certainty by the deadline after 7200.0 s: "), "{}", late.sentence);
        }
    }
    for (cause, bad) in [
        (Cause::NoData, look(120, &nothing, &nothing)),
        (Cause::NoData, look(120, &nothing, &baseline)),
        (Cause::NoLatency, look(120, &canary, &without_baseline_latency)),
        (Cause::FewRequests, look(120, &canary, &baseline)),
        (Cause::WarmingUp, look(9, &canary, &baseline)),
    ] {
        let verdict = Judge::new().look(&analysis, &bad);
        assert_eq!((verdict.decision, verdict.cause), (Decision::Inconclusive, cause), "{}", verdict.sentence);
    }
}

#[test]
fn no_data_fails_when_asked_to() {
    let analysis = analysis(&json!({ "on_no_data": "fail", "initial_delay": "10s" }));
    let nothing = ArmCounts::default();
    let decision = |seconds| Judge::new().look(&analysis, &look(seconds, &nothing, &nothing)).decision;
    assert_eq!((decision(9), decision(10)), (Decision::Inconclusive, Decision::Fail));
}

/// Stale counts are no reason to go on serving errors.
#[test]
fn harm_is_seen_while_a_gateway_is_silent_or_warming_up() {
    let analysis = analysis(&json!({ "initial_delay": "1m" }));
    let (canary, baseline) = (arm(100, 50, 100_000), arm(1_900, 10, 100_000));
    let verdict = Judge::new().look(&analysis, &Look { is_fresh: false, ..look(10, &canary, &baseline) });
    assert_eq!((verdict.decision, verdict.cause), (Decision::Fail, Cause::TooManyErrors));
}

#[test]
fn what_happens_in_the_initial_delay_is_not_compared() {
    let analysis = analysis(&json!({ "initial_delay": "1m" }));
    let mut judge = Judge::new();
    let cold = judge.look(&analysis, &look(50, &arm(500, 20, 300_000), &arm(9_500, 47, 100_000)));
    assert_eq!(cold.cause, Cause::WarmingUp);
    assert_eq!(
        judge.look(&analysis, &look(60, &arm(600, 20, 280_000), &arm(11_400, 57, 100_000))).cause,
        Cause::FewRequests
    );
    let warm = judge.look(&analysis, &look(120, &arm(1_200, 23, 100_000), &arm(22_800, 114, 100_000)));
    let errors = &warm.figures.metrics[0];
    assert_eq!((errors.canary, errors.baseline), ((600, 3), (11_400, 57)), "since the first look after the delay");
    assert!(errors.evidence_of_requests < 1.0, "{errors:?}");
}

#[test]
fn one_broken_user_is_no_evidence() {
    let analysis = analysis(&json!({}));
    let mut canary = arm(1_000, 0, 100_000);
    canary.errors = 60;
    canary.users_with_error.add(Users::place(mixed(1)));
    let verdict = used(&analysis).look(&analysis, &look(120, &canary, &arm(19_000, 95, 100_000)));
    let errors = &verdict.figures.metrics[0];
    assert!(errors.clustering > 50.0 && errors.evidence < 1.0, "{errors:?}");
    assert_eq!(verdict.decision, Decision::Pass, "{}", verdict.sentence);
    let analysis = self::analysis(&json!({ "min_users": 0 }));
    let verdict = used(&analysis).look(&analysis, &look(120, &canary, &arm(19_000, 95, 100_000)));
    assert_eq!(verdict.decision, Decision::Fail, "users are not asked for: {}", verdict.sentence);
}

#[test]
fn another_conductor_goes_on_from_what_is_stored() {
    let analysis = analysis(&json!({}));
    let mut judge = used(&analysis);
    judge.next_step();
    judge.look(&analysis, &look(30, &arm(500, 5, 100_000), &arm(500, 2, 100_000)));
    let mut other: Judge = serde_json::from_str(&serde_json::to_string(&judge).unwrap()).unwrap();
    assert_eq!(other, judge);
    let next = |judge: &mut Judge| {
        let (canary, baseline) = (arm(1_500, 15, 100_000), arm(1_500, 6, 100_000));
        judge.look(&analysis, &Look { expected_share: Some(0.5), ..look(90, &canary, &baseline) })
    };
    assert_eq!(next(&mut other), next(&mut judge));
}

#[test]
fn a_step_inherits_the_evidence_of_the_one_before() {
    let analysis = analysis(&json!({}));
    let (canary, baseline) = (arm(500, 12, 100_000), arm(9_500, 47, 100_000));
    let mut judge = Judge::new();
    let first = judge.look(&analysis, &look(60, &canary, &baseline)).figures.metrics[0].evidence_of_requests;
    judge.next_step();
    let nothing = ArmCounts::default();
    judge.look(&analysis, &look(0, &nothing, &nothing));
    let second = judge.look(&analysis, &look(60, &canary, &baseline)).figures.metrics[0].evidence_of_requests;
    assert!(first > 2.0 && second > first * first / 0.8, "{first} {second}");
}
