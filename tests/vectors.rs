//! The recorded cases of the service that flaggate replaces.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use flaggate::cli::{Quirks, run_vectors};

fn check(file: &str, quirks: Quirks, passed: usize, skipped: usize) {
    let report = run_vectors(&Path::new("tests/data").join(file), quirks).unwrap();
    assert!(report.mismatches.is_empty(), "{}", report.mismatches.join("\n"));
    assert_eq!((report.passed, report.skipped), (passed, skipped));
}

#[test]
fn evaluations_are_those_of_the_recorded_service() {
    check("parity-dev.jsonl", Quirks::Binding, 2_413, 587);
}

#[test]
fn buckets_are_those_of_the_recorded_service() {
    check("buckets.jsonl", Quirks::Binding, 2_000, 0);
}

/// Of the cases that do not count, most expect an error, or have a rule with an operator that segments of that service
/// lack.
#[test]
fn memberships_are_those_of_the_recorded_service() {
    check("segments-dev.jsonl", Quirks::Binding, 812, 188);
}
