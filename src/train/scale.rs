//! The standard scaler: each feature gets mean 0 and deviation 1. What is missing counts neither for the one nor the other.

use ndarray::Array2;

use super::{Part, Sample};

/// A feature that varies less than this, relative to its size, does not vary.
const STILL: f64 = 10.0 * f64::EPSILON;

/// The mean and deviation of each column over the rows that are learnt from. The mean of a column that no row has is NaN.
pub(super) fn fit(sample: &Sample, held_back: &impl Fn(usize) -> bool) -> (Vec<f64>, Vec<f64>) {
    let column = |position: usize| {
        let rows = sample.rows().enumerate().filter(|(number, _)| !held_back(*number));
        rows.map(move |(_, row)| row.features[position]).filter(|number| !number.is_nan())
    };
    (0..sample.width()).map(|position| moments(&|| column(position))).unzip()
}

/// Mean and deviation (of the population). A feature that is always the same is left as it is: its deviation counts as 1.
fn moments<I: Iterator<Item = f64>>(values: &impl Fn() -> I) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "there are at most 100 000 rows")]
    let count = values().count() as f64;
    let mean = values().sum::<f64>() / count;
    let variance = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    (mean, if deviation > STILL * mean.abs() { deviation } else { 1.0 })
}

/// Some of the rows, scaled.
pub(super) fn apply(sample: &Sample, mean: &[f64], scale: &[f64], wanted: &impl Fn(usize) -> bool) -> Part {
    let rows: Vec<_> = sample.rows().enumerate().filter(|(number, _)| wanted(*number)).map(|(_, row)| row).collect();
    let number = |(row, column): (usize, usize)| {
        let feature = rows[row].features[column];
        if feature.is_nan() { 0.0 } else { (feature - mean[column]) / scale[column] }
    };
    Part {
        rows: Array2::from_shape_fn((rows.len(), mean.len()), number),
        labels: rows.iter().map(|row| row.label).collect(),
    }
}

/// Points in the features' own units, scaled.
pub(super) fn scaled(points: &[Vec<f64>], mean: &[f64], scale: &[f64]) -> Vec<Vec<f64>> {
    let one =
        |point: &Vec<f64>| point.iter().zip(mean).zip(scale).map(|((at, mean), scale)| (at - mean) / scale).collect();
    points.iter().map(one).collect()
}
