//! Whether users are split as they should be.

/// Half of ln 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// How closely the splits that are tested against lie around the configured one: as if so many users had been seen in each of
/// them. The higher, the smaller the deviations that are found, and the later.
const CONCENTRATION: f64 = 1_000.0;

/// How likely chance makes a split this unlike the expected `shares`, at all looks together; none: nobody was counted, or the
/// shares are no shares.
///
/// `counts` must be of users who were drawn independently, each once: exact numbers, no estimates. The evidence against the
/// expected split θ, averaged over splits around it (a Dirichlet distribution with parameters α = 1000 θ), is
///
/// E = Γ(Σα) / Γ(Σα + n) · Π Γ(α_i + n_i) / Γ(α_i) · Π θ_i^(−n_i),
///
/// and the p-value is 1/E: it is ever below p with a probability of p at most, however often one looks.
/// Lindon, Malek: Anytime-valid inference for multinomial count data (NeurIPS 2022).
#[must_use]
pub fn sample_ratio(counts: &[u64], shares: &[f64]) -> Option<f64> {
    let (all, sum) = (counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let is_wrong = |share: &f64| !(*share >= 0.0 && share.is_finite());
    if counts.len() != shares.len() || all < 1.0 || sum <= 0.0 || shares.iter().any(is_wrong) {
        return None;
    }
    let mut ln_evidence = ln_gamma(CONCENTRATION) - ln_gamma(CONCENTRATION + all);
    for (count, share) in counts.iter().zip(shares) {
        let (count, share) = (*count as f64, share / sum);
        match share > 0.0 {
            true => {
                let alpha = CONCENTRATION * share;
                ln_evidence += ln_gamma(alpha + count) - ln_gamma(alpha) - count * share.ln();
            }
            false if count > 0.0 => return Some(0.0),
            false => {}
        }
    }
    Some((-ln_evidence).exp().min(1.0))
}

/// ln Γ(x) for x > 0: Stirling's series from 10 on, the recurrence below. DLMF 5.11.1.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1_260.0 - 1.0 / (1_680.0 * square)) / square) / square) / x;
    (x - 0.5) * x.ln() - x + HALF_LN_TAU + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma() {
        for (x, expected) in [(0.5_f64, std::f64::consts::PI.sqrt().ln()), (1.0, 0.0), (5.0, 24.0_f64.ln())] {
            assert!((ln_gamma(x) - expected).abs() < 1e-10, "{x}");
        }
    }

    #[test]
    fn splits() {
        let is_mismatch = |counts: &[u64], shares: &[f64]| sample_ratio(counts, shares).is_some_and(|p| p < 0.001);
        assert!(!is_mismatch(&[5_000, 5_000], &[0.5, 0.5]) && !is_mismatch(&[5_100, 4_900], &[50.0, 50.0]));
        assert!(is_mismatch(&[5_300, 4_700], &[0.5, 0.5]) && is_mismatch(&[900, 100], &[0.8, 0.2]));
        assert!(!is_mismatch(&[6_010, 2_980, 1_010], &[0.6, 0.3, 0.1]));
        assert!(is_mismatch(&[6_010, 2_680, 1_310], &[0.6, 0.3, 0.1]));
        assert_eq!(sample_ratio(&[10, 1], &[1.0, 0.0]), Some(0.0));
        assert_eq!(sample_ratio(&[10, 0], &[1.0, 0.0]), Some(1.0));
        for (counts, shares) in
            [(&[0, 0][..], &[0.5, 0.5][..]), (&[1], &[0.5, 0.5]), (&[1], &[0.0]), (&[1], &[f64::NAN])]
        {
            assert_eq!(sample_ratio(counts, shares), None);
        }
    }
}
