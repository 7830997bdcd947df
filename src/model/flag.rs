//! The flag document: a JSON object, kept as it came, unknown fields included.

use serde_json::{Map, Value};

use super::Fault;

/// A flag as stored: only the fields that were set, in their order. [`FlagDocument::complete`] fills in the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagDocument(Map<String, Value>);

impl FlagDocument {
    /// Reads a document from its JSON text.
    ///
    /// # Errors
    /// The text is over 1 MiB, not JSON, nested too deeply, not an object, or has no usable `key`.
    pub fn parse(_text: &str) -> Result<Self, Fault> {
        unimplemented!()
    }

    /// Takes an object as a document.
    ///
    /// # Errors
    /// It is nested too deeply or has no usable `key`.
    pub fn from_map(_map: Map<String, Value>) -> Result<Self, Fault> {
        unimplemented!()
    }

    /// The flag's key.
    #[must_use]
    pub fn key(&self) -> &str {
        unimplemented!()
    }

    /// The fields that were set.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The document with the existing service's eighteen fields in their order, defaults filled in, then the
    /// extensions and unknown fields that were set.
    #[must_use]
    pub fn complete(&self) -> Map<String, Value> {
        unimplemented!()
    }

    /// The JSON text to store.
    #[must_use]
    pub fn to_text(&self) -> String {
        unimplemented!()
    }
}
