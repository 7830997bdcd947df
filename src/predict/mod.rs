//! What trained models say of a user. Pure: a model is read from its document, and asked without allocating.
//!
//! A model's inputs are its feature columns, each an attribute of the user. A number is taken as it is, and so is a string that
//! reads as one, as everywhere in flaggate; a boolean is 0 or 1; any other string needs a declared encoding. What is missing, or
//! cannot be taken so, counts as the mean of the training.

mod columns;
#[cfg(feature = "onnx")]
mod onnx;
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
        scaler: Scaler,
        coefficients: Vec<f64>,
        intercept: f64,
    },
    KMeans {
        scaler: Scaler,
        /// One row for each cluster, one after the other.
        centroids: Vec<f64>,
    },
    #[cfg(feature = "onnx")]
    Onnx(onnx::Network),
}

impl Predictor {
    /// Reads a model.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn compile(document: &ModelDocument) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(document.fields());
        let columns = Columns::read(&mut reader);
        let model = match reader.text("/kind", &["kmeans", "logistic", "onnx"]) {
            Some("logistic") => Some(Model::Logistic {
                scaler: Scaler::read(&mut reader, columns.len()),
                coefficients: reader.numbers("/coefficients", columns.len()),
                intercept: reader.number("/intercept"),
            }),
            Some("kmeans") => Some(Model::KMeans {
                scaler: Scaler::read(&mut reader, columns.len()),
                centroids: reader.rows("/centroids", columns.len(), MAX_CLUSTERS),
            }),
            #[cfg(feature = "onnx")]
            Some("onnx") => onnx::Network::read(&mut reader, columns.len()).map(Model::Onnx),
            #[cfg(not(feature = "onnx"))]
            Some("onnx") => {
                reader.fault("/kind", "this flaggate was built without ONNX; build it with `--features onnx`");
                None
            }
            Some(_) | None => None,
        };
        let faults = reader.finish();
        match model {
            Some(model) if faults.is_empty() => Ok(Self { columns, model }),
            Some(_) | None => Err(faults),
        }
    }

    /// What the model says.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.model {
            Model::Logistic { .. } => Kind::Probability,
            Model::KMeans { .. } => Kind::Clusters,
            #[cfg(feature = "onnx")]
            Model::Onnx(network) => network.kind(),
        }
    }

    /// The attributes that the model looks at, in its order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How many clusters there are; `None` for a model that says a probability, or does not say how many.
    #[must_use]
    pub fn clusters(&self) -> Option<usize> {
        match &self.model {
            Model::KMeans { centroids, .. } => Some(centroids.len() / self.columns.len()),
            Model::Logistic { .. } => None,
            #[cfg(feature = "onnx")]
            Model::Onnx(_) => None,
        }
    }

    /// The middle of each cluster in the features' own units; `None` for a model that is not KMeans.
    #[must_use]
    pub fn centres(&self) -> Option<Vec<Vec<f64>>> {
        match &self.model {
            Model::KMeans { scaler, centroids } => {
                let unscaled =
                    |row: &[f64]| row.iter().zip(scaler.iter()).map(|(at, (mean, scale))| at * scale + mean).collect();
                Some(centroids.chunks_exact(self.columns.len()).map(unscaled).collect())
            }
            Model::Logistic { .. } => None,
            #[cfg(feature = "onnx")]
            Model::Onnx(_) => None,
        }
    }

    /// Asks the model about who has these attributes.
    pub fn predict<'a>(&self, attribute: &impl Fn(&str) -> Option<Attribute<'a>>) -> Prediction {
        let features =
            self.columns.iter().map(|column| attribute(column.name()).and_then(|found| column.number(found)));
        match &self.model {
            Model::Logistic { scaler, coefficients, intercept } => {
                let weighed = scaler.scaled(features).zip(coefficients);
                let score = weighed.fold(*intercept, |sum, (feature, by)| by.mul_add(feature, sum));
                Prediction::Probability(logistic(score))
            }
            Model::KMeans { scaler, centroids } => {
                let features: SmallVec<[f64; INLINE]> = scaler.scaled(features).collect();
                Prediction::Cluster(nearest(&features, centroids).0)
            }
            #[cfg(feature = "onnx")]
            Model::Onnx(network) => network.predict(features),
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

    /// Features by their distance from the mean in deviations. What is missing is the mean, which scales to 0.
    fn scaled(&self, features: impl Iterator<Item = Option<f64>>) -> impl Iterator<Item = f64> {
        let scaled = |number: f64, (mean, scale): (f64, f64)| ((number - mean) / scale).clamp(-LIMIT, LIMIT);
        features.zip(self.iter()).map(move |(feature, by)| feature.map_or(0.0, |number| scaled(number, by)))
    }
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
