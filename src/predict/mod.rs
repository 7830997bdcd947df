//! What trained models say of a user. Pure: a model is read from its document, and asked without allocating.

use crate::model::{Attribute, Effect, Fault, ModelDocument};

/// A model that can be asked.
#[derive(Debug)]
pub struct Predictor {
    kind: Kind,
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

impl Predictor {
    /// Reads a model.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn compile(document: &ModelDocument) -> Result<Self, Vec<Fault>> {
        let message = format!("unknown kind of model {:?}", document.fields().get("kind"));
        Err(vec![Fault { pointer: "/kind".to_owned(), message, effect: Effect::Quarantined }])
    }

    /// What the model says.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Asks the model about who has these attributes.
    pub fn predict<'a>(&self, attribute: &impl Fn(&str) -> Option<Attribute<'a>>) -> Prediction {
        match self.kind {
            Kind::Probability => Prediction::Probability(attribute("").map_or(0.0, |_| 1.0)),
            Kind::Clusters => Prediction::Cluster(0),
        }
    }
}
