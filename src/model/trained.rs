//! The document of a trained model, kept as it came, unknown fields included.

use serde_json::{Map, Value};

use super::{Fault, document};

/// A model as stored: what it was trained to, and what its training reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDocument(Map<String, Value>);

impl ModelDocument {
    /// Reads a document from its JSON text.
    ///
    /// # Errors
    /// The text is over 1 MiB, not JSON, nested too deeply, not an object, or has no usable `id`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::from_map(document::read(text, "model")?)
    }

    /// Takes an object as a document.
    ///
    /// # Errors
    /// It is nested too deeply or has no usable `id`.
    pub fn from_map(map: Map<String, Value>) -> Result<Self, Fault> {
        document::named_by(map, "id").map(Self)
    }

    /// The model's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// The fields that were set.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The JSON text to store.
    #[must_use]
    pub fn to_text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}
