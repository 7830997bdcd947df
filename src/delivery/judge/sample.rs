//! What a judge looks at, as numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ArmCounts, Latency};

/// What there is to be seen at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look<'c> {
    /// The time since the step's start, by the store's clock.
    pub since_start: Duration,
    /// The stable arm since the step's start, of all gateways.
    pub baseline: &'c ArmCounts,
    /// The canary in the same seconds.
    pub canary: &'c ArmCounts,
    /// The part of the users that should have gone to the canary, between 0 and 1; none: not known.
    pub expected_share: Option<f64>,
    /// Whether all gateways have told their counts lately.
    pub is_fresh: bool,
}

/// The numbers of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'c> {
    pub(super) requests: f64,
    pub(super) errors: f64,
    pub(super) users: f64,
    pub(super) users_with_error: f64,
    pub(super) latency: &'c Latency,
}

impl<'c> Sample<'c> {
    pub(super) fn of(counts: &'c ArmCounts) -> Self {
        Self {
            requests: counts.requests as f64,
            errors: counts.errors as f64,
            users: counts.users.count(),
            users_with_error: counts.users_with_error.count(),
            latency: &counts.latency,
        }
    }

    /// How many errors come together: 1 when they are independent of each other, n when each user who sees one sees n.
    ///
    /// Requests of one user go to one side, so a single user for whom everything fails makes many errors there, which are no
    /// evidence against that side. `errors` that fell on `users` at random would have hit U (1 − e^(−errors/U)) of them
    /// (a Poisson occupancy); when fewer were hit, the errors are that many times fewer independent ones (the design effect of
    /// cluster sampling; Kish: Survey sampling, 1965, 5.4). Users who ask much more than others make this too large, which
    /// errs on the side of waiting. When users are not known there is nothing to go by, and it is 1.
    pub(super) fn clustering(&self) -> f64 {
        if self.users < 0.5 || self.users_with_error < 0.5 {
            return 1.0;
        }
        let expected = self.users * -(-self.errors / self.users).exp_m1();
        (expected / self.users_with_error).max(1.0)
    }

    /// Rounded, for people.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            requests: rounded(self.requests),
            errors: rounded(self.errors),
            users: rounded(self.users),
            users_with_error: rounded(self.users_with_error),
        }
    }
}

/// A count as a whole number.
pub(super) fn rounded(count: f64) -> u64 {
    count.round() as u64
}

/// What one side had since the step's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Of these, with an error.
    pub errors: u64,
    /// Distinct users, estimated.
    pub users: u64,
    /// Of these, with an error, estimated.
    pub users_with_error: u64,
}

/// χ² with one degree of freedom is above this with a probability of 0.001.
pub(super) const CHI_SQUARE_LIMIT: f64 = 10.828;

/// The standard error of a count of distinct users, relative to it: 1.04 / √2048 (see [`crate::model::Users`]).
const SKETCH_ERROR: f64 = 0.023;

/// χ² of the split of the users against the expected one; none without users.
///
/// Users are what is split, so users are counted, not requests. Their numbers are estimates, so the variance of the estimates
/// is added to the binomial one. Fabijan et al.: Diagnosing sample ratio mismatch in online controlled experiments (2019).
pub(super) fn sample_ratio(canary: f64, baseline: f64, expected: f64) -> Option<f64> {
    let all = canary + baseline;
    if all < 1.0 {
        return None;
    }
    let of_draw = all * expected * (1.0 - expected);
    let of_sketch = (SKETCH_ERROR * (1.0 - expected) * canary).powi(2) + (SKETCH_ERROR * expected * baseline).powi(2);
    Some((canary - expected * all).powi(2) / (of_draw + of_sketch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clustering(users: f64, errors: f64, users_with_error: f64) -> f64 {
        Sample { requests: 1e6, errors, users, users_with_error, latency: &Latency::default() }.clustering()
    }

    #[test]
    fn errors_of_one_user_count_once() {
        assert!((clustering(1_000.0, 100.0, 95.16) - 1.0).abs() < 0.001, "as many users hit as chance would");
        assert!((clustering(1_000.0, 100.0, 1.0) - 95.16).abs() < 0.01, "all errors are one user's");
        assert_eq!(clustering(1_000.0, 100.0, 100.0), 1.0, "each error hit another user");
        assert_eq!(clustering(1.0, 100.0, 1.0), 1.0, "there is but one user");
        assert_eq!(clustering(0.0, 100.0, 0.0), 1.0, "users are not known");
        assert_eq!(clustering(1_000.0, 0.0, 0.0), 1.0, "no errors");
    }

    #[test]
    fn a_split_that_is_not_the_expected() {
        let is_mismatch = |canary: f64, baseline: f64, expected: f64| {
            sample_ratio(canary, baseline, expected).is_some_and(|found| found > CHI_SQUARE_LIMIT)
        };
        assert!(!is_mismatch(0.0, 0.0, 0.05) && !is_mismatch(50.0, 950.0, 0.05) && !is_mismatch(60.0, 940.0, 0.05));
        assert!(is_mismatch(90.0, 910.0, 0.05) && is_mismatch(20.0, 980.0, 0.05) && is_mismatch(0.0, 1_000.0, 0.05));
        // A twentieth too many is beyond chance, but not beyond the error of the sketches.
        assert!(!is_mismatch(52_500.0, 947_500.0, 0.05) && is_mismatch(60_000.0, 940_000.0, 0.05));
    }
}
