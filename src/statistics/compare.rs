//! Two means compared, at any look: how far apart they are, and whether chance does that.

use serde::Serialize;

use super::Moments;

/// Each side needs so many observations: the sums have to be about normal.
const FEWEST: f64 = 50.0;

/// The control's mean has to be so many of its standard errors away from 0 before anything is told as a part of it.
const FAR_FROM_ZERO: f64 = 4.0;

/// How sure a comparison has to be, and when it is sharpest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The probability with which an effect is told that is not there, over all looks.
    pub alpha: f64,
    /// At how many observations of both sides together intervals are the narrowest that they can be.
    pub sharpest_at: f64,
}

/// An estimate, and where the true one is, at every look, with a probability of 1 − alpha.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// The true one is not below this,
    pub low: f64,
    /// nor above this.
    pub high: f64,
}

/// A treatment compared with a control.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The treatment's mean less the control's.
    pub difference: Interval,
    /// The difference as a part of the control's mean: 0.15 is 15 % more. None while that mean may well be 0.
    pub lift: Option<Interval>,
    /// The smallest alpha at which the means differ; valid at every look.
    pub p_value: f64,
    /// The difference in its standard errors.
    pub standard_errors: f64,
}

impl Default for Test {
    /// 5 %, sharpest at 10 000 observations.
    fn default() -> Self {
        Self { alpha: 0.05, sharpest_at: 10_000.0 }
    }
}

/// Compares a treatment's mean with a control's; none while there are too few observations, or all are the same.
///
/// With an estimate that is z standard errors from 0 after n observations, the evidence against "there is no difference",
/// averaged over normal differences, is
///
/// E = (1 + nρ²)^(−1/2) exp( z² nρ² / (2 (1 + nρ²)) ),
///
/// whose mean is 1 without a difference at every n, so that it ever reaches 1/α with a probability of α at most (Ville). The
/// p-value is 1/E, and the interval has all differences against which E does not reach 1/α:
///
/// estimate ± standard error · √( (1 + nρ²)/(nρ²) · (2 ln(1/α) + ln(1 + nρ²)) ).
///
/// Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic confidence sequences
/// (2021; Annals of Statistics 2024), with their Gaussian mixture, and their ρ² = (−2 ln α + ln(1 − 2 ln α)) / n, which makes
/// the interval about narrowest at n; Robbins: Statistical methods related to the law of the iterated logarithm (1970); Johari, Koomen,
/// Pekelis, Walsh: Always valid inference (2022) for two sides.
///
/// The standard error is the larger of Welch's and that of a common variance: where one side has no bad one yet, its own
/// variance says that there is none. The lift's comes by the delta method: Deng, Knoblich, Lu: Applying the delta method in
/// metric analytics (2018).
#[must_use]
pub fn compare(treatment: &Moments, control: &Moments, test: &Test) -> Option<Compared> {
    if !(treatment.count >= FEWEST && control.count >= FEWEST) {
        return None;
    }
    let n = treatment.count + control.count;
    let freedom = n - 2.0;
    let common =
        ((treatment.count - 1.0) * treatment.variance() + (control.count - 1.0) * control.variance()) / freedom;
    let of_mean = |side: &Moments| side.variance().max(common) / side.count;
    let (of_treatment, of_control) = (of_mean(treatment), of_mean(control));
    let error = (of_treatment + of_control).sqrt();
    if !(error > 0.0 && error.is_finite()) {
        return None;
    }
    let mixed = n * test.spread();
    let wide = ((1.0 + mixed) / mixed * (mixed.ln_1p() - 2.0 * test.alpha.ln())).sqrt();
    let (mean, base) = (treatment.mean(), control.mean());
    let standard_errors = (mean - base) / error;
    let ln_evidence = 0.5 * (standard_errors * standard_errors * mixed / (1.0 + mixed) - mixed.ln_1p());
    let around =
        |estimate: f64, error: f64| Interval { estimate, low: estimate - wide * error, high: estimate + wide * error };
    let lift = (base.abs() > FAR_FROM_ZERO * of_control.sqrt()).then(|| {
        let ratio = mean / base;
        around((mean - base) / base.abs(), (of_treatment + ratio * ratio * of_control).sqrt() / base.abs())
    });
    let p_value = (-ln_evidence).exp().min(1.0);
    Some(Compared { difference: around(mean - base, error), lift, p_value, standard_errors })
}

