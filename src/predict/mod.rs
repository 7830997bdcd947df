//! What trained models say of a user. Pure: a model is read from its document, and asked without allocating.
//!
//! A model's inputs are its feature columns, each an attribute of the user. A number is taken as it is, and so is a string that
//! reads as one, as everywhere in flaggate; a boolean is 0 or 1; any other string needs a declared encoding. What is missing, or
//! cannot be taken so, counts as the mean of the training.

mod columns;
mod read;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::model::{Attribute, Effect, Fault, ModelDocument};

pub use columns::{Column, Columns, MAX_COLUMNS};
use read::Reader;

/// The most clusters that a model may have.
pub const MAX_CLUSTERS: usize = 1024;

/// Models up to this many features are asked without an allocation.
const INLINE: usize = 32;

/// A number beyond this is as good as missing, and scaled features are held within it, so that no sum or square of them leaves
/// the finite numbers.
const LIMIT: f64 = 1e100;

/// A model that can be asked.
///
/// Invariant: what it says is finite, whatever the attributes are.
#[derive(Debug)]
pub struct Predictor {
    columns: Columns,
    scaler: Scaler,
    model: Model,
}

/// What a model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How probable something is.
    Probability,
    /// Which cluster the user belongs to.
    Clusters,
}

/// What a model says of one user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prediction {
    /// From 0 to 1.
    Probability(f64),
    /// The number of the cluster, from 0.
    Cluster(u32),
}

/// The training's mean and standard deviation of each feature.
#[derive(Debug)]
struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

#[derive(Debug)]
enum Model {
    Logistic {
        coefficients: Vec<f64>,
        intercept: f64,
    },
    KMeans {
        /// One row for each cluster, one after the other.
        centroids: Vec<f64>,
    },
}

impl Predictor {
    /// Reads a model.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn compile(document: &ModelDocument) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(document.fields());
        let columns = Columns::read(&mut reader);
        let kind = reader.text("/kind", &["kmeans", "logistic", "onnx"]);
        let read = match kind {
            Some("logistic") => {
                let scaler = Scaler::read(&mut reader, columns.len());
                let coefficients = reader.numbers("/coefficients", columns.len());
                let intercept = reader.number("/intercept");
                Some((scaler, Model::Logistic { coefficients, intercept }))
            }
            Some("kmeans") => {
                let scaler = Scaler::read(&mut reader, columns.len());
                Some((scaler, Model::KMeans { centroids: reader.rows("/centroids", columns.len(), MAX_CLUSTERS) }))
            }
            Some("onnx") => {
                let message = "this flaggate was built without ONNX; build it with `--features onnx`";
                reader.fault("/kind", message);
                None
            }
            Some(_) | None => None,
        };
        let faults = reader.finish();
        match read {
            Some((scaler, model)) if faults.is_empty() => Ok(Self { columns, scaler, model }),
            Some(_) | None => Err(faults),
        }
    }

    /// What the model says.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.model {
            Model::Logistic { .. } => Kind::Probability,
            Model::KMeans { .. } => Kind::Clusters,
        }
    }

    /// The attributes that the model looks at, in its order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How many clusters there are; `None` for a model that says a probability.
    #[must_use]
    pub fn clusters(&self) -> Option<usize> {
        match &self.model {
            Model::KMeans { centroids } => Some(centroids.len() / self.columns.len()),
            Model::Logistic { .. } => None,
        }
    }

    /// The middle of each cluster in the features' own units; `None` for a model that says a probability.
    #[must_use]
    pub fn centres(&self) -> Option<Vec<Vec<f64>>> {
        let unscaled =
            |row: &[f64]| row.iter().zip(self.scaler.iter()).map(|(at, (mean, scale))| at * scale + mean).collect();
        match &self.model {
            Model::KMeans { centroids } => Some(centroids.chunks_exact(self.columns.len()).map(unscaled).collect()),
            Model::Logistic { .. } => None,
        }
    }

    /// Asks the model about who has these attributes.
    pub fn predict<'a>(&self, attribute: &impl Fn(&str) -> Option<Attribute<'a>>) -> Prediction {
        let features = self.columns.iter().zip(self.scaler.iter()).map(|(column, (mean, scale))| {
            // What is missing is the mean, which scales to 0.
            attribute(column.name())
                .and_then(|found| column.number(found))
                .map_or(0.0, |number| scaled(number, mean, scale))
        });
        match &self.model {
            Model::Logistic { coefficients, intercept } => {
                let score = features.zip(coefficients).fold(*intercept, |sum, (feature, by)| by.mul_add(feature, sum));
                Prediction::Probability(logistic(score))
            }
            Model::KMeans { centroids } => {
                let features: SmallVec<[f64; INLINE]> = features.collect();
                Prediction::Cluster(nearest(&features, centroids).0)
            }
        }
    }
}

impl Scaler {
    fn read(reader: &mut Reader<'_>, columns: usize) -> Self {
        let mean = reader.numbers("/scaler/mean", columns);
        let scale = reader.numbers("/scaler/scale", columns);
        for (position, scale) in scale.iter().enumerate() {
            if *scale < LIMIT.recip() {
                reader.fault(format!("/scaler/scale/{position}"), "a scale is greater than 0");
            }
        }
        Self { mean, scale }
    }

    fn iter(&self) -> impl Iterator<Item = (f64, f64)> {
        self.mean.iter().copied().zip(self.scale.iter().copied())
    }
}

fn scaled(number: f64, mean: f64, scale: f64) -> f64 {
    ((number - mean) / scale).clamp(-LIMIT, LIMIT)
}

/// The logistic function, 1 / (1 + e⁻ˣ).
pub(crate) fn logistic(score: f64) -> f64 {
    (1.0 + (-score).exp()).recip()
}

/// The number of the row that is the nearest, the first of equals, and the squared distance to it.
pub(crate) fn nearest(features: &[f64], centroids: &[f64]) -> (u32, f64) {
    let distance =
        |row: &[f64]| features.iter().zip(row).map(|(feature, at)| (feature - at) * (feature - at)).sum::<f64>();
    let rows = (0..).zip(centroids.chunks_exact(features.len()).map(distance));
    rows.fold((0, f64::INFINITY), |best, found| if found.1 < best.1 { found } else { best })
}

fn quarantined(pointer: String, message: String) -> Fault {
    Fault { pointer, message, effect: Effect::Quarantined }
}
