//! Documents for a store that never held any.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::model::{DocumentKey, Fault, FlagDocument};

use super::{Expected, Store, StoreError, Write};

/// Why a store was not seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A document cannot be written; none was.
    #[error("document {position} of the seed: {pointer}: {message}")]
    Document {
        /// Its position, from 0.
        position: usize,
        /// Where in the document, as a JSON pointer; empty for the document itself.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// The text is not a JSON array.
    #[error("it is not a JSON array of flags: {0}")]
    Text(#[from] serde_json::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes flags into a store that was never written to, and says how many. A store with any history, even one whose
/// documents were all removed since, is left alone. All documents are read before the first is written.
///
/// # Errors
/// A document is not a flag with a key, or the store fails.
pub async fn seed_if_empty(
    store: &dyn Store,
    documents: &[Value],
    actor: &str,
    now: Timestamp,
) -> Result<usize, SeedError> {
    let writes = documents
        .iter()
        .enumerate()
        .map(|(position, document)| write(document, actor, now).map_err(|fault| refuse(position, fault)))
        .collect::<Result<Vec<_>, _>>()?;
    let contents = store.load().await?;
    if contents.revision.number != 0 || !contents.documents.is_empty() {
        return Ok(0);
    }
    let mut written = 0;
    for write in writes {
        match store.write(write).await {
            Ok(_) => written += 1,
            // Named twice, or another gateway seeds the same store.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

fn write(document: &Value, actor: &str, at: Timestamp) -> Result<Write, Fault> {
    let flag = FlagDocument::parse(&document.to_string())?;
    Ok(Write {
        document: DocumentKey::flag(flag.key()),
        text: Some(Arc::from(flag.to_text())),
        expected: Expected::Absent,
        actor: actor.to_owned(),
        at,
        fence: None,
    })
}

fn refuse(position: usize, fault: Fault) -> SeedError {
    SeedError::Document { position, pointer: fault.pointer, message: fault.message }
}