impl Test {
    /// ρ².
    fn spread(&self) -> f64 {
        let needed = -2.0 * self.alpha.ln();
        (needed + needed.ln_1p()) / self.sharpest_at.max(1.0)
    }

    /// The same for one of so many comparisons, so that all of them together are wrong with a probability of alpha at most
    /// (Bonferroni).
    #[must_use]
    pub fn one_of(self, comparisons: usize) -> Self {
        Self { alpha: self.alpha / comparisons.max(1) as f64, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_excludes_zero_when_the_p_value_says_so() {
        let test = Test::default();
        for (ones, expected) in [(1_000, false), (1_060, false), (1_160, true), (1_300, true), (700, true)] {
            let found = compare(&Moments::of_rate(ones, 5_000), &Moments::of_rate(1_000, 5_000), &test).unwrap();
            let Interval { estimate, low, high } = found.difference;
            assert!(low < estimate && estimate < high);
            assert_eq!(low > 0.0 || high < 0.0, expected, "{ones}: {found:?}");
            assert_eq!(found.p_value < test.alpha, expected, "{ones}: {found:?}");
            let lift = found.lift.unwrap();
            assert!((lift.estimate - (ones as f64 / 1_000.0 - 1.0)).abs() < 1e-12);
        }
    }

    /// The formula of the paper, written as it is there.
    #[test]
    fn the_interval_is_the_papers() {
        let (test, n) = (Test { alpha: 0.05, sharpest_at: 1_000.0 }, 4_000.0_f64);
        let found = compare(&Moments::of_rate(500, 2_000), &Moments::of_rate(500, 2_000), &test).unwrap();
        let sigma = (4.0 * Moments::of_rate(500, 2_000).variance()).sqrt();
        let rho2 = test.spread();
        let paper =
            sigma * (2.0 * (n * rho2 + 1.0) / (n * n * rho2) * ((n * rho2 + 1.0).sqrt() / test.alpha).ln()).sqrt();
        assert!((found.difference.high - paper).abs() < 1e-12, "{} {paper}", found.difference.high);
        assert_eq!((found.p_value, found.difference.estimate), (1.0, 0.0));
    }

    #[test]
    fn nothing_is_told_of_too_little() {
        let test = Test::default();
        let rate = |ones, all| Moments::of_rate(ones, all);
        assert_eq!(compare(&rate(5, 49), &rate(5, 1_000), &test), None);
        assert_eq!(compare(&rate(0, 1_000), &rate(0, 1_000), &test), None);
        assert_eq!(compare(&Moments::default(), &Moments::default(), &test), None);
        // No conversion at all in a small treatment beside a rare one in a large control says little.
        let rare = compare(&rate(0, 1_000), &rate(30, 9_000), &test).unwrap();
        assert!(rare.p_value > 0.05, "{rare:?}");
        assert!(compare(&rate(100, 1_000), &rate(1, 1_000), &test).unwrap().lift.is_none());
        let nonsense = Moments { count: 100.0, sum: f64::NAN, squares: 1.0 };
        assert!(
            compare(&nonsense, &rate(1, 100), &test).is_none_or(|found| found.p_value.is_nan() || found.p_value <= 1.0)
        );
    }

    #[test]
    fn comparisons_share_alpha() {
        assert!((Test::default().one_of(2).alpha - 0.025).abs() < 1e-12);
        assert_eq!(Test::default().one_of(0), Test::default());
    }
}
