//! Logistic regression with an L2 penalty, run by linfa.
//!
//! What is made least is the summed loss plus `alpha`/2 times the squared coefficients; the intercept costs nothing. That is what
//! scikit-learn's `LogisticRegression(C=1/alpha)` does.

use linfa::{DatasetBase, traits::Fit as _};
use linfa_logistic::LogisticRegression;
use ndarray::Array1;
use serde_json::{Value, json};

use super::{Part, refused};
use crate::{model::Fault, predict};

/// The most rounds.
const ROUNDS: u64 = 1000;

/// The gradient at which to stop; the first that can be reached is taken. Where loss is large, rounding hides smaller ones.
const GRADIENTS: [f64; 3] = [1e-6, 1e-4, 1e-2];

/// What was found.
pub(super) struct Logistic {
    pub(super) coefficients: Vec<f64>,
    pub(super) intercept: f64,
}

pub(super) fn fit(part: &Part, alpha: f64) -> Result<Logistic, Vec<Fault>> {
    let positives = part.labels.iter().filter(|label| **label).count();
    if positives == 0 || positives == part.labels.len() {
        let found = if positives == 0 { "false" } else { "true" };
        let message = format!("it is {found} for all {} profiles that are learnt from", part.labels.len());
        return Err(vec![refused("/label", message)]);
    }
    let labels = Array1::from_vec(part.labels.clone());
    let dataset = DatasetBase::new(part.rows.view(), labels);
    let attempt = |gradient: f64| {
        LogisticRegression::default().alpha(alpha).max_iterations(ROUNDS).gradient_tolerance(gradient).fit(&dataset)
    };
    let mut failure = None;
    for gradient in GRADIENTS {
        match attempt(gradient) {
            // linfa calls the more frequent label the positive one.
            Ok(fitted) => {
                let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
                let coefficients: Vec<f64> = fitted.params().iter().map(|by| sign * by).collect();
                let intercept = sign * fitted.intercept();
                if coefficients.iter().chain([&intercept]).all(|by| by.is_finite()) {
                    return Ok(Logistic { coefficients, intercept });
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    let why = failure.map_or_else(|| "the coefficients grow without bound".to_owned(), |error| error.to_string());
    Err(vec![refused("/alpha", format!("no coefficients were found: {why}; a larger alpha may help"))])
}

impl Logistic {
    /// How well the model tells the rows that were held back apart.
    pub(super) fn report(&self, judged_by: &Part) -> Value {
        let mut judged: Vec<(f64, bool)> = judged_by
            .rows
            .rows()
            .into_iter()
            .zip(&judged_by.labels)
            .map(|(row, label)| {
                let score = row.iter().zip(&self.coefficients).map(|(at, by)| at * by).sum::<f64>() + self.intercept;
                (predict::logistic(score), *label)
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "there are at most 100 000 rows")]
        let share = |count: usize| count as f64 / judged.len() as f64;
        let right = judged.iter().filter(|(probability, label)| (*probability >= 0.5) == *label).count();
        let positives = judged.iter().filter(|(_, label)| *label).count();
        let (accuracy, positives) = (share(right), share(positives));
        json!({"auc": auc(&mut judged), "accuracy": accuracy, "positives": positives})
    }
}

/// How often a row that is true is judged more probable than one that is not; a tie counts half. `None` without both.
#[expect(clippy::cast_precision_loss, reason = "there are at most 100 000 rows")]
fn auc(judged: &mut [(f64, bool)]) -> Option<f64> {
    judged.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut below, mut pairs) = (0_usize, 0.0);
    for tied in judged.chunk_by(|left, right| left.0 == right.0) {
        let positives = tied.iter().filter(|(_, label)| *label).count();
        let negatives = tied.len() - positives;
        pairs += positives as f64 * (below as f64 + negatives as f64 / 2.0);
        below += negatives;
    }
    let positives = judged.len() - below;
    (positives > 0 && below > 0).then(|| pairs / (positives as f64 * below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_pairs() {
        let of = |judged: &[(f64, bool)]| auc(&mut judged.to_vec());
        assert_eq!(of(&[(0.1, false), (0.4, true), (0.35, false), (0.8, true)]), Some(1.0));
        assert_eq!(of(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)]), Some(0.75));
        assert_eq!(of(&[(0.5, false), (0.5, true), (0.5, true)]), Some(0.5));
        assert_eq!(of(&[(0.9, false), (0.1, true)]), Some(0.0));
        assert_eq!((of(&[(0.9, true)]), of(&[])), (None, None));
    }
}
