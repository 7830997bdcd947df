//! The document of a trained model, kept as it came, unknown fields included.

use super::document::document;

document! {
    /// A model as stored: what it was trained to, and what its training reported.
    ModelDocument, a "model", called by id, or of_id alone
}
