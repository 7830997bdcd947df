//! The formulas: evidence that stays valid at every look, and the lower bound of a rate. All in logarithms.

use crate::statistics::ln_gamma;

/// The standard normal deviate that 1 % lies above.
const ONE_PERCENT_ABOVE: f64 = 2.326_347_874_040_841;

/// ln E: how much better "the canary has a greater part of the bad requests than `share`" explains `canary` and `baseline`
/// bad requests than "it has that part or less" does. Counts need not be whole.
///
/// Of all bad requests the canary's are a part θ; without a difference beyond the tolerated ratio ρ, θ is at most
/// θ0 = ρ n_c / (ρ n_c + n_b), the `share`. The likelihood ratio of a θ above θ0 against θ0, averaged over all such θ alike, is
///
/// E = B(1+c, 1+b) (1 − I_θ0(1+c, 1+b)) / ((1−θ0) θ0^c (1−θ0)^b).
///
/// It is a supermartingale with mean 1 for every θ ≤ θ0, so that by Ville's inequality it ever reaches k with a probability of
/// 1/k at most, however often one looks. Wald: Sequential Tests of Statistical Hypotheses (1945); Robbins: Statistical methods
/// related to the law of the iterated logarithm (1970); Johari, Koomen, Pekelis, Walsh: Always valid inference (2022).
pub(super) fn ln_evidence(canary: f64, baseline: f64, share: f64) -> f64 {
    let rest = 1.0 - share;
    if !(share > 0.0 && rest > 0.0) {
        // Without requests at one side there is nothing to compare.
        return 0.0;
    }
    let (a, b) = (1.0 + canary, 1.0 + baseline);
    if rest < (b + 1.0) / (a + b + 2.0) {
        // I_x(p, q) = x^p (1−x)^q / (p B(p, q)) h, with p = b and x = 1−θ0: all but h cancels.
        return share.ln() - b.ln() + continued_fraction(b, a, rest).ln();
    }
    let below = a * share.ln() + b * rest.ln() - a.ln() - ln_beta(a, b) + continued_fraction(a, b, share).ln();
    ln_beta(a, b) + (-below.exp()).ln_1p() - canary * share.ln() - b * rest.ln()
}

/// The part of the canary among all bad requests at which its rate is just `ratio` times the baseline's.
pub(super) fn tolerated_share(ratio: f64, canary: f64, baseline: f64) -> f64 {
    ratio * canary / (ratio * canary + baseline)
}

/// The continued fraction of the incomplete beta function, by Lentz's method; converges fast for x < (a+1)/(a+b+2).
/// DLMF 8.17.22; Press et al., Numerical Recipes, 6.4.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const STEPS: u32 = 100_000;
    let kept = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / kept(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..STEPS {
        let m = f64::from(step);
        for term in [m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)), {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }] {
            d = 1.0 / kept(1.0 + term * d);
            c = kept(1.0 + term / c);
            value *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    value
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The rate that the true one is at least, with a confidence of 99 %, when `bad` of `all` requests were bad.
/// Wilson: Probable inference, the law of succession, and statistical inference (1927).
pub(super) fn wilson_lower(bad: f64, all: f64) -> f64 {
    let (rate, z) = (bad / all, ONE_PERCENT_ABOVE);
    let spread = z * (rate * (1.0 - rate) / all + z * z / (4.0 * all * all)).max(0.0).sqrt();
    ((rate + z * z / (2.0 * all) - spread) / (1.0 + z * z / all)).max(0.0)
}

/// ln(e^left + e^right).
pub(super) fn ln_sum(left: f64, right: f64) -> f64 {
    let (low, high) = if left < right { (left, right) } else { (right, left) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-9 * right.abs().max(1.0)
    }

    /// The expected numbers are integrals over θ with 40 digits.
    #[test]
    fn evidence_is_the_integral() {
        for (canary, baseline, share, expected) in [
            (0.0, 0.0, 0.05, 0.0),
            (1.0, 0.0, 0.05, 2.351_375_257_163_48),
            (0.0, 1.0, 0.05, -std::f64::consts::LN_2),
            (41.0, 190.0, 0.073_170_731_7, 10.952_597_101_206_8),
            (5.0, 190.0, 0.073_170_731_7, -4.890_575_733_469_44),
            (0.0, 5_000.0, 0.6, -8.517_393_171_418_9),
            (3.0, 100_000.0, 0.2, -11.512_815_464_920_6),
            (1_000.0, 9_000.0, 0.15, -8.115_385_473_676_14),
            (2_000.0, 9_000.0, 0.15, 36.853_766_853_696_9),
            (9_000.0, 100_000.0, 0.08, -1.248_970_441_101_75),
            (2.5, 17.25, 0.3, -2.598_042_208_147_66),
            (500.0, 10.0, 0.5, 300.810_933_298_055),
        ] {
            let found = ln_evidence(canary, baseline, share);
            assert!(close(found, expected), "{canary} {baseline} {share}: {found}");
        }
        assert_eq!(ln_evidence(5.0, 5.0, 0.0), 0.0);
        assert_eq!(ln_evidence(5.0, 5.0, 1.0), 0.0);
        assert_eq!(ln_evidence(5.0, 5.0, tolerated_share(1.5, 0.0, 0.0)), 0.0, "no requests at all");
    }

    #[test]
    fn gamma() {
        for (x, expected) in [
            (1.0, 0.0),
            (1.5, -0.120_782_237_635_245_22),
            (2.0, 0.0),
            (9.99, 12.779_315_214_350_193),
            (123.25, 468.614_482_950_516_6),
            (100_000.0, 1_051_287.708_973_656_9),
        ] {
            assert!(close(ln_gamma(x), expected), "{x}: {}", ln_gamma(x));
        }
    }

    #[test]
    fn lower_bounds() {
        // (p + z²/2n − z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), by hand.
        for (bad, all, expected) in
            [(0.0, 20.0, 0.0), (4.0, 20.0, 0.068_553), (20.0, 20.0, 0.787_033), (50.0, 1e3, 0.036_249_8)]
        {
            assert!((wilson_lower(bad, all) - expected).abs() < 1e-6, "{bad} of {all}: {}", wilson_lower(bad, all));
        }
    }

    proptest! {
        /// Without a difference the mean of E over what may come next is what it is now: the promise that allows every look.
        #[test]
        fn the_mean_of_what_comes_is_what_is(canary in 0_u32..2_000, baseline in 0_u32..20_000, share in 0.001_f64..0.999) {
            let (canary, baseline) = (f64::from(canary), f64::from(baseline));
            let now = ln_evidence(canary, baseline, share);
            let next = ln_sum(
                share.ln() + ln_evidence(canary + 1.0, baseline, share),
                (1.0 - share).ln() + ln_evidence(canary, baseline + 1.0, share),
            );
            prop_assert!(close(next, now), "{now} {next}");
        }

        /// More bad requests of the canary speak more against it, more of the baseline less.
        #[test]
        fn evidence_grows_with_the_canarys_errors(canary in 0_u32..2_000, baseline in 0_u32..20_000, share in 0.001_f64..0.999) {
            let (canary, baseline) = (f64::from(canary), f64::from(baseline));
            let now = ln_evidence(canary, baseline, share);
            prop_assert!(now.is_finite());
            prop_assert!(ln_evidence(canary + 1.0, baseline, share) > now);
            prop_assert!(ln_evidence(canary, baseline + 1.0, share) < now);
        }
    }
}
