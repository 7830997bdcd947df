//! Requests of two arms compared: how many end in an error, and how long they take.

use crate::{
    model::{ArmCounts, Latency},
    statistics::{Compared, Interval, Moments, Test, compare},
};

/// The error rates of two arms.
///
/// Requests of one user are not independent. Errors that fell on U users at random would have hit U (1 − e^(−errors/U)) of
/// them; when fewer were hit, there are that many times fewer independent requests (the judge counts in the same way).
pub(super) fn errors(arm: &ArmCounts, control: &ArmCounts, test: &Test) -> Option<Compared> {
    let side = |counts: &ArmCounts| Moments::of_rate(counts.errors, counts.requests).thinned(clustering(counts));
    compare(&side(arm), &side(control), test)
}

/// How many errors come together.
fn clustering(counts: &ArmCounts) -> f64 {
    let (users, hit) = (counts.users.count(), counts.users_with_error.count());
    if users < 0.5 || hit < 0.5 {
        return 1.0;
    }
    let expected = users * -(-(counts.errors as f64) / users).exp_m1();
    (expected / hit).max(1.0)
}

/// How much longer requests of an arm take than those of the control, by the geometric means of their latencies: a lift of
/// 0.2 is 20 % longer. Latencies are skewed, and their logarithms hardly; a few that are very long do not hide the rest.
pub(super) fn latency(arm: &ArmCounts, control: &ArmCounts, test: &Test) -> Option<Compared> {
    let found = compare(&logarithms(&arm.latency), &logarithms(&control.latency), test)?;
    let ratio = |ln: f64| ln.exp_m1();
    let Interval { estimate, low, high } = found.difference;
    let lift = Interval { estimate: ratio(estimate), low: ratio(low), high: ratio(high) };
    Some(Compared { lift: Some(lift), ..found })
}

/// The logarithms of latencies in microseconds, each as the middle of its bucket.
fn logarithms(latency: &Latency) -> Moments {
    let mut moments = Moments::default();
    for (bucket, requests) in latency.buckets() {
        let begin = if bucket == 0 { 0 } else { Latency::end(bucket - 1) };
        moments.add((f64::midpoint(begin as f64, Latency::end(bucket) as f64)).ln(), requests);
    }
    moments
}

/// A quantile in milliseconds.
pub(super) fn quantile(latency: &Latency, share: f64) -> Option<f64> {
    latency.quantile(share).map(|bucket| Latency::end(bucket) as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Users;

    fn counts(requests: u64, errors: u64, users: u64, slower: f64) -> ArmCounts {
        let mut counts = ArmCounts { requests, errors, ..ArmCounts::default() };
        for number in 0..requests {
            let spread = Users::hash(&format!("{number}-{slower}")) % 5_000;
            counts.latency.add(Latency::bucket(((2_000 + spread) as f64 * slower) as u64), 1);
            counts.users.add(Users::place(Users::hash(&(number % users).to_string())));
            if number < errors {
                counts.users_with_error.add(Users::place(Users::hash(&(number % users).to_string())));
            }
        }
        counts
    }

    #[test]
    fn a_fifth_slower_is_told_as_a_fifth() {
        let found = latency(&counts(5_000, 0, 500, 1.2), &counts(5_000, 0, 500, 1.0), &Test::default()).unwrap();
        let lift = found.lift.unwrap();
        assert!((lift.estimate - 0.2).abs() < 0.02 && lift.low > 0.1 && lift.high < 0.3, "{lift:?}");
        assert!(found.p_value < 1e-6);
        let same = latency(&counts(5_000, 0, 500, 1.0), &counts(5_000, 0, 400, 1.0), &Test::default()).unwrap();
        assert!(same.p_value > 0.05);
    }

    #[test]
    fn errors_of_one_user_are_few() {
        let control = counts(10_000, 50, 5_000, 1.0);
        let spread = errors(&counts(10_000, 150, 5_000, 1.0), &control, &Test::default()).unwrap();
        assert!(spread.p_value < 0.001, "{spread:?}");
        let mut one = counts(10_000, 150, 5_000, 1.0);
        one.users_with_error = Users::default();
        one.users_with_error.add(Users::place(7));
        assert!(errors(&one, &control, &Test::default()).is_none_or(|found| found.p_value > 0.05));
    }
}
